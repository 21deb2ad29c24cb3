"""A feed-forward net as a part of products and projections: ratios, walks and derivatives of the whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pvmc.lattice import chain
from pvmc.spins.flips import FlipSets
from pvmc.wavefunctions import Jastrow, Product, Projected
from pvmc.wavefunctions.base import Ansatz
from pvmc.wavefunctions.composite import move
from pvmc.wavefunctions.contract import _OnlyLogPsi, check_ansatz, failed, table
from pvmc.wavefunctions.feedforward import FeedForward
from pvmc.wavefunctions.projection.quantum_numbers import QuantumNumbers

RING = chain(6)
FLIPS = FlipSets.from_lists([[i] for i in range(6)] + [[i, (i + 1) % 6] for i in range(6)] + [[0, 2, 3, 5]])
WEIGHTS = ("complex", "real", "amplitude_phase")


def net(weights: Any, symmetry: str = "none", scale: float = 0.8) -> FeedForward:
    return FeedForward(RING.group(symmetry), (5, 3), ("lncosh", "tanh"), weights=weights, init_scale=scale)


def product(weights: Any) -> Product:
    dtype = np.complex128 if weights == "complex" else np.float64
    return Product([net(weights, "translation"), Jastrow(RING.group("none"), dtype=dtype, one_body=True)])


def projected(weights: Any) -> Projected:
    return Projected(net(weights), QuantumNumbers(momentum=[1], spin_flip=-1).group(RING))


def symmetric_and_projected(weights: Any) -> Projected:
    return Projected(net(weights, "translation"), QuantumNumbers(momentum=[0], parity=1).group(RING))


def projected_product(weights: Any) -> Projected:
    return Projected(product(weights), QuantumNumbers(spin_flip=1).group(RING))


def product_of_projections(weights: Any) -> Product:
    return Product([projected(weights), symmetric_and_projected(weights)])


every_whole = pytest.mark.parametrize(
    "make", [product, projected, symmetric_and_projected, projected_product, product_of_projections]
)
every_weights = pytest.mark.parametrize("weights", WEIGHTS)


def random_spins(rng: np.random.Generator, width: int = 24) -> Any:
    return rng.choice(np.array([-1, 1], dtype=np.int8), size=(6, width))


@every_weights
@every_whole
def test_contract(make: Any, weights: Any) -> None:
    checks = check_ansatz(make(weights))
    assert not list(failed(checks)), table(checks)


@every_weights
@every_whole
def test_the_walk_is_that_of_log_psi(make: Any, weights: Any) -> None:
    ansatz: Ansatz = make(weights)
    state = ansatz.at(ansatz.initial_parameters(np.random.default_rng(2)))
    rng = np.random.default_rng(3)
    spins = random_spins(rng)
    conserving = np.array([False] * 6 + [True] * 7)
    chosen, uniforms = rng.integers(0, len(FLIPS), 60), rng.random((60, 24))
    judge, expected = _OnlyLogPsi(state), spins.copy()
    counted = judge.metropolis(expected, judge.lookup(expected), FLIPS, conserving, chosen, uniforms)
    accepted = state.metropolis(spins, state.lookup(spins), FLIPS, conserving, chosen, uniforms)
    np.testing.assert_array_equal(spins, expected)
    np.testing.assert_array_equal(accepted, counted)
    assert accepted.any() and np.any(accepted < 60)


class _WithoutMove:
    """A wave function that keeps its ``move`` to itself."""

    def __init__(self, psi: Any):
        self.metropolis = psi.metropolis


@every_weights
@pytest.mark.parametrize("symmetry", ["none", "translation"])
def test_a_move_flips_the_accepting_walkers_and_no_others(weights: Any, symmetry: str) -> None:
    """By ``move``, and by Metropolis steps with uniforms of -1, which is what other wave functions get."""
    ansatz = net(weights, symmetry)
    state = ansatz.at(ansatz.initial_parameters(np.random.default_rng(4)))
    rng = np.random.default_rng(5)
    for k in range(len(FLIPS)):
        before = random_spins(rng)
        accept = rng.random(24) < 0.5
        assert accept.any() and not accept.all()
        after = before.copy()
        after[np.ix_(FLIPS[k], np.flatnonzero(accept))] *= -1
        for psi in (state, _WithoutMove(state)):
            spins, lookup = before.copy(), state.lookup(before)
            kept = lookup[:, ~accept].copy()
            move(psi, spins, lookup, FLIPS, k, accept)
            np.testing.assert_array_equal(spins, after)
            np.testing.assert_array_equal(lookup[:, ~accept], kept)
            np.testing.assert_allclose(lookup, state.lookup(after), rtol=0, atol=1e-12)


@every_weights
def test_a_move_of_nobody_changes_nothing(weights: Any) -> None:
    ansatz = net(weights)
    state = ansatz.at(ansatz.initial_parameters(np.random.default_rng(4)))
    spins = random_spins(np.random.default_rng(6))
    lookup, before = state.lookup(spins), spins.copy()
    expected = lookup.copy()
    state.move(spins, lookup, FLIPS[0], np.zeros(24, dtype=np.bool_))
    np.testing.assert_array_equal(spins, before)
    np.testing.assert_array_equal(lookup, expected)


@every_weights
def test_ratios_of_the_whole_where_the_net_is_far_out_of_range(weights: Any) -> None:
    """Nets whose logarithms differ by hundreds: ratios of the whole stay those of ln psi, never NaN.

    With all characters 1 no configuration is an exact node, where a ratio would be one of rounding errors.
    """
    ansatz = Projected(net(weights), QuantumNumbers(momentum=[0], spin_flip=1).group(RING))
    theta = 200.0 * ansatz.initial_parameters(np.random.default_rng(7))
    state = ansatz.at(theta)
    spins = random_spins(np.random.default_rng(8))
    wanted = np.ones((len(FLIPS), 24), dtype=np.bool_)
    ratios = state.ratios(spins, state.lookup(spins), FLIPS, wanted)
    expected = _OnlyLogPsi(state).ratios(spins, _OnlyLogPsi(state).lookup(spins), FLIPS, wanted)
    assert not np.isnan(ratios).any()
    assert np.ptp(state.log_psi(spins).real) > 100
    np.testing.assert_allclose(ratios, expected, rtol=1e-7, atol=1e-12)
