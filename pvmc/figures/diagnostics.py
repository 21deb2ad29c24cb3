"""Diagnostics of runs: the sampling by iteration, the wall time by phase, the eigenvalues of S."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from pvmc.errors import InputError
from pvmc.figures import style
from pvmc.figures.drawing import Drawing
from pvmc.figures.style import label_ends, labelled
from pvmc.io.reader import Run
from pvmc.results.judged import judged
from pvmc.statistics.mean import running_mean
from pvmc.statistics.thresholds import r_hat_limit

PANELS = (
    ("acceptance", "Acceptance"),
    ("r_hat", r"$\widehat{R} - 1$"),
    ("autocorrelation_time", r"$\tau$ (draws)"),
)
"""Series and their labels, from the top."""

_DIAGNOSTICS_SIZE = (style.PAGE_WIDTH * 0.75, 112 * style.MM)


def diagnostics_drawing(runs: Sequence[Run]) -> Drawing:
    """Every iteration pale, the running mean full, one colour per run; R-hat - 1 on a logarithmic axis, with its limit.

    Raises:
        InputError: no iterations, or runs without these series.
    """
    labels, ordered = labelled(runs)
    for run in ordered:
        if not np.isfinite(run.series["acceptance"]).any() and not np.isfinite(run.series["r_hat"]).any():
            raise InputError(f"{run.path} holds no acceptance and no R-hat: its configurations were not sampled")
    with matplotlib.rc_context(style.RC):
        figure = Figure(figsize=_DIAGNOSTICS_SIZE, layout="constrained")
        axes = figure.subplots(len(PANELS), 1, sharex=True)
        for axis, (name, title) in zip(axes, PANELS, strict=True):
            _draw(axis, ordered, name)
            axis.set_ylabel(title)
        limit = max(r_hat_limit(judged(run).draws) for run in ordered)
        axes[1].axhline(limit - 1, **style.REFERENCE)
        axes[1].text(*(1.02, limit - 1, "limit"), transform=axes[1].get_yaxis_transform(), fontsize=8, va="center")
        axes[-1].set_xlabel("SR iteration")
        axes[0].set_xlim(0, max(int(run.iteration[-1]) for run in ordered) + 1)
        axes[-1].xaxis.set_major_locator(MaxNLocator(6, integer=True))
        figure.align_ylabels(axes)
        ends = [float(_means(run, "acceptance")[1][-1]) for run in ordered]
        label_ends(axes[0], ends, labels, [style.curve(index)[0] for index in range(len(ordered))], gap=0.16)
    return Drawing(figure, _diagnostics_columns(ordered))


def _draw(axis: Axes, runs: Sequence[Run], name: str) -> None:
    for index, run in enumerate(runs):
        colour, _ = style.curve(index)
        offset = 1.0 if name == "r_hat" else 0.0
        values = run.series[name] - offset
        x, means = _means(run, name)
        axis.plot(run.iteration + 1, _positive(values) if offset else values, color=colour, alpha=0.25, linewidth=0.5)
        axis.plot(x, _positive(means - offset) if offset else means, color=colour, zorder=3)
    if name == "r_hat":
        axis.set_yscale("log")


def _means(run: Run, name: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Iterations with a number, and the running mean at each; a single NaN where there is none."""
    measured = np.isfinite(run.series[name])
    if not measured.any():
        return run.iteration[-1:] + 1, np.array([np.nan])
    return run.iteration[measured] + 1, running_mean(run.series[name][measured])


def _positive(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Numbers that a logarithmic axis can show; R-hat is a little below 1 now and then."""
    return np.where(values > 0, values, np.nan)


def _diagnostics_columns(runs: Sequence[Run]) -> dict[str, Sequence[object]]:
    columns: dict[str, Sequence[object]] = {
        "run": [run.name for run in runs for _ in run.iteration],
        "iteration": [int(i) + 1 for run in runs for i in run.iteration],
    }
    return columns | {name: np.concatenate([run.series[name] for run in runs]).tolist() for name, _ in PANELS}


PHASES = ("sampling", "local_energies", "derivatives", "products", "reducing", "solving")
"""The phases of an iteration, as the series seconds_... name them."""

OTHER = "other"
"""Time that no phase accounts for: writing results and checkpoints."""

_PHASE_COLOURS = ("#0072B2", "#56B4E9", "#009E73", "#F0E442", "#E69F00", "#D55E00", "#BBBBBB")
_LABELLED = 0.06  # smallest part of the longest bar that carries its share


def timing_drawing(runs: Sequence[Run]) -> Drawing:
    """Mean wall time of an iteration by phase, one bar per run; the first iteration, which loads kernels, left out.

    Raises:
        InputError: a run without at least two iterations with times.
    """
    labels, ordered = labelled(runs)
    seconds = np.array([mean_seconds(run) for run in ordered])
    scale, unit = (1e3, "ms") if seconds.sum(axis=1).max() < 1 else (1.0, "s")
    values = scale * seconds
    with matplotlib.rc_context(style.RC):
        figure = Figure(figsize=(style.PAGE_WIDTH * 0.8, (24 + 8.5 * len(ordered)) * style.MM), layout="constrained")
        axis = figure.subplots()
        start = np.zeros(len(ordered))
        for phase, colour, row in zip((*PHASES, OTHER), _PHASE_COLOURS, values.T, strict=True):
            axis.barh(
                range(len(ordered)), row, left=start, color=colour, height=0.62, label=phase.replace("_", " "),
                edgecolor="white", linewidth=0.5,
            )  # fmt: skip
            for place, (left, width) in enumerate(zip(start, row, strict=True)):
                if width > _LABELLED * values.sum(axis=1).max():
                    share = f"{100 * width / values[place].sum():.0f} %"
                    ink = "white" if colour in ("#0072B2", "#D55E00", "#009E73") else "black"
                    axis.text(left + width / 2, place, share, ha="center", va="center", fontsize=7.5, color=ink)
            start = start + row
        axis.set_yticks(range(len(ordered)), [_with_ranks(*pair) for pair in zip(labels, ordered, strict=True)])
        axis.invert_yaxis()
        axis.tick_params(axis="y", length=0, which="both")
        axis.set_xlabel(f"Wall time of an iteration ({unit})")
        axis.set_xlim(0, 1.03 * values.sum(axis=1).max())
        figure.legend(loc="outside upper center", ncols=len(_PHASE_COLOURS), handlelength=0.9, columnspacing=1.0,
                      handletextpad=0.4, fontsize=8)  # fmt: skip
    return Drawing(figure, _timing_columns(ordered, seconds))


def mean_seconds(run: Run) -> list[float]:
    """Mean seconds of each of the PHASES, and of what none of them accounts for; the first iteration left out.

    Raises:
        InputError: fewer than two iterations with times.
    """
    total = run.series["seconds"][1:]
    rows = np.array([run.series[f"seconds_{phase}"][1:] for phase in PHASES])
    measured = np.isfinite(total) & np.isfinite(rows).all(axis=0)
    if not measured.any():
        raise InputError(f"{run.path} holds no times by phase after its first iteration")
    phases = rows[:, measured].mean(axis=1)
    return [*phases.tolist(), max(0.0, float(total[measured].mean() - phases.sum()))]


def _with_ranks(label: str, run: Run) -> str:
    ranks = int(run.attributes["ranks"])
    return f"{label}\n{ranks} rank{'s' if ranks > 1 else ''}"


def _timing_columns(runs: Sequence[Run], seconds: NDArray[np.float64]) -> dict[str, Sequence[object]]:
    columns: dict[str, Sequence[object]] = {
        "run": [run.name for run in runs],
        "ranks": [int(run.attributes["ranks"]) for run in runs],
    }
    return columns | {f"{phase} [s]": seconds[:, i].tolist() for i, phase in enumerate((*PHASES, OTHER))}


_SPECTRUM_SIZE = (114 * style.MM, 74 * style.MM)

FLOOR = 1e-16
"""Eigenvalues below this part of the largest are rounding, and drawn nowhere."""


def spectrum_drawing(runs: Sequence[Run], spectra: Mapping[str, NDArray[np.float64]]) -> Drawing:
    """Sorted eigenvalues of S, each divided by the largest, against their number as a part of all parameters.

    Args:
        runs: one curve each.
        spectra: path of each run as text -> eigenvalues (K,), descending.
    """
    labels, ordered = labelled(runs)
    with matplotlib.rc_context(style.RC):
        figure = Figure(figsize=_SPECTRUM_SIZE, layout="constrained")
        axis = figure.subplots()
        ends = []
        for index, run in enumerate(ordered):
            colour, dashes = style.curve(index)
            values = spectra[str(run.path)] / spectra[str(run.path)][0]
            x = (np.arange(len(values)) + 0.5) / len(values)
            seen = values > FLOOR
            symbol = style.marker(index) if len(values) <= 100 else ""
            axis.plot(x[seen], values[seen], color=colour, dashes=dashes or (None, None), marker=symbol, markersize=2.6)
            ends.append(float(values[seen][-1]))
        axis.set_yscale("log")
        axis.set_xlim(0, 1)
        axis.set_xlabel("Number of the eigenvalue, as a part of all $K$")
        axis.set_ylabel(r"Eigenvalue of $S$, $\lambda_k / \lambda_1$")
        texts = [f"{label}\n$K = {len(spectra[str(run.path)])}$" for label, run in zip(labels, ordered, strict=True)]
        colours = [style.curve(index)[0] for index in range(len(ordered))]
        label_ends(axis, ends, texts, colours, gap=0.13)
    columns: dict[str, Sequence[object]] = {
        "run": [run.name for run in ordered for _ in spectra[str(run.path)]],
        "number": [k + 1 for run in ordered for k in range(len(spectra[str(run.path)]))],
        "eigenvalue of S": np.concatenate([spectra[str(run.path)] for run in ordered]).tolist(),
    }
    return Drawing(figure, columns)
