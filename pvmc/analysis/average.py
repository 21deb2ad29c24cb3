"""The average of a run's energy over the iterations after it has settled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pvmc.analysis.series import Plateau, plateau

LONGEST = 0.5
"""Largest part of a run that is averaged: parameters still move in the first half."""

SHORTEST = 16
"""Fewest iterations that can show whether a series has settled."""

LEVEL = 2.0
"""Standard errors by which the two halves of a settled series may differ.  5 % of settled ones differ by more and are
averaged over less: two standard errors of the result then hold the mean in 94 % of the cases rather than 95.5 %."""


@dataclass(frozen=True)
class Average:
    """The average over the last part of a run.

    Attributes:
        plateau: mean, error and number of the iterations averaged.
        rows: int64, the rows of the series that were averaged, those with an energy that is finite.
        settled: whether the two halves of the part agree and the error has stopped growing with the bin size.
    """

    plateau: Plateau
    rows: NDArray[np.int64]
    settled: bool


def average(energies: NDArray[np.float64]) -> Average | None:
    """The longest of the last 1/2, 1/4, 1/8, ... of a series that has settled; the last 1/4 where none has.

    A part has settled where the means of its halves agree within LEVEL standard errors (of both, as they are for
    correlated series), and its own error no longer grows with the bin size.

    Args:
        energies: (n,), one entry per iteration; entries that are not finite are left out.

    Returns:
        None for fewer than 4 finite entries.
    """
    finite = np.flatnonzero(np.isfinite(energies))
    if finite.size < 4:
        return None
    length = int(finite.size * LONGEST)
    while length >= SHORTEST:
        rows = finite[-length:]
        if _settled(energies[rows]):
            return Average(plateau(energies[rows], length), rows, settled=True)
        length //= 2
    rows = finite[-max(2, finite.size // 4) :]
    return Average(plateau(energies[rows], rows.size), rows, settled=False)


def _settled(series: NDArray[np.float64]) -> bool:
    whole = plateau(series, series.size)
    first, second = (plateau(half, half.size) for half in np.array_split(series, 2))
    apart = abs(first.mean - second.mean)
    return whole.converged and apart <= LEVEL * float(np.hypot(first.error, second.error))
