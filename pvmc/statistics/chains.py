"""Series of one or of several chains in one shape, their ranks, and R-hat, which says if the chains agree."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pvmc.errors import InputError

Floats = NDArray[np.float64]


def as_chains(values: ArrayLike, shortest: int) -> Floats:
    """Chains of equal length, one per row, float64 (n_chains, n); a series (n,) is one chain.

    Args:
        values: real numbers, (n,) or (n_chains, n), oldest first.
        shortest: fewest entries of a chain that will do.

    Raises:
        InputError: another shape, complex numbers, chains too short, or entries that are not finite.
    """
    array = np.asarray(values)
    if np.iscomplexobj(array):
        raise InputError("statistics of a series need real numbers: give the real and the imaginary part one by one")
    chains = np.atleast_2d(array.astype(np.float64))
    if chains.ndim != 2 or chains.shape[0] == 0:
        raise InputError(f"a series is (n,) or (chains, n), not of shape {array.shape}")
    if chains.shape[1] < shortest:
        raise InputError(f"the series needs at least {shortest} entries, not {chains.shape[1]}")
    if not np.isfinite(chains).all():
        raise InputError("the series holds values that are not finite")
    return chains


def halves(chains: Floats) -> Floats:
    """Each chain cut in two, (2 n_chains, n // 2), so that a drift shows as chains that differ.

    The middle entry of a chain of odd length is left out.
    """
    half = chains.shape[1] // 2
    return np.concatenate([chains[:, :half], chains[:, chains.shape[1] - half :]])


def unit_scale(values: Floats) -> tuple[Floats, int]:
    """Values divided by the power of two 2^e that brings the largest magnitude into [1/2, 1), and e; 0 for zeros.

    Squares of numbers beyond 1e154 overflow, and those below 1e-154 lose their digits.  The division is exact, so that
    whatever is computed from the quotients has the same bits at any scale.
    """
    exponent = int(np.frexp(np.max(np.abs(values), initial=0.0))[1])
    return np.ldexp(values, -exponent), exponent


def scaled(value: Any, exponent: int) -> Any:
    """2^exponent times a number or an array; infinite or zero where float64 has no room for it."""
    with np.errstate(over="ignore", under="ignore"):
        product = np.ldexp(value, exponent)
    return product if np.ndim(product) else float(product)


def rank_normalised(chains: Floats) -> Floats:
    """Normal scores of the ranks r among all chains, Phi^-1((r - 3/8) / (n + 1/4)), of the shape of ``chains``.

    Equal values share the mean of their ranks (Vehtari et al., Bayesian Anal. 16, 667 (2021), eq. 14).
    """
    from scipy import special, stats  # half a second that a run without a need for ranks is spared

    ranks = stats.rankdata(chains, method="average").reshape(chains.shape)
    scores: Floats = special.ndtri((ranks - 0.375) / (chains.size + 0.25))
    return scores


def folded(chains: Floats) -> Floats:
    """Distances from the median of all chains, up to a factor: they differ where the widths of chains do."""
    chains, _ = unit_scale(chains)
    return np.abs(chains - np.median(chains))


def r_hat(within: ArrayLike, between: ArrayLike, length: int) -> Floats:
    """R-hat = sqrt(((n - 1)/n W + B/n) / W), float64 of the shape of W: the one recipe, for data and for sums.

    A. Gelman and D. B. Rubin, Stat. Sci. 7, 457 (1992).  1 where no chain varies and all agree; infinite where none
    varies and they differ; NaN for chains of one entry.

    Args:
        within: W, mean over the chains of the variance within each, with n - 1 in the denominator.
        between: B/n, variance of the means of the chains, with their number less 1 in the denominator.
        length: n, entries of a chain.
    """
    inside = np.asarray(within, dtype=np.float64)
    if length < 2:
        return np.full(inside.shape, np.nan)
    total = (length - 1) / length * inside + np.asarray(between, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.sqrt(np.where(inside == 0.0, np.where(total == 0.0, 1.0, np.inf), total / inside)))


def split_r_hat(values: ArrayLike) -> float:
    """R-hat of half chains (:func:`r_hat`; Gelman et al., Bayesian Data Analysis, 3rd ed., sec. 11.4); 1 if they agree.

    Infinite where each half is constant and they differ, NaN with fewer than 4 entries.

    Args:
        values: chains (n_chains, n), or one series (n,), whose halves are compared; oldest first.

    Raises:
        InputError: no entries, or entries that are not finite.
    """
    return _r_hat(halves(as_chains(values, 1)))


def rank_normalised_r_hat(values: ArrayLike) -> float:
    """The larger of the split R-hats of ranks and of ranks of distances from the median; NaN with fewer than 4 entries.

    Without moments of the distribution, so that it sees chains that differ in centre or in width also where the
    variance is infinite.  Below 1.01 is good (Vehtari et al., Bayesian Anal. 16, 667 (2021), sec. 4).

    Args:
        values: chains (n_chains, n), or one series (n,), whose halves are compared; oldest first.

    Raises:
        InputError: no entries, or entries that are not finite.
    """
    split = halves(as_chains(values, 1))
    return max(_r_hat(rank_normalised(split)), _r_hat(rank_normalised(folded(split))))


def _r_hat(chains: Floats) -> float:
    """R-hat of chains (n_chains, n) as they are; 1 where all entries are the same."""
    length = chains.shape[1]
    if length < 2:
        return float("nan")
    chains, _ = unit_scale(chains)
    if np.ptp(chains) == 0.0:
        return 1.0
    constant = np.ptp(chains, axis=1) == 0.0  # whose variance may still differ from zero by rounding
    within = float(np.where(constant, 0.0, chains.var(axis=1, ddof=1)).mean())
    between = float(chains.mean(axis=1).var(ddof=1))
    return float(r_hat(within, between, length))
