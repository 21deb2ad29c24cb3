"""Weights from elsewhere on any number of ranks: the same run, bit by bit, and one message where they do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.run_bits import bits_of, differences
from pvmc.errors import InputError
from pvmc.io.rbm_weights import weights_of
from pvmc.io.reader import open_run
from pvmc.io.weight_files import write_wf
from pvmc.mpi import Communicator, SerialCommunicator
from pvmc.tasks.import_weights import import_weights
from pvmc.vmc.recorder import RunRequest
from tests.helpers import random_rbm
from tests.jobs import job_of, ring

pytestmark = pytest.mark.mpi


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
    ansatz = {"kind": "rbm", "alpha": alpha, "symmetry": "none", "weights": "complex"}
    return RunRequest(job_of(ring(sampler) | {"ansatz": ansatz}), "", directory)


@pytest.mark.parametrize("kind", ["metropolis", "exact"])
def test_the_same_bits_on_any_number_of_ranks(comm: Communicator, shared: Path, kind: str) -> None:
    sampler = {} if kind == "metropolis" else {"kind": "exact", "block_width": 16}
    together, alone = (asked(shared / name, sampler) for name in ("together", "alone"))
    import_weights(together, shared / "state.wf", comm)
    comm.on_root(lambda: import_weights(alone, shared / "state.wf", SerialCommunicator()))
    if comm.rank == 0:
        found, expected = bits_of(together.directory), bits_of(alone.directory)
        assert "theta" in found and np.isfinite(open_run(together.directory).series["energy"]).all()
        assert differences(found, expected) == []


def test_weights_that_do_not_fit_are_refused_by_all_alike(comm: Communicator, shared: Path) -> None:
    request = asked(shared / "run", {}, alpha=1)
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
