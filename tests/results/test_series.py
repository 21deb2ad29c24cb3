"""Means of correlated series: errors that hold, and say so when they do not; running means."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import lfilter

from pvmc.errors import InputError
from pvmc.figures.convergence_plot import relative_error
from pvmc.statistics import autocorrelation, binning, mean
from pvmc.statistics.mean import bin_sizes, running_mean
from tests.helpers import binomial_p

LEVEL = 1e-3
"""Probability by chance of each failure of a statistical test, two-sided."""


def autoregressive(rho: float, n: int, replicas: int, seed: int) -> NDArray[np.float64]:
    """Stationary AR(1) series x_t = rho x_(t-1) + noise, of unit variance, (replicas, n)."""
    noise = np.random.default_rng(seed).normal(size=(replicas, n)) * np.sqrt(1 - rho**2)
    noise[:, 0] /= np.sqrt(1 - rho**2)
    return lfilter([1.0], [1.0, -rho], noise, axis=1)


def exact_error(rho: float, n: int) -> float:
    """Standard error of the mean of n successive entries of that series, from its autocovariance rho^|t|."""
    lags = np.arange(1, n)
    return float(np.sqrt((1 + 2 * np.sum((1 - lags / n) * rho**lags)) / n))


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.8])
def test_error_of_correlated_series(rho: float) -> None:
    n, replicas = 2000, 300
    results = [mean(series) for series in autoregressive(rho, n, replicas, seed=3)]
    truth = exact_error(rho, n)
    errors = np.array([result.error for result in results])
    assert errors.mean() == pytest.approx(truth, rel=0.12)
    for width, share in ((1.0, 0.6827), (2.0, 0.9545)):
        covered = sum(abs(result.mean) < width * result.error for result in results)
        assert binomial_p(covered, replicas, share) > LEVEL
    assert np.mean([result.converged for result in results]) > 0.95
    if rho == 0.8:
        assert truth > 2.9 / np.sqrt(n)  # what std/sqrt(n) would miss


def test_the_error_is_the_larger_of_two() -> None:
    for series in autoregressive(0.5, 100, 20, seed=4):
        found = mean(series)
        assert found.error == max(autocorrelation(series).error, binning(series).error)
        assert (found.mean, found.n) == (pytest.approx(series.mean(), abs=1e-15), 100)
    assert mean([1.0, 3.0]).error == pytest.approx(1.0, rel=1e-12)


def test_bins_double_and_end_with_the_whole_chain() -> None:
    assert bin_sizes(1, 64).tolist() == [1, 2, 4, 8]
    assert bin_sizes(1, 63).tolist() == [1, 2, 4]
    assert bin_sizes(8, 8).tolist() == [1, 2, 4, 8]
    assert bin_sizes(8, 12).tolist() == [1, 2, 4, 8, 12]
    assert bin_sizes(7, 12).tolist() == [1, 2, 4]


def test_constant_series_has_no_error() -> None:
    result = mean(np.full(100, -3.5))
    assert (result.mean, result.error, result.converged) == (-3.5, 0.0, True)


def test_a_drift_is_not_converged() -> None:
    noise = np.random.default_rng(5).normal(size=100)
    assert mean(noise).converged
    drifting = mean(noise + 0.1 * np.arange(100))
    assert not drifting.converged
    assert drifting.error > 3 * mean(noise).error


@pytest.mark.parametrize(("values", "message"), [([1.0], "at least 2"), ([1.0, np.nan, 2.0], "not finite")])
def test_series_without_a_mean_are_refused(values: list[float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        mean(values)


def test_relative_error() -> None:
    np.testing.assert_allclose(relative_error([-1.8, -2.2, -2.0], -2.0), [0.1, 0.1, 0.0], rtol=1e-14)
    with pytest.raises(InputError, match="reference energy is zero"):
        relative_error(-1.0, 0.0)


@pytest.mark.parametrize("n", [0, 1, 7, 250])
def test_running_mean_against_its_definition(n: int) -> None:
    values = -17.7 + 1e-6 * np.random.default_rng(n).normal(size=n)
    expected = []
    for index in range(n):
        half = int(np.floor(0.1 * (index + 1)))
        expected.append(values[index - half : index + half + 1].mean())
    np.testing.assert_allclose(running_mean(values), expected, rtol=0, atol=2e-14)
