"""Whether an operator conserves the magnetisation, against its commutator, and for groups beyond enumeration."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from math import prod

import numpy as np
import pytest

from pvmc.hamiltonians import Operator, PauliSum, X, Y, Z, lowering, raising
from tests.helpers import Numbers, compiled_matrix, configurations, random_strings

N_SITES = 6
Maker = Callable[[np.random.Generator], PauliSum]
MATRICES = {
    "I": np.eye(2),
    "X": np.array([[0, 1], [1, 0]]),
    "Y": np.array([[0, -1j], [1j, 0]]),
    "Z": np.diag([1, -1]),
}


def dense(terms: PauliSum) -> Numbers:
    """The sum of Kronecker products, site 0 last."""
    total = np.zeros((2**N_SITES, 2**N_SITES), dtype=complex)
    for string, coefficient in terms.terms.items():
        letters = dict(string)
        factors = [MATRICES[letters.get(site, "I")] for site in reversed(range(N_SITES))]
        total += coefficient * reduce(np.kron, factors)
    return total


def commutes(terms: PauliSum) -> bool:
    """[H, sum_i sigma^z_i] = 0, from the Kronecker products."""
    matrix = dense(terms)
    magnetization = configurations(N_SITES).sum(axis=0, dtype=np.int64)
    return bool(np.abs(matrix * (magnetization - magnetization[:, None])).max() < 1e-12)


def conserves(terms: PauliSum, n_sites: int = N_SITES) -> bool:
    return Operator.from_pauli_sum(terms, n_sites).conserves_magnetization


def hermitian(terms: PauliSum) -> PauliSum:
    return terms + terms.adjoint()


def strings(rng: np.random.Generator) -> PauliSum:
    return random_strings(rng, N_SITES, int(rng.integers(1, 8)), largest=N_SITES)


def ladder_products(rng: np.random.Generator, balanced: bool) -> PauliSum:
    """Products of raising, lowering and sigma^z operators with complex coefficients, and their adjoints."""
    total = PauliSum()
    for _ in range(rng.integers(1, 4)):
        sites = rng.permutation(N_SITES).tolist()
        n_pairs = int(rng.integers(1, 4))
        factors = [raising(i) for i in sites[:n_pairs]] + [lowering(i) for i in sites[n_pairs : 2 * n_pairs]]
        if not balanced:
            factors[0] = factors[0].adjoint()
        factors += [Z(i) for i in sites[2 * n_pairs :] if rng.random() < 0.5]
        total = total + complex(*rng.standard_normal(2)) * prod(factors[1:], start=factors[0])
    return hermitian(total)


def mixed(rng: np.random.Generator) -> PauliSum:
    return ladder_products(rng, True) + 1e-3 * ladder_products(rng, bool(rng.integers(2)))


def test_random_operators_of_up_to_six_sites_compile_to_their_matrices() -> None:
    for seed in range(20):
        terms = strings(np.random.default_rng(seed))
        matrix = compiled_matrix(Operator.from_pauli_sum(terms, N_SITES)).toarray()
        np.testing.assert_allclose(matrix, dense(terms), rtol=0, atol=1e-12)
        np.testing.assert_array_equal(matrix, matrix.conj().T)


MAKERS: dict[str, tuple[Maker, set[bool]]] = {
    "random strings": (strings, {True, False}),
    "ladder products that conserve": (lambda rng: ladder_products(rng, True), {True}),
    "ladder products that do not": (lambda rng: ladder_products(rng, False), {False}),
    "both": (mixed, {True, False}),
}


@pytest.mark.parametrize(("maker", "outcomes"), MAKERS.values(), ids=MAKERS)
def test_conservation_is_that_of_the_commutator(maker: Maker, outcomes: set[bool]) -> None:
    found = set()
    for seed in range(40):
        terms = maker(np.random.default_rng(seed))
        found.add(commutes(terms))
        assert conserves(terms) == commutes(terms)
    assert found == outcomes


def test_groups_of_any_size() -> None:
    hop, far = X(0) * X(1) + Y(0) * Y(1), prod([Z(i) for i in range(3, 60)], start=Z(2))
    assert conserves(hop * far, 60)
    assert conserves(hop * far + (X(0) * Y(1) - Y(0) * X(1)) * Z(5), 60)
    assert not conserves(hop * far + 1e-6 * X(0) * X(1) * Z(7), 60)
    assert not conserves(prod([X(i) for i in range(1, 60)], start=X(0)), 60)
    assert not conserves(hop * far + 1e-6 * prod([X(i) for i in range(1, 59)], start=X(0)), 60)


def test_a_group_that_flips_twenty_four_sites() -> None:
    hops = [X(2 * k) * X(2 * k + 1) + Y(2 * k) * Y(2 * k + 1) for k in range(12)]
    everywhere = prod(hops[1:], start=hops[0])
    assert len(everywhere.terms) == 4096
    assert conserves(everywhere, 24)
    string = next(iter(everywhere.terms))
    assert not conserves(everywhere + PauliSum({string: 1e-6}), 24)


def test_longitudinal_sums_over_many_sites_do_not_matter() -> None:
    """A hop weighted by a field of all other spins: one group that depends on a hundred sites."""
    weights = np.random.default_rng(0).standard_normal(100)
    field = PauliSum.total(float(w) * Z(i) for i, w in enumerate(weights) if i > 1)
    assert conserves((X(0) * X(1) + Y(0) * Y(1)) * field, 100)
    assert not conserves(X(0) * X(1) * field, 100)
