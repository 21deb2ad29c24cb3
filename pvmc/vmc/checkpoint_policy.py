"""When a run saves its state."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field

from pvmc.config import Section


class CheckpointSpec(Section):
    """How often the state is saved from which a run goes on; it is always saved when the run stops."""

    iterations: int | None = Field(default=None, ge=1)
    """iterations between two checkpoints; default: only minutes count"""
    minutes: float = Field(default=10.0, ge=0.0)
    """wall time between two checkpoints, in minutes; 0: only iterations count"""
    cost: float = Field(default=0.03, gt=0.0, le=1.0)
    """largest part of the time that may go to checkpoints: where they take more, they become rarer"""
    seconds: float = Field(default=1.0, ge=0.0)
    """most wall time whose iterations are lost if the processes are killed: a state that is not forced to the disk is
    written so often, at most after each iteration; 0: never"""


@dataclass
class CheckpointPolicy:
    """Decides after which iterations to save.  On rank 0 alone.

    A checkpoint is due after so many iterations or minutes since the last one, but not before the last one's cost is
    below the allowed part of the time since then.  Between them come states that are not forced to the disk.

    Attributes:
        spec: how often.
        iteration: number of the iteration that the last checkpoint stands before: the first to run after a resume.
        moment: when the last checkpoint was finished, in seconds of ``time.monotonic``.
        seconds: what it took.
    """

    spec: CheckpointSpec
    iteration: int
    moment: float
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self._recent = self._ended = self.moment  # the last state that was written at all; the last iteration
        self._recent_seconds = self._iteration_seconds = 0.0

    def due(self, iteration: int, now: float) -> bool:
        """Whether to save after an iteration.

        Args:
            iteration: number of the iteration that is done.
            now: the time, in seconds of ``time.monotonic``.
        """
        elapsed = now - self.moment
        every, minutes = self.spec.iterations, self.spec.minutes
        wanted = every is not None and iteration + 1 - self.iteration >= every
        wanted = wanted or (minutes > 0 and elapsed >= 60.0 * minutes)
        return wanted and self.seconds <= self.spec.cost * elapsed

    def recent_due(self, now: float) -> bool:
        """Whether to write a state that is not forced to the disk: else more time may be lost in the next iteration.

        Args:
            now: the time after an iteration; to be asked once after each.
        """
        self._iteration_seconds, self._ended = now - self._ended, now
        at_risk = now - self._recent
        wanted = self.spec.seconds > 0 and at_risk + self._iteration_seconds > self.spec.seconds
        return wanted and self._recent_seconds <= self.spec.cost * at_risk

    def saved(self, iteration: int, seconds: float, now: float, lasting: bool = True) -> None:
        """A checkpoint was written after an iteration, and took so long."""
        self._recent = self._ended = now
        if lasting:
            self.iteration, self.moment, self.seconds = iteration + 1, now, seconds
        else:
            self._recent_seconds = seconds
