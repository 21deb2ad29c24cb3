"""Values at x = 0 from a line through several runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from pvmc.errors import InputError
from pvmc.statistics.chains import Floats
from pvmc.statistics.jackknife import leave_one_out_error
from pvmc.statistics.linear_fit import LinearFit, checked_points, linear_fit


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
