"""Pictures of lattices: sites, bonds by neighbour shell, sublattices and the unit cell.

Figures are built without pyplot, so there is no global state and no display is needed.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, Polygon
from numpy.typing import NDArray
from PIL import Image

from pvmc.errors import InputError
from pvmc.figures import style
from pvmc.figures.drawing import save, writing
from pvmc.figures.placement import Placement, place
from pvmc.lattice import Lattice, LatticeError

NUMBERED_SITES = 64
"""Most sites that carry their number."""

LABELLED_BONDS = 40
"""Most bonds of a graph that carry their coupling."""

Floats = NDArray[np.float64]

_PIXELS = 160  # per inch
_PALETTE = 96  # colours of a PNG
_LARGEST = style.PAGE_WIDTH  # inches, either way
_SCALE = 0.5  # inches per unit of length, at most
_FREE_SCALE = 0.8  # the same for graphs, whose bonds cross and carry numbers
_MARGIN = 0.7  # units of length around the sites
_STUB = 0.62  # length of the stubs of a bond across a boundary

_SHELL_COLOURS = ("#444444", style.COLOURS[5], style.COLOURS[1])
_SHELL_WIDTHS = (1.5, 0.9, 0.9)
_SHELL_DASHES: tuple[Any, ...] = ("-", (0.0, (4.5, 1.8)), (0.0, (1.3, 1.3)))
_SUBLATTICES = {1: style.COLOURS[2], -1: style.COLOURS[0], 0: "#5B7083"}
_NEGATIVE = style.COLOURS[5]
_CELL = style.COLOURS[6]


def draw(
    lattice: Lattice,
    output: str | os.PathLike[str],
    shells: int | None = None,
    formats: Sequence[str] = ("png", "pdf"),
) -> list[Path]:
    """Draw :func:`lattice_figure` into files.  The same lattice gives the same bytes.

    Args:
        lattice: what to draw.
        output: path of the files without suffix; a suffix that is one of ``formats`` is dropped.
        shells: see :func:`lattice_figure`.
        formats: file types.

    Returns:
        The files written, one per format.

    Raises:
        InputError: see :func:`lattice_figure`.
        StorageError: a file cannot be written.
    """
    paths = save(lattice_figure(lattice, shells), output, formats, dpi=_PIXELS, bbox_inches="tight", pad_inches=0.03)
    for path in paths:
        if path.suffix == ".png":
            with writing(path):
                _shrink(path)
    return paths


def _shrink(path: Path) -> None:
    """Store a picture with a palette, which makes its file several times smaller."""
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(_PALETTE, dither=Image.Dither.NONE)
    small.save(path, optimize=True, dpi=(_PIXELS, _PIXELS))


def lattice_figure(lattice: Lattice, shells: int | None = None) -> Figure:
    """Sites, numbered where they are few and coloured by sublattice; bonds in one style per neighbour shell.

    A bond across a periodic boundary is drawn as two stubs that fade away, one at each of its ends.  The unit cell is
    shaded, with its primitive vectors as arrows; a dotted line runs around a cluster that is periodic in the plane.
    Bonds that would run through a site are bent.  Rings are drawn as circles, graphs without positions by their
    distances in bonds, with the couplings written at the bonds; three dimensions are seen from above and aside.

    Args:
        lattice: what to draw.
        shells: neighbour shells to draw; by default two, but one in three dimensions.

    Raises:
        InputError: the lattice does not have as many shells.
    """
    n_shells = _shells_to_draw(lattice, shells)
    placed = place(lattice)
    with matplotlib.rc_context(style.RC):
        figure, axis, scale = _canvas(lattice, placed)
        if placed.projection is not None:
            _draw_cell(axis, lattice, placed.projection)
        for shell in range(n_shells, 0, -1):
            _draw_bonds(axis, lattice, placed, shell)
        if len(set(lattice.couplings().tolist())) > 1 and len(lattice.bonds()) <= LABELLED_BONDS:
            _write_couplings(axis, lattice, placed)
        _draw_sites(axis, lattice, placed, scale)
        _draw_legend(axis, lattice, n_shells)
    return figure


def _shells_to_draw(lattice: Lattice, shells: int | None) -> int:
    known = len(lattice.shells)
    if shells is None:
        return min(known, 1 if lattice.positions.shape[1] == 3 else 2)
    if not 1 <= shells <= known:
        raise InputError(f"{shells} neighbour shells to draw: must be 1 to {known}")
    return shells


def _canvas(lattice: Lattice, placed: Placement) -> tuple[Figure, Axes, float]:
    """A figure without axes that just holds the picture, and its scale in inches per unit of length."""
    low, high = placed.points.min(axis=0) - _MARGIN, placed.points.max(axis=0) + _MARGIN
    if placed.projection is not None:
        corners = np.concatenate([_outline(lattice, placed.projection), _cell(lattice, placed.projection)])
        low, high = np.minimum(low, corners.min(axis=0) - 0.4), np.maximum(high, corners.max(axis=0) + 0.1)
    most = _SCALE if len(lattice.vectors) else _FREE_SCALE
    scale = float(min(most, *(_LARGEST / (high - low))))
    figure = Figure(figsize=tuple(scale * (high - low)))
    axis = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axis.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
    axis.set_axis_off()
    return figure, axis, scale


# Bonds ----------------------------------------------------------------------------------------------------------------


def _draw_bonds(axis: Axes, lattice: Lattice, placed: Placement, shell: int) -> None:
    bonds, couplings = lattice.bonds(shell), lattice.couplings(shell)
    if len(bonds) == 0:
        return
    displacements = lattice.displacements(shell)
    widths = _SHELL_WIDTHS[shell - 1] * np.clip(np.abs(couplings) / np.abs(couplings).max(), 0.3, 1.0)
    lines: list[Floats] = []
    colours: list[tuple[float, ...]] = []
    line_widths: list[float] = []
    stubs: list[tuple[Floats, Floats, tuple[float, ...]]] = []
    farthest_first = np.argsort(-placed.depth[bonds].mean(axis=1), kind="stable")
    for bond in farthest_first.tolist():
        i, j = bonds[bond].tolist()
        colour = _faded(_SHELL_COLOURS[shell - 1] if couplings[bond] >= 0 else _NEGATIVE, placed.depth[[i, j]].mean())
        direct = placed.points[j] - placed.points[i]
        vector = direct if placed.projection is None else displacements[bond] @ placed.projection
        if np.abs(vector - direct).max() < 1e-6:
            bow = _bow(lattice, placed, i, j, shell)
            lines.append(_curve(placed.points[i], placed.points[j], bow))
            colours.append(colour)
            line_widths.append(widths[bond])
        else:
            stubs += [(placed.points[i], vector, colour), (placed.points[j], -vector, colour)]
    axis.add_collection(
        LineCollection(
            lines, colors=colours, linewidths=line_widths, linestyles=[_SHELL_DASHES[shell - 1]], zorder=4 - 0.1 * shell
        )
    )
    _draw_stubs(axis, stubs, _SHELL_WIDTHS[shell - 1], 4 - 0.1 * shell)


def _draw_stubs(axis: Axes, stubs: list[tuple[Floats, Floats, tuple[float, ...]]], width: float, zorder: float) -> None:
    """Straight lines from a site towards a neighbour's image, fading away."""
    pieces, colours = [], []
    steps = np.linspace(0.0, 1.0, 13)
    for start, vector, colour in stubs:
        length = min(_STUB, 0.5 * float(np.linalg.norm(vector)))
        along = length * vector / np.linalg.norm(vector)
        for near, far in itertools.pairwise(steps):
            pieces.append([start + near * along, start + far * along])
            colours.append((*colour, 1.0 - near))
    axis.add_collection(LineCollection(pieces, colors=colours, linewidths=width, capstyle="butt", zorder=zorder))


def _bow(lattice: Lattice, placed: Placement, i: int, j: int, shell: int) -> Floats:
    """Vector from the middle of the straight line to that of the drawn bond: 0 unless a site stands in its way."""
    vector = placed.points[j] - placed.points[i]
    across = np.array([-vector[1], vector[0]])
    if placed.projection is None and len(lattice.periods):  # a ring: chords bow towards its centre
        middle = 0.5 * (placed.points[i] + placed.points[j])
        return -0.12 * across * np.sign(across @ middle) if shell > 1 else np.zeros(2)
    if not _obstructed(placed.points if placed.projection is None else lattice.positions, i, j):
        return np.zeros(2)
    if (across[1], -across[0]) < (0.0, 0.0):
        across = -across
    return 0.22 * across * (1 if shell % 2 == 0 else -1)


def _obstructed(points: Floats, i: int, j: int) -> bool:
    """True where a third point lies on the straight line between two."""
    vector = points[j] - points[i]
    along = np.clip((points - points[i]) @ vector / (vector @ vector), 0.0, 1.0)
    off = np.linalg.norm(points - points[i] - along[:, np.newaxis] * vector, axis=1)
    off[[i, j]] = np.inf
    return bool(off.min() < 0.1)


def _curve(start: Floats, end: Floats, bow: Floats) -> Floats:
    """Points of a parabola between two points whose middle is off the straight line by ``bow``."""
    t = np.linspace(0.0, 1.0, 25 if np.any(bow) else 3)[:, np.newaxis]
    return start + t * (end - start) + 4 * t * (1 - t) * bow


def _faded(colour: str, depth: float) -> tuple[float, ...]:
    """A colour lightened for what is far from the viewer (depth 1)."""
    return tuple(1 - (1 - value) * (1 - 0.6 * depth) for value in to_rgb(colour))


def _write_couplings(axis: Axes, lattice: Lattice, placed: Placement) -> None:
    for (i, j), coupling in zip(lattice.bonds().tolist(), lattice.couplings().tolist(), strict=True):
        x, y = 0.5 * (placed.points[i] + placed.points[j]) + _bow(lattice, placed, i, j, 1)
        box = {"boxstyle": "round,pad=0.12", "facecolor": "white", "edgecolor": "none"}
        axis.text(x, y, f"{coupling:g}".replace("-", "\N{MINUS SIGN}"), ha="center", va="center", fontsize=6.5,
                  color=_SHELL_COLOURS[0] if coupling >= 0 else _NEGATIVE, bbox=box, zorder=5)  # fmt: skip


# Sites and cells ------------------------------------------------------------------------------------------------------


def _colours(lattice: Lattice) -> NDArray[np.int8]:
    """+1 and -1 on the two sublattices, 0 where there are none."""
    try:
        return lattice.sublattices()
    except LatticeError:
        return np.zeros(lattice.n_sites, dtype=np.int8)


def _draw_sites(axis: Axes, lattice: Lattice, placed: Placement, scale: float) -> None:
    share = 0.42 if lattice.positions.shape[1] < 3 else 0.34  # in space they would hide each other
    diameter = float(np.clip(share * scale * 72, 2.0, 14.0))  # points
    colours = [
        _faded(_SUBLATTICES[sign], depth) for sign, depth in zip(_colours(lattice).tolist(), placed.depth, strict=True)
    ]
    order = np.argsort(-placed.depth, kind="stable")
    x, y = placed.points[order].T
    axis.scatter(x, y, s=diameter**2, c=[colours[i] for i in order], linewidths=0.8,
                 edgecolors="white", zorder=6)  # fmt: skip
    if lattice.n_sites > NUMBERED_SITES or diameter < 7.0:
        return
    for number, (x, y) in enumerate(placed.points.tolist()):
        axis.text(x, y, str(number), color="white", fontsize=0.52 * diameter, fontweight="bold", ha="center",
                  va="center_baseline", zorder=7)  # fmt: skip


def _draw_cell(axis: Axes, lattice: Lattice, projection: Floats) -> None:
    """The unit cell around the first sites, the primitive vectors from its corner, and the edge of the cluster."""
    cell = _cell(lattice, projection)
    in_space = len(lattice.vectors) == 3
    if not in_space:
        axis.add_patch(Polygon(cell, facecolor=_CELL, alpha=0.10, edgecolor="none", zorder=1))
        axis.add_patch(Polygon(cell, fill=False, edgecolor=_CELL, linewidth=0.7, linestyle=(0, (3, 2)), zorder=3.7))
        if len(outline := _outline(lattice, projection)):
            axis.add_patch(
                Polygon(outline, fill=False, edgecolor="0.65", linewidth=0.8, linestyle=(0, (1, 2)), zorder=0.5)
            )
    for number, vector in enumerate(lattice.vectors @ projection, start=1):
        _draw_vector(axis, cell[0], vector, number, gap=5.0 if in_space else 0.0)


def _cell(lattice: Lattice, projection: Floats) -> Floats:
    """Corners, on paper, of a unit cell that holds the first sites in its middle, the origin of the vectors first.

    Strips get a height; in space it is the side of the cell that begins at the first site.
    """
    sides, sites = lattice.vectors @ projection, lattice.basis @ projection
    if len(sides) == 1:
        sides = np.vstack([sides, [0.0, np.ptp(sites[:, 1]) + 0.9]])
    corner = sites.mean(axis=0) - (0.5 * sides.sum(axis=0) if len(sides) == 2 else 0.0)
    return corner + np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) @ sides[:2]


def _outline(lattice: Lattice, projection: Floats) -> Floats:
    """Corners, on paper, of one copy of a cluster that is periodic in the plane; none for others."""
    if lattice.periods.shape != (2, 2):
        return np.zeros((0, 2))
    periods = lattice.periods @ projection
    start = _cell(lattice, projection)[0]
    fractions = (lattice.positions @ projection - start) @ np.linalg.inv(periods)
    low, high = fractions.min(axis=0), fractions.max(axis=0)
    if np.any(low < 0.0) or np.any(high > 1.0):  # skew to the cell: the sites in its middle
        start = start + 0.5 * (low + high - 1.0) @ periods
    return start + np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) @ periods


def _draw_vector(axis: Axes, start: Floats, vector: Floats, number: int, gap: float) -> None:
    """An arrow and its name, to the right of the first vector and to the left of the others."""
    look: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 8, "linewidth": 1.2, "color": _CELL}
    axis.add_patch(FancyArrowPatch(tuple(start), tuple(start + vector), shrinkA=gap, shrinkB=gap, zorder=5, **look))
    outward = np.array([vector[1], -vector[0]]) * (1 if number == 1 else -1) / np.linalg.norm(vector)
    x, y = start + 0.55 * vector + 0.23 * outward
    axis.text(x, y, rf"$\mathbf{{a}}_{number}$", color=_CELL, ha="center", va="center", zorder=7)


# Legend ---------------------------------------------------------------------------------------------------------------


def _draw_legend(axis: Axes, lattice: Lattice, n_shells: int) -> None:
    handles = [_bond_sample(lattice, shell) for shell in range(1, n_shells + 1)]
    if len(set(lattice.couplings().tolist())) > 1:
        handles.append(Line2D([], [], color=_NEGATIVE, linewidth=_SHELL_WIDTHS[0], label="negative coupling"))
        if min(lattice.couplings()) >= 0:
            handles.pop()
    if np.any(_colours(lattice)):
        handles += [_site_sample(sign, f"sublattice {name}") for sign, name in ((1, "A"), (-1, "B"))]
    axis.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.01), ncols=2, handlelength=2.0,
                columnspacing=1.4, labelspacing=0.3, borderaxespad=0.2)  # fmt: skip


def _bond_sample(lattice: Lattice, shell: int) -> Line2D:
    label = "bonds"
    if len(lattice.vectors):
        length = float(np.linalg.norm(lattice.displacements(shell)[0]))
        label = f"shell {shell}, distance {_root(length)}"
    colour, width, dashes = _SHELL_COLOURS[shell - 1], _SHELL_WIDTHS[shell - 1], _SHELL_DASHES[shell - 1]
    return Line2D([], [], color=colour, linewidth=width, linestyle=dashes, label=label)


def _site_sample(sign: int, label: str) -> Line2D:
    return Line2D([], [], color=_SUBLATTICES[sign], marker="o", markersize=5, linestyle="none", label=label)


def _root(length: float) -> str:
    """A distance as a number or a square root."""
    if abs(length - round(length)) < 1e-6:
        return str(round(length))
    square = length**2
    return rf"$\sqrt{{{round(square)}}}$" if abs(square - round(square)) < 1e-6 else f"{length:.3g}"
