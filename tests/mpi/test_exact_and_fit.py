"""Enumeration and fits on several ranks: the same series as on one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pvmc.errors import InputError
from pvmc.fit import iterate_epochs
from pvmc.io.fit_file import open_fit
from pvmc.mpi import Communicator, SerialCommunicator
from pvmc.tasks.fit import FitRequest, fit, make_data
from pvmc.vmc.job import Job
from pvmc.vmc.start import initial_parameters, initial_state
from tests.jobs import job_of, records, ring

pytestmark = [pytest.mark.mpi, pytest.mark.ranks(2)]


def make_job(**sections: dict[str, Any]) -> Job:
    tables = ring(sections.get("sampler", {"kind": "exact", "block_width": 16}), {"learning_rate": 0.1, "shift": 1e-3})
    tables["ansatz"] |= {"init_scale": 0.2} | sections.get("ansatz", {})
    return job_of(tables | {"fit": {"epochs": 20} | sections.get("fit", {})})


@pytest.mark.parametrize("weights", ["real", "complex"])
def test_enumeration_does_not_depend_on_the_ranks(comm: Communicator, weights: str) -> None:
    """70 configurations in 5 blocks, the last one filled up: energies agree to 1e-12 over 40 SR iterations."""
    job = make_job(ansatz={"weights": weights})
    parallel, serial = (records(job, 40, ranks) for ranks in (comm, SerialCommunicator()))
    for there, here in zip(parallel, serial, strict=True):
        assert there.energy.n_samples == 70 and there.energy.error == 0.0
        np.testing.assert_allclose(there.energy.mean, here.energy.mean, rtol=0, atol=1e-12)
        np.testing.assert_allclose(there.energy.variance, here.energy.variance, rtol=0, atol=1e-12)
    assert parallel[-1].energy.mean.real < parallel[0].energy.mean.real - 0.1


@pytest.mark.parametrize(
    "settings",
    [{}, {"batch_size": 13}, {"batch_size": 2, "epochs": 3}, {"optimizer": "momentum", "epochs": 5}],
    ids=str,
)
def test_fits_do_not_depend_on_the_ranks(comm: Communicator, settings: dict[str, Any]) -> None:
    job = make_job(fit=settings)
    assert job.config.fit is not None
    series = []
    for ranks in (comm, SerialCommunicator()):
        theta = initial_parameters(job, ranks)
        epochs = iterate_epochs(theta, job.ansatz, make_data(job), job.config.fit, 1, ranks)
        series.append([(record.cost, record.infidelity) for record in epochs])
    np.testing.assert_allclose(series[0], series[1], rtol=1e-9, atol=1e-12)
    assert series[0][-1][0] != series[0][0][0], "the fit moves"


def test_one_file_is_written(comm: Communicator, tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = Path(comm.root_value(lambda: str(tmp_path_factory.mktemp("fit"))))
    job = make_job()
    fit(FitRequest(job, "", directory), comm)
    comm.barrier()
    written = open_fit(directory)
    assert written.attributes["ranks"] == comm.size and len(written.series["cost"]) == 21
    theta = comm.gather(initial_parameters(make_job(ansatz={"start_from": str(directory)}), comm)[None])
    if comm.rank == 0:
        assert theta is not None and all(np.array_equal(row, written.theta) for row in theta)
    with pytest.raises(InputError, match="overwrite") as caught:
        fit(FitRequest(job, "", directory), comm)
    assert caught.value.collective


def test_walkers_from_a_file_are_dealt_out_alike(comm: Communicator, tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = Path(comm.root_value(lambda: str(tmp_path_factory.mktemp("start"))))
    rows = np.array([[1, -1] * 4, [-1, 1] * 4, [1, 1, -1, -1] * 2])
    comm.on_root(lambda: np.savetxt(directory / "rows.txt", rows, fmt="%d"))
    sampler = {"walkers": 16, "block_width": 4, "samples": 16, "start": "file"}
    job = make_job(sampler={**sampler, "start_file": str(directory / "rows.txt")})
    whole = job.sampler.start(range(4), SerialCommunicator())
    mine = initial_state(job, comm).walkers
    first = mine.first_block
    np.testing.assert_array_equal(mine.spins, whole.spins[first : first + len(mine.spins)])
    missing = make_job(sampler={**sampler, "start_file": str(directory / "nothing.txt")})
    with pytest.raises(InputError, match="no such file") as caught:
        initial_state(missing, comm)
    assert caught.value.collective
