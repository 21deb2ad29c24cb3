"""Measurements on any number of ranks, stopped and gone on with: the same bits as without."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pvmc.errors import EXIT_RESUMABLE
from pvmc.io.measurement import Measurement
from pvmc.io.reader import open_run
from pvmc.io.storage import STOP_FILE
from pvmc.measurement.measuring import measure
from pvmc.measurement.plan import MeasureRequest
from pvmc.measurement.registry import NAMES
from pvmc.mpi import Communicator, SerialCommunicator
from pvmc.vmc.pieces import Decision
from pvmc.vmc.recorder import RunRequest
from pvmc.vmc.run import run
from pvmc.vmc.stop import LOOK_SECONDS, StopWatcher
from tests.jobs import job_of, ring

pytestmark = pytest.mark.mpi

Runs = Callable[..., Path]


@pytest.fixture
def new(comm: Communicator, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """A copy of a short run, made by one rank, in a directory that all share."""
    made: dict[str, Path] = {}

    def copy(kind: str = "metropolis") -> Path:
        def make() -> str:
            if kind not in made:
                made[kind] = tmp_path_factory.mktemp("made") / "run"
                job = job_of(ring(SAMPLERS[kind], iterations=4))
                assert run(RunRequest(job, "", made[kind]), SerialCommunicator()) == 0
            return str(shutil.copytree(made[kind], tmp_path_factory.mktemp("run") / "run"))

        return Path(comm.root_value(make))

    return copy


SAMPLERS: dict[str, Any] = {
    "metropolis": {},
    "exact": {"kind": "exact", "block_width": 16},
    "tempering": {"tempering": {"replicas": 2, "smallest_beta": 0.5}},
}


def carry_out(directory: Path, comm: Communicator, on: str, **options: Any) -> int:
    """Collective. A measurement of everything there is, on all ranks, or on rank 0 alone; its exit code."""
    if not options.get("resume"):
        options["observables"] = [*NAMES, f"fidelity:first={directory}@0"]
    request = MeasureRequest(directory, ends_program=True, **options)
    if on == "all":
        code = measure(request, comm)
        comm.barrier()
        return code
    return comm.root_value(lambda: measure(request, SerialCommunicator()))


def bits(measurement: Measurement) -> dict[str, bytes]:
    """All numbers of a measurement."""
    values = {name: np.asarray(one.value).tobytes() for name, one in measurement.estimates.items()}
    errors = {f"{name}_error": np.asarray(one.error).tobytes() for name, one in measurement.estimates.items()}
    kept = ("n_samples", "seed", "iteration", "acceptance", "r_hat", "autocorrelation_time", "status")
    kept += ("tail_exponent",) if "tail_exponent" in measurement.attributes else ()  # not of enumerations
    return values | errors | {name: repr(measurement.attributes[name]).encode() for name in kept}


@pytest.fixture
def stop_after(monkeypatch: pytest.MonkeyPatch, comm: Communicator) -> Callable[[int, int, str], None]:
    """What stops a measurement after a batch, once: a signal to a rank, a file or the end of the time to rank 0."""

    def at(batch: int, rank: int, how: str) -> None:
        decide, pending = StopWatcher.decide, [True]

        def deciding(self: StopWatcher, number: int, *others: Any) -> Decision:
            if number == batch and pending and comm.rank == (rank if how in SIGNALS else 0):
                pending.pop()
                _stop(self, how)
            return decide(self, number, *others)

        monkeypatch.setattr(StopWatcher, "decide", deciding)

    return at


SIGNALS = ("SIGUSR1", "SIGTERM")
TIME_LIMIT = 'run.time.limit="1h"'
"""As of --time-limit 1h."""


def _stop(watcher: StopWatcher, how: str) -> None:
    if how in SIGNALS:
        os.kill(os.getpid(), signal.Signals[how])
    elif how == "time limit":
        watcher.clock = lambda: time.monotonic() + 3600
    else:
        assert watcher.directory is not None
        (watcher.directory / how).touch()
        watcher.clock = lambda: time.monotonic() + LOOK_SECONDS


@pytest.mark.parametrize("kind", ["metropolis", "exact", "tempering"])
def test_the_same_bits_on_any_number_of_ranks(comm: Communicator, new: Runs, kind: str) -> None:
    together, alone = new(kind), new(kind)
    options = {} if kind == "exact" else {"samples": 256 * 5}
    assert carry_out(together, comm, "all", **options) == 0
    assert carry_out(alone, comm, "one", **options) == 0
    (found,), (expected,) = open_run(together).measurements, open_run(alone).measurements
    assert len(bits(found)) > 20 and bits(found) == bits(expected)
    assert {"renyi2", "overlap", "fidelity_first_error"} <= bits(found).keys()


@pytest.mark.parametrize(
    ("before", "after", "how"),
    [
        ("all", "one", "SIGUSR1"),
        ("one", "all", "time limit"),
        ("all", "all", "SIGTERM"),
        ("all", "all", STOP_FILE),
    ],
)
def test_a_stopped_measurement_goes_on_with_the_same_bits(
    comm: Communicator, new: Runs, stop_after: Callable[[int, int, str], None], before: str, after: str, how: str
) -> None:
    straight, stopped = new(), new()
    assert carry_out(straight, comm, "one", samples=256 * 7) == 0
    stop_after(2, comm.size - 1 if before == "all" else 0, how)
    assert carry_out(stopped, comm, before, samples=256 * 7, overrides=[TIME_LIMIT]) == EXIT_RESUMABLE
    assert not (stopped / STOP_FILE).exists(), "or it would stop what goes on"
    (part,) = open_run(stopped).measurements
    assert (part.attributes["status"], part.attributes["n_samples"]) == ("running", 256 * 3)
    comm.barrier()
    assert carry_out(stopped, comm, after, resume=True) == 0
    (found,), (expected,) = open_run(stopped).measurements, open_run(straight).measurements
    assert bits(found) == bits(expected)
    assert found.attributes["created"] == part.attributes["created"]


def test_a_finished_measurement_is_made_longer(comm: Communicator, new: Runs) -> None:
    straight, stages = new(), new()
    assert carry_out(straight, comm, "one", samples=256 * 6) == 0
    assert carry_out(stages, comm, "all", samples=256 * 2) == 0
    assert carry_out(stages, comm, "all", samples=256 * 6, resume=True) == 0
    (found,), (expected,) = open_run(stages).measurements, open_run(straight).measurements
    assert bits(found) == bits(expected)
