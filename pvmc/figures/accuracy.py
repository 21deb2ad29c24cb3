"""Accuracy of wave functions: relative errors against alpha, energies against variances."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from pvmc.errors import InputError
from pvmc.figures import style
from pvmc.figures.drawing import Drawing
from pvmc.figures.style import alphas, label_ends, plain, plain_numbers, unit_label
from pvmc.io.reader import Run
from pvmc.results.digits import with_error
from pvmc.results.result import Result, ZeroVariance, extrapolate, result_of
from pvmc.results.stored_system import differences, groups
from pvmc.statistics.thresholds import DRAWN_ERRORS

_ERROR_SIZE = (118 * style.MM, 72 * style.MM)


def error_alpha_drawing(runs: Sequence[Run]) -> Drawing:
    """Relative error |E / E_exact - 1| against alpha, one curve per system; after Fig. 3 of Carleo and Troyer.

    Runs of one model that differ in a key of [lattice] or [hamiltonian], in the magnetisation or in quantum numbers are
    of different systems: each has a curve of its own, with what it differs in.

    Bars are one standard error.  An error that is not resolved (below two standard errors) is drawn as an open
    triangle that points down, at its upper bound of two standard errors.

    Raises:
        InputError: a run without alpha or without an exact energy.
    """
    results = [result_of(run) for run in runs]
    for result in results:
        if result.alpha is None or result.relative_error is None:
            lacks = "alpha" if result.alpha is None else "exact energy that is not zero"
            raise InputError(f"{result.path} has no {lacks}: there is no error against alpha to draw")
    curves = [sorted(group, key=lambda result: result.alpha or 0.0) for group in groups(results)]
    with matplotlib.rc_context(style.RC):
        figure = Figure(figsize=_ERROR_SIZE, layout="constrained")
        axis = figure.subplots()
        axis.set_xscale("log", base=2)
        axis.set_yscale("log")
        for index, curve in enumerate(curves):
            _draw_errors(axis, curve, index)
        axis.set_xlabel(r"Density of hidden units, $\alpha = M/N$")
        axis.set_ylabel(r"Relative error, $|E / E_{\rm exact} - 1|$")
        axis.xaxis.set_major_locator(FixedLocator(sorted({float(r.alpha or 0) for r in results})))
        axis.xaxis.set_minor_locator(NullLocator())
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.margins(x=0.08, y=0.12)
        titles = _titles(curves)
        colours = [style.curve(index)[0] for index in range(len(curves))]
        ends = [_height(curve[-1]) for curve in curves]
        label_ends(axis, ends, titles, colours, gap=0.065 * (1 + max(title.count("\n") + 1 for title in titles)))
    return Drawing(figure, _error_columns(curves))


def _title(model: str) -> str:
    """The model in two lines: what it is, and of what size."""
    first, _, second = model.partition(", ")
    return plain(f"{first[:1].upper()}{first[1:]}\n{second}")


def _titles(curves: Sequence[Sequence[Result]]) -> list[str]:
    """The model of each curve; where several have one name, with the keys in which they differ."""
    models = [curve[0].model for curve in curves]
    titles = []
    for curve, model in zip(curves, models, strict=True):
        same = [other[0] for other, name in zip(curves, models, strict=True) if name == model]
        remarks = [_value(curve[0], text.partition(":")[0]) for text in differences(same)[:2]]
        titles.append("\n".join([_title(model), *map(plain, remarks)]))
    return titles


def _value(result: Result, key: str) -> str:
    """A key of the input without its section, and its value."""
    value = json.loads(result.system).get(key)
    return f"{key.rpartition('.')[2]} = {json.dumps(value) if value is not None else 'none'}"


def _draw_errors(axis: Axes, curve: Sequence[Result], index: int) -> None:
    colour, dashes = style.curve(index)
    alpha = np.array([result.alpha for result in curve], dtype=np.float64)
    height = np.array([_height(result) for result in curve])
    error = np.array([result.relative_error_error or 0.0 for result in curve])
    seen = np.array([_resolved(result) for result in curve])
    axis.plot(alpha, height, color=colour, dashes=dashes or (None, None), linewidth=0.9)
    axis.errorbar(
        *(alpha[seen], height[seen], error[seen]), fmt=style.marker(index), color=colour, markersize=4.5, capsize=2
    )
    axis.plot(alpha[~seen], height[~seen], "v", color=colour, markersize=6, markerfacecolor="white", linestyle="none")


def _resolved(result: Result) -> bool:
    return abs(result.relative_error or 0.0) > DRAWN_ERRORS * (result.relative_error_error or 0.0)


def _height(result: Result) -> float:
    """Height of the point: the error, or the upper bound of one that is not resolved."""
    floor = float(np.finfo(np.float64).eps)
    if _resolved(result):
        return max(floor, abs(result.relative_error or 0.0))
    return max(floor, DRAWN_ERRORS * (result.relative_error_error or 0.0))


def _error_columns(curves: Sequence[Sequence[Result]]) -> dict[str, Sequence[object]]:
    rows = [result for curve in curves for result in curve]
    return {
        "model": [r.model for r in rows],
        "run": [r.name for r in rows],
        "alpha": [r.alpha for r in rows],
        "relative error": [r.relative_error for r in rows],
        "its standard error": [r.relative_error_error for r in rows],
    }


_VARIANCE_SIZE = (110 * style.MM, 72 * style.MM)


def variance_drawing(runs: Sequence[Run]) -> Drawing:
    """E/N against Var/N of several wave functions of one system, with the extrapolation to zero variance.

    Raises:
        InputError: see :func:`pvmc.results.result.extrapolate`.
    """
    results = [result_of(run) for run in runs]
    found = extrapolate(results)
    texts = [rf"$\alpha = {r.alpha:g}$" if alphas(runs) else plain(r.name) for r in results]
    with matplotlib.rc_context(style.RC):
        figure = Figure(figsize=_VARIANCE_SIZE, layout="constrained")
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
    return Drawing(figure, _variance_columns(results, found))


def _draw_line(axis: Axes, results: Sequence[Result], found: ZeroVariance) -> None:
    largest = max(result.variance or 0.0 for result in results)
    x = np.array([0.0, 1.05 * largest])
    axis.plot(x, found.energy + found.slope * x, color="0.45", linewidth=0.9, zorder=1)
    name = rf"$\sigma^2 \rightarrow 0$:  {_in_print(found)}"
    axis.errorbar([0], [found.energy], [found.error], fmt="*", color="black", markersize=8, capsize=2.5, label=name)
    axis.legend(loc="upper left" if found.slope > 0 else "lower left", handletextpad=0.3, borderaxespad=0.8)
    axis.set_xlim(-0.06 * largest, 1.2 * largest)
    low, high = _range(results, found)
    axis.set_ylim(low - 0.1 * (high - low), high + 0.1 * (high - low))


def _range(results: Sequence[Result], found: ZeroVariance) -> tuple[float, float]:
    """Lowest and highest of the energies with their error bars, and of the exact energy."""
    points = [(r.energy, r.energy_error) for r in results] + [(found.energy, found.error)]
    levels = [energy + sign * error for energy, error in points for sign in (-1, 1)]
    levels += [r.exact for r in results if r.exact is not None]
    low, high = min(levels), max(levels)
    return (low, high) if high > low else (low - 1e-6 * abs(low), high + 1e-6 * abs(high))


def _in_print(found: ZeroVariance) -> str:
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


def _variance_columns(results: Sequence[Result], found: ZeroVariance) -> dict[str, Sequence[object]]:
    units = results[0].units
    return {
        "run": [*(r.name for r in results), "zero variance"],
        "variance per site": [*(r.variance for r in results), 0.0],
        f"energy per site [{units}]": [*(r.energy for r in results), found.energy],
        "its standard error": [*(r.energy_error for r in results), found.error],
    }
