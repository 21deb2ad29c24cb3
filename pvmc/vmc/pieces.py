"""The pieces that surround the loop: each is called after every iteration, in the order of one list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from pvmc.errors import EXIT_RESUMABLE
from pvmc.io.checkpoint import Part
from pvmc.mpi import Communicator
from pvmc.vmc.checkpoints import SavedRun
from pvmc.vmc.job import Job
from pvmc.vmc.loop import State, StepRecord
from pvmc.vmc.rollback import GoneBack, Rollback, guarded

NOT_LOOKED = -1
"""In place of a number of walkers that was not asked for."""

Kind = Literal["iterations", "converged", "signal", "time", "stop file"]


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
        """The exit code of the run: 0 where it has reached its end, 75 where it can be resumed."""
        return 0 if self.finished else EXIT_RESUMABLE


@dataclass(frozen=True)
class Decision:
    """The consequences of an iteration, the same on every rank.

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
class Round:
    """An iteration on its way through the pieces; each adds its findings for those after it.

    Attributes:
        step: the iteration.
        n_stuck: number of stuck walkers, on rank 0; -1 where nobody looked.
        converged: the criteria that hold, in words, on rank 0; empty where one does not.
        decision: whether the run stops, and whether it saves its state.
    """

    step: StepRecord
    n_stuck: int = NOT_LOOKED
    converged: str = ""
    decision: Decision = Decision(None, checkpoint=False)


class Piece:
    """A part of a run beside the algorithm; it defines those of the methods that it needs."""

    def begin(self, state: State) -> None:
        """Prepare for iterations from this state on."""

    def after(self, done: Round, comm: Communicator) -> None:
        """Collective.  Take in an iteration."""

    def gone_back(self, back: GoneBack, comm: Communicator) -> None:
        """Collective.  Forget the iterations from that of ``back.state`` on, which no longer count."""

    def restored(self, saved: SavedRun) -> None:
        """Go on from what a checkpoint and the results file hold."""


class SavesPart(Protocol):
    """A part of a run that has a group of its own in a checkpoint, and reads it by a method ``restored``."""

    @property
    def name(self) -> str:
        """Name of the group."""
        ...

    def saved(self, comm: Communicator) -> Part:
        """Collective.  The arrays of the group; complete on the root."""
        ...


def carry_out(state: State, job: Job, rollback: Rollback, pieces: Sequence[Piece], comm: Communicator) -> StopReason:
    """Collective.  Iterate from a state on, with the pieces in their order after each iteration, until one of them has
    stopped the run; the reason.

    Where the loop goes back, the pieces are called in the reverse order.

    Raises:
        NumericalError: the numbers go bad however small the steps are; on every rank.
    """
    for piece in pieces:
        piece.begin(state)
    for item in guarded(state, job, rollback, comm):
        if isinstance(item, GoneBack):
            for piece in reversed(pieces):
                piece.gone_back(item, comm)
            continue
        done = Round(item)
        for piece in pieces:
            piece.after(done, comm)
        if done.decision.stop is not None:
            return done.decision.stop
    raise AssertionError("the iterations have no end")
