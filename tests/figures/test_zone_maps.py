"""Brillouin zones, and maps over them: areas, cells that cover the zone once, cuts in three dimensions, colours."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import numpy.typing as npt
import pytest
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.path import Path as Outline

from pvmc.figures.structure_factor import structure_factor_drawing
from pvmc.figures.zone_maps import images_inside, mesh_vectors, multiple_of_pi, reciprocal, special_points, wigner_seitz
from pvmc.io.measurement import Estimate, Measurement
from pvmc.io.reader import Run
from pvmc.lattice import Lattice
from pvmc.lattice.builders import cubic, honeycomb, kagome, rectangle, supercell_cluster, triangular
from pvmc.lattice.unit_cell import SQUARE

Floats = npt.NDArray[np.float64]

LATTICES = {
    "square": rectangle((4, 4)),
    "rectangle": rectangle((3, 5)),
    "tilted": supercell_cluster(SQUARE, ((3, 1), (-1, 3))),
    "triangular": triangular((3, 4)),
    "honeycomb": honeycomb((3, 3)),
    "kagome": kagome((2, 3)),
}


def area(corners: Floats) -> float:
    x, y = corners.T
    return float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)) / 2)


@pytest.mark.parametrize("lattice", LATTICES.values(), ids=LATTICES)
def test_areas(lattice: Lattice) -> None:
    """(2 pi)^2 over the area of the unit cell; the momenta share it."""
    zone = wigner_seitz(reciprocal(lattice.vectors))
    assert area(zone) == pytest.approx((2 * np.pi) ** 2 / abs(np.linalg.det(lattice.vectors)), rel=1e-9)
    cell = wigner_seitz(mesh_vectors(lattice.periods))
    assert area(cell) * len(lattice.momenta()) == pytest.approx(area(zone), rel=1e-9)


@pytest.mark.parametrize("lattice", LATTICES.values(), ids=LATTICES)
def test_every_point_of_the_zone_is_in_the_cell_of_one_momentum(lattice: Lattice) -> None:
    vectors = reciprocal(lattice.vectors)
    zone, cell = wigner_seitz(vectors), wigner_seitz(mesh_vectors(lattice.periods))
    rng = np.random.default_rng(1)
    points = rng.uniform(-np.abs(zone).max(), np.abs(zone).max(), (400, 2))
    points = points[Outline(zone).contains_points(points)]
    assert len(points) > 100
    times = np.zeros(len(points), dtype=int)
    for momentum in lattice.momenta():
        for image in images_inside(momentum, vectors, zone, cell):
            difference = (image - momentum) @ np.linalg.inv(vectors)
            np.testing.assert_allclose(difference, np.rint(difference), atol=1e-9)
            times += Outline(image + cell).contains_points(points)
    np.testing.assert_array_equal(times, 1)


def test_special_points() -> None:
    square = special_points(reciprocal(LATTICES["square"].vectors))
    np.testing.assert_allclose(square["X"], [np.pi, 0], atol=1e-9)
    np.testing.assert_allclose(square["M"], [np.pi, np.pi], atol=1e-9)
    hexagonal = special_points(reciprocal(LATTICES["triangular"].vectors))
    assert np.linalg.norm(hexagonal["K"]) == pytest.approx(4 * np.pi / 3)
    assert np.linalg.norm(hexagonal["M"]) == pytest.approx(2 * np.pi / np.sqrt(3))


class Measured(Run):
    """A run with one measurement in memory, S^zz(q) = 1 + 10 q_z + q_x within -pi < q <= pi."""

    @property
    def measurements(self) -> list[Measurement]:
        momenta = cubic((3, 3, 4)).momenta()
        return [Measurement(1, {}, {"structure_factor_zz": factor(momenta)}, {"momentum": momenta})]


def factor(momenta: np.ndarray) -> Estimate:
    q = np.pi - np.mod(np.pi - momenta, 2 * np.pi)
    return Estimate(1.0 + 10.0 * np.abs(q[:, 2]) + np.abs(q[:, 0]), np.full(len(q), 0.1), "1", ("momentum",))


def run(lattice: str) -> Measured:
    config = f'[lattice]\n{lattice}\n[hamiltonian]\nmodel = "ising"\n'
    return Measured(Path("/nowhere/a/run.h5"), {"config": config, "n_sites": 36}, {}, None, "", "", "")


def colour_at(figure: Figure, title: str, point: tuple[float, float]) -> tuple[float, ...]:
    """Of the cell that holds a momentum, in the map of this title."""
    axis = next(axis for axis in figure.axes if axis.get_title() == title)
    cells = [patch for patch in axis.patches if patch.get_fill() and patch.get_path().contains_point(point)]
    assert len(cells) == 1
    return to_rgba(cells[0].get_facecolor())


def test_three_dimensions_are_cut_at_each_allowed_height() -> None:
    drawing = structure_factor_drawing([run('kind = "cubic"\nsize = [3, 3, 4]')])
    titles = [axis.get_title() for axis in drawing.figure.axes if axis.get_title()]
    assert titles == [rf"$S^{{zz}}$, $q_z =$ {z}" for z in ("$0$", r"$\pi/2$", r"$\pi$")]
    assert len(drawing.columns["momentum z"]) == 36
    bar = drawing.figure.axes[-1]
    low, high = bar.get_ylim()
    assert (low, high) == (0.0, pytest.approx(1 + 10 * np.pi + 2 * np.pi / 3))
    colours = [colour_at(drawing.figure, title, (0.1, 0.1)) for title in titles]

    scale = matplotlib.colormaps["cividis"]
    for colour, height in zip(colours, (0.0, np.pi / 2, np.pi), strict=True):
        assert colour == pytest.approx(scale((1 + 10 * height) / high))


def test_multiples_of_pi() -> None:
    shares = (0, 1, -1, 2, 0.5, -2 / 3, 1.5)
    words = [multiple_of_pi(share * np.pi) for share in shares]
    assert words == ["$0$", r"$\pi$", r"$-\pi$", r"$2\pi$", r"$\pi/2$", r"$-2\pi/3$", r"$3\pi/2$"]
