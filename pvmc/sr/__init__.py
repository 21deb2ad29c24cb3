"""Stochastic reconfiguration: from the moments of an iteration to the step of the parameters."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from pvmc.config import Section
from pvmc.sr.dense import CALM, Caution, DenseSolver, Solver, Step
from pvmc.sr.schedule import Schedule

__all__ = ["CALM", "Caution", "SRSpec", "Schedule", "Solver", "Step"]


class SRSpec(Section):
    """How the parameters follow the imaginary-time flow: theta <- theta - gamma S^-1 F."""

    solver: Literal["cholesky", "pinv"] = "cholesky"
    """cholesky: diagonal of S scaled by 1 + shift; pinv: eigenvalues below cutoff dropped"""
    learning_rate: Schedule = Schedule(initial=0.05)
    """gamma, in units of 1/energy: a number, or { initial, decay, minimum } for max(initial decay^p, minimum)"""
    shift: Schedule = Schedule(initial=100.0, decay=0.9, minimum=1e-4)
    """lambda, relative shift of the diagonal of S: a number or a schedule"""
    floor: float = Field(default=1e-6, ge=0.0)
    """added to the diagonal of S, relative to its largest element; holds directions that hardly change psi"""
    cutoff: float = Field(default=1e-8, gt=0.0, lt=1.0)
    """smallest eigenvalue kept by pinv, relative to the largest, of S scaled to a unit diagonal"""

    largest_angle: float | None = Field(default=None, gt=0.0)
    """largest gamma sqrt(x^dagger S x), the angle in radians by which a step turns the state; longer ones get a larger
    shift, then a lower gamma (healthy steps stay below 0.1); default: no limit"""
    reject_rise: float | None = Field(default=None, gt=0.0)
    """take back steps after which the energy is higher by more than so many errors, up to 3 times; default: never"""

    def build(self) -> Solver:
        """The solver."""
        largest = math.inf if self.largest_angle is None else self.largest_angle
        return DenseSolver(self.solver, self.learning_rate, self.shift, self.floor, self.cutoff, largest)
