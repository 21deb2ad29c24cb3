"""Lattices: shells against brute-force distances, symmetry groups against their definition."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pvmc.config import KeyProblem, RawInput, Section, meaning, validate
from pvmc.errors import InputError
from pvmc.lattice import (
    MAX_SITES,
    ChainSpec,
    Lattice,
    LatticeError,
    LatticeSpec,
    RectangleSpec,
    chain,
    rectangle,
)

RECTANGLES = [
    ((4, 4), (True, True)),
    ((3, 3), (True, True)),
    ((3, 5), (True, True)),
    ((6, 4), (True, False)),
    ((4, 4), (False, True)),
    ((4, 4), (False, False)),
    ((5, 3), (False, False)),
    ((1, 6), (False, True)),
    ((2, 2), (False, False)),
]


def squared_distances(size: tuple[int, int], periodic: tuple[bool, bool]) -> np.ndarray:
    """Exact integers, (N, N), written out site by site."""
    n_sites = size[0] * size[1]
    table = np.zeros((n_sites, n_sites), dtype=int)
    for i, j in itertools.product(range(n_sites), repeat=2):
        apart = [abs(i % size[0] - j % size[0]), abs(i // size[0] - j // size[0])]
        apart = [min(d, length - d) if closed else d for d, length, closed in zip(apart, size, periodic, strict=True)]
        table[i, j] = apart[0] ** 2 + apart[1] ** 2
    return table


def coordination(lattice: Lattice, shell: int = 1) -> np.ndarray:
    return np.bincount(lattice.bonds(shell).ravel(), minlength=lattice.n_sites)


@pytest.mark.parametrize("length", [3, 4, 7, 40])
def test_ring_has_as_many_bonds_as_sites(length: int) -> None:
    lattice = chain(length)
    assert lattice.n_sites == length
    assert len(lattice.bonds()) == length
    assert np.all(coordination(lattice) == 2)


@pytest.mark.parametrize("length", [2, 3, 8])
def test_open_chain_lacks_one_bond(length: int) -> None:
    np.testing.assert_array_equal(chain(length, periodic=False).bonds(), [[i, i + 1] for i in range(length - 1)])


@pytest.mark.parametrize("size", [(3, 3), (4, 4), (4, 6), (10, 10)])
def test_torus_has_two_bonds_per_site(size: tuple[int, int]) -> None:
    lattice = rectangle(size)
    assert len(lattice.bonds()) == 2 * lattice.n_sites
    assert np.all(coordination(lattice) == 4)
    assert np.all(coordination(lattice, 2) == 4)


@pytest.mark.parametrize("size", [(1, 5), (2, 2), (3, 5), (6, 4)])
def test_open_rectangle_bond_count(size: tuple[int, int]) -> None:
    n_bonds = size[0] * (size[1] - 1) + size[1] * (size[0] - 1)
    assert len(rectangle(size, periodic=(False, False)).bonds()) == n_bonds


@pytest.mark.parametrize(("size", "periodic"), RECTANGLES)
def test_shells_are_the_pairs_at_each_distance(size: tuple[int, int], periodic: tuple[bool, bool]) -> None:
    lattice = rectangle(size, periodic)
    table = squared_distances(size, periodic)
    distances = sorted({int(d) for d in table.ravel()} - {0})[:3]
    assert len(lattice.shells) == len(distances)
    for shell, distance in enumerate(distances, start=1):
        pairs = [(i, j) for i in range(len(table)) for j in range(i + 1, len(table)) if table[i, j] == distance]
        np.testing.assert_array_equal(lattice.bonds(shell), pairs)
        assert lattice.bonds(shell).dtype == np.int64


def test_shells_of_a_chain() -> None:
    lattice = chain(9)
    for shell in (1, 2, 3):
        expected = sorted(tuple(sorted((i, (i + shell) % 9))) for i in range(9))
        np.testing.assert_array_equal(lattice.bonds(shell), expected)


def test_opposite_sites_of_a_ring_are_one_bond() -> None:
    np.testing.assert_array_equal(chain(4).bonds(2), [[0, 2], [1, 3]])


def test_missing_shell_is_an_input_error() -> None:
    with pytest.raises(LatticeError, match="neighbour shell 3 of 9 sites: known are 1 to 2"):
        rectangle((3, 3)).bonds(3)
    with pytest.raises(LatticeError):
        chain(8).bonds(0)


def test_site_index_runs_along_x_first() -> None:
    lattice = rectangle((4, 3))
    for y, x in itertools.product(range(3), range(4)):
        np.testing.assert_array_equal(lattice.positions[x + 4 * y], [x, y])
    assert lattice.positions.dtype == np.float64
    assert chain(5).positions.shape == (5, 1)


@pytest.mark.parametrize(
    ("lattice", "translations", "space"),
    [
        (chain(3), 3, 6),
        (chain(8), 8, 16),
        (chain(8, periodic=False), 1, 2),
        (chain(2, periodic=False), 1, 2),
        (rectangle((3, 3)), 9, 72),
        (rectangle((4, 4)), 16, 128),
        (rectangle((6, 6)), 36, 288),
        (rectangle((3, 5)), 15, 60),
        (rectangle((4, 6)), 24, 96),
        (rectangle((4, 4), (True, False)), 4, 16),
        (rectangle((4, 4), (False, False)), 1, 8),
        (rectangle((3, 5), (False, False)), 1, 4),
        (rectangle((1, 6), (False, True)), 6, 12),
    ],
)
def test_group_sizes(lattice: Lattice, translations: int, space: int) -> None:
    assert len(lattice.group("none")) == 1
    assert len(lattice.group("translation")) == translations
    assert len(lattice.group("space")) == space


@pytest.mark.parametrize(("size", "periodic"), RECTANGLES)
@pytest.mark.parametrize("name", ["none", "translation", "space"])
def test_groups_are_closed_and_preserve_all_distances(
    size: tuple[int, int], periodic: tuple[bool, bool], name: str
) -> None:
    group = rectangle(size, periodic).group(name)
    assert group.dtype == np.int64
    np.testing.assert_array_equal(group[0], np.arange(size[0] * size[1]))
    elements = {tuple(g) for g in group.tolist()}
    assert len(elements) == len(group)
    assert all(tuple(product) in elements for g in group for product in g[group].tolist())
    table = squared_distances(size, periodic)
    for g in group:
        np.testing.assert_array_equal(table[np.ix_(g, g)], table)


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


@pytest.mark.parametrize(
    "lattice", [chain(8), chain(7, periodic=False), rectangle((4, 6)), rectangle((3, 5), (False, False))]
)
def test_bonds_connect_the_two_sublattices(lattice: Lattice) -> None:
    colours = lattice.sublattices()
    assert colours.dtype == np.int8
    assert colours[0] == 1
    assert np.all(colours[lattice.bonds()].sum(axis=1) == 0)
    np.testing.assert_array_equal(colours, (-1) ** lattice.positions.sum(axis=1).astype(int))


@pytest.mark.parametrize("lattice", [chain(3), chain(9), rectangle((3, 4)), rectangle((4, 5), (False, True))])
def test_odd_ring_has_no_sublattices(lattice: Lattice) -> None:
    with pytest.raises(LatticeError, match="odd length") as caught:
        lattice.sublattices()
    assert "\n" not in str(caught.value)


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


def test_specs_build_from_toml_values() -> None:
    job = read({"kind": "rectangle", "size": [4, 3], "periodic": [True, False]})
    assert isinstance(job.lattice, RectangleSpec)
    np.testing.assert_array_equal(job.lattice.build().bonds(), rectangle((4, 3), (True, False)).bonds())
    job = read({"kind": "chain", "length": 6, "periodic": False})
    assert isinstance(job.lattice, ChainSpec)
    np.testing.assert_array_equal(job.lattice.build().bonds(), chain(6, periodic=False).bonds())


def test_specs_are_periodic_by_default() -> None:
    assert len(ChainSpec(kind="chain", length=6).build().bonds()) == 6
    assert len(RectangleSpec(kind="rectangle", size=(4, 4)).build().bonds()) == 32


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
    ],
)
def test_lattices_that_do_not_fit_name_their_key(spec: ChainSpec | RectangleSpec, key: str) -> None:
    with pytest.raises(KeyProblem) as caught:
        spec.build()
    assert caught.value.key == key


@pytest.mark.parametrize("section", [ChainSpec, RectangleSpec])
def test_every_key_is_described(section: type[Section]) -> None:
    assert all(meaning(section, name) for name in section.model_fields)
