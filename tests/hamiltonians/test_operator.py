"""Compiling Pauli sums: what is refused, what is merged, and what is found out about the matrix."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np
import pytest

from pvmc.errors import InputError
from pvmc.hamiltonians import Operator, PauliSum, X, Y, Z, lowering, raising
from tests.helpers import compiled_matrix, configurations, kronecker_sum, random_strings

N_SITES = 5


def compiled(terms: PauliSum) -> Operator:
    return Operator.from_pauli_sum(terms, N_SITES)


def hop(i: int, j: int) -> PauliSum:
    """sigma+_i sigma-_j + h.c., twice."""
    return X(i) * X(j) + Y(i) * Y(j)


def ring_current(i: int, j: int) -> PauliSum:
    return X(i) * Y(j) - Y(i) * X(j)


@pytest.mark.parametrize("terms", [X(0) * Y(0), 1j * X(1), X(0) + (1 + 1e-9j) * Z(1), 0.5j * X(0) * X(0)])
def test_operators_that_are_not_hermitian_are_refused(terms: PauliSum) -> None:
    with pytest.raises(InputError, match="not Hermitian"):
        compiled(terms)


@pytest.mark.parametrize("power", [2, 3])
def test_powers_of_an_operator_are_hermitian_whatever_the_rounding(power: int) -> None:
    """In H * H the imaginary parts of commuting pairs cancel only to rounding."""
    terms = random_strings(np.random.default_rng(2), N_SITES, 25)
    product = terms
    for _ in range(power - 1):
        product = product * terms
    matrix = np.linalg.matrix_power(kronecker_sum(terms, N_SITES), power)
    np.testing.assert_allclose(
        compiled_matrix(compiled(product)).toarray(), matrix, rtol=0, atol=1e-12 * np.abs(matrix).max()
    )


@pytest.mark.parametrize("site", [-1, N_SITES, 100])
def test_sites_out_of_range_are_refused(site: int) -> None:
    with pytest.raises(InputError, match=f"sites must be 0 to {N_SITES - 1}"):
        compiled(X(0) + Z(site) * Z(1))


def test_strings_with_the_same_flips_share_one_group() -> None:
    operator = compiled(hop(3, 1) + Z(0) * hop(1, 3) + X(4) + Z(2) * X(4) + Z(0) * Z(1))
    assert [operator.flips[k].tolist() for k in range(len(operator.flips))] == [[1, 3], [4]]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("letters", ["XYZ", "XZ", "Y", "Z", "XY"])
def test_random_sums_compile_to_their_kronecker_products(letters: str, seed: int) -> None:
    terms = random_strings(np.random.default_rng(seed), N_SITES, 12, letters)
    matrix = kronecker_sum(terms, N_SITES)
    operator = compiled(terms)
    np.testing.assert_allclose(compiled_matrix(operator).toarray(), matrix, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(compiled_matrix(operator).toarray(), compiled_matrix(operator).conj().T.toarray())
    assert operator.is_real == (not np.any(matrix.imag))
    assert operator.infinite_temperature_energy == pytest.approx(np.trace(matrix).real / 2**N_SITES, abs=1e-12)


def test_operators_without_flips_or_without_terms() -> None:
    spins = configurations(N_SITES)
    for terms, energy in ((2.5 * Z(0) * Z(3) + 1.0, 1.0 + 2.5 * spins[0] * spins[3]), (PauliSum(), np.zeros(32))):
        operator = compiled(terms)
        assert operator.amplitudes(spins).shape == (0, 32)
        np.testing.assert_array_equal(operator.diagonal(spins), energy)
        assert operator.conserves_magnetization


def test_dtypes() -> None:
    spins = configurations(N_SITES)
    real, complex_ = compiled(X(0) + Y(0) * Y(1) + Z(2)), compiled(Y(0) + Z(2))
    assert (real.dtype, complex_.dtype) == (np.float64, np.complex128)
    assert (real.is_real, complex_.is_real) == (True, False)
    assert real.amplitudes(spins).dtype == np.float64
    assert complex_.amplitudes(spins).dtype == np.complex128
    assert real.diagonal(spins).dtype == complex_.diagonal(spins).dtype == np.float64


def test_the_sign_convention_of_sigma_y() -> None:
    up = np.ones((1, 1), dtype=np.int8)
    operator = Operator.from_pauli_sum(Y(0), 1)
    assert operator.amplitudes(up)[0, 0] == -1j  # <up|sigma^y|down>
    assert operator.amplitudes(-up)[0, 0] == 1j


CONSERVING = {
    "diagonal": Z(0) * Z(1) + Z(2) + 1.0,
    "XX + YY": hop(0, 1),
    "XX + YY by sites far apart, weighted": 0.3 * hop(0, 4) * Z(2) - 1.7 * hop(1, 2),
    "XY - YX": ring_current(0, 2),
    "pairs of hops": hop(0, 1) * hop(2, 3),
    "three-site hop": hop(0, 1) * hop(1, 2) + hop(1, 2) * hop(0, 1),
    "correlated hop": (1.0 - Z(4)) * hop(0, 1) / 3,
    "Heisenberg": hop(0, 1) + Z(0) * Z(1),
}
CHANGING = {
    "X": X(0),
    "Y": Y(2),
    "XX": X(0) * X(1),
    "YY": Y(0) * Y(1),
    "XX - YY": X(0) * X(1) - Y(0) * Y(1),
    "XY + YX": X(0) * Y(1) + Y(0) * X(1),
    "XYZ": 1.0 * X(0) * X(1) + 0.9 * Y(0) * Y(1) + 0.5 * Z(0) * Z(1),
    "conserving but for a small field": hop(0, 1) + 1e-6 * X(3),
    "almost conserving": X(0) * X(1) + (1 + 1e-9) * Y(0) * Y(1),
    "three flips": X(0) * X(1) * X(2),
    "four flips": X(0) * X(1) * X(2) * X(3),
    "X where the neighbour is up": X(0) * (1.0 + Z(1)),
}


def conserves(terms: PauliSum, n_sites: int = N_SITES) -> bool:
    return Operator.from_pauli_sum(terms, n_sites).conserves_magnetization


def commutes(terms: PauliSum, n_sites: int = N_SITES) -> bool:
    """[H, sum_i sigma^z_i] = 0, from the matrix."""
    magnetization = configurations(n_sites).sum(axis=0, dtype=np.int64)
    matrix = compiled_matrix(Operator.from_pauli_sum(terms, n_sites)).toarray()
    return bool(np.abs(matrix * (magnetization - magnetization[:, None])).max() < 1e-12)


@pytest.mark.parametrize("name", CONSERVING | CHANGING)
def test_conserved_magnetization_is_found(name: str) -> None:
    terms = (CONSERVING | CHANGING)[name]
    assert commutes(terms) == conserves(terms) == (name in CONSERVING)
    assert conserves(terms + CONSERVING["Heisenberg"]) == (name in CONSERVING)


def strings(rng: np.random.Generator) -> PauliSum:
    return random_strings(rng, 6, int(rng.integers(1, 8)), largest=6)


def ladder_products(rng: np.random.Generator, balanced: bool) -> PauliSum:
    """Products of raising, lowering and sigma^z operators with complex coefficients, and their adjoints."""
    total = PauliSum()
    for _ in range(rng.integers(1, 4)):
        sites = rng.permutation(6).tolist()
        n_pairs = int(rng.integers(1, 4))
        factors = [raising(i) for i in sites[:n_pairs]] + [lowering(i) for i in sites[n_pairs : 2 * n_pairs]]
        if not balanced:
            factors[0] = factors[0].adjoint()
        factors += [Z(i) for i in sites[2 * n_pairs :] if rng.random() < 0.5]
        total = total + complex(*rng.standard_normal(2)) * prod(factors[1:], start=factors[0])
    return total + total.adjoint()


def mixed(rng: np.random.Generator) -> PauliSum:
    return ladder_products(rng, True) + 1e-3 * ladder_products(rng, bool(rng.integers(2)))


def squares(rng: np.random.Generator) -> PauliSum:
    """The square of a sum of hops and currents, which conserves, and in half of the cases a string that does not."""
    pairs = [rng.choice(6, 2, replace=False).tolist() for _ in range(6)]
    moving = PauliSum.total(
        w * (hop if w > 0 else ring_current)(*pair) for w, pair in zip(rng.normal(size=6), pairs, strict=True)
    )
    return moving * moving + 0.1 * int(rng.integers(2)) * X(0) * X(1) * X(2)


MAKERS: dict[str, tuple[Callable[[np.random.Generator], PauliSum], set[bool]]] = {
    "random strings": (strings, {True, False}),
    "ladder products that conserve": (lambda rng: ladder_products(rng, True), {True}),
    "ladder products that do not": (lambda rng: ladder_products(rng, False), {False}),
    "both": (mixed, {True, False}),
    "squares of hops": (squares, {True, False}),
}


@pytest.mark.parametrize(("maker", "outcomes"), MAKERS.values(), ids=MAKERS)
def test_conservation_is_that_of_the_commutator(
    maker: Callable[[np.random.Generator], PauliSum], outcomes: set[bool]
) -> None:
    found = set()
    for seed in range(40):
        terms = maker(np.random.default_rng(seed))
        found.add(commutes(terms, 6))
        assert conserves(terms, 6) == commutes(terms, 6)
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
