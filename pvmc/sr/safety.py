"""Steps that go too far: their length in the metric of states, and energies that rose."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt


def metric_norm(tensor: npt.NDArray[Any], direction: npt.NDArray[Any]) -> float:
    """sqrt(x^dagger S x): by what angle the state turns per unit of learning rate, in radians, to first order.

    S is the quantum geometric tensor, without regularisation, so that the norm speaks of the state and not of its
    parameters: |psi(theta - gamma x)> lies at the Fubini-Study angle gamma sqrt(x^dagger S x) from |psi(theta)>.

    Args:
        tensor: lower triangle of S, float64 or complex128 (K, K), what is above it zero (as
            in :class:`pvmc.estimators.Moments`).
        direction: x, (K,).
    """
    # x^dagger (L + L^dagger - D) x = 2 Re x^dagger L x - x^dagger D x
    lower = float(np.vdot(direction, tensor @ direction).real)
    diagonal = float(np.sum(tensor.diagonal().real * np.abs(direction) ** 2))
    return math.sqrt(max(0.0, 2.0 * lower - diagonal))


def capped_learning_rate(learning_rate: float, norm: float, largest: float) -> float:
    """The learning rate, lowered where the step would turn the state by more than an angle.

    Args:
        learning_rate: gamma, in units of 1/energy.
        norm: sqrt(x^dagger S x), see :func:`metric_norm`.
        largest: largest gamma sqrt(x^dagger S x), in radians.

    Returns:
        The largest gamma' <= gamma with gamma' norm <= largest; 0 where the norm is not finite.
    """
    if not math.isfinite(norm):
        return 0.0
    return learning_rate if learning_rate * norm <= largest else largest / norm


def energy_rose(before: float, error_before: float, after: float, error_after: float, n_sigmas: float = 5.0) -> bool:
    """Whether a step is to be taken back: the energy rose by more than the errors explain.

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
