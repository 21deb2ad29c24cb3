"""Laws of the algebra of Pauli strings, on sums that hypothesis makes up."""

from __future__ import annotations

import numpy as np

from pvmc.hamiltonians import PauliSum
from tests.helpers import LETTERS, kronecker_sum
from tests.properties import given, st

N_SITES = 3

numbers = st.integers(-3, 3)
factors = st.lists(st.tuples(st.sampled_from("XYZ"), st.integers(0, N_SITES - 1)), max_size=4)


def product(coefficient: complex, letters: list[tuple[str, int]]) -> PauliSum:
    total = PauliSum({(): coefficient})
    for letter, site in letters:
        total = total * LETTERS[letter](site)
    return total


strings = st.builds(product, st.builds(complex, numbers, numbers), factors)
sums = st.lists(strings, max_size=4).map(PauliSum.total)
"""Coefficients are small complex integers: all arithmetic is exact."""


def matrix(total: PauliSum) -> np.ndarray:
    return np.asarray(kronecker_sum(total, N_SITES))


@given(sums, sums)
def test_sums_and_products_are_those_of_the_matrices(a: PauliSum, b: PauliSum) -> None:
    np.testing.assert_array_equal(matrix(a + b), matrix(a) + matrix(b))
    np.testing.assert_array_equal(matrix(a * b), matrix(a) @ matrix(b))


@given(sums, sums, sums)
def test_the_algebra_is_associative_and_distributive(a: PauliSum, b: PauliSum, c: PauliSum) -> None:
    assert ((a * b) * c).terms == (a * (b * c)).terms
    assert (a * (b + c)).terms == (a * b + a * c).terms
    assert ((a + b) - b).terms == a.terms and (a + b).terms == (b + a).terms


@given(sums)
def test_hermitian_is_what_the_matrix_is(a: PauliSum) -> None:
    dense = matrix(a)
    assert a.is_hermitian() == bool(np.array_equal(dense, dense.conj().T))
