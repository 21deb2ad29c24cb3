"""Mean field, Jastrow, products and a formula alone: their definitions, the contract, and the fallback as the judge."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pvmc.errors import NumericalError
from pvmc.lattice import chain, rectangle
from pvmc.spins.flips import FlipSets
from pvmc.wavefunctions import RBM, Ansatz, Jastrow, MeanField, Product
from pvmc.wavefunctions.contract import check_ansatz, failed, table
from pvmc.wavefunctions.fallback import Batched, FormulaAnsatz, exponential
from pvmc.wavefunctions.symmetry import claimed_symmetry

N_SITES, WIDTH = 6, 8
DTYPES = [np.float64, np.complex128]


class Pairs:
    """A formula that looks nothing up: nearest-neighbour pairs and a field, ln psi = v sum s_i s_i+1 + a sum s_i."""

    n_parameters = 2

    def __init__(self, dtype: Any = np.complex128):
        self.dtype = np.dtype(dtype)

    def log_psi(self, theta: Any, spins: Any) -> Any:
        return theta @ self.sums(spins)

    def log_derivatives(self, theta: Any, spins: Any) -> Any:
        return self.sums(spins)

    def sums(self, spins: Any) -> Any:
        values = spins.astype(float)
        return np.array([(values * np.roll(values, 1, axis=0)).sum(axis=0), values.sum(axis=0)])


def make(name: str, dtype: Any) -> Ansatz:
    ring = chain(N_SITES)
    plain, translations = ring.group("none"), ring.group("translation")
    match name:
        case "mean field":
            return MeanField(plain, dtype=dtype, init_scale=0.3)
        case "uniform mean field":
            return MeanField(translations, dtype=dtype, init_scale=0.3)
        case "jastrow":
            return Jastrow(plain, dtype=dtype, one_body=True, init_scale=0.3)
        case "symmetric jastrow":
            return Jastrow(rectangle((3, 2), (True, False)).group("space"), dtype=dtype, init_scale=0.3)
        case "rbm x jastrow":
            rbm = RBM(translations, 2, dtype=dtype, visible_bias=True, init_scale=0.2)
            return Product([rbm, Jastrow(translations, dtype=dtype, init_scale=0.2)])
        case "formula x mean field":
            return Product([FormulaAnsatz(Pairs(dtype), N_SITES), MeanField(plain, dtype=dtype, init_scale=0.2)])
        case "formula":
            return FormulaAnsatz(Pairs(dtype), N_SITES)
    raise AssertionError(name)


NAMES = [
    "mean field",
    "uniform mean field",
    "jastrow",
    "symmetric jastrow",
    "rbm x jastrow",
    "formula x mean field",
    "formula",
]
CASES = [(name, dtype) for name in NAMES for dtype in DTYPES]


def random_spins(rng: np.random.Generator, n_sites: int = N_SITES, width: int = WIDTH) -> npt.NDArray[np.int8]:
    return rng.choice(np.array([-1, 1], dtype=np.int8), size=(n_sites, width))


def random_flips(rng: np.random.Generator, n_sites: int = N_SITES) -> FlipSets:
    return FlipSets.from_lists([rng.choice(n_sites, k, replace=False) for k in range(1, 6) for _ in range(3)])


def random_state(ansatz: Ansatz, seed: int = 1) -> Any:
    return ansatz.at(ansatz.initial_parameters(np.random.default_rng(seed)))


class OnlyLogPsi(Batched):
    """The fallback on the ln psi of another wave function."""

    def __init__(self, psi: Any):
        self.psi, self.dtype = psi, psi.dtype

    def log_psi(self, spins: Any) -> Any:
        return self.psi.log_psi(spins)


@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_contract(name: str, dtype: Any) -> None:
    checks = check_ansatz(make(name, dtype))
    assert len(checks) == 11
    assert not list(failed(checks)), table(checks)


def test_mean_field_is_a_product_of_spins(rng: np.random.Generator) -> None:
    theta = rng.normal(size=N_SITES) + 1j * rng.normal(size=N_SITES)
    state = MeanField(chain(N_SITES).group("none"), dtype=np.complex128).at(theta)
    spins = random_spins(rng)
    expected = np.prod([np.where(spins[i] > 0, np.exp(theta[i]), np.exp(-theta[i])) for i in range(N_SITES)], axis=0)
    np.testing.assert_allclose(np.exp(state.log_psi(spins)), expected, rtol=1e-13)


def test_jastrow_is_the_double_sum(rng: np.random.Generator) -> None:
    ansatz = Jastrow(chain(N_SITES).group("none"), dtype=np.complex128, one_body=True)
    assert ansatz.n_parameters == N_SITES + N_SITES * (N_SITES - 1) // 2
    theta = rng.normal(size=ansatz.n_parameters) + 1j * rng.normal(size=ansatz.n_parameters)
    fields, strengths = theta[:N_SITES], theta[N_SITES:]
    spins = random_spins(rng)
    expected = (fields[:, None] * spins).sum(axis=0)
    pairs = [(i, j) for i in range(N_SITES) for j in range(i + 1, N_SITES)]
    for strength, (i, j) in zip(strengths, pairs, strict=True):
        expected = expected + strength * spins[i] * spins[j]
    np.testing.assert_allclose(ansatz.at(theta).log_psi(spins), expected, rtol=1e-12)


def test_jastrow_on_a_ring_depends_on_distances() -> None:
    ansatz = Jastrow(chain(8).group("translation"), dtype=np.float64)
    assert ansatz.n_parameters == 4
    distance = np.abs(np.arange(8)[:, None] - np.arange(8))
    np.testing.assert_array_equal(ansatz.pair_orbits, np.minimum(distance, 8 - distance) - 1)


@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_walk_is_that_of_the_fallback(name: str, dtype: Any) -> None:
    """The same uniforms, sets of one to five sites, some conserving: the same walk, and a look-up that has followed."""
    state = random_state(make(name, dtype))
    judge, rng = OnlyLogPsi(state), np.random.default_rng(3)
    flips, spins = random_flips(rng), random_spins(rng)
    conserving = np.arange(len(flips)) % 2 == 0
    chosen, uniforms = rng.integers(0, len(flips), 60), rng.random((60, WIDTH))
    expected = spins.copy()
    counted = judge.metropolis(expected, judge.lookup(expected), flips, conserving, chosen, uniforms)
    lookup = state.lookup(spins)
    accepted = state.metropolis(spins, lookup, flips, conserving, chosen, uniforms)
    np.testing.assert_array_equal(spins, expected)
    np.testing.assert_array_equal(accepted, counted)
    assert 0 < accepted.sum() < accepted.size * 60
    np.testing.assert_allclose(np.exp(1j * lookup), np.exp(1j * state.lookup(spins)), atol=1e-11)


@pytest.mark.parametrize("dtype", DTYPES)
def test_move_of_an_rbm_is_its_metropolis(dtype: Any) -> None:
    state = random_state(RBM(chain(N_SITES).group("none"), 5, dtype=dtype, visible_bias=True, init_scale=0.4))
    rng = np.random.default_rng(4)
    spins = random_spins(rng, width=11)
    for sites in ([2], [0, 3], [0, 1, 4]):
        accept = rng.random(11) < 0.5
        expected = spins.copy()
        expected[np.ix_(sites, np.flatnonzero(accept))] *= -1
        lookup = state.lookup(spins)
        state.move(spins, lookup, np.array(sites), accept)
        np.testing.assert_array_equal(spins, expected)
        np.testing.assert_allclose(lookup, state.lookup(expected), atol=1e-12)


def test_batches_do_not_change_ratios(rng: np.random.Generator) -> None:
    state = random_state(make("formula", np.complex128))
    spins, flips = random_spins(rng), random_flips(rng)
    wanted = rng.random((len(flips), WIDTH)) < 0.7
    whole = state.ratios(spins, state.lookup(spins), flips, wanted)
    state.batch = 7
    asked: list[int] = []
    original = state.log_psi
    state.log_psi = lambda columns: asked.append(columns.shape[1]) or original(columns)
    parts = state.ratios(spins, original(spins)[None].view(float).reshape(-1, 2).T.copy(), flips, wanted)
    np.testing.assert_allclose(parts, whole, rtol=1e-13)
    assert max(asked) == 7 and sum(asked) == wanted.sum()


def test_exponential_never_gives_nan() -> None:
    large = np.array([800.0, -800.0, np.inf, -np.inf, 0.0])
    np.testing.assert_array_equal(exponential(large), [np.inf, 0.0, np.inf, 0.0, 1.0])
    complexes = exponential(large + 0j)
    np.testing.assert_array_equal(complexes, np.array([np.inf, 0.0, np.inf, 0.0, 1.0]))
    assert np.isinf(exponential(np.array([900.0 + 2.0j]))[0]) and not np.isnan(exponential(np.array([900.0 + 2.0j]))[0])


@pytest.mark.parametrize("dtype", DTYPES)
def test_ratios_beyond_float64(dtype: Any) -> None:
    """exp(+-2000) in one factor and its inverse in the other: inf alone, 1 in the product, never NaN."""
    plain = chain(4).group("none")
    field = MeanField(plain, dtype=dtype)
    theta = np.full(4, 500.0, dtype=dtype)
    spins = -np.ones((4, 3), dtype=np.int8)
    flips, wanted = FlipSets.from_lists([[0, 1]]), np.ones((1, 3), dtype=bool)
    alone = field.at(theta).ratios(spins, np.empty((0, 3)), flips, wanted)
    assert np.isinf(alone).all() and not np.isnan(alone).any()
    both = Product([field, field]).at(np.concatenate([theta, -theta]))
    np.testing.assert_array_equal(both.ratios(spins, both.lookup(spins), flips, wanted), 1.0)
    accepted = both.metropolis(spins, both.lookup(spins), flips, np.array([False]), np.array([0]), np.full((1, 3), 0.5))
    np.testing.assert_array_equal(accepted, 1)


def test_a_walker_on_a_node_leaves_it() -> None:
    class Node(Pairs):
        def log_psi(self, theta: Any, spins: Any) -> Any:
            return np.where(spins.sum(axis=0) == 4, -np.inf, super().log_psi(theta, spins))

    state = FormulaAnsatz(Node(np.float64), 4).at(np.array([0.1, 0.2]))
    spins = np.ones((4, 2), dtype=np.int8)
    flips, wanted = FlipSets.from_lists([[1]]), np.ones((1, 2), dtype=bool)
    assert np.isinf(state.ratios(spins, state.lookup(spins), flips, wanted)).all()
    lookup = state.lookup(spins)
    accepted = state.metropolis(spins, lookup, flips, np.array([False]), np.array([0, 0]), np.full((2, 2), 0.999))
    np.testing.assert_array_equal(accepted, 1)  # leaves at the first step, is not let back at the second
    np.testing.assert_array_equal(spins[1], -1)
    np.testing.assert_array_equal(lookup, state.lookup(spins))


def test_parameter_blocks_of_a_product() -> None:
    ansatz = make("rbm x jastrow", np.complex128)
    assert list(ansatz.parameter_blocks) == ["0.visible_bias", "0.hidden_bias", "0.features", "1.pair"]
    assert ansatz.n_parameters == 1 + 2 + 12 + 3
    group = claimed_symmetry(ansatz)
    assert group is not None and len(group) == 6  # the RBM has no spin-flip symmetry


def test_products_are_refused() -> None:
    field = MeanField(chain(4).group("none"), dtype=np.float64)
    with pytest.raises(ValueError, match="two or more factors"):
        Product([field])
    with pytest.raises(ValueError, match="all complex or all real"):
        Product([field, MeanField(chain(4).group("none"), dtype=np.complex128)])


@pytest.mark.parametrize("name", NAMES)
def test_parameters_that_are_not_finite(name: str) -> None:
    ansatz = make(name, np.float64)
    with pytest.raises(NumericalError):
        ansatz.at(np.full(ansatz.n_parameters, np.nan))


# The contract finds what is wrong ------------------------------------------------------------------------------------


class Broken(Pairs):
    def __init__(self, fault: str):
        super().__init__()
        self.fault, self.calls = fault, 0
        if fault == "symmetry":
            self.symmetry_group = MeanField(chain(N_SITES).group("translation"), dtype=float).symmetry_group

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
    ansatz = make("jastrow", np.float64)
    original = ansatz.at

    def at(theta: Any) -> Any:
        state = original(theta)
        state._pair_planes = state._pair_planes * 1.001
        state.lookup = lambda spins: type(state).lookup(original(theta), spins)
        return state

    ansatz.at = at  # type: ignore[method-assign]
    names = [check.name for check in failed(check_ansatz(ansatz))]
    assert "ratios against ln psi, sets of 1 to 4 sites" in names
    assert "walk and look-up after Metropolis steps" in names


def test_the_contract_counts_the_walkers_that_end_elsewhere() -> None:
    ansatz = make("jastrow", np.float64)
    original = ansatz.at

    def at(theta: Any) -> Any:
        state = original(theta)

        def metropolis(spins: Any, *arguments: Any) -> Any:
            accepted = type(state).metropolis(state, spins, *arguments)
            spins[1, [0, 3]] *= -1
            return accepted

        state.metropolis = metropolis
        return state

    ansatz.at = at  # type: ignore[method-assign]
    notes = [check.note for check in failed(check_ansatz(ansatz)) if "Metropolis" in check.name]
    assert notes and all(note.startswith("2 of ") for note in notes)
