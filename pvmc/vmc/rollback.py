"""How a run goes on after its numbers went bad: from an earlier state, with smaller steps."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from pvmc.errors import DifferentRanks, NumericalError
from pvmc.estimators import LeakTest
from pvmc.mpi import Communicator
from pvmc.sampler import Walkers
from pvmc.sr import Memory
from pvmc.sr.step import energy_rose
from pvmc.statistics.thresholds import FEWEST_FOR_ERROR, MOST_REJECTIONS
from pvmc.vmc.guard import Guard, Trouble
from pvmc.vmc.job import Job
from pvmc.vmc.loop import State, StepRecord, iterate

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


REMEMBERED, BEFORE = "memory_", "before_memory_"
"""What the names of a state's memory begin with in a checkpoint: of the last state, and of the one before it."""


def packed(memory: Memory, prefix: str = REMEMBERED) -> dict[str, npt.NDArray[Any]]:
    """A state's memory, as a checkpoint keeps it."""
    return {prefix + name: values for name, values in memory.items()}


def unpacked(numbers: Mapping[str, npt.NDArray[Any]], prefix: str = REMEMBERED) -> Memory:
    """A state's memory from the numbers of a checkpoint."""
    return {name.removeprefix(prefix): values for name, values in numbers.items() if name.startswith(prefix)}


@dataclass(frozen=True)
class Setback:
    """The loop goes back.

    Attributes:
        state: what it goes on from; records of its iteration and of later ones no longer count.
        message: why, and what is done.
        is_retry: whether the numbers went bad; a step that is taken back because the energy rose is none.
    """

    state: State
    message: str
    is_retry: bool


class Safety:
    """What a run remembers to notice trouble and to get out of it.  All ranks hold the same.

    It is the :class:`pvmc.sr.Damping` of the solver.

    Args:
        job: the job.
        spectrum: lower and upper bound of the spectrum of H.
    """

    def __init__(self, job: Job, spectrum: tuple[float, float]):
        self._guard = Guard(spectrum)
        self._retry = Retry(job.config.run.retries)
        self._rewind: Rewind[State] = Rewind()
        self._reject_rise = job.config.sr.reject_rise
        self._rejections = 0
        self._last: tuple[int, float, float] | None = None  # iteration, energy and error

    @property
    def shift_factor(self) -> float:
        """What the solver multiplies its shift by."""
        return self._retry.shift_factor

    @property
    def rate_factor(self) -> float:
        """What the solver multiplies its learning rate by."""
        return self._retry.rate_factor * 0.5**self._rejections

    def keep(self, state: State) -> None:
        """Keep a state to go back to: the one that the run begins with, and each one after."""
        self._rewind.keep(state.iteration, state)

    def last_good(self) -> State:
        """The state before the last one, which was found in trouble; the last one where there is no other."""
        iteration, _ = self._rewind.latest
        return self._rewind.back(iteration, 1)[1]

    def judge(self, step: StepRecord) -> Trouble | None:
        """What is wrong with an iteration; None where it is good, and then it is remembered."""
        energy = step.energy
        # A few configurations may all have the same local energy: their scatter says nothing of the error.
        error = energy.error if energy.n_samples >= FEWEST_FOR_ERROR else math.nan
        trouble = self._guard.check(step.iteration, energy.mean.real, error, energy.variance, energy.acceptance)
        if trouble is None:
            self._retry.succeeded(step.iteration)
        return trouble

    def rejects(self, step: StepRecord) -> str:
        """Why the step before an iteration is to be taken back, because the energy rose; empty where it is not."""
        last, energy, error = self._last, step.energy.mean.real, step.energy.error
        if self._reject_rise is None or last is None or last[0] != step.iteration - 1:
            return ""
        if self._rejections >= MOST_REJECTIONS or not energy_rose(last[1], last[2], energy, error, self._reject_rise):
            return ""
        self._rejections += 1
        return (
            f"iteration {step.iteration}: the energy rose from {last[1]:.8g} +- {last[2]:.2g} to {energy:.8g} +- "
            f"{error:.2g}: the step is taken back, and taken with sr.learning_rate times {self.rate_factor:.3g}"
        )

    def accepted(self, step: StepRecord) -> None:
        """An iteration counts: later energies are compared with it."""
        if self._last is None or self._last[0] != step.iteration:  # not the same one again after a rejection
            self._rejections = 0
        self._last = (step.iteration, step.energy.mean.real, step.energy.error)

    def back(self, trouble: Trouble) -> tuple[State, str]:
        """The state to go on from after trouble, and what to tell the user.

        Raises:
            NumericalError: the retries are used up; on every rank.
        """
        message = self._retry.again(trouble)
        return self._returned(trouble.iteration, self._retry.iterations_back), message

    def one_back(self, iteration: int) -> State:
        """The state from which the step before an iteration is taken again."""
        return self._returned(iteration, 1)

    def _returned(self, iteration: int, n: int) -> State:
        first, state = self._rewind.back(iteration, n)
        self._guard.forget(first)
        return state

    def saved(self, comm: Communicator) -> dict[str, npt.NDArray[Any]]:
        """Collective. What a checkpoint of the last state keeps; complete on the root."""
        numbers: dict[str, npt.NDArray[Any]] = {
            "retry": self._retry.state(),
            "rejections": np.array([float(self._rejections)]),
        }
        if self._last is not None:
            numbers["last"] = np.array(self._last, dtype=np.float64)
        if self._reject_rise is not None and (before := self._rewind.previous):
            # The first energy after a resume may still take back the step that led to the checkpoint.
            _, state = before
            spins = comm.gather(state.walkers.spins)
            if spins is not None:
                numbers |= {"before_theta": state.theta, "before_spins": spins} | packed(state.memory, BEFORE)
        return numbers

    def restore(
        self, state: State, numbers: Mapping[str, npt.NDArray[Any]], series: Mapping[str, npt.NDArray[Any]]
    ) -> None:
        """Go on from a checkpoint.

        Args:
            state: its state, with this rank's walkers.
            numbers: what :meth:`saved` gave.
            series: those of the results file before it.
        """
        self._guard.replay(series)
        self._retry.restore(numbers["retry"])
        self._rejections = int(numbers["rejections"][0])
        if "last" in numbers:
            iteration, energy, error = numbers["last"].tolist()
            self._last = (int(iteration), energy, error)
        if "before_theta" in numbers:
            first, n_blocks = state.walkers.first_block, len(state.walkers.spins)
            walkers = Walkers(numbers["before_spins"][first : first + n_blocks].copy(), first)
            self.keep(State(state.iteration - 1, numbers["before_theta"], walkers, unpacked(numbers, BEFORE)))


def guarded(state: State, job: Job, safety: Safety, comm: Communicator) -> Iterator[StepRecord | Setback]:
    """Collective. As :func:`pvmc.vmc.loop.iterate`, without end; where it goes back, it yields a setback.

    Raises:
        NumericalError: the numbers go bad however careful the steps are; on every rank.
    """
    leak_test = LeakTest.of(job.sampler, job.operator, job.config.run.leak_every)
    while True:
        safety.keep(state)
        steps = iterate(
            state,
            job.ansatz,
            job.operator,
            job.sampler,
            job.solver,
            comm,
            exact_sums=job.config.run.reproducible,
            damping=safety,
            leak_test=leak_test,
        )
        setback = None
        while setback is None:
            try:
                step = next(steps)
                trouble = safety.judge(step)
            except DifferentRanks:
                raise
            except NumericalError as error:
                if not error.collective:
                    raise
                trouble = Trouble(state.iteration, str(error))
            if trouble is not None:
                state, message = safety.back(trouble)
                setback = Setback(state, message, is_retry=True)
            elif message := safety.rejects(step):
                state = safety.one_back(step.iteration)
                setback = Setback(state, message, is_retry=False)
            else:
                safety.accepted(step)
                safety.keep(step.state)
                state = step.state
                yield step
        yield setback
