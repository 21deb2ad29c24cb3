"""When the numbers go bad: how it is noticed, and how often the run tries again from its last good state."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pvmc.errors import NumericalError
from pvmc.hamiltonians import PauliSum
from pvmc.runtime.recent import Recent

WINDOW = 20
"""Good iterations that an energy is compared with."""

FEWEST = 5
"""Good iterations without which no jump is called one."""

VARIANCE_FACTOR = 10.0
"""An explosion multiplies the variance by more than this ..."""

SCATTER_FACTOR = 20.0
"""... moves the energy by more than this many times the scatter of the recent ones ..."""

ERROR_FACTOR = 5.0
"""... by more than this many times its own error ..."""

SPREAD_FACTOR = 3.0
"""... and by more than this many times the spread of the local energy, the root of the recent variance."""

BOUND_SIGMAS = 10.0
"""Errors by which an energy may lie outside the spectrum of H: only estimates that are wrong lie further out."""

ROUNDING = 1e-9
"""Relative scatter below which energies count as equal: without samples, a converged run has only rounding."""

NORMAL = 1.4826
"""A normal distribution's standard deviation in units of its median absolute deviation (MAD)."""


@dataclass(frozen=True)
class Trouble:
    """What went wrong.

    Attributes:
        iteration: at whose energy it was seen.  The step before it is the likely culprit.
        cause: what was seen and what it likely comes from, in words.
    """

    iteration: int
    cause: str


class Guard:
    """Tells a run that still converges from one that has come apart, by its energies and variances.

    An energy is in trouble that is not finite; that lies outside the spectrum of H by over 10 errors, which no state's
    does; or that has exploded.  All of the following together are an explosion, since each alone may be part of a
    healthy run: the energy is away from the median of the last 20 by over 20 times their scatter (robust, from the
    median absolute deviation), which steep descent is too; by over 5 of its own errors, which one outlier among the
    local energies never brings about, since it makes the error as well; by over 3 times the spread of the local energy,
    within which stochastic reconfiguration finds back by itself; and the variance is over 10 times their median, while
    descent lowers it.  A slow blow-up, of some ten per cent an iteration, is seen once the window spans a factor of 10.

    All ranks hold the same numbers and come to the same result without a word.

    Args:
        spectrum: lower and upper bound of the spectrum of H (:func:`spectrum_bounds`), if known.
    """

    def __init__(self, spectrum: tuple[float, float] = (-math.inf, math.inf)):
        self.spectrum = spectrum
        self._good = Recent(("energy", "energy_error", "variance"), WINDOW)

    def check(self, iteration: int, energy: float, error: float, variance: float) -> Trouble | None:
        """Judge an iteration, and remember it if it is good.

        Iterations that are not earlier than this one are forgotten: the run went back.

        Args:
            iteration: its number.
            energy: total energy, real part.
            error: its standard error.
            variance: variance of the local energy, of all sites.
        """
        self.forget(iteration)
        cause = self._cause(energy, error, variance)
        if cause:
            return Trouble(iteration, cause)
        self._good.add(iteration, energy, error, variance)
        return None

    def forget(self, iteration: int) -> None:
        """Forget this iteration and all later ones: the run goes back to the state before it."""
        self._good.forget(iteration)

    def replay(self, series: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take in the good iterations of a results file, by the names of its series; what it knows after a resume."""
        self._good.replay(series)

    def _cause(self, energy: float, error: float, variance: float) -> str:
        """What is wrong, in words; empty where nothing is."""
        if not (math.isfinite(energy) and math.isfinite(variance)):
            return f"the energy is {energy:g} and its variance {variance:g}: psi left the range of numbers"
        low, high = self.spectrum
        beyond = max(low - energy, energy - high)
        if beyond > BOUND_SIGMAS * error + ROUNDING * abs(energy):
            return (
                f"the energy is {energy:.6g} +- {error:.2g}, but every state's lies between {low:.6g} and {high:.6g}: "
                "the samples do not stand for |psi|^2 (a few of them outweigh all others, or the walkers are stuck)"
            )
        return self._explosion(energy, error, variance)

    def _explosion(self, energy: float, error: float, variance: float) -> str:
        if len(self._good) < FEWEST:
            return ""
        energies, errors, variances = self._good.rows.T
        middle, usual = float(np.median(energies)), float(np.median(variances))
        scatter = NORMAL * float(np.median(np.abs(energies - middle)))
        scale = max(
            SCATTER_FACTOR * max(scatter, float(np.median(errors)), ROUNDING * abs(middle)),
            ERROR_FACTOR * error,
            SPREAD_FACTOR * math.sqrt(usual),
        )
        if abs(energy - middle) <= scale or variance <= VARIANCE_FACTOR * usual:
            return ""
        return (
            f"the energy jumped from {middle:.6g} to {energy:.6g} and its variance from {usual:.3g} to {variance:.3g}: "
            "the step before was too long (sr.learning_rate) or S too weakly regularised (sr.shift)"
        )


def spectrum_bounds(terms: PauliSum) -> tuple[float, float]:
    """Between which numbers all eigenvalues lie: c_0 -+ the sum of |c_P| over the Pauli strings P but the identity."""
    middle = complex(terms.terms.get((), 0.0)).real
    radius = sum(abs(coefficient) for string, coefficient in terms.terms.items() if string)
    return middle - radius, middle + radius


SHIFT_FACTOR = 10.0
"""By how much each retry multiplies the shift of S."""

RATE_FACTOR = 0.5
"""By how much each retry multiplies the learning rate."""

CALM = 20
"""Good iterations after which one retry's caution is gone."""


class Retry:
    """How a run goes on after trouble: from its last good state, with more caution, and not without end.

    Caution is a number of levels: a level multiplies the relative shift of S by 10 and the learning rate by 1/2.  Each
    retry adds a level; each good iteration takes away 1/20 of one.  Only retries that follow each other before calm has
    returned are counted: a run that recovers may stumble again.  All of it is arithmetic on numbers that all ranks
    share.

    Args:
        most: retries in a row; the next trouble ends the run (0: the first).
    """

    def __init__(self, most: int = 3):
        self.most = most
        self.retries = 0
        self.level = 0.0

    @property
    def shift_factor(self) -> float:
        """What to multiply the relative shift of S by; 1 in calm."""
        return float(SHIFT_FACTOR**self.level)

    @property
    def rate_factor(self) -> float:
        """What to multiply the learning rate by; 1 in calm."""
        return float(RATE_FACTOR**self.level)

    def succeeded(self) -> None:
        """An iteration was good: a little less caution."""
        self.level = max(0.0, self.level - 1.0 / CALM)
        if self.level < 0.5 / CALM:  # rounding of the sums of 1/20
            self.level, self.retries = 0.0, 0

    def again(self, trouble: Trouble) -> str:
        """One more try, with more caution; what to tell the user.

        The caller goes back to the last state whose energy was good.

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
        return (
            f"iteration {trouble.iteration}: {trouble.cause}; retry {self.retries} of {self.most} from the last good "
            f"state, with the shift times {self.shift_factor:.3g} and the learning rate times {self.rate_factor:.3g}"
        )

    def state(self) -> npt.NDArray[np.float64]:
        """What a checkpoint keeps, (2,): retries in a row and level of caution."""
        return np.array([self.retries, self.level])

    def restore(self, state: npt.NDArray[np.float64]) -> None:
        """Go on from what :meth:`state` gave."""
        self.retries, self.level = int(state[0]), float(state[1])
