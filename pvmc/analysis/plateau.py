"""The average of a run's energy over the iterations after it has settled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pvmc.analysis.symptom import Judged
from pvmc.io.reader import Run
from pvmc.statistics import Mean, drift, mean
from pvmc.statistics.thresholds import LARGEST_DRIFT, rounding_of

LONGEST = 0.5
"""Largest part of a run that is averaged: parameters still move in the first half."""

SHORTEST = 32
"""Fewest iterations that can show whether a series has settled."""


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


def average(energies: NDArray[np.float64], rounding: float = 0.0) -> Average | None:
    """The longest of the last 1/2, 1/4, 1/8, ... of a series that has settled; the last 1/4 where none has.

    A part has settled where :func:`pvmc.statistics.drift` sees none, and its error has converged.  There are few starts
    to choose from on purpose: :func:`pvmc.statistics.equilibration` chooses among a hundred, after which one error
    holds the mean of a settled series in 62 % of the cases, two in 91 %, and the mean is no closer to the truth.

    Args:
        energies: (n,), one entry per iteration; entries that are not finite are left out.
        rounding: differences of energies up to this one are rounding, and no drift.

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
        long_enough = found.converged or np.ptp(energies[rows]) <= rounding
        if long_enough and drift(energies[rows], rounding) <= LARGEST_DRIFT:
            return Average(found, rows, settled=True)
        length //= 2
    rows = finite[-max(2, finite.size // 4) :]
    # Of few iterations none can show a drift, unless all have the same energy: that of an eigenstate, or of one state.
    return Average(mean(energies[rows]), rows, settled=bool(np.ptp(energies[finite]) <= rounding))


def judged(run: Run) -> Judged:
    """The part of a run over which its energy is averaged, the same for every command: see :func:`average`.

    Of fewer than 4 iterations with an energy, such as the single one of an imported state, the last one, with its own
    error; of none at all the second half of the run, with an energy that is NaN.
    """
    done = len(run.iteration)
    energies, errors = run.energy_per_site, run.energy_error_per_site
    size = float(np.median(np.abs(energies[np.isfinite(energies)]))) if np.isfinite(energies).any() else 0.0
    found = average(energies, rounding_of(size, run.radius / run.n_sites))
    if found is not None:
        return Judged(run, found.plateau, found.rows, done - int(found.rows[0]), found.settled)
    rows = np.flatnonzero(np.isfinite(energies) & np.isfinite(errors))[-1:]
    if not rows.size:
        return Judged(run, Mean(float("nan"), float("nan"), 0, converged=False), rows, (done + 1) // 2, settled=False)
    alone = Mean(float(energies[rows[0]]), float(errors[rows[0]]), 1, converged=True)
    return Judged(run, alone, rows, done - int(rows[0]), settled=is_imported(run))


def is_imported(run: Run) -> bool:
    """Whether a run is a state from elsewhere: one row, after which no step was made.  Its parameters stay."""
    return len(run.iteration) == 1 and not np.isfinite(run.series["force_norm"][0])
