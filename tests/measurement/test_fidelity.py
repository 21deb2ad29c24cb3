"""Fidelities and overlaps with ground spaces against vectors."""

from __future__ import annotations

import numpy as np
import pytest

from pvmc.errors import InputError, NumericalError
from pvmc.exact import Basis, ground_state, lanczos
from pvmc.exact.ground_space import ground_space
from pvmc.hamiltonians import Operator
from pvmc.hamiltonians.heisenberg import xxz
from pvmc.hamiltonians.ising import transverse_field_ising
from pvmc.lattice import chain
from pvmc.measurement.fidelity import FidelityEstimate, RatioSums, TurnedState, fidelity
from pvmc.measurement.overlap import exact_overlap
from pvmc.mpi import SerialCommunicator
from pvmc.sampler import Draw
from pvmc.wavefunctions.symmetry import Element, SymmetryGroup
from tests.helpers import Numbers, compiled_matrix, configurations, random_rbm, state_vector
from tests.table_state import TableState, full_vector, random_state

pytestmark = pytest.mark.exact

COMM = SerialCommunicator()


class Scaled:
    """A state times e^c."""

    def __init__(self, psi: TableState, c: complex):
        self.psi, self.c = psi, c

    def log_psi(self, spins: Numbers) -> Numbers:
        return self.psi.log_psi(spins) + self.c


def weighted(psi: TableState, phi: TableState, c: complex = 0.0, control: bool = False) -> FidelityEstimate:
    """Without noise: all configurations with their weights in place of samples, in two blocks and two draws."""
    sums = []
    for sampled, other, sign in ((psi, phi, 1), (phi, psi, -1)):
        basis = sampled.basis
        width = -(-len(basis) // 4)
        position = np.minimum(np.arange(4 * width), len(basis) - 1).reshape(4, width)
        weights = np.where(np.arange(4 * width) < len(basis), sampled.probabilities[position.ravel()], 0.0)
        beyond = other.basis.is_complete or other.basis.spins[:, 0].sum(dtype=int)
        side = RatioSums(2, width, magnetization=None if beyond is True else beyond)
        for number in range(4):
            draw = Draw(number % 2, number // 2, basis.spins[:, position[number]], np.zeros((0, width)))
            states = (Scaled(sampled, 0.0), Scaled(other, c)) if sign > 0 else (Scaled(sampled, c), Scaled(other, 0.0))
            side.add(*states, draw, weights.reshape(4, width)[number])
        sums.append(side)
    return fidelity(sums[0], sums[1], COMM, control=control)


def overlap_of(psi: TableState, phi: TableState) -> float:
    return float(np.abs(np.vdot(full_vector(phi), full_vector(psi))) ** 2)


@pytest.mark.parametrize("control", [False, True])
@pytest.mark.parametrize("other", ["complex", "signed", "positive"])
@pytest.mark.parametrize("kind", ["complex", "signed", "positive"])
def test_all_configurations_give_the_exact_fidelity(kind: str, other: str, control: bool) -> None:
    """Also for states of very different norms, whose ratios leave the range of float64."""
    rng = np.random.default_rng(1)
    psi, phi = random_state(rng, 6, kind=kind), random_state(rng, 6, kind=other)
    for c in (0.0, 900.0 + 0.7j, -900.0):
        found = weighted(psi, phi, c, control)
        assert found.value == pytest.approx(overlap_of(psi, phi), abs=1e-12)
        assert found.imaginary == pytest.approx(0.0, abs=1e-12)
        assert found.norms == pytest.approx(1.0, abs=1e-11)


def test_equal_states_and_orthogonal_ones() -> None:
    psi = random_state(np.random.default_rng(2), 5)
    same = weighted(psi, TableState(1j * psi.vector, psi.basis))
    assert same.value == pytest.approx(1.0, abs=1e-13) and same.error == pytest.approx(0.0, abs=1e-13)
    vector = np.random.default_rng(3).standard_normal(32) + 0j
    vector -= psi.vector * np.vdot(psi.vector, vector)
    other = TableState(vector / np.linalg.norm(vector), psi.basis)
    assert weighted(psi, other).value == pytest.approx(0.0, abs=1e-13)


def test_states_of_different_sectors() -> None:
    """One state on all configurations, the other restricted to a magnetisation."""
    rng = np.random.default_rng(4)
    psi, phi = random_state(rng, 6), random_state(rng, 6, magnetization=2)
    assert 0.0 < overlap_of(psi, phi) < 1.0
    assert weighted(psi, phi).value == pytest.approx(overlap_of(psi, phi), abs=1e-13)
    assert weighted(phi, psi).value == pytest.approx(overlap_of(psi, phi), abs=1e-13)
    assert weighted(psi, phi).norms < 0.99


def test_turned_state_is_that_of_the_turned_hamiltonian() -> None:
    ring = chain(8)
    basis = Basis.enumerate(8, 0)
    plain, rotated = (
        TableState(ground_state(Operator.from_pauli_sum(xxz(ring.bonds(1), 1.0, 1.0, signs), 8), basis)[1], basis)
        for signs in (None, ring.sublattices())
    )
    assert plain.dtype == np.complex128 and rotated.dtype == np.float64
    assert weighted(plain, rotated).value < 0.5
    turned = TurnedState(rotated, ring.sublattices())
    vector = np.exp(turned.log_psi(basis.spins))
    assert np.abs(np.vdot(plain.vector, vector)) == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(
        np.exp(TurnedState(turned, ring.sublattices()).log_psi(basis.spins)), rotated.vector, 1e-12
    )


def test_ratios_go_on_from_their_state() -> None:
    rng = np.random.default_rng(5)
    psi, phi = random_state(rng, 5), random_state(rng, 5)
    draws = [Draw(*draw) for draw in psi.chains(rng, 3, 4, 10)]
    back = RatioSums(3, 10)
    for draw in phi.chains(rng, 3, 4, 10):
        back.add(phi, psi, draw)
    whole, first, second = (RatioSums(3, 10) for _ in range(3))
    for draw in draws:
        whole.add(psi, phi, draw)
    for draw in draws[:5]:
        first.add(psi, phi, draw)
    second.restore(first.state())
    for draw in draws[5:]:
        second.add(psi, phi, draw)
    assert fidelity(whole, back, COMM) == fidelity(second, back, COMM)
    assert fidelity(whole, back, COMM) != fidelity(first, back, COMM)
    with pytest.raises(ValueError, match="scales of ratios"):
        RatioSums(2, 10).restore(first.state())


# Overlaps -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("magnetization", [None, 0])
def test_overlap_with_a_single_ground_state(magnetization: int | None) -> None:
    operator = Operator.from_pauli_sum(xxz(chain(8).bonds(1), 1.0, 1.0), 8)
    rbm, theta = random_rbm(8, np.complex128)
    psi, spins = rbm.at(theta), configurations(8, magnetization)
    matrix = compiled_matrix(operator).toarray()
    rows = (1 << np.arange(8)) @ (spins < 0)
    energies, vectors = np.linalg.eigh(matrix[np.ix_(rows, rows)])
    found = exact_overlap(psi, operator, Basis.enumerate(8, magnetization))
    assert found.degeneracy == 1 and found.energy == pytest.approx(energies[0], abs=1e-10)
    expected = np.abs(np.vdot(vectors[:, 0], state_vector(psi, spins))) ** 2
    assert 0.0 < expected < 1.0 and found.value == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("dense", [True, False])
def test_ferromagnet_has_a_multiplet(dense: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """N + 1 states of spin N/2: those that are symmetric under all permutations of the sites."""
    monkeypatch.setattr(lanczos, "DENSE_DIMENSION", 2**8 if dense else 16)
    operator = Operator.from_pauli_sum(xxz(chain(8).bonds(1), -1.0, 1.0), 8)
    basis = Basis.enumerate(8)
    space = ground_space(operator, basis)
    assert space.degeneracy == 9 and space.energy == pytest.approx(-2.0, abs=1e-10)
    np.testing.assert_allclose(space.vectors.T @ space.vectors, np.eye(9), rtol=0, atol=1e-10)
    state = random_state(np.random.default_rng(6), 8)
    ups = np.bitwise_count(basis.labels)
    expected = sum(np.abs(state.vector[ups == n].sum()) ** 2 / np.count_nonzero(ups == n) for n in range(9))
    found = exact_overlap(state, operator, basis)
    assert found.degeneracy == 9 and found.value == pytest.approx(expected, abs=1e-10)


def majumdar_ghosh(n_sites: int) -> tuple[Operator, list[TableState]]:
    """The J1-J2 ring at J2 = J1/2, J1 = 1, and its two ground states: singlets on the even, or on the odd bonds."""
    ring, basis = chain(n_sites), Basis.enumerate(n_sites, 0)
    terms = xxz(ring.bonds(1), 1.0, 1.0) + xxz(ring.bonds(2), 0.5, 1.0)
    spins = basis.spins.astype(float)
    dimers = []
    for start in (0, 1):
        bonds = [(i, (i + 1) % n_sites) for i in range(start, n_sites, 2)]
        vector = np.prod([(spins[i] - spins[j]) / np.sqrt(8.0) for i, j in bonds], axis=0)
        dimers.append(TableState(vector, basis))
    return Operator.from_pauli_sum(terms, n_sites), dimers


@pytest.mark.parametrize("dense", [16, 1000])
def test_dimers_of_majumdar_and_ghosh(dense: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Either covering is all ground state; with a momentum, real or complex matrices, each has its share of one state.

    Dimension 924, and near 80 in a sector: by Lanczos, and as a whole.
    """
    monkeypatch.setattr(lanczos, "DENSE_DIMENSION", dense)
    operator, (even, odd) = majumdar_ghosh(12)
    for state in (even, odd):
        found = exact_overlap(state, operator, state.basis)
        assert found.degeneracy == 2 and found.energy == pytest.approx(-3.0 * 12 / 8, abs=1e-10)
        assert found.value == pytest.approx(1.0, abs=1e-10)
    parts = []
    for character in (1.0, -1.0):
        group = SymmetryGroup.generated([Element(np.roll(np.arange(12), 1), 1, complex(character))], 12)
        found = exact_overlap(even, operator, even.basis, group)
        assert found.degeneracy == 1 and found.energy == pytest.approx(-4.5, abs=1e-10)
        moved = even.vector[even.basis.index(even.basis.labels_of(np.roll(even.basis.spins, 1, axis=0)))]
        assert found.value == pytest.approx((1.0 + character * np.vdot(even.vector, moved)) / 2.0, abs=1e-10)
        parts.append(found.value)
    assert sum(parts) == pytest.approx(1.0, abs=1e-10) and min(parts) > 0.4


def test_degenerate_by_symmetry_breaking_and_nearly_so() -> None:
    """The Ising ring without a field has two ground states; a small field splits them, by little."""
    basis = Basis.enumerate(10)
    ghz = np.zeros(len(basis))
    ghz[[0, -1]] = np.sqrt(0.5)
    for field, degeneracy in ((0.0, 2), (0.3, 1)):
        operator = Operator.from_pauli_sum(transverse_field_ising(10, chain(10).bonds(1), 1.0, field), 10)
        found = exact_overlap(TableState(ghz, basis), operator, basis)
        assert found.degeneracy == degeneracy
        if degeneracy == 2:
            assert found.value == pytest.approx(1.0, abs=1e-12)
            up = TableState(np.eye(len(basis))[0], basis)
            assert exact_overlap(up, operator, basis).value == pytest.approx(1.0, abs=1e-12)


def test_what_has_no_overlap() -> None:
    operator, (even, _) = majumdar_ghosh(6)
    group = SymmetryGroup.generated([Element(np.arange(6), -1, -1.0 + 0j)], 6)
    none = SymmetryGroup.generated([Element(np.roll(np.arange(6), 1), 1, np.exp(1j * np.pi / 3))], 6)
    assert exact_overlap(even, operator, even.basis, group).degeneracy >= 1
    with pytest.raises(InputError, match="no state of this basis"):
        ground_space(operator, Basis.enumerate(6, 6), none)
    with pytest.raises(NumericalError, match="zero on all configurations"):
        exact_overlap(TableState(np.zeros(20), even.basis), operator, even.basis)
