"""All kinds of lattices: coordination, bond counts, symmetry groups, momenta, displacements.

Expected numbers are counted by hand or follow from an independent formula; distances are recomputed from positions with
more images than the code looks at.
"""

from __future__ import annotations

import itertools
import tomllib
from typing import get_args

import numpy as np
import pytest

from pvmc.config import KeyProblem, RawInput, Section, meaning, to_toml, validate
from pvmc.errors import InputError
from pvmc.lattice import (
    CUBIC,
    HONEYCOMB,
    KAGOME,
    MAX_SITES,
    SQUARE,
    TRIANGULAR,
    ChainSpec,
    CubicSpec,
    HoneycombSpec,
    KagomeSpec,
    LadderSpec,
    Lattice,
    LatticeError,
    LatticeSpec,
    RectangleSpec,
    TriangularSpec,
    UnitCell,
    chain,
    cubic,
    describe,
    honeycomb,
    kagome,
    ladder,
    rectangle,
    supercell_cluster,
    triangular,
)

SAMPLES = {
    "ring": chain(7),
    "open chain": chain(5, periodic=False),
    "ladder": ladder(6),
    "open ladder": ladder(4, periodic=False),
    "three legs": ladder(5, legs=3),
    "short ring": chain(3),
    "pair": chain(2, periodic=False),
    "square": rectangle((4, 4)),
    "odd square": rectangle((3, 3)),
    "rectangle": rectangle((3, 5)),
    "cylinder": rectangle((6, 4), (True, False)),
    "other cylinder": rectangle((4, 4), (False, True)),
    "open square": rectangle((4, 4), (False, False)),
    "open rectangle": rectangle((5, 3), (False, False)),
    "line along y": rectangle((1, 6), (False, True)),
    "plaquette": rectangle((2, 2), (False, False)),
    "tilted square": supercell_cluster(SQUARE, [[3, 1], [-1, 3]]),
    "triangular": triangular((4, 4)),
    "triangular 3 x 6": triangular((3, 6)),
    "triangular cylinder": triangular((4, 5), (True, False)),
    "other triangular cylinder": triangular((3, 4), (False, True)),
    "open triangular": triangular((3, 4), (False, False)),
    "triangular 12": supercell_cluster(TRIANGULAR, [[2, 2], [-2, 4]]),
    "triangular 7": supercell_cluster(TRIANGULAR, [[2, 1], [-1, 3]]),
    "honeycomb": honeycomb((3, 3)),
    "honeycomb 2 x 3": honeycomb((2, 3)),
    "honeycomb cylinder": honeycomb((3, 2), (True, False)),
    "open honeycomb": honeycomb((2, 3), (False, False)),
    "honeycomb 24": supercell_cluster(HONEYCOMB, [[2, 2], [-2, 4]]),
    "kagome": kagome((3, 3)),
    "kagome 12": kagome((2, 2)),
    "kagome cylinder": kagome((2, 3), (False, True)),
    "open kagome": kagome((2, 2), (False, False)),
    "cubic": cubic((3, 3, 3)),
    "cubic slab": cubic((3, 4, 2), (True, True, False)),
    "open cubic": cubic((2, 2, 3), (False, False, False)),
    "body-centred cubic periods": supercell_cluster(CUBIC, [[-2, 2, 2], [2, -2, 2], [2, 2, -2]]),
}

each_sample = pytest.mark.parametrize("lattice", SAMPLES.values(), ids=SAMPLES.keys())


def images(lattice: Lattice, reach: int = 4) -> np.ndarray:
    """All sums of the periods with coefficients up to ``reach``, written out."""
    multiples = itertools.product(range(-reach, reach + 1), repeat=len(lattice.periods))
    return np.array([np.array(m) @ lattice.periods if m else np.zeros(lattice.positions.shape[1]) for m in multiples])


def distances(lattice: Lattice) -> np.ndarray:
    """Distances of the nearest images, (N, N)."""
    apart = lattice.positions[np.newaxis] - lattice.positions[:, np.newaxis]
    return np.min([np.linalg.norm(apart + image, axis=2) for image in images(lattice)], axis=0)


def coordination(lattice: Lattice, shell: int) -> np.ndarray:
    return np.bincount(lattice.bonds(shell).ravel(), minlength=lattice.n_sites)


@each_sample
def test_shells_are_the_pairs_at_each_distance(lattice: Lattice) -> None:
    table = np.round(distances(lattice), 9)
    first, second = np.triu_indices(lattice.n_sites, k=1)
    lengths = np.unique(table[first, second])[:3]
    assert lengths[0] == 1.0  # the unit of length
    assert len(lattice.shells) == len(lengths)
    for shell, length in enumerate(lengths, start=1):
        members = table[first, second] == length
        np.testing.assert_array_equal(lattice.bonds(shell), np.stack([first[members], second[members]], axis=1))
        assert lattice.bonds(shell).dtype == np.int64


@each_sample
def test_displacements_lead_to_the_nearest_image(lattice: Lattice) -> None:
    for shell in range(1, len(lattice.shells) + 1):
        bonds, vectors = lattice.bonds(shell), lattice.displacements(shell)
        assert vectors.shape == (len(bonds), lattice.positions.shape[1])
        lengths = distances(lattice)[bonds[:, 0], bonds[:, 1]]
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), lengths, rtol=0, atol=1e-12)
        landed = lattice.positions[bonds[:, 0]] + vectors - lattice.positions[bonds[:, 1]]
        gaps = np.linalg.norm(landed[:, np.newaxis] - images(lattice), axis=2).min(axis=1)
        np.testing.assert_allclose(gaps, 0.0, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("lattice", "neighbours"),
    [
        (triangular((5, 6)), (6, 6, 6)),
        (honeycomb((4, 5)), (3, 6, 3)),
        (kagome((3, 4)), (4, 4, 6)),
        (cubic((5, 5, 6)), (6, 12, 8)),
        (chain(40), (2, 2, 2)),
        (rectangle((5, 6)), (4, 4, 4)),
        (rectangle((10, 10)), (4, 4, 4)),
        (ladder(8), (3, 2, 2)),
        (ladder(3), (3, 2)),
        (supercell_cluster(TRIANGULAR, [[4, 1], [-1, 5]]), (6, 6, 6)),
    ],
)
def test_coordination_numbers_of_periodic_clusters(lattice: Lattice, neighbours: tuple[int, ...]) -> None:
    assert len(lattice.shells) == len(neighbours)
    for shell, number in enumerate(neighbours, start=1):
        assert np.all(coordination(lattice, shell) == number)
        assert len(lattice.bonds(shell)) == number * lattice.n_sites // 2


@pytest.mark.parametrize("length", [3, 4, 7])
@pytest.mark.parametrize("width", [2, 3, 5])
def test_bond_counts_of_open_and_mixed_boundaries(length: int, width: int) -> None:
    """Bonds of each direction counted one by one: an open direction has one layer of them less."""
    a, b = length, width
    np.testing.assert_array_equal(chain(a, periodic=False).bonds(), [[i, i + 1] for i in range(a - 1)])
    assert len(rectangle((a, b), (False, False)).bonds()) == b * (a - 1) + a * (b - 1)
    assert len(ladder(a, b, periodic=False).bonds()) == b * (a - 1) + a * (b - 1)
    assert len(ladder(a, b).bonds()) == b * a + a * (b - 1)
    along, across, diagonal = b * (a - 1), a * (b - 1), (a - 1) * (b - 1)
    assert len(triangular((a, b), (False, False)).bonds()) == along + across + diagonal
    assert len(triangular((a, b), (True, False)).bonds()) == a * b + 2 * a * (b - 1)
    assert len(honeycomb((a, b), (False, False)).bonds()) == a * b + along + across
    assert len(honeycomb((a, b), (True, False)).bonds()) == 2 * a * b + across
    assert len(kagome((a, b), (False, False)).bonds()) == 3 * a * b + along + across + diagonal
    assert len(kagome((a, b), (True, False)).bonds()) == 3 * a * b + a * b + 2 * a * (b - 1)
    assert len(cubic((a, b, 2), (True, False, False)).bonds()) == 2 * a * b + 2 * a * (b - 1) + a * b


def test_sites_are_numbered_cell_by_cell() -> None:
    for build, cell in ((rectangle, SQUARE), (triangular, TRIANGULAR), (honeycomb, HONEYCOMB), (kagome, KAGOME)):
        lattice = build((3, 4))
        for y, x, member in itertools.product(range(4), range(3), range(len(cell.basis))):
            index = member + len(cell.basis) * (x + 3 * y)
            expected = x * cell.vectors[0] + y * cell.vectors[1] + cell.basis[member]
            np.testing.assert_allclose(lattice.positions[index], expected, rtol=0, atol=1e-14)
    lattice = cubic((3, 4, 5))
    for z, y, x in itertools.product(range(5), range(4), range(3)):
        np.testing.assert_array_equal(lattice.positions[x + 3 * (y + 4 * z)], [x, y, z])
    np.testing.assert_array_equal(ladder(4, legs=3).positions[7], [2, 1])


# Symmetries -----------------------------------------------------------------------------------------------------------

GROUP_ORDERS = [
    # wallpaper groups p6m and p4m (and the 48 of the cube) times translations
    *((triangular((n, n)), n**2, 12 * n**2) for n in (3, 4, 5)),
    *((honeycomb((n, n)), n**2, 12 * n**2) for n in (2, 3, 4)),
    *((kagome((n, n)), n**2, 12 * n**2) for n in (2, 3, 4)),
    *((rectangle((n, n)), n**2, 8 * n**2) for n in (3, 4, 5, 6)),
    *((cubic((n, n, n)), n**3, 48 * n**3) for n in (3, 4)),
    # supercells: all of p6m, its rotations alone, the rotations of p4m alone
    (supercell_cluster(TRIANGULAR, [[2, 2], [-2, 4]]), 12, 144),
    (supercell_cluster(HONEYCOMB, [[2, 2], [-2, 4]]), 12, 144),
    (supercell_cluster(TRIANGULAR, [[2, 1], [-1, 3]]), 7, 42),
    (supercell_cluster(SQUARE, [[3, 1], [-1, 3]]), 10, 40),
    (supercell_cluster(SQUARE, [[2, 2], [-2, 2]]), 8, 64),
    (supercell_cluster(CUBIC, [[-2, 2, 2], [2, -2, 2], [2, 2, -2]]), 32, 48 * 32),
    *((chain(n), n, 2 * n) for n in (3, 8)),
    *((chain(n, periodic=False), 1, 2) for n in (2, 8)),
    # unequal sides leave the rectangle's group: 4, a half turn and two reflections
    *((rectangle((x, y)), x * y, 4 * x * y) for x, y in ((3, 5), (4, 6))),
    (triangular((3, 6)), 18, 72),
    (cubic((3, 3, 4)), 36, 16 * 36),
    (cubic((3, 4, 5)), 60, 8 * 60),
    # strips and cylinders: 4 times translations along; the open pieces have what their outline has
    (rectangle((4, 4), (True, False)), 4, 16),
    (rectangle((4, 4), (False, False)), 1, 8),
    (rectangle((3, 5), (False, False)), 1, 4),
    (rectangle((1, 6), (False, True)), 6, 12),
    (ladder(6), 6, 24),
    (ladder(6, periodic=False), 1, 4),
    (triangular((5, 4), (True, False)), 5, 20),
    (triangular((5, 4), (False, True)), 4, 16),
    (honeycomb((4, 3), (True, False)), 4, 16),
    (kagome((4, 3), (True, False)), 4, 8),  # one edge has triangles, the other has none: no half turn
    (cubic((3, 3, 2), (True, True, False)), 9, 16 * 9),
    (triangular((4, 4), (False, False)), 1, 4),
    (triangular((4, 3), (False, False)), 1, 2),
    (honeycomb((3, 3), (False, False)), 1, 4),
    (kagome((3, 3), (False, False)), 1, 2),
    (cubic((3, 3, 3), (False, False, False)), 1, 48),
    (cubic((2, 2, 3), (False, False, False)), 1, 16),
]


@pytest.mark.parametrize(("lattice", "translations", "space"), GROUP_ORDERS)
def test_group_orders(lattice: Lattice, translations: int, space: int) -> None:
    assert len(lattice.group("none")) == 1
    assert len(lattice.group("translation")) == translations
    assert len(lattice.group("space")) == space


@each_sample
@pytest.mark.parametrize("name", ["translation", "space"])
def test_groups_are_closed_and_preserve_all_distances(lattice: Lattice, name: str) -> None:
    group, table = lattice.group(name), distances(lattice)
    assert group.dtype == np.int64
    np.testing.assert_array_equal(group[0], np.arange(lattice.n_sites))
    elements = {element.tobytes() for element in group}
    assert len(elements) == len(group)
    for element in group[:: max(1, len(group) // 40)]:
        assert {product.tobytes() for product in element[group]} == elements
        np.testing.assert_allclose(table[np.ix_(element, element)], table, rtol=0, atol=1e-9)


def turns(lattice: Lattice, order: int) -> set[int]:
    """Numbers of sites that stay, for the elements of exactly this order."""
    here = np.arange(lattice.n_sites)
    found = set()
    for element in lattice.group("space"):
        power, k = element, 1
        while not np.array_equal(power, here):
            power, k = power[element], k + 1
        if k == order:
            found.add(int(np.sum(element == here)))
    return found


def test_centres_of_rotations() -> None:
    """A turn by 2 pi / n keeps det(1 - R) points of a torus, 1 for n = 6 and 3 for n = 3.

    On these clusters, whose side is no multiple of 3, the three are of the three kinds of centres of the p6m group.
    """
    assert turns(triangular((5, 5)), 6) == {1}  # sixfold about sites
    assert 0 in turns(honeycomb((5, 5)), 6) and 0 in turns(kagome((5, 5)), 6)  # about hexagons
    assert turns(honeycomb((5, 5)), 3) == {2}  # threefold about a site of A, one of B, and a hexagon
    assert turns(triangular((5, 5)), 3) == {1}  # about a site and two triangles
    assert turns(kagome((5, 5)), 3) == {0}


@pytest.mark.parametrize(
    "lattice", [honeycomb((3, 4)), rectangle((4, 4)), rectangle((4, 6)), cubic((4, 4, 4)), ladder(6), chain(8)]
)
def test_bipartite_lattices(lattice: Lattice) -> None:
    colours = lattice.sublattices()
    assert colours.dtype == np.int8 and colours[0] == 1
    assert colours.sum() == 0
    assert np.all(colours[lattice.bonds()].sum(axis=1) == 0)
    assert np.all(colours[lattice.bonds(2)].prod(axis=1) == 1)
    assert "bipartite: " in describe(lattice)


@pytest.mark.parametrize(
    "lattice",
    [triangular((4, 4)), kagome((2, 2)), cubic((3, 4, 4)), ladder(5), rectangle((4, 5), (False, True)), chain(9)],
)
def test_frustrated_lattices(lattice: Lattice) -> None:
    with pytest.raises(LatticeError, match="odd length") as caught:
        lattice.sublattices()
    assert "\n" not in str(caught.value)
    assert "not bipartite" in describe(lattice)


# Momenta --------------------------------------------------------------------------------------------------------------


@each_sample
def test_momenta_are_those_that_the_periods_allow(lattice: Lattice) -> None:
    momenta = lattice.momenta()
    translations = lattice.group("translation")
    assert momenta.shape == (len(translations), lattice.positions.shape[1])
    np.testing.assert_array_equal(momenta[0], 0.0)
    phases = momenta @ lattice.periods.T / (2 * np.pi) if len(lattice.periods) else np.zeros((1, 1))
    np.testing.assert_allclose(phases, np.rint(phases), rtol=0, atol=1e-9)


@each_sample
def test_plane_waves_of_the_momenta_are_orthogonal(lattice: Lattice) -> None:
    """Characters of the translation group: distinct momenta are distinct modulo reciprocal lattice vectors."""
    momenta = lattice.momenta()
    moved = lattice.positions[lattice.group("translation")[:, 0]]
    waves = np.exp(1j * momenta @ moved.T)
    np.testing.assert_allclose(waves @ waves.conj().T / len(momenta), np.eye(len(momenta)), rtol=0, atol=1e-9)


def test_momenta_of_a_ring_and_of_a_rectangle() -> None:
    np.testing.assert_allclose(chain(6).momenta()[:, 0], 2 * np.pi * np.arange(6) / 6, rtol=0, atol=1e-14)
    expected = [[2 * np.pi * x / 4, 2 * np.pi * y / 3] for y in range(3) for x in range(4)]
    np.testing.assert_allclose(rectangle((4, 3)).momenta(), expected, rtol=0, atol=1e-14)
    np.testing.assert_array_equal(rectangle((4, 3), (False, False)).momenta(), [[0.0, 0.0]])


def test_triangular_clusters_of_order_three_hold_the_corner_of_the_zone() -> None:
    corner = np.array([4 * np.pi / 3, 0.0])
    for lattice, holds in ((triangular((3, 3)), True), (SAMPLES["triangular 12"], True), (triangular((4, 4)), False)):
        phases = (lattice.momenta() - corner) @ TRIANGULAR.vectors.T / (2 * np.pi)
        assert np.any(np.all(np.abs(phases - np.rint(phases)) < 1e-9, axis=1)) == holds


# Limits, sections -----------------------------------------------------------------------------------------------------


def test_couplings_are_one() -> None:
    np.testing.assert_array_equal(kagome((2, 2)).couplings(), np.ones(24))
    assert kagome((2, 2)).couplings(2).dtype == np.float64
    with pytest.raises(LatticeError, match="shell 4"):
        kagome((2, 2)).couplings(4)


@pytest.mark.parametrize(
    ("unit_cell", "supercell"),
    [
        (TRIANGULAR, [[2, 0], [0, 4]]),
        (TRIANGULAR, [[1, 1], [-1, 2]]),
        (SQUARE, [[1, 0], [0, 9]]),
        (HONEYCOMB, [[1, 0], [0, 3]]),
        (KAGOME, [[1, 0], [0, 3]]),
        (CUBIC, [[3, 0, 0], [0, 2, 0], [0, 0, 3]]),
    ],
)
def test_clusters_that_close_on_themselves_too_soon(unit_cell: UnitCell, supercell: list[list[int]]) -> None:
    with pytest.raises(LatticeError, match="run both ways round"):
        supercell_cluster(unit_cell, supercell)


def test_supercells_that_span_the_same_lattice_give_the_same_cluster() -> None:
    one = supercell_cluster(TRIANGULAR, [[2, 2], [-2, 4]])
    other = supercell_cluster(TRIANGULAR, [[4, -2], [-2, 4]])  # rows: the first minus the second, the second
    assert len(one.group("space")) == len(other.group("space"))
    lengths = [np.sort(distances(lattice), axis=None) for lattice in (one, other)]
    np.testing.assert_allclose(*lengths, rtol=0, atol=1e-9)
    mirrored = supercell_cluster(TRIANGULAR, [[-2, 4], [2, 2]])  # a left-handed pair
    np.testing.assert_array_equal(mirrored.bonds(), one.bonds())


def test_supercell_limits() -> None:
    with pytest.raises(LatticeError, match=f"2 to {MAX_SITES} sites, not 0"):
        supercell_cluster(SQUARE, [[2, 2], [1, 1]])
    with pytest.raises(LatticeError, match="too skew"):
        supercell_cluster(SQUARE, [[1000, 999], [1001, 1003]])
    with pytest.raises(LatticeError, match="magnitude"):
        supercell_cluster(SQUARE, [[10**9, 1], [0, 4]])


def test_opposite_sites_of_a_ring_are_one_bond() -> None:
    np.testing.assert_array_equal(chain(4).bonds(2), [[0, 2], [1, 3]])


def test_missing_shell_is_an_input_error() -> None:
    with pytest.raises(LatticeError, match="neighbour shell 3 of 9 sites: known are 1 to 2"):
        rectangle((3, 3)).bonds(3)
    with pytest.raises(LatticeError):
        chain(8).bonds(0)


def test_translation_row_fetches_the_shifted_site() -> None:
    group = rectangle((4, 3)).group("translation")
    spins = np.arange(100, 112)
    for shift_y, shift_x, y, x in itertools.product(range(3), range(4), range(3), range(4)):
        moved = spins[group[shift_x + 4 * shift_y]]
        assert moved[x + 4 * y] == spins[(x + shift_x) % 4 + 4 * ((y + shift_y) % 3)]


def test_unknown_group_is_an_input_error() -> None:
    with pytest.raises(LatticeError, match='"none", "translation" or "space"'):
        chain(4).group("point")


def test_a_generator_that_breaks_bonds_is_refused() -> None:
    lattice = chain(5)
    with pytest.raises(ValueError, match="wrong"):
        Lattice(lattice.positions, lattice.shells, {"wrong": np.array([[1, 0, 2, 3, 4]])})
    with pytest.raises(ValueError, match="wrong"):
        Lattice(lattice.positions, lattice.shells, {"wrong": np.array([[0, 0, 2, 3, 4]])})


def test_a_graph_is_a_lattice_without_positions() -> None:
    graph = Lattice(np.zeros((5, 0)), (np.array([[0, 3], [1, 2], [1, 4]]),))
    np.testing.assert_array_equal(graph.sublattices(), [1, 1, -1, -1, -1])
    np.testing.assert_array_equal(graph.group("none"), [[0, 1, 2, 3, 4]])
    with pytest.raises(LatticeError):
        graph.group("translation")


def test_arrays_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        chain(4).bonds()[0, 0] = 3


@pytest.mark.parametrize("length", [0, 1, MAX_SITES + 1])
def test_size_limits(length: int) -> None:
    with pytest.raises(LatticeError, match=f"2 to {MAX_SITES} sites, not {length}"):
        chain(length, periodic=False)


class Job(Section):
    lattice: LatticeSpec
    """The lattice."""


def read(table: dict[str, object]) -> Job:
    return validate(Job, RawInput({"lattice": table}, "job.toml"))


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"kind": "chain", "length": 6}, chain(6)),
        ({"kind": "chain", "length": 6, "periodic": False}, chain(6, periodic=False)),
        ({"kind": "rectangle", "size": [4, 4]}, rectangle((4, 4))),
        ({"kind": "rectangle", "size": [4, 3], "periodic": [True, False]}, rectangle((4, 3), (True, False))),
        ({"kind": "ladder", "length": 4, "legs": 3, "periodic": False}, ladder(4, 3, periodic=False)),
        ({"kind": "triangular", "size": [3, 4], "periodic": [True, False]}, triangular((3, 4), (True, False))),
        ({"kind": "honeycomb", "size": [2, 3], "periodic": False}, honeycomb((2, 3), (False, False))),
        ({"kind": "kagome", "size": [2, 3]}, kagome((2, 3))),
        ({"kind": "cubic", "size": [3, 4, 2], "periodic": [True, True, False]}, SAMPLES["cubic slab"]),
        ({"kind": "triangular", "supercell": [[2, 2], [-2, 4]]}, SAMPLES["triangular 12"]),
        ({"kind": "rectangle", "supercell": [[3, 1], [-1, 3]]}, SAMPLES["tilted square"]),
    ],
)
def test_sections_build_their_lattice_and_survive_toml(table: dict[str, object], expected: Lattice) -> None:
    job = read(table)
    np.testing.assert_array_equal(job.lattice.build().bonds(), expected.bonds())
    assert read(tomllib.loads(to_toml(job))["lattice"]) == job


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"kind": "chain", "length": 1}, "lattice.length = 1"),
        ({"kind": "chain", "length": 4.0}, "lattice.length = 4.0"),
        ({"kind": "chain", "length": 4, "periodic": 1}, "lattice.periodic = 1"),
        ({"kind": "rectangle", "size": [4, "4"]}, "lattice.size"),
        ({"kind": "rectangle", "size": [4]}, "lattice.size"),
        ({"kind": "rectangle", "size": [4, 0]}, "lattice.size"),
        ({"kind": "rectangle", "size": [4, 4], "periodic": [True, 0]}, "lattice.periodic"),
        ({"kind": "rectangle", "length": 4}, "lattice.length = 4: unknown key"),
        ({"kind": "kagome"}, "lattice.size = []: give either size or supercell"),
        ({"kind": "kagome", "size": [2, 2], "supercell": [[2, 0], [0, 2]]}, "lattice.size = [2, 2]: give either"),
        ({"kind": "kagome", "supercell": [[2, 0], [0, 2]], "periodic": False}, "lattice.periodic = false: a cluster"),
        ({"kind": "kagome", "supercell": [[2, 0], [2]]}, "lattice.supercell = [[2, 0], [2]]: must have as many rows"),
        ({"kind": "kagome", "supercell": [2, 0]}, "lattice.supercell = [2, 0]: must be a list of lists"),
        (
            {"kind": "kagome", "supercell": [[2, 0], [0, 2.5]]},
            "lattice.supercell = [[2, 0], [0, 2.5]]: must be a list of 2",
        ),
        ({"kind": "cubic", "size": [2, 2]}, "lattice.size"),
        ({"kind": "ladder", "length": 4, "legs": 1}, "lattice.legs = 1: must be an integer >= 2"),
        ({"kind": "triangle", "size": [3, 3]}, 'lattice.kind = "triangle": must be'),
    ],
)
def test_wrong_values_name_their_key(table: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as caught:
        read(table)
    assert str(caught.value).startswith("job.toml: " + message)


@pytest.mark.parametrize(
    ("spec", "key"),
    [
        (ChainSpec(kind="chain", length=2), "lattice.length"),
        (RectangleSpec(kind="rectangle", size=(2, 4)), "lattice.size"),
        (RectangleSpec(kind="rectangle", size=(4, 2), periodic=(False, True)), "lattice.size"),
        (RectangleSpec(kind="rectangle", size=(1, 1), periodic=False), "lattice.size"),
        (LadderSpec(kind="ladder", length=2), "lattice.length"),
        (TriangularSpec(kind="triangular", size=(2, 4)), "lattice.size"),
        (HoneycombSpec(kind="honeycomb", size=(1, 4)), "lattice.size"),
        (KagomeSpec(kind="kagome", supercell=((1, 0), (0, 4))), "lattice.supercell"),
        (CubicSpec(kind="cubic", size=(3, 3, 2)), "lattice.size"),
    ],
)
def test_clusters_that_do_not_fit_name_their_key(spec: LatticeSpec, key: str) -> None:
    with pytest.raises(KeyProblem) as caught:
        spec.build()
    assert caught.value.key == key


def test_every_key_is_described() -> None:
    for section in get_args(get_args(LatticeSpec)[0]):
        assert all(meaning(section, name) for name in section.model_fields)
