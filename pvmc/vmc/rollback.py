"""How a run goes on after its numbers went bad: from an earlier state, with smaller steps."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pvmc.errors import DifferentRanks, NumericalError
from pvmc.estimators import LeakTest
from pvmc.io.checkpoint import Part
from pvmc.mpi import Communicator
from pvmc.sampler import Walkers
from pvmc.sr.step import energy_rose
from pvmc.statistics.thresholds import FEWEST_FOR_ERROR, MOST_REJECTIONS
from pvmc.vmc.checkpoints import SavedRun
from pvmc.vmc.guard import Fault, Guard, spectrum_bounds
from pvmc.vmc.job import Job
from pvmc.vmc.loop import State, StepRecord, iterate

SHIFT_FACTOR = 10.0
"""Factor by which each retry multiplies the shift of S."""

RATE_FACTOR = 0.5
"""Factor by which each retry, and each rejection of a step, multiplies the learning rate."""

BACK = (1, 4, 16)
"""Iterations by which the first, the second and any later retry go back: the cause may lie before its first sign."""

STATES_KEPT = max(BACK) + 1
"""States that are kept to go back to."""

RECOVERY_ITERATIONS = 50
"""Good iterations that take away the damping of one retry."""

PASSED = 10
"""Iterations beyond a fault after which a new one has retries of its own."""


@dataclass(frozen=True)
class GoneBack:
    """The loop went back to an earlier state.

    Attributes:
        state: the state that it goes on from; records of its iteration and of later ones no longer count.
        message: the reason and the consequence, for the user.
        is_retry: True where the numbers went bad; False where a step was taken back because the energy rose.
    """

    state: State
    message: str
    is_retry: bool


class Rollback:
    """The earlier states of a run, when it goes back to one of them, and the damping of the steps after that.

    It is the :class:`pvmc.sr.Damping` of the solver: a number of levels, each of which multiplies the relative shift of
    S by 10 (its floor, where there is no relative shift) and the learning rate by 1/2.  Each retry adds a level, each
    good iteration takes away 1/50 of one.  The retries are counted until the run is 10 iterations beyond the fault.

    With ``reject_rise`` a step is taken back as well where the energy rose by more than so many of its errors, and
    taken again with half the learning rate, three times at most.

    All of it is arithmetic on numbers that all ranks share.

    Args:
        guard: detects the faults.
        retries: the most for one fault; then it ends the run (0: at once).
        reject_rise: errors by which the energy may rise; None: by any amount.
    """

    name = "rollback"

    def __init__(self, guard: Guard, retries: int = 3, reject_rise: float | None = None):
        self._guard, self._most, self._reject_rise = guard, retries, reject_rise
        self._states: deque[State] = deque(maxlen=STATES_KEPT)
        self._retries, self._level, self._latest = 0, 0.0, -1  # the last is the iteration of the latest fault
        self._rejections = 0
        self._last: tuple[int, float, float] | None = None  # iteration, energy and error of the last good iteration

    @classmethod
    def of(cls, job: Job) -> Rollback:
        """The rollback of a job, without a state yet."""
        guard = Guard(spectrum_bounds(job.config.hamiltonian.build(job.lattice)))
        return cls(guard, job.config.run.retries, job.config.sr.reject_rise)

    @property
    def shift_factor(self) -> float:
        """Factor of the relative shift of S, >= 1."""
        return float(SHIFT_FACTOR**self._level)

    @property
    def rate_factor(self) -> float:
        """Factor of the learning rate, <= 1."""
        return float(RATE_FACTOR**self._level) * RATE_FACTOR**self._rejections

    def keep(self, state: State) -> None:
        """Keep a state to go back to; those of its iteration and of later ones go."""
        while self._states and self._states[-1].iteration >= state.iteration:
            self._states.pop()
        self._states.append(state)

    def last_good(self) -> State | None:
        """The state before the last one, whose numbers went bad for good; None where that is the first of the run."""
        last = self._states[-1].iteration
        return self._back(last, 1) if last > 0 else None

    def judge(self, step: StepRecord) -> GoneBack | None:
        """Take in an iteration: None where it is good, else the way back.

        Raises:
            NumericalError: the retries are used up; on every rank.
        """
        energy = step.energy
        # A few configurations may all have the same local energy: their scatter says nothing of the error.
        error = energy.error if energy.n_samples >= FEWEST_FOR_ERROR else math.nan
        fault = self._guard.check(step.iteration, energy.mean.real, error, energy.variance, energy.acceptance)
        if fault is not None:
            return self.recover(fault)
        self._level = max(0.0, self._level - 1.0 / RECOVERY_ITERATIONS)
        if step.iteration >= self._latest + PASSED:
            self._retries = 0
        if message := self._rejection(step):
            return GoneBack(self._back(step.iteration, 1), message, is_retry=False)
        if self._last is None or self._last[0] != step.iteration:  # not the same one again after a rejection
            self._rejections = 0
        self._last = (step.iteration, energy.mean.real, energy.error)
        self.keep(step.state)
        return None

    def recover(self, fault: Fault) -> GoneBack:
        """The way back after a fault: one more retry, with one more level of damping.

        Raises:
            NumericalError: the retries are used up; on every rank.
        """
        if self._retries >= self._most:
            error = NumericalError(
                f"iteration {fault.iteration}: {fault.cause}"
                + (f"; {self._retries} retries with larger shifts did not help" if self._retries else "")
                + ". The results up to there are kept; lower sr.learning_rate or raise sr.shift.minimum"
            )
            error.collective = True
            raise error
        self._retries += 1
        self._level += 1.0
        self._latest = max(self._latest, fault.iteration)
        back = BACK[min(self._retries, len(BACK)) - 1]
        message = (
            f"iteration {fault.iteration}: {fault.cause}; retry {self._retries} of {self._most} from {back} "
            f"iteration{'s' if back > 1 else ''} before, with sr.shift (sr.floor, where it is 0) times "
            f"{self.shift_factor:.3g} and sr.learning_rate times {RATE_FACTOR**self._level:.3g}"
        )
        return GoneBack(self._back(fault.iteration, back), message, is_retry=True)

    def _rejection(self, step: StepRecord) -> str:
        """The reason to take back the step before an iteration because the energy rose; empty where there is none."""
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

    def _back(self, iteration: int, n: int) -> State:
        """The state ``n`` iterations before this one, or the oldest there is; later ones go."""
        while len(self._states) > 1 and self._states[-1].iteration > iteration - n:
            self._states.pop()
        state = self._states[-1]
        self._guard.forget(state.iteration)
        return state

    def saved(self, comm: Communicator) -> Part:
        """Collective.  Its part of a checkpoint of the last state; complete on the root."""
        part: dict[str, Any] = {
            "retry": np.array([self._retries, self._level, self._latest]),
            "rejections": np.array([float(self._rejections)]),
        }
        if self._last is not None:
            part["last"] = np.array(self._last, dtype=np.float64)
        if self._reject_rise is not None and len(self._states) > 1:
            # The first energy after a resume may still take back the step that led to the checkpoint.
            before = self._states[-2]
            spins = comm.gather(before.walkers.spins)
            if spins is not None:
                part["before"] = {"theta": before.theta, "spins": spins, "memory": before.memory}
        return part

    def restored(self, saved: SavedRun) -> None:
        """Go on as :meth:`saved` left it, and with the energies of the iterations before."""
        self._guard.replay(saved.series)
        part: Any = saved.parts.get(self.name, {})
        state = saved.state
        if "retry" in part:
            retries, self._level, latest = part["retry"].tolist()
            self._retries, self._latest = int(retries), int(latest)
            self._rejections = int(part["rejections"][0])
        if "last" in part:
            iteration, energy, error = part["last"].tolist()
            self._last = (int(iteration), energy, error)
        if before := part.get("before"):
            first, n_blocks = state.walkers.first_block, len(state.walkers.spins)
            walkers = Walkers(before["spins"][first : first + n_blocks].copy(), first)
            self.keep(State(state.iteration - 1, before["theta"], walkers, before["memory"]))


def guarded(state: State, job: Job, rollback: Rollback, comm: Communicator) -> Iterator[StepRecord | GoneBack]:
    """Collective.  As :func:`pvmc.vmc.loop.iterate`, without end; where the loop goes back, that is yielded.

    Raises:
        NumericalError: the numbers go bad however small the steps are; on every rank.
    """
    leak_test = LeakTest.of(job.sampler, job.operator, job.config.run.leak_every)
    while True:
        rollback.keep(state)
        steps = iterate(
            state,
            job.ansatz,
            job.operator,
            job.sampler,
            job.solver,
            comm,
            exact_sums=job.config.run.reproducible,
            damping=rollback,
            leak_test=leak_test,
        )
        back = None
        while back is None:
            fault = None
            try:
                step = next(steps)
            except NumericalError as error:
                if isinstance(error, DifferentRanks) or not error.collective:
                    raise
                fault = Fault(state.iteration, str(error))
            back = rollback.judge(step) if fault is None else rollback.recover(fault)
            if back is None:
                state = step.state
                yield step
        state = back.state
        yield back
