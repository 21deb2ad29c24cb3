"""The input of a fit."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pvmc.config import KeyProblem, Section
from pvmc.sr import Schedule
from pvmc.sr.gradient import Adam, Momentum, Optimizer, SteepestDescent


class FitSpec(Section):
    """An ansatz fitted to a target state by the mean square difference of the logarithms."""

    target: Literal["exact", "product", "file", "run"] = "exact"
    """what is fitted: the exact ground state, a product state, amplitudes from a file, or psi of another run"""
    source: str | None = None
    """with target = "file" the file of amplitudes, with "run" the directory of the other run or fit"""
    polar: float = Field(default=0.5, ge=0.0, le=1.0)
    """with target = "product": polar angle of every spin in units of pi; 0 is up, 0.5 in the plane"""
    azimuth: float = 0.0
    """with target = "product": azimuth of every spin in units of pi"""
    staggered: bool = False
    """with target = "product": whether the spins of the second sublattice point the opposite way"""
    weights: Literal["target", "uniform"] = "target"
    """how configurations count in the cost: in proportion to |target|^2, or all alike"""
    samples: int = Field(default=8192, ge=2)
    """configurations drawn from the target where they cannot all be enumerated"""
    optimizer: Literal["sgd", "momentum", "adam"] = "adam"
    """steepest descent, the same with momentum, or Adam"""
    learning_rate: Schedule = Schedule(initial=0.02)
    """step size: a number, or { initial, decay, minimum } by epoch"""
    momentum: float = Field(default=0.9, ge=0.0, lt=1.0)
    """part of the last change that momentum keeps; for Adam, decay of the mean gradient"""
    epochs: int = Field(default=500, ge=1)
    """passes over the data set"""
    batch_size: int | None = Field(default=None, ge=2)
    """configurations per step over all ranks, drawn by their weights; default: all in every step"""

    def build_optimizer(self, n_parameters: int) -> Optimizer:
        """A new optimiser for theta as n_parameters real numbers."""
        match self.optimizer:
            case "sgd":
                return SteepestDescent()
            case "momentum":
                return Momentum(self.momentum, n_parameters)
            case _:
                return Adam(self.momentum, n_parameters)

    def check(self) -> None:
        """KeyProblem where ``source`` does not go with ``target``."""
        if (self.source is not None) != (self.target in ("file", "run")):
            raise KeyProblem("fit.source", self.source or "", 'goes with target = "file" or "run", and only with these')
