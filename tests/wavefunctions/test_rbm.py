"""The RBM as a wave function: its formula, symmetry, ratios, derivatives, and its behaviour at extreme weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pvmc.config import KeyProblem, meaning, section_classes
from pvmc.errors import NumericalError
from pvmc.spins.flips import FlipSets
from pvmc.wavefunctions import RBM, AnsatzSpec, RBMSpec
from pvmc.wavefunctions.rbm import RBMState
from pvmc.wavefunctions.rbm import patterns as fast
from tests.wavefunctions import plain_rbm as reference
from tests.wavefunctions.states import DTYPES, N_SITES, WIDTH, random_flips, random_spins


def translations(length: int) -> npt.NDArray[np.int64]:
    """(g s)_i = s[i + g] on a ring."""
    return np.array([(np.arange(length) + g) % length for g in range(length)])


def dihedral(length: int) -> npt.NDArray[np.int64]:
    """Translations and reflections of a ring: not commutative, so g and its inverse must not be mixed up."""
    return np.concatenate([translations(length), translations(length)[:, ::-1]])


GROUPS = {"plain": np.arange(N_SITES)[None], "translation": translations(N_SITES), "dihedral": dihedral(N_SITES)}


def make(group: str, dtype: Any, visible: bool, scale: float = 0.3, seed: int = 1) -> tuple[RBM, Any, RBMState]:
    rbm = RBM(GROUPS[group], 7 if group == "plain" else 2, dtype=dtype, visible_bias=visible, init_scale=scale)
    theta = rbm.initial_parameters(np.random.default_rng(seed))
    return rbm, theta, rbm.at(theta)


def dense(state: RBMState) -> tuple[Any, Any, Any]:
    return state.weights, state.hidden_biases, state.visible_biases


@pytest.fixture(params=[(g, d, v) for g in GROUPS for d in DTYPES for v in (False, True)], ids=str)
def case(request: pytest.FixtureRequest) -> tuple[RBM, Any, RBMState]:
    return make(*request.param)


def test_log_psi_is_the_formula_of_the_features(case: tuple[RBM, Any, RBMState]) -> None:
    rbm, theta, state = case
    spins = random_spins(np.random.default_rng(2))
    biases, features = rbm.block(theta, "hidden_bias"), rbm.block(theta, "features")
    expected = np.ones(WIDTH, dtype=rbm.dtype)
    for f in range(rbm.n_features):
        for permutation in rbm.permutations:
            expected *= 2 * np.cosh(biases[f] + features[f] @ spins[permutation])
    if "visible_bias" in rbm.parameter_blocks:
        expected *= np.exp(rbm.block(theta, "visible_bias")[rbm.orbits] @ spins)
    np.testing.assert_allclose(np.exp(state.log_psi(spins)), expected, rtol=1e-13)
    assert state.log_psi(spins).dtype == rbm.dtype


def test_log_psi_and_look_up_in_one_go(case: tuple[RBM, Any, RBMState]) -> None:
    """The bits of each alone."""
    _, _, state = case
    spins = random_spins(np.random.default_rng(6))
    for both, alone in zip(state.log_psi_and_lookup(spins), (state.log_psi(spins), state.lookup(spins)), strict=True):
        assert both.dtype == alone.dtype and both.flags.c_contiguous
        np.testing.assert_array_equal(both, alone)


def test_ratios_of_a_few_sites_on_many_hidden_units() -> None:
    """Hidden units that are no multiple of the unrolling, pairs in both patterns, the flip of all spins."""
    rng = np.random.default_rng(5)
    for dtype in DTYPES:
        rbm = RBM(translations(9), 3, dtype=dtype)
        state = rbm.at(rbm.initial_parameters(rng))
        spins = random_spins(rng, 9, 16)
        flips = FlipSets.from_lists([[8], [0, 1], [3, 7], range(9)])
        wanted = np.ones((4, 16), dtype=bool)
        expected = reference.ratios(*dense(state), spins, flips, wanted)
        np.testing.assert_allclose(state.ratios(spins, state.lookup(spins), flips, wanted), expected, rtol=1e-12)


def test_parameter_blocks_cover_theta_in_order() -> None:
    rbm, theta, _ = make("translation", np.float64, True)
    assert list(rbm.parameter_blocks) == ["visible_bias", "hidden_bias", "features"]
    assert [shape for _, shape in rbm.parameter_blocks.values()] == [(1,), (2,), (2, N_SITES)]
    joined = np.concatenate([rbm.block(theta, name).ravel() for name in rbm.parameter_blocks])
    np.testing.assert_array_equal(joined, theta)
    assert make("plain", np.float64, True)[0].parameter_blocks["visible_bias"][1] == (N_SITES,)


def test_initial_parameters_have_the_scale_asked_for() -> None:
    rbm = RBM(np.arange(30)[None], 60, dtype=np.complex128, init_scale=0.2)
    theta = rbm.initial_parameters(np.random.default_rng(8))
    n = len(theta)
    for part in (theta.real, theta.imag):
        assert abs(part.mean()) < 4 * 0.2 / np.sqrt(n)
        assert abs(part.std() / 0.2 - 1) < 4 / np.sqrt(2 * n)
    assert abs(np.mean(theta.real * theta.imag)) < 4 * 0.04 / np.sqrt(n)
    np.testing.assert_array_equal(theta, rbm.initial_parameters(np.random.default_rng(8)))


# ---------------------------------------------------------------------------------------------------- Metropolis


def steps(
    rng: np.random.Generator, flips: FlipSets, n_steps: int, width: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    return rng.integers(len(flips), size=n_steps), rng.random((n_steps, width))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_block_is_two_blocks_of_half_the_width(dtype: Any) -> None:
    """To the last bit: ratios, decisions, updated look-ups and derivatives of a walker do not see its neighbours."""
    _, _, state = make("translation", dtype, True)
    rng = np.random.default_rng(12)
    spins, flips = random_spins(rng, width=64), random_flips(rng)
    lookup, wanted = state.lookup(spins), np.ones((len(flips), 64), bool)
    chosen, uniforms = steps(rng, flips, 100, 64)
    halves = [slice(0, 32), slice(32, 64)]
    blocks = [(spins[:, half].copy(), lookup[:, half].copy()) for half in halves]
    whole = state.ratios(spins, lookup, flips, wanted)
    parts = [state.ratios(*block, flips, wanted[:, :32]) for block in blocks]
    np.testing.assert_array_equal(whole, np.concatenate(parts, axis=1))
    conserving = np.zeros(len(flips), bool)
    state.metropolis(spins, lookup, flips, conserving, chosen, uniforms)
    for block, half in zip(blocks, halves, strict=True):
        state.metropolis(*block, flips, conserving, chosen, np.ascontiguousarray(uniforms[:, half]))
    np.testing.assert_array_equal(spins, np.concatenate([block[0] for block in blocks], axis=1))
    np.testing.assert_array_equal(lookup, np.concatenate([block[1] for block in blocks], axis=1))
    derivatives = [state.log_derivatives(*block) for block in blocks]
    np.testing.assert_array_equal(state.log_derivatives(spins, lookup), np.concatenate(derivatives, axis=1))


# ---------------------------------------------------------------------------------------------------- extreme weights


def exact_ratios(state: RBMState, spins: npt.NDArray[np.int8], flips: FlipSets) -> Any:
    """ln |ratio| and the phase of every ratio."""
    here = reference.log_psi(*dense(state), spins)
    rows = [reference.log_psi(*dense(state), reference.flipped(spins, flips[k])) - here for k in range(len(flips))]
    return np.array(rows)


@pytest.mark.parametrize("visible", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_ratios_of_weights_fifty_times_too_large(dtype: Any, visible: bool) -> None:
    """tanh is 1 to the last bit and products overflow, yet every ratio inside the range of float64 is right."""
    rng = np.random.default_rng(13)
    rbm = RBM(translations(24), 4, dtype=dtype, visible_bias=visible, init_scale=50 * 0.05)
    theta = rbm.initial_parameters(rng)
    theta.real = np.abs(theta.real)  # units pull in one direction, so that many spins up mean a huge psi
    state = rbm.at(theta)
    spins, flips = random_spins(rng, 24, 16), random_flips(rng, 24, 12)
    spins[:, 0], spins[::2, 0], spins[:, 1] = 1, -1, 1
    ratios = state.ratios(spins, state.lookup(spins), flips, np.ones((len(flips), 16), bool))
    exact = exact_ratios(state, spins, flips)
    inside = np.abs(exact.real) < 690
    assert inside.mean() > 0.3 and (exact.real > 720).any()
    assert not np.isnan(ratios).any()
    assert np.all(np.isinf(ratios[exact.real > 720])) and np.all(ratios[exact.real < -760] == 0)
    np.testing.assert_allclose(ratios[inside], np.exp(exact[inside]), rtol=1e-10)
    assert np.abs(exact.real[inside]).max() > 300  # beyond plain products


@pytest.mark.parametrize("dtype", DTYPES)
def test_metropolis_of_weights_fifty_times_too_large(dtype: Any) -> None:
    rng = np.random.default_rng(14)
    rbm = RBM(translations(12), 2, dtype=dtype, visible_bias=True, init_scale=50 * 0.05)
    theta = rbm.initial_parameters(rng)
    state = rbm.at(theta)
    spins, flips = random_spins(rng, 12, 16), random_flips(rng, 12, 3)
    chosen, uniforms = steps(rng, flips, 200, 16)
    lookup, copy = state.lookup(spins), spins.copy()
    conserving = np.zeros(len(flips), bool)
    accepted = state.metropolis(spins, lookup, flips, conserving, chosen, uniforms)
    np.testing.assert_array_equal(
        accepted, reference.metropolis(*dense(state), copy, flips, conserving, chosen, uniforms)
    )
    np.testing.assert_array_equal(spins, copy)
    np.testing.assert_array_equal(lookup, state.lookup(spins))
    assert accepted.sum() > 16


def test_saturation_in_mid_sweep_hands_over_without_a_trace() -> None:
    """theta walks from 0 up to 40 and back: an updated tanh alone would stick at 1 for ever."""
    rbm = RBM(np.arange(8)[None], 1, dtype=np.float64)
    theta = np.concatenate([[0.0], np.full(8, 5.0)])
    state = rbm.at(theta)
    spins = np.ones((8, 4), dtype=np.int8)
    spins[::2] = -1
    lookup, copy = state.lookup(spins), spins.copy()
    flips = FlipSets.from_lists([[i] for i in range(8)])
    chosen = np.array([0, 2, 4, 6, 0, 2, 4, 6])
    uniforms = np.zeros((8, 4))
    assert np.all(state.metropolis(spins, lookup, flips, np.zeros(8, bool), chosen, uniforms) == 8)
    np.testing.assert_array_equal(spins, copy)
    np.testing.assert_allclose(lookup, 0.0, atol=1e-15)


def test_a_saturated_walker_has_accurate_ratios() -> None:
    """theta = 20, one flip of weight 20 leads to theta = -20: the ratio is 1, though tanh theta is 1 in float64."""
    rbm = RBM(np.arange(2)[None], 1, dtype=np.float64)
    state = rbm.at(np.array([0.0, 20.0, 1e-3]))
    spins = np.array([[1], [1]], dtype=np.int8)
    flips = FlipSets.from_lists([[0], [0, 1]])
    ratios = state.ratios(spins, state.lookup(spins), flips, np.ones((2, 1), bool))
    np.testing.assert_allclose(ratios[:, 0], [np.exp(-2e-3), 1.0], rtol=1e-13)


def test_a_node_of_psi_is_left_and_never_entered() -> None:
    """b = i pi/2, w = 1: psi(s) ~ sinh(sum s) vanishes at zero magnetisation."""
    rbm = RBM(np.arange(2)[None], 1, dtype=np.complex128)
    state = rbm.at(np.array([0.5j * np.pi, 1.0, 1.0]))
    flips = FlipSets.from_lists([[0], [1]])
    node, away = np.array([[1], [-1]], dtype=np.int8), np.array([[1], [1]], dtype=np.int8)
    assert np.isfinite(state.log_psi(away)).all() and state.log_psi(node).real < -30
    assert np.abs(state.ratios(node, state.lookup(node), flips, np.ones((2, 1), bool))).min() > 1e15
    assert np.abs(state.ratios(away, state.lookup(away), flips, np.ones((2, 1), bool))).max() < 1e-15
    lookup, uniforms = state.lookup(away), np.full((20, 1), 1e-20)
    assert state.metropolis(away, lookup, flips, np.zeros(2, bool), np.arange(20) % 2, uniforms).sum() == 0
    lookup = state.lookup(node)
    assert state.metropolis(node, lookup, flips, np.zeros(2, bool), np.array([0]), np.full((1, 1), 0.5)).sum() == 1
    np.testing.assert_allclose(lookup, state.lookup(node), rtol=1e-12)


def test_a_node_of_all_hidden_units_at_once_overflows_to_infinity_and_is_left() -> None:
    """psi ~ sinh(sum s / 10)^40: leaving zero magnetisation has a ratio of about 10^600."""
    rbm = RBM(translations(40), 1, dtype=np.complex128)
    state = rbm.at(np.concatenate([[0.5j * np.pi], np.full(40, 0.1)]))
    spins = np.ones((40, 3), dtype=np.int8)
    spins[::2] = -1
    flips, wanted = FlipSets.from_lists([[0], [0, 1]]), np.ones((2, 3), bool)
    lookup = state.lookup(spins)
    ratios = state.ratios(spins, lookup, flips, wanted)
    assert not np.isnan(ratios).any() and np.all(np.isinf(ratios[0]))
    accepted = state.metropolis(spins, lookup, flips, np.zeros(2, bool), np.array([0]), np.full((1, 3), 0.9))
    np.testing.assert_array_equal(accepted, 1)
    np.testing.assert_allclose(lookup, state.lookup(spins), rtol=1e-12, atol=1e-12)


def test_large_but_unsaturated_ensembles_use_plain_products() -> None:
    """The random start of a large lattice must not fall back to the slow kernels."""
    rbm = RBM(translations(400), 1, dtype=np.complex128)
    state = rbm.at(rbm.initial_parameters(np.random.default_rng(15)))
    spins = random_spins(np.random.default_rng(16), 400, 8)
    out = np.empty((1, 8, 2))
    arguments = (state._table, state._visible_planes, state._growth, state._largest_growth, spins)
    sets = (np.array([0, 2]), np.array([0, 1]), np.ones((1, 8), bool), out)
    assert fast.ratios(*arguments, state.lookup(spins), *sets)


def test_unusable_parameters_are_refused() -> None:
    rbm = RBM(translations(6), 1, dtype=np.complex128)
    theta = rbm.initial_parameters(np.random.default_rng(17))
    with pytest.raises(NumericalError, match=r"\|Re theta\| of hidden unit \d+ can reach .* the limit is 300"):
        rbm.at(theta + 60)
    with pytest.raises(NumericalError, match=r"\|Im theta\|"):
        rbm.at(theta + 1e6j)


# ---------------------------------------------------------------------------------------------------- config section


class Ring:
    """A stand-in for a lattice."""

    def __init__(self, n_sites: int):
        self.n_sites = n_sites

    def group(self, name: str) -> npt.NDArray[np.int64]:
        groups = {"none": translations(self.n_sites)[:1], "translation": translations(self.n_sites)}
        return groups.get(name, dihedral(self.n_sites))

    def bonds(self) -> npt.NDArray[np.int64]:
        return translations(self.n_sites)[:, :2]


@pytest.mark.parametrize(
    ("alpha", "symmetry", "n_features"), [(2, "translation", 2), (1.5, "none", 15), (4.0, "space", 2)]
)
def test_the_section_builds_the_rbm(alpha: float, symmetry: Any, n_features: int) -> None:
    spec = RBMSpec(kind="rbm", alpha=alpha, symmetry=symmetry, weights="real")
    rbm = spec.build(Ring(10))
    assert (rbm.n_features, rbm.n_hidden, rbm.dtype) == (n_features, alpha * 10, np.float64)
    assert "visible_bias" not in rbm.parameter_blocks


@pytest.mark.parametrize(("alpha", "symmetry"), [(1.5, "translation"), (1, "space"), (0.25, "none")])
def test_a_density_that_gives_no_whole_feature_is_refused(alpha: float, symmetry: Any) -> None:
    with pytest.raises(KeyProblem, match=r"ansatz.alpha = .*positive multiple of .*10 sites"):
        RBMSpec(kind="rbm", alpha=alpha, symmetry=symmetry).build(Ring(10))


def test_every_key_of_the_section_is_described() -> None:
    assert RBMSpec in section_classes(AnsatzSpec)
    assert all(meaning(RBMSpec, name) for name in RBMSpec.model_fields)
