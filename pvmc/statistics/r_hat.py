"""Whether chains agree: the potential scale reduction R-hat."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from pvmc.statistics.chains import Floats, as_chains, halves, unit_scale
from pvmc.statistics.ranks import folded, rank_normalised
from pvmc.statistics.thresholds import ALLOWED_TIME, LARGEST_R_HAT


def split_r_hat(values: ArrayLike) -> float:
    """R-hat = sqrt(((n - 1)/n W + B/n) / W) over half chains of length n; 1 when they agree.

    W is the mean variance within the halves, B/n the variance between their means (Gelman et al., Bayesian Data
    Analysis, 3rd ed., sec. 11.4).  Infinite where each half is constant and they differ, NaN with fewer than 4 entries.

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


def r_hat_limit(n_draws: float) -> float:
    """R-hat above which chains of so many draws do not agree: 1.05, or more for short ones, whose draws are correlated.

    Of chains that agree, the means of halves of n draws vary by sigma^2 tau_n / n, with tau_n = 1 + 2 sum_t (1 - t/n)
    rho(t), and the variance within them is sigma^2 (1 - tau_n/n) n/(n - 1): R-hat^2 = (n - 1)/n / (1 - tau_n/n).  The
    limit is this for rho(t) = rho^t with tau = 2: 1.22 for four draws, 1.06 for 16, 1.05 from 22 on.

    Args:
        n_draws: draws of each chain, both halves together; NaN or less than 4 for chains that have no R-hat.
    """
    if not n_draws >= 4:
        return LARGEST_R_HAT
    n = int(n_draws) // 2
    rho = (ALLOWED_TIME - 1.0) / (ALLOWED_TIME + 1.0)
    lags = np.arange(1, n)
    time = 1.0 + 2.0 * float(np.sum((1.0 - lags / n) * rho**lags))
    return max(LARGEST_R_HAT, float(np.sqrt((n - 1) / n / (1.0 - time / n))))


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
    return float(np.sqrt((length - 1) / length + between / within)) if within > 0.0 else float("inf")
