"""Energies against variances, and the line that leads to zero variance."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from pvmc.figures import style
from pvmc.figures.drawing import Drawing
from pvmc.figures.labels import alphas, plain, plain_numbers, unit_label
from pvmc.io.reader import Run
from pvmc.results.digits import with_error
from pvmc.results.extrapolation import Extrapolation, extrapolate
from pvmc.results.result import Result, result_of

_SIZE = (110 * style.MM, 72 * style.MM)


def variance_drawing(runs: Sequence[Run]) -> Drawing:
    """E/N against Var/N of several wave functions of one system, with the extrapolation to zero variance.

    Raises:
        InputError: see :func:`pvmc.results.extrapolation.extrapolate`.
    """
    results = [result_of(run) for run in runs]
    found = extrapolate(results)
    texts = [rf"$\alpha = {r.alpha:g}$" if alphas(runs) else plain(r.name) for r in results]
    with matplotlib.rc_context(style.RC):
        figure = Figure(figsize=_SIZE, layout="constrained")
        axis = figure.subplots()
        _draw_line(axis, results, found)
        for index, (result, text) in enumerate(zip(results, texts, strict=True)):
            _draw_point(axis, result, text, found.slope > 0, style.curve(index)[0], style.marker(index))
        exact = results[0].exact
        if exact is not None:
            axis.axhline(exact, zorder=1, **style.REFERENCE)
            axis.annotate(
                *("exact", (0.985, exact)), xycoords=("axes fraction", "data"), xytext=(0, 2),
                textcoords="offset points", ha="right", va="bottom", fontsize=8, color="0.15",
            )  # fmt: skip
        axis.set_xlabel(rf"Variance per spin, $\sigma^2/N$ ({unit_label(results[0].units, 2)})")
        axis.set_ylabel(f"Energy per spin, $E/N$ ({unit_label(results[0].units)})")
        plain_numbers(axis)
        axis.xaxis.set_major_locator(MaxNLocator(5))
        power = math.floor(math.log10(max(result.variance or 0.0 for result in results)))
        if not -3 <= power <= 3:
            axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 10.0**power:g}"))
            axis.set_xlabel(rf"Variance per spin, $\sigma^2/N$ ($10^{{{power}}}$ {unit_label(results[0].units, 2)})")
    return Drawing(figure, _columns(results, found))


def _draw_line(axis: Axes, results: Sequence[Result], found: Extrapolation) -> None:
    largest = max(result.variance or 0.0 for result in results)
    x = np.array([0.0, 1.05 * largest])
    axis.plot(x, found.energy + found.slope * x, color="0.45", linewidth=0.9, zorder=1)
    name = rf"$\sigma^2 \rightarrow 0$:  {_in_print(found)}"
    axis.errorbar([0], [found.energy], [found.error], fmt="*", color="black", markersize=8, capsize=2.5, label=name)
    axis.legend(loc="upper left" if found.slope > 0 else "lower left", handletextpad=0.3, borderaxespad=0.8)
    axis.set_xlim(-0.06 * largest, 1.2 * largest)
    low, high = _range(results, found)
    axis.set_ylim(low - 0.1 * (high - low), high + 0.1 * (high - low))


def _range(results: Sequence[Result], found: Extrapolation) -> tuple[float, float]:
    """Lowest and highest of the energies with their error bars, and of the exact energy."""
    points = [(r.energy, r.energy_error) for r in results] + [(found.energy, found.error)]
    levels = [energy + sign * error for energy, error in points for sign in (-1, 1)]
    levels += [r.exact for r in results if r.exact is not None]
    low, high = min(levels), max(levels)
    return (low, high) if high > low else (low - 1e-6 * abs(low), high + 1e-6 * abs(high))


def _in_print(found: Extrapolation) -> str:
    return with_error(found.energy, found.error).replace("-", "\N{MINUS SIGN}")


def _draw_point(axis: Axes, result: Result, text: str, rising: bool, colour: str, marker: str) -> None:
    """A point with its name, to the right, where the line does not run."""
    x, y = result.variance or 0.0, result.energy
    axis.errorbar([x], [y], [result.energy_error], fmt=marker, color=colour, markersize=5, capsize=2.5, zorder=3)
    axis.annotate(
        *(text, (x, y)), xytext=(6, -3 if rising else 3), textcoords="offset points", ha="left",
        va="top" if rising else "bottom", color=colour, fontsize=8.5,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6}, zorder=2,
    )  # fmt: skip


def _columns(results: Sequence[Result], found: Extrapolation) -> dict[str, Sequence[object]]:
    units = results[0].units
    return {
        "run": [*(r.name for r in results), "zero variance"],
        "variance per site": [*(r.variance for r in results), 0.0],
        f"energy per site [{units}]": [*(r.energy for r in results), found.energy],
        "its standard error": [*(r.energy_error for r in results), found.error],
    }
