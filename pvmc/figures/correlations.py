"""Measured spin correlations against the distance."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter, ScalarFormatter
from numpy.typing import NDArray

from pvmc.errors import InputError
from pvmc.figures import style
from pvmc.figures.drawing import Drawing
from pvmc.figures.style import labelled, letters
from pvmc.io.reader import Run
from pvmc.results.measured import last_with

_HEIGHT = 70 * style.MM


class CorrelationCurve:
    """C(r) of one component of one run.

    Attributes:
        run, label, component: what it is of.
        distance, value, error: float64 (n,), by ascending distance; without the site itself.
        displacement: float64 (n, d).
    """

    def __init__(self, run: Run, label: str, component: str):
        measurement, estimates = last_with(run, "correlation")
        estimate, coordinates = estimates[component], measurement.coordinates
        if not {"distance", "displacement"} <= coordinates.keys():
            raise InputError(f"{run.path}: measurement {measurement.number} does not say where its correlations are")
        distance = np.asarray(coordinates["distance"], dtype=np.float64)
        order = np.argsort(distance, kind="stable")
        order = order[distance[order] > 0]
        self.run, self.label, self.component = run, label, component
        self.distance = distance[order]
        self.value, self.error = estimate.value[order], estimate.error[order]
        self.displacement = np.asarray(coordinates["displacement"])[order]


def correlations_drawing(runs: Sequence[Run]) -> Drawing:
    """(a) C(r) = <sigma_0 sigma_r> and (b) its magnitude on logarithmic axes, of the last measurement of each run.

    One curve per component and run.  Bars are one standard error.  In (b) what is not resolved (below two standard
    errors) is left out, and open symbols are negative correlations.  Lines join the means over equal distances.

    Raises:
        InputError: a run without measured correlations, or of sites that lie nowhere.
    """
    labels, ordered = labelled(runs)
    several = len(runs) > 1
    curves = [
        CorrelationCurve(run, label, component)
        for run, label in zip(ordered, labels, strict=True)
        for component in last_with(run, "correlation")[1]
    ]
    if nowhere := next((curve for curve in curves if curve.distance.size == 0), None):
        raise InputError(f"{nowhere.run.path}: its sites are at no distance; give the graph lattice.positions")
    with matplotlib.rc_context(style.RC):
        figure = Figure(figsize=(style.PAGE_WIDTH, _HEIGHT), layout="constrained")
        left, right = figure.subplots(1, 2)
        for index, curve in enumerate(curves):
            name = rf"$C^{{{curve.component}}}$" + (f", {curve.label}" if several else "")
            _draw(left, curve, index, name, len(curves))
            _draw_magnitude(right, curve, index, len(curves))
        left.axhline(0, color="0.6", linewidth=0.5, zorder=0)
        left.set_ylabel(r"Correlation, $\langle\sigma^a_0\,\sigma^a_r\rangle$")
        right.set_ylabel(r"$|\langle\sigma^a_0\,\sigma^a_r\rangle|$")
        for axis in (left, right):
            axis.set_xlabel("Distance, $r$ (nearest-neighbour distances)")
        left.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        left.set_xlim(0, 1.06 * max(curve.distance.max() for curve in curves))
        right.set_xscale("log")
        right.set_yscale("log")
        right.xaxis.set_major_formatter(ScalarFormatter())
        right.xaxis.set_minor_formatter(NullFormatter())
        right.set_xticks([r for r in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32) if r <= max(c.distance.max() for c in curves)])
        left.legend(loc="lower right", ncols=1 + len(curves) // 5)
        letters([left, right])
    return Drawing(figure, _columns(curves))


def averaged(distance: NDArray[np.float64], value: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Distinct distances and the mean of the values at each; distances that differ by rounding count as one."""
    distinct, place = np.unique(np.round(distance, 6), return_inverse=True)
    return distinct, np.bincount(place, value) / np.bincount(place)


def _offset(index: int, n: int) -> float:
    """Symbols of several components stand a little apart, so that none hides another."""
    return 0.05 * (index - (n - 1) / 2) if n > 1 else 0.0


def _draw(axis: Axes, curve: CorrelationCurve, index: int, name: str, n: int) -> None:
    colour, dashes = style.curve(index)
    axis.plot(*averaged(curve.distance, curve.value), color=colour, dashes=dashes or (None, None), linewidth=0.7)
    axis.errorbar(
        *(curve.distance + _offset(index, n), curve.value, curve.error), fmt=style.marker(index), color=colour,
        markersize=3.6, capsize=1.5, label=name,
    )  # fmt: skip


def _draw_magnitude(axis: Axes, curve: CorrelationCurve, index: int, n: int) -> None:
    colour, dashes = style.curve(index)
    seen = np.abs(curve.value) > 2 * curve.error
    r, mean = averaged(curve.distance[seen], np.abs(curve.value[seen]))
    axis.plot(r, mean, color=colour, dashes=dashes or (None, None), linewidth=0.7)
    for negative in (False, True):
        chosen = seen & ((curve.value < 0) == negative)
        axis.errorbar(
            *(curve.distance[chosen] * (1 + 0.4 * _offset(index, n)), np.abs(curve.value[chosen]), curve.error[chosen]),
            fmt=style.marker(index), color=colour, markersize=3.8, capsize=1.5,
            markerfacecolor="white" if negative else colour,
        )  # fmt: skip


def _columns(curves: Sequence[CorrelationCurve]) -> dict[str, Sequence[object]]:
    columns: dict[str, Sequence[object]] = {
        "run": [curve.run.name for curve in curves for _ in curve.value],
        "component": [curve.component for curve in curves for _ in curve.value],
    }
    dimension = max(curve.displacement.shape[1] for curve in curves)
    for axis in range(dimension):
        columns[f"displacement {'xyz'[axis]}"] = [
            displacement[axis] if axis < len(displacement) else None
            for curve in curves
            for displacement in curve.displacement.tolist()
        ]
    return columns | {
        "distance": np.concatenate([curve.distance for curve in curves]).tolist(),
        "correlation": np.concatenate([curve.value for curve in curves]).tolist(),
        "its standard error": np.concatenate([curve.error for curve in curves]).tolist(),
    }
