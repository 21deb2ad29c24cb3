"""What all tests share: one thread per process, fixed seeds, and the choice between serial and MPI runs.

Tests marked ``mpi`` run only where PVMC_TEST_RANKS says how many ranks the mpiexec around pytest has (four in ``make
test``); a plain ``pytest`` leaves them out and says so.
"""

# ruff: noqa: E402  (the number of threads is set before numpy is imported)

from __future__ import annotations

import os

for _variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")  # also for the programs that tests start

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from pvmc.mpi import launcher

SEED = 20170210


def expected_ranks() -> int | None:
    """How many ranks this run of pytest is said to have; None for a serial one."""
    value = os.environ.get("PVMC_TEST_RANKS")
    return int(value) if value else None


def pytest_configure(config: pytest.Config) -> None:
    started_by = launcher()
    if started_by is not None and started_by.size != 1 and expected_ranks() is None:
        raise pytest.UsageError("under mpiexec -n N, set PVMC_TEST_RANKS=N: the tests check that they have N ranks")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if expected_ranks() is not None:
        return
    left_out = [item for item in items if item.get_closest_marker("mpi")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
        config.stash[_LEFT_OUT] = len(left_out)


_LEFT_OUT = pytest.StashKey[int]()


def pytest_report_collectionfinish(config: pytest.Config) -> str:
    count = config.stash.get(_LEFT_OUT, 0)
    return f"{count} tests need MPI: PVMC_TEST_RANKS=4 mpiexec -n 4 python -m pytest -m mpi tests/mpi" if count else ""


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator that starts each test at the same seed."""
    return np.random.default_rng(SEED)


@pytest.fixture(scope="session")
def mpiexec() -> str:
    """The launcher of this environment's MPI, for tests that start their own ranks."""
    if os.environ.get("PVMC_NO_MPI") == "1":
        pytest.skip("PVMC_NO_MPI=1: no MPI wanted here")
    found = shutil.which("mpiexec", path=Path(sys.executable).parent) or shutil.which("mpiexec")
    if found is None:
        pytest.fail("no mpiexec beside python or on PATH; install one (pip install mpich), or set PVMC_NO_MPI=1")
    return found
