"""Stochastic reconfiguration: from the moments of an iteration to the step of the parameters."""

from __future__ import annotations

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

    largest_angle: float = Field(default=0.5, gt=0.0)
    """largest angle in radians by which a step may turn the state, gamma sqrt(x^dagger S x); else gamma is lowered"""
    reject_rise: float | None = Field(default=None, gt=0.0)
    """take back steps after which the energy is higher by more than so many errors, up to 3 times; default: never"""

    def build(self) -> Solver:
        """The solver."""
        return DenseSolver(self.solver, self.learning_rate, self.shift, self.floor, self.cutoff, self.largest_angle)
