"""How a run goes on after its numbers went bad: from an earlier state, with smaller steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pvmc.errors import DifferentRanks, NumericalError
from pvmc.estimators import LeakTest
from pvmc.io.checkpoint import Part
from pvmc.mpi import Communicator
from pvmc.sampler import Metropolis, Walkers
from pvmc.sr.step import energy_rose
from pvmc.statistics.thresholds import FEWEST_FOR_ERROR, MOST_REJECTIONS, ROUGHEST
from pvmc.vmc.checkpoints import SavedRun
from pvmc.vmc.guard import Fault, Guard, advice, spectrum_bounds
from pvmc.vmc.job import Job
from pvmc.vmc.loop import State, StepRecord, iterate

SHIFT_FACTOR = 10.0
"""Factor by which each retry multiplies the shift of S."""

RATE_FACTOR = 0.5
"""Factor by which each retry, and each rejection of a step, multiplies the learning rate."""

BACK = (1, 4, 16, 64, 128)
"""Iterations by which the first, the second, ... retry go back: the cause may lie long before its first sign."""

RECENT_STATES, OLDER_STATES, OLDER_EVERY = 21, 4, 32
"""States that are kept to go back to: the last ones, and some older ones at multiples of so many iterations."""

STATES_KEPT = RECENT_STATES + OLDER_STATES

RECOVERY_ITERATIONS = 50
"""Good iterations that take away the damping of one retry, after the first fault of a run; after each later one that
needs retries of its own, twice as many as before, up to 16 times: steps that go wrong again and again are too long."""

LONGEST_RECOVERY = 16

PASSED = 10
"""Iterations beyond a fault after which a new one has retries of its own."""

MOST_DRAWS = 8
"""Times that the first parameters are drawn again, each time at half the scale."""

EARLY = 4
"""Iterations within which a fault that retries do not mend is laid to the first parameters."""


Redraw = Callable[[int, Communicator], State]
"""The state before iteration 0 with first parameters that are drawn again, from the number of the draw."""


@dataclass(frozen=True)
class GoneBack:
    """The loop went back to an earlier state.

    Attributes:
        state: the state that it goes on from; records of its iteration and of later ones no longer count.
        message: the reason and the consequence, for the user.
        is_retry: True where the numbers went bad; False where a step was taken back because the energy rose.
        draw: number of the draw of first parameters that the loop begins anew with; 0 where it goes on from a state.
    """

    state: State
    message: str
    is_retry: bool
    draw: int = 0


class Rollback:
    """The earlier states of a run, when it goes back to one of them, and the damping of the steps after that.

    It is the :class:`pvmc.sr.Damping` of the solver: a number of levels, each of which multiplies the relative shift of
    S by 10 (its floor, where there is no relative shift) and the learning rate by 1/2.  Each retry adds a level, each
    good iteration takes away 1/50 of one.  The retries are counted until the run is 10 iterations beyond the fault.

    A retry changes something in any case.  Where no step was made, the first parameters are bad: they are drawn again,
    by other random numbers and at half the scale, up to 8 times; as well where the retries of one of the first 4
    iterations are used up.  Draw n is a function of seed and n, the same on any number of ranks.

    With ``reject_rise`` a step is taken back as well where the energy rose by more than so many of its errors, and
    taken again with half the learning rate, three times at most.

    All of it is arithmetic on numbers that all ranks share.

    Args:
        guard: detects the faults.
        retries: the most for one fault; then it ends the run (0: at once).
        reject_rise: errors by which the energy may rise; None: by any amount.
        redraw: draws first parameters again; None where they are not random.
    """

    name = "rollback"

    def __init__(self, guard: Guard, retries: int = 3, reject_rise: float | None = None, redraw: Redraw | None = None):
        self._guard, self._most, self._reject_rise, self._redraw = guard, retries, reject_rise, redraw
        self._states: list[State] = []
        self._retries, self._level, self._latest = 0, 0.0, -1  # the last is the iteration of the latest fault
        self._faults, self._draws = 0, 0  # faults with retries of their own; draws of the first parameters beyond one
        self._rejections = 0
        self._last: tuple[int, float, float] | None = None  # iteration, energy and error of the last good iteration
        self._angle = math.nan  # of the last step

    @classmethod
    def of(cls, job: Job, redraw: Redraw | None = None) -> Rollback:
        """The rollback of a job, without a state yet; see :class:`Rollback` for ``redraw``."""
        guard = Guard(spectrum_bounds(job.config.hamiltonian.build(job.lattice)))
        redraw = redraw if job.config.ansatz.start_from is None else None
        return cls(guard, job.config.run.retries, job.config.sr.reject_rise, redraw)

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
        last = state.iteration
        oldest = last - OLDER_STATES * OLDER_EVERY
        recent = last - RECENT_STATES
        self._states = [
            one
            for one in self._states
            if one.iteration > recent or (one.iteration > oldest and one.iteration % OLDER_EVERY == 0)
        ]

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
            return self.recover(fault, step)
        recovery = RECOVERY_ITERATIONS * min(2 ** max(0, self._faults - 1), LONGEST_RECOVERY)
        self._level = max(0.0, self._level - 1.0 / recovery)
        if step.iteration >= self._latest + PASSED:
            self._retries = 0
        self._angle = step.step.angle
        if message := self._rejection(step):
            return GoneBack(self._back(step.iteration, 1), message, is_retry=False)
        if self._last is None or self._last[0] != step.iteration:  # not the same one again after a rejection
            self._rejections = 0
        self._last = (step.iteration, energy.mean.real, energy.error)
        self.keep(step.state)
        return None

    def recover(self, fault: Fault, step: StepRecord | None = None) -> GoneBack:
        """The way back after a fault: one more retry, with one more level of damping; or another start.

        Args:
            fault: what was seen.
            step: the iteration, where it has come to its end.

        Raises:
            NumericalError: the retries are used up; on every rank.
        """
        is_over = self._retries >= self._most
        is_early = fault.iteration == 0 or (is_over and fault.iteration <= EARLY)
        if is_early and self._can_draw:
            return self._begin_anew(fault, is_solved=step is not None)
        keys = advice(fault.iteration, self._angle, step, can_draw=self._redraw is not None)
        if is_over or (fault.iteration == 0 and step is not None):  # its energy depends on no damping
            tried = [f"{self._draws} other draws of the first parameters, at smaller scales,"] if self._draws else []
            tried += [f"{self._retries} retries with larger shifts"] if self._retries else []
            error = NumericalError(
                f"iteration {fault.iteration}: {fault.cause}"
                + (f"; {' and '.join(tried)} did not help" if tried else "")
                + f". The results up to there are kept; {keys}"
            )
            error.collective = True
            raise error
        self._faults += self._retries == 0
        self._retries += 1
        self._level += 1.0
        self._latest = max(self._latest, fault.iteration)
        back = BACK[min(self._retries, len(BACK)) - 1]
        message = (
            f"iteration {fault.iteration}: {fault.cause}; retry {self._retries} of {self._most} from {back} "
            f"iteration{'s' if back > 1 else ''} before, with sr.shift (sr.floor, where it is 0) times "
            f"{self.shift_factor:.3g} and sr.learning_rate times {RATE_FACTOR**self._level:.3g}; {keys}"
        )
        return GoneBack(self._back(fault.iteration, back), message, is_retry=True)

    def rough_start(self, state: State, job: Job, comm: Communicator) -> GoneBack | None:
        """Collective.  The way to another draw before iteration 0, where psi differs so much between neighbours that it
        cannot be sampled; None where it does not, or where no other draw is possible."""
        if state.iteration or not self._can_draw or not isinstance(job.sampler, Metropolis):
            return None
        rough = roughness(state, job, comm)
        if rough <= ROUGHEST:
            return None
        seen = f"|psi|^2 differs by factors of e^{rough:.3g} between neighbours: no walker would move"
        return self._begin_anew(Fault(0, seen), is_solved=True)

    @property
    def _can_draw(self) -> bool:
        return self._most > 0 and self._redraw is not None and self._draws < MOST_DRAWS

    def _begin_anew(self, fault: Fault, *, is_solved: bool) -> GoneBack:
        """The way to the next draw of the first parameters; what was learnt of others is forgotten.  Where S x = F had
        no solution, it is damped more as well."""
        self._draws += 1
        self._guard.forget(0)
        state, self._states = self._states[0], []
        self._retries, self._latest, self._faults = 0, -1, 0
        self._level = 0.0 if is_solved else self._level + 1.0
        self._rejections, self._last, self._angle = 0, None, math.nan
        message = (
            f"iteration {fault.iteration}: {fault.cause}; the first parameters are drawn again, {self._draws} of "
            f"{MOST_DRAWS} times, at {draw_scale(self._draws):.3g} of their scale"
        )
        return GoneBack(state, message, is_retry=False, draw=self._draws)

    def redrawn(self, back: GoneBack, comm: Communicator) -> GoneBack:
        """Collective.  The way back with the state that its draw gives."""
        assert self._redraw is not None, "only random parameters are drawn again"
        return replace(back, state=self._redraw(back.draw, comm))

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
            "starts": np.array([float(self._faults), float(self._draws), self._angle]),
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
        if "starts" in part:  # not by versions that drew once
            faults, draws, self._angle = part["starts"].tolist()
            self._faults, self._draws = int(faults), int(draws)
        if "last" in part:
            iteration, energy, error = part["last"].tolist()
            self._last = (int(iteration), energy, error)
        if before := part.get("before"):
            first, n_blocks = state.walkers.first_block, len(state.walkers.spins)
            walkers = Walkers(before["spins"][first : first + n_blocks].copy(), first)
            self.keep(State(state.iteration - 1, before["theta"], walkers, before["memory"]))


def draw_scale(draw: int) -> float:
    """Factor of the first parameters in a draw, counted from 0."""
    return 0.5**draw


def roughness(state: State, job: Job, comm: Communicator) -> float:
    """Collective.  Median of |ln(|psi(s')|^2 / |psi(s)|^2)| over the walkers s of the first block and all s' to which H
    leads; 0 where it leads nowhere."""

    def median() -> float:
        psi, spins = job.ansatz.at(state.theta), state.walkers.spins[0]
        wanted = job.operator.amplitudes(spins) != 0
        ratios = psi.ratios(spins, psi.lookup(spins), job.operator.flips, wanted)[wanted]
        with np.errstate(all="ignore"):
            changes = np.abs(2.0 * np.log(np.abs(ratios)))
        changes = changes[~np.isnan(changes)]  # of walkers on nodes
        return float(np.median(changes)) if changes.size else 0.0

    return comm.root_value(median)


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
            refinement=job.refinement,
        )
        back = rollback.rough_start(state, job, comm)
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
        if back.draw:
            back = rollback.redrawn(back, comm)
        state = back.state
        yield back
