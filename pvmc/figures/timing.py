"""Where the time of an iteration goes."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pvmc.errors import InputError
from pvmc.figures import style
from pvmc.figures.drawing import Drawing
from pvmc.figures.labels import labelled
from pvmc.io.reader import Run

PHASES = ("sampling", "local_energies", "derivatives", "products", "reducing", "solving")
"""The phases of an iteration, as the series seconds_... name them."""

OTHER = "other"
"""What no phase accounts for: writing results and checkpoints."""

_COLOURS = ("#0072B2", "#56B4E9", "#009E73", "#F0E442", "#E69F00", "#D55E00", "#BBBBBB")
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
        for phase, colour, row in zip((*PHASES, OTHER), _COLOURS, values.T, strict=True):
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
        figure.legend(loc="outside upper center", ncols=len(_COLOURS), handlelength=0.9, columnspacing=1.0,
                      handletextpad=0.4, fontsize=8)  # fmt: skip
    return Drawing(figure, _columns(ordered, seconds))


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


def _columns(runs: Sequence[Run], seconds: NDArray[np.float64]) -> dict[str, Sequence[object]]:
    columns: dict[str, Sequence[object]] = {
        "run": [run.name for run in runs],
        "ranks": [int(run.attributes["ranks"]) for run in runs],
    }
    return columns | {f"{phase} [s]": seconds[:, i].tolist() for i, phase in enumerate((*PHASES, OTHER))}
