"""Weights from elsewhere on any number of ranks: the same run, bit by bit, and one message where they do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pvmc.errors import InputError
from pvmc.io.checkpoint import latest_checkpoint
from pvmc.io.rbm_weights import weights_of
from pvmc.io.reader import open_run
from pvmc.io.weight_files import write_wf
from pvmc.mpi import Communicator, SerialCommunicator
from pvmc.tasks.import_weights import import_weights
from pvmc.vmc.recorder import RunRequest
from tests.helpers import random_rbm
from tests.jobs import job_of

pytestmark = pytest.mark.mpi

METROPOLIS = {"walkers": 64, "block_width": 16, "samples": 256}


@pytest.fixture
def shared(comm: Communicator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that all ranks share, with the weights of 8 spins and 16 hidden units in it."""

    def make() -> Path:
        directory = tmp_path_factory.mktemp("shared")
        weights = weights_of(*random_rbm(8, np.complex128, "translation", visible_bias=False, scale=0.1))
        write_wf(directory / "state.wf", weights)
        return directory

    return comm.root_value(make)


def asked(directory: Path, sampler: dict[str, Any], alpha: int = 2) -> RunRequest:
    tables: dict[str, Any] = {
        "lattice": {"kind": "chain", "length": 8},
        "hamiltonian": {"model": "heisenberg"},
        "ansatz": {"kind": "rbm", "alpha": alpha, "symmetry": "none"},
        "sampler": sampler,
    }
    return RunRequest(job_of(tables), "", directory)


def bits(directory: Path) -> dict[str, bytes]:
    """All numbers of a run and of its checkpoint."""
    run, (checkpoint, _) = open_run(directory), latest_checkpoint(directory)
    assert checkpoint is not None
    found = {**run.series, "saved": run.parameters(), "theta": checkpoint.theta, "spins": checkpoint.spins}
    return {name: array.tobytes() for name, array in found.items()}


@pytest.mark.parametrize("kind", ["metropolis", "exact"])
def test_the_same_bits_on_any_number_of_ranks(comm: Communicator, shared: Path, kind: str) -> None:
    sampler = METROPOLIS if kind == "metropolis" else {"kind": "exact", "block_width": 16}
    together, alone = (asked(shared / name, sampler) for name in ("together", "alone"))
    import_weights(together, shared / "state.wf", comm)
    comm.on_root(lambda: import_weights(alone, shared / "state.wf", SerialCommunicator()))
    if comm.rank == 0:
        found, expected = bits(together.directory), bits(alone.directory)
        assert np.isfinite(open_run(together.directory).series["energy"]).all()
        assert found == expected


def test_weights_that_do_not_fit_are_refused_by_all_alike(comm: Communicator, shared: Path) -> None:
    request = asked(shared / "run", METROPOLIS, alpha=1)
    with pytest.raises(InputError, match="the weights have 16 hidden units, this input has 8") as caught:
        import_weights(request, shared / "state.wf", comm)
    assert caught.value.collective
    with pytest.raises(InputError, match=r"none\.wf") as caught:
        import_weights(request, shared / "none.wf", comm)
    assert caught.value.collective
    if comm.size > 1:
        single = asked(request.directory, {"walkers": 16, "block_width": 16, "samples": 64})
        with pytest.raises(InputError, match="ranks, but 1 block of walkers") as caught:
            import_weights(single, shared / "state.wf", comm)
        assert caught.value.collective
    comm.barrier()
    assert not request.directory.exists()
