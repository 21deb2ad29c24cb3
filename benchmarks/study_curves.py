"""How fast and how far a run converges, from its series.  Energies and their errors are totals, times are seconds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pvmc.io.reader import Run
from pvmc.statistics import mean

Floats = NDArray[np.float64]

WINDOW = 20
"""Fewest iterations of the running mean."""

SHARE = 0.1
"""Part of the iterations done that it is over where that is more."""

LAST = 0.2
"""Part of a run that its final energy is the mean of."""

THRESHOLDS = (1e-2, 1e-3, 1e-4, 1e-5)
"""Relative errors that runs are timed to."""

POINTS = 40
"""Points of a curve that are kept, about evenly spaced in the logarithm of the time."""


def smoothed_error(energies: Floats, errors: Floats, exact: float) -> Floats:
    """Relative error of the running mean, and not below its standard error: max(|mean - exact|, error) / |exact|.

    The mean is over the last max(WINDOW, SHARE * iterations done) iterations (of the first, all); each counts as
    independent of the others.  Where the mean crosses the exact energy by chance the standard error is what is known.

    Args:
        energies: float64 (n,).
        errors: standard errors, float64 (n,).
        exact: the exact energy, not 0.
    """
    done = np.arange(1, len(energies) + 1)
    window = np.minimum(done, np.maximum(WINDOW, (SHARE * done).astype(np.int64)))
    first = done - window
    deviations = np.concatenate([[0.0], np.cumsum(energies - exact)])
    squares = np.concatenate([[0.0], np.cumsum(errors**2)])
    means = (deviations[done] - deviations[first]) / window
    noise = np.sqrt(np.maximum(squares[done] - squares[first], 0.0)) / window
    return np.asarray(np.maximum(np.abs(means), noise) / abs(exact))


def times(seconds: Floats, share: float = 1.0) -> Floats:
    """Time at the end of each iteration, (n,).

    The first iteration, in which kernels are loaded or compiled, counts as one of median length.

    Args:
        seconds: wall time of each iteration, (n,).
        share: part of the wall time in which the process had a core.
    """
    own = np.array(seconds, dtype=np.float64)
    if len(own) > 1:
        own[0] = np.median(own[1:])
    return np.asarray(share * np.cumsum(own))


def reached(time: Floats, error: Floats, threshold: float) -> float | None:
    """Time at which the error is first at or below the threshold; None if never."""
    below = np.flatnonzero(error <= threshold)
    return float(time[below[0]]) if below.size else None


def thinned(time: Floats, count: int = POINTS) -> NDArray[np.int64]:
    """Rows about evenly spaced in the logarithm of the time, the first and the last among them."""
    if len(time) < 2:
        return np.arange(len(time))
    wanted = np.geomspace(time[0], time[-1], count)
    rows = np.unique(np.searchsorted(time, wanted).clip(0, len(time) - 1))
    return np.unique(np.concatenate([[0], rows, [len(time) - 1]]))


def numbers(run: Run, share: float) -> dict[str, object]:
    """What the study keeps of a run, for JSON; no number where it was too short.

    Args:
        run: its results, with the exact energy.
        share: part of the wall time in which the process had a core.

    Raises:
        ValueError: the exact energy is not known.
    """
    exact = run.reference_energy
    if not exact:
        raise ValueError(f"{run.path}: the exact energy is not known")
    measured = np.isfinite(run.series["energy"]) & np.isfinite(run.series["energy_error"])
    energies, errors = run.series["energy"][measured], run.series["energy_error"][measured]
    time = times(run.series["seconds"], share)[measured]
    found: dict[str, object] = {
        "status": run.status(),
        "message": run.message,
        "iterations": len(run.iteration),
        "parameters": int(run.attributes["n_parameters"]),
        "revision": str(run.attributes["git_revision"]),
        "share": share,
    }
    last = int(LAST * len(energies))
    if last < 2:
        return found
    final, error = mean(energies[-last:]), smoothed_error(energies, errors, exact)
    rows = thinned(time)
    return found | {
        "seconds_per_iteration": float(np.median(np.diff(time))),
        "error": (final.mean - exact) / abs(exact),
        "error_error": final.error / abs(exact),
        "drifting": not final.converged,
        "v_score": float(np.nanmean(run.series["v_score"][measured][-last:])),
        "largest_angle": float(np.nanmax(run.series["update_angle"])),
        "reached": {f"{threshold:.0e}": reached(time, error, threshold) for threshold in THRESHOLDS},
        "curve": {
            "iteration": (run.iteration[measured][rows] + 1).tolist(),
            "seconds": _rounded(time[rows]),
            "error": _rounded(error[rows]),
        },
    }


def _rounded(values: Floats) -> list[float]:
    return [float(f"{value:.3g}") for value in values]


def median(values: Sequence[float | None]) -> float | None:
    """Median of times, None being later than all others; None where it is not reached."""
    ordered = sorted(np.inf if value is None else value for value in values)
    middle = ordered[len(ordered) // 2]
    return None if np.isinf(middle) else middle
