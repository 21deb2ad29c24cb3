"""Brillouin zones of two-dimensional lattices, and maps of quantities over them."""

from __future__ import annotations

import itertools
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
from scipy.spatial import Voronoi

from pvmc.figures import style

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
        names: True where the special points of the zone are named.
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


_EDGE = 1e-9


def reciprocal(vectors: Floats) -> Floats:
    """Rows b_j with a_i . b_j = 2 pi delta_ij, shape of ``vectors`` (m, d)."""
    return np.asarray(2 * np.pi * np.linalg.pinv(vectors).T)


def wigner_seitz(vectors: Floats) -> Floats:
    """Corners of the points that are closer to the origin than to any other lattice point, (n, 2), counterclockwise.

    Args:
        vectors: two rows that span the lattice, (2, 2).
    """
    steps = np.array(list(itertools.product(range(-3, 4), repeat=2)))
    points = steps @ _shortest(vectors)
    diagram = Voronoi(points)
    origin = int(np.flatnonzero((steps == 0).all(axis=1))[0])
    corners = diagram.vertices[diagram.regions[diagram.point_region[origin]]]
    return np.asarray(corners[np.argsort(np.arctan2(corners[:, 1], corners[:, 0]))])


def images_inside(momentum: Floats, vectors: Floats, zone: Floats, margin: Floats) -> list[Floats]:
    """All k + G whose cell (the polygon ``margin`` about them) can reach into the zone; (2,) each.

    Args:
        momentum: k, (2,).
        vectors: the reciprocal lattice, (2, 2).
        zone: corners of the first Brillouin zone.
        margin: corners of the cell of one momentum.
    """
    basis = _shortest(vectors)
    whole = np.rint(momentum @ np.linalg.inv(basis))
    reach = np.linalg.norm(zone, axis=1).max() + np.linalg.norm(margin, axis=1).max()
    near = [momentum + (np.array(step) - whole) @ basis for step in itertools.product(range(-2, 3), repeat=2)]
    return [point for point in near if np.linalg.norm(point) < reach + _EDGE]


def special_points(vectors: Floats) -> dict[str, Floats]:
    """Gamma, the middle of an edge of the zone and a corner of it, by their usual names, of square-like and hexagonal
    zones."""
    zone = wigner_seitz(vectors)
    edge = (zone + np.roll(zone, -1, axis=0)) / 2
    hexagonal = len(zone) == 6
    along_x = np.argmax(edge @ np.array([1.0, 1e-3]))
    corner = np.argmax(zone @ np.array([1.0, 1e-3 if hexagonal else 1.0]))
    return {r"$\Gamma$": np.zeros(2), "M" if hexagonal else "X": edge[along_x], "K" if hexagonal else "M": zone[corner]}


def mesh_vectors(periods: Floats) -> Floats:
    """Vectors that span the allowed momenta: exp(i k.P) = 1 for the periods P, rows (2, 2)."""
    return reciprocal(periods)


def _shortest(vectors: Sequence[Floats] | Floats) -> Floats:
    """Two short vectors that span the same lattice (Gauss' reduction)."""
    a, b = (np.asarray(vector, dtype=np.float64) for vector in vectors)
    while True:
        if a @ a > b @ b:
            a, b = b, a
        steps = np.rint(a @ b / (a @ a))
        if steps == 0:
            return np.array([a, b])
        b = b - steps * a
