"""The statistics of the local energy against their textbook formulas, written out on their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pvmc.estimators import EnergyStatistics
from pvmc.estimators.energy import energy_statistics
from pvmc.mpi import SerialCommunicator
from pvmc.vmc.guard import Guard


def statistics_of(
    energies: npt.NDArray[Any],
    n_sites: int = 8,
    infinite_temperature: float = 0.0,
    accepted: int = 1,
    proposed: int = 2,
    weights: npt.NDArray[np.float64] | None = None,
    n_blocks: int = 1,
) -> EnergyStatistics:
    mean = complex(np.average(energies, weights=weights))
    centred = energies - (mean if np.iscomplexobj(energies) else mean.real)
    comm, more = SerialCommunicator(), {"weights": weights, "n_blocks": n_blocks}
    return energy_statistics(centred, mean, n_sites, infinite_temperature, accepted, proposed, comm, **more)


def split_r_hat(energies: npt.NDArray[np.float64]) -> float:
    """Gelman et al., Bayesian Data Analysis, 3rd ed., eqs. (11.1)-(11.4), chain by chain, in extended precision."""
    chains = []
    for walker in energies.T.astype(np.longdouble):
        n = len(walker) // 2
        chains += [walker[:n], walker[n : 2 * n]]
    m = len(chains)
    means = [sum(chain) / n for chain in chains]
    grand = sum(means) / m
    between = n / (m - 1) * sum((mean - grand) ** 2 for mean in means)
    within = sum(sum((x - mean) ** 2 for x in chain) / (n - 1) for chain, mean in zip(chains, means, strict=True)) / m
    return float(np.sqrt(((n - 1) / n * within + between / n) / within))


@pytest.fixture(params=[np.float64, np.complex128], ids=["real", "complex"])
def energies(request: pytest.FixtureRequest) -> npt.NDArray[Any]:
    """Fifteen draws of 12 walkers around -40, walkers apart by about their own scatter."""
    rng = np.random.default_rng(1)
    values = -40.0 + rng.normal(size=(15, 12)) + rng.normal(size=12)
    return values + 0.3j * rng.normal(size=(15, 12)) if request.param == np.complex128 else values


def test_mean_variance_error_and_time(energies: npt.NDArray[Any]) -> None:
    result = statistics_of(energies)
    walker_means = energies.real.mean(axis=0)
    assert result.mean == energies.mean()
    assert result.n_samples == 15 * 12
    assert result.variance == pytest.approx(np.mean(np.abs(energies - energies.mean()) ** 2), rel=1e-12)
    assert result.error == pytest.approx(walker_means.std(ddof=1) / np.sqrt(12), rel=1e-12)
    assert result.autocorrelation_time == pytest.approx(15 * walker_means.var(ddof=1) / energies.real.var(), rel=1e-12)


@pytest.mark.parametrize("n_draws", [4, 5, 14, 15])
def test_split_r_hat_is_the_textbook_one(energies: npt.NDArray[Any], n_draws: int) -> None:
    assert statistics_of(energies[:n_draws]).r_hat == pytest.approx(split_r_hat(energies[:n_draws].real), rel=1e-12)


def test_split_r_hat_sees_a_drift_that_all_walkers_share() -> None:
    drift = np.linspace(-2.0, 2.0, 40)[:, None] + np.random.default_rng(2).normal(size=(40, 16))
    assert statistics_of(drift).r_hat > 1.1
    unsplit = drift.mean(axis=0).var(ddof=1) / drift.var(axis=0, ddof=1).mean()
    assert np.sqrt(39 / 40 + unsplit) < 1.01


@pytest.mark.parametrize("n_draws", [1, 2, 3])
def test_chains_too_short_for_r_hat(n_draws: int) -> None:
    result = statistics_of(np.random.default_rng(3).normal(size=(n_draws, 8)))
    assert np.isnan(result.r_hat)
    assert result.error > 0 and np.isfinite(result.autocorrelation_time)


def test_v_score(energies: npt.NDArray[Any]) -> None:
    """N Var / (E - E_inf)^2, which neither a shift nor a scale of the Hamiltonian changes."""
    result = statistics_of(energies, n_sites=10, infinite_temperature=-4.0)
    assert result.v_score == pytest.approx(10 * result.variance / (energies.mean().real + 4.0) ** 2, rel=1e-12)
    other = statistics_of(3.0 * energies + 7.0, n_sites=10, infinite_temperature=-5.0)
    assert other.v_score == pytest.approx(result.v_score, rel=1e-10)


def test_acceptance(energies: npt.NDArray[Any]) -> None:
    assert statistics_of(energies, accepted=30, proposed=120).acceptance == 0.25


def test_an_eigenstate_has_no_scatter() -> None:
    result = statistics_of(np.full((8, 6), -3.25))
    assert (result.mean, result.error, result.variance, result.v_score) == (-3.25, 0.0, 0.0, 0.0)
    assert (result.r_hat, result.autocorrelation_time) == (1.0, 1.0)


def test_walkers_that_never_move() -> None:
    """All scatter is between walkers: tau is as long as the chains, and R-hat has no bound."""
    result = statistics_of(np.tile(np.random.default_rng(4).normal(size=20), (10, 1)))
    assert result.r_hat > 1e6
    assert result.autocorrelation_time == pytest.approx(10 * 20 / 19, rel=1e-12)


def test_digits_survive_a_large_offset() -> None:
    """Scatter of 1e-6 on a mean of 1e6: single-pass formulas would have no digit left."""
    shifted = 1e6 + 1e-6 * np.random.default_rng(5).normal(size=(16, 10))
    kept = shifted - 1e6  # exact, by Sterbenz' lemma
    result = statistics_of(shifted)
    assert result.variance == pytest.approx(np.var(kept), rel=1e-6)
    assert result.error == pytest.approx(kept.mean(axis=0).std(ddof=1) / np.sqrt(10), rel=1e-6)


# Weights --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def weights() -> npt.NDArray[np.float64]:
    """Of mean 1, as for the energies."""
    values = np.exp(np.random.default_rng(6).normal(size=(15, 12)))
    return np.asarray(values / values.mean())


@pytest.mark.parametrize("n_blocks", [1, 3])
def test_weighted_statistics(energies: npt.NDArray[Any], weights: npt.NDArray[np.float64], n_blocks: int) -> None:
    """The variance is a weighted mean; error, time and R-hat are those of the unweighted series w (E - mean)."""
    result = statistics_of(energies, 10, -4.0, weights=weights, n_blocks=n_blocks)
    mean = np.sum(weights * energies) / np.sum(weights)
    series = weights * (energies - mean).real
    assert result.mean == pytest.approx(mean, rel=1e-13)
    assert result.variance == pytest.approx(np.sum(weights * np.abs(energies - mean) ** 2) / 180, rel=1e-12)
    assert result.v_score == pytest.approx(10 * result.variance / (mean.real + 4.0) ** 2, rel=1e-12)
    assert result.error == pytest.approx(series.mean(axis=0).std(ddof=1) / np.sqrt(12), rel=1e-10)
    time = 15 * series.mean(axis=0).var(ddof=1) / series.var()
    assert result.autocorrelation_time == pytest.approx(time, rel=1e-10)
    assert result.r_hat == pytest.approx(split_r_hat(series), rel=1e-10)
    assert result.effective_samples == pytest.approx(np.sum(weights) ** 2 / np.sum(weights**2), rel=1e-12)
    assert result.effective_samples < 0.6 * result.n_samples


def test_the_error_of_a_ratio_is_that_of_leaving_walkers_out() -> None:
    """The jackknife over 400 walkers, sqrt((W - 1)/W sum (R_without - R)^2), agrees with the delta method to 1/W."""
    rng = np.random.default_rng(7)
    weights = rng.exponential(size=(5, 400)) + 0.5 * rng.exponential(size=400)
    energies = -3.0 + rng.normal(size=(5, 400)) + rng.normal(size=400) + 0.5 * weights
    weights /= weights.mean()
    products, sums = (weights * energies).sum(axis=0), weights.sum(axis=0)
    without = (products.sum() - products) / (sums.sum() - sums)
    jackknife = np.sqrt(399 / 400 * np.sum((without - without.mean()) ** 2))
    assert statistics_of(energies, weights=weights).error == pytest.approx(jackknife, rel=0.02)
    assert statistics_of(energies).error != pytest.approx(jackknife, rel=0.1)


def test_equal_weights_are_none(energies: npt.NDArray[Any]) -> None:
    """Up to the imaginary parts, which count in the variance alone."""
    weighted, plain = statistics_of(energies, weights=np.ones((15, 12))), statistics_of(energies)
    for name in ("mean", "error", "variance", "autocorrelation_time", "r_hat", "v_score", "effective_samples"):
        assert getattr(weighted, name) == pytest.approx(getattr(plain, name), rel=1e-12)
    assert plain.effective_samples == plain.n_samples == 180


def test_what_weighs_nothing_does_not_count(energies: npt.NDArray[Any], weights: npt.NDArray[np.float64]) -> None:
    """A configuration where psi vanishes has no local energy; the weights then sum to the number of the others."""
    weights[3, 4] = 0.0
    weights *= 179 / weights.sum()
    expected = statistics_of(energies, weights=weights)
    mean = expected.mean
    spoilt = energies - (mean if np.iscomplexobj(energies) else mean.real)
    spoilt[3, 4] = np.nan
    result = energy_statistics(spoilt, mean, 8, 0.0, 1, 2, SerialCommunicator(), weights=weights)
    assert result == expected
    series = weights / weights.mean() * (energies - mean).real
    assert result.error == pytest.approx(series.mean(axis=0).std(ddof=1) / np.sqrt(12), rel=1e-10)
    assert result.variance == pytest.approx(np.average(np.abs(energies - mean) ** 2, weights=weights), rel=1e-12)
    assert result.effective_samples == pytest.approx(np.sum(weights) ** 2 / np.sum(weights**2), rel=1e-12)


class Overheard(SerialCommunicator):
    """Adds up what it is given: the second of two ranks that report one after the other gets the sum of both."""

    def __init__(self) -> None:
        super().__init__()
        self._total: Any = 0

    def sum(self, array: Any) -> Any:
        self._total = self._total + array
        return self._total


@pytest.mark.parametrize("split", [1, 2])
def test_weighted_statistics_have_the_same_bits_on_any_ranks(
    energies: npt.NDArray[Any], weights: npt.NDArray[np.float64], split: int
) -> None:
    """Three blocks of one rank, or one and two of two."""
    mean = complex(np.average(energies, weights=weights))
    centred = energies - (mean if np.iscomplexobj(energies) else mean.real)

    def on(comm: Any, walkers: slice, n_blocks: int) -> EnergyStatistics:
        part, weight = centred[:, walkers], weights[:, walkers]
        counts = 10 * n_blocks, 20 * n_blocks
        return energy_statistics(part, mean, 8, 0.0, *counts, comm, n_blocks=n_blocks, weights=weight)

    alone = on(SerialCommunicator(), slice(0, 12), 3)
    other = Overheard()
    on(other, slice(4 * split, 12), 3 - split)
    assert on(other, slice(0, 4 * split), split) == alone


@pytest.mark.parametrize("exact_sums", [True, False])
@pytest.mark.parametrize("size", [1e160, 1e300])
def test_energies_whose_squares_overflow_end_no_program(size: float, exact_sums: bool) -> None:
    """Of a psi that has left the range of numbers: a run goes back, which an OverflowError would not let it."""
    energies = size * np.array([[1.0, 2.0], [0.5, -1.0], [3.0, 1.0], [2.0, 4.0]])
    found = energy_statistics(energies, complex(size), 8, 0.0, 1, 2, SerialCommunicator(), exact_sums=exact_sums)
    assert not np.isfinite(found.variance) and not np.isfinite(found.v_score) and not np.isfinite(found.r_hat)
    assert Guard().check(3, found.mean.real, found.error, found.variance, 0.5) is not None
