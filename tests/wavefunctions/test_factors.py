"""Log-derivatives as outer products: the same numbers as plain rows, who offers them, and what the contract says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pvmc.lattice import chain
from pvmc.wavefunctions import RBM, Ansatz, FeedForward, Jastrow, MeanField, Product, Projected
from pvmc.wavefunctions.contract import Check, check_ansatz, failed, table
from pvmc.wavefunctions.fallback import FormulaAnsatz
from pvmc.wavefunctions.log_derivatives import factor_rows_of, factors_of, multiplied_out, n_rows, outer, outer_rows

N_SITES, WIDTH = 6, 9
CLAUSE = "factors agree with log-derivatives"
RING = chain(N_SITES)
PLAIN, TRANSLATIONS = RING.group("none"), RING.group("translation")


def rbm(dtype: Any, visible: bool = False, n_hidden: int = 7) -> RBM:
    return RBM(PLAIN, n_hidden, dtype=dtype, visible_bias=visible, init_scale=0.4)


def net(weights: Any, widths: tuple[int, ...] = (5, 4), **options: Any) -> FeedForward:
    activations = ("lncosh", "tanh", "softplus")[: len(widths)]
    return FeedForward(PLAIN, widths, activations, weights=weights, init_scale=0.8, **options)


def pair_and_single(dtype: Any) -> Jastrow:
    return Jastrow(TRANSLATIONS, dtype=dtype, one_body=True, init_scale=0.3)


OFFERED: dict[str, Callable[[], Ansatz]] = {
    "complex rbm": lambda: rbm(complex),
    "complex rbm, visible bias": lambda: rbm(complex, True),
    "real rbm": lambda: rbm(float),
    "real rbm, visible bias": lambda: rbm(float, True),
    "complex net": lambda: net("complex"),
    "complex net, output bias": lambda: net("complex", (5, 4, 3), output_bias=True),
    "real net": lambda: net("real"),
    "real net without biases": lambda: net("real", bias=False),
    "net of one layer": lambda: net("complex", (8,)),
    "net with a layer of one unit": lambda: net("real", (6, 1, 4)),
    "amplitude and phase": lambda: net("amplitude_phase", output_bias=True),
    "rbm x jastrow": lambda: Product([rbm(complex), pair_and_single(complex)]),
    "jastrow x (real rbm x amplitude and phase)": lambda: Product(
        [pair_and_single(float), Product([rbm(float, True), net("amplitude_phase")])]
    ),
}


def state_and_spins(ansatz: Ansatz, width: int = WIDTH) -> tuple[Any, npt.NDArray[np.int8]]:
    rng = np.random.default_rng(3)
    spins = rng.choice(np.array([-1, 1], dtype=np.int8), size=(N_SITES, width))
    return ansatz.at(ansatz.initial_parameters(rng)), spins


def factors(psi: Any, spins: npt.NDArray[np.int8]) -> Any:
    method = factors_of(psi)
    assert method is not None
    return method(spins, psi.lookup(spins))


@pytest.mark.parametrize("width", [1, WIDTH])
@pytest.mark.parametrize("name", OFFERED)
def test_they_are_the_log_derivatives(name: str, width: int) -> None:
    psi, spins = state_and_spins(OFFERED[name](), width)
    expected = psi.log_derivatives(spins, psi.lookup(spins))
    found = multiplied_out(factors(psi, spins))
    assert found.shape == expected.shape and found.dtype == expected.dtype
    assert np.all(np.abs(found - expected) <= 1e-13 * np.abs(expected))
    assert np.abs(expected).max() > 0.1


@pytest.mark.parametrize("name", OFFERED)
def test_the_overlaps_of_log_derivatives_follow_from_those_of_the_factors(name: str) -> None:
    """sum_k O_k(s)* O_k(s') = sum over blocks of (sum_j B_j* B'_j) (sum_i A_i* A'_i)."""
    psi, spins = state_and_spins(OFFERED[name]())
    rows = psi.log_derivatives(spins, psi.lookup(spins))
    overlaps = np.zeros((WIDTH, WIDTH), dtype=complex)
    for block in factors(psi, spins):
        overlaps += np.prod([part.conj().T @ part for part in block], axis=0)
    np.testing.assert_allclose(overlaps, rows.conj().T @ rows, rtol=1e-12, atol=1e-12 * np.abs(rows).max() ** 2)


@pytest.mark.parametrize("name", OFFERED)
def test_they_are_shorter_counted_beforehand_and_the_callers_own(name: str) -> None:
    ansatz = OFFERED[name]()
    psi, spins = state_and_spins(ansatz)
    lookup, before = psi.lookup(spins), spins.copy()
    method = factors_of(psi)
    assert method is not None
    made = method(spins, lookup)
    assert factor_rows_of(ansatz) == n_rows(made) < ansatz.n_parameters
    assert any(len(block) == 2 for block in made)
    expected = multiplied_out(made)
    arrays = [rows for block in made for rows in block] + [lookup]
    assert not any(np.shares_memory(a, b) for i, a in enumerate(arrays) for b in arrays[:i])
    for rows in arrays[:-1]:
        assert rows.flags.c_contiguous and str(rows.dtype) in ("float64", str(psi.dtype))
        rows[:] = 0.0
    np.testing.assert_array_equal(lookup, psi.lookup(spins))
    np.testing.assert_array_equal(multiplied_out(method(spins, lookup)), expected)
    np.testing.assert_array_equal(spins, before)


def test_those_of_an_rbm_are_tanh_and_spins() -> None:
    ansatz = rbm(complex, True)
    psi, spins = state_and_spins(ansatz)
    visible, hidden, weights = factors(psi, spins)
    tanh = np.tanh(psi.weights @ spins + psi.hidden_biases[:, None])
    np.testing.assert_array_equal(visible[0], spins)
    np.testing.assert_allclose(hidden[0], tanh, rtol=1e-13)
    np.testing.assert_allclose(weights[0], tanh, rtol=1e-13)
    np.testing.assert_array_equal(weights[1], spins)
    assert weights[1].dtype == np.float64
    assert ansatz.factor_rows == N_SITES + 7 + (7 + N_SITES)


def test_an_outer_product_is_multiplied_out_where_that_is_shorter() -> None:
    rng = np.random.default_rng(1)
    for q, p, as_factors in ((1, 5, False), (5, 1, False), (2, 2, False), (2, 3, True), (3, 2, True), (4, 7, True)):
        units, inputs = rng.normal(size=(q, WIDTH)), rng.normal(size=(p, WIDTH)) + 1j
        block = outer(units, inputs)
        assert (len(block) == 2) is as_factors
        assert n_rows([block]) == outer_rows(q, p) == min(q * p, q + p)
        expected = np.einsum("jl,il->jil", units, inputs).reshape(-1, WIDTH)
        np.testing.assert_array_equal(multiplied_out([block]), expected)


NOT_OFFERED: dict[str, Callable[[], Ansatz]] = {
    "rbm with translations": lambda: RBM(TRANSLATIONS, 2, dtype=complex),
    "rbm of one unit": lambda: rbm(float, n_hidden=1),
    "net with translations": lambda: FeedForward(TRANSLATIONS, (5, 4), ("tanh", "tanh")),
    "net of one unit": lambda: net("real", (1,)),
    "jastrow": lambda: Jastrow(PLAIN, dtype=complex),
    "product of none that offers": lambda: Product([MeanField(PLAIN, dtype=float), rbm(float, n_hidden=1)]),
    "projected rbm": lambda: Projected(rbm(complex), RBM_GROUP),
    "formula": lambda: FormulaAnsatz(Field(), N_SITES),
}


class Field:
    """ln psi = a sum_i s_i."""

    n_parameters = 1

    def log_psi(self, theta: Any, spins: Any) -> Any:
        return theta[0] * spins.sum(axis=0)

    def log_derivatives(self, theta: Any, spins: Any) -> Any:
        return spins.sum(axis=0)[None].astype(complex)


RBM_GROUP = MeanField(TRANSLATIONS, dtype=float).symmetry_group


@pytest.mark.parametrize("name", NOT_OFFERED)
def test_not_offered_where_they_are_not_shorter_or_no_outer_products(name: str) -> None:
    ansatz = NOT_OFFERED[name]()
    psi, _ = state_and_spins(ansatz)
    assert factors_of(psi) is None and factor_rows_of(ansatz) is None


def test_shared_weights_are_refused() -> None:
    for name in ("rbm with translations", "net with translations"):
        psi, spins = state_and_spins(NOT_OFFERED[name]())
        with pytest.raises(ValueError, match="symmetries"):
            psi.derivative_factors(spins, psi.lookup(spins))


# The contract ---------------------------------------------------------------------------------------------------------


def verdict(ansatz: Ansatz) -> Check:
    """Of the clause about factors; all the other clauses hold."""
    checks = check_ansatz(ansatz)
    assert all(check.name == CLAUSE for check in failed(checks)), table(checks)
    return next(check for check in checks if check.name == CLAUSE)


@pytest.mark.parametrize("name", OFFERED)
def test_the_contract_holds(name: str) -> None:
    check = verdict(OFFERED[name]())
    assert check.passed and check.error is not None and check.error <= 1e-13


def test_the_contract_says_where_nothing_is_offered() -> None:
    check = verdict(NOT_OFFERED["jastrow"]())
    assert check.passed and check.error is None and check.note == "none offered"


Blocks = list[tuple[npt.NDArray[Any], ...]]
KEPT: dict[str, Blocks] = {}


def kept(made: Blocks) -> Blocks:
    """The same arrays at every call."""
    return KEPT.setdefault("first", made)


FAULTS: dict[str, tuple[Callable[[Blocks], Blocks], str]] = {
    "factors exchanged": (lambda made: [made[0], made[1][::-1]], ""),
    "blocks exchanged": (lambda made: made[::-1], ""),
    "conjugate": (lambda made: [made[0], (made[1][0].conj(), made[1][1])], ""),
    "a block left out": (lambda made: made[1:], "factor_rows of the ansatz is 20, must be 13"),
    "multiplied out": (lambda made: [(multiplied_out(made),)], "factor_rows of the ansatz is 20, must be 49"),
    "one array twice": (lambda made: [(made[1][0],), made[1]], "shares memory"),
    "kept": (kept, "not made anew"),
    "three arrays": (lambda made: [made[0], (*made[1], made[0][0])], "has 3 arrays, must have 1 or 2"),
    "single precision": (lambda made: [made[0], (made[1][0], made[1][1].astype(np.float32))], "is float32"),
    "not contiguous": (lambda made: [made[0], (made[1][0], np.asfortranarray(made[1][1]))], "c_contiguous"),
}


class Faulty(RBM):
    """A plain RBM whose factors are changed."""

    change: Callable[[Blocks], Blocks]

    def at(self, theta: Any) -> Any:
        state = super().at(theta)
        right = state.derivative_factors
        state.derivative_factors = lambda spins, lookup: type(self).change(list(right(spins, lookup)))  # type: ignore[method-assign]
        return state


@pytest.mark.parametrize("fault", FAULTS)
def test_the_contract_names_the_fault(fault: str) -> None:
    change, said = FAULTS[fault]
    KEPT.clear()
    faulty = type("Faulty", (Faulty,), {"change": staticmethod(change)})
    ansatz = faulty(PLAIN, 7, dtype=complex, init_scale=0.4)
    check = verdict(ansatz)
    assert not check.passed and said in check.note
    if not said:
        assert check.error is not None and check.error > 1e-3


def test_an_offer_can_be_taken_back() -> None:
    class Reluctant(RBM):
        factor_rows = None

    ansatz = Reluctant(PLAIN, 7, dtype=float)
    psi, _ = state_and_spins(ansatz)
    assert factors_of(psi) is None and verdict(ansatz).note == "none offered"
