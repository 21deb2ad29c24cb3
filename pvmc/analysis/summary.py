"""How far a run is and how good, in a few lines: what ``pvmc status`` prints."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from pvmc.analysis.series import plateau

if TYPE_CHECKING:
    from pvmc.io.fit_file import Fit
    from pvmc.io.reader import Run

LAST = 100
"""Averages are over at most this many iterations, and over at most the second half of a run."""


def status_text(run: Run) -> str:
    """A few aligned lines: state, progress, energy, quality of the sampling, times, and where the run is.

    Energies are per site, averaged over the last iterations; the error accounts for their correlation (see
    :func:`pvmc.binning.plateau`).
    """
    state = run.status()
    lines = [("run", str(run.path)), ("state", f"{state}: {run.message}" if run.message else state)]
    lines += _progress(run, state)
    lines += _accuracy(run)
    lines += _origin(run)
    return "\n".join(f"{name:<16} {text}" for name, text in lines)


def fit_status_text(fit: Fit) -> str:
    """A few aligned lines: progress, cost and infidelity of a fit, times, and where it is."""
    epochs, seconds = fit.series["epoch"], fit.series["seconds"][1:]
    done, planned = int(epochs[-1]), int(tomllib.loads(str(fit.attributes["config"]))["fit"]["epochs"])
    lines = [
        ("fit", str(fit.path)),
        ("epoch", f"{done}/{planned} ({100 * done // planned} %)"),
        ("cost", f"{fit.series['cost'][-1]:.4g}"),
        ("infidelity", f"{fit.series['infidelity'][-1]:.4g}"),
    ]
    if seconds.size:
        lines.append(("per epoch", f"{float(np.median(seconds[-LAST:])):.3g} s"))
    return "\n".join(f"{name:<16} {text}" for name, text in lines)


def duration(seconds: float) -> str:
    """Seconds in words short enough for a column: 42s, 3m20s, 5h04m, 2d07h; "-" for what is no time."""
    if not math.isfinite(seconds) or seconds < 0:
        return "-"
    whole = round(seconds)
    for larger, smaller, large_name, small_name in ((86400, 3600, "d", "h"), (3600, 60, "h", "m"), (60, 1, "m", "s")):
        if whole >= larger:
            return f"{whole // larger}{large_name}{whole % larger // smaller:02d}{small_name}"
    return f"{whole}s"


def _progress(run: Run, state: str) -> Iterator[tuple[str, str]]:
    done, planned = len(run.iteration), int(run.attributes["n_iterations"])
    yield "iteration", f"{done}/{planned} ({100 * done // planned} %)"
    seconds = run.series["seconds"][1:]  # the first loads the kernels
    seconds = seconds[np.isfinite(seconds)]
    if not seconds.size:
        return
    typical = float(np.median(seconds[-LAST:]))
    yield "per iteration", f"{typical:.3g} s"
    if state == "running":
        yield "time left", duration(typical * (planned - done))


def _accuracy(run: Run) -> Iterator[tuple[str, str]]:
    measured = np.isfinite(run.energy_per_site)
    last = min(LAST, int(measured.sum()) // 2)
    if last < 2:
        return
    energy = plateau(run.energy_per_site[measured], last)
    bound = "" if energy.converged else "; still drifting: the error is a lower bound"
    yield "E/N", f"{energy.mean:.8f} +- {energy.error:.1e} {run.energy_units} (last {energy.n} iterations{bound})"
    exact = run.reference_energy_per_site
    if exact is not None:
        yield "exact E/N", f"{exact:.8f} {run.energy_units} ({run.reference_method})"
    if exact:
        relative, error = (energy.mean - exact) / abs(exact), energy.error / abs(exact)
        yield "relative error", f"{relative:.2e} +- {error:.1e}"
    for name, series, scale in (("variance/N", "variance", run.n_sites), ("acceptance", "acceptance", 1)):
        yield name, f"{_mean(run, series, last) / scale:.3g}"
    yield "R-hat", f"{_mean(run, 'r_hat', last):.3f}"


def _mean(run: Run, series: str, last: int) -> float:
    """Mean over the last iterations in which the quantity was measured; NaN where it never was."""
    values = run.series[series][-last:]
    values = values[np.isfinite(values)]
    return float(values.mean()) if values.size else math.nan


def _origin(run: Run) -> Iterator[tuple[str, str]]:
    ranks = int(run.attributes["ranks"])
    yield "where", f"{ranks} rank{'s' if ranks > 1 else ''}, rank 0 on {run.attributes['host']}"
    yield "started", _moment(str(run.attributes["created"]))
    if run.ended:
        yield "ended", _moment(run.ended)


def _moment(text: str) -> str:
    """An ISO 8601 time as "2026-03-14 15:09:26 UTC"."""
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M:%S %Z}"
