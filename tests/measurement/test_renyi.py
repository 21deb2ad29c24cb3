"""Renyi-2 entropies: swaps of all pairs of configurations and vectors against reduced density matrices."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from pvmc.errors import InputError
from pvmc.exact import Basis, ground_state
from pvmc.hamiltonians import Operator
from pvmc.hamiltonians.heisenberg import xxz
from pvmc.lattice import Lattice, chain, rectangle
from pvmc.measurement.renyi import Renyi2, region, renyi2_of_vector, swap_values, walker_pairs
from pvmc.mpi import SerialCommunicator
from pvmc.sampler import Draw
from pvmc.wavefunctions.vectors import dense_vector
from tests.helpers import Numbers, configurations, labels_of, random_rbm, state_vector
from tests.table_state import TableState, full_vector, purity, random_state

pytestmark = pytest.mark.exact

COMM = SerialCommunicator()


def regions(n_sites: int) -> list[list[int]]:
    return [list(sites) for size in range(n_sites + 1) for sites in combinations(range(n_sites), size)]


def mean_swap(state: TableState, sites: list[int], magnetization: int | None = None) -> complex:
    """The sum of |psi(s) psi(s')|^2 Swap(s, s') over all pairs of configurations."""
    spins, p = state.basis.spins, state.probabilities
    first, second = np.nonzero(np.outer(p, p))
    inside = region(sites, state.basis.n_sites)
    values = swap_values(state, spins[:, first], spins[:, second], inside, magnetization=magnetization)
    assert np.iscomplexobj(values) == (state.dtype == np.complex128)
    return complex(np.sum(p[first] * p[second] * values))


@pytest.mark.parametrize("kind", ["complex", "signed", "positive"])
def test_mean_swap_is_the_purity(kind: str) -> None:
    state = random_state(np.random.default_rng(1), 5, kind=kind)
    for sites in regions(5):
        expected = purity(full_vector(state), 5, sites)
        assert mean_swap(state, sites) == pytest.approx(expected, abs=1e-13)


@pytest.mark.parametrize("magnetization", [0, 2, -4])
def test_pairs_that_leave_the_sector_count_nothing(magnetization: int) -> None:
    """Also for a psi that does not vanish outside: the state is the restricted one."""
    whole = random_state(np.random.default_rng(2), 6)
    basis = Basis.enumerate(6, magnetization)
    sector = TableState(whole.vector[basis.labels] / np.linalg.norm(whole.vector[basis.labels]), basis)
    beyond = TableState(whole.vector, whole.basis)
    p = sector.probabilities
    first, second = (index.ravel() for index in np.indices((len(p), len(p))))
    for sites in ([0], [0, 1, 2], [1, 3, 4], [0, 2, 3, 5]):
        expected = purity(full_vector(sector), 6, sites)
        assert mean_swap(sector, sites) == pytest.approx(expected, abs=1e-13)
        assert mean_swap(sector, sites, magnetization) == pytest.approx(expected, abs=1e-13)
        pairs = basis.spins[:, first], basis.spins[:, second]
        values = swap_values(beyond, *pairs, np.array(sites), magnetization=magnetization)
        assert np.sum(p[first] * p[second] * values) == pytest.approx(expected, abs=1e-13)


def entropies(vector: Numbers, basis: Basis) -> list[float]:
    return [renyi2_of_vector(vector, basis, sites) for sites in regions(basis.n_sites)]


@pytest.mark.parametrize("magnetization", [None, 0, 2])
def test_entropy_of_a_vector(magnetization: int | None) -> None:
    state = random_state(np.random.default_rng(3), 6, magnetization=magnetization)
    expected = [-np.log(purity(full_vector(state), 6, sites)) for sites in regions(6)]
    np.testing.assert_allclose(entropies(state.vector, state.basis), expected, rtol=0, atol=1e-13)


def test_product_state_has_none() -> None:
    """Nor has a single swap of it any scatter."""
    rng = np.random.default_rng(4)
    basis = Basis.enumerate(5)
    factors = rng.standard_normal((5, 2)) + 1j * rng.standard_normal((5, 2))
    vector = np.prod([np.where(basis.spins[i] > 0, *factors[i]) for i in range(5)], axis=0)
    state = TableState(vector / np.linalg.norm(vector), basis)
    np.testing.assert_allclose(entropies(state.vector, basis), 0.0, rtol=0, atol=1e-13)
    sums = Renyi2(2, 8, 5, [0, 3])
    for draw in state.chains(rng, 2, 3, 8):
        sums.add(state, draw)
    estimate = sums.estimate(COMM)
    for number in (estimate.value, estimate.error, estimate.imaginary, estimate.swap - 1.0, estimate.swap_error):
        assert number == pytest.approx(0.0, abs=1e-13)
    assert estimate.reliable and estimate.n_pairs == 8


def test_ghz_state() -> None:
    """ln 2 for every region but none and all."""
    basis = Basis.enumerate(5)
    vector = np.zeros(32)
    vector[[0, 31]] = 1.0, -1.0
    expected = [0.0 if len(sites) in (0, 5) else np.log(2.0) for sites in regions(5)]
    np.testing.assert_allclose(entropies(vector / np.sqrt(2.0), basis), expected, rtol=0, atol=1e-14)


def test_singlets_cut() -> None:
    """ln 2 for every singlet with one end in the region."""
    singlets = [(0, 3), (1, 2), (4, 5)]
    basis = Basis.enumerate(6, 0)
    spins = basis.spins.astype(float)
    vector = np.prod([(spins[i] - spins[j]) / np.sqrt(8.0) for i, j in singlets], axis=0)
    expected = [np.log(2.0) * sum((i in sites) != (j in sites) for i, j in singlets) for sites in regions(6)]
    np.testing.assert_allclose(entropies(vector, basis), expected, rtol=0, atol=1e-13)
    state = TableState(vector, basis)
    for sites in ([0, 1, 2], [0, 1, 4]):
        assert mean_swap(state, sites) == pytest.approx(np.exp(-entropies_of(state, sites)), abs=1e-14)


def entropies_of(state: TableState, sites: list[int]) -> float:
    return renyi2_of_vector(state.vector, state.basis, sites)


def heisenberg(lattice: Lattice, *, marshall: bool, j2: float = 0.0) -> Operator:
    """sum sigma_i . sigma_j over nearest neighbours, and J2 times that over the next ones."""
    sublattices = lattice.sublattices() if marshall else None
    terms = xxz(lattice.bonds(1), 4.0, 1.0, sublattices)
    if j2:
        terms = terms + xxz(lattice.bonds(2), 4.0 * j2, 1.0, sublattices)
    return Operator.from_pauli_sum(terms, lattice.n_sites)


SIXTEEN = [  # other ones in test_sixteen_sites
    # Energies in units of sigma.sigma and entropies of sites 0 ... 7, from an exact diagonalisation of its own.
    (heisenberg(chain(16), marshall=False), 0, -28.569185442467163, 0.9306241820673673),
    (heisenberg(chain(16, periodic=False), marshall=True), 0, -27.646948582300432, 0.3153423322137807),
    (heisenberg(rectangle((4, 4)), marshall=False, j2=0.5), 0, -33.831693405579415, 0.9323881185196331),
]


@pytest.mark.parametrize(("operator", "magnetization", "energy", "expected"), SIXTEEN)
def test_sixteen_sites(operator: Operator, magnetization: int | None, energy: float, expected: float) -> None:
    """Exactly from the eigenvector, and from configurations drawn by its weights, within 4 claimed errors."""
    basis = Basis.enumerate(16, magnetization)
    found, vector = ground_state(operator, basis)
    assert found == pytest.approx(energy, abs=1e-9)
    half = list(range(8))
    assert renyi2_of_vector(vector, basis, half) == pytest.approx(expected, abs=1e-10)
    state = TableState(vector, basis)
    sums = Renyi2(8, 64, 16, half, n_shifts=4, magnetization=magnetization)
    for draw in state.chains(np.random.default_rng(16), 8, 12, 64):
        sums.add(state, draw)
    estimate = sums.estimate(COMM)
    assert estimate.reliable and 1e-3 < estimate.error < 0.1
    assert abs(estimate.value - expected) < 4.0 * estimate.error
    assert estimate.imaginary == pytest.approx(0.0, abs=1e-14)  # the states are real


def test_dense_vector_of_a_wave_function() -> None:
    rbm, theta = random_rbm(6, np.complex128)
    basis = Basis.enumerate(6, 0)
    psi, spins = rbm.at(theta), configurations(6, 0)
    order = np.argsort(labels_of(spins))
    np.testing.assert_allclose(dense_vector(psi, basis), state_vector(psi, spins)[order], rtol=0, atol=1e-14)


def test_pairs_of_walkers() -> None:
    for width in (2, 3, 8, 9):
        seen: set[frozenset[int]] = set()
        for n_shifts in range(1, width // 2 + 1):
            first, second = walker_pairs(width, n_shifts)
            pairs = {frozenset(pair) for pair in zip(first.tolist(), second.tolist(), strict=True)}
            assert len(pairs) == len(first) and all(len(pair) == 2 for pair in pairs)
            assert len(set(np.bincount(np.concatenate([first, second]), minlength=width).tolist())) == 1
            assert seen < pairs
            seen = pairs
        assert len(seen) == width * (width - 1) // 2
    np.testing.assert_array_equal(np.stack(walker_pairs(6)), [[0, 1, 2], [3, 4, 5]])


def test_sums_go_on_from_their_state() -> None:
    state = random_state(np.random.default_rng(5), 5)
    draws = [Draw(*draw) for draw in state.chains(np.random.default_rng(6), 3, 4, 10)]
    whole, first, second = (Renyi2(3, 10, 5, [0, 1], n_shifts=3) for _ in range(3))
    for draw in draws:
        whole.add(state, draw)
    for draw in draws[:5]:
        first.add(state, draw)
    second.restore(first.state())
    for draw in draws[5:]:
        second.add(state, draw)
    assert whole.estimate(COMM) == second.estimate(COMM)
    assert whole.estimate(COMM) != first.estimate(COMM)
    with pytest.raises(ValueError, match="sums over pairs"):
        Renyi2(3, 10, 5, [0, 1]).restore(first.state())


def test_bad_input() -> None:
    with pytest.raises(InputError, match="numbered from 0 to 5"):
        Renyi2(1, 8, 6, [3, 6])
    with pytest.raises(InputError, match="named twice"):
        Renyi2(1, 8, 6, [3, 3])
    with pytest.raises(InputError, match="needs 1 to 4 shifts, not 5"):
        Renyi2(1, 8, 6, [3], n_shifts=5)
    with pytest.raises(InputError, match="blocks of 1"):
        Renyi2(1, 1, 6, [3])


def test_what_cannot_be_estimated_is_said() -> None:
    """No sample at all, a single pair, and swaps whose sum is negative."""
    empty = Renyi2(1, 4, 2, [0]).estimate(COMM)
    assert not empty.reliable and np.isnan(empty.value) and np.isinf(empty.error)
    state = random_state(np.random.default_rng(7), 2)
    single = Renyi2(1, 2, 2, [0])
    single.add(state, next(iter(state.chains(np.random.default_rng(8), 1, 1, 2))))
    assert not single.estimate(COMM).reliable and np.isinf(single.estimate(COMM).error)
    basis = Basis.enumerate(2)
    signed = TableState(np.array([0.5, 0.5, 0.5, -0.5]), basis)
    spins = np.array([[1, -1, 1, -1], [1, -1, 1, -1]], dtype=np.int8)  # up up and down down, swapped: negative
    negative = Renyi2(1, 4, 2, [0], n_shifts=2)
    negative.add(signed, Draw(0, 0, spins[:, [0, 0, 1, 1]], np.zeros((0, 4))))
    estimate = negative.estimate(COMM)
    assert estimate.swap == pytest.approx(-1.0 / 3.0) and not estimate.reliable
    assert np.isnan(estimate.value) and np.isinf(estimate.error)
