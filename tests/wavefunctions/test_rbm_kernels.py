"""Every compiled kernel of the RBM against plain numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pvmc.spins.flips import FlipSets
from pvmc.wavefunctions import log_derivatives
from pvmc.wavefunctions.rbm import RBM, RBMState, extended, hidden_units, patterns
from tests.wavefunctions import plain_rbm as reference

WIDTH = 5  # no multiple of a vector
DTYPES = [np.float64, np.complex128]


def rbm_state(dtype: Any, n_features: int = 7) -> tuple[RBMState, Any]:
    """A plain RBM on four sites, with a number of hidden units that is no multiple of the unrolling."""
    rng = np.random.default_rng(3)
    rbm = RBM(np.arange(4)[None], n_features, dtype=dtype, visible_bias=True, init_scale=0.4)
    spins = rng.choice(np.array([-1, 1], dtype=np.int8), size=(4, WIDTH))
    spins[:, 1], spins[:, 2] = spins[:, 0], -spins[:, 0]
    return rbm.at(rbm.initial_parameters(rng)), spins


def planes(values: Any) -> Any:
    """(n_planes, ...) of float64."""
    return np.array([values.real, values.imag]) if np.iscomplexobj(values) else values[None]


def joined(values: Any) -> Any:
    return values[0] + 1j * values[1] if len(values) == 2 else values[0]


SETS = [np.array([2]), np.array([0, 3]), np.array([0, 1, 2, 3])]


@pytest.mark.parametrize("sites", SETS, ids=len)
@pytest.mark.parametrize("dtype", DTYPES)
def test_compose_rows(dtype: Any, sites: Any) -> None:
    state, spins = rbm_state(dtype)
    rows = hidden_units.new_pattern(state._table.shape[2], 7)
    for lane in range(WIDTH):
        patterns.compose_rows(state._table, spins, sites, lane, rows)
        shift = 2 * state.weights[:, sites] @ spins[sites, lane]
        np.testing.assert_allclose(joined(rows[0, :, :7]), np.cosh(shift), rtol=1e-14)
        np.testing.assert_allclose(joined(rows[1, :, :7]), np.sinh(shift), rtol=1e-13, atol=1e-15)
        np.testing.assert_array_equal(rows[2], -rows[1])
        np.testing.assert_array_equal(joined(rows[0, :, 7:]), 1.0)
        np.testing.assert_array_equal(joined(rows[1, :, 7:]), 0.0)


@pytest.mark.parametrize("sites", SETS, ids=len)
def test_relative_signs(sites: Any) -> None:
    _, spins = rbm_state(np.float64)
    sign = np.empty(WIDTH)
    for lane in range(WIDTH):
        patterns.relative_signs(spins, sites, lane, sign)
        part = spins[sites]
        same = (part == part[:, lane : lane + 1]).all(axis=0)
        opposite = (part == -part[:, lane : lane + 1]).all(axis=0)
        np.testing.assert_array_equal(sign, same * 1.0 - opposite * 1.0)


def pattern_and_walkers(shift: Any, theta: Any) -> tuple[Any, Any]:
    """Rows of C, S and -S for the given D, (M,), and T = tanh theta of walkers, theta (M, L)."""
    n_hidden, width = theta.shape
    n_planes = len(planes(shift))
    rows, tanh = hidden_units.new_pattern(n_planes, n_hidden), hidden_units.new_walkers(width, n_planes, n_hidden)
    rows[0, :, :n_hidden], rows[1, :, :n_hidden] = planes(np.cosh(shift)), planes(np.sinh(shift))
    rows[2] = -rows[1]
    hidden_units.read_lookup(np.concatenate(list(planes(np.tanh(theta)))), tanh)
    return rows, tanh


@pytest.mark.parametrize("n_hidden", [1, 4, 8, 11, 16, 33, 70])
@pytest.mark.parametrize("dtype", DTYPES)
def test_products_and_updates(dtype: Any, n_hidden: int) -> None:
    rng = np.random.default_rng(4)
    shift, theta = 0.5 * rng.normal(size=n_hidden), rng.normal(size=(n_hidden, WIDTH))
    if dtype == np.complex128:
        shift, theta = shift + 0.5j * rng.normal(size=n_hidden), theta + 1j * rng.normal(size=theta.shape)
    rows, tanh = pattern_and_walkers(shift, theta)
    before = tanh.copy()
    for walker in range(WIDTH):
        way = 1 + walker % 2
        moved = theta[:, walker] - shift * (-1) ** (way - 1)
        beside = (walker + 1) % WIDTH
        expected = [
            (np.cosh(theta[:, w] - shift * (-1) ** (way - 1)) / np.cosh(theta[:, w])).prod() for w in (walker, beside)
        ]
        for one, other in zip(hidden_units.ratio_pair(rows, way, before, walker, beside), expected, strict=True):
            assert complex(*one) == pytest.approx(complex(other), rel=1e-11)
        assert hidden_units.update(rows, way, tanh, walker)
        np.testing.assert_allclose(joined(tanh[walker, :, :n_hidden]), np.tanh(moved), rtol=1e-11, atol=1e-12)
        np.testing.assert_array_equal(tanh[walker, :, n_hidden:], 0.0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [1, 3, 8, 17])
def test_the_look_up_comes_back(dtype: Any, width: int) -> None:
    n_planes = 2 if dtype == np.complex128 else 1
    lookup = np.random.default_rng(5).normal(size=(n_planes * 11, width))
    tanh, back = hidden_units.new_walkers(width, n_planes, 11), np.empty_like(lookup)
    hidden_units.read_lookup(lookup, tanh)
    np.testing.assert_array_equal(tanh[0, :, :11].reshape(-1), lookup[:, 0])
    hidden_units.write_lookup(tanh, back)
    np.testing.assert_array_equal(back, lookup)


@pytest.mark.parametrize("dtype", DTYPES)
def test_updates_report_what_they_cannot_do(dtype: Any) -> None:
    """A walker at a node of psi, where C - T S vanishes; one that saturates; and one that does neither."""
    for tanh_before, cosh, sinh, fine in ((2.0, 2.0, 1.0, False), (0.0, np.cosh(15.0), np.sinh(15.0), False)):
        rows, tanh = pattern_and_walkers(np.zeros(3, dtype=dtype), np.zeros((3, 2), dtype=dtype))
        rows[0, 0, 1], rows[1, 0, 1], rows[2, 0, 1] = cosh, sinh, -sinh
        tanh[0, 0, 1] = tanh_before
        assert hidden_units.update(rows, 1, tanh, 0) is fine
        rows[0, 0, 1], rows[1, 0, 1], rows[2, 0, 1] = np.cosh(0.3), np.sinh(0.3), -np.sinh(0.3)
        assert hidden_units.update(rows, 1, tanh, 1)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_gap_is_the_distance_from_saturation(dtype: Any) -> None:
    theta = np.array([[0.1, 3.0, 12.0, -30.0], [0.5, -2.0, 1.0, 0.0]]).astype(dtype)
    if dtype == np.complex128:
        theta[0] += 0.3j
    lookup, gap = np.concatenate(list(planes(np.tanh(theta)))), np.empty(4)
    hidden_units.measure_gap(lookup, len(lookup) // 2, gap)
    expected = np.maximum(np.abs(1 - np.abs(np.tanh(theta).real)), np.abs(np.tanh(theta).imag)).min(axis=0)
    np.testing.assert_allclose(gap, np.minimum(expected, 1.0), atol=1e-16)
    np.testing.assert_array_equal(gap > hidden_units.SMALLEST_GAP, [True, True, False, False])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("order", "n_sites", "n_features", "width"),
    [
        (1, 6, 2, 1),
        (3, 6, 2, 7),
        (8, 6, 1, log_derivatives.LANES),
        (8, 4, 3, 2 * log_derivatives.LANES + 5),
        (5, 1, 3, 33),
        (4, log_derivatives.SITES, 1, 2),
        (7, 2 * log_derivatives.SITES + 3, 4, log_derivatives.LANES + 1),
    ],
)
def test_feature_derivatives(dtype: Any, order: int, n_sites: int, n_features: int, width: int) -> None:
    """Also where the group, the sites, the features and the walkers do not fill the kernel's packed rows."""
    rng = np.random.default_rng(5)
    permutations = np.array([rng.permutation(n_sites) for _ in range(order)])
    spins = rng.choice(np.array([-1, 1], dtype=np.int8), size=(n_sites, width))
    tanh = rng.normal(size=(n_features * order, width)).astype(dtype)
    if dtype == np.complex128:
        tanh += 1j * rng.normal(size=tanh.shape)
    large = np.full((n_features * n_sites + 1, 2, width + 1), 7.0, dtype=dtype)  # writing beside ``out`` would show
    out = large[:-1, 1, :-1]
    view = large.view(np.float64).reshape(*large.shape, -1)[:-1, 1, :-1]
    log_derivatives.feature_derivatives(np.concatenate(list(planes(tanh))), spins.astype(float), permutations, view)
    np.testing.assert_allclose(out, reference.feature_derivatives(tanh, permutations, spins), rtol=1e-13, atol=1e-14)
    out[:] = 7.0
    np.testing.assert_array_equal(large, 7.0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_feature_derivatives_depend_on_no_other_walker(dtype: Any) -> None:
    """The same bits in blocks of any width and at any place, also as columns of a larger array."""
    rng = np.random.default_rng(6)
    n_planes, width = (2 if dtype == np.complex128 else 1), 3 * log_derivatives.LANES + 2
    permutations = np.array([rng.permutation(11) for _ in range(7)])
    spins, lookup = rng.choice([-1.0, 1.0], size=(11, width)), rng.normal(size=(n_planes * 3 * 7, width))
    whole = np.empty((3 * 11, width, n_planes))
    log_derivatives.feature_derivatives(lookup, spins, permutations, whole)
    for start, stop in ((0, 1), (1, 4), (5, 5 + log_derivatives.LANES), (3, width), (width - 1, width)):
        for copied in (True, False):
            part = lookup[:, start:stop], spins[:, start:stop]
            alone = np.empty((3 * 11, stop - start, n_planes))
            log_derivatives.feature_derivatives(*(x.copy() if copied else x for x in part), permutations, alone)
            np.testing.assert_array_equal(alone, whole[:, start:stop])


@pytest.mark.parametrize("dtype", DTYPES)
def test_lookup(dtype: Any) -> None:
    state, spins = rbm_state(dtype)
    expected = reference.lookup(state.weights, state.hidden_biases, spins)
    np.testing.assert_allclose(state.lookup(spins), expected, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("dtype", DTYPES)
def test_extended_kernels_agree_with_plain_products_at_ordinary_weights(dtype: Any) -> None:
    state, spins = rbm_state(dtype)
    n_planes = 2 if dtype == np.complex128 else 1
    offsets, sites = np.array([0, 1, 3, 7]), np.concatenate(SETS)
    wanted = np.random.default_rng(3).random((3, WIDTH)) < 0.8
    slow, plain = np.full((3, WIDTH, n_planes), np.nan), np.full((3, WIDTH, n_planes), np.nan)
    extended.ratios(*state._extended_arguments(spins), offsets, sites, wanted, slow)
    tables = (state._table, state._visible_planes, state._growth, state._largest_growth)
    assert patterns.ratios(*tables, spins, state.lookup(spins), offsets, sites, wanted, plain)
    np.testing.assert_allclose(slow @ [1, 1j][:n_planes], plain @ [1, 1j][:n_planes], rtol=1e-13)
    assert not slow[~wanted].any() and not plain[~wanted].any()


@pytest.mark.parametrize("first", [0.5, -0.5, 0.0])
@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("dtype", DTYPES)
def test_plain_ratios_with_an_infinity_or_a_nan_before_finite_ones_are_refused(
    dtype: Any, sign: float, first: float
) -> None:
    """One unit on two sites: a walker's ratio is C - T S, C and S beyond float64 for equal spins, +-1 and 0 for unequal
    ones.  T = -0.5 makes it infinite, 0.5 and 0 leave no number."""
    spins, sites, wanted = np.array([[1, 1], [1, -1]], dtype=np.int8), np.array([0, 1]), np.ones((1, 2), bool)
    n_planes = len(planes(dtype(0)))
    for order in (slice(None), slice(None, None, -1)):
        lookup = np.concatenate(list(planes(np.array([[first, 0.5]], dtype=dtype)))).copy()
        for large, trusted in ((1e100, True), (1e200, False)):
            table = np.zeros((2, 2, n_planes, 1))
            table[:, 0, 0], table[:, 1, 0] = large, 1 / large
            table[1] *= sign
            out = np.full((1, 2, n_planes), np.nan)
            arguments = (np.zeros((2, n_planes)), np.zeros(2), 1.0, spins[:, order].copy(), lookup[:, order].copy())
            assert patterns.ratios(table, *arguments, np.array([0, 2]), sites, wanted, out) == trusted
            assert out[0, order][1, 0] == sign


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_pairs", [1, 3, 11, 4500])
def test_products_that_leave_the_range_of_float64_on_the_way_come_back(n_pairs: int, dtype: Any) -> None:
    """Units with weights (w, v) first, those with (-w, v) last: flipping the first site changes psi by cosh(v - w)/
    cosh(v + w) for each of the former and by the inverse for each of the latter, however many there are between.

    One more unit makes the ratio cosh(1.7)/cosh(0.3) = 2.70704...; 9001 units are more than one run of products.
    """
    rng = np.random.default_rng(n_pairs)
    w, v = rng.uniform(50, 120, n_pairs), rng.uniform(-150, 150, n_pairs)
    if dtype == np.complex128:
        w, v = w + 1j * rng.uniform(-3, 3, n_pairs), v + 1j * rng.uniform(-3, 3, n_pairs)
    features = np.stack([np.concatenate([w, [-0.7], -w]), np.concatenate([v, [1.0], v])], axis=1).astype(dtype)
    rbm = RBM(np.arange(2)[None], 2 * n_pairs + 1, dtype=dtype)
    state = rbm.at(np.concatenate([np.zeros(2 * n_pairs + 1), features.ravel()]).astype(dtype))
    spins, flips = np.array([[1, -1], [1, -1]], dtype=np.int8), FlipSets.from_lists([[0]])
    expected = np.cosh(1.7) / np.cosh(0.3)
    ratios = state.ratios(spins, state.lookup(spins), flips, np.ones((1, 2), bool))
    np.testing.assert_allclose(ratios, expected, rtol=1e-9)
    # There and back by Metropolis steps, of which the second has the inverse ratio.
    chosen, uniforms = np.array([0, 0]), np.array([[0.9, 0.9], [0.99, 1.01]]) * np.array([[1.0], [expected**-2]])
    accepted = state.metropolis(spins, state.lookup(spins), flips, np.zeros(1, bool), chosen, uniforms)
    assert accepted.tolist() == [2, 1] and spins.tolist() == [[1, 1], [1, -1]]


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_uniform_of_infinity_accepts_nothing(dtype: Any) -> None:
    """Of weights small and large: a walker that is not to move in this step."""
    for scale in (1.0, 60.0):
        rbm = RBM(np.arange(8)[None], 6, dtype=dtype, init_scale=0.1 * scale)
        state = rbm.at(rbm.initial_parameters(np.random.default_rng(1)))
        spins = (1 - 2 * np.random.default_rng(2).integers(0, 2, (8, WIDTH))).astype(np.int8)
        before, flips = spins.copy(), FlipSets.from_lists([[0], [1, 2]])
        uniforms = np.full((2, WIDTH), np.inf)
        uniforms[:, 1] = 0.0
        accepted = state.metropolis(spins, state.lookup(spins), flips, np.zeros(2, bool), np.array([0, 1]), uniforms)
        assert accepted.tolist() == [0, 2, 0, 0, 0]
        np.testing.assert_array_equal(np.delete(spins, 1, axis=1), np.delete(before, 1, axis=1))


def test_probabilities_keep_relative_precision() -> None:
    theta = np.array([0.3 + 0.2j, -250.0 + 1j, 250.0 - 2j, 1e-9 - 1j, -3.0 + 40.0j, 0.5j * np.pi])
    planes = extended.probabilities(np.stack([theta.real, theta.imag])[:, None].reshape(2, -1), 2)
    p, q = planes[0] + 1j * planes[1], planes[2] + 1j * planes[3]
    with np.errstate(over="ignore"):
        expected = 1 / (1 + np.exp(-2 * theta)), 1 / (1 + np.exp(2 * theta))
    np.testing.assert_allclose(p[:5], expected[0][:5], rtol=2e-15)
    np.testing.assert_allclose(q[:5], expected[1][:5], rtol=2e-15)
    np.testing.assert_allclose((p + q)[:5], 1.0, rtol=1e-15)
    assert np.isfinite([p, q]).all()
    real = extended.probabilities(theta.real[None], 1)
    np.testing.assert_allclose(real, [1 / (1 + np.exp(-2 * theta.real)), 1 / (1 + np.exp(2 * theta.real))], rtol=2e-15)


def test_unscaled_values_overflow_to_infinity_and_never_to_nan() -> None:
    assert extended.unscaled(1.5, 0.0, 512) == (1.5 * 2.0**512, 0.0)
    assert extended.unscaled(1.5, -1.0, -1060) == (1.5 * 2.0**-1060, -(2.0**-1060))
    for power in (1200, 2**40):
        assert extended.unscaled(1.5, 0.0, power) == (np.inf, 0.0)
        assert extended.unscaled(1.5, -2.0, -power) == (0.0, 0.0)
