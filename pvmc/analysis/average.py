"""The average of a run's energy over the iterations after it has settled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pvmc.statistics import Mean, drift, mean

LONGEST = 0.5
"""Largest part of a run that is averaged: parameters still move in the first half."""

SHORTEST = 32
"""Fewest iterations that can show whether a series has settled."""

LARGEST_DRIFT = 3.0
"""Errors by which beginning and end of a settled series may differ.  About 1 % of settled ones exceed it, and are
averaged over less: at 2 it would be 14 %, and what the data choose so often has an error that is too small."""


@dataclass(frozen=True)
class Average:
    """The average over the last part of a run.

    Attributes:
        plateau: mean, error and number of the iterations averaged.
        rows: int64, the rows of the series that were averaged, those with an energy that is finite.
        settled: whether the part neither drifts nor is too short for its correlations.
    """

    plateau: Mean
    rows: NDArray[np.int64]
    settled: bool


def average(energies: NDArray[np.float64]) -> Average | None:
    """The longest of the last 1/2, 1/4, 1/8, ... of a series that has settled; the last 1/4 where none has.

    A part has settled where :func:`pvmc.statistics.drift` sees none, and its error has converged.  There are few starts
    to choose from on purpose: :func:`pvmc.statistics.equilibration` chooses among a hundred, after which one error
    holds the mean of a settled series in 62 % of the cases, two in 91 %, and the mean is no closer to the truth.

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
        found = mean(energies[rows])
        if found.converged and drift(energies[rows]) <= LARGEST_DRIFT:
            return Average(found, rows, settled=True)
        length //= 2
    rows = finite[-max(2, finite.size // 4) :]
    return Average(mean(energies[rows]), rows, settled=False)
