"""Mean field, Jastrow, products, a formula alone and outer products: their definitions, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pvmc.lattice import chain
from pvmc.spins.flips import FlipSets
from pvmc.wavefunctions import RBM, Jastrow, MeanField, Product
from pvmc.wavefunctions.fallback import FormulaAnsatz, exponential
from pvmc.wavefunctions.log_derivatives import factor_rows_of, factors_of, multiplied_out, n_rows, outer, outer_rows
from pvmc.wavefunctions.symmetry import claimed_symmetry, site_orbits
from pvmc.wavefunctions.vectors import batched_log_psi
from tests.wavefunctions.states import (
    DTYPES,
    N_SITES,
    RING,
    STATES,
    WIDTH,
    Pairs,
    net,
    random_flips,
    random_spins,
    random_state,
    rbm,
)

PLAIN = RING.group("none")


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


def test_batches_do_not_change_ratios(rng: np.random.Generator) -> None:
    state = random_state(FormulaAnsatz(Pairs(np.complex128), N_SITES))
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
    ansatz = STATES["complex rbm x jastrow"]()
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


# Outer products -------------------------------------------------------------------------------------------------------


def test_those_of_an_rbm_are_tanh_and_spins() -> None:
    ansatz = rbm(complex, visible=True)
    psi, spins = random_state(ansatz), random_spins(np.random.default_rng(3))
    visible, hidden, weights = psi.derivative_factors(spins, psi.lookup(spins))
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


def test_factors_of_one_unit_or_of_shared_weights_are_not_offered() -> None:
    single = [rbm_of_one_unit := RBM(PLAIN, 1, dtype=float), net("real", "none", (1,), ("lncosh",))]
    for ansatz in (*single, Product([MeanField(PLAIN, dtype=float), rbm_of_one_unit])):
        assert factors_of(random_state(ansatz)) is None and factor_rows_of(ansatz) is None
    for ansatz in (rbm(complex, "translation"), net("complex", "translation")):
        psi, spins = random_state(ansatz), random_spins(np.random.default_rng(3))
        with pytest.raises(ValueError, match="symmetries"):
            psi.derivative_factors(spins, psi.lookup(spins))


def test_orbits_are_numbered_by_their_first_sites() -> None:
    """The order of the parameters in files."""
    assert site_orbits(np.array([[0, 1, 2, 3], [3, 1, 2, 0]])).tolist() == [0, 1, 2, 0]


def test_no_configurations_have_no_logarithms() -> None:
    psi = MeanField(chain(4).group("translation"), dtype=float).at(np.zeros(1))
    assert batched_log_psi(psi, np.zeros((4, 0), dtype=np.int8)).shape == (0,)


def test_flips_change_a_real_rbm_by_no_more_than_their_bound(rng: np.random.Generator) -> None:
    rbm = RBM(np.arange(4)[None], 3, dtype=float)
    psi = rbm.at(rng.normal(size=rbm.n_parameters) - 0.5)
    spins = rng.choice(np.array([-1, 1], dtype=np.int8), size=(4, 50))
    for site, bound in enumerate(psi._growth):
        flipped = spins.copy()
        flipped[site] *= -1
        assert np.abs(psi.log_psi(flipped) - psi.log_psi(spins)).max() <= bound
