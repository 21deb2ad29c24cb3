"""Whether a run goes on: every rank says what reached it, rank 0 decides, and all get the same answer.

One small reduction an iteration carries both questions, "stop?" and "save the state?".  Only when a run stops does a
second message follow, with the reason.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from pvmc.errors import EXIT_RESUMABLE
from pvmc.estimators import EnergyStatistics
from pvmc.io.storage import STOP_FILE
from pvmc.mpi import Communicator
from pvmc.vmc.checkpoint_policy import CheckpointPolicy
from pvmc.vmc.convergence import Convergence
from pvmc.vmc.limits import TimeLimit
from pvmc.vmc.signals import Signals, signal_name

LOOK_SECONDS = 1.0
"""Shortest time between two looks for that file."""

Kind = Literal["iterations", "converged", "signal", "time", "stop file"]

_RANK_BITS = 32


@dataclass(frozen=True)
class StopReason:
    """Why a run stops.

    Attributes:
        kind: "iterations" (all done), "converged", "signal", "time" or "stop file".
        message: one line for people.
        finished: whether the run has reached its end, and there is nothing to resume.
    """

    kind: Kind
    message: str
    finished: bool

    @property
    def exit_code(self) -> int:
        """Of the process: 0 for a finished run, 75 for one to be resumed."""
        return 0 if self.finished else EXIT_RESUMABLE


@dataclass(frozen=True)
class Decision:
    """What happens after an iteration, the same on every rank.

    Attributes:
        stop: why the run stops now; None where it goes on.
        checkpoint: whether to save the state now; always true at a stop.
        recent: whether to write the state now without forcing it to the disk, so that it survives if the processes
            are killed; at a stop before the checkpoint, where little time may be left.
    """

    stop: StopReason | None
    checkpoint: bool
    recent: bool = False


@dataclass
class StopWatcher:
    """Decides after each iteration whether the run stops, and whether it saves its state.

    Ranks other than 0 need ``iterations`` and ``signals`` only; the rest is not looked at there.

    Attributes:
        iterations: iterations of the whole run, those before a resume counted.
        signals: what reached this rank; listening already.
        directory: where a file :data:`STOP_FILE` may appear; None for nowhere.
        limit: until when the run may last.
        convergence: criteria by which it may end early; the iterations before a resume replayed.
        checkpoints: when to save; without it only at a stop.
        clock: seconds, monotonic.
    """

    iterations: int
    signals: Signals
    directory: Path | None = None
    limit: TimeLimit | None = None
    convergence: Convergence | None = None
    checkpoints: CheckpointPolicy | None = None
    clock: Callable[[], float] = time.monotonic
    _ended: float = field(init=False)
    _looked: float = field(init=False, default=-math.inf)

    def __post_init__(self) -> None:
        self._ended = self.clock()

    def decide(self, iteration: int, energy: EnergyStatistics, comm: Communicator) -> Decision:
        """Collective.  What happens after an iteration; every rank gets the same answer.

        A signal to any rank stops all.  A run that has reached its end is finished, whatever else asks it to stop.

        Args:
            iteration: number of the iteration that is done.
            energy: its statistics.
            comm: the ranks.
        """
        reason = self._own_reason(iteration, energy) if comm.rank == 0 else None
        checkpoint, recent = self._due(iteration) if comm.rank == 0 else (False, False)
        recent, self.signals.warned = recent or self.signals.warned, False
        signal = self.signals.received << _RANK_BITS | comm.rank if self.signals.received else 0
        flags = np.array([reason is not None, checkpoint, recent, signal], dtype=np.int64)
        stop, save, keep, signal = comm.max(flags).tolist()
        if stop:
            reason = comm.broadcast_object(reason)
        elif signal:
            reason = _signal_reason(signal, comm.size)
            return Decision(reason, checkpoint=True, recent=True)
        save = bool(save) or reason is not None
        return Decision(reason, save, recent=bool(keep) and not save)

    def _due(self, iteration: int) -> tuple[bool, bool]:
        """Whether rank 0 wants a checkpoint, and a state that is not forced to the disk."""
        if self.checkpoints is None:
            return False, False
        now = self.clock()
        recent = self.checkpoints.recent_due(now)
        return self.checkpoints.due(iteration, now), recent

    def saved(self, iteration: int, seconds: float, lasting: bool = True) -> None:
        """A state was written after an iteration, and took so long.  Of rank 0; elsewhere it changes nothing."""
        now = self.clock()
        self._ended = now  # the time of saving is not that of an iteration
        if self.checkpoints is not None:
            self.checkpoints.saved(iteration, seconds, now, lasting)
        if self.limit is not None and lasting:
            self.limit.saved(seconds)

    def _own_reason(self, iteration: int, energy: EnergyStatistics) -> StopReason | None:
        """What rank 0 knows by itself: the first that holds."""
        now = self.clock()
        if self.limit is not None:
            self.limit.iterated(now - self._ended)
        self._ended = now
        converged = ""
        if self.convergence is not None:
            self.convergence.observe(iteration, energy.mean.real, energy.variance, energy.v_score)
            converged = self.convergence.reached()
        if iteration + 1 >= self.iterations:
            return StopReason("iterations", f"all {self.iterations} iterations are done", finished=True)
        if converged:
            return StopReason("converged", f"converged: {converged}", finished=True)
        if self.limit is not None and self.limit.due(now):
            return StopReason("time", f"out of time: {self.limit.describe(now)}", finished=False)
        return self._stop_file(now)

    def _stop_file(self, now: float) -> StopReason | None:
        """The reason that the stop file is, where there is one; it is removed, since a resume would find it again."""
        if self.directory is None or now - self._looked < LOOK_SECONDS:
            return None
        self._looked = now
        path = self.directory / STOP_FILE
        try:
            path.unlink()
        except FileNotFoundError:
            return None
        except OSError as error:
            if not os.path.lexists(path):  # a file system that is ill for a moment is no reason to stop
                return None
            return _stop_file_reason(f"found {path}, which cannot be removed ({error.strerror}): remove it to resume")
        return _stop_file_reason(f"found {path}, and removed it")


def _stop_file_reason(message: str) -> StopReason:
    return StopReason("stop file", message, finished=False)


def _signal_reason(code: int, size: int) -> StopReason:
    """The reason that a signal is; ``code`` holds its number and the rank that it came to."""
    number, rank = divmod(code, 1 << _RANK_BITS)
    return StopReason("signal", signal_name(number) + (f" on rank {rank}" if size > 1 else ""), finished=False)
