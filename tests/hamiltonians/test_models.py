"""Every named model against Kronecker products of the textbook formula, on bonds that are counted independently."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from pvmc.config import KeyProblem
from pvmc.hamiltonians import Operator, PauliSum
from pvmc.hamiltonians.cluster_ising import ClusterIsingSpec
from pvmc.hamiltonians.couplings import RandomField, site_values
from pvmc.hamiltonians.dzyaloshinskii_moriya import DzyaloshinskiiMoriyaSpec
from pvmc.hamiltonians.geometry import bonds_by_direction, images, oriented_bonds
from pvmc.hamiltonians.heisenberg import HeisenbergSpec, J1J2Spec, XXZSpec, XYZSpec
from pvmc.hamiltonians.ising import IsingSpec
from pvmc.hamiltonians.kitaev import CompassSpec, KitaevSpec
from pvmc.hamiltonians.long_range import HaldaneShastrySpec, LongRangeIsingSpec, LongRangeXXZSpec, power_law
from pvmc.hamiltonians.rydberg import RydbergSpec
from pvmc.lattice import Lattice, LatticeError, chain, cubic, kagome, ladder, rectangle, triangular
from pvmc.lattice.builders import supercell_cluster
from pvmc.lattice.unit_cell import CUBIC, HONEYCOMB, SQUARE, TRIANGULAR
from tests.helpers import compiled_matrix, configurations, pauli

Numbers = Any
"""An array, dense or sparse."""


@dataclass(frozen=True)
class Grid:
    """A rectangle of sites (a chain has Ly = 1) with its geometry in integers, apart from pvmc's."""

    size: tuple[int, int]
    periodic: tuple[bool, bool]

    @property
    def n_sites(self) -> int:
        return self.size[0] * self.size[1]

    def lattice(self) -> Lattice:
        return chain(self.size[0], self.periodic[0]) if self.size[1] == 1 else rectangle(self.size, self.periodic)

    def displacement(self, i: int, j: int) -> tuple[int, int]:
        vector = []
        for length, closed, a, b in zip(self.size, self.periodic, self._place(i), self._place(j), strict=True):
            step = b - a
            if closed:
                step = (step + length // 2) % length - length // 2
            vector.append(step)
        return vector[0], vector[1]

    def _place(self, i: int) -> tuple[int, int]:
        return i % self.size[0], i // self.size[0]

    def squared(self, i: int, j: int) -> int:
        return sum(step**2 for step in self.displacement(i, j))

    def pairs(self) -> Iterator[tuple[int, int]]:
        return itertools.combinations(range(self.n_sites), 2)

    def bonds(self, shell: int) -> list[tuple[int, int]]:
        lengths = sorted({self.squared(i, j) for i, j in self.pairs()})
        return [(i, j) for i, j in self.pairs() if self.squared(i, j) == lengths[shell - 1]]

    def oriented(self) -> list[tuple[int, int]]:
        """Nearest neighbours, to the right or upwards."""
        return [(i, j) if self.displacement(i, j) > (0, 0) else (j, i) for i, j in self.bonds(1)]


GRIDS = {
    "ring of 6": Grid((6, 1), (True, False)),
    "ring of 7": Grid((7, 1), (True, False)),
    "ring of 3": Grid((3, 1), (True, False)),
    "open chain of 6": Grid((6, 1), (False, False)),
    "3 x 3 torus": Grid((3, 3), (True, True)),
    "2 x 4 cylinder": Grid((2, 4), (False, True)),
    "3 x 2 open": Grid((3, 2), (False, False)),
}
BIPARTITE = {name: GRIDS[name] for name in ("ring of 6", "open chain of 6", "2 x 4 cylinder", "3 x 2 open")}
CHAINS = {name: grid for name, grid in GRIDS.items() if grid.size[1] == 1}
every_grid = pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)


cached_pauli = cache(pauli)  # sparse, as are all sums below until they are compared


def single(letter: str, site: int, n_sites: int) -> Numbers:
    return cached_pauli(letter, site, n_sites)


def pair(letters: str, i: int, j: int, n_sites: int) -> Numbers:
    return cached_pauli(letters[0], i, n_sites) @ cached_pauli(letters[1], j, n_sites)


def exchange(grid: Grid, i: int, j: int, x: float, y: float, z: float) -> Numbers:
    """x S^x_i S^x_j + y S^y_i S^y_j + z S^z_i S^z_j."""
    n = grid.n_sites
    return (x * pair("XX", i, j, n) + y * pair("YY", i, j, n) + z * pair("ZZ", i, j, n)) / 4


def fields(letter: str, values: Numbers | float, grid: Grid) -> Numbers:
    """sum_i h_i sigma^letter_i."""
    strengths = np.broadcast_to(values, grid.n_sites)
    return sum(h * single(letter, i, grid.n_sites) for i, h in enumerate(strengths))


def matrix_of(terms: PauliSum, n_sites: int) -> Numbers:
    return compiled_matrix(Operator.from_pauli_sum(terms, n_sites)).toarray()


def assert_is(terms: PauliSum, expected: Numbers, grid: Grid) -> None:
    assert abs(expected).max() > 0.1
    np.testing.assert_allclose(matrix_of(terms, grid.n_sites), expected.toarray(), rtol=0, atol=1e-12)


# Models ---------------------------------------------------------------------------------------------------------------


@every_grid
def test_ising_in_both_fields(grid: Grid) -> None:
    transverse = np.random.default_rng(0).uniform(-1, 1, grid.n_sites)
    spec = IsingSpec(model="ising", coupling=-0.8, field=transverse.tolist(), longitudinal=0.3)
    expected = 0.8 * sum(pair("ZZ", i, j, grid.n_sites) for i, j in grid.bonds(1))
    assert_is(spec.written(grid.lattice()), expected - fields("X", transverse, grid) - fields("Z", 0.3, grid), grid)


@every_grid
def test_heisenberg_and_xxz_in_a_random_field(grid: Grid) -> None:
    field = RandomField(seed=3, width=0.7)
    z_field = fields("Z", field.values(grid.n_sites), grid) / 2
    isotropic = sum(exchange(grid, i, j, 1.3, 1.3, 1.3) for i, j in grid.bonds(1)) - z_field
    anisotropic = sum(exchange(grid, i, j, 1.3, 1.3, -0.4 * 1.3) for i, j in grid.bonds(1)) - z_field
    heisenberg = HeisenbergSpec(model="heisenberg", coupling=1.3, field=field, marshall=False)
    xxz = XXZSpec(model="xxz", coupling=1.3, anisotropy=-0.4, field=field, marshall=False)
    assert_is(heisenberg.build(grid.lattice()), isotropic, grid)
    assert_is(xxz.build(grid.lattice()), anisotropic, grid)


@every_grid
def test_xyz_in_a_field(grid: Grid) -> None:
    values = np.arange(1, grid.n_sites + 1) / 10
    spec = XYZSpec(
        model="xyz", couplings=(0.7, -0.2, 1.1), field_x=0.3, field_y=-0.4, field_z=values.tolist(), marshall=False
    )
    expected = sum(exchange(grid, i, j, 0.7, -0.2, 1.1) for i, j in grid.bonds(1))
    expected = expected - (fields("X", 0.3, grid) + fields("Y", -0.4, grid) + fields("Z", values, grid)) / 2
    assert_is(spec.build(grid.lattice()), expected, grid)


@every_grid
def test_three_shells_of_heisenberg_couplings(grid: Grid) -> None:
    lattice = grid.lattice()
    couplings = np.where(np.arange(3) < len(lattice.shells), [1.0, 0.45, -0.3], 0.0).tolist()
    spec = J1J2Spec(model="j1j2", j1=couplings[0], j2=couplings[1], j3=couplings[2], field=0.2, marshall=False)
    expected = -fields("Z", 0.1, grid)
    for shell, coupling in enumerate(couplings, start=1):
        if coupling:
            expected = expected + sum(exchange(grid, i, j, *3 * [coupling]) for i, j in grid.bonds(shell))
    assert_is(spec.build(lattice), expected, grid)


def test_a_shell_that_the_lattice_lacks_is_refused() -> None:
    with pytest.raises(KeyProblem, match=r"^hamiltonian\.j3 = 0\.5: must be 0: neighbour shell 3 of 4 sites"):
        J1J2Spec(model="j1j2", j3=0.5).build(chain(4))


@every_grid
@pytest.mark.parametrize("vector", [0.6, (0.3, -0.5, 0.9)], ids=["along z", "general"])
def test_dzyaloshinskii_moriya(grid: Grid, vector: float | tuple[float, float, float]) -> None:
    spec = DzyaloshinskiiMoriyaSpec(
        model="dzyaloshinskii_moriya", coupling=0.8, anisotropy=0.5, dm=vector, field=0.3, marshall=False
    )
    d = dict(zip("XYZ", vector if isinstance(vector, tuple) else (0, 0, vector), strict=True))
    expected = -fields("Z", 0.15, grid)
    for i, j in grid.oriented():
        expected = expected + exchange(grid, i, j, 0.8, 0.8, 0.4)
        for a, b, c in ("XYZ", "YZX", "ZXY"):
            cross = pair(b + c, i, j, grid.n_sites) - pair(c + b, i, j, grid.n_sites)
            expected = expected + d[a] * cross / 4
    assert_is(spec.build(grid.lattice()), expected, grid)


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


@pytest.mark.parametrize("grid", CHAINS.values(), ids=CHAINS)
def test_cluster_ising(grid: Grid) -> None:
    n, closed = grid.n_sites, grid.periodic[0]
    expected = -0.3 * fields("X", 1.0, grid)
    for i in range(n if closed else n - 2):
        j, k = (i + 1) % n, (i + 2) % n
        expected = expected - 1.2 * single("Z", i, n) @ single("X", j, n) @ single("Z", k, n)
    for i in range(n if closed else n - 1):
        expected = expected + 0.7 * pair("YY", i, (i + 1) % n, n)
    spec = ClusterIsingSpec(model="cluster_ising", coupling=1.2, ising=0.7, field=0.3)
    assert_is(spec.build(grid.lattice()), expected, grid)


@pytest.mark.parametrize("length", [3, 4, 6, 7])
def test_haldane_shastry(length: int) -> None:
    grid = Grid((length, 1), (True, False))
    expected = sum(
        exchange(grid, i, j, *3 * [0.9 * (np.pi / length) ** 2 / np.sin(np.pi * (i - j) / length) ** 2])
        for i, j in grid.pairs()
    )
    spec = HaldaneShastrySpec(model="haldane_shastry", coupling=0.9, marshall=False)
    assert_is(spec.build(grid.lattice()), expected, grid)


@every_grid
@pytest.mark.parametrize("exponent", [0.0, 1.5, 6.0])
def test_power_laws(grid: Grid, exponent: float) -> None:
    lattice, n = grid.lattice(), grid.n_sites
    decay = {(i, j): grid.squared(i, j) ** (-exponent / 2) for i, j in grid.pairs()}
    zz = sum(d * pair("ZZ", i, j, n) for (i, j), d in decay.items())
    ising = LongRangeIsingSpec(
        model="long_range_ising", coupling=-0.6, exponent=exponent, field=0.5, longitudinal=[0.1] * n
    )
    assert_is(ising.build(lattice), 0.6 * zz - fields("X", 0.5, grid) - fields("Z", 0.1, grid), grid)
    xxz = LongRangeXXZSpec(
        model="long_range_xxz", coupling=1.4, anisotropy=0.3, exponent=exponent, field=0.2, marshall=False
    )
    expected = sum(exchange(grid, i, j, 1.4 * d, 1.4 * d, 0.42 * d) for (i, j), d in decay.items())
    assert_is(xxz.build(lattice), expected - fields("Z", 0.1, grid), grid)


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
    operator = Operator.from_pauli_sum(spec.build(chain(6)), 6)
    assert np.linalg.eigvalsh(compiled_matrix(operator).toarray().real)[0] == pytest.approx(-9.74184, abs=5e-6)


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


@every_grid
@pytest.mark.parametrize("cutoff", [None, 1.0, 1.5])
def test_rydberg_atoms(grid: Grid, cutoff: float | None) -> None:
    n = grid.n_sites
    detuning = np.linspace(0.5, 1.5, n)
    excited = [sparse.diags_array((configurations(n)[i] + 1) / 2) for i in range(n)]
    expected = 0.65 * fields("X", 1.0, grid) - sum(d * m for d, m in zip(detuning, excited, strict=True))
    for i, j in grid.pairs():
        if cutoff is None or grid.squared(i, j) <= cutoff**2:
            expected = expected + 2.0 / grid.squared(i, j) ** 3 * excited[i] @ excited[j]
    spec = RydbergSpec(
        model="rydberg", rabi=1.3, detuning=detuning.tolist(), interaction=2.0, cutoff=cutoff, rotate=False
    )
    assert_is(spec.build(grid.lattice()), expected, grid)
    turned = matrix_of(spec.model_copy(update={"rotate": True}).build(grid.lattice()), n)
    sign = np.diag((-1.0) ** ((n - configurations(n).sum(axis=0, dtype=int)) // 2))
    np.testing.assert_allclose(turned, sign @ expected.toarray() @ sign, atol=1e-12)
    assert np.all(turned - np.diag(np.diag(turned)) <= 0)


# Direction of bonds ---------------------------------------------------------------------------------------------------


def hexagon() -> Lattice:
    angles = np.pi / 3 * np.arange(6)
    bonds = np.array([[0, 1], [0, 5], [1, 2], [2, 3], [3, 4], [4, 5]])
    return Lattice(np.stack([np.cos(angles), np.sin(angles)], axis=1), (bonds,))


def honeycomb(cells: int) -> Lattice:
    """cells x cells unit cells with periodic boundaries; bonds by brute force over the images."""
    steps = np.array([[np.sqrt(3), 0], [np.sqrt(3) / 2, 1.5]])
    corners = [n1 * steps[0] + n2 * steps[1] for n2 in range(cells) for n1 in range(cells)]
    positions = np.array([corner + basis for corner in corners for basis in ([0.0, 0.0], [0.0, 1.0])])
    shifts = [cells * (a * steps[0] + b * steps[1]) for a in (-1, 0, 1) for b in (-1, 0, 1)]
    bonds = [
        (i, j)
        for i, j in itertools.combinations(range(len(positions)), 2)
        if min(np.linalg.norm(positions[j] - positions[i] + shift) for shift in shifts) < 1.01
    ]
    return Lattice(positions, (np.array(bonds),), periods=cells * steps)


def test_kitaev_on_a_hexagon() -> None:
    kitaev = KitaevSpec(model="kitaev", couplings=(1.0, 0.7, -0.4), field=(0.2, 0.0, -0.1))
    # The bond from corner k to k + 1 has the angle 120 + 60 k degrees, modulo 180.
    expected = -0.2 * fields("X", 1.0, Grid((6, 1), (True, False))) + 0.1 * fields(
        "Z", 1.0, Grid((6, 1), (True, False))
    )
    for k in range(6):
        letter, strength = {120: ("Z", -0.4), 0: ("X", 1.0), 60: ("Y", 0.7)}[(120 + 60 * k) % 180]
        expected = expected - strength * pair(letter + letter, k, (k + 1) % 6, 6)
    np.testing.assert_allclose(matrix_of(kitaev.build(hexagon()), 6), expected.toarray(), atol=1e-12)


def test_kitaev_conserves_the_flux_through_a_hexagon() -> None:
    """W = prod of the components that point out of the hexagon; Kitaev, Ann. Phys. 321, 2 (2006), eq. (3)."""
    flux = sparse.eye_array(64)
    for k in range(6):
        outward = "XYZ"[k % 3]  # the direction of corner k as seen from the centre, 60 k degrees modulo 180
        flux = flux @ single(outward, k, 6)
    matrix = matrix_of(KitaevSpec(model="kitaev", couplings=(1.0, 0.7, -0.4)).build(hexagon()), 6)
    np.testing.assert_allclose(flux @ matrix, matrix @ flux, atol=1e-12)
    assert np.abs(np.linalg.eigvalsh(matrix)).max() > 1


def test_every_site_of_the_honeycomb_has_one_bond_of_each_kind() -> None:
    lattice = honeycomb(3)
    directions = bonds_by_direction(lattice)
    assert [angle for angle, _, _ in directions] == pytest.approx([30, 90, 150])
    for _, bonds, _ in directions:
        assert sorted(bonds.ravel().tolist()) == list(range(18))


@pytest.mark.parametrize("grid", [GRIDS["3 x 3 torus"], GRIDS["3 x 2 open"]], ids=["3 x 3 torus", "3 x 2 open"])
def test_compass(grid: Grid) -> None:
    expected = 0
    for i, j in grid.bonds(1):
        horizontal = grid.displacement(i, j)[1] == 0
        bond = 0.6 * pair("XX", i, j, grid.n_sites) if horizontal else 1.1 * pair("ZZ", i, j, grid.n_sites)
        expected = expected - bond
    assert_is(CompassSpec(model="compass", couplings=(0.6, 1.1)).build(grid.lattice()), expected, grid)


def test_models_refuse_lattices_without_what_they_need() -> None:
    refusals = [
        (KitaevSpec(model="kitaev"), rectangle((3, 3)), "3 directions of bonds"),
        (KitaevSpec(model="kitaev"), chain(6), "3 directions of bonds"),
        (CompassSpec(model="compass"), chain(6), "2 directions of bonds"),
        (HaldaneShastrySpec(model="haldane_shastry"), chain(6, periodic=False), "needs a ring"),
        (HaldaneShastrySpec(model="haldane_shastry"), rectangle((3, 3)), "needs a ring"),
        (ClusterIsingSpec(model="cluster_ising"), rectangle((3, 3)), "needs a chain"),
    ]
    for spec, lattice, reason in refusals:
        with pytest.raises(KeyProblem, match=reason) as caught:
            spec.build(lattice)
        assert caught.value.key == "hamiltonian.model"


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


# Marshall rotation ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("grid", BIPARTITE.values(), ids=BIPARTITE)
@pytest.mark.parametrize(
    "spec",
    [
        HeisenbergSpec(model="heisenberg", field=0.3, marshall=True),
        XXZSpec(model="xxz", anisotropy=-0.5, marshall=True),
        XYZSpec(model="xyz", couplings=(1.0, 0.5, 0.2), field_x=0.4, field_y=0.2, marshall=True),
        J1J2Spec(model="j1j2", j2=0.6, j3=0.3, marshall=True),
        LongRangeXXZSpec(model="long_range_xxz", exponent=2.0, marshall=True),
        DzyaloshinskiiMoriyaSpec(model="dzyaloshinskii_moriya", dm=(0.1, 0.2, 0.3), marshall=True),
    ],
    ids=lambda spec: spec.model,
)
def test_the_marshall_rotation_is_unitary(spec: J1J2Spec, grid: Grid) -> None:
    """H' = U^+ H U with U = prod_{i in B} sigma^z_i and B the odd sites of a chessboard."""
    lattice = grid.lattice()
    odd = [i for i in range(grid.n_sites) if (i % grid.size[0] + i // grid.size[0]) % 2]
    sign = np.prod(configurations(grid.n_sites)[odd], axis=0).astype(float)
    plain = matrix_of(spec.model_copy(update={"marshall": False}).build(lattice), grid.n_sites)
    rotated = matrix_of(spec.build(lattice), grid.n_sites)
    np.testing.assert_allclose(rotated, sign[:, None] * plain * sign, atol=1e-12)
    assert np.abs(rotated - plain).max() > 0.1


def test_the_marshall_rotation_makes_off_diagonal_elements_negative() -> None:
    matrix = matrix_of(HeisenbergSpec(model="heisenberg").build(chain(6)), 6)
    assert np.all(matrix - np.diag(np.diag(matrix)) <= 0)


def test_the_marshall_rotation_needs_two_sublattices() -> None:
    with pytest.raises(KeyProblem, match=r"^hamiltonian\.marshall = true: needs a bipartite lattice"):
        J1J2Spec(model="j1j2", marshall=True).build(chain(7))
