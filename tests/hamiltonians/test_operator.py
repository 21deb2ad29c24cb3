"""Compiling Pauli sums: what is refused, what is merged, and what is found out about the matrix."""

from __future__ import annotations

import numpy as np
import pytest

from pvmc.errors import InputError
from pvmc.hamiltonians import Operator, PauliSum, X, Y, Z
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
    "constant amplitude X": X(0),
    "Y": Y(2),
    "XX alone": X(0) * X(1),
    "YY alone": Y(0) * Y(1),
    "XX - YY": X(0) * X(1) - Y(0) * Y(1),
    "XY + YX": X(0) * Y(1) + Y(0) * X(1),
    "XYZ": 1.0 * X(0) * X(1) + 0.9 * Y(0) * Y(1) + 0.5 * Z(0) * Z(1),
    "conserving but for a small field": hop(0, 1) + 1e-6 * X(3),
    "almost conserving": X(0) * X(1) + (1 + 1e-9) * Y(0) * Y(1),
    "three flips": X(0) * X(1) * X(2),
    "four flips": X(0) * X(1) * X(2) * X(3),
    "X where the neighbour is up": X(0) * (1.0 + Z(1)),
}


def commutes_with_magnetization(terms: PauliSum) -> bool:
    matrix = kronecker_sum(terms, N_SITES)
    magnetization = configurations(N_SITES).sum(axis=0, dtype=np.int64)
    return bool(np.all(np.abs(matrix * (magnetization - magnetization[:, None])) < 1e-12))


@pytest.mark.parametrize("name", CONSERVING)
def test_conserved_magnetization_is_found(name: str) -> None:
    assert commutes_with_magnetization(CONSERVING[name])
    assert compiled(CONSERVING[name]).conserves_magnetization


@pytest.mark.parametrize("name", CHANGING)
def test_changed_magnetization_is_found(name: str) -> None:
    assert not commutes_with_magnetization(CHANGING[name])
    assert not compiled(CHANGING[name]).conserves_magnetization
    assert not compiled(CHANGING[name] + CONSERVING["Heisenberg"]).conserves_magnetization


@pytest.mark.parametrize("seed", range(10))
def test_conservation_of_random_sums_is_that_of_the_matrix(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pairs = [rng.choice(N_SITES, 2, replace=False).tolist() for _ in range(6)]
    weights = rng.standard_normal(6)
    moving = PauliSum.total(
        w * (hop(i, j) if w > 0 else ring_current(i, j)) for w, (i, j) in zip(weights, pairs, strict=True)
    )
    squared = moving * moving
    for terms in (moving, squared, squared + 0.1 * X(0) * X(1) * X(2)):
        assert compiled(terms).conserves_magnetization == commutes_with_magnetization(terms)
