"""The figure of docs/reports/scaling.md: efficiencies of up to 4096 ranks, and what an iteration consists of."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from cases import CHECKS, SCALING_CASES, SCALING_SAMPLES
from cost_model import Case, Machine, iteration, strong_efficiency, weak_efficiency
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scaling_model import RANKS, busy, cluster, curve_case

from pvmc.figures import style

_PARTS = {
    "blocks of walkers": ("work", "rounding"),
    "slowest rank": ("slowest",),
    "every rank": ("rank",),
    "messages": ("latency",),
    "sum of the moments": ("reduction",),
    "rank 0 alone": ("root",),
    "waking": ("waking",),
}


def draw(numbers: dict, path: Path) -> None:
    """Write the figure."""
    with matplotlib.rc_context(style.RC):
        figure = Figure(figsize=(style.PAGE_WIDTH, 142 * style.MM), layout="constrained")
        (strong, weak), parts = figure.subplots(2, 2)
        machine = cluster(numbers)
        for index, name in enumerate(SCALING_CASES):
            case = curve_case(numbers, name)
            colour, dashes = style.curve(index)
            for axes, efficiency in ((strong, strong_efficiency), (weak, weak_efficiency)):
                values = [efficiency(case, ranks, machine) for ranks in RANKS]
                axes.plot(RANKS, values, color=colour, dashes=dashes, label=f"{name} ($K$ = {case.n_parameters})")
        _points(strong, numbers)
        _efficiency_axes(strong, "(a) 8192 samples in total")
        _efficiency_axes(weak, "(b) 8192 samples on each rank")
        weak.legend(loc="lower left", handlelength=3.2, labelspacing=0.3)
        first, *_, last = SCALING_CASES
        for axes, name, letter in zip(parts, (first, last), "cd", strict=True):
            _parts(axes, curve_case(numbers, name), machine)
            axes.set_title(f"({letter}) {name}, 8192 samples in total", fontsize=9)
        handles, labels = parts[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, handlelength=3.2, labelspacing=0.3)
        parts[0].set_ylabel("seconds per iteration")
        path.parent.mkdir(exist_ok=True)
        figure.savefig(path, metadata={"Software": None})


def _points(axes: Axes, numbers: dict) -> None:
    """What two ranks reach of what two separate processes do: the machine's own limit divided out."""
    for check, (name, width, draws, blocks, _) in CHECKS.items():
        if width * draws * blocks != SCALING_SAMPLES:
            continue
        rows = numbers["checks"][check]["iterations"]
        colour, _ = style.curve(list(SCALING_CASES).index(name))
        reached = busy(rows["twins"], 2) / (2 * busy(rows["2"], 2))
        axes.plot([2], [reached], "o", color=colour, markersize=3.5, markerfacecolor="white", zorder=3)


def _efficiency_axes(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=9)
    axes.set_ylim(0, 1.1)
    axes.set_ylabel("efficiency")
    _rank_axis(axes)


def _parts(axes: Axes, case: Case, machine: Machine) -> None:
    rows = [iteration(case, ranks, machine) for ranks in RANKS]
    axes.plot(RANKS, [row.total for row in rows], color="0.1", linewidth=1.6, label="iteration")
    for index, (label, names) in enumerate(_PARTS.items()):
        values = np.array([sum(getattr(row, name) for name in names) for row in rows])
        colour, dashes = style.curve(index)
        axes.plot(RANKS, np.where(values > 0, values, np.nan), color=colour, dashes=dashes, label=label)
    axes.set_yscale("log")
    top = rows[0].total
    axes.set_ylim(top * 2e-5, top * 3)
    _rank_axis(axes)


def _rank_axis(axes: Axes) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xlim(1, RANKS[-1])
    ticks = [1, 4, 16, 64, 256, 1024, 4096]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_xlabel("ranks")
