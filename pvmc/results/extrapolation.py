"""Energies of several wave functions of one system, extrapolated to zero variance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pvmc.errors import InputError
from pvmc.results.identity import differences
from pvmc.results.result import Result
from pvmc.statistics import extrapolation, linear_fit
from pvmc.statistics.thresholds import ROUNDING

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Extrapolation:
    """E / N = energy + slope * Var / N.

    Attributes:
        energy: at zero variance, per site.
        error: its standard error, the larger of the next two.
        propagated: what the statistical errors of the energies make of it.
        jackknife: what the scatter of the points about the line makes of it; None for two runs.
        slope: of the line, in 1/units.
        n: number of runs.
    """

    energy: float
    error: float
    propagated: float
    jackknife: float | None
    slope: float
    n: int


def extrapolate(results: Sequence[Result]) -> Extrapolation:
    """A straight line through the energies against the variances, weighted by the errors of the energies.

    Close to an eigenstate E - E_0 is proportional to the variance (S. Sorella, Phys. Rev. B 64, 024512 (2001); Y. Kwon,
    D. M. Ceperley and R. M. Martin, Phys. Rev. B 58, 6800 (1998)).  The jackknife leaves out one run at a time, so that
    it holds what the points scatter about the line; of few runs it can be small by chance, and the error is then what
    the errors of the energies propagate to.  The line itself is an assumption that neither tests.

    Raises:
        InputError: fewer than two runs, runs of several systems, or equal variances.
    """
    _require_one_system(results)
    energies = np.array([result.energy for result in results])
    variances = np.array([np.nan if result.variance is None else result.variance for result in results])
    errors = np.array([result.energy_error for result in results])
    if not np.isfinite(variances).all() or np.ptp(variances) <= ROUNDING * np.abs(variances).max():
        raise InputError("no extrapolation: the variances are equal or not known")
    return fitted(variances, energies, errors)


def fitted(variances: Floats, energies: Floats, errors: Floats) -> Extrapolation:
    """The line through points (n,) with these errors of the energies; n >= 2, with two distinct variances.

    Points without an error (all of them, or some) are given the smallest of the others.
    """
    known = errors[errors > 0]
    weighing = np.where(errors > 0, errors, known.min() if known.size else 1.0)
    fit, n = linear_fit(variances, energies, weighing), len(energies)
    propagated = fit.intercept_error if known.size else 0.0
    if n < 3 or any(np.ptp(np.delete(variances, run)) == 0 for run in range(n)):
        return Extrapolation(fit.intercept, propagated, propagated, None, fit.slope, n)
    jackknife = extrapolation(variances, energies, weighing).error
    return Extrapolation(fit.intercept, max(jackknife, propagated), propagated, jackknife, fit.slope, n)


def _require_one_system(results: Sequence[Result]) -> None:
    if len(results) < 2:
        raise InputError("an extrapolation to zero variance needs at least two runs, with different variances")
    if found := differences(results):
        raise InputError(f"an extrapolation to zero variance is of one system; these runs differ in {'; '.join(found)}")
