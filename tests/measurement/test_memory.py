"""Memory of a measurement, predicted and true."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from pvmc.errors import InputError
from pvmc.measurement.measuring import measure
from pvmc.measurement.measuring_memory import measuring_memory, measuring_table
from pvmc.measurement.plan import MeasureRequest
from pvmc.mpi import SerialCommunicator
from pvmc.vmc.job import Job
from pvmc.vmc.recorder import RunRequest
from pvmc.vmc.run import run
from tests.jobs import Tables, job_of, ring

ROOT = {"kind": "chain", "length": 10}, {"walkers": 2048, "block_width": 64, "samples": 2048}
"""Most is on the root: copies of the sums of many walkers."""
BLOCK = {"kind": "chain", "length": 24, "periodic": False}, {"walkers": 128, "block_width": 64, "samples": 128}
"""Most is of a block: random numbers, and pairs that no translation puts together."""


def job(lattice: Tables, sampler: Tables) -> Job:
    tables = ring(iterations=1) | {"lattice": lattice, "sampler": sampler}
    return job_of(tables)


@pytest.mark.parametrize("case", [ROOT, BLOCK], ids=["root", "block"])
def test_memory_is_predicted(tmp_path: Path, case: tuple[Tables, Tables]) -> None:
    """Of numpy's arrays and Python's bytes; HDF5's own copy of a checkpoint is not seen here."""
    one, comm = job(*case), SerialCommunicator()
    assert run(RunRequest(one, "", tmp_path / "run"), comm) == 0
    request = MeasureRequest(tmp_path / "run", samples=one.config.sampler.walkers)
    assert measure(request, comm) == 0  # compiled, imported
    tracemalloc.start()
    try:
        assert measure(request, comm) == 0
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 0.7 < peak / measuring_memory(one, 1).total < 1.05


def test_what_is_on_the_root_does_not_fall_with_the_ranks() -> None:
    one = job(*ROOT)
    alone, four = measuring_memory(one, 1), measuring_memory(one, 4)
    assert (alone.root, alone.sums) == (four.root, 4 * four.sums)
    assert [line.split()[1] for line in measuring_table(one).splitlines()[2:]] == ["1", "2", "4", "8", "16", "32"]
    assert all(line.startswith("#") for line in measuring_table(one, 3).splitlines())
    with pytest.raises(InputError, match="--ranks 33: this job has 32 blocks"):
        measuring_table(one, 33)


def test_an_enumeration_has_no_sums() -> None:
    assert measuring_table(job(ROOT[0], {"kind": "exact"})).count("\n") == 0
