"""Special functions, and vectors in registers, against extended precision and plain numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pvmc.numerics import simd
from pvmc.numerics.kernels import kernel
from pvmc.numerics.special import (
    LARGEST_IMAGINARY_PART,
    expm1,
    exponential,
    sine_cosine_products,
    sum_log_two_cosh,
    tanh_in_place,
)

DTYPES = [np.float64, np.complex128]


def angles() -> Any:
    """Angles from 1e-12 to 200 in both signs, and next to zero."""
    rng = np.random.default_rng(1)
    sizes = np.concatenate([10.0 ** rng.uniform(-12, 2.3, 20_000), rng.uniform(0, 25, 20_000), [0.0, 1e-300]])
    return sizes * rng.choice([-1.0, 1.0], sizes.shape)


def test_expm1_and_sine_cosine_products() -> None:
    values = angles()
    ours = np.array([expm1(x) for x in values])
    exact = np.expm1(values.astype(np.longdouble))
    assert np.abs((ours - exact)[exact != 0] / exact[exact != 0]).max() < 1e-15
    pairs = np.array([sine_cosine_products(y) for y in values * 100])
    y = (values * 100).astype(np.longdouble)
    assert np.abs(pairs[:, 0] - np.sin(y) * np.cos(y)).max() < 4e-16
    assert np.abs(pairs[:, 1] - np.cos(y) ** 2).max() < 4e-16


def test_real_tanh() -> None:
    theta = angles().reshape(-1, 2)
    exact = np.tanh(theta.astype(np.longdouble))
    tanh_in_place(theta, 1)
    assert np.abs(theta - exact).max() < 2e-15
    relative = (theta - exact)[exact != 0] / exact[exact != 0]
    assert np.abs(relative).max() < 2e-15


def long_tanh(x: Any, y: Any) -> Any:
    """tanh(x + iy) in extended precision."""
    x, y = x.astype(np.longdouble), y.astype(np.longdouble)
    below = np.sinh(x) ** 2 + np.cos(y) ** 2
    return np.sinh(x) * np.cosh(x) / below, np.sin(y) * np.cos(y) / below


def test_complex_tanh() -> None:
    rng = np.random.default_rng(2)
    x, y = angles().reshape(-1, 2), rng.permutation(angles()).reshape(-1, 2)
    real, imaginary = long_tanh(x, y)
    theta = np.concatenate([x, y])
    tanh_in_place(theta, 2)
    size = np.maximum(1.0, np.hypot(real, imaginary))
    # next to a pole the rounding of pi/2 in theta itself is magnified by |tanh|
    assert (np.abs(theta[: len(x)] - real) / size**2).max() < 2e-15
    assert (np.abs(theta[len(x) :] - imaginary) / size**2).max() < 2e-15
    ordinary = size < 2
    assert ordinary.mean() > 0.5
    assert np.abs(theta[: len(x)] - real)[ordinary].max() < 2e-15


def test_complex_tanh_next_to_its_poles() -> None:
    """Finite at the float64 nearest to i pi/2, and tanh ~ 1/(theta - i pi/2) around it."""
    offsets = np.array([[0.0, 1e-14, 1e-8, -1e-4]])
    theta = np.concatenate([offsets, np.full((1, 4), 0.5 * np.pi)])
    real, imaginary = long_tanh(theta[:1], theta[1:])
    tanh_in_place(theta, 2)
    assert np.isfinite(theta).all() and abs(theta[1, 0]) > 1e16
    np.testing.assert_allclose(theta[0], real[0].astype(float), rtol=1e-12)
    np.testing.assert_allclose(theta[1, :1], imaginary[0, :1].astype(float), rtol=1e-12)


OVERFLOWING = [354.0, 355.5, 356.0, 357.0, 710.0, 711.0, 1e4, 1e154, 1e300]
"""|Re theta| around and beyond the one where sinh(2x) and cosh(2x) overflow, and their quotient is NaN."""


@pytest.mark.parametrize("y", [0.0, 0.3, 0.5 * np.pi, -2.0, 1e3])
def test_complex_functions_where_the_textbook_formula_overflows(y: float) -> None:
    """tanh = +-1 to the last bit, ln 2cosh = |x| + i sign(x) y; the textbook's tanh is NaN from 355.3 on."""
    x = np.array([OVERFLOWING + [-value for value in OVERFLOWING]])
    with np.errstate(over="ignore", invalid="ignore"):
        textbook = np.sinh(2 * x) / (np.cosh(2 * x) + np.cos(2 * y))
    assert np.isnan(textbook).sum() == 2 * (len(OVERFLOWING) - 1)
    theta = np.concatenate([x, np.full_like(x, y)])
    tanh_in_place(theta, 2)
    np.testing.assert_array_equal(theta[0], np.sign(x[0]))
    assert np.abs(theta[1]).max() < 1e-15
    for value, real in zip(x.T, x[0], strict=True):
        if abs(real) < 1e15:  # a larger one has no room for the phase's digits anyway
            total = sum_log_two_cosh(np.concatenate([[value], [[y]]]), 2)[0]
            assert total.real == pytest.approx(abs(real), rel=1e-15)
            assert phases_apart(total.imag, np.sign(real) * y) < 1e-12
    alone = x[0].copy()[None]
    tanh_in_place(alone, 1)
    np.testing.assert_array_equal(alone, np.sign(x))


# ln 2cosh -------------------------------------------------------------------------------------------------------------

LONG_TWO_PI = 2 * np.arctan2(np.longdouble(0), np.longdouble(-1))


def long_log_two_cosh(x: Any, y: Any) -> tuple[Any, Any]:
    """ln 2cosh(x + iy) in extended precision, real and imaginary part, from cosh x cos y and sinh x sin y."""
    x, y = x.astype(np.longdouble), y.astype(np.longdouble)
    fall = -np.expm1(-2 * np.abs(x))  # 2 sinh|x| e^-|x|, and 2 cosh x e^-|x| is 2 - fall
    real, imaginary = (2 - fall) * np.cos(y), np.copysign(fall, x) * np.sin(y)
    return np.abs(x) + np.log(np.hypot(real, imaginary)), np.arctan2(imaginary, real)


def phases_apart(one: Any, other: Any) -> Any:
    """The distance of two phases, modulo 2 pi."""
    difference = one - other
    return np.abs(difference - LONG_TWO_PI * np.round(difference / LONG_TWO_PI))


def assert_log_two_cosh(x: Any, y: Any, tolerance: float) -> None:
    """The sum over the first axis of x and y, (M, L), within M times a tolerance; of one term relative from 1 on."""
    value = sum_log_two_cosh(np.concatenate([x, y]), 2)
    real, imaginary = long_log_two_cosh(x, y)
    size = (np.maximum(1.0, np.abs(part[0])) if len(x) == 1 else len(x) for part in (real, y))
    apart = np.abs(value.real - real.sum(axis=0)), phases_apart(value.imag, imaginary.sum(axis=0))
    for error, limit in zip(apart, size, strict=True):
        assert (error / limit).max() < tolerance


def test_real_log_two_cosh() -> None:
    x = angles()
    exact = np.logaddexp(x.astype(np.longdouble), -x.astype(np.longdouble))
    assert (np.abs(sum_log_two_cosh(x[None], 1) - exact) / np.maximum(1.0, exact)).max() < 1e-15


def test_complex_log_two_cosh() -> None:
    """Anywhere, and next to the zeros of cosh, on both sides of the imaginary axis."""
    rng = np.random.default_rng(3)
    assert_log_two_cosh(angles()[None], rng.permutation(angles())[None], 1e-15)
    x = 10.0 ** rng.uniform(-20, 0, 20_000) * rng.choice([-1.0, 1.0], 20_000)
    y = (rng.integers(-50, 50, x.shape) + 0.5) * np.pi * (1.0 + 10.0 ** rng.uniform(-16, -1, x.shape))
    assert_log_two_cosh(x[None], y[None], 1e-15)


@pytest.mark.parametrize("x", [0.0, 1e-17, -1e-10])
def test_log_two_cosh_at_the_angles_closest_to_a_zero(x: float) -> None:
    """The float64 next to each odd multiple of pi/2 that the reduction is made for: finite at all of them."""
    half_pi = 0.25 * LONG_TWO_PI
    y = np.append(np.arange(1, int(LARGEST_IMAGINARY_PART / half_pi) + 1, 2) * half_pi, 45.553093477052).astype(
        np.float64
    )
    assert np.cos(y.astype(np.longdouble)).min() < 1e-18, "29 pi/2 has a neighbour very close by"
    assert_log_two_cosh(np.full((1, len(y)), x), y[None], 1e-15)


@pytest.mark.parametrize("n_hidden", [1, 7, 8, 9, 64, 640])
@pytest.mark.parametrize("dtype", DTYPES)
def test_sums_of_log_two_cosh(dtype: Any, n_hidden: int) -> None:
    """Of many units; in the complex case also with a third of them on zeros of cosh."""
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(2, n_hidden, 11))
    if dtype == np.float64:
        exact = np.logaddexp(x.astype(np.longdouble), -x.astype(np.longdouble)).sum(axis=0)
        np.testing.assert_allclose(sum_log_two_cosh(x, 1), exact.astype(float), rtol=1e-14)
        return
    assert_log_two_cosh(x, y, 1e-14)
    x[: -(-n_hidden // 3)], y[: -(-n_hidden // 3)] = 0.0, 0.5 * np.pi
    assert_log_two_cosh(x, y, 1e-14)


@pytest.mark.parametrize("n_hidden", [1, 700])
def test_log_two_cosh_of_a_product_out_of_the_range_of_numbers(n_hidden: int) -> None:
    """All units at the float64 nearest to i pi/2: |psi| of 1e-11000 is no zero."""
    distance = 6.123233995736766e-17  # pi/2 less its float64
    theta = np.zeros((2 * n_hidden, 3))
    theta[n_hidden:] = 0.5 * np.pi
    value = sum_log_two_cosh(theta, 2)
    np.testing.assert_allclose(value.real, n_hidden * np.log(2.0 * distance), rtol=1e-14)
    assert phases_apart(value.imag, 0.0).max() < 1e-13 * n_hidden


@pytest.mark.parametrize("dtype", DTYPES)
def test_log_two_cosh_depends_on_no_other_walker(dtype: Any) -> None:
    """The same bits in blocks of any width and at any place, also as columns of a larger array."""
    rng = np.random.default_rng(5)
    n_planes, width = (2 if dtype == np.complex128 else 1), 3 * simd.LANES + 2
    theta = rng.normal(scale=2.0, size=(n_planes * 21, width))
    whole = sum_log_two_cosh(theta, n_planes)
    assert whole.dtype == dtype and whole.shape == (width,)
    for start in range(width):
        for stop in range(start + 1, width + 1):
            for part in (theta[:, start:stop], theta[:, start:stop].copy()):
                np.testing.assert_array_equal(sum_log_two_cosh(part, n_planes), whole[start:stop])


@kernel
def alternated(first: Any, second: Any, count: int, out: Any) -> None:
    every = simd.lanes_below(simd.LANES)
    simd.store_alternately(out, 1, simd.load(first, 0, every), simd.load(second, 0, every), count)


@pytest.mark.parametrize("count", [-3, 0, 1, simd.LANES // 2, simd.LANES - 1, simd.LANES, simd.LANES + 5])
def test_store_alternately(count: int) -> None:
    first, second = np.arange(simd.LANES) + 10.0, np.arange(simd.LANES) + 20.0
    out = np.full(2 * simd.LANES + 2, 7.0)
    alternated(first, second, count, out)
    inside = min(max(count, 0), simd.LANES)
    expected = np.stack([first, second], axis=1)[:inside].reshape(-1)
    np.testing.assert_array_equal(out[1 : 1 + 2 * inside], expected)
    np.testing.assert_array_equal(np.delete(out, np.arange(1, 1 + 2 * inside)), 7.0)


def test_exponential() -> None:
    x = np.concatenate([np.linspace(-600, 0, 20_001), [-1e-300, -0.0]])
    found = np.array([exponential(value) for value in x])
    np.testing.assert_allclose(found, np.exp(x), rtol=4e-16)


def test_powers_of_two_of_all_lanes() -> None:
    """x 2^-e is in [1, 2) for numbers of any size and sign, and the exponents add up."""
    values = np.resize([1.0, -1.5, 2.0**-1000, -(2.0**900), 3.7, 1e-300, 0.75, -1.0 + 2.0**-53], 4 * simd.LANES)
    scaled = np.empty(len(values))
    total = split(values, scaled)
    assert np.all((np.abs(scaled) >= 1) & (np.abs(scaled) < 2))
    exponents = np.frexp(values)[1] - 1
    np.testing.assert_array_equal(np.ldexp(scaled, exponents), values)
    assert total == exponents.sum() + 1023 * len(values)
    zeros = np.zeros(simd.LANES)
    assert split(zeros, scaled := np.ones(simd.LANES)) == 0 and not scaled.any()


@kernel
def split(values: Any, scaled: Any) -> int:
    counts, everywhere = simd.splat(0.0), simd.lanes_below(simd.LANES)
    for j in range(0, len(values), simd.LANES):
        x = simd.load(values, j, everywhere)
        counts = simd.counted_exponents(counts, x)
        simd.store(scaled, j, x * simd.inverse_power(x), everywhere)
    return simd.total_count(counts)
