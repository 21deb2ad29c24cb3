"""Ranks in place of values: statistics that exist whatever the tails of a distribution."""

from __future__ import annotations

import numpy as np

from pvmc.statistics.chains import Floats, unit_scale


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
