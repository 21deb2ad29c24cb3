"""Where a series has forgotten its start."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from pvmc.statistics.autocorrelation import autocorrelation
from pvmc.statistics.chains import as_chains

CANDIDATES = 100
"""Starts that are tried: the answer is known to 1 % of the series."""
SHORTEST = 16
"""Fewest entries that are left."""


def equilibration(values: ArrayLike) -> int:
    """Number of entries to leave out at the beginning, so that the rest has the largest effective sample size.

    A transient makes the series seem correlated for as long as it lasts; leaving out more than it costs samples.  What
    is left has n_eff = (n - start) / max(tau, 1) independent entries, which is largest where the transient has sunk
    into the noise (J. D. Chodera, J. Chem. Theory Comput. 12, 1799 (2016)).  A series that drifts until its end has no
    such place: the answer is then the part within which noise hides the drift, and what is left may be short.

    Args:
        values: series (n,), or chains (n_chains, n) that started together, oldest first.

    Returns:
        The start, from 0 to n - 16; 0 for shorter series and where nothing changes.

    Raises:
        InputError: no entries, or entries that are not finite.
    """
    chains = as_chains(values, 1)
    length = chains.shape[1]
    if length <= SHORTEST:
        return 0
    starts = np.unique(np.linspace(0, length - SHORTEST, CANDIDATES).astype(np.int64))
    sizes = []
    for start in starts:
        rest = autocorrelation(chains[:, start:])
        sizes.append(rest.n / max(rest.time, 1.0))
    return int(starts[np.argmax(sizes)])
