"""The figures of docs/reports/study.md: relative error against time of the most telling variants."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from study_variants import DEFAULT, SMOKE, SYSTEMS, Variant, chosen

from pvmc.figures import style

PANELS = {
    "damping": ("damping",),
    "momentum": ("momentum",),
    "step control": ("rate", "control"),
    "without S; samples and weights": ("gradient", "sampling"),
}
"""Panels and the groups of variants in each; the default is in all of them."""

TITLES = {
    "heisenberg": "Heisenberg ring, $N$ = 40",
    "j1j2": "symmetric RBM, $K$ = 148",
    "j1j2_plain": "plain RBM, $K$ = 2664",
    "smoke": "Heisenberg ring, $N$ = 12",
}

GRID = 160
"""Times at which curves of several seeds are averaged."""

TOP = 1.5
"""Largest relative error that is shown."""

PANEL_HEIGHT = 62 * style.MM

Curve = tuple[np.ndarray, np.ndarray, bool]
"""Times, errors, and whether the run failed at the end."""


def draw(found: dict[str, dict], directory: Path) -> list[Path]:
    """Write a figure for each group of systems that has results; their files.

    Args:
        found: numbers of each run by system/variant/seed.
        directory: where they go.
    """
    paths = []
    for stem in dict.fromkeys(system.figure for system in (SYSTEMS | SMOKE).values()):
        names = [name for name, system in (SYSTEMS | SMOKE).items() if system.figure == stem]
        names = [name for name in names if any(curves(found, name, variant) for variant in chosen(name))]
        if names:
            directory.mkdir(parents=True, exist_ok=True)
            paths.append(directory / f"study_{stem}.png")
            _figure(found, names, paths[-1])
    return paths


def curves(found: dict[str, dict], name: str, variant: Variant) -> list[Curve]:
    """Those of all seeds of a variant."""
    rows = (row for key, row in found.items() if key.rpartition("/")[0] == f"{name}/{variant.name}")
    return [
        (np.array(row["curve"]["seconds"]), np.array(row["curve"]["error"]), row["status"] == "failed")
        for row in rows
        if "curve" in row
    ]


def middle(seeds: list[Curve]) -> tuple[np.ndarray, np.ndarray]:
    """Median of the curves, interpolated in the logarithms, over the times that more than half of them have."""
    begin, end = min(time[0] for time, _, _ in seeds), max(time[-1] for time, _, _ in seeds)
    if len(seeds) == 1:
        return seeds[0][:2]
    grid = np.linspace(np.log(begin), np.log(end), GRID)
    values = [np.interp(grid, np.log(time), np.log(error), np.nan, np.nan) for time, error, _ in seeds]
    is_common = np.isfinite(values).sum(axis=0) > len(seeds) / 2
    return np.exp(grid[is_common]), np.exp(np.nanmedian(np.array(values)[:, is_common], axis=0))


def _figure(found: dict[str, dict], names: list[str], path: Path) -> None:
    """One system: its panels two by two; several: one column for each."""
    columns = max(2, len(names))
    rows = len(PANELS) * len(names) // columns
    with matplotlib.rc_context(style.RC):
        figure = Figure(figsize=(style.PAGE_WIDTH, rows * PANEL_HEIGHT), layout="constrained")
        axes = figure.subplots(rows, columns, sharey=True, sharex="col" if len(names) > 1 else True)
        # Panel after panel, the systems of each beside each other.
        cells = [(title, name) for title in PANELS for name in names]
        for index, (panel, (title, name)) in enumerate(zip(axes.flat, cells, strict=True)):
            _panel(panel, found, name, PANELS[title])
            heading = title if len(names) == 1 else f"{title}: {TITLES[name]}"
            panel.set_title(f"({'abcdefgh'[index]}) {heading}", fontsize=9)
        for panel in axes[-1]:
            panel.set_xlabel("time on one core (s)")
        for panel in axes[:, 0]:
            panel.set_ylabel(r"relative error $|E/E_{\mathrm{exact}} - 1|$")
        _limits(axes)
        figure.savefig(path, metadata={"Software": None})


def _panel(axes: Axes, found: dict[str, dict], name: str, groups: tuple[str, ...]) -> None:
    """The curves of the default and of the groups."""
    drawn = [variant for variant in chosen(name) if variant.drawn and variant.group in groups]
    default = next(variant for variant in chosen(name) if variant.name == DEFAULT)
    if seeds := curves(found, name, default):
        _curve(axes, seeds, default.label, color="0.1", linewidth=1.8, alpha=0.8, zorder=2.5)
    for index, variant in enumerate(variant for variant in drawn if variant.name != DEFAULT):
        if seeds := curves(found, name, variant):
            colour, dashes = style.curve(index)
            _curve(axes, seeds, variant.label, color=colour, dashes=dashes, linewidth=1.2)
    axes.set(xscale="log", yscale="log")
    # Errors fall to the right: nothing is in this corner.
    axes.legend(loc="lower left", handlelength=3.2, labelspacing=0.25, borderaxespad=0.6)


def _curve(axes: Axes, seeds: list[Curve], label: str, **looks: object) -> None:
    time, error = middle(seeds)
    axes.plot(time, error, label=label, **looks)
    for ends, values, failed in seeds:
        if failed:
            axes.plot(ends[-1:], np.minimum(values[-1:], TOP), "x", color=looks["color"], markersize=5, zorder=3)


def _limits(axes: np.ndarray) -> None:
    """The same range of errors in all panels, and times from a little after the first iteration on."""
    lines = [line for panel in axes.flat for line in panel.get_lines() if len(line.get_xdata()) > 1]
    smallest = min(float(np.min(line.get_ydata())) for line in lines)
    axes.flat[0].set_ylim(smallest / 1.6, TOP)
    for column in axes.T:
        shown = [line for panel in column for line in panel.get_lines() if len(line.get_xdata()) > 1]
        column[0].set_xlim(
            min(float(line.get_xdata()[0]) for line in shown), max(float(line.get_xdata()[-1]) for line in shown)
        )
    for panel in axes.flat:
        panel.yaxis.set_major_locator(LogLocator(numticks=10))
        panel.yaxis.set_minor_formatter(NullFormatter())
        panel.xaxis.set_minor_formatter(NullFormatter())
