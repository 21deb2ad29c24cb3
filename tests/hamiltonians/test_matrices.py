"""The named models on every small lattice against Kronecker products of their formulas, with bonds of their own."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy import sparse

from pvmc.config import KeyProblem
from pvmc.hamiltonians import Operator, PauliSum
from pvmc.hamiltonians.heisenberg import HeisenbergSpec, XXZSpec
from pvmc.hamiltonians.ising import IsingSpec
from pvmc.lattice import Lattice, chain, rectangle
from tests.helpers import compiled_matrix, configurations, kronecker_string, kronecker_sum, random_strings

pytestmark = pytest.mark.exact

Size = tuple[int, int]
Closed = tuple[bool, bool]

CHAINS = [
    ((length, 1), (closed, False)) for length in range(2, 11) for closed in (False, True) if length > 2 or not closed
]
RECTANGLES = [
    ((lx, ly), (x, y))
    for lx, ly in ((2, 2), (2, 3), (3, 2), (2, 4), (4, 2), (3, 3), (2, 5), (5, 2))
    for x in (False, True)
    for y in (False, True)
    if (lx > 2 or not x) and (ly > 2 or not y)
]
CLUSTERS = CHAINS + RECTANGLES
"""Sizes and boundaries: 17 chains of 2 to 10 sites, and all rectangles of up to 10 sites."""


def build(size: Size, closed: Closed) -> Lattice:
    return chain(size[0], closed[0]) if size[1] == 1 else rectangle(size, closed)


def neighbours(size: Size, closed: Closed) -> set[tuple[int, int]]:
    """Nearest neighbours of site x + Lx y, by walking one step to the right and one up."""
    (lx, ly), pairs = size, set()
    for x in range(lx):
        for y in range(ly):
            here = x + lx * y
            if x + 1 < lx or closed[0]:
                pairs.add((here, (x + 1) % lx + lx * y))
            if y + 1 < ly or closed[1]:
                pairs.add((here, x + lx * ((y + 1) % ly)))
    return pairs


def is_bipartite(size: Size, closed: Closed) -> bool:
    return not any(around and length % 2 for length, around in zip(size, closed, strict=True))


def colours(size: Size) -> np.ndarray:
    """+1 where x + y is even."""
    lx, ly = size
    return np.array([1 - 2 * ((x + y) % 2) for y in range(ly) for x in range(lx)])


@cache
def spin_sum(letter: str, size: Size, closed: Closed) -> sparse.csr_array:
    """sum_<ij> sigma^letter_i sigma^letter_j, (2^N, 2^N)."""
    n_sites = size[0] * size[1]
    return sum(kronecker_string({i: letter, j: letter}, n_sites) for i, j in neighbours(size, closed))


@cache
def field_sum(letter: str, n_sites: int) -> sparse.csr_array:
    """sum_i sigma^letter_i."""
    return sum(kronecker_string({i: letter}, n_sites) for i in range(n_sites))


def xxz_matrix(size: Size, closed: Closed, coupling: float, anisotropy: float) -> sparse.csr_array:
    """J sum_<ij> (S^x S^x + S^y S^y + Delta S^z S^z) with S = sigma / 2."""
    x, y, z = (spin_sum(letter, size, closed) / 4 for letter in "XYZ")
    return coupling * (x + y + anisotropy * z)


def turn(size: Size) -> sparse.csr_array:
    """U, a turn by pi about z of every spin on sublattice B: exp(-i pi S^z) up to a phase."""
    n_sites = size[0] * size[1]
    return sparse.diags_array(
        np.prod(np.where(colours(size)[:, None] == 1, 1.0, configurations(n_sites)), axis=0)
    ).tocsr()


def compiled(terms: PauliSum, lattice: Lattice) -> Operator:
    return Operator.from_pauli_sum(terms, lattice.n_sites)


def assert_same(operator: Operator, matrix: sparse.csr_array) -> None:
    assert abs(compiled_matrix(operator) - matrix).max() < 1e-12
    assert operator.infinite_temperature_energy == pytest.approx(matrix.trace().real / matrix.shape[0], abs=1e-12)


@pytest.mark.parametrize(("size", "closed"), CLUSTERS, ids=str)
def test_transverse_field_ising(size: Size, closed: Closed) -> None:
    lattice = build(size, closed)
    for coupling, field in ((1.0, 1.0), (-0.7, 2.3), (1.3, 0.0), (0.0, 0.6)):
        operator = compiled(IsingSpec(model="ising", coupling=coupling, field=field).build(lattice), lattice)
        assert_same(operator, -coupling * spin_sum("Z", size, closed) - field * field_sum("X", lattice.n_sites))
        assert operator.is_real
        assert operator.conserves_magnetization == (field == 0.0)


@pytest.mark.parametrize(("size", "closed"), CLUSTERS, ids=str)
def test_heisenberg_and_xxz(size: Size, closed: Closed) -> None:
    lattice = build(size, closed)
    models = [(HeisenbergSpec(model="heisenberg", coupling=j, marshall=False), j, 1.0) for j in (1.0, -0.6)]
    models += [
        (XXZSpec(model="xxz", coupling=j, anisotropy=delta, marshall=False), j, delta)
        for j, delta in ((1.0, 0.0), (1.5, -1.2), (-0.6, 2.0))
    ]
    for spec, coupling, anisotropy in models:
        operator = compiled(spec.build(lattice), lattice)
        assert_same(operator, xxz_matrix(size, closed, coupling, anisotropy))
        assert operator.is_real and operator.conserves_magnetization
        assert len(operator.flips) == len(neighbours(size, closed))


@pytest.mark.parametrize(("size", "closed"), [c for c in CLUSTERS if is_bipartite(*c)], ids=str)
def test_the_marshall_rotation_is_a_unitary_transformation(size: Size, closed: Closed) -> None:
    lattice = build(size, closed)
    u = turn(size)
    for coupling, anisotropy in ((1.0, 1.0), (0.8, -0.5)):
        if anisotropy == 1.0:
            terms = HeisenbergSpec(model="heisenberg", coupling=coupling).build(lattice)
        else:
            terms = XXZSpec(model="xxz", coupling=coupling, anisotropy=anisotropy).build(lattice)
        operator = compiled(terms, lattice)
        plain = xxz_matrix(size, closed, coupling, anisotropy)
        assert_same(operator, u @ plain @ u.conj().T)
        rotated = compiled_matrix(operator)
        assert abs(rotated - plain).max() > 0.1
        assert (rotated - sparse.diags_array(rotated.diagonal())).max() <= 0  # Perron-Frobenius: psi > 0
        assert operator.conserves_magnetization
        if lattice.n_sites <= 8:
            spectrum = np.linalg.eigvalsh(plain.toarray())
            np.testing.assert_allclose(np.linalg.eigvalsh(rotated.toarray()), spectrum, rtol=0, atol=1e-11)


@pytest.mark.parametrize(("size", "closed"), [c for c in CLUSTERS if not is_bipartite(*c)], ids=str)
def test_no_marshall_rotation_without_two_sublattices(size: Size, closed: Closed) -> None:
    with pytest.raises(KeyProblem, match="two sublattices"):
        HeisenbergSpec(model="heisenberg", marshall=True).build(build(size, closed))


def test_known_energies() -> None:
    """Two spins: singlet -3/4 J, triplet J/4; four on a ring: -2 J; critical Ising ring: -2 / sin(pi / 2N) J."""

    def lowest(terms: PauliSum, n_sites: int) -> float:
        return float(np.linalg.eigvalsh(compiled_matrix(Operator.from_pauli_sum(terms, n_sites)).toarray())[0])

    for marshall in (False, True):
        spec = HeisenbergSpec(model="heisenberg", coupling=2.0, marshall=marshall)
        pair = Operator.from_pauli_sum(spec.build(chain(2, periodic=False)), 2)
        np.testing.assert_allclose(
            np.linalg.eigvalsh(compiled_matrix(pair).toarray()), [-1.5, 0.5, 0.5, 0.5], atol=1e-12
        )
        assert lowest(spec.build(chain(4)), 4) == pytest.approx(-4.0, abs=1e-12)
    for n_sites in (3, 4, 7, 8):
        energy = lowest(IsingSpec(model="ising").build(chain(n_sites)), n_sites)
        assert energy == pytest.approx(-2.0 / np.sin(np.pi / (2 * n_sites)), abs=1e-11)


@pytest.mark.parametrize("n_sites", [3, 6, 8])
@pytest.mark.parametrize("seed", range(3))
def test_random_sums_with_phases_and_long_strings(n_sites: int, seed: int) -> None:
    terms = random_strings(np.random.default_rng(seed), n_sites, 25, largest=min(n_sites, 4))
    assert any(len(string) == min(n_sites, 4) for string in terms.terms)
    operator = Operator.from_pauli_sum(terms, n_sites)
    assert_same(operator, sparse.csr_array(kronecker_sum(terms, n_sites)))
    assert operator.dtype == np.complex128
    matrix = compiled_matrix(operator).toarray()
    assert np.array_equal(matrix, matrix.conj().T)
