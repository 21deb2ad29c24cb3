"""Length of the transient at the beginning of a series, and drifts that are left."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from pvmc.statistics.autocorrelation import autocorrelation
from pvmc.statistics.chains import Floats, as_chains, rank_normalised, unit_scale
from pvmc.statistics.thresholds import FEWEST_SETTLED, STEADY_DRIFT

CANDIDATES = 100
"""Starts that are tried: the answer is 1 % of the series apart."""
BEGINNINGS = (2, 4, 8, 16)
"""Parts of what is left (1/2, 1/4, ...) whose mean is compared with that of its second half."""


def equilibration(values: ArrayLike) -> int:
    """Number of entries to leave out at the beginning, so that the rest is worth most and does not drift.

    A transient makes the series seem correlated for as long as it lasts, and leaving out more than it costs samples.
    What is left is worth n_eff = (n - start) / max(tau, 1) independent entries, which is largest where the transient
    has sunk into the noise (J. D. Chodera, J. Chem. Theory Comput. 12, 1799 (2016)).  Energies of an optimisation need
    two precautions.  They begin so high that the first ones alone make the variance, without a trace of correlation:
    tau is that of the ranks.  They creep when they are already within the noise of one entry, by which the mean would
    be wrong by several of its errors: only starts after which :func:`drift` is below 2 are considered, and half as much
    again is left out (but no more than half of the rest), since a drift of nearly 2 errors passes.

    An exponential relaxation is gone after that.  A decay like 1/t is not, however long one waits: the mean of what is
    left is then above the limit by some of its errors, and no test of the series itself can tell.

    Args:
        values: series (n,), or chains (n_chains, n) that started together, oldest first.

    Returns:
        The start, from 0 to n - 32, known to 1.5 % of the series; 0 for shorter series.  Where each start leaves a
        drift, n - 32: the series has no equilibrium to speak of, and :func:`drift` of what is left may tell.

    Raises:
        InputError: no entries, or entries that are not finite.
    """
    chains = as_chains(values, 1)
    length = chains.shape[1]
    if length <= FEWEST_SETTLED:
        return 0
    starts = np.unique(np.linspace(0, length - FEWEST_SETTLED, CANDIDATES).astype(np.int64))
    steady = [start for start in starts if drift(chains[:, start:]) < STEADY_DRIFT]
    if not steady:
        return int(starts[-1])
    best = int(steady[np.argmax([_worth(chains[:, start:]) for start in steady])])
    return min(best + best // 2, (best + length) // 2, length - FEWEST_SETTLED)


def drift(values: ArrayLike, rounding: float = 0.0) -> float:
    """Largest difference between the mean of a beginning and that of the second half, in standard errors.

    Beginnings are the first 1/2, 1/4, 1/8 and 1/16 (J. Geweke, in Bayesian Statistics 4 (1992), compares one pair).
    The noise of all is taken from the second half, Var tau / n, as the first one may owe its variance to the drift.
    Above 3 the series is not stationary; without a drift it is above 2 in about 1 of 7 cases.

    Args:
        values: series (n,), or chains (n_chains, n) that started together, oldest first.
        rounding: differences up to this one do not count, in the units of the values.

    Returns:
        0 or larger; infinite where the second half is constant and a beginning differs.

    Raises:
        InputError: fewer than 32 entries, or entries that are not finite.
    """
    chains, _ = unit_scale(as_chains(values, FEWEST_SETTLED))
    if np.ptp(chains) == 0.0:
        return 0.0
    end = chains[:, chains.shape[1] // 2 :]
    noise = autocorrelation(end)
    largest = 0.0
    for part in BEGINNINGS:
        beginning = chains[:, : chains.shape[1] // part]
        error = noise.error * np.sqrt(1.0 + end.size / beginning.size)
        difference = abs(float(beginning.mean()) - noise.mean)
        if difference > rounding:
            largest = max(largest, float(difference / error) if error > 0.0 else float("inf"))
    return largest


def _worth(chains: Floats) -> float:
    """Independent entries that chains (n_chains, n) are worth, by the autocorrelation time of their ranks."""
    return chains.size / max(autocorrelation(rank_normalised(chains)).time, 1.0)
