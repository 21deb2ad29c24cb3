"""Measured structure factors: a line for chains, a map of the Brillouin zone for two-dimensional lattices."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from matplotlib.ticker import FixedLocator, FuncFormatter
from numpy.typing import NDArray

from pvmc.analysis import style
from pvmc.analysis.brillouin import images_inside, mesh_vectors, reciprocal, special_points, wigner_seitz
from pvmc.analysis.drawing import Drawing
from pvmc.analysis.labels import labelled
from pvmc.analysis.measured import Values, last_with
from pvmc.analysis.system import system_of
from pvmc.errors import InputError
from pvmc.io.reader import Run
from pvmc.lattice import Lattice

Floats = NDArray[np.float64]

_LINE = (108 * style.MM, 70 * style.MM)


def structure_factor_drawing(runs: Sequence[Run]) -> Drawing:
    """S(q) of the last measurement: curves over 0 <= q <= 2 pi for chains; for one run in two dimensions, a map.

    Bars are one standard error.  In a map every allowed momentum is the cell of points that are closest to it;
    a is the nearest-neighbour distance.

    Raises:
        InputError: no measured structure factor, lattices of several dimensions, several runs in two dimensions, or
            three dimensions.
    """
    lattices = [system_of(run).lattice for run in runs]
    dimensions = {lattice.periods.shape[0] for lattice in lattices}
    if dimensions == {1}:
        return _lines(runs, lattices)
    if dimensions == {2} and len(runs) == 1 and lattices[0].positions.shape[1] == 2:
        return _maps(runs[0], lattices[0])
    if dimensions == {2}:
        raise InputError("the Brillouin zone of a two-dimensional lattice is drawn for one run at a time")
    raise InputError("structure factors are drawn for lattices that are periodic in one or two dimensions")


def _lines(runs: Sequence[Run], lattices: Sequence[Lattice]) -> Drawing:
    rows: list[tuple[str, str, float, float, float]] = []
    labels, ordered = labelled(runs)
    with matplotlib.rc_context(style.RC):
        figure = Figure(figsize=_LINE, layout="constrained")
        axis, index = figure.subplots(), 0
        for run, label in zip(ordered, labels, strict=True):
            momenta, estimates = _data(run)
            period = np.linalg.norm(lattices[list(runs).index(run)].vectors[0])
            along = momenta @ lattices[list(runs).index(run)].vectors[0] / period
            for component, estimate in estimates.items():
                name = rf"$S^{{{component}}}$" + (f", {label}" if len(runs) > 1 else "")
                _draw_line(axis, along * period, estimate, index, name)
                triples = zip(along.tolist(), estimate.value.tolist(), estimate.error.tolist(), strict=True)
                rows += [(run.name, component, *triple) for triple in triples]
                index += 1
        axis.set_xlim(-0.04 * np.pi, 2.04 * np.pi)
        axis.set_ylim(bottom=0)
        axis.xaxis.set_major_locator(FixedLocator((np.pi * np.arange(0, 2.1, 0.5)).tolist()))
        axis.xaxis.set_major_formatter(FuncFormatter(_multiple_of_pi))
        axis.set_xlabel("Momentum, $q$ (inverse lattice constants)")
        axis.set_ylabel(r"Structure factor, $S(q)$")
        axis.legend(loc="upper right")
    names = ("run", "component", "momentum", "structure factor", "its standard error")
    return Drawing(figure, dict(zip(names, [list(column) for column in zip(*rows, strict=True)], strict=True)))


def _draw_line(axis: Axes, momenta: Floats, estimate: Values, index: int, name: str) -> None:
    colour, dashes = style.curve(index)
    q = np.mod(np.round(momenta, 9), round(2 * np.pi, 9))
    order = np.argsort(q)
    order = np.append(order, order[0])  # 2 pi is 0 again
    x = np.append(q[order[:-1]], 2 * np.pi)
    value, error = estimate.value[order], estimate.error[order]
    axis.plot(x, value, color=colour, dashes=dashes or (None, None), linewidth=0.8)
    size = max(3.0, 6.0 - index)  # what lies below others looks out from under them
    axis.errorbar(x, value, error, fmt=style.marker(index), color=colour, markersize=size, capsize=1.5, label=name)


def _maps(run: Run, lattice: Lattice) -> Drawing:
    momenta, estimates = _data(run)
    vectors = reciprocal(lattice.vectors)
    zone, cell = wigner_seitz(vectors), wigner_seitz(mesh_vectors(lattice.periods))
    values = np.concatenate([estimate.value for estimate in estimates.values()])
    scale = Normalize(min(0.0, float(values.min())), float(values.max()))  # one for all components
    with matplotlib.rc_context(style.RC):
        n = len(estimates)
        width = min(style.PAGE_WIDTH, 76 * style.MM * n)
        figure = Figure(figsize=(width, width / n * 0.86), layout="constrained")
        axes = np.atleast_1d(figure.subplots(1, n))
        for axis, (component, estimate) in zip(axes, estimates.items(), strict=True):
            colours = matplotlib.colormaps[style.SEQUENTIAL]
            boundary = Polygon(zone, closed=True, fill=False, edgecolor="black", linewidth=0.9, zorder=4)
            axis.add_patch(boundary)
            for momentum, value in zip(momenta, estimate.value, strict=True):
                for image in images_inside(momentum, vectors, zone, cell):
                    colour = colours(scale(float(value)))
                    patch = Polygon(image + cell, closed=True, facecolor=colour, edgecolor=colour, linewidth=0.3)
                    axis.add_patch(patch)
                    patch.set_clip_path(boundary)
            _label_points(axis, vectors, scale, momenta, estimate)
            largest = 1.12 * np.abs(zone).max()
            axis.set_xlim(-largest, largest)
            axis.set_ylim(-largest, largest)
            axis.set_aspect("equal")
            axis.set_title(rf"$S^{{{component}}}(\mathbf{{q}})$", fontsize=9)
            for one in (axis.xaxis, axis.yaxis):
                one.set_major_locator(FixedLocator((np.pi * np.arange(-2, 3)).tolist()))
                one.set_major_formatter(FuncFormatter(_multiple_of_pi))
            axis.set_xlabel("Momentum, $q_x$ ($1/a$)")
            axis.tick_params(which="both", direction="out", top=False, right=False)
            bar = figure.colorbar(ScalarMappable(scale, style.SEQUENTIAL), ax=axis, shrink=0.72, aspect=16, pad=0.03)
            bar.ax.tick_params(labelsize=7.5, direction="out", left=False)
        axes[0].set_ylabel("Momentum, $q_y$ ($1/a$)")
    return Drawing(figure, _columns(run, momenta, estimates))


def _label_points(axis: Axes, vectors: Floats, scale: Normalize, momenta: Floats, estimate: Values) -> None:
    """Names of the special points, in ink that is seen on the colour of the momentum that is closest."""
    images = np.array([steps @ vectors for steps in np.ndindex(5, 5)]) - 2 * vectors.sum(axis=0)
    for name, point in special_points(vectors).items():
        distance = np.linalg.norm(momenta[:, None] + images - point, axis=2).min(axis=1)
        dark = scale(float(estimate.value[np.argmin(distance)])) < 0.55
        ink = "white" if dark else "black"
        middle = not point.any()
        inward = point * (1 if middle else 1 - 0.13 * np.pi / max(float(np.linalg.norm(point)), np.pi))
        if not middle:
            axis.plot(*point, "o", color="black", markersize=3, zorder=5)
        x, y = inward.tolist()
        axis.text(x, y, name, color=ink, ha="center" if middle else "right", va="center", fontsize=7.5, zorder=6)


def _data(run: Run) -> tuple[Floats, dict[str, Values]]:
    measurement, estimates = last_with(run, "structure_factor")
    if "momentum" not in measurement.coordinates:
        raise InputError(f"{run.path}: measurement {measurement.number} does not say at which momenta it was made")
    return np.asarray(measurement.coordinates["momentum"], dtype=np.float64), estimates


def _multiple_of_pi(value: float, _: object) -> str:
    share = round(value / np.pi, 6)
    if share == 0:
        return "0"
    text = {1: "", -1: "-"}.get(int(share), f"{share:g}") if share == int(share) else f"{share:g}"
    return rf"${text}\pi$"


def _columns(run: Run, momenta: Floats, estimates: dict[str, Values]) -> dict[str, Sequence[object]]:
    n = len(estimates)
    columns: dict[str, Sequence[object]] = {
        "run": [run.name] * (n * len(momenta)),
        "component": np.repeat(list(estimates), len(momenta)).tolist(),
    }
    for axis in range(momenta.shape[1]):
        columns[f"momentum {'xyz'[axis]}"] = np.tile(momenta[:, axis], n).tolist()
    return columns | {
        "structure factor": np.concatenate([e.value for e in estimates.values()]).tolist(),
        "its standard error": np.concatenate([e.error for e in estimates.values()]).tolist(),
    }
