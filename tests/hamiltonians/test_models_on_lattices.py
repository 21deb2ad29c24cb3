"""Every model on every kind of lattice, through the registries, against Kronecker products of the textbook formula.

Sites are placed by their definition and bonds are counted by brute force over periodic images, apart from the code
under test; a model that needs what a lattice lacks must say so in one line.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial, reduce
from operator import matmul
from typing import Any, get_args

import numpy as np
import pytest
from pydantic import TypeAdapter
from scipy import sparse

from pvmc.config import KeyProblem
from pvmc.hamiltonians import HamiltonianSpec, Operator, PauliSum
from pvmc.hamiltonians.couplings import RandomField
from pvmc.lattice import Lattice, LatticeSpec
from tests.helpers import compiled_matrix, configurations, pauli

pytestmark = pytest.mark.exact

LATTICES: TypeAdapter[LatticeSpec] = TypeAdapter(LatticeSpec)
HAMILTONIANS: TypeAdapter[HamiltonianSpec] = TypeAdapter(HamiltonianSpec)
Matrix = Any
"""A sparse array, (2^N, 2^N)."""

Bond = tuple[int, int, float]
"""Two sites and the coupling of the bond."""

HALF, HEIGHT = 0.5, np.sqrt(3) / 2
TRIANGULAR = [[1, 0], [HALF, HEIGHT]]
HONEYCOMB = [[2 * HEIGHT, 0], [HEIGHT, 1.5]]
KAGOME = [[2, 0], [1, 2 * HEIGHT]]
HONEYCOMB_BASIS = [[0, 0], [HEIGHT, HALF]]
KAGOME_BASIS = [[0, 0], [1, 0], [HALF, HEIGHT]]


class Refusal(Exception):
    """What a model says where a lattice lacks what it needs: the key and a part of the message."""


@dataclass(frozen=True, eq=False)
class Place:
    """Sites in space, apart from pvmc's.

    Attributes:
        table: the section [lattice].
        positions: (N, d).
        periods: (n, d).
        edges: of a graph; else bonds follow from distances.
        is_chain: a chain, whose sites are numbered from left to right.
    """

    table: dict[str, Any]
    positions: np.ndarray
    periods: np.ndarray
    edges: tuple[Bond, ...] = ()
    is_chain: bool = False

    @property
    def n_sites(self) -> int:
        return len(self.positions)

    @property
    def is_nowhere(self) -> bool:
        return self.positions.shape[1] == 0

    @cache  # noqa: B019 (a handful of places, as long as the tests)
    def lattice(self) -> Lattice:
        return LATTICES.validate_python(self.table).build()

    def images(self, i: int, j: int) -> np.ndarray:
        """Vectors from i to the nearest images of j, (n, d): more than one on half a period."""
        factors = np.array(list(itertools.product(range(-3, 4), repeat=len(self.periods))))
        shifts = factors @ self.periods if len(self.periods) else np.zeros((1, self.positions.shape[1]))
        vectors = self.positions[j] - self.positions[i] + shifts
        lengths = np.linalg.norm(vectors, axis=1)
        return vectors[lengths < lengths.min() + 1e-9]

    @cache  # noqa: B019
    def distance(self, i: int, j: int) -> float:
        if self.is_nowhere:
            raise Refusal("hamiltonian.model", "positions")
        return float(np.linalg.norm(self.images(i, j)[0]))

    @cache  # noqa: B019
    def lengths(self) -> list[float]:
        """Distances of all pairs, each once, ascending, to 9 digits."""
        return sorted({round(self.distance(i, j), 9) for i, j in self.pairs()})

    def pairs(self) -> Iterator[tuple[int, int]]:
        return itertools.combinations(range(self.n_sites), 2)

    def n_shells(self) -> int:
        return 1 if self.edges else min(3, len(self.lengths()))

    def bonds(self, shell: int = 1) -> list[Bond]:
        if self.edges:
            return list(self.edges)
        length = self.lengths()[shell - 1]
        return [(i, j, 1.0) for i, j in self.pairs() if abs(self.distance(i, j) - length) < 1e-8]

    def oriented(self, key: str = "hamiltonian.model") -> list[Bond]:
        """The nearest neighbours, each from i to j along the positive axes; those of a graph nowhere as listed."""
        if self.is_nowhere:
            return list(self.edges)
        found = []
        for i, j, coupling in self.bonds():
            vectors = self.images(i, j)
            if len(vectors) > 1:
                raise Refusal(key, "no orientation")
            forward = next(component for component in vectors[0] if abs(component) > 1e-9) > 0
            found.append((i, j, coupling) if forward else (j, i, coupling))
        return found

    def directions(self, wanted: int) -> list[list[Bond]]:
        """The nearest neighbours by their angle to the x axis, from 0 up to 180 degrees."""
        bonds = self.oriented()
        if self.is_nowhere:
            raise Refusal("hamiltonian.model", "positions")
        if self.positions.shape[1] == 3:
            raise Refusal("hamiltonian.model", "one and two dimensions")
        angles: dict[int, list[Bond]] = {}
        for i, j, coupling in bonds:
            x, *y = self.images(i, j)[0]
            angle = round(np.degrees(np.arctan2(y[0] if y else 0.0, x))) % 180
            angles.setdefault(angle, []).append((i, j, coupling))
        if len(angles) != wanted:
            raise Refusal("hamiltonian.model", f"{wanted} directions of bonds")
        return [angles[angle] for angle in sorted(angles)]

    def colouring(self) -> np.ndarray | None:
        """+-1 of two sublattices with site 0 on +1, found among all configurations; None where there is none."""
        spins = configurations(self.n_sites)
        good = np.all([spins[i] != spins[j] for i, j, _ in self.bonds()], axis=0)
        found = spins[:, good]
        return found[:, found[0] == 1][:, 0] if found.shape[1] else None


def grown(kind: str, vectors: Any, basis: Any, size: tuple[int, ...], closed: tuple[bool, ...], **table: Any) -> Place:
    """Cells along primitive vectors, the first direction fastest, and within a cell the sites of the basis."""
    a = np.array(vectors, dtype=float)
    cells = [cell[::-1] for cell in itertools.product(*(range(n) for n in size[::-1]))]
    positions = np.array([np.array(cell) @ a + np.array(site) for cell in cells for site in basis])
    periods = np.array([n * row for n, row, wraps in zip(size, a, closed, strict=True) if wraps])
    table = table or {"size": list(size), "periodic": list(closed)}
    return Place({"kind": kind} | table, positions, periods.reshape(-1, positions.shape[1]), is_chain=kind == "chain")


def tilted(kind: str, vectors: Any, supercell: list[list[int]], n_basis: int) -> Place:
    """A cluster with edges between the primitive vectors; the numbers of its sites are those of the code under test."""
    table = {"kind": kind, "supercell": supercell}
    periods = np.array(supercell) @ np.array(vectors, dtype=float)
    place = Place(table, LATTICES.validate_python(table).build().positions, periods)
    assert place.n_sites == n_basis * abs(round(np.linalg.det(supercell)))
    assert place.lengths()[0] == 1.0
    return place


def graph(edges: list[Bond], n_sites: int, positions: list[list[float]] | None = None) -> Place:
    table: dict[str, Any] = {"kind": "graph", "edges": [list(edge) for edge in edges], "sites": n_sites}
    points = np.array(positions) if positions else np.zeros((n_sites, 0))
    return Place(table | ({"positions": positions} if positions else {}), points, np.zeros((0, 0)), tuple(edges))


LADDER = [[1, 0]]
SITE2, SITE3 = [[0, 0]], [[0, 0, 0]]
SQUARE, CUBE = np.eye(2).tolist(), np.eye(3).tolist()
COUPLED = [(0, 1, 1.0), (2, 1, -0.7), (2, 3, 0.4), (3, 0, 1.3), (3, 4, 0.9), (5, 4, -1.1), (2, 6, 0.5)]
STAR = [(0, 1, 0.8), (0, 2, -0.5), (0, 3, 1.4), (4, 0, 0.6)]
HEXAGON = [(k, (k + 1) % 6, 0.3 + 0.2 * k) for k in range(6)]
RINGS = {"ring": 7, "ring of 6": 6, "ring of 4": 4, "ring of 3": 3}
PLACES = {
    **{name: grown("chain", [[1]], [[0]], (n,), (True,), length=n) for name, n in RINGS.items()},
    "open chain": grown("chain", [[1]], [[0]], (8,), (False,), length=8, periodic=False),
    **{f"open chain of {n}": grown("chain", [[1]], [[0]], (n,), (False,), length=n, periodic=False) for n in (2, 3)},
    "two sites side by side": grown("rectangle", SQUARE, SITE2, (2, 1), (False, False)),
    "column of 3": grown("rectangle", SQUARE, SITE2, (1, 3), (False, True)),
    "square": grown("rectangle", SQUARE, SITE2, (3, 3), (True, True)),
    "cylinder": grown("rectangle", SQUARE, SITE2, (2, 4), (False, True)),
    "open rectangle": grown("rectangle", SQUARE, SITE2, (3, 2), (False, False)),
    "tilted square": tilted("rectangle", SQUARE, [[3, 1], [-1, 3]], 1),
    "open ladder": grown("ladder", LADDER, [[0, 0], [0, 1]], (5,), (False,), length=5, periodic=False),
    "ladder": grown("ladder", LADDER, [[0, 0], [0, 1]], (4,), (True,), length=4),
    "three legs": grown("ladder", LADDER, [[0, 0], [0, 1], [0, 2]], (3,), (True,), length=3, legs=3),
    "triangular": grown("triangular", TRIANGULAR, SITE2, (3, 3), (True, True)),
    "open triangular": grown("triangular", TRIANGULAR, SITE2, (4, 2), (False, False)),
    "tilted triangular": tilted("triangular", TRIANGULAR, [[2, 1], [-1, 3]], 1),
    "honeycomb": grown("honeycomb", HONEYCOMB, HONEYCOMB_BASIS, (2, 2), (True, True)),
    "open honeycomb": grown("honeycomb", HONEYCOMB, HONEYCOMB_BASIS, (2, 2), (False, False)),
    "tilted honeycomb": tilted("honeycomb", HONEYCOMB, [[2, -1], [1, 2]], 2),
    "open kagome": grown("kagome", KAGOME, KAGOME_BASIS, (3, 1), (False, False)),
    "kagome strip": grown("kagome", KAGOME, KAGOME_BASIS, (3, 1), (True, False)),
    "tilted kagome": tilted("kagome", KAGOME, [[1, 1], [-1, 2]], 3),
    "open cube": grown("cubic", CUBE, SITE3, (2, 2, 2), (False, False, False)),
    "cubic layer": grown("cubic", CUBE, SITE3, (3, 3, 1), (True, True, False)),
    "graph": graph(COUPLED, 7),
    "star with positions": graph(STAR, 5, [[0.0, 0.0], [1.0, 0.0], [0.0, -2.0], [-1.5, 0.0], [0.0, 3.0]]),
    "hexagon with positions": graph(
        HEXAGON, 6, [[np.cos(np.pi / 3 * k).item(), np.sin(np.pi / 3 * k).item()] for k in range(6)]
    ),
}


# Operators ------------------------------------------------------------------------------------------------------------

site = cache(pauli)


@cache
def pair(letters: str, i: int, j: int, n: int) -> Matrix:
    return site(letters[0], i, n) @ site(letters[1], j, n)


def exchange(bond: Bond, n: int, x: float, y: float, z: float) -> Matrix:
    """c_ij [ x S^x_i S^x_j + y S^y_i S^y_j + z S^z_i S^z_j ]."""
    i, j, c = bond
    return c * (x * pair("XX", i, j, n) + y * pair("YY", i, j, n) + z * pair("ZZ", i, j, n)) / 4


def field(letter: str, values: Any, n: int) -> Matrix:
    """sum_i h_i sigma^letter_i."""
    return sum(h * site(letter, i, n) for i, h in enumerate(np.broadcast_to(values, n)))


def staircase(n: int) -> list[float]:
    """A field on every site."""
    return [0.1 * (k + 1) for k in range(n)]


# Models: the section [hamiltonian] on N sites, and the matrix that it means -------------------------------------------

Model = tuple[Callable[[Place], dict[str, Any]], Callable[[Place], Matrix]]


def ising(place: Place, coupling: float = -0.8, transverse: bool = True) -> Matrix:
    n = place.n_sites
    bonds = sum(-coupling * c * pair("ZZ", i, j, n) for i, j, c in place.bonds())
    return bonds - field("X", staircase(n) if transverse else 0.0, n) - field("Z", 0.3, n)


def heisenberg(place: Place, random: bool = False) -> Matrix:
    n = place.n_sites
    fields = RandomField(seed=3, width=0.7).values(n) if random else staircase(n)
    return sum(exchange(bond, n, 1.3, 1.3, 1.3) for bond in place.bonds()) - field("Z", fields, n) / 2


def xxz(place: Place) -> Matrix:
    return sum(exchange(bond, place.n_sites, 1.3, 1.3, -0.52) for bond in place.bonds()) - field(
        "Z", 0.1, place.n_sites
    )


def xyz(place: Place) -> Matrix:
    n = place.n_sites
    fields = field("X", 0.3, n) + field("Y", staircase(n), n) - field("Z", 0.4, n)
    return sum(exchange(bond, n, 0.7, -0.2, 1.1) for bond in place.bonds()) - fields / 2


def shells(place: Place) -> list[float]:
    return np.where(np.arange(3) < place.n_shells(), [1.0, 0.45, -0.3], 0.0).tolist()


def j1j2_table(place: Place) -> dict[str, Any]:
    return dict(zip(("j1", "j2", "j3"), shells(place), strict=True)) | {"field": 0.2, "marshall": False}


def j1j2(place: Place) -> Matrix:
    n = place.n_sites
    couplings = [(shell, j) for shell, j in enumerate(shells(place), start=1) if j]
    return sum(exchange(b, n, j, j, j) for shell, j in couplings for b in place.bonds(shell)) - field("Z", 0.1, n)


def dzyaloshinskii_moriya(place: Place, dm: tuple[float, float, float] = (0.3, -0.5, 0.9)) -> Matrix:
    n, vector = place.n_sites, dict(zip("XYZ", dm, strict=True))
    total = -field("Z", 0.15, n)
    for i, j, c in place.oriented():
        total = total + exchange((i, j, c), n, 0.8, 0.8, 0.4)
        for a, b, d in ("XYZ", "YZX", "ZXY"):  # (S_i x S_j)_a = S^b_i S^d_j - S^d_i S^b_j
            total = total + c * vector[a] * (pair(b + d, i, j, n) - pair(d + b, i, j, n)) / 4
    return total


def kitaev(place: Place) -> Matrix:
    n = place.n_sites
    total = -0.2 * field("X", 1.0, n) + 0.1 * field("Z", 1.0, n)
    for letter, strength, bonds in zip("XYZ", (1.0, 0.7, -0.4), place.directions(3), strict=True):
        total = total - sum(strength * c * pair(2 * letter, i, j, n) for i, j, c in bonds)
    return total


def compass(place: Place) -> Matrix:
    first, second = place.directions(2)
    horizontal = sum(0.6 * c * pair("XX", i, j, place.n_sites) for i, j, c in first)
    return -horizontal - sum(1.1 * c * pair("ZZ", i, j, place.n_sites) for i, j, c in second)


def haldane_shastry(place: Place) -> Matrix:
    if not (place.is_chain and len(place.periods)):
        raise Refusal("hamiltonian.model", "needs a ring")
    n = place.n_sites
    chords = {(i, j): n / np.pi * np.sin(np.pi * (j - i) / n) for i, j in place.pairs()}
    return sum(exchange((i, j, 0.9 / chord**2), n, 1, 1, 1) for (i, j), chord in chords.items())


def cluster_ising(place: Place) -> Matrix:
    if not place.is_chain:
        raise Refusal("hamiltonian.model", "needs a chain")
    n, closed = place.n_sites, len(place.periods)
    threes = [(i, (i + 1) % n, (i + 2) % n) for i in range(n if closed else n - 2)]
    twos = [(i, (i + 1) % n) for i in range(n if closed else n - 1)]
    cluster = sum(1.2 * site("Z", i, n) @ site("X", j, n) @ site("Z", k, n) for i, j, k in threes)
    return sum(0.7 * pair("YY", i, j, n) for i, j in twos) - cluster - field("X", 0.3, n)


def long_range_ising(place: Place, exponent: float = 1.5) -> Matrix:
    n = place.n_sites
    bonds = sum(0.6 * place.distance(i, j) ** -exponent * pair("ZZ", i, j, n) for i, j in place.pairs())
    return bonds - field("X", 0.5, n) - field("Z", staircase(n), n)


def long_range_xxz(place: Place) -> Matrix:
    n = place.n_sites
    bonds = [(i, j, 1.4 * place.distance(i, j) ** -3.0) for i, j in place.pairs()]
    return sum(exchange(bond, n, 1.0, 1.0, 0.3) for bond in bonds) - field("Z", 0.1, n)


def rydberg(place: Place, cutoff: float = 2.0) -> Matrix:
    n = place.n_sites
    excited = [(sparse.eye_array(2**n) + site("Z", i, n)) / 2 for i in range(n)]
    total = 0.65 * field("X", 1.0, n) - sum(d * m for d, m in zip(staircase(n), excited, strict=True))
    for i, j in place.pairs():
        if place.distance(i, j) <= cutoff + 1e-9:
            total = total + 2.0 * place.distance(i, j) ** -6.0 * excited[i] @ excited[j]
    return total


PATTERNS = [
    {"coefficient": 0.7, "operator": "Zi Zj"},
    {"coefficient": -0.4, "operator": "Xi Yj"},
    {"coefficient": 0.2, "operator": "Xi"},
]


def string_of(place: Place) -> dict[int, str]:
    """One string of three sites; of two where there are no more."""
    return {0: "X", 1: "Y", place.n_sites - 1: "Z"}


def terms(place: Place) -> Matrix:
    n = place.n_sites
    zz = sum(0.7 * c * pair("ZZ", i, j, n) for i, j, c in place.bonds())
    xy = sum(-0.4 * c * pair("XY", i, j, n) for i, j, c in place.oriented("hamiltonian.patterns"))
    three = reduce(matmul, (site(letter, i, n) for i, letter in string_of(place).items()))
    return zz + xy + field("X", 0.2, n) + 1.5 * three


def plain(**keys: Any) -> Callable[[Place], dict[str, Any]]:
    """A section whose lists "staircase" are filled in."""

    def table(place: Place) -> dict[str, Any]:
        return {key: staircase(place.n_sites) if value == "staircase" else value for key, value in keys.items()}

    return table


def terms_table(place: Place) -> dict[str, Any]:
    string = " ".join(f"{letter}{i}" for i, letter in string_of(place).items())
    return {"patterns": PATTERNS, "terms": [[1.5, string]], "marshall": False}


HEISENBERG: dict[str, Any] = {"coupling": 1.3, "marshall": False}
CHIRAL: dict[str, Any] = {"coupling": 0.8, "anisotropy": 0.5, "field": 0.3, "marshall": False}
POWERS: dict[str, Any] = {"coupling": -0.6, "field": 0.5, "longitudinal": "staircase"}
ATOMS: dict[str, Any] = {"rabi": 1.3, "detuning": "staircase", "interaction": 2.0, "rotate": False}
MODELS: dict[str, Model] = {
    "ising": (plain(coupling=-0.8, field="staircase", longitudinal=0.3), ising),
    "ising, no coupling": (plain(coupling=0.0, field="staircase", longitudinal=0.3), partial(ising, coupling=0.0)),
    "ising, no field": (plain(coupling=-0.8, field=0.0, longitudinal=0.3), partial(ising, transverse=False)),
    "heisenberg": (plain(**HEISENBERG, field="staircase"), heisenberg),
    "heisenberg, random field": (
        plain(**HEISENBERG, field={"seed": 3, "width": 0.7}),
        partial(heisenberg, random=True),
    ),
    "xxz": (plain(**HEISENBERG, anisotropy=-0.4, field=0.2), xxz),
    "xyz": (plain(couplings=[0.7, -0.2, 1.1], field_x=0.3, field_y="staircase", field_z=-0.4, marshall=False), xyz),
    "j1j2": (j1j2_table, j1j2),
    "dzyaloshinskii_moriya": (plain(**CHIRAL, dm=[0.3, -0.5, 0.9]), dzyaloshinskii_moriya),
    "dzyaloshinskii_moriya, D along z": (plain(**CHIRAL, dm=0.6), partial(dzyaloshinskii_moriya, dm=(0.0, 0.0, 0.6))),
    "kitaev": (plain(couplings=[1.0, 0.7, -0.4], field=[0.2, 0.0, -0.1]), kitaev),
    "compass": (plain(couplings=[0.6, 1.1]), compass),
    "haldane_shastry": (plain(coupling=0.9, marshall=False), haldane_shastry),
    "cluster_ising": (plain(coupling=1.2, ising=0.7, field=0.3), cluster_ising),
    "long_range_ising": (plain(**POWERS, exponent=1.5), long_range_ising),
    "long_range_ising, all alike": (plain(**POWERS, exponent=0.0), partial(long_range_ising, exponent=0.0)),
    "long_range_ising, as 1/r^6": (plain(**POWERS, exponent=6.0), partial(long_range_ising, exponent=6.0)),
    "long_range_xxz": (plain(coupling=1.4, anisotropy=0.3, field=0.2, marshall=False), long_range_xxz),
    "rydberg": (plain(**ATOMS, cutoff=2.0), rydberg),
    "rydberg, neighbours": (plain(**ATOMS, cutoff=1.0), partial(rydberg, cutoff=1.0)),
    "rydberg, diagonals": (plain(**ATOMS, cutoff=1.5), partial(rydberg, cutoff=1.5)),
    "rydberg, all pairs": (plain(**ATOMS), partial(rydberg, cutoff=np.inf)),
    "terms": (terms_table, terms),
}
"""Behind a comma: a variant."""

each_place = pytest.mark.parametrize(
    "place",
    [
        pytest.param(place, id=name, marks=[pytest.mark.slow] if name == "open cube" else [])
        for name, place in PLACES.items()
    ],
)


def built(table: dict[str, Any], place: Place) -> PauliSum:
    """The operator of a section [hamiltonian], by the registries."""
    terms: PauliSum = HAMILTONIANS.validate_python(table).build(place.lattice())
    return terms


def assert_equal(found: PauliSum, expected: Matrix, n_sites: int) -> None:
    assert abs(expected).max() > 0.1
    operator = Operator.from_pauli_sum(found, n_sites)
    assert abs(compiled_matrix(operator) - expected).max() < 1e-12
    assert operator.infinite_temperature_energy == pytest.approx(expected.trace().real / 2**n_sites, abs=1e-12)


def table_of(model: str, place: Place, **keys: Any) -> dict[str, Any]:
    """The section [hamiltonian]."""
    return {"model": model.partition(",")[0]} | MODELS[model][0](place) | keys


@cache
def meant(model: str, place: Place) -> Matrix | Refusal:
    """The matrix of a model by its formula, or why there is none."""
    try:
        return MODELS[model][1](place)
    except Refusal as refusal:
        return refusal


def names(registry: Any, key: str) -> set[str]:
    """The names that a discriminated union of sections knows."""
    union = get_args(registry)[0]
    return {str(get_args(spec.model_fields[key].annotation)[0]) for spec in get_args(union)}


def test_no_model_and_no_kind_of_lattice_is_left_out() -> None:
    assert names(HamiltonianSpec, "model") == {model.partition(",")[0] for model in MODELS}
    assert names(LatticeSpec, "kind") == {place.table["kind"] for place in PLACES.values()}


@each_place
def test_sites_stand_where_they_should(place: Place) -> None:
    np.testing.assert_allclose(place.lattice().positions, place.positions, rtol=0, atol=1e-12)
    assert 2 <= place.n_sites <= 10


@each_place
def test_the_matrix_is_the_sum_of_kronecker_products(place: Place) -> None:
    for model in MODELS:
        expected, table = meant(model, place), table_of(model, place)
        if isinstance(expected, Refusal):
            key, reason = expected.args
            with pytest.raises(KeyProblem, match=reason) as caught:
                built(table, place)
            assert caught.value.key == key
            assert "\n" not in str(caught.value)
        else:
            assert_equal(built(table, place), expected, place.n_sites)


def test_refusals_are_as_many_as_physics_asks_for() -> None:
    """So that the test above compares matrices on the lattices that each model is meant for."""
    accepted = {
        model: {name for name, place in PLACES.items() if not isinstance(meant(model, place), Refusal)}
        for model in MODELS
    }
    anywhere = dict.fromkeys(MODELS, set(PLACES))
    assert accepted == anywhere | {
        **{model: set(PLACES) - {"graph"} for model in MODELS if model.startswith(("long_range", "rydberg"))},
        "kitaev": {name for name in PLACES if re.search("triangular|honeycomb|kagome|hexagon", name)},
        "compass": {name for name in PLACES if re.search("square|ladder|legs|star|cylinder|rectangle", name)},
        "haldane_shastry": set(RINGS),
        "cluster_ising": {*RINGS, *(name for name in PLACES if name.startswith("open chain"))},
    }


@each_place
def test_rotations_turn_one_sublattice_or_all_spins(place: Place) -> None:
    """H' = U H U with U = prod_i sigma^z_i of the sites that are turned; refused where no two-colouring exists."""
    colours = place.colouring()
    for model in MODELS:
        expected, table = meant(model, place), table_of(model, place)
        key = next((key for key in ("marshall", "rotate") if key in table), None)
        if key is None or "," in model or isinstance(expected, Refusal):
            continue
        table[key] = True
        if key == "marshall" and colours is None:
            with pytest.raises(KeyProblem, match=r"^hamiltonian\.marshall = true: needs a bipartite lattice"):
                built(table, place)
            continue
        turned = colours == -1 if key == "marshall" else np.ones(place.n_sites, dtype=bool)
        turn = sparse.diags_array(np.prod(configurations(place.n_sites)[turned], axis=0).astype(float))
        assert_equal(built(table, place), turn @ expected @ turn, place.n_sites)


def test_kitaev_conserves_the_flux_through_a_hexagon() -> None:
    """W = prod of the components that point out of the hexagon; Kitaev, Ann. Phys. 321, 2 (2006), eq. (3)."""
    place = PLACES["hexagon with positions"]
    flux = sparse.eye_array(64)
    for k in range(6):
        flux = flux @ site("XYZ"[k % 3], k, 6)  # the direction of corner k from the centre, 60 k degrees modulo 180
    operator = Operator.from_pauli_sum(built({"model": "kitaev", "couplings": [1.0, 0.7, -0.4]}, place), 6)
    matrix = compiled_matrix(operator)
    assert abs(flux @ matrix - matrix @ flux).max() < 1e-12
    assert abs(matrix).max() > 0.1
