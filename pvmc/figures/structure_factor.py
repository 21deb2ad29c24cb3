"""Measured structure factors: lines for chains, maps of the Brillouin zone in two dimensions, cuts of it in three."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter
from numpy.typing import NDArray

from pvmc.errors import InputError
from pvmc.figures import style
from pvmc.figures.drawing import Drawing
from pvmc.figures.style import labelled
from pvmc.figures.zone_maps import ZoneMap, multiple_of_pi, zone_maps
from pvmc.io.reader import Run
from pvmc.lattice import Lattice
from pvmc.results.measured import Values, last_with
from pvmc.results.stored_system import system_of

Floats = NDArray[np.float64]

_LINE = (108 * style.MM, 70 * style.MM)

_TINY = 1e-8


def structure_factor_drawing(runs: Sequence[Run]) -> Drawing:
    """S(q) of the last measurement of each run, by the number of periodic directions.

    One: curves over 0 <= q <= 2 pi, with bars of one standard error.  Two: a map of the Brillouin zone for each run and
    component, without errors.  Three: a map at each allowed q_z from 0 to the edge; as S(-q) = S(q), the others are the
    same turned around.

    Raises:
        InputError: no measured structure factor, lattices of several dimensions, or others than these.
    """
    labels, ordered = labelled(runs)
    lattices = [system_of(run).lattice for run in ordered]
    dimensions = {lattice.periods.shape[0] for lattice in lattices}
    if len(dimensions) > 1:
        raise InputError("structure factors go into one figure where the lattices have as many periodic directions")
    if dimensions == {1}:
        return _lines(ordered, labels, lattices)
    if dimensions in ({2}, {3}):
        return _maps(ordered, labels, lattices)
    raise InputError("structure factors are drawn for lattices that are periodic in one, two or three dimensions")


def _lines(runs: Sequence[Run], labels: Sequence[str], lattices: Sequence[Lattice]) -> Drawing:
    rows: list[tuple[str, str, float, float, float]] = []
    with matplotlib.rc_context(style.RC):
        figure = Figure(figsize=_LINE, layout="constrained")
        axis, index = figure.subplots(), 0
        for run, label, lattice in zip(runs, labels, lattices, strict=True):
            momenta, estimates = _data(run)
            period = np.linalg.norm(lattice.vectors[0])
            along = momenta @ lattice.vectors[0] / period
            for component, estimate in estimates.items():
                name = rf"$S^{{{component}}}$" + (f", {label}" if len(runs) > 1 else "")
                _draw_line(axis, along * period, estimate, index, name)
                triples = zip(along.tolist(), estimate.value.tolist(), estimate.error.tolist(), strict=True)
                rows += [(run.name, component, *triple) for triple in triples]
                index += 1
        axis.set_xlim(-0.04 * np.pi, 2.04 * np.pi)
        axis.set_ylim(bottom=0)
        axis.xaxis.set_major_locator(FixedLocator((np.pi * np.arange(0, 2.1, 0.5)).tolist()))
        axis.xaxis.set_major_formatter(FuncFormatter(multiple_of_pi))
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


def _maps(runs: Sequence[Run], labels: Sequence[str], lattices: Sequence[Lattice]) -> Drawing:
    blocks: list[list[ZoneMap]] = []
    columns: dict[str, list[object]] = {}
    for run, label, lattice in zip(runs, labels, lattices, strict=True):
        momenta, estimates = _data(run)
        blocks += _blocks(run, lattice, momenta, estimates, f", {label}" if len(runs) > 1 else "")
        for name, column in _columns(run, momenta[:, : len(lattice.periods)], estimates).items():
            columns.setdefault(name, []).extend(column)
    if all(len(block) == 1 for block in blocks):
        blocks = [[block[0] for block in blocks]]
    with matplotlib.rc_context(style.RC):
        return Drawing(zone_maps(blocks, r"Structure factor, $S(\mathbf{q})$"), columns)


def _blocks(
    run: Run, lattice: Lattice, momenta: Floats, estimates: dict[str, Values], ending: str
) -> Iterator[list[ZoneMap]]:
    """Maps that belong together: all components of a run, or in three dimensions all cuts of one component."""
    names = {component: rf"$S^{{{component}}}$" for component in estimates}
    periods = lattice.periods
    if len(periods) == 2:
        vectors = _spanning(run, lattice)
        yield [
            ZoneMap(names[component] + ending, vectors, periods[:, :2], momenta[:, :2], estimate.value)
            for component, estimate in estimates.items()
        ]
        return
    _require_layers(run, lattice)
    edge = np.pi / abs(float(lattice.vectors[2, 2]))
    height = np.mod(np.round(momenta[:, 2], 9), round(2 * edge, 9))
    cuts = [(z, height == z) for z in np.unique(height).tolist() if z < edge + _TINY]
    for component, estimate in estimates.items():
        yield [
            ZoneMap(
                rf"{names[component]}, $q_z =$ {multiple_of_pi(z)}{ending}", lattice.vectors[:2, :2], periods[:2, :2],
                momenta[at, :2], estimate.value[at], names=z == 0,
            )
            for z, at in cuts
        ]  # fmt: skip


def _spanning(run: Run, lattice: Lattice) -> Floats:
    """The two primitive vectors in the plane of x and y, (2, 2), of a lattice that is periodic in that plane alone."""
    flat = [vector[:2] for vector in lattice.vectors if not np.abs(vector[2:]).any()]
    if len(flat) != 2 or np.abs(lattice.periods[:, 2:]).any():
        raise InputError(f"{run.path}: the zone of layers is drawn where they lie in the plane of x and y")
    return np.array(flat)


def _require_layers(run: Run, lattice: Lattice) -> None:
    """Cuts at one q_z are zones of two dimensions where nothing but the third vector leaves the plane of x and y."""
    for rows in (lattice.vectors, lattice.periods):
        if max(np.abs(rows[:2, 2]).max(), np.abs(rows[2, :2]).max()) > _TINY:
            raise InputError(
                f"{run.path}: cuts of the zone are drawn where the third lattice vector is along z, the others across"
            )


def _data(run: Run) -> tuple[Floats, dict[str, Values]]:
    measurement, estimates = last_with(run, "structure_factor")
    if "momentum" not in measurement.coordinates:
        raise InputError(f"{run.path}: measurement {measurement.number} does not say at which momenta it was made")
    return np.asarray(measurement.coordinates["momentum"], dtype=np.float64), estimates


def _columns(run: Run, momenta: Floats, estimates: dict[str, Values]) -> dict[str, list[object]]:
    n = len(estimates)
    columns: dict[str, list[object]] = {
        "run": [run.name] * (n * len(momenta)),
        "component": np.repeat(list(estimates), len(momenta)).tolist(),
    }
    for axis in range(momenta.shape[1]):
        columns[f"momentum {'xyz'[axis]}"] = np.tile(momenta[:, axis], n).tolist()
    return columns | {
        "structure factor": np.concatenate([e.value for e in estimates.values()]).tolist(),
        "its standard error": np.concatenate([e.error for e in estimates.values()]).tolist(),
    }
