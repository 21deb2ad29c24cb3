"""Straight lines through points with errors, and their values at x = 0 with an error by a jackknife."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from pvmc.errors import InputError
from pvmc.statistics.chains import Floats, scaled, unit_scale
from pvmc.statistics.jackknife import leave_one_out_error


@dataclass(frozen=True)
class LinearFit:
    """y = intercept + slope x.

    Attributes:
        intercept: value at x = 0, in the units of y.
        slope: in units of y over units of x; infinite or zero where that is beyond the range of float64.
        intercept_error: standard error of the intercept, from the errors of the points alone, like all others.
        centre: mean of x with the weights of the fit, where the errors of the line and of the slope are independent.
        centre_error: standard error of the line at the centre.
        slope_error: standard error of the slope.
        chi_square: sum over the points of (deviation / error)^2.
        p_value: probability of a chi_square at least as large, were the line true; NaN with 2 points.  A small one says
            that the line does not hold, or that the errors are too small, and those of the line with them.
    """

    intercept: float
    slope: float
    intercept_error: float
    centre: float
    centre_error: float
    slope_error: float
    chi_square: float
    p_value: float

    @property
    def covariance(self) -> Floats:
        """Covariance of (intercept, slope), float64 (2, 2); infinite or zero beyond the range of float64."""
        variance, slope_variance = self.intercept_error * self.intercept_error, self.slope_error * self.slope_error
        mixed = -self.centre * self.slope_error * self.slope_error
        return np.array([[variance, mixed], [mixed, slope_variance]])

    def at(self, x: ArrayLike) -> tuple[Floats, Floats]:
        """The line and its standard error, each of the shape of x."""
        position = np.asarray(x, dtype=np.float64)
        error = np.hypot(self.centre_error, self.slope_error * (position - self.centre))
        return self.intercept + self.slope * position, error


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
    (positions, x_scale), (values, y_scale) = unit_scale(positions), unit_scale(values)
    smallest = int(np.frexp(errors.min())[1])  # whose weight is the largest: the others may underflow
    errors = scaled(errors, -smallest)
    weights = 1.0 / errors**2
    total = weights.sum()
    # About the weighted means of x and y intercept and slope are independent: slope = sum w dx dy / sum w dx^2.
    centre, mean = weights @ positions / total, weights @ values / total
    shifted = positions - centre
    spread = weights @ shifted**2
    slope = float(weights @ (shifted * (values - mean)) / spread)
    deviations = scaled(values - mean - slope * shifted, y_scale - smallest) / errors
    with np.errstate(over="ignore"):
        chi_square = float(deviations @ deviations)
    freedom = len(values) - 2
    p_value = float(special.chdtrc(freedom, chi_square)) if freedom > 0 else float("nan")
    return LinearFit(
        intercept=scaled(mean - slope * centre, y_scale),
        slope=scaled(slope, y_scale - x_scale),
        intercept_error=scaled(np.hypot(1.0 / np.sqrt(total), centre / np.sqrt(spread)), smallest),
        centre=scaled(centre, x_scale),
        centre_error=scaled(1.0 / np.sqrt(total), smallest),
        slope_error=scaled(1.0 / np.sqrt(spread), smallest - x_scale),
        chi_square=chi_square,
        p_value=p_value,
    )


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


@dataclass(frozen=True)
class Extrapolation:
    """The value at x = 0 of a line through runs.

    Attributes:
        value: intercept of the line through all runs, in the units of y.
        error: its standard error by a jackknife over the runs, which counts how far they really scatter about the line.
        statistical_error: the one that the errors of the points alone would give.
        fit: the line.
        without_one: intercepts without each of the runs, (n,): one that stands out hangs on that run alone.
    """

    value: float
    error: float
    statistical_error: float
    fit: LinearFit
    without_one: Floats


def extrapolation(x: ArrayLike, y: ArrayLike, error: ArrayLike) -> Extrapolation:
    """The value at x = 0, for energies of several runs against their variance, Var / N^2, or V-score.

    Near an eigenstate both E - E_0 and Var(H) are linear in the infidelity, so that E -> E_0 along a line as Var -> 0
    (T. Kashima and M. Imada, J. Phys. Soc. Jpn. 70, 2287 (2001)).  Runs differ in more than the noise of their
    energies: they lie off the line.  So the error is that of a jackknife over runs, error^2 = (n - 1)/n sum_i (a_i -
    mean)^2 with a_i the intercept without run i; it is too large rather than too small where the runs are few.

    Args:
        x: variances or V-scores (n,), of at least 3 runs.
        y: energies (n,).
        error: standard errors of the energies, (n,) or one for all.  Those of runs that were measured for longer weigh
            more; where the runs scatter by more than their errors, give the same error to all.

    Raises:
        InputError: fewer than 3 runs, positions that do not differ without one of them, or what
            :func:`pvmc.statistics.linear_fit` refuses.
    """
    positions, values, errors = checked_points(x, y, error)
    n = len(values)
    if n < 3:
        raise InputError(f"an extrapolation with an error needs at least 3 runs, not {n}")
    fit = linear_fit(positions, values, errors)
    others = [np.arange(n) != run for run in range(n)]
    intercepts = np.array([linear_fit(positions[kept], values[kept], errors[kept]).intercept for kept in others])
    return Extrapolation(
        value=fit.intercept,
        error=float(leave_one_out_error(intercepts)),
        statistical_error=fit.intercept_error,
        fit=fit,
        without_one=intercepts,
    )
