"""A whole run on several ranks: the same Markov chains, energies and parameters as on one."""

from __future__ import annotations

import numpy as np
import pytest

from pvmc.errors import InputError
from pvmc.mpi import Communicator, SerialCommunicator, block_range
from pvmc.vmc.job import Job
from pvmc.vmc.loop import StepRecord
from pvmc.vmc.start import initial_state
from tests.jobs import job_of, records

pytestmark = [pytest.mark.mpi, pytest.mark.ranks(1, 2, 3, 4)]

N_BLOCKS = 4
ITERATIONS = 5


def make_job(sampler: dict[str, object] | None = None, **ansatz: object) -> Job:
    default = {"walkers": 16 * N_BLOCKS, "block_width": 16, "samples": 8 * 16 * N_BLOCKS}
    tables = {
        "lattice": {"kind": "chain", "length": 12},
        "hamiltonian": {"model": "heisenberg"},
        "ansatz": {"kind": "rbm", **ansatz} | ({} if "kind" in ansatz else {"alpha": 2} | ansatz),
        "sampler": sampler or default,
        "run": {"iterations": ITERATIONS},
    }
    return job_of(tables)


ANSATZES = [
    {"weights": "complex"},
    {"weights": "real"},
    {"symmetry": "none", "alpha": 1},
    {"kind": "feedforward", "widths": [2, 2], "weights": "amplitude_phase"},
]


def fingerprint(record: StepRecord) -> tuple[object, ...]:
    """All that does not depend on who owns which walker."""
    energy = record.energy
    numbers = (energy.mean, energy.error, energy.variance, energy.r_hat, energy.autocorrelation_time, energy.acceptance)
    return (*numbers, record.step.force_norm, record.step.residual, record.state.theta.tobytes())


@pytest.mark.parametrize("ansatz", ANSATZES)
def test_the_same_bits_at_any_number_of_ranks(comm: Communicator, ansatz: dict[str, object]) -> None:
    """Energies, errors and parameters of a serial run, to the last bit, and its chains."""
    job = make_job(**ansatz)
    parallel, serial = records(job, ITERATIONS, comm), records(job, ITERATIONS, SerialCommunicator())
    mine = block_range(N_BLOCKS, comm.rank, comm.size)
    for there, here in zip(parallel, serial, strict=True):
        np.testing.assert_array_equal(there.state.walkers.spins, here.state.walkers.spins[mine.start : mine.stop])
        assert fingerprint(there) == fingerprint(here)
    assert fingerprint(parallel[-1]) != fingerprint(parallel[0])


def test_enumerations_too_have_the_same_bits(comm: Communicator) -> None:
    job = make_job(sampler={"kind": "exact", "block_width": 200})
    for there, here in zip(records(job, ITERATIONS, comm), records(job, ITERATIONS, SerialCommunicator()), strict=True):
        assert (there.energy.mean, there.state.theta.tobytes()) == (here.energy.mean, here.state.theta.tobytes())


@pytest.mark.parametrize("ansatz", [{"weights": "complex"}, {"weights": "real"}, {"symmetry": "none", "alpha": 1}])
def test_same_chains_and_energies_without_exact_sums(comm: Communicator, ansatz: dict[str, object]) -> None:
    """The blocks of this rank walk exactly as in a serial run; reduced quantities agree to rounding."""
    job = make_job(**ansatz)
    parallel, serial = records(job, ITERATIONS, comm, exact_sums=False), records(job, ITERATIONS, SerialCommunicator())
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


def test_more_ranks_than_blocks_is_refused_on_every_rank(comm: Communicator) -> None:
    tables = make_job().config.model_dump()
    tables["sampler"] |= {"walkers": 2, "block_width": 2, "samples": 8}
    job = job_of(tables)
    if comm.size == 1:
        initial_state(job, comm)
        return
    with pytest.raises(InputError, match=f"{comm.size} ranks, but 1 block of walkers") as caught:
        initial_state(job, comm)
    assert caught.value.collective
