"""The algebra of Pauli strings against Kronecker products of 2 x 2 matrices."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pvmc.hamiltonians import PauliSum, X, Y, Z
from tests.helpers import LETTERS, kronecker_string, kronecker_sum

N_SITES = 4


def random_sum(rng: np.random.Generator, n_strings: int = 4) -> tuple[PauliSum, np.ndarray]:
    """A sum of products of single-site matrices, sites repeated at will, complex coefficients; and its matrix."""
    total, matrix = PauliSum(), np.zeros((2**N_SITES, 2**N_SITES), dtype=complex)
    for _ in range(n_strings):
        coefficient = complex(*rng.standard_normal(2))
        product, dense = PauliSum({(): coefficient}), coefficient * np.eye(2**N_SITES)
        for _ in range(rng.integers(0, 7)):
            letter, site = str(rng.choice(list("XYZ"))), int(rng.integers(N_SITES))
            product = product * LETTERS[letter](site)
            dense = dense @ kronecker_string({site: letter}, N_SITES).toarray()
        total, matrix = total + product, matrix + dense
    return total, matrix


def agrees(total: PauliSum, matrix: np.ndarray) -> bool:
    return np.allclose(kronecker_sum(total, N_SITES), matrix, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("left", "right"), list(itertools.product("XYZ", repeat=2)))
def test_products_on_one_site_are_those_of_the_matrices(left: str, right: str) -> None:
    product = LETTERS[left](2) * LETTERS[right](2)
    matrix = kronecker_string({2: left}, N_SITES) @ kronecker_string({2: right}, N_SITES)
    assert agrees(product, matrix.toarray())
    assert len(product.terms) == 1


def test_the_phases_are_the_textbook_ones() -> None:
    assert (X(0) * Y(0)).terms == {((0, "Z"),): 1j}
    assert (Y(0) * X(0)).terms == {((0, "Z"),): -1j}
    assert (X(0) * Y(0) * Z(0)).terms == {(): 1j}
    assert (X(3) * X(3)).terms == {(): 1.0}


@pytest.mark.parametrize("seed", range(20))
def test_random_products_of_strings_with_complex_coefficients(seed: int) -> None:
    rng = np.random.default_rng(seed)
    (a, a_matrix), (b, b_matrix) = random_sum(rng), random_sum(rng)
    assert agrees(a, a_matrix)
    assert agrees(a * b, a_matrix @ b_matrix)
    assert agrees(a + b, a_matrix + b_matrix)
    assert agrees(a - b, a_matrix - b_matrix)
    assert agrees(-a, -a_matrix)


def test_scalars_from_either_side() -> None:
    a, matrix = random_sum(np.random.default_rng(1))
    identity = np.eye(2**N_SITES)
    assert agrees(a * 0.5j, 0.5j * matrix)
    assert agrees(2 * a, 2 * matrix)
    assert agrees(a / 4, matrix / 4)
    assert agrees(a + 3, matrix + 3 * identity)
    assert agrees(3 - a, 3 * identity - matrix)
    assert agrees(np.float64(1.5) * a, 1.5 * matrix)
    assert agrees(np.float64(1.5) - a * np.complex128(1j), 1.5 * identity - 1j * matrix)


def test_equal_strings_merge_and_zeros_vanish() -> None:
    assert (X(1) * Z(0) + 2.0 * Z(0) * X(1)).terms == {((0, "Z"), (1, "X")): 3.0}
    assert (X(0) - X(0)).terms == {}
    assert PauliSum({((0, "X"),): 0.0}).terms == {}
    commutator = X(0) * Y(0) - Y(0) * X(0)
    assert commutator.terms == {((0, "Z"),): 2j}
    assert (X(0) * Y(1) - Y(1) * X(0)).terms == {}


def test_total_is_the_sum_of_all() -> None:
    rng = np.random.default_rng(2)
    parts = [random_sum(rng) for _ in range(5)]
    assert agrees(PauliSum.total(part for part, _ in parts), sum(matrix for _, matrix in parts))


@pytest.mark.parametrize("seed", range(10))
def test_hermitian_exactly_where_the_matrix_is(seed: int) -> None:
    # Small integers times powers of i: all arithmetic is exact, so is the comparison.
    rng = np.random.default_rng(seed)
    total = PauliSum()
    for _ in range(4):
        product = PauliSum({(): complex(rng.integers(1, 4))})
        for _ in range(rng.integers(1, 5)):
            product = product * LETTERS[str(rng.choice(list("XYZ")))](int(rng.integers(2)))
        total = total + product
    for candidate in (total, total * 1j, total * total):
        matrix = kronecker_sum(candidate, N_SITES)
        assert candidate.is_hermitian() == bool(np.array_equal(matrix, matrix.conj().T))


def test_intermediate_imaginary_coefficients_may_cancel() -> None:
    total = X(0) * Y(0) * -1j
    assert total.terms == {((0, "Z"),): 1.0}
    assert total.is_hermitian()
    assert not (X(0) * Y(0)).is_hermitian()


def test_operands_are_left_alone() -> None:
    a, b = X(0) + Z(1), Y(0)
    before = dict(a.terms), dict(b.terms)
    _ = a * b, a + b, a - b, -a, a / 2
    assert (a.terms, b.terms) == before
