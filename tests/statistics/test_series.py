"""Claimed errors of correlated series against thousands of series of which all is known.

Stationary Gaussian AR(1) chains, x_t = rho x_(t-1) + sqrt(1 - rho^2) noise, of mean 0 and variance 1: rho(t) = rho^t,
tau = (1 + rho)/(1 - rho).  Tests are two-sided and fail by chance with the probability LEVEL each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from pvmc.statistics import (
    Autocorrelation,
    Binning,
    autocorrelation,
    binning,
    drift,
    effective_sample_size,
    equilibration,
    extrapolation,
    jackknife,
    linear_fit,
    rank_normalised_r_hat,
    split_r_hat,
)
from tests.designs import repeats, slow_but
from tests.helpers import autoregressive, binomial_p, exact_error, two_sided

pytestmark = pytest.mark.statistical

LEVEL = 1e-3
ONE_SIGMA = 0.6827
Floats = npt.NDArray[np.float64]


def score_p(values: Floats, expected: float) -> float:
    """Two-sided p-value that independent values have this mean, by Student's test."""
    t = (values.mean() - expected) / (values.std(ddof=1) / np.sqrt(len(values)))
    return two_sided(float(stats.t.cdf(t, len(values) - 1)))


CASES = [(0.0, 1, 2000, 2000), (-0.4, 1, 2000, 2000), (0.5, 1, 4000, 2000), (0.9, 1, 20_000, 1000)]
CASES += [(0.9, 4, 5000, 1000), (0.98, 1, 80_000, 300), (0.99, 8, 20_000, 200)]
QUICK = [(-0.4, 1, 2000, 2000), (0.99, 8, 20_000, 200)]
"""rho, chains, entries of each, and how many such series: at least 800 times tau, up to tau = 199."""


@cache
def results(rho: float, n_chains: int, n: int, repeats: int) -> list[tuple[Autocorrelation, Binning]]:
    """The Gamma method and binning on the same independent series."""
    rng = np.random.default_rng([1, n_chains, n])
    series: Iterator[Floats] = (autoregressive(rho, n_chains, n, rng) for _ in range(repeats))
    return [(autocorrelation(chains), binning(chains)) for chains in series]


@pytest.mark.parametrize("case", slow_but(QUICK, CASES), ids=str)
@pytest.mark.parametrize("method", [0, 1], ids=["gamma", "binning"])
def test_one_sigma_covers_the_truth_68_times_in_100(case: tuple[float, int, int, int], method: int) -> None:
    found = [pair[method] for pair in results(*case)]
    covered = sum(abs(result.mean) < result.error for result in found)
    assert binomial_p(covered, len(found), ONE_SIGMA) > LEVEL
    twice = sum(abs(result.mean) < 2.0 * result.error for result in found)
    assert binomial_p(twice, len(found), 0.9545) > LEVEL
    assert np.mean([result.converged for result in found]) > 0.99


@pytest.mark.parametrize("case", slow_but(QUICK, [case for case in CASES if abs(case[0]) >= 0.4]), ids=str)
def test_errors_that_ignore_correlations_would_fail(case: tuple[float, int, int, int]) -> None:
    found = [pair[1] for pair in results(*case)]
    covered = sum(abs(result.mean) < result.errors[0] for result in found)
    assert binomial_p(covered, len(found), ONE_SIGMA) < 1e-6


@pytest.mark.parametrize("case", slow_but(QUICK, CASES), ids=str)
@pytest.mark.parametrize("method", [0, 1], ids=["gamma", "binning"])
def test_errors_scatter_about_the_exact_one_as_they_say(case: tuple[float, int, int, int], method: int) -> None:
    """The bias that the choice of window or bin leaves is below half of the uncertainty that an error claims."""
    found = [pair[method] for pair in results(*case)]
    errors = np.array([result.error for result in found])
    claimed = np.mean([result.error_uncertainty for result in found])
    assert abs(errors.mean() - exact_error(*case[:3])) < 0.5 * claimed
    assert 0.8 < errors.std() / claimed < 1.2


@pytest.mark.parametrize("case", slow_but(QUICK, [case for case in CASES if case[0] >= 0.0]), ids=str)
def test_times_are_those_of_the_process(case: tuple[float, int, int, int]) -> None:
    """The bias is below a fifth of what one estimate claims as its error, and they scatter by what they claim."""
    rho = case[0]
    found = [pair[0] for pair in results(*case)]
    times = np.array([result.time for result in found])
    claimed = np.array([result.time_error for result in found])
    assert abs(times.mean() - (1.0 + rho) / (1.0 - rho)) < 0.2 * claimed.mean()
    assert 0.8 < times.std() / claimed.mean() < 1.2
    assert np.mean(np.abs(times - (1.0 + rho) / (1.0 - rho)) < 2.0 * claimed) > 0.9


def test_errors_of_many_short_chains_are_those_of_whole_chains() -> None:
    """64 chains of 16 draws with tau = 19: each is a single bin, and pulls follow Student's distribution."""
    rng = np.random.default_rng(2)
    found = [binning(autoregressive(0.9, 64, 16, rng)) for _ in range(2000)]
    assert all(result.bin_size == 16 for result in found)
    pulls = np.array([result.mean / result.error for result in found])
    assert two_sided(stats.kstest(pulls, stats.t(63).cdf).pvalue) > LEVEL
    assert score_p(np.array([result.error**2 for result in found]), exact_error(0.9, 64, 16) ** 2) > LEVEL


@pytest.mark.parametrize("size", [1, 8, 64])
@repeats(200, 800)
def test_the_error_of_each_bin_size_is_that_of_ar1(size: int, repeats: int) -> None:
    """error(B)^2 = B Var(mean of B) / n, with the exact variance of a mean of B entries."""
    rng = np.random.default_rng(3)
    found = [binning(autoregressive(0.8, 1, 4096, rng)) for _ in range(repeats)]
    index = int(np.log2(size))
    squares = np.array([result.errors[index] ** 2 for result in found])
    # Bins scatter about the common mean: what it has taken is the variance of the mean of all.
    bins = 4096 // size
    expected = (exact_error(0.8, 1, size) ** 2 - exact_error(0.8, 1, 4096) ** 2) / (bins - 1)
    assert score_p(squares, expected) > LEVEL


# Agreement of chains --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rho", [0.0, 0.6, 0.9])
def test_sample_sizes_are_n_over_tau(rho: float) -> None:
    rng = np.random.default_rng(4)
    sizes = np.array([effective_sample_size(autoregressive(rho, 4, 5000, rng)) for _ in range(200)])
    assert sizes.mean() == pytest.approx(20_000 * (1.0 - rho) / (1.0 + rho), rel=0.04)


@pytest.mark.parametrize("r_hat", [split_r_hat, rank_normalised_r_hat])
@repeats(30, 100)
def test_r_hat_is_one_for_chains_that_agree_and_not_otherwise(r_hat: Callable[[Floats], float], repeats: int) -> None:
    """Levels of variance v between chains of variance 1: R^2 = 1 + v."""
    rng = np.random.default_rng(5)
    agreeing = np.array([r_hat(rng.standard_normal((100, 500))) for _ in range(repeats)])
    assert np.all(agreeing < 1.01)
    levels = rng.permutation(np.repeat([-0.5, 0.5], 50))[:, None]
    assert r_hat(levels + rng.standard_normal((100, 500))) == pytest.approx(np.sqrt(1.25), rel=0.01)


def test_split_r_hat_has_the_moments_of_the_f_distribution() -> None:
    """(R^2 - (n - 1)/n) n is F-distributed with m - 1 and m (n - 1) degrees for m Gaussian half chains of length n."""
    rng = np.random.default_rng(6)
    n, m = 20, 8
    values = np.array([split_r_hat(rng.standard_normal((m // 2, 2 * n))) for _ in range(4000)])
    ratios = n * (values**2 - (n - 1) / n)
    assert two_sided(stats.kstest(ratios, stats.f(m - 1, m * (n - 1)).cdf).pvalue) > LEVEL


# Jackknife ------------------------------------------------------------------------------------------------------------


def test_the_jackknife_removes_the_bias_of_exp_of_a_mean() -> None:
    """<exp(mean)> = exp(1/(2 n)) for unit variance: too large by 2.5 % with n = 20, by less than 0.1 % corrected."""
    rng, n = np.random.default_rng(7), 20
    found = [jackknife(np.exp, values, bin_size=1) for values in rng.standard_normal((4000, n))]
    plain = np.array([float(result.value) for result in found])
    corrected = np.array([float(result.corrected) for result in found])
    assert score_p(plain, np.exp(0.5 / n)) > LEVEL
    assert score_p(plain, 1.0) < 1e-6, "no bias to remove"
    # The means cancel but for the bias of order 1/n, which is known exactly; what is left is of order 1/n^2.
    others = n * np.exp(0.5 / n) - (n - 1) * np.exp(0.5 / (n - 1))
    assert abs(others - 1.0) < 1.5 / n**2
    assert score_p(corrected, others) > LEVEL


@repeats(150, 500)
@pytest.mark.parametrize("rho", [0.0, 0.9])
def test_errors_of_ratios_cover_the_truth(rho: float, repeats: int) -> None:
    """A ratio of two correlated means of correlated series, with blocks chosen by itself."""
    rng = np.random.default_rng([8, int(10 * rho)])
    covered = 0
    for _ in range(repeats):
        x, y = autoregressive(rho, 2, 20_000, rng)
        result = jackknife(lambda a, b: a / b, 2.0 + x + y, 4.0 + y)
        covered += abs(float(result.value) - 0.5) < float(result.error)
    assert binomial_p(covered, repeats, ONE_SIGMA) > LEVEL


# Lines ----------------------------------------------------------------------------------------------------------------


def test_lines_have_the_errors_that_they_claim() -> None:
    rng = np.random.default_rng(9)
    x, error = np.array([0.1, 0.2, 0.4, 0.5, 1.0]), np.array([0.1, 0.3, 0.2, 0.1, 0.4])
    fits = [linear_fit(x, 1.0 - 2.0 * x + error * rng.standard_normal(5), error) for _ in range(4000)]
    intercepts = [(fit.intercept - 1.0) / fit.intercept_error for fit in fits]
    pulls = np.array([intercepts, [(fit.slope + 2.0) / fit.slope_error for fit in fits]]).T
    for column in pulls.T:
        assert two_sided(stats.kstest(column, stats.norm.cdf).pvalue) > LEVEL
    correlation = fits[0].covariance[0, 1] / (fits[0].intercept_error * fits[0].slope_error)
    assert score_p(pulls[:, 0] * pulls[:, 1], correlation) > LEVEL
    assert two_sided(stats.kstest([fit.p_value for fit in fits], stats.uniform.cdf).pvalue) > LEVEL


@repeats(1000, 4000)
def test_the_jackknife_over_runs_has_its_exact_mean_and_errs_to_the_safe_side(repeats: int) -> None:
    """Intercepts without one run are linear in y, so that the mean of error^2 is exact: above the true variance.

    Here the runs scatter by 10 times the errors that their energies have, which only the jackknife sees.
    """
    rng = np.random.default_rng(10)
    x, scatter = np.array([0.1, 0.15, 0.3, 0.35, 0.5, 0.7, 0.8, 1.0]), 0.1
    found = [extrapolation(x, 1.0 + 0.5 * x + scatter * rng.standard_normal(8), 0.01) for _ in range(repeats)]

    def row(kept: npt.NDArray[np.bool_]) -> Floats:
        design = np.stack([np.ones(8), x], axis=1) * kept[:, None]
        return np.linalg.pinv(design)[0]

    rows = np.array([row(np.arange(8) != run) for run in range(8)])
    expected = 7 / 8 * np.sum((rows - rows.mean(axis=0)) ** 2) * scatter**2
    truth = np.sum(row(np.ones(8, dtype=bool)) ** 2) * scatter**2
    assert 1.0 < expected / truth < 1.6
    assert score_p(np.array([result.error**2 for result in found]), expected) > LEVEL
    assert score_p(np.array([result.value for result in found]), 1.0) > LEVEL
    assert found[0].statistical_error < 0.11 * np.sqrt(truth)


# Equilibration --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@repeats(40, 200)
@pytest.mark.parametrize("rho", slow_but([0.8], [0.0, 0.8]))
def test_what_is_left_after_a_relaxation_covers_the_truth(rho: float, repeats: int) -> None:
    """The whole series is wrong by many errors; what is left has its mean within one error 68 times in 100."""
    rng = np.random.default_rng([11, int(10 * rho)])
    relaxation = 1000.0 * np.exp(-np.arange(4000) / 40.0)
    covered, kept, biased = 0, [], 0
    for _ in range(repeats):
        series = autoregressive(rho, 1, 4000, rng)[0] + relaxation
        start = equilibration(series)
        rest = autocorrelation(series[start:])
        covered += abs(rest.mean) < rest.error
        biased += abs(series.mean()) > 3.0 * exact_error(rho, 1, 4000)
        kept.append(len(series) - start)
    assert biased == repeats
    assert binomial_p(covered, repeats, ONE_SIGMA) > LEVEL
    assert np.median(kept) > 3000


@repeats(15, 60)
@pytest.mark.slow
def test_stationary_series_are_mostly_kept(repeats: int) -> None:
    rng = np.random.default_rng(12)
    for rho in (0.0, 0.8):
        starts = [equilibration(autoregressive(rho, 1, 2000, rng)) for _ in range(repeats)]
        assert np.median(starts) < 100
        assert np.mean(starts) < 300


@repeats(1000, 2000)
def test_drifts_of_stationary_series_are_rare(repeats: int) -> None:
    """The largest of 4 correlated Gaussian scores: above 2 more often than one (4.6 %), and less often than four."""
    rng = np.random.default_rng(13)
    drifts = np.array([drift(autoregressive(0.5, 1, 4000, rng)) for _ in range(repeats)])
    for limit in (2.0, 3.0):
        one = 2.0 * stats.norm.sf(limit)
        exceeding = int(np.count_nonzero(drifts > limit))
        assert stats.binom.sf(exceeding, len(drifts), one) < 0.5
        assert stats.binom.cdf(exceeding, len(drifts), 4.0 * one) < 0.5
