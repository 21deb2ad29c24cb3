"""How well the sampling went, iteration by iteration: acceptance, R-hat, autocorrelation time."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from pvmc.errors import InputError
from pvmc.figures import style
from pvmc.figures.drawing import Drawing
from pvmc.figures.labels import label_ends, labelled
from pvmc.io.reader import Run
from pvmc.results.series import running_mean
from pvmc.results.symptom import judged
from pvmc.statistics.thresholds import r_hat_limit

PANELS = (
    ("acceptance", "Acceptance"),
    ("r_hat", r"$\widehat{R} - 1$"),
    ("autocorrelation_time", r"$\tau$ (draws)"),
)
"""Series and their labels, from the top."""

_SIZE = (style.PAGE_WIDTH * 0.75, 112 * style.MM)


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
        figure = Figure(figsize=_SIZE, layout="constrained")
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
    return Drawing(figure, _columns(ordered))


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


def _columns(runs: Sequence[Run]) -> dict[str, Sequence[object]]:
    columns: dict[str, Sequence[object]] = {
        "run": [run.name for run in runs for _ in run.iteration],
        "iteration": [int(i) + 1 for run in runs for i in run.iteration],
    }
    return columns | {name: np.concatenate([run.series[name] for run in runs]).tolist() for name, _ in PANELS}
