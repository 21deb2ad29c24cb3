"""The mean of a correlated series with an error to rely on, and the scatter of values with outliers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from pvmc.statistics.autocorrelation import autocorrelation
from pvmc.statistics.binning import binning
from pvmc.statistics.chains import Floats, as_chains
from pvmc.statistics.thresholds import FEWEST_SCATTER


@dataclass(frozen=True)
class Mean:
    """Mean of a series.

    Attributes:
        mean: mean of all entries, in their units.
        error: standard error of the mean.
        n: number of entries.
        converged: True where the series is long enough for its correlations, and does not drift by much more than they
            do.  If not, ``error`` is a lower bound.
    """

    mean: float
    error: float
    n: int
    converged: bool


def mean(values: ArrayLike, errors: ArrayLike | None = None) -> Mean:
    """Mean of a series and its standard error: the larger of those by the Gamma method and by binning.

    Each of the two chooses for itself how far correlations reach, and where it stops too early by chance its error is
    too small.  They do not always err together: within one error of the mean of 100 entries with tau = 3 the truth is
    in 60 % of the cases by binning, in 65 % by the Gamma method, in 66 % by the larger error.  Of 2000 entries it is
    3 % too large, and holds the truth in 69 to 70 %.

    Args:
        values: series (n,), oldest first.
        errors: (n,), standard errors of the entries by themselves.  The error of the mean is then not smaller than that
            of independent entries (:func:`independent_error`), which few entries may bring about by chance.

    Raises:
        InputError: fewer than 2 entries, or entries that are not finite.
    """
    series = as_chains(values, 2)
    bins = binning(series)
    least = 0.0 if errors is None else independent_error(errors)
    if series.shape[1] < FEWEST_SCATTER:
        return Mean(bins.mean, max(bins.error, least), bins.n, bins.converged)
    gamma = autocorrelation(series)
    return Mean(gamma.mean, max(gamma.error, bins.error, least), gamma.n, gamma.converged)


def independent_error(errors: ArrayLike) -> float:
    """sqrt(sum_i sigma_i^2) / n: standard error of the mean of independent entries with these errors, (n,)."""
    own = np.asarray(errors, dtype=np.float64)
    return float(np.sqrt(np.sum(own**2))) / len(own)


def robust_scatter(values: Floats) -> float:
    """Standard deviation of a normal distribution with the median absolute deviation of the values, (n,), n >= 1.

    Outliers move it little while they are fewer than half of the values.
    """
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def running_mean(values: ArrayLike, fraction: float = 0.1) -> Floats:
    """Centred mean over a window that grows with the position: entries i - w .. i + w, w = floor(fraction * i).

    i counts from 1.  On a logarithmic axis the window has the same width everywhere, so that early, fast changes are
    kept while the noise of the late iterations is averaged out.  The window is cut off at the end of the series: the
    last value is the mean of the last ``fraction`` of the run.

    Args:
        values: series (n,).
        fraction: half-width of the window relative to the position, below 1.
    """
    series = np.asarray(values, dtype=np.float64)
    position = np.arange(series.size)
    half = np.floor(fraction * (position + 1)).astype(np.int64)
    first, end = position - half, np.minimum(position + half + 1, series.size)
    offset = series[-1] if series.size else 0.0  # differences are small late in the run: keeps the digits of the sums
    sums = np.concatenate([[0.0], np.cumsum(series - offset)])
    means: Floats = offset + (sums[end] - sums[first]) / (end - first)
    return means
