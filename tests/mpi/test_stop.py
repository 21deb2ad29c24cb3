"""Ranks stop together: what reaches one of them alone ends all after the same iteration, for the same reason."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from pvmc.estimators import EnergyStatistics
from pvmc.io.storage import STOP_FILE
from pvmc.mpi import Communicator, require_identical
from pvmc.vmc.checkpoints import CheckpointPolicy
from pvmc.vmc.interruptions import Signals, TimeLimit
from pvmc.vmc.loop import StepRecord
from pvmc.vmc.pieces import Round, StopReason
from pvmc.vmc.spec import CheckpointSpec, ConvergenceSpec
from pvmc.vmc.stop import Convergence, StopWatcher
from pvmc.vmc.stuck_walkers import WalkerWatch

pytestmark = [pytest.mark.mpi, pytest.mark.ranks(1, 2, 3, 4)]

ENERGY = EnergyStatistics(-1.0 + 0j, 0.1, 0.01, 1.0, 1.0, 1e-3, 0.5, 100, 100.0)
N = 12
WHEN = 5


def together(comm: Communicator, iteration: int, reason: StopReason | None) -> None:
    """Every rank came to the same iteration and reason."""
    text = f"{iteration} {reason}".encode()
    require_identical(comm, np.frombuffer(text, dtype=np.uint8), "the stop")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_to_one_rank_alone_stops_all(comm: Communicator, number: signal.Signals) -> None:
    for struck in range(comm.size):
        with Signals() as signals:
            watcher = StopWatcher(N, signals)
            for iteration in range(N):
                if iteration == WHEN and comm.rank == struck:
                    os.kill(os.getpid(), number)
                    time.sleep(0.01)
                reason = watcher.decide(iteration, comm).stop
                if reason:
                    break
            assert signals.received == (number if comm.rank == struck else 0)
        together(comm, iteration, reason)
        where = f" on rank {struck}" if comm.size > 1 else ""
        assert iteration == WHEN and reason == StopReason("signal", number.name + where, finished=False)


def test_a_warning_of_one_rank_is_heeded_by_all(comm: Communicator) -> None:
    for struck in range(comm.size):
        with Signals() as signals:
            watcher = StopWatcher(N, signals)
            if comm.rank == struck:
                os.kill(os.getpid(), signal.SIGCONT)
                time.sleep(0.01)
            assert [watcher.decide(iteration, comm).recent for iteration in range(3)] == [True, False, False]
            assert signals.received == 0


def test_a_signal_to_a_rank_that_waits_is_heard(comm: Communicator) -> None:
    """The last rank is still at work when a signal comes to the others, which wait for it."""
    with Signals() as signals:
        watcher = StopWatcher(N, signals)
        if comm.rank == comm.size - 1:
            time.sleep(0.3)
        if comm.rank == 0:
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            before = signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGUSR1))
        try:
            comm.barrier()
        finally:
            if comm.rank == 0:
                while comm.size == 1 and not signals.received:
                    time.sleep(0.01)
                signal.signal(signal.SIGALRM, before)
        reason = watcher.decide(0, comm).stop
    together(comm, 0, reason)
    assert reason is not None and reason.kind == "signal"


def test_signals_to_several_ranks_are_one_reason(comm: Communicator) -> None:
    signals = Signals()
    signals.received = signal.SIGUSR1 if comm.rank == 0 else signal.SIGTERM
    reason = StopWatcher(N, signals).decide(0, comm).stop
    together(comm, 0, reason)
    assert reason is not None and reason.kind == "signal"


@pytest.mark.parametrize("kind", ["iterations", "time", "stop file", "converged"])
def test_what_only_rank_0_knows(comm: Communicator, kind: str, tmp_path: Path) -> None:
    root = comm.rank == 0
    if root:
        (tmp_path / STOP_FILE).touch()
    watcher = StopWatcher(
        N if kind == "iterations" else 10**6,
        Signals(),
        # Other ranks have a directory, and find no file there: theirs is not looked at.
        directory=tmp_path if kind == "stop file" else None,
        limit=TimeLimit(time.monotonic(), "a test", 0.0) if kind == "time" and root else None,
    )
    convergence = Convergence(ConvergenceSpec(window=16, variance=0.1) if kind == "converged" else None, n_sites=1)
    for iteration in range(40):
        done = Round(cast(StepRecord, SimpleNamespace(iteration=iteration, energy=ENERGY if root else None)))
        convergence.after(done, comm)
        watcher.after(done, comm)
        decision = done.decision
        if decision.stop:
            break
    together(comm, iteration, decision.stop)
    assert decision.stop is not None and decision.stop.kind == kind and decision.checkpoint
    assert iteration == {"iterations": N - 1, "converged": 15}.get(kind, 0)


def test_checkpoints_are_those_of_rank_0(comm: Communicator) -> None:
    spec = CheckpointSpec(iterations=3 if comm.rank == 0 else 1, minutes=0.0)
    watcher = StopWatcher(10**6, Signals(), checkpoints=CheckpointPolicy(spec, 0, 0.0))
    saved = []
    for iteration in range(N):
        if watcher.decide(iteration, comm).checkpoint:
            saved.append(iteration)
            watcher.saved(iteration, 0.0)
    assert saved == [2, 5, 8, 11]


def test_stuck_walkers_are_found_among_those_of_all_ranks(comm: Communicator) -> None:
    """Each rank has 40 walkers; those of the last rank that are stuck are few among all, and numbered over all."""
    watch, texts = WalkerWatch(), []
    for iteration in range(0, 30, 10):
        energies = np.random.default_rng([comm.rank, iteration]).normal(-10.0, 0.1, size=40)
        if comm.rank == comm.size - 1:
            energies[-3:] = -4.0
        texts.append(watch.look(iteration, energies, 1.2, comm))
    assert texts[:2] == ["", ""]
    assert texts[2].startswith(f"iteration 20: 3 of {40 * comm.size} walkers are stuck") == (comm.rank == 0)
