"""Detection of numbers that went bad."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pvmc.hamiltonians import PauliSum
from pvmc.statistics.mean import robust_scatter
from pvmc.statistics.thresholds import (
    CONSTANT_ENERGY,
    FROZEN_ACCEPTANCE,
    GUARD_FEWEST,
    GUARD_ROUNDING,
    GUARD_WINDOW,
    JUMP_ERRORS,
    JUMP_SCATTERS,
    JUMP_SPREADS,
    JUMP_VARIANCES,
    LARGEST_VARIANCE,
    LONG_ANGLE,
    OUTSIDE_ERRORS,
    SMALLEST_ACCEPTANCE,
    SPIKE_R_HAT,
)
from pvmc.vmc.loop import StepRecord


@dataclass(frozen=True)
class Fault:
    """The numbers of an iteration went bad.

    Attributes:
        iteration: at whose energy it was seen; the step before it is the likely cause.
        cause: the numbers that were seen, in words.
    """

    iteration: int
    cause: str


class Guard:
    """Tells a run that still converges from one that has failed, by its energies and variances.

    Faults are numbers that are not finite, that no state has, or that have exploded, and walkers that are frozen.

    No state has an energy outside the spectrum of H, nor a variance above the square of its half width r (T. Popoviciu,
    Mathematica 9, 129 (1935)): estimates that lie outside by 10 errors or by r, or above 10 r^2, are wrong.

    All of the following together are an explosion, since each alone may be part of a healthy run: the energy is away
    from the median of the last 20 by over 20 times their scatter (robust, from the median absolute deviation), which
    steep descent is too; by over 5 of its own errors, which one outlier among the local energies never brings about,
    since it makes the error as well; by over 3 times the spread of the local energy, within which stochastic
    reconfiguration finds back by itself; by over 1e-4 of the scale of H, since next to an eigenstate nothing else is
    small; and, where the energy fell, the variance is over 10 times their median, while descent lowers it.  A slow
    blow-up, of some ten per cent an iteration, is seen once it spans enough of the window.

    Walkers are frozen where less than one proposal in 1000 is accepted and the energy is above the lowest recent one by
    more than the spread of the local energy, 5 of its own errors and 1e-4 of that scale: psi has collapsed onto a
    few configurations, whose energy may well have no variance left.  The walkers of a state that sits on its
    configurations rightly stand still too, but at the lowest energy; the few of them that are elsewhere for a while
    raise the energy by no more than some errors, since they make the error as well.

    All ranks hold the same numbers and come to the same result without communication.

    Args:
        spectrum: lower and upper bound of the spectrum of H (:func:`spectrum_bounds`), if known.
    """

    def __init__(self, spectrum: tuple[float, float] = (-math.inf, math.inf)):
        self.spectrum = spectrum
        self._good = Recent(("energy", "energy_error", "variance"), GUARD_WINDOW)

    def check(self, iteration: int, energy: float, error: float, variance: float, acceptance: float) -> Fault | None:
        """Judge an iteration, and remember it if it is good.

        Iterations that are not earlier than this one are forgotten: the run went back.

        Args:
            iteration: its number.
            energy: total energy, real part.
            error: its standard error; NaN where there is none.
            variance: variance of the local energy, of all sites.
            acceptance: accepted fraction of the proposals.
        """
        self.forget(iteration)
        bar = error if math.isfinite(error) else math.inf  # of a single walker there is none
        error = error if math.isfinite(error) else 0.0
        cause = self._cause(energy, error, bar, variance, acceptance)
        if cause:
            return Fault(iteration, cause)
        self._good.add(iteration, energy, error, variance)
        return None

    def forget(self, iteration: int) -> None:
        """Forget this iteration and all later ones: the run goes back to the state before it."""
        self._good.forget(iteration)

    def replay(self, series: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take in the good iterations of a results file, by the names of its series; what it knows after a resume."""
        self._good.replay(series)

    def _cause(self, energy: float, error: float, bar: float, variance: float, acceptance: float) -> str:
        """The fault in words; empty where there is none."""
        if not (math.isfinite(energy) and math.isfinite(variance)):
            return f"the energy is {energy:g} and its variance {variance:g}: psi left the range of numbers"
        cause = self._impossible(energy, bar, variance)
        if cause or len(self._good) < GUARD_FEWEST:
            return cause
        return self._explosion(energy, error, variance) or self._frozen(
            energy, min(error, math.sqrt(variance)), acceptance
        )

    def _impossible(self, energy: float, error: float, variance: float) -> str:
        low, high = self.spectrum
        radius = (high - low) / 2.0
        beyond = max(low - energy, energy - high)
        if beyond > min(OUTSIDE_ERRORS * error, radius) + GUARD_ROUNDING * abs(energy):
            seen = f"the energy is {energy:.6g} +- {error:.2g}, but every state's lies between {low:.6g} and {high:.6g}"
        elif variance > LARGEST_VARIANCE * radius**2:
            seen = f"the variance of the energy is {variance:.3g}, but no state's exceeds {radius**2:.3g}"
        else:
            return ""
        return f"{seen}: a few samples outweigh all others, or the walkers are stuck"

    def _explosion(self, energy: float, error: float, variance: float) -> str:
        energies, errors, variances = self._good.rows.T
        middle, usual = float(np.median(energies)), float(np.median(variances))
        scatter = robust_scatter(energies)
        scale = max(
            JUMP_SCATTERS * max(scatter, float(np.median(errors)), GUARD_ROUNDING * abs(middle)),
            JUMP_ERRORS * error,
            JUMP_SPREADS * math.sqrt(usual),
            self._negligible(middle),
        )
        if abs(energy - middle) <= scale or (energy < middle and variance <= JUMP_VARIANCES * usual):
            return ""
        return (
            f"the energy jumped from {middle:.6g} to {energy:.6g} and its variance from {usual:.3g} to {variance:.3g}"
        )

    @property
    def radius(self) -> float:
        """Half the width of the spectrum; 0 where it is not known."""
        radius = (self.spectrum[1] - self.spectrum[0]) / 2.0
        return radius if math.isfinite(radius) else 0.0

    def _negligible(self, energy: float) -> float:
        """Difference of energies that is no fault whatever the scatter is, as next to an eigenstate, which has none."""
        return CONSTANT_ENERGY * max(abs(energy), self.radius)

    def _frozen(self, energy: float, error: float, acceptance: float) -> str:
        energies, _, variances = self._good.rows.T
        lowest = float(energies.min())
        rise = max(math.sqrt(np.median(variances)), JUMP_ERRORS * error, self._negligible(lowest))
        if acceptance >= FROZEN_ACCEPTANCE or energy - lowest <= rise:
            return ""
        return (
            f"the walkers stand still (acceptance {acceptance:.2g}) at energy {energy:.6g}, after {lowest:.6g}: psi "
            "has collapsed onto a few configurations"
        )


def advice(iteration: int, angle: float, step: StepRecord | None, *, can_draw: bool) -> str:
    """The key that would have helped, from what was measured.

    Args:
        iteration: at which the numbers went bad.
        angle: radians by which the step before turned the state; NaN where none is known.
        step: the iteration, where it has come to its end.
        can_draw: its first parameters are random, and not those of another run.
    """
    energy = step.energy if step else None
    if energy and energy.acceptance < SMALLEST_ACCEPTANCE:
        return f"acceptance {energy.acceptance:.2g}: other sampler.moves, or sampler.tempering, let the walkers move"
    if iteration == 0:
        if can_draw:
            return "no step was made: a smaller ansatz.init_scale, or more sampler.samples"
        return "no step was made: the parameters of ansatz.start_from are those of another system, or of a bad state"
    if energy and energy.r_hat > SPIKE_R_HAT:
        return f"R-hat {energy.r_hat:.3g}: sampler.tempering, or more sampler.walkers, let them agree"
    if angle > LONG_ANGLE:
        return (
            f"the step before turned psi by {angle:.2g} rad: a smaller sr.learning_rate, or sr.largest_angle = "
            f"{LONG_ANGLE:g}, makes it shorter"
        )
    return "the steps before were short: more sampler.samples, or a larger sr.shift.minimum, make them less noisy"


def spectrum_bounds(terms: PauliSum) -> tuple[float, float]:
    """Between which numbers all eigenvalues lie: c_0 -+ the sum of |c_P| over the Pauli strings P but the identity."""
    middle, radius = terms.identity.real, float(np.sum(terms.moduli))
    return middle - radius, middle + radius


SPARE = 2
"""Times as many rows are kept as are asked for: a run that goes back a little finds its older ones still there."""


class Recent:
    """Rows of numbers by iteration, the last ones kept.

    The same whether the rows came one by one or were read back from a results file.

    Args:
        names: what the columns are, by the names of the results file's series.
        length: how many rows :attr:`rows` has at most.
    """

    def __init__(self, names: Sequence[str], length: int):
        self.names, self.length = tuple(names), length
        self._rows: deque[tuple[float, ...]] = deque(maxlen=SPARE * length)

    def add(self, iteration: int, *values: float) -> None:
        """A row, unless a number in it is not finite; rows of this iteration and later ones go: the run went back."""
        self.forget(iteration)
        if all(map(math.isfinite, values)):
            self._rows.append((iteration, *values))

    def forget(self, iteration: int) -> None:
        """Forget this iteration and all later ones."""
        while self._rows and self._rows[-1][0] >= iteration:
            self._rows.pop()

    def replay(self, series: Mapping[str, npt.NDArray[Any]]) -> None:
        """Add the rows of a results file."""
        columns = [series[name][-SPARE * self.length :].tolist() for name in ("iteration", *self.names)]
        for row in zip(*columns, strict=True):
            self.add(*row)

    def __len__(self) -> int:
        return min(len(self._rows), self.length)

    @property
    def rows(self) -> npt.NDArray[np.float64]:
        """The last rows, (n, number of names), oldest first."""
        last = list(self._rows)[-self.length :]
        return np.array(last, dtype=np.float64).reshape(len(last), 1 + len(self.names))[:, 1:]
