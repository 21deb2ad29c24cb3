"""The step that a solver makes of S and F, the memory that it leaves for the next one, and limits of steps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from pvmc.estimators import Moments
from pvmc.mpi import Communicator

Memory: TypeAlias = Mapping[str, npt.NDArray[Any]]
"""Arrays that are kept from step to step, by name; the same bytes on every rank."""

NOTHING: Memory = {}


@dataclass(frozen=True)
class Step:
    """The solution of one SR problem; the same bytes on every rank.

    Attributes:
        direction: x with S x = F, (K,); the parameters change by -learning_rate * x.
        learning_rate: gamma.
        shift: relative diagonal shift lambda (0 for the pseudo-inverse).
        residual: |S x - F| / |F| of the regularised system, in the unit diagonal scaling of S.
        n_frozen: directions with S_kk = 0, which do not change psi and were left alone.
        force_norm: |F|.
        angle: gamma sqrt(x^dagger S x), by which the step turns the state, in radians.
        memory: arrays for the next step.
        solver_iterations: iterations of an iterative solver; 0 for the others.
    """

    direction: npt.NDArray[Any]
    learning_rate: float
    shift: float
    residual: float
    n_frozen: int
    force_norm: float
    angle: float
    memory: Memory = field(default_factory=dict)
    solver_iterations: int = 0


class Damping(Protocol):
    """Factors on the schedules of a solver: a larger shift and a smaller learning rate after a numerical failure."""

    @property
    def shift_factor(self) -> float:
        """Factor of the diagonal shift lambda, >= 1."""
        ...

    @property
    def rate_factor(self) -> float:
        """Factor of the learning rate gamma, <= 1."""
        ...


@dataclass(frozen=True)
class ConstantDamping:
    """Damping by two given factors; by default none."""

    shift_factor: float = 1.0
    rate_factor: float = 1.0


NO_DAMPING = ConstantDamping()


class Solver(Protocol):
    """An optimiser: from the moments of an iteration to the step of the parameters."""

    @property
    def keeps_rows(self) -> bool:
        """True where it needs the rows that S and F are made of, in place of S and F."""
        ...

    @property
    def keeps_spins(self) -> bool:
        """True where it needs the energy of other parameters on the same configurations."""
        ...

    @property
    def is_second_order(self) -> bool:
        """True where a step is made of two, the second one by :meth:`corrected`."""
        ...

    def solve(
        self,
        moments: Moments,
        iteration: int,
        comm: Communicator,
        damping: Damping = NO_DAMPING,
        *,
        memory: Memory = NOTHING,
    ) -> Step:
        """Collective. The step of an iteration."""
        ...

    def corrected(
        self, first: Step, moments: Moments, iteration: int, comm: Communicator, damping: Damping, memory: Memory
    ) -> Step:
        """Collective. The second-order step, from a first one and the moments at its end."""
        ...


def number(memory: Memory, name: str, default: float) -> float:
    """A single number of the memory."""
    return float(memory[name][0]) if name in memory else default


def remembered(value: float) -> npt.NDArray[np.float64]:
    """A single number as an array of the memory."""
    return np.array([value])


def capped_learning_rate(learning_rate: float, norm: float, largest: float) -> float:
    """The learning rate, lowered where the step would turn the state by more than an angle.

    Args:
        learning_rate: gamma, in units of 1/energy.
        norm: sqrt(x^dagger S x), the angle per unit of gamma; or another norm, with ``largest`` in its units.
        largest: largest gamma sqrt(x^dagger S x), in radians.

    Returns:
        The largest gamma' <= gamma with gamma' norm <= largest; 0 where the norm is not finite.
    """
    if not math.isfinite(norm):
        return 0.0
    return learning_rate if learning_rate * norm <= largest else largest / norm


def energy_rose(before: float, error_before: float, after: float, error_after: float, n_sigmas: float = 5.0) -> bool:
    """True where a step is to be taken back: the energy rose by more than the errors explain.

    The errors of the two samples count as independent.  An energy after the step that is not finite rose.

    Args:
        before: energy before the step.
        error_before: its standard error, in the same units.
        after: energy after the step.
        error_after: its standard error; one that is not finite says nothing, and no finite rise exceeds it.
        n_sigmas: how many combined errors the rise may have.
    """
    if not math.isfinite(after):
        return True
    return after - before > n_sigmas * math.hypot(error_before, error_after)
