"""Statistics of series against exact mathematics, independent formulas, and arviz and emcee where installed."""

from __future__ import annotations

import importlib
import math
import warnings
from collections.abc import Callable
from itertools import product
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.signal import lfilter

from pvmc import statistics
from pvmc.errors import InputError
from pvmc.statistics import (
    autocorrelation,
    autocovariance,
    binning,
    bulk_sample_size,
    drift,
    effective_sample_size,
    equilibration,
    extrapolation,
    jackknife,
    linear_fit,
    mean,
    rank_normalised_r_hat,
    split_r_hat,
    tail_sample_size,
)
from pvmc.statistics.autocorrelation import TAILS, independent_samples
from pvmc.statistics.chains import r_hat
from pvmc.statistics.mean import bin_sizes, robust_scatter, running_mean
from pvmc.statistics.thresholds import r_hat_limit
from tests.helpers import autoregressive, binomial_p, exact_error

SHAPES = [(1, 501), (4, 1000), (6, 37), (64, 16)]
SIZES: dict[str, Callable[..., float]] = {
    "mean": effective_sample_size,
    "bulk": bulk_sample_size,
    "tail": tail_sample_size,
}
"""Our functions by arviz' names of them."""
LEVEL = 1e-3
"""Probability by chance of each failure of a statistical test, two-sided."""
LENGTHS = [*range(16, 32), *range(249, 257)]
"""Of chains: halves of every residue modulo 8, short and long."""


def peer(name: str) -> ModuleType:
    """Another package that computes the same; a skip with the reason where it cannot be imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip(name, exc_type=ImportError)
        return importlib.import_module(name)


# Means ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.8])
def test_error_of_correlated_series(rho: float) -> None:
    n, replicas = 2000, 300
    results = [mean(series) for series in autoregressive(rho, replicas, n, seed=3)]
    truth = exact_error(rho, 1, n)
    errors = np.array([result.error for result in results])
    assert errors.mean() == pytest.approx(truth, rel=0.12)
    for width, share in ((1.0, 0.6827), (2.0, 0.9545)):
        covered = sum(abs(result.mean) < width * result.error for result in results)
        assert binomial_p(covered, replicas, share) > LEVEL
    assert np.mean([result.converged for result in results]) > 0.95
    if rho == 0.8:
        assert truth > 2.9 / np.sqrt(n)  # what std/sqrt(n) would miss


def test_the_error_is_the_larger_of_two() -> None:
    for series in autoregressive(0.5, 20, 100, seed=4):
        found = mean(series)
        assert found.error == max(autocorrelation(series).error, binning(series).error)
        assert (found.mean, found.n) == (pytest.approx(series.mean(), abs=1e-15), 100)
    assert mean([1.0, 3.0]).error == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize("n", [0, 1, 7, 250])
def test_running_mean_against_its_definition(n: int) -> None:
    values = -17.7 + 1e-6 * np.random.default_rng(n).normal(size=n)
    halves = [int(np.floor(0.1 * (index + 1))) for index in range(n)]
    expected = [values[index - half : index + half + 1].mean() for index, half in enumerate(halves)]
    np.testing.assert_allclose(running_mean(values), expected, rtol=0, atol=2e-14)


# Autocovariance, binning ----------------------------------------------------------------------------------------------


def test_bins_double_and_end_with_the_whole_chain() -> None:
    sizes = [bin_sizes(*shape).tolist() for shape in ((1, 64), (1, 63), (8, 8), (8, 12), (7, 12))]
    assert sizes == [[1, 2, 4, 8], [1, 2, 4], [1, 2, 4, 8], [1, 2, 4, 8, 12], [1, 2, 4]]


@pytest.mark.parametrize("shape", [(1, 2), (3, 17), (5, 64)])
def test_autocovariance_against_its_definition(shape: tuple[int, int]) -> None:
    chains = np.random.default_rng(2).normal(size=shape) - 17.0
    n_chains, n = shape
    centred = chains - chains.mean()
    expected = [
        sum(chain[s] * chain[s + t] for chain in centred for s in range(n - t)) / (n_chains * (n - t)) for t in range(n)
    ]
    np.testing.assert_allclose(autocovariance(chains), expected, rtol=0, atol=1e-13)


def test_errors_of_each_bin_size_against_loops() -> None:
    chains = autoregressive(0.7, 3, 45)
    result = binning(chains)
    assert result.sizes.tolist() == [1, 2, 4, 8]
    for size, error, uncertainty in zip(result.sizes, result.errors, result.uncertainties, strict=True):
        means = []
        for chain in chains:
            for end in range(len(chain), size - 1, -size):
                means.append(chain[end - size : end].mean())
        expected = np.sqrt(np.var(means, ddof=1) * size / chains.size)
        assert error == pytest.approx(expected, rel=1e-12)
        assert uncertainty == pytest.approx(expected / np.sqrt(2 * (len(means) - 1)), rel=1e-12)
    assert result.error == result.errors[result.sizes.tolist().index(result.bin_size)]


def test_bins_of_independent_entries_are_single_or_few() -> None:
    """The rule B^3 > 2 n (error ratio)^4 with a ratio of about 1."""
    result = binning(np.random.default_rng(3).normal(size=4000))
    assert result.converged
    assert result.bin_size == 32  # the first power of two above (2 n)^(1/3) = 20
    assert result.autocorrelation_time == pytest.approx(1.0, abs=0.5)


def test_many_chains_are_binned_whole() -> None:
    """Chains that never move: only the scatter of whole chains has the error of the mean."""
    levels = np.random.default_rng(4).normal(size=(12, 1))
    chains = levels + 1e-3 * np.random.default_rng(5).normal(size=(12, 40))
    result = binning(chains)
    assert (result.bin_size, result.converged) == (40, True)
    assert result.error == pytest.approx(chains.mean(axis=1).std(ddof=1) / np.sqrt(12), rel=1e-12)


def test_a_drift_is_no_plateau() -> None:
    noise = np.random.default_rng(5).normal(size=200)
    assert binning(noise).converged and mean(noise[:100]).converged
    assert not binning(noise + 0.1 * np.arange(200)).converged
    drifting = mean(noise[:100] + 0.1 * np.arange(100))
    assert not drifting.converged and drifting.error > 3 * mean(noise[:100]).error


# Gamma method ---------------------------------------------------------------------------------------------------------


def wolff(chain: NDArray[np.float64], stretch: float) -> tuple[float, float, int]:
    """tau_int = 1/2 + ..., its error and the window of one series, lag by lag as in the paper, eqs. 31 - 52."""
    n = len(chain)
    centred = chain - chain.mean()
    gamma = [float(centred @ centred) / n]
    total, window = 0.0, 0
    for window in range(1, n // 2):
        gamma.append(float(centred[: n - window] @ centred[window:]) / (n - window))
        total += gamma[window] / gamma[0]
        tau = stretch / np.log((2 * (0.5 + total) + 1) / (2 * (0.5 + total) - 1)) if total > 0 else 1e-10
        if np.exp(-window / tau) - tau / np.sqrt(window * n) < 0:
            break
    summed = gamma[0] + 2 * sum(gamma[1 : window + 1])
    corrected = [value + summed / n for value in gamma]
    tau = 0.5 + sum(corrected[1 : window + 1]) / corrected[0]
    return tau, 2 * tau * float(np.sqrt((window + 0.5 - tau) / n)), window


@pytest.mark.parametrize("rho", [0.5, 0.9])
def test_gamma_method_against_the_equations_of_the_paper(rho: float) -> None:
    chain = autoregressive(rho, 1, 50_000)[0]
    result = autocorrelation(chain)
    tau, error, window = wolff(chain, 1.5)
    assert result.window == window
    assert result.time == pytest.approx(2 * tau, rel=1e-10)
    assert result.time_error == pytest.approx(2 * error, rel=1e-10)


def test_alternating_series_are_windowed_too() -> None:
    """rho(t) = (-0.8)^t, tau = 0.2 / 1.8: entries that seem independent would have an error 3 times as large.

    A window of one entry, where the signed sum of the paper stops, would leave 1 - 1.6 < 0.
    """
    errors = [autocorrelation(autoregressive(-0.8, 1, 20_000, seed)).error for seed in range(40)]
    assert np.mean(errors) == pytest.approx(np.sqrt(0.2 / 1.8 / 20_000), rel=0.05)


def test_a_series_that_alternates_for_ever_is_not_taken_to_be_exact() -> None:
    results = [autocorrelation(np.resize([1.0, -1.0], n)) for n in range(20, 120)]
    assert min(result.error for result in results) > 0.0
    assert not any(result.converged for result in results)


def test_chains_that_disagree_have_not_converged() -> None:
    chains = np.random.default_rng(6).normal(size=(4, 400))
    assert autocorrelation(chains).converged
    assert not autocorrelation(chains + 5.0 * np.arange(4)[:, None]).converged


def test_statistics_move_and_scale_with_the_series() -> None:
    chains = autoregressive(0.6, 3, 256)
    first, other = autocorrelation(chains), autocorrelation(5.0 - 2.0 * chains)
    assert other.error == pytest.approx(2.0 * first.error, rel=1e-10)
    assert (other.time, other.window) == (pytest.approx(first.time, rel=1e-10), first.window)
    assert bulk_sample_size(np.exp(chains)) == pytest.approx(bulk_sample_size(chains), rel=1e-12)


# Agreement of chains --------------------------------------------------------------------------------------------------


def test_r_hat_of_two_halves_by_hand() -> None:
    """Halves (0, 1) and (2, 5): W = (0.5 + 4.5)/2, B/n = 4.5; R^2 = 1/2 + 4.5/2.5."""
    assert split_r_hat([0.0, 1.0, 2.0, 5.0]) == pytest.approx(np.sqrt(2.3), rel=1e-14)
    assert split_r_hat([0.0, 1.0, 77.0, 2.0, 5.0]) == pytest.approx(np.sqrt(2.3), rel=1e-14)


def test_ranks_see_chains_of_another_width_and_without_variance() -> None:
    rng = np.random.default_rng(7)
    chains = rng.normal(size=(4, 1000))
    chains[0] *= 5.0
    assert split_r_hat(chains) < 1.01 < 1.1 < rank_normalised_r_hat(chains)
    heavy = rng.standard_cauchy(size=(4, 1000))
    assert rank_normalised_r_hat(heavy) < 1.01
    heavy[0] += 3.0
    assert split_r_hat(heavy) < 1.05 < 1.1 < rank_normalised_r_hat(heavy)


def test_short_chains_have_no_agreement_and_no_sample_size() -> None:
    chains = np.random.default_rng(8).normal(size=(64, 15))
    assert np.isnan([split_r_hat(chains[:, :3]), rank_normalised_r_hat(chains[:, :3])]).all()
    assert np.isnan([size(chains) for size in (effective_sample_size, bulk_sample_size, tail_sample_size)]).all()


def plain_sample_size(chains: NDArray[np.float64]) -> float:
    """n / tau of half chains, lag by lag, as the equations of Vehtari et al. and of their appendix have it."""
    length = chains.shape[1] // 2
    split = [*chains[:, :length], *chains[:, -length:]]
    means = [sum(half) / length for half in split]

    def covariance(lag: int) -> float:
        terms = [
            (half[s] - centre) * (half[s + lag] - centre)
            for half, centre in zip(split, means, strict=True)
            for s in range(length - lag)
        ]
        return float(sum(terms)) / (length * len(split))

    within = covariance(0) * length / (length - 1)
    total = covariance(0) + float(np.var(means, ddof=1))

    def rho(lag: int) -> float:
        return 1.0 - (within - covariance(lag)) / total if lag else 1.0

    first, pair, sums = 0, 1.0 + rho(1), []
    while pair > 0.0 and first + 4 < length:  # the next pair, of lags first + 2 and first + 3, ends below lag n - 1
        sums.append(min([pair, *sums]))
        first += 2
        pair = rho(first) + rho(first + 1)
    n = chains.shape[0] * 2 * length
    even = rho(first) if pair >= 0.0 else max(rho(first), 0.0)
    return n / max(-1.0 + 2.0 * sum(sums) + even, 1.0 / np.log10(n))


@pytest.mark.parametrize("length", [*range(16, 24), *range(57, 61)])
def test_sample_sizes_of_every_residue_against_a_plain_sum(length: int) -> None:
    """White, slow and alternating series, and chains that disagree, whose sums run to the last pair of lags."""
    for seed in range(3):
        for rho in (-0.9, 0.0, 0.6, 0.97):
            chains = autoregressive(rho, 2, length, seed)
            for series in (chains, chains[:1], chains + np.array([[0.0], [9.0]])):
                assert effective_sample_size(series) == pytest.approx(plain_sample_size(series), rel=1e-9)


def test_sample_size_of_half_chains_of_odd_length() -> None:
    """125 entries: the value of arviz 0.23.4 and 1.3.0; without the pair of lags 122 and 123 it would be 29.3788."""
    noise = np.random.default_rng(0).normal(size=(250, 4)).T
    noise[:, 1:] *= np.sqrt(1 - 0.95**2)
    chains = lfilter([1.0], [1.0, -0.95], noise, axis=1)
    assert effective_sample_size(chains) == pytest.approx(29.153156957903633, rel=1e-9)
    assert plain_sample_size(chains) == pytest.approx(29.153156957903633, rel=1e-9)


ARVIZ = ["arviz", "arviz_stats"]
"""arviz as it is installed, and the package that arviz 1.x takes its statistics from."""


def arviz_sample_size(package: ModuleType, chains: NDArray[np.float64], method: str) -> float:
    """By arviz 0.2x, which has the quantiles of the tails by default, or by 1.x, which wants them named."""
    quantiles = {"prob": TAILS} if method == "tail" else {}
    return float(package.ess(chains, method=method, **quantiles))


@pytest.mark.parametrize("name", ARVIZ)
@pytest.mark.parametrize("rho", [-0.6, 0.0, 0.5, 0.95])
@pytest.mark.parametrize("shape", SHAPES)
def test_sample_sizes_and_r_hat_are_those_of_arviz(shape: tuple[int, int], rho: float, name: str) -> None:
    arviz = peer(name)
    chains = autoregressive(rho, *shape)
    for method, function in SIZES.items():
        assert function(chains) == pytest.approx(arviz_sample_size(arviz, chains, method), rel=1e-9), method
    if shape[0] > 1:  # it refuses to compare the halves of one chain
        assert split_r_hat(chains) == pytest.approx(float(arviz.rhat(chains, method="split")), rel=1e-12)
        assert rank_normalised_r_hat(chains) == pytest.approx(float(arviz.rhat(chains, method="rank")), rel=1e-12)


@pytest.mark.parametrize("name", ARVIZ)
@pytest.mark.parametrize("length", LENGTHS)
def test_sample_sizes_of_every_residue_are_those_of_arviz(length: int, name: str) -> None:
    arviz = peer(name)
    for seed in range(5):
        for rho in (-0.9, 0.0, 0.6, 0.97):
            chains = autoregressive(rho, 4, length, seed)
            for method, function in SIZES.items():
                expected = arviz_sample_size(arviz, chains, method)
                assert function(chains) == pytest.approx(expected, rel=1e-9), (method, seed, rho)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9, 0.98])
def test_times_agree_with_emcee_within_their_errors(rho: float) -> None:
    """The same data, another window: they differ by less than the error that both have."""
    emcee = peer("emcee")
    chains = autoregressive(rho, 4, 50_000)
    result = autocorrelation(chains)
    other = float(emcee.autocorr.integrated_time(chains.T[:, :, None])[0])
    assert abs(result.time - other) < result.time_error


# Jackknife ------------------------------------------------------------------------------------------------------------


def test_jackknife_of_the_mean_is_the_standard_error() -> None:
    values = np.random.default_rng(9).normal(size=(40, 3))
    result = jackknife(lambda mean: mean, values, bin_size=1)
    np.testing.assert_allclose(result.value, values.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(result.corrected, result.value, rtol=1e-13)
    np.testing.assert_allclose(result.error, values.std(axis=0, ddof=1) / np.sqrt(40), rtol=1e-12)


def test_jackknife_of_a_square_is_unbiased_exactly() -> None:
    """<x>^2 is too large by Var/n, estimated without bias: the corrected value is mean^2 - s^2/n identically."""
    values = np.random.default_rng(10).normal(size=25) + 1.0
    result = jackknife(np.square, values, bin_size=1)
    assert result.corrected == pytest.approx(values.mean() ** 2 - values.var(ddof=1) / 25, rel=1e-12)


def test_jackknife_of_a_correlated_ratio_against_the_delta_method() -> None:
    rng = np.random.default_rng(11)
    x = 5.0 + rng.normal(size=4000)
    y = 2.0 * x + 0.1 * rng.normal(size=4000)
    result = jackknife(lambda a, b: b / a, x, y, bin_size=4)
    linear = (y - y.mean()) / x.mean() - y.mean() * (x - x.mean()) / x.mean() ** 2
    blocks = linear.reshape(-1, 4).mean(axis=1)
    assert result.n_blocks == 1000
    assert float(result.error) == pytest.approx(blocks.std(ddof=1) / np.sqrt(1000), rel=1e-3)
    assert float(result.error) < 0.1 * y.std() / x.mean() / np.sqrt(4000)  # the two means err together


def test_jackknife_takes_complex_means_and_gives_arrays() -> None:
    rng = np.random.default_rng(12)
    z = rng.normal(size=60) + 1j * rng.normal(size=60) + 3.0
    result = jackknife(lambda mean: np.array([mean, mean.conj()]), z, bin_size=2)
    blocks = z.reshape(30, 2).mean(axis=1)
    expected = np.sqrt((blocks.real.var(ddof=1) + blocks.imag.var(ddof=1)) / 30)
    np.testing.assert_allclose(result.error, [expected, expected], rtol=1e-12)
    assert result.error.dtype == np.float64


def test_jackknife_chooses_blocks_that_outlast_the_memory() -> None:
    series = autoregressive(0.9, 1, 20_000)[0]
    result = jackknife(np.exp, series)
    assert result.bin_size == binning(series).bin_size > 19
    assert float(result.error) == pytest.approx(np.exp(series.mean()) * binning(series).error, rel=0.02)
    assert jackknife(np.exp, np.random.default_rng(13).normal(size=100_000)).n_blocks <= 512


# Lines ----------------------------------------------------------------------------------------------------------------


def test_line_against_the_normal_equations() -> None:
    rng = np.random.default_rng(14)
    x, error = 1e-3 * rng.random(7), 1e-5 * (1.0 + rng.random(7))
    y = -17.7 + 3.0 * x + error * rng.normal(size=7)
    fit = linear_fit(x, y, error)
    design = np.stack([np.ones(7), x], axis=1) / error[:, None]
    covariance = np.linalg.inv(design.T @ design)
    intercept, slope = covariance @ design.T @ ((y + 17.7) / error)
    assert fit.intercept + 17.7 == pytest.approx(intercept, abs=1e-12)
    assert fit.slope == pytest.approx(slope, rel=1e-7)
    np.testing.assert_allclose(fit.covariance, covariance, rtol=1e-8)
    chi_square = float(np.sum((design @ [intercept, slope] - (y + 17.7) / error) ** 2))
    assert fit.chi_square == pytest.approx(chi_square, rel=1e-6)
    assert fit.p_value == pytest.approx(stats.chi2.sf(chi_square, 5), rel=1e-6)
    values, errors = fit.at([0.0, 5e-4])
    assert (values[0], errors[0]) == (pytest.approx(fit.intercept), pytest.approx(fit.intercept_error, rel=1e-9))
    row = np.array([1.0, 5e-4])
    assert errors[1] == pytest.approx(np.sqrt(row @ covariance @ row), rel=1e-8)


def test_two_points_leave_no_freedom() -> None:
    fit = linear_fit([1.0, 3.0], [2.0, 6.0], 0.1)
    assert (fit.intercept, fit.slope) == (pytest.approx(0.0, abs=1e-14), pytest.approx(2.0))
    assert fit.chi_square == pytest.approx(0.0, abs=1e-20)
    assert np.isnan(fit.p_value)


def test_extrapolation_against_residuals_and_leverages() -> None:
    """Without run i the line moves by (X^T W X)^-1 x_i w_i r_i / (1 - h_i), with h_i = w_i x_i^T (X^T W X)^-1 x_i."""
    rng = np.random.default_rng(15)
    x, error = rng.random(6), 0.1 + rng.random(6)
    y = 1.0 + 2.0 * x + rng.normal(size=6)
    result = extrapolation(x, y, error)
    design, weights = np.stack([np.ones(6), x], axis=1), 1.0 / error**2
    inverse = np.linalg.inv(design.T @ (weights[:, None] * design))
    residuals = y - design @ (inverse @ design.T @ (weights * y))
    leverages = weights * np.einsum("ij,jk,ik->i", design, inverse, design)
    moves = (design @ inverse)[:, 0] * weights * residuals / (1.0 - leverages)
    np.testing.assert_allclose(result.without_one, result.value - moves, rtol=1e-10)
    assert result.error == pytest.approx(np.sqrt(5 / 6 * np.sum((moves - moves.mean()) ** 2)), rel=1e-10)
    assert result.value == result.fit.intercept
    assert result.statistical_error == pytest.approx(np.sqrt(inverse[0, 0]), rel=1e-10)


# Equilibration --------------------------------------------------------------------------------------------------------


def test_a_step_is_left_out() -> None:
    series = np.random.default_rng(16).normal(size=2000) + 20.0 * (np.arange(2000) < 500)
    assert 500 <= equilibration(series) <= 800


@pytest.mark.parametrize("height", [3.0, 1e3, 1e8])
def test_a_relaxation_is_left_out_whatever_its_height(height: float) -> None:
    relaxation = height * np.exp(-np.arange(4000) / 60.0)
    series = autoregressive(0.5, 1, 4000)[0] + relaxation
    start = equilibration(series)
    assert relaxation[start:].mean() < 0.2 * autocorrelation(series[start:]).error
    assert start < 60 * np.log(height) * 1.6 + 400


def test_a_few_huge_entries_at_the_beginning_are_left_out() -> None:
    """They alone make the variance and seem uncorrelated, so that the plain rule would keep them."""
    series = np.random.default_rng(17).normal(size=1000)
    series[:3] += [1e6, 1e5, 1e4]
    assert 3 <= equilibration(series) < 200


def test_a_noiseless_relaxation_ends_where_it_is_over() -> None:
    """Underflow to a constant: nothing drifts after it."""
    series = 10.0 * np.maximum(1.0 - np.arange(1000) / 300.0, 0.0)
    assert 300 <= equilibration(series) < 600


def test_32_entries_are_left_of_a_short_series() -> None:
    late = np.concatenate([np.full(8, 50.0), np.random.default_rng(20).normal(size=32)])
    assert equilibration(late) == 8


def test_a_drift_to_the_end_is_told() -> None:
    ramp = np.random.default_rng(18).normal(size=1000) - 0.1 * np.arange(1000)
    assert drift(ramp) > 3
    assert equilibration(ramp) > 800
    assert drift(np.random.default_rng(19).normal(size=1000)) < 3
    steep = -1.0 * np.arange(1000)
    assert equilibration(steep) == 1000 - 32
    assert drift(steep[-32:]) > 3


def test_chains_equilibrate_together() -> None:
    chains = autoregressive(0.5, 8, 1000) + 50.0 * np.exp(-np.arange(1000) / 30.0)
    start = equilibration(chains)
    assert 100 < start < 500
    assert drift(chains[:, start:]) < 3


def test_short_series_are_kept() -> None:
    assert equilibration(np.arange(32.0)) == 0


# What is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: binning([1.0]), "at least 2 entries"),
        (lambda: binning([1.0, np.nan]), "not finite"),
        (lambda: binning([1.0, 2.0j]), "real numbers"),
        (lambda: binning(np.zeros((2, 3, 4))), "shape"),
        (lambda: binning(np.zeros((0, 4))), "shape"),
        (lambda: mean([1.0]), "at least 2 entries"),
        (lambda: mean([1.0, np.nan, 2.0]), "not finite"),
        (lambda: autocorrelation([1.0, 2.0, 3.0]), "at least 4 entries"),
        (lambda: autocorrelation(np.arange(9.0), stretch=0.0), "must be positive"),
        (lambda: split_r_hat([1.0, np.inf, 3.0, 4.0]), "not finite"),
        (lambda: drift(np.zeros(31)), "at least 32 entries"),
        (lambda: equilibration([]), "at least 1 entries"),
        (lambda: jackknife(np.exp), "one length"),
        (lambda: jackknife(np.exp, [1.0, 2.0], [1.0, 2.0, 3.0]), "one length"),
        (lambda: jackknife(np.exp, [1.0, np.nan]), "not finite"),
        (lambda: jackknife(np.exp, [1.0]), "at least 2 entries"),
        (lambda: jackknife(np.exp, [1.0, 2.0, 3.0], bin_size=2), "at least 2 blocks"),
        (lambda: jackknife(np.exp, [1.0, 2.0, 3.0], bin_size=0), "at least 2 blocks"),
        (lambda: linear_fit([1.0, 2.0], [1.0, 2.0, 3.0], 0.1), "as many x as y"),
        (lambda: linear_fit([1.0, 1.0], [1.0, 2.0], 0.1), "2 different positions"),
        (lambda: linear_fit([1.0, 2.0], [1.0, 2.0], 0.0), "must be positive"),
        (lambda: linear_fit([1.0, np.nan], [1.0, 2.0], 0.1), "not finite"),
        (lambda: extrapolation([1.0, 2.0], [1.0, 2.0], 0.1), "at least 3 runs"),
        (lambda: extrapolation([1.0, 1.0, 2.0], [1.0, 2.0, 3.0], 0.1), "2 different positions"),
    ],
)
def test_bad_input_is_refused_in_one_line(call: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


# Scales ---------------------------------------------------------------------------------------------------------------

SCALES = [1e-300, 1e-150, 1.0, 1e150, 1e200]


def in_units(result: Any, scale: float) -> dict[str, Any]:
    """A function's result by names: those in units of the series divided by its scale, the others as they are."""
    if isinstance(result, (float, int)):
        return {"": result}
    names = [name for name in dir(result) if not name.startswith("_") and not callable(getattr(result, name))]
    in_the_units = {"mean", "error", "error_uncertainty", "errors", "uncertainties", "value", "corrected"}
    return {name: getattr(result, name) / (scale if name in in_the_units else 1.0) for name in names}


def jackknife_of_mean(chains: NDArray[np.float64]) -> Any:
    return jackknife(lambda x, y: np.array([x - 2.0 * y, x + y]), chains[0], chains[1])


FUNCTIONS = [
    autocorrelation,
    binning,
    lambda chains: mean(chains[0]),
    drift,
    equilibration,
    split_r_hat,
    rank_normalised_r_hat,
    *SIZES.values(),
    jackknife_of_mean,
]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_series_in_other_units_has_the_same_statistics(function: Callable[..., Any], scale: float) -> None:
    """Means and errors in the new units, times, windows, sample sizes and R-hat as they were."""
    power = float(np.exp2(np.round(np.log2(scale))))
    # Of an even number of entries the two in the middle are equally far from the median: rounding puts one first.
    tolerance = 1e-3 if function is rank_normalised_r_hat else 1e-9
    relaxing = autoregressive(0.7, 2, 300, seed=4) + 5.0 * np.exp(-np.arange(300) / 9.0) + np.array([[3.0], [3.5]])
    for chains in (relaxing, autoregressive(-0.8, 2, 301, seed=5)):
        expected = in_units(function(chains), 1.0)
        exact, found = in_units(function(chains * power), power), in_units(function(chains * scale), scale)
        assert found.keys() == exact.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_array_equal(exact[name], value, err_msg=name)
            np.testing.assert_allclose(found[name], value, rtol=tolerance, err_msg=name)


def test_r_hat_of_sums() -> None:
    """sqrt(((n - 1)/n W + B/n) / W), and what it is where no chain varies; NaN stays NaN."""
    within, between = np.array([2.0, 0.0, 0.0, np.nan]), np.array([0.5, 0.0, 0.5, 1.0])
    np.testing.assert_array_equal(r_hat(within, between, 4), [np.sqrt(2.0 / 2.0), 1.0, np.inf, np.nan])
    assert np.isnan(r_hat(2.0, 0.5, 1))


def test_outliers_move_the_robust_scatter_little() -> None:
    values = np.random.default_rng(6).normal(2.0, 3.0, size=20_000)
    values[:500] = 1e6
    assert robust_scatter(values) == pytest.approx(3.0, rel=0.05)
    assert robust_scatter(np.array([5.0])) == 0.0


def test_samples_are_counted_by_tau_in_draws() -> None:
    """64 walkers of 100 draws with tau = 4: each is worth 25."""
    assert independent_samples(6400, 4.0) == 64 * 25
    assert all(math.isinf(independent_samples(n, tau)) for n, tau in ((0, 2.0), (9, None), (9, math.nan), (9, 0.0)))


def test_every_function_is_tried_at_every_scale() -> None:
    """Fits of lines, the autocovariance, in squared units, and R-hat of variances have tests of their own below."""
    tried = {function.__name__ for function in FUNCTIONS} | {"mean", "jackknife"}
    functions = {name for name in statistics.__all__ if name[0].islower()}
    assert functions - tried == {"autocovariance", "linear_fit", "extrapolation", "r_hat"}


@pytest.mark.parametrize("scale", [1e-150, 1.0, 1e150])
def test_r_hat_of_variances_knows_no_unit(scale: float) -> None:
    """sqrt((n - 1)/n + (B/n) / W)."""
    assert float(r_hat(2.0 * scale, 0.5 * scale, 10)) == pytest.approx(np.sqrt(0.9 + 0.25), rel=1e-14)


@pytest.mark.parametrize("scale", [1e-150, 1.0, 1e150])
def test_autocovariances_are_in_squared_units(scale: float) -> None:
    chains = autoregressive(0.7, 2, 64, seed=6)
    np.testing.assert_allclose(autocovariance(chains * scale) / scale / scale, autocovariance(chains), atol=1e-13)
    assert set(autocovariance(np.array([1.0, -1.0]) * 1e200)) == {np.inf, -np.inf}, "beyond float64"
    assert set(np.abs(autocovariance(np.array([1.0, -1.0]) * 1e-300))) == {0.0}


@pytest.mark.parametrize("x_scale", SCALES)
@pytest.mark.parametrize("y_scale", SCALES)
def test_lines_in_other_units(x_scale: float, y_scale: float) -> None:
    """The slope, in units of y over x, is out of range where one is tiny and the other huge; the intercept is not."""
    rng = np.random.default_rng(20)
    x, error = 1.0 + rng.random(6), 0.1 + rng.random(6)
    y = 1.0 + 2.0 * x + rng.normal(size=6)
    expected, found = extrapolation(x, y, error), extrapolation(x * x_scale, y * y_scale, error * y_scale)
    assert found.value / y_scale == pytest.approx(expected.value, rel=1e-9)
    assert found.error / y_scale == pytest.approx(expected.error, rel=1e-9)
    assert found.statistical_error / y_scale == pytest.approx(expected.statistical_error, rel=1e-9)
    np.testing.assert_allclose(found.without_one / y_scale, expected.without_one, rtol=1e-9)
    line, plain = found.fit, expected.fit
    assert (line.chi_square, line.p_value) == (pytest.approx(plain.chi_square), pytest.approx(plain.p_value))
    if 1e-300 < y_scale / x_scale < 1e300:
        for here, there in zip(line.at(1.5 * x_scale), plain.at(1.5), strict=True):
            assert here / y_scale == pytest.approx(there, rel=1e-9)
        assert line.slope * x_scale / y_scale == pytest.approx(plain.slope, rel=1e-9)
        assert line.slope_error * x_scale / y_scale == pytest.approx(plain.slope_error, rel=1e-9)


@pytest.mark.parametrize(
    ("shape", "scale"), [*product([(3, 40)], SCALES), ((100,), 1.0), ((4, 26), 1.0), ((16, 20), 1.0)]
)
def test_constant_series_have_no_error_at_any_scale(shape: tuple[int, ...], scale: float) -> None:
    values = np.full(shape, -0.1 * scale)
    bins, gamma, average = binning(values), autocorrelation(values), mean(values)
    for result in (bins, gamma):
        assert (result.error, result.error_uncertainty, result.converged) == (0.0, 0.0, True)
        assert result.mean == pytest.approx(-0.1 * scale, rel=1e-15)
    assert (gamma.mean, average.mean, average.error, average.converged) == (-0.1 * scale, -0.1 * scale, 0.0, True)
    assert (bins.autocorrelation_time, gamma.time, gamma.effective_samples) == (1.0, 1.0, values.size)
    assert (equilibration(values), drift(np.resize(values, 64))) == (0, 0.0)
    assert split_r_hat(values) == rank_normalised_r_hat(values) == 1.0
    assert [size(values) for size in SIZES.values()] == [values.size] * 3
    assert float(jackknife(lambda x: x, np.full(40, -0.1 * scale)).error) == 0.0
    levels = np.full((3, 40), -0.1 * scale) + np.array([[0.0], [1.0], [2.0]]) * scale
    assert split_r_hat(levels) == float("inf"), "constant halves that differ"
    values.reshape(-1)[7] = np.nan
    for function in (autocorrelation, binning, drift, split_r_hat, *SIZES.values()):
        with pytest.raises(InputError, match="not finite" if values.shape[-1] >= 32 else "not finite|at least 32"):
            function(values)


@pytest.mark.parametrize("n_draws", [4, 8, 24])
def test_limit_of_r_hat_is_that_of_chains_that_agree(n_draws: int) -> None:
    """AR(1) chains with tau = 2 from their stationary distribution: R-hat^2 of many is the limit's."""
    rng, rho = np.random.default_rng(3), 1 / 3
    chains = np.empty((40_000, n_draws))
    chains[:, 0] = rng.normal(size=len(chains))
    for draw in range(1, n_draws):
        chains[:, draw] = rho * chains[:, draw - 1] + np.sqrt(1 - rho**2) * rng.normal(size=len(chains))
    n = n_draws // 2
    time = 1 + 2 * sum((1 - t / n) * rho**t for t in range(1, n))
    expected = np.sqrt((n - 1) / n / (1 - time / n))
    assert split_r_hat(chains) == pytest.approx(expected, rel=0.01)  # 2e-3 by chance: five errors
    assert r_hat_limit(n_draws) == pytest.approx(max(1.05, expected))


def test_long_chains_have_the_limit_of_the_table() -> None:
    assert [r_hat_limit(n) for n in (float("nan"), 0, 3, 22, 1000)] == [1.05] * 5
    assert r_hat_limit(4) == pytest.approx(np.sqrt(1.5))
