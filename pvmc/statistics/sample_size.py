"""How many independent draws a set of chains is worth."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from pvmc.statistics.autocorrelation import lagged_products
from pvmc.statistics.chains import Floats, as_chains, halves, rank_normalised, unit_scale

TAILS = (0.05, 0.95)
"""Quantiles that stand for the tails."""
SHORTEST_HALF = 8
"""Shorter half chains have no lags to sum over, and would seem to be independent draws whatever they are."""


def effective_sample_size(values: ArrayLike) -> float:
    """Independent draws that would give the mean the same error; NaN for chains of fewer than 16 entries.

    n / tau, at most n log10(n), with tau = 1 + 2 sum_t rho(t) of half chains, where rho(t) = 1 - (W - <Gamma(t)>)/Var+
    counts the variance between the halves too.  It is summed by Geyer's initial monotone sequence (Vehtari et al.,
    Bayesian Anal. 16, 667 (2021), eqs. 10 - 13).  Lower than that of :func:`pvmc.statistics.autocorrelation` where
    chains disagree.

    Args:
        values: chains (n_chains, n), or one series (n,); oldest first.

    Raises:
        InputError: no entries, or entries that are not finite.
    """
    return _sample_size(halves(as_chains(values, 1)))


def bulk_sample_size(values: ArrayLike) -> float:
    """The same of the normalised ranks: how well the centre of the distribution is sampled, whatever its tails.

    Above 100 for each chain is good (Vehtari et al., sec. 4.2).

    Args:
        values: chains (n_chains, n), or one series (n,); oldest first.

    Raises:
        InputError: no entries, or entries that are not finite.
    """
    return _sample_size(rank_normalised(halves(as_chains(values, 1))))


def tail_sample_size(values: ArrayLike) -> float:
    """The smaller of those of the indicators x <= q at the 5 % and the 95 % quantile q of all chains.

    How well the tails are sampled, where local energies have theirs (Vehtari et al., sec. 4.3).

    Args:
        values: chains (n_chains, n), or one series (n,); oldest first.

    Raises:
        InputError: no entries, or entries that are not finite.
    """
    chains = as_chains(values, 1)
    below = [chains <= np.quantile(chains, tail) for tail in TAILS]
    return float(min(_sample_size(halves(indicator.astype(np.float64))) for indicator in below))


def _sample_size(chains: Floats) -> float:
    """The effective sample size of chains (n_chains, n) as they are; all of them where all entries are the same."""
    if chains.shape[1] < SHORTEST_HALF:
        return float("nan")
    chains, _ = unit_scale(chains)
    if np.ptp(chains) == 0.0:
        return float(chains.size)
    length = chains.shape[1]
    gamma = lagged_products(chains - chains.mean(axis=1, keepdims=True)).mean(axis=0) / length
    within = gamma[0] * length / (length - 1)
    total = gamma[0] + (float(chains.mean(axis=1).var(ddof=1)) if len(chains) > 1 else 0.0)
    rho = 1.0 - (within - gamma) / total
    rho[0] = 1.0
    return float(chains.size / max(_monotone_time(rho), 1.0 / np.log10(chains.size)))


def _monotone_time(rho: Floats) -> float:
    """1 + 2 sum_t rho(t) by Geyer's initial monotone sequence.

    Sums of neighbours, rho(2k) + rho(2k + 1), are positive and fall for any reversible chain: they are cut off at the
    first one that is not positive, at the latest at the last one below lag n - 1, and kept from rising
    (C. J. Geyer, Stat. Sci. 7, 473 (1992)).  Of the pair where they end the even one counts once, which alternating
    chains need (Vehtari et al., appendix); it does not where the pair is negative and it is as well.
    """
    n_pairs = (len(rho) - 1) // 2  # n even: up to lag n - 3, n odd: up to lag n - 2
    pairs = rho[: 2 * n_pairs : 2] + rho[1 : 2 * n_pairs : 2]
    not_positive = pairs <= 0.0
    end = int(np.argmax(not_positive)) if not_positive.any() else n_pairs - 1
    last = float(rho[2 * end]) if pairs[end] >= 0.0 else max(float(rho[2 * end]), 0.0)
    return float(-1.0 + 2.0 * np.minimum.accumulate(pairs[:end]).sum() + last)


def independent_samples(n_samples: float | None, time: float | None) -> float:
    """n / tau: independent samples that n samples of many walkers are worth; infinite where one is not known.

    Args:
        n_samples: draws of all walkers together.
        time: tau, in draws of one walker, as it is stored and shown everywhere.
    """
    if not n_samples or time is None or not (math.isfinite(time) and time > 0.0):
        return math.inf
    return n_samples / time
