"""Autocorrelation times and errors of means by the Gamma method; effective sample sizes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from pvmc.errors import InputError
from pvmc.statistics.chains import Floats, as_chains, halves, rank_normalised, scaled, unit_scale
from pvmc.statistics.thresholds import LARGEST_TRUNCATION

STRETCH = 1.5
"""Wolff's S: the slowest correlation is taken to decay S times as slowly as the integrated time says."""


@dataclass(frozen=True)
class Autocorrelation:
    """Mean of a correlated series, its error, and its autocorrelation time.

    Attributes:
        mean: mean of all entries of all chains, in their units.
        error: standard error of the mean.
        error_uncertainty: standard error of ``error``.
        time: tau = 1 + 2 sum_t rho(t), in entries; 1 for independent entries, below 1 for anticorrelated ones.  It is
            twice the tau_int of Wolff's paper.
        time_error: standard error of ``time``; too small where a series alternates strongly.
        window: longest lag in the sums.
        n: number of entries, over all chains.
        converged: True where the window was found within half a chain and leaves out no more than a tenth.  If not
            (fewer than some 50 tau entries, a drift, chains that disagree), ``time`` and ``error`` are lower bounds.
    """

    mean: float
    error: float
    error_uncertainty: float
    time: float
    time_error: float
    window: int
    n: int
    converged: bool

    @property
    def effective_samples(self) -> float:
        """n / tau: so many independent entries would give the mean the same error."""
        return self.n / self.time


def autocorrelation(values: ArrayLike, stretch: float = STRETCH) -> Autocorrelation:
    """Mean, error and integrated autocorrelation time by the Gamma method with automatic windowing.

    Gamma(t) is averaged over all chains, about the mean of all (:func:`autocovariance`), and

        error^2 = (1/n) [Gamma(0) + 2 sum_{t=1}^W (1 - t/L) Gamma(t)],      tau = 1 + 2 sum_{t=1}^W Gamma(t)/Gamma(0)

    for n entries in chains of L.  The window W is the first one whose truncation, estimated by exp(-W/T), is smaller
    than the noise of the sum, T / sqrt(W n), with T = S / ln[(T_W + 1)/(T_W - 1)] and T_W = 1 + 2 sum_{t<=W} |rho(t)|
    (U. Wolff, Comput. Phys. Commun. 156, 143 (2004), eqs. 31, 35, 42, 49, 51, 52).  Two things differ from the paper:
    it has rho for |rho|, which would stop at once where a series alternates; and the factor 1 - t/L, exact for chains
    of finite length.

    Args:
        values: series (n,), or chains (n_chains, n) of one quantity, oldest first.  Many chains that are not much
            longer than their memory are better off with :func:`pvmc.statistics.mean`.
        stretch: S.

    Raises:
        InputError: fewer than 4 entries in a chain, entries that are not finite, or S <= 0.
    """
    if not stretch > 0.0:
        raise InputError(f"the stretch of the Gamma method must be positive, not {stretch:g}")
    given = as_chains(values, 4)
    chains, exponent = unit_scale(given)
    n, length = chains.size, chains.shape[1]
    if np.ptp(chains) == 0.0:
        return Autocorrelation(float(given[0, 0]), 0.0, 0.0, 1.0, 0.0, 0, n, True)
    gamma = _autocovariance(chains)[: length // 2 + 1]  # Gamma(t) at lags 0 ... L/2
    window, converged = _window(gamma / gamma[0], n, stretch)
    gamma = gamma[: window + 1]  # (W + 1,)
    gamma = gamma + max(_sum(gamma), 0.0) / n  # eq. 49: the mean is fitted to the same entries
    lags = np.arange(window + 1)
    time = _sum(gamma) / float(gamma[0])  # tau
    inflation = _sum((1.0 - lags / length) * gamma) / float(gamma[0])  # n error^2 / Gamma(0)
    if time <= 0.0 or inflation <= 0.0:  # noise, or a series that alternates for ever
        time = inflation = 1.0
        converged = False
    error = float(np.sqrt(gamma[0] * inflation / n))
    return Autocorrelation(
        mean=scaled(chains.mean(), exponent),
        error=scaled(error, exponent),
        error_uncertainty=scaled(error * float(np.sqrt((window + 0.5) / n)), exponent),
        time=time,
        time_error=time * float(np.sqrt(4.0 / n * max(window + 0.5 - time / 2.0, 0.0))),
        window=window,
        n=n,
        converged=converged,
    )


def autocovariance(values: ArrayLike) -> Floats:
    """Gamma(t) = <(x_s - mean)(x_{s+t} - mean)> at lags t = 0 ... n - 1, float64 (n,), in squared units.

    Averaged over the n_chains (n - t) pairs of entries t apart; the mean is that of all chains, so that chains that
    disagree show as a correlation that does not decay.  Beyond the range of float64 the squares are infinite or zero.

    Args:
        values: series (n,), or chains (n_chains, n), oldest first.

    Raises:
        InputError: no entries, or entries that are not finite.
    """
    chains, exponent = unit_scale(as_chains(values, 1))
    gamma: Floats = scaled(_autocovariance(chains), 2 * exponent)
    return gamma


def _autocovariance(chains: Floats) -> Floats:
    """Gamma(t) of chains (n_chains, n) whose squares float64 can hold."""
    sums = lagged_products(chains - chains.mean()).sum(axis=0)
    return sums / (len(chains) * np.arange(chains.shape[1], 0, -1))


def lagged_products(chains: Floats) -> Floats:
    """sum_s x_s x_{s+t} of each chain at lags t = 0 ... n - 1, (n_chains, n), by Fourier transforms."""
    from scipy import fft  # not at the start of a run, which may need none

    length = chains.shape[1]
    padded = fft.next_fast_len(2 * length - 1, real=True)
    spectrum = fft.rfft(chains, padded, axis=1)
    products: Floats = fft.irfft(spectrum.real**2 + spectrum.imag**2, padded, axis=1)[:, :length]
    return products


def _sum(gamma: Floats) -> float:
    """The sum over positive and negative lags."""
    return float(gamma[0] + 2.0 * gamma[1:].sum())


def _window(rho: Floats, n: int, stretch: float) -> tuple[int, bool]:
    """First lag whose truncation is smaller than the noise, or else the last; True where the truncation is small."""
    lags = np.arange(1, len(rho))
    times = np.maximum(1.0 + 2.0 * np.cumsum(np.abs(rho[1:])), 1.0 + 1e-12)  # T_W at each W
    decay = stretch / np.log((times + 1.0) / (times - 1.0))  # T
    truncation = np.exp(-lags / decay)
    found = truncation < decay / np.sqrt(lags * n)
    index = int(np.argmax(found)) if found.any() else -1
    return int(lags[index]), bool(found.any() and truncation[index] < LARGEST_TRUNCATION)


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
    # <Gamma(t)> over the half chains, each about its own mean, (n,); W; Var+ = (n - 1)/n W + B/n
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
