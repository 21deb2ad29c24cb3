"""Pictures of lattices: every bond and site is there, at its place, and the files are small and the same each time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_hex
from matplotlib.patches import FancyArrowPatch, Polygon

from pvmc.errors import InputError, StorageError
from pvmc.figures.lattice_plot import NUMBERED_SITES, draw, lattice_figure
from pvmc.figures.placement import arranged, circle, place
from pvmc.lattice import (
    TRIANGULAR,
    Lattice,
    chain,
    cubic,
    graph,
    honeycomb,
    kagome,
    ladder,
    rectangle,
    supercell_cluster,
    triangular,
)
from pvmc.vmc.job import load_lattice

DOCS = Path(__file__).parents[2] / "docs" / "lattices"

PETERSEN = [(i, (i + 1) % 5) for i in range(5)] + [(i, i + 5) for i in range(5)]
PETERSEN += [(5 + i, 5 + (i + 2) % 5) for i in range(5)]

LATTICES = {
    "ring": chain(8),
    "open chain": chain(8, periodic=False),
    "ladder": ladder(5),
    "square": rectangle((4, 4)),
    "cylinder": rectangle((4, 3), (True, False)),
    "triangular": triangular((3, 4)),
    "triangular 12": supercell_cluster(TRIANGULAR, [[2, 2], [-2, 4]]),
    "honeycomb": honeycomb((3, 3)),
    "kagome": kagome((2, 3)),
    "cubic": cubic((3, 3, 3)),
    "open cubic": cubic((2, 3, 2), (False, False, False)),
    "graph": graph([(i, j, 1.0) for i, j in PETERSEN]),
}


def axes(lattice: Lattice, shells: int | None = None) -> Axes:
    return lattice_figure(lattice, shells).axes[0]


def lines(axis: Axes) -> list[np.ndarray]:
    """All pieces of all bonds; stubs are pieces of two points each, straight bonds of three, bent ones of more."""
    return [
        np.asarray(piece)
        for collection in axis.collections
        if isinstance(collection, LineCollection)
        for piece in collection.get_segments()
    ]


def sites(axis: Axes) -> np.ndarray:
    (found,) = [item for item in axis.collections if isinstance(item, PathCollection)]
    return np.asarray(found.get_offsets())


@pytest.mark.parametrize("lattice", LATTICES.values(), ids=LATTICES.keys())
def test_every_bond_is_drawn_once_whole_or_as_two_stubs(lattice: Lattice) -> None:
    axis = axes(lattice, 1)
    placed = place(lattice)
    whole = {(tuple(np.round(line[0], 9)), tuple(np.round(line[-1], 9))) for line in lines(axis) if len(line) > 2}
    starts = [tuple(np.round(line[0], 9)) for line in lines(axis) if len(line) == 2]
    direct = lattice.positions[lattice.bonds()[:, 1]] - lattice.positions[lattice.bonds()[:, 0]]
    crosses = np.linalg.norm(direct - lattice.displacements(), axis=1) > 1e-6
    if placed.projection is None:
        crosses[:] = False
    corner = [tuple(point) for point in np.round(placed.points, 9)]
    for (i, j), crossing in zip(lattice.bonds().tolist(), crosses, strict=True):
        assert ((corner[i], corner[j]) in whole) != crossing
    assert len(whole) == np.sum(~crosses)
    ends = lattice.bonds()[crosses].ravel()
    for site in range(lattice.n_sites):
        assert starts.count(corner[site]) == np.sum(ends == site)


@pytest.mark.parametrize("lattice", LATTICES.values(), ids=LATTICES.keys())
def test_sites_are_apart_and_within_the_picture(lattice: Lattice) -> None:
    axis = axes(lattice)
    points = sites(axis)
    assert len(points) == lattice.n_sites
    apart = np.linalg.norm(points[:, np.newaxis] - points, axis=2) + 10 * np.eye(len(points))
    assert apart.min() > 0.3
    low, high = np.array([axis.get_xlim(), axis.get_ylim()]).T
    assert np.all(points > low + 0.3) and np.all(points < high - 0.3)
    numbers = [text.get_text() for text in axis.texts if text.get_text().isdigit()]
    assert numbers == [str(i) for i in range(lattice.n_sites)]


def test_sublattices_have_their_colours() -> None:
    (points,) = [item for item in axes(honeycomb((3, 3))).collections if isinstance(item, PathCollection)]
    colours = [to_hex(colour) for colour in points.get_facecolor()]
    signs = honeycomb((3, 3)).sublattices()
    assert len(set(colours)) == 2
    assert all((colours[i] == colours[0]) == (signs[i] == 1) for i in range(18))
    labels = [text.get_text() for text in axes(honeycomb((3, 3))).get_legend().get_texts()]
    assert labels == ["shell 1, distance 1", r"shell 2, distance $\sqrt{3}$", "sublattice A", "sublattice B"]
    assert not any("sublattice" in text.get_text() for text in axes(kagome((2, 2))).get_legend().get_texts())


def test_cell_and_vectors() -> None:
    axis = axes(kagome((2, 2)))
    arrows = [patch for patch in axis.patches if isinstance(patch, FancyArrowPatch)]
    assert len(arrows) == 2
    cell, _, outline = [patch.get_xy()[:4] for patch in axis.patches if isinstance(patch, Polygon)]
    np.testing.assert_allclose(cell[1] - cell[0], [2.0, 0.0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(cell[3] - cell[0], [1.0, np.sqrt(3)], rtol=0, atol=1e-12)
    np.testing.assert_allclose(outline[2] - outline[0], 2 * (cell[2] - cell[0]), rtol=0, atol=1e-12)
    assert len([p for p in axes(cubic((3, 3, 3))).patches if isinstance(p, FancyArrowPatch)]) == 3
    assert not axes(graph([(0, 1, 1.0)])).patches


def test_a_bond_through_a_site_is_bent() -> None:
    def bent(lattice: Lattice, shells: int) -> int:
        return sum(len(line) > 3 for line in lines(axes(lattice, shells)))

    lattice = rectangle((4, 4), (False, False))
    assert bent(lattice, 2) == 0
    assert bent(lattice, 3) == len(lattice.bonds(3)) == 16  # distance 2, over the site between
    assert bent(chain(6, periodic=False), 2) == 4


def test_couplings_are_written_at_the_bonds() -> None:
    axis = axes(load_lattice(DOCS / "graph.toml"))
    words = [text.get_text() for text in axis.texts]
    assert [words.count(word) for word in ("0.5", "\N{MINUS SIGN}0.25")] == [3, 6]
    assert "negative coupling" in [text.get_text() for text in axis.get_legend().get_texts()]
    equal = axes(graph([(0, 1, 2.0), (1, 2, 2.0)]))
    assert [text.get_text() for text in equal.texts] == ["0", "1", "2"]


def test_many_sites_carry_no_numbers() -> None:
    assert len(axes(rectangle((8, 8))).texts) == NUMBERED_SITES + 2
    assert len(axes(rectangle((9, 9))).texts) == 2  # the names of the vectors


def test_shells_to_draw() -> None:
    assert len(axes(rectangle((5, 5)), 3).get_legend().get_texts()) == 3
    for shells in (0, 4):
        with pytest.raises(InputError, match="must be 1 to 3"):
            lattice_figure(rectangle((5, 5)), shells)


def test_graphs_are_arranged_by_their_distances() -> None:
    """A path of bonds becomes a straight line, a ring a regular polygon."""
    path = arranged(graph([(i, i + 1, 1.0) for i in range(5)]), sweeps=5000)
    apart = np.linalg.norm(path[:, np.newaxis] - path, axis=2)
    np.testing.assert_allclose(apart, np.abs(np.subtract.outer(np.arange(6), np.arange(6))), rtol=0, atol=1e-3)
    ring = place(graph([(i, (i + 1) % 6, 1.0) for i in range(6)])).points
    np.testing.assert_allclose(np.linalg.norm(ring - ring.mean(axis=0), axis=1), 1.0, rtol=0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(np.diff(circle(7), axis=0), axis=1), 1.0, rtol=0, atol=1e-12)
    two_parts = arranged(graph([(0, 1, 1.0), (2, 3, 1.0)]))
    assert np.all(np.isfinite(two_parts))


def test_files_are_small_and_the_same_each_time(tmp_path: Path) -> None:
    first = draw(honeycomb((3, 3)), tmp_path / "a" / "picture.png")
    second = draw(honeycomb((3, 3)), tmp_path / "b" / "picture")
    assert [path.name for path in first] == ["picture.png", "picture.pdf"]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
        assert one.stat().st_size < 60_000
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        draw(chain(4), tmp_path / "file" / "picture")


def test_pictures_of_the_documentation_are_there_and_small() -> None:
    for config in DOCS.glob("*.toml"):
        assert 1_000 < config.with_suffix(".png").stat().st_size < 60_000


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pvmc.cli import main

    arguments = ["lattice", str(DOCS / "kagome.toml"), "--set", "lattice.size=[2,2]", "--output", str(tmp_path / "k")]
    assert main(arguments) == 0
    output = capsys.readouterr().out
    assert output.splitlines()[:2] == ["12 sites, not bipartite", "shell 1: 24 bonds, 4 neighbours, distance 1"]
    assert 'symmetry group "space": 48 permutations' in output
    assert (tmp_path / "k.png").exists() and (tmp_path / "k.pdf").exists()
