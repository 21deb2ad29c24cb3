"""Steps that go too far: their length in the metric of states, and energies that rose."""

from __future__ import annotations

import math


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
