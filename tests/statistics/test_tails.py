"""Exponents of heavy tails against draws whose exponent is known, and errors with the variance that draws miss."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pvmc.statistics.tails import (
    count_squares,
    error_with_missed,
    missed_variance,
    tail_of,
    unseen_variance,
    variance_error_with_missed,
)

REPEATS = 400


@pytest.mark.statistical
@pytest.mark.parametrize("exponent", [1.0, 1.8, 3.0, 4.5])
@pytest.mark.parametrize("n", [2_000, 20_000])
def test_the_exponent_of_pareto_draws(exponent: float, n: int) -> None:
    """Mean of 1/a and of its square against the truth and the claimed error, two-sided at the level 1e-5 each.

    1/a is linear in the mean number of bins up to O(1/k), k >= 40 entries of the tail: a bias of 1/(4 k) is allowed.
    """
    rng = np.random.default_rng([n, round(10 * exponent)])
    draws = rng.random((REPEATS, n)) ** (-1.0 / exponent) * rng.choice([-1.0, 1.0])
    tails = [tail_of(count_squares(row, float(rng.uniform(0.1, 10.0)))) for row in draws]
    inverse = np.array([1.0 / tail.exponent for tail in tails])
    errors = np.array([tail.error / tail.exponent**2 for tail in tails])
    scatter = inverse.std(ddof=1)
    allowed = 4.42 * scatter / math.sqrt(REPEATS) + 0.25 / 40 / exponent
    assert abs(inverse.mean() - 1.0 / exponent) < allowed
    within = np.mean(np.abs(inverse - 1.0 / exponent) < errors)
    assert abs(within - 0.683) < 4.42 * math.sqrt(0.683 * 0.317 / REPEATS) + 0.02


def test_light_tails_have_large_exponents() -> None:
    rng = np.random.default_rng(1)
    assert tail_of(count_squares(rng.normal(size=100_000), 1.0)).exponent > 8.0
    assert tail_of(count_squares(rng.choice([-1.0, 1.0, 3.0], size=1000), 1.0)).exponent == math.inf
    assert tail_of(count_squares(np.zeros(1000), 1.0)).exponent == math.inf
    assert math.isnan(tail_of(count_squares(np.array([]), 1.0)).exponent)
    assert math.isnan(tail_of(count_squares(np.array([np.nan, np.inf]), 1.0)).exponent)


def test_counts_add_up_and_have_no_unit() -> None:
    """Of parts in any order, complex or real, in any unit of energy whose squares are beyond float64."""
    rng = np.random.default_rng(2)
    values = rng.standard_cauchy(1000) + 1j * rng.standard_cauchy(1000)
    whole = count_squares(values, 2.0)
    assert whole.sum() == 1000
    parts = [count_squares(part, 2.0) for part in np.array_split(values, 7)]
    np.testing.assert_array_equal(np.sum(parts[::-1], axis=0), whole)
    for scale in (2.0**900, 2.0**-900):
        np.testing.assert_array_equal(count_squares(values * scale, 2.0 * scale), whole)
    np.testing.assert_array_equal(count_squares(np.abs(values), 2.0), whole)
    assert (np.flatnonzero(count_squares(np.array([1.0, 1.41, 1.42, 1.99, 2.0]), 1.0)) == [81, 82, 83]).all()


def test_what_draws_miss_is_resolved_or_nothing() -> None:
    assert missed_variance(1.0, 1.5, 0.1) == 0.5
    assert missed_variance(1.0, 1.15, 0.1) == missed_variance(2.0, 1.0, 0.1) == 0.0
    assert missed_variance(1.0, math.nan, 0.1) == missed_variance(1.0, 2.0, math.nan) == 0.0


def test_errors_without_missed_variance_stay_as_they_are() -> None:
    error = 0.1234567
    assert error_with_missed(error, 0.0, 3.0, 100, 0.0) is error
    assert variance_error_with_missed(error, 0.0, 7.0) is error


def test_the_error_is_that_of_the_whole_variance() -> None:
    """sqrt(tau whole / n), and no more than what smeared draws say, but never less than the draws' own."""
    own = math.sqrt(2.0 * 3.0 / 100)
    assert error_with_missed(own, 5.0, 2.0, 100) == pytest.approx(math.sqrt(2.0 * 8.0 / 100), rel=1e-14)
    assert error_with_missed(own, 5.0, 2.0, 100, 0.3) == 0.3
    assert error_with_missed(own, 5.0, 2.0, 100, 0.01) == own
    assert error_with_missed(own, 5.0, 2.0, 100, math.nan) == pytest.approx(math.sqrt(2.0 * 8.0 / 100), rel=1e-14)
    assert error_with_missed(0.0, 5.0, 1.0, 100) == pytest.approx(math.sqrt(0.05), rel=1e-14)
    assert variance_error_with_missed(0.2, 0.5, 0.1) == 0.6
    assert variance_error_with_missed(0.9, 0.5, 0.1) == 0.9


def test_variance_beyond_the_largest_entry() -> None:
    """X_1^2 / n times the integral of c^(-2/a) from 1/5 to 1, the largest square known to sqrt(2)."""
    rng = np.random.default_rng(4)
    for n, unit in ((4_000, 1.0), (40_000, 2.0**300)):
        draws = rng.random(n) ** -0.5
        found = unseen_variance(count_squares(draws * unit, unit), unit) / unit**2
        power = 1.0 - 2.0 / tail_of(count_squares(draws, 1.0)).exponent
        assert found / (draws.max() ** 2 / n) == pytest.approx((1.0 - 0.2**power) / power, rel=0.42)
    assert unseen_variance(count_squares(rng.normal(size=4_000), 1.0), 1.0) == 0.0
    steep = rng.random(4_000) ** -2.0  # a = 1/2 counts as 1: four times the largest
    assert unseen_variance(count_squares(steep, 1e4), 1e4) == pytest.approx(steep.max() ** 2 / 1000, rel=0.42)
