"""Convergence of runs, the energy against the iteration, and of fits, the cost against the epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import AutoMinorLocator, MaxNLocator, NullFormatter
from numpy.typing import ArrayLike, NDArray

from pvmc.errors import InputError
from pvmc.figures import style
from pvmc.figures.drawing import Drawing
from pvmc.figures.style import error_label, labelled, plain_numbers, unit_label
from pvmc.io.fit_file import Fit
from pvmc.io.reader import Run
from pvmc.results.plateau import plateau_of
from pvmc.statistics.mean import running_mean

_HEIGHT = 64 * style.MM
_LEGEND: dict[str, Any] = {
    "loc": "upper right",
    "bbox_to_anchor": (1.0, 0.92),
    "handlelength": 2.6,
    "labelspacing": 0.3,
}

_LONGEST_LABEL, _MOST_LABELS = 14, 5
"""Characters (with the markup of "alpha = 0.5"), and labels, for which a panel has room."""

_LEGEND_CHARACTERS = 110
"""Characters in a row above the panels, line samples included."""


def convergence_figure(runs: Sequence[Run]) -> Figure:
    """Energy per spin against SR iteration, after Fig. 5 of Carleo and Troyer, arXiv:1606.02318 (Science 355, 602).

    Panels: (a) the energy on a logarithmic iteration axis; (b) the energy close to the exact one, on a linear axis;
    (c), when the exact energy is known, the relative error |E / E_exact - 1| of every iteration (pale) and of
    the running mean (full).  The exact energy is dashed.

    Args:
        runs: one curve each, labelled by ``ansatz.alpha`` where that differs, else by the name of the directory.

    Raises:
        InputError: no runs, a run without iterations, or runs in different units of energy.
    """
    _require_comparable(runs)
    labels, ordered = labelled(runs)
    references = sorted({e for run in ordered if (e := run.reference_energy_per_site) is not None})
    with matplotlib.rc_context(style.RC):
        layout = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0.04)
        figure = Figure(figsize=(style.PAGE_WIDTH, _HEIGHT), layout=layout)
        axes = figure.subplots(1, 3 if any(run.error_scale for run in ordered) else 2)
        for axis, draw in zip(axes, (_draw_energies, _draw_zoom, _draw_errors), strict=False):
            draw(axis, ordered, labels)
        for axis in axes[:2]:
            _draw_references(axis, references)
            axis.set_ylabel(f"Energy per spin, $E/N$ ({unit_label(runs[0].energy_units)})")
        _draw_legend(figure, axes[0])
        for axis, letter in zip(axes, "abc", strict=False):
            axis.text(0.97, 0.96, f"({letter})", transform=axis.transAxes, ha="right", va="top")
    return figure


def convergence_drawing(runs: Sequence[Run]) -> Drawing:
    """:func:`convergence_figure` with its data: one row per run and iteration, with the plateau of the run."""
    figure = convergence_figure(runs)
    _, ordered = labelled(runs)
    ends = [(len(run.iteration), plateau_of(run)) for run in ordered]
    names: list[object] = [run.name for run in ordered for _ in run.iteration]
    columns: dict[str, Sequence[object]] = {
        "run": names,
        "iteration": np.concatenate([_iterations(run) for run in ordered]).tolist(),
        f"energy per site [{runs[0].energy_units}]": np.concatenate([run.energy_per_site for run in ordered]).tolist(),
        "its standard error": np.concatenate([run.energy_error_per_site for run in ordered]).tolist(),
        "averaged": np.concatenate([np.isin(np.arange(n), end.rows) for n, end in ends]).astype(int).tolist(),
        "mean energy per site": [end.value for n, end in ends for _ in range(n)],
        "error of the mean": [end.error for n, end in ends for _ in range(n)],
        "exact energy per site": [run.reference_energy_per_site for run in ordered for _ in run.iteration],
    }
    return Drawing(figure, columns)


def relative_error(energy: ArrayLike, reference: float, scale: float | None = None) -> NDArray[np.float64]:
    """|E - E_ref| / scale, of the shape of ``energy``; the scale is |E_ref| unless another is given.

    Raises:
        InputError: the scale is zero.
    """
    scale = abs(reference) if scale is None else scale
    if scale == 0.0:
        raise InputError("no relative error: the reference energy is zero")
    return np.abs(np.asarray(energy, dtype=np.float64) - reference) / scale


def zoom_limits(runs: Sequence[Run]) -> tuple[float, float]:
    """Range of the energy per spin that holds the plateaus of all runs and their exact energies, with some air.

    The air below and above is a part of the distance between the lowest and the highest of them, but at least a few
    standard deviations of the iterations, so that noise fits in and levels are told apart as well as one scale allows.
    """
    plateaus = [plateau_of(run) for run in runs]
    noise = max(float(run.energy_per_site[end.rows].std()) for run, end in zip(runs, plateaus, strict=True))
    references = [e for run in runs if (e := run.reference_energy_per_site) is not None]
    levels = [end.value for end in plateaus] + references
    low, high = min(levels), max(levels)
    span = max(high - low, 2 * noise, 1e-6 * abs(low), np.finfo(float).tiny)
    return low - max(0.15 * span, 3 * noise), high + max(0.6 * span, 4 * noise)


def _draw_energies(axis: Axes, runs: Sequence[Run], labels: Sequence[str]) -> None:
    for index, (run, label) in enumerate(zip(runs, labels, strict=True)):
        colour, dashes = style.curve(index)
        axis.plot(_iterations(run), run.energy_per_site, color=colour, dashes=dashes, label=label)
    axis.margins(y=0.06)
    axis.set_xscale("log")
    axis.set_xlim(1, max(2, _last_iteration(runs)))
    axis.set_xlabel("SR iteration")
    axis.yaxis.set_major_locator(MaxNLocator(6))
    axis.yaxis.set_minor_locator(AutoMinorLocator(2))


def _draw_zoom(axis: Axes, runs: Sequence[Run], labels: Sequence[str]) -> None:
    for index, (run, label) in enumerate(zip(runs, labels, strict=True)):
        colour, _ = style.curve(index)  # noise hides a dash pattern; the order of the levels tells the curves in grey
        axis.plot(_iterations(run), run.energy_per_site, color=colour, linewidth=0.7, label=label)
    axis.set_ylim(*zoom_limits(runs))
    axis.yaxis.set_major_locator(MaxNLocator(5))
    axis.yaxis.set_minor_locator(AutoMinorLocator(2))
    plain_numbers(axis)
    _linear_iterations(axis, runs)


def _draw_errors(axis: Axes, runs: Sequence[Run], labels: Sequence[str]) -> None:
    smallest, largest = _smallest_error(runs), 0.0
    for index, (run, label) in enumerate(zip(runs, labels, strict=True)):
        if run.reference_energy is None or run.error_scale is None:
            continue
        colour, dashes = style.curve(index)
        iterations, energies = _iterations(run), run.series["energy"]
        every = relative_error(energies, run.reference_energy, run.error_scale)
        measured = np.isfinite(energies)  # one that is not would take the mean of all others with it
        mean = relative_error(running_mean(energies[measured]), run.reference_energy, run.error_scale)
        largest = max(largest, float(_finite(every).max()))
        axis.plot(iterations, every, color=colour, alpha=0.3, linewidth=0.5, label=f"_{label}, every iteration")
        axis.plot(iterations[measured], mean, color=colour, dashes=dashes, label=label, zorder=3)
    decades = np.floor(np.log10(smallest / 2)), np.ceil(np.log10(max(largest, smallest)))
    axis.set_ylim(10.0 ** decades[0], 10.0 ** decades[1])
    axis.set_yscale("log")
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.set_ylabel(error_label(runs))
    _linear_iterations(axis, runs)


def _draw_references(axis: Axes, references: Sequence[float]) -> None:
    for reference in references:
        label = "exact" if reference == references[0] else "_exact"
        axis.axhline(reference, zorder=4, label=label, **style.REFERENCE)


def _linear_iterations(axis: Axes, runs: Sequence[Run]) -> None:
    axis.set_xlim(0, _last_iteration(runs))
    axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axis.xaxis.set_minor_locator(AutoMinorLocator())
    axis.set_xlabel("SR iteration")


def _smallest_error(runs: Sequence[Run]) -> float:
    """The smallest relative error that any plateau resolves; what is below it are single iterations hit by chance."""
    resolved = []
    for run in runs:
        reference, scale = run.reference_energy_per_site, run.error_scale_per_site
        if reference is not None and scale is not None:
            end = plateau_of(run)
            error = end.error / scale if np.isfinite(end.error) else 0.0
            resolved.append(max(float(relative_error(end.value, reference, scale)), error))
    return max(min(resolved), np.finfo(float).eps)


def _draw_legend(figure: Figure, axis: Axes) -> None:
    """In the panel, or above all of them where it would hide the curves: names of runs can be long, and many."""
    lines = _legend_lines(axis)
    longest = max(len(str(line.get_label())) for line in lines)
    if longest <= _LONGEST_LABEL and len(lines) <= _MOST_LABELS:
        axis.legend(handles=lines, **_LEGEND)
        return
    columns = max(1, min(len(lines), _LEGEND_CHARACTERS // (longest + 8)))
    figure.legend(
        lines,
        [str(line.get_label()) for line in lines],
        loc="outside upper center",
        ncols=columns,
        frameon=False,
        fontsize=7.5,
    )


def _legend_lines(axis: Axes) -> list[Line2D]:
    return [line for line in axis.get_lines() if not str(line.get_label()).startswith("_")]


def _iterations(run: Run) -> NDArray[np.int64]:
    """Iteration numbers from 1, also of a run that counts from 0."""
    return run.iteration + 1 if run.iteration[0] == 0 else run.iteration


def _last_iteration(runs: Sequence[Run]) -> int:
    return max(int(_iterations(run)[-1]) for run in runs)


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values[np.isfinite(values)]


def _require_comparable(runs: Sequence[Run]) -> None:
    if not runs:
        raise InputError("no runs to plot")
    for run in runs:
        if not _finite(run.series["energy"]).size:
            raise InputError(f"{run.path} holds no energies yet")
    units = {run.energy_units for run in runs}
    if len(units) > 1:
        raise InputError(f"the runs are in different units of energy: {', '.join(sorted(units))}")


_HEIGHT = 64 * style.MM


def fit_figure(fits: Sequence[Fit]) -> Figure:
    """(a) the cost and (b) the infidelity 1 - F against the epoch, on logarithmic axes, one curve per fit.

    The start is drawn at epoch 0.5, since a logarithmic axis has no 0.

    Raises:
        InputError: no fits.
    """
    if not fits:
        raise InputError("no fits to plot")
    with matplotlib.rc_context(style.RC):
        figure = Figure(figsize=(style.PAGE_WIDTH, _HEIGHT), layout="constrained")
        axes = figure.subplots(1, 2)
        labels = (r"Cost, $\frac{1}{2}\langle|\ln\psi-\ln\phi|^2\rangle$", r"Infidelity, $1 - F$")
        for axis, name, label, letter in zip(axes, ("cost", "infidelity"), labels, "ab", strict=True):
            for index, fit in enumerate(fits):
                colour, dashes = style.curve(index)
                values = np.where(fit.series[name] > 0, fit.series[name], np.nan)
                title = fit.name.lstrip("_").replace("$", r"\$")
                axis.plot(np.maximum(fit.series["epoch"], 0.5), values, color=colour, dashes=dashes, label=title)
            axis.set_xscale("log")
            axis.set_yscale("log")
            axis.set_xlabel("Epoch")
            axis.set_ylabel(label)
            axis.text(0.97, 0.96, f"({letter})", transform=axis.transAxes, ha="right", va="top")
        axes[0].legend(loc="lower left")
    return figure
