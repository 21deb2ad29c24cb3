"""Relative errors of energies: what an error is relative to, and below which size a difference is rounding."""

from __future__ import annotations

from pvmc.statistics.thresholds import ROUNDING, ZERO_ENERGY


def error_scale(exact: float, radius: float) -> float:
    """The energy that an error is relative to: |E_exact|, or the radius of H where |E_exact| is next to nothing.

    Args:
        exact: exact energy.
        radius: half the width of the spectrum of H, or a bound on it, in the same units; 0 where it is not known.
    """
    return abs(exact) if abs(exact) > ZERO_ENERGY * radius else radius


def rounding_of(energy: float, radius: float) -> float:
    """Largest difference of two energies that may be rounding alone, in their units.

    Args:
        energy: one of them.
        radius: as of :func:`error_scale`.
    """
    return ROUNDING * max(abs(energy), radius)
