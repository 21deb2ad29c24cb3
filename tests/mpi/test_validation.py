"""Validation by exact diagonalisation on several ranks: every rank has the same report, that of a serial run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pvmc.errors import InputError
from pvmc.mpi import Communicator, SerialCommunicator
from pvmc.tasks.validation import validate_physics
from pvmc.tasks.validation.system import LARGEST
from pvmc.vmc.job import Job
from tests.jobs import job_of

pytestmark = [pytest.mark.mpi, pytest.mark.ranks(2)]


def make(length: int) -> Job:
    tables: dict[str, Any] = {
        "lattice": {"kind": "chain", "length": length},
        "hamiltonian": {"model": "ising", "field": 1.5},
        "ansatz": {"kind": "rbm", "alpha": 1},
        "sampler": {"walkers": 256, "block_width": 64, "samples": 512},
        "sr": {"shift": 1e-2},
        "run": {"iterations": 30},
    }
    return job_of(tables)


def test_ranks_agree_with_a_serial_run(comm: Communicator) -> None:
    shown: list[str] = []
    report = validate_physics("test", make(6), comm, accuracy=0.1, show=lambda check: shown.append(check.name))
    assert report.passed
    assert shown == [check.name for check in report.checks]
    alone = validate_physics("test", make(6), SerialCommunicator(), accuracy=0.1)
    found, expected = ([check.measured for check in each.checks] for each in (report, alone))
    np.testing.assert_array_equal(comm.max(np.array(found)), comm.min(np.array(found)))
    assert found[:1] == expected[:1], "the same draws"
    np.testing.assert_allclose(found[7], expected[7], rtol=1e-6)  # the final energy, after 30 steps of rounding


def test_too_large_a_system_is_refused_by_all(comm: Communicator) -> None:
    with pytest.raises(InputError, match="too many to validate") as caught:
        validate_physics("test", make(LARGEST + 2), comm)
    assert caught.value.collective
