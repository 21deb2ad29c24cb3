"""Maps of quantities over two-dimensional Brillouin zones, as small multiples with one colour bar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, FuncFormatter
from numpy.typing import NDArray

from pvmc.figures import style
from pvmc.figures.brillouin import images_inside, mesh_vectors, reciprocal, special_points, wigner_seitz

Floats = NDArray[np.float64]

MOST_COLUMNS = 4
"""Most maps in a row."""

_LARGEST_MAP = 66 * style.MM
_BAR, _LABELS = 17 * style.MM, 11 * style.MM
_TITLE = 7 * style.MM

_LARGEST_DENOMINATOR = 200


@dataclass(frozen=True, eq=False)
class ZoneMap:
    """One map.

    Attributes:
        title: what stands above it.
        vectors: float64 (2, 2), primitive vectors of the lattice.
        periods: float64 (2, 2), vectors along which the cluster repeats.
        momenta: float64 (n, 2), all that the periods allow.
        values: float64 (n,).
        names: whether the special points of the zone are named.
    """

    title: str
    vectors: Floats
    periods: Floats
    momenta: Floats
    values: Floats
    names: bool = True


def zone_maps(blocks: Sequence[Sequence[ZoneMap]], label: str) -> Figure:
    """All maps on the same scale, in colours and in momenta; every block begins on a row of its own.

    Every allowed momentum is the cell of points that are closest to it; a is the nearest-neighbour distance.

    Args:
        blocks: maps that belong together.
        label: of the colour bar.
    """
    rows = [row for block in blocks for row in _rows(block)]
    maps = [one for row in rows for one in row]
    n_columns = max(len(row) for row in rows)
    scale = Normalize(min(0.0, *(float(one.values.min()) for one in maps)), max(float(m.values.max()) for m in maps))
    largest = 1.12 * max(float(np.abs(wigner_seitz(reciprocal(one.vectors))).max()) for one in maps)
    side = min(_LARGEST_MAP, (style.PAGE_WIDTH - _BAR - _LABELS) / n_columns)
    size = (n_columns * side + _BAR + _LABELS, len(rows) * (side + _TITLE) + _LABELS)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(rows), n_columns, squeeze=False, sharex=True, sharey=True)
    for axes, row in zip(grid, rows, strict=True):
        for axis, one in zip(axes, row, strict=False):
            _draw(axis, one, scale)
        for axis in axes[len(row) :]:
            axis.remove()
        axes[0].set_ylabel("Momentum, $q_y$ ($1/a$)")
    grid[0, 0].set_xlim(-largest, largest)
    grid[0, 0].set_ylim(-largest, largest)
    for column in range(n_columns):
        lowest = max(index for index, row in enumerate(rows) if len(row) > column)
        grid[lowest, column].set_xlabel("Momentum, $q_x$ ($1/a$)")
        grid[lowest, column].tick_params(labelbottom=True)
    shown = [axis for axes, row in zip(grid, rows, strict=True) for axis in axes[: len(row)]]
    bar = figure.colorbar(
        ScalarMappable(scale, style.SEQUENTIAL), ax=shown, shrink=0.8, aspect=22 * len(rows), pad=0.02
    )
    bar.ax.tick_params(labelsize=7.5, direction="out", left=False)
    bar.set_label(label)
    return figure


def _rows(block: Sequence[ZoneMap]) -> list[Sequence[ZoneMap]]:
    """Rows of nearly the same length."""
    n_rows = -(-len(block) // MOST_COLUMNS)
    length = -(-len(block) // n_rows)
    return [block[i : i + length] for i in range(0, len(block), length)]


def multiple_of_pi(value: float, _: object = None) -> str:
    """0, pi/2, -2 pi/3 and so on, as mathematics."""
    share = Fraction(value / np.pi).limit_denominator(_LARGEST_DENOMINATOR)
    if share == 0:
        return "$0$"
    number = {1: "", -1: "-"}.get(share.numerator, str(share.numerator))
    below = "" if share.denominator == 1 else f"/{share.denominator}"
    return rf"${number}\pi{below}$"


def _draw(axis: Axes, one: ZoneMap, scale: Normalize) -> None:
    vectors = reciprocal(one.vectors)
    zone, cell = wigner_seitz(vectors), wigner_seitz(mesh_vectors(one.periods))
    colours = matplotlib.colormaps[style.SEQUENTIAL]
    boundary = Polygon(zone, closed=True, fill=False, edgecolor="black", linewidth=0.9, zorder=4)
    axis.add_patch(boundary)
    for momentum, value in zip(one.momenta, one.values, strict=True):
        colour = colours(scale(float(value)))
        for image in images_inside(momentum, vectors, zone, cell):
            patch = Polygon(image + cell, closed=True, facecolor=colour, edgecolor=colour, linewidth=0.3)
            axis.add_patch(patch)
            patch.set_clip_path(boundary)
    if one.names:
        _name_points(axis, vectors)
    axis.set_aspect("equal")
    axis.set_title(one.title, fontsize=9)
    for part in (axis.xaxis, axis.yaxis):
        part.set_major_locator(FixedLocator((np.pi * np.arange(-2, 3)).tolist()))
        part.set_major_formatter(FuncFormatter(multiple_of_pi))
    axis.tick_params(which="both", direction="out", top=False, right=False)


def _name_points(axis: Axes, vectors: Floats) -> None:
    """Names of the special points, with an outline, to be seen on cells of any colour."""
    outline = [withStroke(linewidth=1.6, foreground="black")]
    for name, point in special_points(vectors).items():
        middle = not point.any()
        inward = point * (1 if middle else 1 - 0.13 * np.pi / max(float(np.linalg.norm(point)), np.pi))
        if not middle:
            axis.plot(*point, "o", color="black", markersize=3, zorder=5)
        x, y = inward.tolist()
        side = "center" if middle else "right"
        axis.text(x, y, name, color="white", ha=side, va="center", fontsize=7.5, zorder=6, path_effects=outline)
