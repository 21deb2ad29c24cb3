"""Means of correlated series, and errors that account for the correlation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pvmc.errors import InputError

MIN_BINS = 8
"""Fewest bins from which an error is estimated; with 8 it is itself known to about 27 %."""


@dataclass(frozen=True)
class Plateau:
    """Average over the last iterations of a run.

    Attributes:
        mean: average of the series, in its units.
        error: standard error of the mean.
        n: number of iterations averaged.
        bin_size: iterations per bin, at which the error was read off.
        converged: whether the error stopped growing with the bin size.  If not (correlation as long as the plateau, or
            a series that still drifts), ``error`` is a lower bound: average over more iterations, or run longer.
    """

    mean: float
    error: float
    n: int
    bin_size: int
    converged: bool


def plateau(values: ArrayLike, last: int = 100) -> Plateau:
    """Mean of the last entries of a series and its standard error by binning.

    The variational energies of successive iterations are correlated through the parameters, so that std/sqrt(n) is too
    small.  The series is averaged in bins of 1, 2, 4, ... entries, and the error is that of the smallest bin size B
    with B^3 > 2 n (error(B)/error(1))^4, which balances the systematic and the statistical error of the estimate
    (U. Wolff, Comput. Phys. Commun. 156, 143 (2004); R. M. Lee et al., PRE 83, 066706 (2011)).

    Args:
        values: series (n,), oldest first.
        last: length of the plateau; the whole series when it is shorter.

    Raises:
        InputError: fewer than 2 entries, or entries that are not finite.
    """
    tail = np.asarray(values, dtype=np.float64)[-last:] if last > 0 else np.empty(0)
    if tail.size < 2:
        raise InputError(f"a plateau needs at least 2 iterations, not {tail.size}")
    if not np.isfinite(tail).all():
        raise InputError("the plateau holds values that are not finite")
    naive = _binned_error(tail, 1)
    size, error, converged = 1, naive, naive == 0.0
    while not converged:
        error = max(error, _binned_error(tail, size))
        converged = size**3 > 2 * tail.size * (error / naive) ** 4
        if converged or tail.size // (2 * size) < MIN_BINS:
            break
        size *= 2
    return Plateau(mean=float(tail.mean()), error=error, n=tail.size, bin_size=size, converged=bool(converged))


def _binned_error(values: NDArray[np.float64], size: int) -> float:
    """Standard error of the mean from the scatter of bins of ``size`` entries, without the oldest, incomplete bin."""
    n_bins = values.size // size
    means = values[values.size - n_bins * size :].reshape(n_bins, size).mean(axis=1)
    return float(means.std(ddof=1) / np.sqrt(n_bins))
