"""What an iteration of an optimiser makes of S and F: a step, and what is to be remembered for the next one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from pvmc.estimators import Moments
from pvmc.mpi import Communicator

Memory: TypeAlias = Mapping[str, npt.NDArray[Any]]
"""What is remembered from step to step, by name: numbers that are the same bytes on every rank."""

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
        memory: what the next step is to know.
        solver_iterations: of an iterative solver; 0 for the others.
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
    """What turns the moments of an iteration into a step."""

    @property
    def keeps_rows(self) -> bool:
        """Whether it asks for the rows that S and F are made of, in place of S and F."""
        ...

    @property
    def keeps_spins(self) -> bool:
        """Whether it asks for the energy of other parameters on the same configurations."""
        ...

    @property
    def is_second_order(self) -> bool:
        """Whether a step is made of two, the second one by :meth:`corrected`."""
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
        """Collective. The step in place of a first one, by the moments at the end of that."""
        ...


def number(memory: Memory, name: str, default: float) -> float:
    """A single number that is remembered."""
    return float(memory[name][0]) if name in memory else default


def remembered(value: float) -> npt.NDArray[np.float64]:
    """A single number, to be remembered."""
    return np.array([value])
