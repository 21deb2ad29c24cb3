"""Brillouin zones: areas, corners, and cells of momenta that cover the zone once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from matplotlib.path import Path

from pvmc.figures.zone_maps import images_inside, mesh_vectors, reciprocal, special_points, wigner_seitz
from pvmc.lattice import Lattice
from pvmc.lattice.builders import honeycomb, kagome, rectangle, supercell_cluster, triangular
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
    points = points[Path(zone).contains_points(points)]
    assert len(points) > 100
    times = np.zeros(len(points), dtype=int)
    for momentum in lattice.momenta():
        for image in images_inside(momentum, vectors, zone, cell):
            difference = (image - momentum) @ np.linalg.inv(vectors)
            np.testing.assert_allclose(difference, np.rint(difference), atol=1e-9)
            times += Path(image + cell).contains_points(points)
    np.testing.assert_array_equal(times, 1)


def test_special_points() -> None:
    square = special_points(reciprocal(LATTICES["square"].vectors))
    np.testing.assert_allclose(square["X"], [np.pi, 0], atol=1e-9)
    np.testing.assert_allclose(square["M"], [np.pi, np.pi], atol=1e-9)
    hexagonal = special_points(reciprocal(LATTICES["triangular"].vectors))
    assert np.linalg.norm(hexagonal["K"]) == pytest.approx(4 * np.pi / 3)
    assert np.linalg.norm(hexagonal["M"]) == pytest.approx(2 * np.pi / np.sqrt(3))
