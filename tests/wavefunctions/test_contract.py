"""All that is required of a wave function, for every one in :mod:`tests.wavefunctions.states`; faults are found.

``check_ansatz`` compares with ln psi alone: ratios of sets of 1 to 4 sites, central differences along both axes, steps,
look-ups, factors, symmetries.  ln psi itself is compared with its definition in the file of each wave function.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pvmc.errors import NumericalError
from pvmc.lattice import chain
from pvmc.spins.flips import FlipSets
from pvmc.wavefunctions import RBM, FeedForward, MeanField, Projected, WaveFunction
from pvmc.wavefunctions.composite import move
from pvmc.wavefunctions.contract import ClauseResult, check_ansatz, failed, table
from pvmc.wavefunctions.fallback import FormulaAnsatz
from pvmc.wavefunctions.log_derivatives import factor_rows_of, factors_of, multiplied_out
from tests.wavefunctions.states import (
    DTYPES,
    N_SITES,
    RING,
    STATES,
    WEIGHTS,
    WIDTH,
    OnlyLogPsi,
    Pairs,
    jastrow,
    net,
    random_flips,
    random_spins,
    random_state,
    rbm,
    sizeable_spins,
)

FACTORS = "factors agree with log-derivatives"
SWEEPS = "walk and look-up after Metropolis steps"
DIFFERENCES = ("log-derivatives against differences, real axis", "the same along the imaginary axis (holomorphic)")

LIMITS = {
    "ratios against ln psi, sets of 1 to 4 sites": 2e-12,
    DIFFERENCES[0]: 2e-8,
    DIFFERENCES[1]: 2e-8,
    FACTORS: 1e-13,
    SWEEPS: 1e-12,
    "the same with moves that keep the magnetisation": 1e-12,
    "claimed symmetry psi(g s) = chi(g) psi(s)": 1e-12,
}
"""Errors of our own wave functions, at weights of order one; those of ``check_ansatz`` are for anybody's."""

PROJECTED = 1e-11
"""The limit of the look-up of sums over a group, whose terms partly cancel."""

every_state = pytest.mark.parametrize("name", STATES)


@every_state
def test_contract(name: str) -> None:
    ansatz = STATES[name]()
    checks = check_ansatz(ansatz)
    assert len(checks) == 11 and not list(failed(checks)), table(checks)
    errors = {check.name: check.error or 0.0 for check in checks}
    limits = dict(LIMITS)
    if isinstance(ansatz, Projected):
        limits[SWEEPS] = PROJECTED
    if isinstance(ansatz, FeedForward):
        limits |= dict.fromkeys(DIFFERENCES, 2e-9)
    assert {clause: errors[clause] for clause in LIMITS if errors[clause] > limits[clause]} == {}


@every_state
def test_walk_is_that_of_log_psi(name: str) -> None:
    """The same uniforms, sets of one to five sites, half of them conserving; 30 steps one by one, 30 in one go."""
    state: WaveFunction = random_state(STATES[name]())
    judge, rng = OnlyLogPsi(state), np.random.default_rng(3)
    flips, spins = random_flips(rng), sizeable_spins(state, rng)
    conserving = np.arange(len(flips)) % 2 == 0
    chosen, uniforms = rng.integers(0, len(flips), 60), rng.random((60, WIDTH))
    expected, lookup, total = spins.copy(), state.lookup(spins), 0
    for steps in [slice(t, t + 1) for t in range(30)] + [slice(30, 60)]:
        offered = flips, conserving, chosen[steps], uniforms[steps]
        counted = judge.metropolis(expected, judge.lookup(expected), *offered)
        np.testing.assert_array_equal(state.metropolis(spins, lookup, *offered), counted)
        np.testing.assert_array_equal(spins, expected)
        total += counted.sum()
    assert 0 < total < WIDTH * 60
    np.testing.assert_allclose(np.exp(1j * lookup), np.exp(1j * state.lookup(spins)), atol=1e-11)


@pytest.mark.parametrize(
    ("ansatz", "n_steps", "limit"),
    [(RBM(chain(16).group("translation"), 2, dtype=dtype, init_scale=0.2), 16_000, 2e-12) for dtype in DTYPES]
    + [(net(weights, "translation", (3, 4), scale=0.5, n_sites=12), 2_000, 2e-13) for weights in WEIGHTS],
)
def test_the_look_up_hardly_drifts_in_thousands_of_flips(ansatz: Any, n_steps: int, limit: float) -> None:
    state, rng, n_sites = random_state(ansatz, 11), np.random.default_rng(12), ansatz.n_sites
    spins = random_spins(rng, n_sites, 16)
    lookup = state.lookup(spins)
    flips = FlipSets.from_lists([[i] for i in range(n_sites)])
    chosen, uniforms = rng.integers(n_sites, size=n_steps), rng.random((n_steps, 16))
    assert state.metropolis(spins, lookup, flips, np.zeros(n_sites, bool), chosen, uniforms).sum() > 5_000
    drift = np.abs(lookup - state.lookup(spins)) / np.maximum(1.0, np.abs(lookup))
    assert 0.0 < drift.max() < limit


class WithoutMove:
    """A wave function that keeps its ``move`` to itself: Metropolis steps with uniforms of -1 take its place."""

    def __init__(self, psi: Any):
        self.metropolis = psi.metropolis


@every_state
def test_a_move_flips_the_accepting_walkers_and_no_others(name: str) -> None:
    state, rng = random_state(STATES[name]()), np.random.default_rng(5)
    flips = FlipSets.from_lists([[2], [0, 3], [4, 5], [0, 2, 3, 5]])
    for k, chance in ((0, 0.5), (1, 0.5), (2, 0.0), (3, 0.5)):
        before = random_spins(rng, width=11)
        accept = rng.random(11) < chance
        after = before.copy()
        after[np.ix_(flips[k], np.flatnonzero(accept))] *= -1
        for psi in (state, WithoutMove(state)):
            spins, lookup = before.copy(), state.lookup(before)
            kept = lookup[:, ~accept].copy()
            move(psi, spins, lookup, flips, k, accept)
            np.testing.assert_array_equal(spins, after)
            np.testing.assert_array_equal(lookup[:, ~accept], kept)
            np.testing.assert_allclose(np.exp(1j * lookup), np.exp(1j * state.lookup(after)), atol=1e-11)


@every_state
def test_arrays_that_are_given_and_parameters_that_are_not_finite(name: str) -> None:
    ansatz = STATES[name]()
    state, spins = random_state(ansatz), random_spins(np.random.default_rng(7))
    lookup = state.lookup(spins)
    large = np.full((ansatz.n_parameters, 2, 3, WIDTH), 7.0, dtype=state.dtype)
    target = large[:, 1, 2, :]
    assert state.log_derivatives(spins, lookup, out=target) is target
    np.testing.assert_array_equal(large[:, 1, 2], state.log_derivatives(spins, lookup))
    assert np.all(large[:, 0] == 7.0) and np.all(large[:, 1, :2] == 7.0)
    flips = random_flips(np.random.default_rng(8))
    assert not state.ratios(spins, lookup, flips, np.zeros((len(flips), WIDTH), dtype=bool)).any()
    theta = ansatz.initial_parameters(np.random.default_rng(1))
    for bad in (np.nan, np.inf):
        with pytest.raises(NumericalError, match="not finite"):
            ansatz.at(np.where(np.arange(len(theta)) == 0, bad, theta).astype(theta.dtype))
    other = theta.real.copy() if np.iscomplexobj(theta) else theta.astype(complex)
    with pytest.raises(ValueError, match=str(theta.dtype)):
        ansatz.at(other)


@every_state
@pytest.mark.parametrize("width", [1, 9])
def test_factors_are_the_log_derivatives_and_their_overlaps(name: str, width: int) -> None:
    """sum_k O_k(s)* O_k(s') = sum over blocks of (sum_j B_j* B'_j) (sum_i A_i* A'_i); fewer, and counted beforehand."""
    ansatz = STATES[name]()
    state, spins = random_state(ansatz), random_spins(np.random.default_rng(3), width=width)
    method = factors_of(state)
    offered = ("rbm, none", "net, none", "net, output", "one layer", "one unit", "plain rbm x", "(rbm x net)")
    assert (method is not None) is any(part in name for part in offered) is (factor_rows_of(ansatz) is not None)
    if method is None:
        return
    rows = state.log_derivatives(spins, state.lookup(spins))
    made = method(spins, state.lookup(spins))
    found = multiplied_out(made)
    assert found.dtype == rows.dtype and any(len(block) == 2 for block in made)
    assert factor_rows_of(ansatz) == sum(len(part) for block in made for part in block) < ansatz.n_parameters
    assert np.all(np.abs(found - rows) <= 1e-13 * np.abs(rows)) and np.abs(rows).max() > 0.1
    overlaps = np.zeros((width, width), dtype=complex)
    for block in made:
        overlaps += np.prod([part.conj().T @ part for part in block], axis=0)
    np.testing.assert_allclose(overlaps, rows.conj().T @ rows, rtol=1e-12, atol=1e-12 * np.abs(rows).max() ** 2)


# The contract finds what is wrong -------------------------------------------------------------------------------------


class Broken(Pairs):
    def __init__(self, fault: str):
        super().__init__()
        self.fault, self.calls = fault, 0
        if fault == "symmetry":
            self.symmetry_group = MeanField(RING.group("translation"), dtype=float).symmetry_group

    def log_psi(self, theta: Any, spins: Any) -> Any:
        self.calls += 1
        value = super().log_psi(theta, spins)
        match self.fault:
            case "holomorphic":
                return np.conj(theta) @ super().log_derivatives(theta, spins)
            case "deterministic":
                return value + 1e-3 * self.calls
            case "walkers":
                return value + 1e-3 * spins[0, 0]
            case "shape":
                return value[:, None]
            case "symmetry":
                return value + 0.1 * spins[0]
            case "raises":
                raise IndexError("row 7")
        return value

    def log_derivatives(self, theta: Any, spins: Any) -> Any:
        return super().log_derivatives(theta, spins) * (1.01 if self.fault == "derivatives" else 1.0)


@pytest.mark.parametrize(
    ("fault", "clause"),
    [
        ("holomorphic", "the same along the imaginary axis (holomorphic)"),
        ("deterministic", "same numbers at every call, theta and spins left alone"),
        ("walkers", "walkers independent of each other"),
        ("derivatives", "log-derivatives against differences, real axis"),
        ("symmetry", "claimed symmetry psi(g s) = chi(g) psi(s)"),
        ("shape", "initial parameters, at(theta), log_psi"),
        ("raises", "initial parameters, at(theta), log_psi"),
    ],
)
def test_the_contract_names_the_fault(fault: str, clause: str) -> None:
    assert clause in [check.name for check in failed(check_ansatz(FormulaAnsatz(Broken(fault), N_SITES)))]


def test_the_contract_sees_wrong_ratios_and_look_ups() -> None:
    ansatz = jastrow(np.float64)
    original = ansatz.at

    def at(theta: Any) -> Any:
        state = original(theta)
        state._pair_planes = state._pair_planes * 1.001
        state.lookup = lambda spins: type(state).lookup(original(theta), spins)  # type: ignore[method-assign]
        return state

    ansatz.at = at  # type: ignore[method-assign]
    names = [check.name for check in failed(check_ansatz(ansatz))]
    assert "ratios against ln psi, sets of 1 to 4 sites" in names
    assert SWEEPS in names


def test_the_contract_counts_the_walkers_that_end_elsewhere() -> None:
    ansatz = jastrow(np.float64)
    original = ansatz.at

    def at(theta: Any) -> Any:
        state = original(theta)

        def metropolis(spins: Any, *arguments: Any) -> Any:
            accepted = type(state).metropolis(state, spins, *arguments)
            spins[1, [0, 3]] *= -1
            return accepted

        state.metropolis = metropolis  # type: ignore[method-assign]
        return state

    ansatz.at = at  # type: ignore[method-assign]
    notes = [check.note for check in failed(check_ansatz(ansatz)) if "Metropolis" in check.name]
    assert notes and all(note.startswith("2 of ") for note in notes)


def verdict(ansatz: Any) -> ClauseResult:
    """Of the clause about factors; all the other clauses hold."""
    checks = check_ansatz(ansatz)
    assert all(check.name == FACTORS for check in failed(checks)), table(checks)
    return next(check for check in checks if check.name == FACTORS)


def test_the_contract_says_where_no_factors_are_offered() -> None:
    class Reluctant(type(rbm(float))):  # type: ignore[misc]
        factor_rows = None

    for ansatz in (jastrow(complex), Reluctant(RING.group("none"), 7, dtype=float)):
        check = verdict(ansatz)
        assert check.passed and check.error is None and check.note == "none offered"
        assert factors_of(random_state(ansatz)) is None


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


@pytest.mark.parametrize("fault", FAULTS)
def test_the_contract_names_the_fault_of_factors(fault: str) -> None:
    change, said = FAULTS[fault]
    KEPT.clear()
    ansatz = rbm(complex, scale=0.4)
    original = ansatz.at

    def at(theta: Any) -> Any:
        state = original(theta)
        right = state.derivative_factors
        state.derivative_factors = lambda spins, lookup: change(list(right(spins, lookup)))  # type: ignore[method-assign]
        return state

    ansatz.at = at  # type: ignore[method-assign]
    check = verdict(ansatz)
    assert not check.passed and said in check.note
    if not said:
        assert check.error is not None and check.error > 1e-3
