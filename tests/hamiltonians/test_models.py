"""Directions of bonds, sums over periodic images, and fields; the matrices of models are in test_models_on_lattices."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pvmc.config import KeyProblem
from pvmc.hamiltonians import Operator, PauliSum
from pvmc.hamiltonians.couplings import RandomField, site_values
from pvmc.hamiltonians.dzyaloshinskii_moriya import DzyaloshinskiiMoriyaSpec
from pvmc.hamiltonians.geometry import distances, images, oriented_bonds
from pvmc.hamiltonians.heisenberg import J1J2Spec, XXZSpec
from pvmc.hamiltonians.long_range import LongRangeIsingSpec, power_law
from pvmc.lattice import LatticeError, chain, cubic, kagome, ladder, rectangle, triangular
from pvmc.lattice.builders import supercell_cluster
from pvmc.lattice.graph import graph
from pvmc.lattice.unit_cell import CUBIC, HONEYCOMB, SQUARE, TRIANGULAR
from tests.helpers import compiled_matrix


def matrix_of(terms: PauliSum, n_sites: int) -> np.ndarray:
    return compiled_matrix(Operator.from_pauli_sum(terms, n_sites)).toarray()


def test_a_shell_that_the_lattice_lacks_is_refused() -> None:
    with pytest.raises(KeyProblem, match=r"^hamiltonian\.j3 = 0\.5: must be 0: neighbour shell 3 of 4 sites"):
        J1J2Spec(model="j1j2", j3=0.5).build(chain(4))


@pytest.mark.parametrize("length", [3, 4, 7])
def test_bonds_of_a_ring_point_from_each_site_to_the_next(length: int) -> None:
    bonds = {tuple(bond) for bond in oriented_bonds(chain(length)).tolist()}
    assert bonds == {(i, (i + 1) % length) for i in range(length)}


def test_a_bond_to_two_images_of_a_site_has_no_orientation() -> None:
    with pytest.raises(LatticeError, match="two images are equally near"):
        oriented_bonds(chain(4), shell=2)


def test_an_open_chain_hides_a_dm_vector_along_z() -> None:
    """A twist of each spin about z turns J and D into sqrt(J^2 + D^2): Perk and Capel, Phys. Lett. A 58, 115 (1976)."""
    dm = DzyaloshinskiiMoriyaSpec(model="dzyaloshinskii_moriya", coupling=0.8, anisotropy=0.5, dm=0.6)
    twisted = matrix_of(dm.build(chain(6, periodic=False)), 6)
    plain = XXZSpec(model="xxz", coupling=1.0, anisotropy=0.4, marshall=False).build(chain(6, periodic=False))
    np.testing.assert_allclose(np.linalg.eigvalsh(twisted), np.linalg.eigvalsh(matrix_of(plain, 6)), atol=1e-12)
    assert np.abs(twisted.imag).max() > 0.1


def test_the_sum_over_images_of_a_ring_tends_to_the_inverse_square_of_the_chord() -> None:
    """sum_n (r + n L)^-2 = (pi / L)^2 / sin^2(pi r / L); the truncated tail is 2 / (n L^2) to leading order."""
    length, n_images = 8, 400
    pairs = list(itertools.combinations(range(length), 2))
    chord = [(np.pi / length) ** 2 / np.sin(np.pi * (j - i) / length) ** 2 for i, j in pairs]
    tail = 2 / ((n_images + 0.5) * length**2)
    np.testing.assert_allclose(power_law(chain(length), 2.0, n_images) + tail, chord, atol=1e-9)
    open_chain = chain(length, periodic=False)
    np.testing.assert_array_equal(power_law(open_chain, 2.0, n_images), power_law(open_chain, 2.0))


def around_nearest(difference: int, length: int, n_images: int) -> list[list[int]]:
    """Differences along a periodic axis: those within n_images periods of each nearest one, two on half a period."""
    nearest = [d for d in range(-length + 1, length) if (d - difference) % length == 0]
    nearest = [d for d in nearest if abs(d) == min(map(abs, nearest))]
    return [[d + n * length for n in range(-n_images, n_images + 1)] for d in nearest]


@pytest.mark.parametrize("periodic", [(True, False), (True, True)])
def test_the_sum_over_images_of_a_rectangle(periodic: tuple[bool, bool]) -> None:
    """Lengths 3 and 4, so that half periods occur: their two nearest images are averaged."""
    lattice = rectangle((3, 4), periodic)
    expected = []
    for (x_i, y_i), (x_j, y_j) in itertools.combinations([(x, y) for y in range(4) for x in range(3)], 2):
        across = around_nearest(y_j - y_i, 4, 2) if periodic[1] else [[y_j - y_i]]
        sums = [
            sum((x**2 + y**2) ** -1.5 for x in xs for y in ys)
            for xs in around_nearest(x_j - x_i, 3, 2)
            for ys in across
        ]
        expected.append(sum(sums) / len(sums))
    np.testing.assert_allclose(power_law(lattice, 3.0, n_images=2), expected, rtol=1e-13)


def test_the_sum_over_images_of_a_ring_is_about_the_nearest_image() -> None:
    """J(0, 1) = J(0, 5) = sum_n |1 + 6 n|^-2 = 1.07459 for |n| <= 2; the energy by an independent diagonalisation."""
    table = np.zeros((6, 6))
    table[np.triu_indices(6, 1)] = power_law(chain(6), 2.0, 2)
    assert table[0, 1] == table[0, 5] == pytest.approx(1 + 1 / 25 + 1 / 49 + 1 / 121 + 1 / 169, rel=1e-14)
    spec = LongRangeIsingSpec(model="long_range_ising", exponent=2.0, images=2, field=0.7)
    assert np.linalg.eigvalsh(matrix_of(spec.build(chain(6)), 6))[0] == pytest.approx(-9.74184, abs=5e-6)


CLUSTERS = {
    "odd ring": lambda: chain(5),
    "even ring": lambda: chain(6),
    "ladder": lambda: ladder(4, 3),
    "square": lambda: rectangle((4, 4)),
    "rectangle": lambda: rectangle((3, 6)),
    "cylinder": lambda: rectangle((4, 3), (True, False)),
    "tilted square": lambda: supercell_cluster(SQUARE, ((3, 1), (-1, 3))),
    "skew periods": lambda: supercell_cluster(SQUARE, ((3, 1), (2, 4))),
    "triangular": lambda: triangular((4, 4)),
    "tilted triangular": lambda: supercell_cluster(TRIANGULAR, ((2, 2), (-2, 4))),
    "long triangular": lambda: triangular((3, 6)),
    "honeycomb": lambda: supercell_cluster(HONEYCOMB, ((2, 0), (0, 2))),
    "kagome": lambda: kagome((2, 2)),
    "cubic": lambda: cubic((3, 3, 4)),
    "tilted cubic": lambda: supercell_cluster(CUBIC, ((2, 2, 0), (0, 2, 2), (2, 0, 2))),
}


@pytest.mark.parametrize("name", CLUSTERS)
def test_sums_over_images_have_every_symmetry_of_the_lattice(name: str) -> None:
    """J_{g(i) g(j)} = J_ij for all generators, also where periods are oblique or a pair is half a period apart.

    More images only add: the sum grows with them, and by less each time.
    """
    lattice = CLUSTERS[name]()
    sums = [power_law(lattice, 4.0, n_images) for n_images in (0, 1, 2, 3)]
    for couplings in sums:
        table = np.zeros((lattice.n_sites, lattice.n_sites))
        table[np.triu_indices(lattice.n_sites, 1)] = couplings
        table += table.T
        for generators in lattice.generators.values():
            for g in generators:
                np.testing.assert_allclose(table[np.ix_(g, g)], table, rtol=1e-12)
    growth = np.diff(sums, axis=0)
    assert np.all(growth > 0) and np.all(growth[1:] < growth[:-1])


def test_periods_within_n_of_a_cluster() -> None:
    """A box where the periods are perpendicular; hexagons of 1 + 6, 1 + 18 where they include 60 degrees."""
    for lattice, counts in (
        (chain(6), (3, 5)),
        (rectangle((3, 9)), (9, 25)),
        (rectangle((3, 9), (True, False)), (3, 5)),
        (supercell_cluster(SQUARE, ((3, 1), (-1, 3))), (9, 25)),
        (triangular((4, 4)), (7, 19)),
        (cubic((3, 3, 3)), (27, 125)),
        (chain(6, periodic=False), (1, 1)),
    ):
        for reach, count in zip((1, 2), counts, strict=True):
            found = images(lattice, reach)
            assert len(found) == count and len(np.unique(np.rint(1e6 * found), axis=0)) == count


# Fields ---------------------------------------------------------------------------------------------------------------


def test_random_fields_are_uniform_and_belong_to_their_seed() -> None:
    values = RandomField(seed=5, width=0.5, mean=2.0).values(4000)
    assert 1.5 < values.min() < 1.501 and 2.499 < values.max() < 2.5
    assert abs(values.mean() - 2.0) < 4 * 0.5 / np.sqrt(3 * 4000)
    np.testing.assert_array_equal(values[:10], RandomField(seed=5, width=0.5, mean=2.0).values(10))
    assert not np.any(values == RandomField(seed=6, width=0.5, mean=2.0).values(4000))


def test_a_list_of_fields_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(KeyProblem, match=r"^hamiltonian\.field = \[1\.0, 2\.0\]: has 2 values, .* each of the 3 sites"):
        site_values([1.0, 2.0], 3, "hamiltonian.field")


def test_two_sites_on_one_point_have_no_distance() -> None:
    """The pair is named, wherever it stands in the list."""
    lattice = graph([(0, 1, 1.0), (1, 2, 1.0), (2, 3, 1.0)], 4, [(0.0, 0.0), (1.0, 0.0), (2.0, 0.0), (1.0, 0.0)])
    np.testing.assert_array_equal(distances(lattice, np.array([[0, 1], [0, 2]])), [1.0, 2.0])
    with pytest.raises(LatticeError, match="sites 1 and 3 lie on the same point"):
        distances(lattice, np.array([[0, 1], [1, 3], [0, 2]]))
