"""The settled part of a run: what is left out, how often it is right, and what happens where nothing has settled."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.signal import lfilter
from scipy.stats import norm

from pvmc.results.plateau import plateau
from tests.helpers import binomial_p, mean_p

Floats = npt.NDArray[np.float64]

LEVEL = 1e-3
"""Probability by chance of each failure of a statistical test, two-sided."""


def correlated(rng: np.random.Generator, n: int, rho: float) -> Floats:
    """A stationary series x_t = rho x_(t-1) + noise, of unit variance."""
    noise = np.sqrt(1 - rho**2) * rng.normal(size=n)
    noise[0] = rng.normal()
    return np.asarray(lfilter([1.0], [1.0, -rho], noise))


def test_iterations_before_the_energy_has_settled_are_left_out() -> None:
    """The energy falls to its level within the first 60 %, over far more than the noise."""
    rng = np.random.default_rng(1)
    series = np.concatenate([np.linspace(5.0, 0.0, 600), np.zeros(400)]) + 0.01 * rng.normal(size=1000)
    found = plateau(series)
    assert found.settled
    assert found.rows[0] >= 600
    assert found.rows[-1] == 999
    assert abs(found.value) < 5 * found.error


def test_a_settled_series_is_averaged_over_its_second_half() -> None:
    found = plateau(np.random.default_rng(2).normal(size=800))
    assert found.settled
    np.testing.assert_array_equal(found.rows, np.arange(400, 800))


@pytest.mark.parametrize(
    ("n", "rho", "transient"), [(1024, 0.5, 0.0), (1024, 0.5, 30.0), (400, 0.5, 0.0), (1024, -0.4, 0.0)]
)
def test_the_mean_is_covered_by_its_error_as_often_as_it_should(n: int, rho: float, transient: float) -> None:
    """The part is chosen by the data, which must neither bias the mean nor make its error too small.

    One error holds the mean in 68.3 % of the cases, two in 95.5 %: two-sided, at the level 1e-3 each.  The transient
    decays exponentially, over a 20th of the series.
    """
    rng, repeats = np.random.default_rng([3, n, round(10 * rho + 10)]), 800
    relaxation = transient * np.exp(-np.arange(n) / (0.05 * n))
    found = [plateau(correlated(rng, n, rho) + relaxation) for _ in range(repeats)]
    pulls = np.array([one.value / one.error for one in found])
    assert len(pulls) == repeats
    assert np.mean([one.settled for one in found]) > 0.97
    assert mean_p(pulls[np.newaxis], np.zeros(1)) > LEVEL
    for width in (1.0, 2.0):
        inside, share = int((np.abs(pulls) < width).sum()), float(norm.cdf(width) - norm.cdf(-width))
        assert binomial_p(inside, repeats, share) > LEVEL


def test_a_series_that_drifts_all_the_time_has_not_settled() -> None:
    series = np.linspace(1.0, 0.0, 512) + 1e-5 * np.random.default_rng(4).normal(size=512)
    found = plateau(series)
    assert not found.settled
    np.testing.assert_array_equal(found.rows, np.arange(384, 512))


def test_energies_that_are_not_finite_are_left_out() -> None:
    series = np.random.default_rng(5).normal(size=400)
    series[[-1, -50]] = np.nan, np.inf
    found = plateau(series)
    assert np.isfinite(series[found.rows]).all()
    assert 399 not in found.rows


def test_of_fewer_than_four_energies_the_last_one_counts_alone() -> None:
    found = plateau(np.array([1.0, 3.0, np.nan, 2.0]), errors=np.array([0.1, 0.2, np.nan, 0.3]))
    assert (found.value, found.error, found.first, found.n, found.settled) == (2.0, 0.3, 3, 1, False)
    assert found.rule == "last iteration"
    nothing = plateau(np.full(5, np.nan))
    assert np.isnan(nothing.value) and (nothing.first, nothing.n, nothing.settled) == (None, 0, False)


def test_the_error_is_never_less_than_that_of_independent_entries() -> None:
    """A quarter of 16 entries that agree by chance, each known to 0.3 alone."""
    series = np.concatenate([np.arange(12.0), np.zeros(4)])
    found = plateau(series, errors=np.full(16, 0.3))
    assert (found.value, found.first, found.rule) == (0.0, 12, "last 1/4, not settled")
    assert found.error == pytest.approx(0.15)
    assert plateau(series).error == 0.0


def test_a_series_without_noise_has_settled_where_it_is_constant() -> None:
    """Of an eigenstate every local energy is the same."""
    found = plateau(np.full(100, -3.5))
    assert found.settled
    assert (found.value, found.error) == (-3.5, 0.0)


@pytest.mark.parametrize("n", [4, 10, 63])
def test_a_short_series_has_settled_only_where_it_is_constant(n: int) -> None:
    """A product state has one energy from the first iteration on; of anything else a few iterations show nothing."""
    for series, settled in ((np.zeros(n), True), (np.full(n, -2.25), True), (np.arange(n) % 2 * 1e-3, False)):
        found = plateau(series, rounding=1e-12)
        assert found.settled == settled


@pytest.mark.parametrize(("step", "settled"), [(1e-16, True), (1e-9, False)])
def test_rounding_is_no_drift(step: float, settled: bool) -> None:
    """Of an eigenstate at machine precision rounding is left, which may creep as a drift does."""
    series = -0.456386676117148 + step * np.arange(200.0)
    found = plateau(series, rounding=1e-12)
    assert found.settled == settled
