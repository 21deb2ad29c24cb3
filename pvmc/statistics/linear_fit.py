"""Straight lines through points with errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from pvmc.errors import InputError
from pvmc.statistics.chains import Floats


@dataclass(frozen=True)
class LinearFit:
    """y = intercept + slope x.

    Attributes:
        intercept: value at x = 0, in the units of y.
        slope: in units of y over units of x.
        covariance: of (intercept, slope), float64 (2, 2), from the errors of the points alone.
        chi_square: sum over the points of (deviation / error)^2.
        p_value: probability of a chi_square at least as large, were the line true; NaN with 2 points.  A small one says
            that the line does not hold, or that the errors are too small, and ``covariance`` with them.
    """

    intercept: float
    slope: float
    covariance: Floats
    chi_square: float
    p_value: float

    @property
    def intercept_error(self) -> float:
        """Standard error of the intercept."""
        return float(np.sqrt(self.covariance[0, 0]))

    @property
    def slope_error(self) -> float:
        """Standard error of the slope."""
        return float(np.sqrt(self.covariance[1, 1]))

    def at(self, x: ArrayLike) -> tuple[Floats, Floats]:
        """The line and its standard error, each of the shape of x."""
        position = np.asarray(x, dtype=np.float64)
        (a, b), (_, c) = self.covariance
        return self.intercept + self.slope * position, np.sqrt(np.maximum(a + 2 * b * position + c * position**2, 0.0))


def linear_fit(x: ArrayLike, y: ArrayLike, error: ArrayLike) -> LinearFit:
    """Least squares weighted by 1 / error^2: intercept, slope and their covariance.

    Args:
        x: positions (n,), exact.
        y: values (n,).
        error: standard errors of y, (n,) or one for all; positive.

    Raises:
        InputError: different lengths, fewer than 2 different positions, numbers that are not finite, or errors that are
            not positive.
    """
    from scipy import special  # not at the start of a run, which fits no line

    positions, values, errors = checked_points(x, y, error)
    weights = 1.0 / errors**2
    total = weights.sum()
    centre, mean = weights @ positions / total, weights @ values / total
    shifted = positions - centre
    spread = weights @ shifted**2
    slope = float(weights @ (shifted * (values - mean)) / spread)
    covariance = np.array([[1.0 / total + centre**2 / spread, -centre / spread], [-centre / spread, 1.0 / spread]])
    chi_square = float(weights @ (values - mean - slope * shifted) ** 2)
    freedom = len(values) - 2
    p_value = float(special.chdtrc(freedom, chi_square)) if freedom > 0 else float("nan")
    return LinearFit(float(mean - slope * centre), slope, covariance, chi_square, p_value)


def checked_points(x: ArrayLike, y: ArrayLike, error: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Positions, values and errors (n,), or one clear line for what is wrong with them."""
    positions, values = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    errors = np.asarray(error, dtype=np.float64)
    if positions.ndim != 1 or positions.shape != values.shape or errors.shape not in ((), values.shape):
        shapes = f"{positions.shape}, {values.shape} and {errors.shape}"
        raise InputError(f"a fit needs as many x as y and errors, not of shapes {shapes}")
    errors = np.broadcast_to(errors, values.shape)
    if not (np.isfinite(positions).all() and np.isfinite(values).all() and np.isfinite(errors).all()):
        raise InputError("the points of a fit hold values that are not finite")
    if not np.all(errors > 0.0):
        raise InputError("the errors of a fit must be positive")
    if len(np.unique(positions)) < 2:
        raise InputError("a fit needs points at 2 different positions at least")
    return positions, values, errors
