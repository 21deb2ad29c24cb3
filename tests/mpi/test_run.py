"""A whole run on several ranks: the same Markov chains and energies as on one, and what is written."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from pvmc.config import RawInput
from pvmc.driver import StepRecord, iterate
from pvmc.errors import InputError
from pvmc.io.reader import open_run
from pvmc.job import Job, JobConfig, build_job
from pvmc.parallel import Communicator, SerialCommunicator, block_range
from pvmc.simulation import RunRequest, initial_state, run

pytestmark = pytest.mark.mpi

N_BLOCKS = 4
ITERATIONS = 5


def make_job(**ansatz: object) -> Job:
    tables = {
        "lattice": {"kind": "chain", "length": 12},
        "hamiltonian": {"model": "heisenberg"},
        "ansatz": {"kind": "rbm", "alpha": 2, **ansatz},
        "sampler": {"walkers": 16 * N_BLOCKS, "block_width": 16, "samples": 8 * 16 * N_BLOCKS},
        "run": {"iterations": ITERATIONS},
    }
    return build_job(JobConfig.model_validate(tables), RawInput(tables, "", "test"))


def records(job: Job, comm: Communicator) -> list[StepRecord]:
    state = initial_state(job, comm)
    steps = iterate(state, job.ansatz, job.operator, job.sampler, job.solver, comm)
    return list(itertools.islice(steps, ITERATIONS))


@pytest.mark.parametrize("ansatz", [{"weights": "complex"}, {"weights": "real"}, {"symmetry": "none", "alpha": 1}])
def test_same_chains_and_energies_at_any_number_of_ranks(comm: Communicator, ansatz: dict[str, object]) -> None:
    """The blocks of this rank walk exactly as in a serial run; reduced quantities agree to rounding."""
    job = make_job(**ansatz)
    parallel, serial = records(job, comm), records(job, SerialCommunicator())
    mine = block_range(N_BLOCKS, comm.rank, comm.size)
    assert len(mine) < N_BLOCKS or comm.size == 1
    for there, here in zip(parallel, serial, strict=True):
        np.testing.assert_array_equal(there.state.walkers.spins, here.state.walkers.spins[mine.start : mine.stop])
        assert there.energy.n_samples == here.energy.n_samples
        np.testing.assert_allclose(there.energy.mean, here.energy.mean, rtol=1e-11)
        np.testing.assert_allclose(there.energy.error, here.energy.error, rtol=1e-9)
        np.testing.assert_allclose(there.energy.r_hat, here.energy.r_hat, rtol=1e-9)
        assert there.energy.acceptance == here.energy.acceptance
        np.testing.assert_allclose(there.state.theta, here.state.theta, atol=1e-9)


def test_parameters_are_the_same_bytes_on_every_rank(comm: Communicator) -> None:
    last = records(make_job(), comm)[-1]
    gathered = comm.gather(last.state.theta[np.newaxis])
    if comm.rank == 0:
        assert gathered is not None and len(gathered) == comm.size
        assert len({row.tobytes() for row in gathered}) == 1


def test_results_file_of_a_run(comm: Communicator, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Rank 0 writes one file, which says how many ranks there were; the series are those of the iteration."""
    directory = Path(comm.root_value(lambda: str(tmp_path_factory.mktemp("run"))))
    job = make_job()
    run(RunRequest(job, "", directory), comm)
    comm.barrier()
    written = open_run(directory)
    assert written.attributes["ranks"] == comm.size
    assert written.status() == "finished"
    np.testing.assert_allclose(
        written.series["energy"], [r.energy.mean.real for r in records(job, SerialCommunicator())], rtol=1e-11
    )


def test_more_ranks_than_blocks_is_refused_on_every_rank(comm: Communicator) -> None:
    tables = make_job().config.model_dump()
    tables["sampler"] |= {"walkers": 2, "block_width": 2, "samples": 8}
    job = build_job(JobConfig.model_validate(tables), RawInput(tables, "", "test"))
    if comm.size == 1:
        initial_state(job, comm)
        return
    with pytest.raises(InputError, match=f"{comm.size} ranks, but .* 1 blocks") as caught:
        initial_state(job, comm)
    assert caught.value.collective
