"""How the error of the energy falls with the number of hidden units, for several models."""

from __future__ import annotations

import json
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from pvmc.errors import InputError
from pvmc.figures import style
from pvmc.figures.drawing import Drawing
from pvmc.figures.labels import label_ends, plain
from pvmc.io.reader import Run
from pvmc.results.identity import differences, groups
from pvmc.results.result import Result, result_of
from pvmc.statistics.thresholds import DRAWN_ERRORS

_SIZE = (118 * style.MM, 72 * style.MM)


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
        figure = Figure(figsize=_SIZE, layout="constrained")
        axis = figure.subplots()
        axis.set_xscale("log", base=2)
        axis.set_yscale("log")
        for index, curve in enumerate(curves):
            _draw(axis, curve, index)
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
    return Drawing(figure, _columns(curves))


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


def _draw(axis: Axes, curve: Sequence[Result], index: int) -> None:
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
    """Where the point stands: the error, or the upper bound of one that is not resolved."""
    floor = float(np.finfo(np.float64).eps)
    if _resolved(result):
        return max(floor, abs(result.relative_error or 0.0))
    return max(floor, DRAWN_ERRORS * (result.relative_error_error or 0.0))


def _columns(curves: Sequence[Sequence[Result]]) -> dict[str, Sequence[object]]:
    rows = [result for curve in curves for result in curve]
    return {
        "model": [r.model for r in rows],
        "run": [r.name for r in rows],
        "alpha": [r.alpha for r in rows],
        "relative error": [r.relative_error for r in rows],
        "its standard error": [r.relative_error_error for r in rows],
    }
