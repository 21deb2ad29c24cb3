"""The energy of a run: one rule for the iterations that it is averaged over, for every command."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pvmc.io.reader import Run
from pvmc.statistics import drift, mean
from pvmc.statistics.tails import error_with_missed, missed_variance
from pvmc.statistics.thresholds import (
    EIGENSTATE_ITERATIONS,
    FEWEST_SCATTER,
    FEWEST_SETTLED,
    LARGEST_DRIFT,
    eigenstate_variance,
    rounding_of,
)

LONGEST = 0.5
"""Largest part of a series that is averaged: parameters still move in the first half."""


@dataclass(frozen=True)
class Plateau:
    """Mean energy of the last part of a run, and how the part was chosen.

    Attributes:
        value: mean of the energies of the part, in their units; NaN where there is none.
        error: standard error of the mean, which accounts for the correlation of iterations and, of a run, for variance
            that its draws have missed; NaN where it is not known.
        rows: int64 (n,), positions of the averaged entries in the series: those of the part that are finite.
        settled: True where the part neither drifts nor is too short for its correlations; if not, ``error`` is a lower
            bound.
        rule: how the part was chosen: "last 1/2", "last 1/4", ... of a settled series, "last 1/4, not settled",
            "eigenstate", "last iteration" or "no energy".
    """

    value: float
    error: float
    rows: NDArray[np.int64]
    settled: bool
    rule: str

    @property
    def n(self) -> int:
        """Number of iterations averaged."""
        return len(self.rows)

    @property
    def first(self) -> int | None:
        """Position of the first iteration averaged; None where there is none."""
        return int(self.rows[0]) if self.n else None


def plateau(energies: ArrayLike, errors: ArrayLike | None = None, rounding: float = 0.0) -> Plateau:
    """Mean over the longest of the last 1/2, 1/4, 1/8, ... of a series that has settled; the last 1/4 where none has.

    A part has settled where :func:`pvmc.statistics.drift` sees none, and its error has converged.  There are few starts
    to choose from on purpose: :func:`pvmc.statistics.equilibration` chooses among a hundred, after which one error
    holds the mean of a settled series in 62 % of the cases, two in 91 %, and the mean is no closer to the truth.

    Of fewer than 4 finite energies the last one counts alone, with its own error, and has not settled.

    Args:
        energies: (n,), one entry per iteration; entries that are not finite are left out.
        errors: (n,), standard errors of the entries.  The error of the mean is then not smaller than that of
            independent entries with these errors, which few iterations may bring about by chance.
        rounding: differences of energies up to this one are rounding, and no drift.
    """
    series = np.asarray(energies, dtype=np.float64)
    own = None if errors is None else np.asarray(errors, dtype=np.float64)
    finite = np.flatnonzero(np.isfinite(series))
    if finite.size == 0:
        return Plateau(float("nan"), float("nan"), finite, settled=False, rule="no energy")
    if finite.size < FEWEST_SCATTER:
        last = finite[-1:]
        error = float("nan") if own is None else float(own[last[0]])
        return Plateau(float(series[last[0]]), error, last, settled=False, rule="last iteration")
    length, part = int(finite.size * LONGEST), 2
    while length >= FEWEST_SETTLED:
        rows = finite[-length:]
        found = mean(series[rows], None if own is None else own[rows])
        long_enough = found.converged or np.ptp(series[rows]) <= rounding
        if long_enough and drift(series[rows], rounding) <= LARGEST_DRIFT:
            return Plateau(found.mean, found.error, rows, settled=True, rule=f"last 1/{part}")
        length, part = length // 2, 2 * part
    rows = finite[-max(2, finite.size // 4) :]
    found = mean(series[rows], None if own is None else own[rows])
    # Of few iterations none can show a drift, unless all have the same energy: that of an eigenstate, or of one state.
    settled = bool(np.ptp(series[finite]) <= rounding)
    rule = "last 1/4" if settled else "last 1/4, not settled"
    return Plateau(found.mean, found.error, rows, settled, rule)


def plateau_of(run: Run) -> Plateau:
    """The energy per site of a run, in the run's units: see :func:`plateau`.

    Where the last iterations have no variance, all at one energy, these are averaged (rule "eigenstate"), with an error
    within which there is an eigenvalue, 1e-9 of the scale of H.  A state from elsewhere, the single row of an imported
    run, has settled: its parameters stay.
    """
    energies = run.energy_per_site
    if (rows := eigenstate_rows(run)) is not None:
        value = float(np.mean(energies[rows]))
        error = math.sqrt(eigenstate_variance(value * run.n_sites, run.radius)) / run.n_sites
        return Plateau(value, error, rows, settled=True, rule="eigenstate")
    finite = energies[np.isfinite(energies)]
    size = float(np.median(np.abs(finite))) if finite.size else 0.0
    found = plateau(energies, rounding=rounding_of(size, run.radius / run.n_sites))
    if found.n == 1:  # one iteration has no error but its own
        error = float(run.energy_error_per_site[found.rows[0]])
        return Plateau(found.value, error, found.rows, is_imported(run), found.rule)
    return replace(found, error=_error_with_missed(run, found))


def _error_with_missed(run: Run, part: Plateau) -> float:
    """The error of a part of a run per site, also of the variance that its draws have missed by the leak tests."""
    missed = missed_by_draws(run, part.rows) / run.n_sites**2
    if missed == 0:
        return part.error
    times, samples = run.series["autocorrelation_time"][part.rows], run.series["n_samples"][part.rows]
    counted = samples > 0
    if not counted.any():
        return part.error
    known = times[counted & np.isfinite(times)]
    tau = float(known.mean()) if known.size else 1.0
    return error_with_missed(part.error, missed, tau, float(samples[counted].sum()))


def missed_by_draws(run: Run, rows: NDArray[np.int64]) -> float:
    """The variance, of all sites, that leak tests find beyond that of all draws of these rows; 0 where not resolved."""
    if "variance_smeared" not in run.series:
        return 0.0
    tests, seen = run.series["variance_smeared"][rows], run.series["variance"][rows]
    tests, seen = tests[np.isfinite(tests)], seen[np.isfinite(seen)]
    if len(tests) < FEWEST_SCATTER or not len(seen):
        return 0.0
    whole = mean(tests)
    return missed_variance(float(seen.mean()), whole.mean, whole.error)


def eigenstate_rows(run: Run) -> NDArray[np.int64] | None:
    """Positions of the last iterations of a run, where they are those of an eigenstate: none has any variance, and all
    have one energy; None where they are too few."""
    variances, energies = run.series.get("variance"), run.series["energy"]
    if variances is None or len(variances) < EIGENSTATE_ITERATIONS or not np.isfinite(energies[-1]):
        return None
    limit = eigenstate_variance(float(energies[-1]), run.radius)
    apart = np.abs(energies - energies[-1]) <= math.sqrt(limit)
    others = np.flatnonzero(~(apart & (variances <= limit)))
    first = int(others[-1]) + 1 if others.size else 0
    return np.arange(first, len(variances)) if len(variances) - first >= EIGENSTATE_ITERATIONS else None


def is_imported(run: Run) -> bool:
    """True for a state from elsewhere: one row, after which no step was made.  Its parameters stay."""
    return len(run.iteration) == 1 and not np.isfinite(run.series["force_norm"][0])
