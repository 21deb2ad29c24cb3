"""The loop with a guard: where the numbers go bad it goes back to a good state and tries again with more caution."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pvmc.driver import State, StepRecord, iterate
from pvmc.errors import DifferentRanks, NumericalError
from pvmc.job import Job
from pvmc.parallel import Communicator
from pvmc.runtime import Guard, Retry, Rewind, Trouble
from pvmc.sr.safety import energy_rose

MOST_REJECTIONS = 3
"""Times that one step is taken back for a rise of the energy; then the rise is accepted."""


@dataclass(frozen=True)
class Setback:
    """The loop goes back.

    Attributes:
        first: the iteration that comes next; its record and those of later ones no longer count.
        message: why, and what is done.
    """

    first: int
    message: str


class Safety:
    """What a run remembers to notice trouble and to get out of it.  All ranks hold the same.

    It is the :class:`pvmc.sr.Caution` of the solver.

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

    def last_good(self, iteration: int) -> State:
        """The state before the one that an iteration found in trouble."""
        return self._rewind.back(iteration, 1)[1]

    def judge(self, step: StepRecord) -> Trouble | None:
        """What is wrong with an iteration; None where it is good, and then it is remembered."""
        energy = step.energy
        trouble = self._guard.check(
            step.iteration, energy.mean.real, energy.error, energy.variance, energy.acceptance
        )
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

    def numbers(self) -> dict[str, npt.NDArray[np.float64]]:
        """What a checkpoint keeps."""
        return {"retry": self._retry.state(), "rejections": np.array([float(self._rejections)])}

    def restore(self, numbers: Mapping[str, npt.NDArray[Any]], series: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from a checkpoint and the series of the results file before it."""
        self._guard.replay(series)
        if "retry" in numbers:
            self._retry.restore(numbers["retry"])
            self._rejections = int(numbers["rejections"][0])
        if len(series["iteration"]):
            last = (series[name][-1] for name in ("energy", "energy_error"))
            energy, error = (float(value) for value in last)
            self._last = (int(series["iteration"][-1]), energy, error)


def guarded(state: State, job: Job, safety: Safety, comm: Communicator) -> Iterator[StepRecord | Setback]:
    """Collective. As :func:`pvmc.driver.iterate`, without end; where it goes back, a setback comes between the records.

    Raises:
        NumericalError: the numbers go bad however careful the steps are; on every rank.
    """
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
            caution=safety,
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
                setback = Setback(state.iteration, message)
            elif message := safety.rejects(step):
                state = safety.one_back(step.iteration)
                setback = Setback(state.iteration, message)
            else:
                safety.accepted(step)
                safety.keep(step.state)
                state = step.state
                yield step
        yield setback
