"""The filters that a restricted Boltzmann machine has learned, as images on the lattice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.collections import EllipseCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from pvmc.errors import InputError
from pvmc.figures import style
from pvmc.figures.drawing import Drawing
from pvmc.figures.placement import place
from pvmc.io.reader import Run
from pvmc.lattice import Lattice
from pvmc.results.stored_system import system_of

MOST = 16
"""Most filters that are shown, those of largest norm."""

_COLUMNS = 8
_CELL = 0.78  # inches


def features_drawing(runs: Sequence[Run]) -> Drawing:
    """Real and imaginary parts of the filters w_f,i at the last saved parameters; after Fig. 2 of Carleo and Troyer.

    On a chain every filter is a row; on other lattices a picture of its own, with a disc on every site.  Filters stand
    in the order of their norm, largest first.  Which translation of a filter is stored is arbitrary: the one whose
    largest weight is on the middle site is shown.

    Args:
        runs: one run with an RBM.

    Raises:
        InputError: several runs, another ansatz, or nothing saved yet.
    """
    if len(runs) > 1:
        raise InputError("the filters of one run go into a figure: give one run")
    run = runs[0]
    lattice, filters = system_of(run).lattice, sorted_filters(run)
    shown = filters[:MOST]
    is_chain = lattice.positions.shape[1] == 1
    with matplotlib.rc_context(style.RC):
        figure = _rows(shown) if is_chain else _pictures(shown, lattice)
    n_features, n_sites = filters.shape
    where = {
        f"position {axis} [nearest-neighbour distances]": np.tile(column, n_features).tolist()
        for axis, column in zip("xyz", lattice.positions.T, strict=False)
    }
    columns: dict[str, Sequence[object]] = {
        "filter": np.repeat(np.arange(1, n_features + 1), n_sites).tolist(),
        "site": np.tile(np.arange(n_sites), n_features).tolist(),
        **where,
        "real part": filters.real.reshape(-1).tolist(),
        "imaginary part": filters.imag.reshape(-1).tolist(),
    }
    return Drawing(figure, columns)


def sorted_filters(run: Run) -> NDArray[Any]:
    """The filters at the last saved parameters, (F, N), largest norm first, each shifted to the middle.

    Raises:
        InputError: the ansatz is no RBM, or nothing is saved yet.
    """
    blocks = run.parameter_blocks()
    if "features" not in blocks:
        raise InputError(f"{run.path}: filters are those of a restricted Boltzmann machine; this ansatz has none")
    part, shape = blocks["features"]
    filters = run.parameters()[part].reshape(shape)
    lattice = system_of(run).lattice
    group = lattice.group(str(run.config.get("ansatz", {}).get("symmetry", "none")))
    order = np.argsort(-np.linalg.norm(filters, axis=1), kind="stable")
    return np.array([centred(weights, group, middle_site(lattice)) for weights in filters[order]])


def centred(weights: NDArray[Any], group: NDArray[np.int64], middle: int) -> NDArray[Any]:
    """The image of a filter, (N,), under the element of the group that brings its largest weight to the middle site.

    All images belong to the same wave function: the sum over the group is what enters it.  Where no element does, the
    filter is left as it is.
    """
    images = weights[group]
    magnitude = np.abs(images[:, middle])
    best = int(np.argmax(magnitude))
    return images[best] if magnitude[best] > magnitude[0] else weights


def middle_site(lattice: Lattice) -> int:
    """The site closest to the middle of the cluster."""
    if lattice.positions.shape[1] == 0:
        return 0
    box = (lattice.positions.min(axis=0) + lattice.positions.max(axis=0)) / 2
    return int(np.argmin(np.linalg.norm(lattice.positions - box, axis=1) + 1e-9 * np.arange(lattice.n_sites)))


def _parts(filters: NDArray[Any]) -> list[tuple[str, NDArray[np.float64]]]:
    if not np.iscomplexobj(filters):
        return [(r"$W$", filters)]
    return [(r"${\rm Re}\,W$", filters.real), (r"${\rm Im}\,W$", filters.imag)]


def _scale(filters: NDArray[Any]) -> Normalize:
    """The same colours for both parts, zero in the middle."""
    largest = max(float(np.abs(values).max()) for _, values in _parts(filters)) or 1.0
    return Normalize(-largest, largest)


def _rows(filters: NDArray[Any]) -> Figure:
    """One image per part, a row per filter, for chains."""
    n_features, n_sites = filters.shape
    parts, scale = _parts(filters), _scale(filters)
    height = (20 + max(12.0, 5.0 * n_features)) * style.MM
    figure = Figure(figsize=(style.PAGE_WIDTH * (1 if len(parts) == 2 else 0.6), height), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(parts), sharey=True))
    for axis, (title, values) in zip(axes, parts, strict=True):
        extent = (-0.5, n_sites - 0.5, n_features + 0.5, 0.5)
        axis.imshow(values, cmap=style.DIVERGING, norm=scale, aspect="auto", interpolation="none", extent=extent)
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("Site")
        axis.set_yticks(range(1, n_features + 1))
        axis.tick_params(length=0, which="both")
        axis.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axis.set_yticks(np.arange(1.5, n_features), minor=True)
        axis.grid(axis="y", which="minor", color="white", linewidth=1.5)
    axes[0].set_ylabel("Filter")
    _colour_bar(figure, axes, scale)
    return figure


def _pictures(filters: NDArray[Any], lattice: Lattice) -> Figure:
    """A picture of the lattice for each part of each filter, real and imaginary parts side by side."""
    parts, scale, points = _parts(filters), _scale(filters), place(lattice).points
    columns = len(parts) * min(_COLUMNS // len(parts), len(filters))
    rows = -(-len(filters) * len(parts) // columns)
    width, height = np.ptp(points, axis=0) + 1.2
    inches = _CELL / max(width, height)
    size = (columns * (inches * width + 0.08) + 0.9, rows * (inches * height + 0.3))
    figure = Figure(figsize=size, layout="constrained")
    axes = np.atleast_1d(figure.subplots(rows, columns)).reshape(-1)
    pairs = [(number, *part) for number in range(len(filters)) for part in parts]
    shown = [(f"{title[:-1]}_{{{number + 1}}}$", values[number]) for number, title, values in pairs]
    for axis in axes:
        axis.axis("off")
    for axis, (title, values) in zip(axes, shown, strict=False):
        # In units of the lattice, so that discs of neighbours touch at any size of the figure.
        discs = EllipseCollection(
            *(0.94, 0.94, 0.0), units="xy", offsets=points, offset_transform=axis.transData, array=values,
            cmap=style.DIVERGING, norm=scale, edgecolors="0.6", linewidths=0.3,
        )  # fmt: skip
        axis.add_collection(discs)
        axis.set_title(title, fontsize=8, pad=1)
        axis.set_aspect("equal")
        axis.set_xlim(points[:, 0].min() - 0.6, points[:, 0].max() + 0.6)
        axis.set_ylim(points[:, 1].min() - 0.6, points[:, 1].max() + 0.6)
    _colour_bar(figure, axes, scale)
    return figure


def _colour_bar(figure: Figure, axes: Any, scale: Normalize) -> None:
    bar = figure.colorbar(ScalarMappable(scale, style.DIVERGING), ax=axes, aspect=14, pad=0.02, shrink=0.9)
    bar.ax.tick_params(labelsize=7.5, direction="out", right=True, left=False)
    bar.set_label(r"$W_{fi}$", fontsize=8.5)
