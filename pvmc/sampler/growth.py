"""Sample numbers that grow as the energy converges."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from pvmc.config import Section
from pvmc.numerics.arrays import Floats
from pvmc.statistics import mean
from pvmc.statistics.thresholds import FALLING_ERRORS


class GrowthSpec(Section):
    """Samples per iteration that grow by a factor whenever the energy no longer falls by more than its noise."""

    maximum: int = Field(ge=2)
    """largest number of configurations per SR iteration, above sampler.samples; a multiple of walkers"""
    factor: float = Field(default=2.0, gt=1.0)
    """factor by which the draws of each walker grow, rounded up"""
    window: int = Field(default=50, ge=2)
    """iterations in each of the two windows whose mean energies are compared"""

    def build(self, n_draws: int, walkers: int) -> Growth:
        """The growth from n_draws draws of each of so many walkers."""
        return Growth(n_draws, self.maximum // walkers, self.factor, self.window)


@dataclass(frozen=True)
class Growth:
    """Number of draws of the walkers in the next iteration, from the energies of those before.

    Two windows of iterations that follow each other are compared once the second is full.  If its mean energy is not
    below that of the first by more than FALLING_ERRORS combined errors, the draws grow and both windows begin anew; if
    it is, the second becomes the first of the next comparison.  One comparison per window, so that not every
    fluctuation gets its chance.

    All that is known is in an array of numbers that the caller keeps, float64 (2 + 4 window,): the draws, the number n
    of iterations seen, 2 window energies and their 2 window errors, of which the first n are set and the rest are 0.

    Attributes:
        fewest: draws per walker at the start.
        most: the largest number of draws.
        factor: by which draws grow, > 1.
        window: iterations in a window.
    """

    fewest: int
    most: int
    factor: float
    window: int

    def start(self) -> Floats:
        """The numbers before the first iteration."""
        return self._anew(self.fewest)

    def draws(self, numbers: Floats) -> int:
        """Draws per walker in the next iteration."""
        return int(numbers[0])

    def after(self, numbers: Floats, energy: float, error: float) -> Floats:
        """The numbers after an iteration; a new array.

        Args:
            numbers: those before it.
            energy: mean energy of the iteration, in any units.
            error: its standard error.  An iteration where either is not finite does not count.
        """
        numbers = numbers.copy()
        if self.draws(numbers) >= self.most or not (math.isfinite(energy) and math.isfinite(error)):
            return numbers
        window, seen = self.window, int(numbers[1])
        series = numbers[2:].reshape(2, 2 * window)  # energies, errors
        series[:, seen] = energy, error
        numbers[1] = seen + 1
        if seen + 1 < 2 * window:
            return numbers
        if not energy_falls(series[:, :window], series[:, window:]):
            return self._anew(self._more(self.draws(numbers)))
        series[:, :window], series[:, window:] = series[:, window:].copy(), 0.0
        numbers[1] = window
        return numbers

    def _anew(self, n_draws: int) -> Floats:
        numbers = np.zeros(2 + 4 * self.window)
        numbers[0] = n_draws
        return numbers

    def _more(self, n_draws: int) -> int:
        grown = math.ceil(self.factor * n_draws * (1.0 - 1e-12))  # 1.1 * 10 is 11, not 12
        return min(self.most, max(n_draws + 1, grown))


def energy_falls(before: Floats, after: Floats) -> bool:
    """True where the mean energy of the second window is significantly lower; energies and errors, (2, window) each.

    Energies of successive iterations are correlated, through the walkers, which do not start anew, and through the
    parameters; a series shows it, but a short window not for certain.  What the errors of independent iterations add up
    to is a lower bound of it.
    """
    fall = float(before[0].mean() - after[0].mean())
    return fall > FALLING_ERRORS * math.hypot(_noise(before), _noise(after))


def _noise(window: Floats) -> float:
    """Error of the mean energy of a window without its trend, a parabola where entries are enough: a steep fall is no
    correlation of noise."""
    energies, errors = window
    steps = np.linspace(-1.0, 1.0, len(energies))
    trend = np.polynomial.polynomial.polyfit(steps, energies, min(2, len(energies) // 4))
    return mean(energies - np.polynomial.polynomial.polyval(steps, trend), errors).error
