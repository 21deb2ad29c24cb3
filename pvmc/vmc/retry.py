"""How a run goes on after its numbers went bad: from an earlier state, with more caution."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from pvmc.errors import NumericalError
from pvmc.vmc.guard import Trouble

StateT = TypeVar("StateT")

SHIFT_FACTOR = 10.0
"""By how much each retry multiplies the shift of S."""

RATE_FACTOR = 0.5
"""By how much each retry multiplies the learning rate."""

BACK = (1, 4, 16)
"""Iterations by which the first, the second and any later retry go back: the harm may be older than its first sign."""

STATES_KEPT = max(BACK) + 1
"""States that are kept to go back to."""

CALM = 50
"""Good iterations that take away the caution of one retry."""

PASSED = 10
"""Iterations beyond the trouble after which it counts as left behind."""


class Retry:
    """How a run goes on after trouble: from an earlier state, with more caution, and not without end.

    Caution is a number of levels: a level multiplies the relative shift of S by 10 (its floor, where there is no
    relative shift) and the learning rate by 1/2.  Each retry adds a level, each good iteration takes away 1/50 of one.
    The retries are counted until the run is 10
    iterations beyond the trouble: what comes later is a new trouble, with as many retries of its own.  All of it is
    arithmetic on numbers that all ranks share.

    Args:
        most: retries for one trouble; then it ends the run (0: at once).
    """

    def __init__(self, most: int = 3):
        self.most = most
        self.retries = 0
        self.level = 0.0
        self.latest = -1

    @property
    def shift_factor(self) -> float:
        """What to multiply the relative shift of S by; 1 in calm."""
        return float(SHIFT_FACTOR**self.level)

    @property
    def rate_factor(self) -> float:
        """What to multiply the learning rate by; 1 in calm."""
        return float(RATE_FACTOR**self.level)

    @property
    def iterations_back(self) -> int:
        """How far the last retry goes back, from the iteration that was in trouble; 0 where there was none."""
        return BACK[min(self.retries, len(BACK)) - 1] if self.retries else 0

    def succeeded(self, iteration: int) -> None:
        """An iteration was good: a little less caution, and a trouble far behind is over."""
        self.level = max(0.0, self.level - 1.0 / CALM)
        if iteration >= self.latest + PASSED:
            self.retries = 0

    def again(self, trouble: Trouble) -> str:
        """One more try, with more caution; what to tell the user.

        The caller goes back by :attr:`iterations_back` (:meth:`Rewind.back`).

        Raises:
            NumericalError: the tries are used up; all ranks raise it alike (``collective`` is set).
        """
        if self.retries >= self.most:
            error = NumericalError(
                f"iteration {trouble.iteration}: {trouble.cause}"
                + (f"; {self.retries} retries with larger shifts did not help" if self.retries else "")
                + ". The results up to there are kept; lower sr.learning_rate or raise sr.shift.minimum"
            )
            error.collective = True
            raise error
        self.retries += 1
        self.level += 1.0
        self.latest = max(self.latest, trouble.iteration)
        back = self.iterations_back
        return (
            f"iteration {trouble.iteration}: {trouble.cause}; retry {self.retries} of {self.most} from {back} "
            f"iteration{'s' if back > 1 else ''} before, with sr.shift (sr.floor, where it is 0) times "
            f"{self.shift_factor:.3g} and sr.learning_rate times {self.rate_factor:.3g}"
        )

    def state(self) -> npt.NDArray[np.float64]:
        """What a checkpoint keeps, (3,): retries for the latest trouble, level of caution, its iteration."""
        return np.array([self.retries, self.level, self.latest])

    def restore(self, state: npt.NDArray[np.float64]) -> None:
        """Go on from what :meth:`state` gave."""
        self.retries, self.level, self.latest = int(state[0]), float(state[1]), int(state[2])


class Rewind(Generic[StateT]):
    """The states before the last iterations, to go back to.  A resumed run begins with the one that it was given."""

    def __init__(self) -> None:
        self._states: deque[tuple[int, StateT]] = deque(maxlen=STATES_KEPT)

    def keep(self, iteration: int, state: StateT) -> None:
        """Keep the state before an iteration that was good; those of this and later iterations go."""
        while self._states and self._states[-1][0] >= iteration:
            self._states.pop()
        self._states.append((iteration, state))

    @property
    def latest(self) -> tuple[int, StateT]:
        """The state that was kept last, and the iteration that it stands before.

        Raises:
            LookupError: none was ever kept.
        """
        if not self._states:
            raise LookupError("no state to go back to")
        return self._states[-1]

    @property
    def previous(self) -> tuple[int, StateT] | None:
        """The one before it, if there is one."""
        return self._states[-2] if len(self._states) > 1 else None

    def back(self, iteration: int, n: int) -> tuple[int, StateT]:
        """The state ``n`` iterations before one that was in trouble, or the oldest there is; later ones go.

        Returns:
            The iteration that the state stands before, and the state.

        Raises:
            LookupError: none was ever kept.
        """
        while len(self._states) > 1 and self._states[-1][0] > iteration - n:
            self._states.pop()
        return self.latest
