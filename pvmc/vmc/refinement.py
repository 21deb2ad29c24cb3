"""Refinements: smaller learning rates, more samples and free filters, as the energy converges; and the end of a run.

A level of refinement lasts until the energy no longer falls.  Two windows of iterations that follow each other are
compared, as for the growth of samples (:mod:`pvmc.sampler.growth`): where the mean energy of the second is not lower by
more than the noise, the next level begins, with a learning rate that is smaller by a factor.  The noise of the samples
moves the parameters, and holds the energy above the minimum by about gamma K Var(E) / (2 n_s); each level lowers that.
A run whose energy does not fall at the last level either has converged.

All of it follows from the energies, so that it is the same on any number of ranks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from pvmc.config import Section
from pvmc.numerics.arrays import Floats
from pvmc.sampler.growth import energy_falls
from pvmc.sr import Memory, Solver
from pvmc.wavefunctions.sharing import TiedParameters

REFINEMENT = "refinement"
"""Name under which the level is remembered."""


class RefineSpec(Section):
    """Levels of refinement, each from where the energy no longer falls by more than its noise."""

    levels: int = Field(default=4, ge=1)
    """number of refinements, after the first level"""
    rate: float = Field(default=0.5, gt=0.0, le=1.0)
    """factor of the learning rate at each refinement"""
    window: int = Field(default=80, ge=8)
    """iterations in each of the two windows whose mean energies are compared"""
    ends_run: bool = True
    """end the run, as converged, where the energy does not fall at the last level"""


@dataclass(frozen=True)
class Tied:
    """Shared filters, and how they move.

    Attributes:
        ansatz: the wave function with tied parameters.
        solver: the solver for them.
        levels: levels of refinement, from the first on, at which they are tied.
    """

    ansatz: TiedParameters
    solver: Solver
    levels: int


@dataclass(frozen=True)
class Refinement:
    """The levels of a run; see :class:`RefineSpec`.

    Attributes:
        spec: the levels.
        tied: what moves at the first of them, where filters are shared.

    What is known is an array, float64 (3 + 4 window,): the level, the iterations seen of the two windows, the fall of
    the energy when they were compared last, then 2 window energies and 2 window errors.
    """

    spec: RefineSpec
    tied: Tied | None = None

    def start(self) -> Floats:
        """The numbers before the first iteration."""
        return self._anew(0.0, math.nan)

    def level(self, memory: Memory) -> int:
        """The level of the next iteration, from 0; levels + 1 where the run has converged."""
        return int(memory[REFINEMENT][0]) if REFINEMENT in memory else 0

    def has_converged(self, memory: Memory) -> bool:
        """True where the energy did not fall at the last level."""
        return self.level(memory) > self.spec.levels

    def last_fall(self, memory: Memory) -> float:
        """Fall of the energy from one window to the next when they were compared last; NaN before."""
        return float(memory[REFINEMENT][2]) if REFINEMENT in memory else math.nan

    def tied_at(self, memory: Memory) -> Tied | None:
        """The filters that are shared at the level; None where all parameters move freely."""
        return self.tied if self.tied is not None and self.level(memory) < self.tied.levels else None

    def factor(self, memory: Memory) -> float:
        """Factor of the learning rate; free filters begin with one of their own."""
        first = self.tied.levels if self.tied is not None and self.tied_at(memory) is None else 0
        return float(self.spec.rate ** (min(self.level(memory), self.spec.levels) - first))

    def after(self, memory: Memory, energy: float, error: float) -> Floats:
        """The numbers after an iteration; a new array.

        Args:
            memory: what was known before it.
            energy: mean energy of the iteration, in any units.
            error: its standard error.  An iteration where either is not finite does not count.
        """
        numbers = memory[REFINEMENT].copy() if REFINEMENT in memory else self.start()
        if not (math.isfinite(energy) and math.isfinite(error)):
            return numbers
        window, seen = self.spec.window, int(numbers[1])
        series = numbers[3:].reshape(2, 2 * window)  # energies, errors
        series[:, seen] = energy, error
        numbers[1] = seen + 1
        if seen + 1 < 2 * window:
            return numbers
        before, now = series[:, :window], series[:, window:]
        fall = float(before[0].mean() - now[0].mean())
        if not energy_falls(before, now):
            return self._anew(min(numbers[0] + 1.0, self.spec.levels + 1.0), fall)
        series[:, :window], series[:, window:] = series[:, window:].copy(), 0.0
        numbers[1], numbers[2] = window, fall
        return numbers

    def _anew(self, level: float, fall: float) -> Floats:
        numbers = np.zeros(3 + 4 * self.spec.window)
        numbers[0], numbers[2] = level, fall
        return numbers
