"""Enumeration and sparse diagonalisation against Kronecker products and closed solutions."""

from __future__ import annotations

import itertools
from math import comb
from typing import Any

import numpy as np
import pytest

from pvmc.errors import InputError, NumericalError
from pvmc.exact import (
    Basis,
    ground_space,
    ground_state,
    heisenberg_chain_energy,
    ising_chain_energy,
    lanczos,
    sparse_matrix,
)
from pvmc.hamiltonians import Operator, PauliSum, X, Y, Z
from pvmc.hamiltonians.heisenberg import xxz
from pvmc.hamiltonians.ising import transverse_field_ising
from pvmc.lattice import Lattice, chain, rectangle
from tests.helpers import kronecker_sum, random_strings

pytestmark = pytest.mark.exact


def compiled(terms: PauliSum, n_sites: int) -> Operator:
    return Operator.from_pauli_sum(terms, n_sites)


def heisenberg(lattice: Lattice, marshall: bool) -> Operator:
    terms = xxz(lattice.bonds(), 1.0, 1.0, lattice.sublattices() if marshall else None)
    return compiled(terms, lattice.n_sites)


def ising(lattice: Lattice, coupling: float, field: float) -> Operator:
    return compiled(transverse_field_ising(lattice.n_sites, lattice.bonds(), coupling, field), lattice.n_sites)


def test_labels_number_the_configurations() -> None:
    basis = Basis.enumerate(3)
    np.testing.assert_array_equal(basis.labels, np.arange(8))
    np.testing.assert_array_equal(basis.spins[:, 0], [1, 1, 1])
    np.testing.assert_array_equal(basis.spins[:, 1], [-1, 1, 1])
    np.testing.assert_array_equal(basis.spins[:, 6], [1, -1, -1])
    assert basis.spins.dtype == np.int8
    assert basis.labels.dtype == np.int64


@pytest.mark.parametrize(("n_sites", "magnetization"), [(6, 0), (7, 1), (7, -3), (5, 5), (5, -5)])
def test_fixed_magnetisation_has_binomially_many(n_sites: int, magnetization: int) -> None:
    basis = Basis.enumerate(n_sites, magnetization)
    assert len(basis) == comb(n_sites, (n_sites - magnetization) // 2)
    assert np.all(basis.spins.sum(axis=0) == magnetization)
    assert np.all(np.diff(basis.labels) > 0)
    assert len(np.unique(basis.spins, axis=1).T) == len(basis)


@pytest.mark.parametrize("magnetization", [None, 2])
def test_index_inverts_the_labels(magnetization: int | None) -> None:
    basis = Basis.enumerate(8, magnetization)
    order = np.random.default_rng(1).permutation(len(basis))
    labels = basis.labels_of(basis.spins[:, order])
    np.testing.assert_array_equal(labels, basis.labels[order])
    np.testing.assert_array_equal(basis.index(labels), order)


def test_index_of_strangers_is_minus_one() -> None:
    basis = Basis.enumerate(4, 0)
    np.testing.assert_array_equal(basis.index(np.array([[0, 3], [15, 12]])), [[-1, 0], [-1, 5]])


@pytest.mark.parametrize(("n_sites", "magnetization"), [(0, None), (25, None), (4, 1), (4, 6), (5, 0)])
def test_basis_limits(n_sites: int, magnetization: int | None) -> None:
    with pytest.raises(InputError):
        Basis.enumerate(n_sites, magnetization)


@pytest.mark.parametrize("letters", ["XZ", "XYZ"])
def test_matrix_is_the_kronecker_product(letters: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanczos, "CHUNK_ELEMENTS", 500)  # several chunks, the last one shorter
    for seed in range(3):
        terms = random_strings(np.random.default_rng(seed), 6, 30, letters)
        matrix = sparse_matrix(compiled(terms, 6), Basis.enumerate(6))
        assert np.iscomplexobj(matrix.data) == ("Y" in letters)
        np.testing.assert_allclose(matrix.toarray(), kronecker_sum(terms, 6), rtol=0, atol=1e-12)


@pytest.mark.parametrize("magnetization", [0, 2, -6])
def test_matrix_at_fixed_magnetisation_is_a_block(magnetization: int) -> None:
    """Complex: Heisenberg bonds and a Dzyaloshinskii-Moriya term."""
    bonds = [(i, (i + 1) % 6) for i in range(6)]
    terms = PauliSum.total(
        X(i) * X(j) + Y(i) * Y(j) + Z(i) * Z(j) + 0.3 * (X(i) * Y(j) - Y(i) * X(j)) for i, j in bonds
    )
    basis = Basis.enumerate(6, magnetization)
    block = kronecker_sum(terms, 6)[np.ix_(basis.labels, basis.labels)]
    np.testing.assert_allclose(sparse_matrix(compiled(terms, 6), basis).toarray(), block, rtol=0, atol=1e-12)


def test_operator_must_act_within_the_basis() -> None:
    with pytest.raises(InputError, match="does not conserve"):
        sparse_matrix(ising(chain(4), 1.0, 1.0), Basis.enumerate(4, 0))
    with pytest.raises(InputError, match="4 sites"):
        sparse_matrix(ising(chain(4), 1.0, 1.0), Basis.enumerate(5))


@pytest.mark.parametrize("dense_dimension", [0, 10**6])
@pytest.mark.parametrize("letters", ["XZ", "XYZ"])
def test_ground_state_of_any_hermitian_operator(
    letters: str, dense_dimension: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lanczos and dense diagonalisation, real and complex."""
    monkeypatch.setattr(lanczos, "DENSE_DIMENSION", dense_dimension)
    terms = random_strings(np.random.default_rng(5), 7, 30, letters)
    matrix = kronecker_sum(terms, 7)
    energy, vector = ground_state(compiled(terms, 7), Basis.enumerate(7))
    assert energy == pytest.approx(np.linalg.eigvalsh(matrix)[0], abs=1e-11)
    np.testing.assert_allclose(matrix @ vector, energy * vector, rtol=0, atol=1e-10)
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-13)
    largest = vector[np.abs(vector).argmax()]
    assert largest.real > 0
    assert largest.imag == pytest.approx(0.0, abs=1e-15)


def test_ground_state_is_the_same_every_time() -> None:
    operator, basis = heisenberg(chain(12), marshall=True), Basis.enumerate(12, 0)
    assert len(basis) > lanczos.DENSE_DIMENSION
    first, second = ground_state(operator, basis), ground_state(operator, basis)
    assert first[0] == second[0]
    np.testing.assert_array_equal(first[1], second[1])


@pytest.mark.parametrize("marshall", [False, True])
@pytest.mark.parametrize("n_sites", [8, 10, 12, 16])
def test_heisenberg_ring_agrees_with_the_bethe_ansatz(n_sites: int, marshall: bool) -> None:
    energy, vector = ground_state(heisenberg(chain(n_sites), marshall), Basis.enumerate(n_sites, 0))
    assert energy == pytest.approx(heisenberg_chain_energy(n_sites), abs=1e-11)
    assert np.all(vector > 0) == marshall  # Marshall's theorem


@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("n_sites", [3, 4, 7, 8, 9, 10])
def test_free_fermions_for_all_signs_and_frustrated_rings(periodic: bool, n_sites: int) -> None:
    couplings, basis = itertools.product([1.0, -1.0, 0.4, -0.7], [0.0, 0.6, -1.0, 1.9]), Basis.enumerate(n_sites)
    for coupling, field in couplings if n_sites < 10 else [(1.0, 0.5), (1.0, 1.0), (1.0, 2.0)]:
        energy, _ = ground_state(ising(chain(n_sites, periodic), coupling, field), basis)
        assert energy == pytest.approx(ising_chain_energy(n_sites, coupling, field, periodic), abs=1e-11)


def test_ground_state_has_the_symmetry_of_the_lattice() -> None:
    """The unique positive ground state is left unchanged by every permutation of the space group."""
    lattice, basis = rectangle((4, 3), (True, False)), Basis.enumerate(12, 0)
    _, vector = ground_state(heisenberg(lattice, marshall=True), basis)
    for permutation in lattice.group("space"):
        moved = basis.index(basis.labels_of(basis.spins[permutation]))
        np.testing.assert_allclose(vector[moved], vector, rtol=0, atol=1e-11)


@pytest.mark.parametrize("unit", [1e-30, 1.0, 3e30])
@pytest.mark.parametrize("n_sites", [4, 12])
def test_an_energy_of_zero_is_zero(n_sites: int, unit: float) -> None:
    """Rotated bonds less their own ground-state energy: zero, where rounding leaves 1e-16 of the couplings."""
    basis = Basis.enumerate(n_sites, 0)
    terms = xxz(chain(n_sites).bonds(), 1.0, 1.0)
    energy, _ = ground_state(Operator.from_pauli_sum(terms, n_sites), basis)
    moved = Operator.from_pauli_sum(unit * (terms - energy), n_sites)
    assert ground_state(moved, basis)[0] == 0.0
    above = Operator.from_pauli_sum(unit * (terms - energy + 1e-9), n_sites)
    assert ground_state(above, basis)[0] == pytest.approx(1e-9 * unit, rel=1e-3)


@pytest.mark.parametrize("wrong", [1, 100])
def test_lanczos_that_ends_elsewhere_starts_again(wrong: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is refused where it always does."""
    right, calls = ground_space.eigsh, []

    def elsewhere(matrix: Any, *arguments: Any, **options: Any) -> Any:
        calls.append(options["v0"])
        return (np.zeros(1), options["v0"][:, None]) if len(calls) <= wrong else right(matrix, *arguments, **options)

    monkeypatch.setattr(ground_space, "eigsh", elsewhere)
    matrix = sparse_matrix(ising(chain(9), 1.0, 1.0), Basis.enumerate(9))
    if wrong == 1:
        energy, vectors = ground_space.lowest_level(matrix)
        assert energy == pytest.approx(ising_chain_energy(9, 1.0, 1.0, True), abs=1e-10) and vectors.shape == (512, 1)
        assert np.any(calls[0] != calls[1])
    else:
        with pytest.raises(NumericalError, match="of dimension 512 has not converged"):
            ground_space.lowest_level(matrix)
        assert len(calls) == ground_space.STARTS
