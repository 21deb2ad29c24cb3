"""Claimed errors and autocorrelation times against chains of which all is known.

Synthetic chains: stationary Gaussian AR(1), x_t = phi x_{t-1} + sqrt(1 - phi^2) noise, of variance 1; rho(t) = phi^t.
Real ones: Metropolis walkers of a small system, whose exact energy comes from enumeration.  Tests are two-sided and
fail by chance with the probability LEVEL each.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from pvmc.estimators import EnergyStatistics, local_energy
from pvmc.estimators.energy import energy_statistics
from pvmc.hamiltonians import Operator
from pvmc.hamiltonians.ising import transverse_field_ising
from pvmc.lattice import chain
from pvmc.mpi import SerialCommunicator
from pvmc.sampler import Metropolis, Moves, MoveWeights, advance, start
from pvmc.wavefunctions import RBM
from tests.helpers import binomial_p, configurations, enumerated_moments, random_rbm, two_sided

pytestmark = pytest.mark.statistical

LEVEL = 1e-3
COMM = SerialCommunicator()


def autoregressive(rng: np.random.Generator, phi: float, n_draws: int, n_walkers: int) -> npt.NDArray[np.float64]:
    """Stationary chains, (n_draws, n_walkers), one per column."""
    chains = rng.standard_normal((n_draws, n_walkers))
    for t in range(1, n_draws):
        chains[t] = phi * chains[t - 1] + np.sqrt(1.0 - phi**2) * chains[t]
    return chains


def finite_chain_time(phi: float, n_draws: int) -> float:
    """n_draws times the variance of a chain's mean: 1 + 2 sum_{t=1}^{T-1} (1 - t/T) phi^t."""
    t = np.arange(1, n_draws)
    return float(1.0 + 2.0 * np.sum((1.0 - t / n_draws) * phi**t))


def statistics_of(energies: npt.NDArray[Any]) -> EnergyStatistics:
    mean = energies.mean()
    return energy_statistics(energies - mean, complex(mean), 1, 0.0, 1, 1, COMM)


def coverage_p(pulls: npt.NDArray[np.float64], n_walkers: int) -> float:
    """p-value of the number of deviations within one claimed error.

    The error is a standard deviation of n_walkers Gaussian means, so that the pulls follow Student's distribution; for
    many walkers the coverage is the 68.3 % of the Gaussian.
    """
    expected = 2.0 * stats.t.cdf(1.0, n_walkers - 1) - 1.0
    return binomial_p(int(np.count_nonzero(np.abs(pulls) < 1.0)), len(pulls), expected)


def test_the_coverage_expected_is_that_of_one_sigma() -> None:
    assert 2.0 * stats.t.cdf(1.0, 63) - 1.0 == pytest.approx(0.6827, abs=0.005)


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9, -0.4])
@pytest.mark.parametrize(("n_draws", "n_walkers"), [(1, 64), (8, 64), (32, 8)])
def test_claimed_errors_cover_the_truth_as_often_as_they_should(phi: float, n_draws: int, n_walkers: int) -> None:
    rng = np.random.default_rng([1, n_draws, n_walkers])
    results = [statistics_of(-10.0 + autoregressive(rng, phi, n_draws, n_walkers)) for _ in range(2000)]
    pulls = np.array([(result.mean.real + 10.0) / result.error for result in results])
    assert coverage_p(pulls, n_walkers) > LEVEL
    assert two_sided(stats.kstest(pulls, stats.t(n_walkers - 1).cdf).pvalue) > LEVEL


@pytest.mark.parametrize("phi", [0.5, 0.9])
def test_errors_that_ignore_correlations_would_fail(phi: float) -> None:
    rng = np.random.default_rng(2)
    results = [statistics_of(autoregressive(rng, phi, 32, 64)) for _ in range(500)]
    naive = np.array([r.mean.real / np.sqrt(r.variance / r.n_samples) for r in results])
    assert coverage_p(naive, 64) < 1e-6


@pytest.mark.parametrize("phi", [0.0, 0.3, 0.8, 0.95, -0.4])
@pytest.mark.parametrize("n_draws", [8, 64])
def test_the_autocorrelation_time_is_that_of_the_chains(phi: float, n_draws: int) -> None:
    """1 + 2 sum (1 - t/T) phi^t: (1 + phi) / (1 - phi) but for the chains' finite length."""
    n_walkers, repeats = 1024, 60
    rng = np.random.default_rng([3, n_draws])
    times = np.array(
        [statistics_of(autoregressive(rng, phi, n_draws, n_walkers)).autocorrelation_time for _ in range(repeats)]
    )
    expected = finite_chain_time(phi, n_draws)
    assert (
        two_sided(stats.t.cdf((times.mean() - expected) / (times.std(ddof=1) / np.sqrt(repeats)), repeats - 1)) > LEVEL
    )
    # The scatter of a variance of Gaussian means: sqrt(2 / (n - 1)), a little less for the common denominator.
    assert times.std(ddof=1) / expected < 1.5 * np.sqrt(2.0 / (n_walkers - 1))


@pytest.mark.parametrize("phi", [0.3, 0.8, -0.4])
def test_long_chains_have_the_textbook_time(phi: float) -> None:
    n_draws = 20_000
    assert finite_chain_time(phi, n_draws) == pytest.approx((1 + phi) / (1 - phi), rel=1e-3)
    result = statistics_of(autoregressive(np.random.default_rng(4), phi, n_draws, 200))
    spread = result.autocorrelation_time / ((1 + phi) / (1 - phi)) * 199
    assert two_sided(stats.chi2.cdf(spread, 199)) > LEVEL


# Real chains ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[np.float64, np.complex128], ids=["real", "complex"])
def runs(request: pytest.FixtureRequest) -> tuple[float, float, list[EnergyStatistics]]:
    """Exact energy and variance of a state of 6 sites, and the statistics of 400 independent short runs."""
    rbm, theta = random_rbm(6, request.param, "translation", n_features=1, scale=0.25)
    operator = Operator.from_pauli_sum(transverse_field_ising(6, chain(6).bonds(), 1.0, 0.7), 6)
    exact = enumerated_moments(rbm, theta, operator, configurations(6))
    results = [short_run(rbm, theta, operator, seed) for seed in range(400)]
    return exact.energy.mean.real, exact.energy.variance, results


def short_run(rbm: RBM, theta: npt.NDArray[Any], operator: Operator, seed: int) -> EnergyStatistics:
    """16 draws from each of 32 walkers, so few proposals apart that they are correlated."""
    lattice, psi = chain(6), rbm.at(theta)
    sampler = Metropolis(Moves.build(MoveWeights(flip=1.0), lattice), seed, n_draws=16, sweep=1, burn_in=40, discard=1)
    _, samples = advance(sampler, start("random", range(1), 32, lattice, None, seed), psi, 0)
    spins = np.ascontiguousarray(samples.spins[0].transpose(1, 0, 2).reshape(6, -1))
    return statistics_of(local_energy(operator, psi, spins, psi.lookup(spins)).reshape(16, 32))


def test_errors_of_metropolis_chains_cover_the_exact_energy(
    runs: tuple[float, float, list[EnergyStatistics]],
) -> None:
    energy, _, results = runs
    assert np.mean([result.autocorrelation_time for result in results]) > 1.5, "no correlation to be seen through"
    pulls = np.array([(result.mean.real - energy) / result.error for result in results])
    assert coverage_p(pulls, 32) > LEVEL
    assert two_sided(stats.norm.cdf(pulls.mean() * np.sqrt(len(pulls) / (31 / 29)))) > LEVEL


def test_the_scatter_of_runs_is_the_error_that_they_claim(runs: tuple[float, float, list[EnergyStatistics]]) -> None:
    _, _, results = runs
    means = np.array([result.mean.real for result in results])
    claimed = np.mean([result.error**2 for result in results])
    assert two_sided(stats.chi2.cdf((len(means) - 1) * means.var(ddof=1) / claimed, len(means) - 1)) > LEVEL


def test_the_variance_is_that_of_the_hamiltonian(runs: tuple[float, float, list[EnergyStatistics]]) -> None:
    """<|E_loc - E|^2> = <H^2> - <H>^2, less what the fitted mean takes: its own squared error."""
    _, exact, results = runs
    variances = np.array([result.variance + result.error**2 for result in results])
    score = (variances.mean() - exact) / (variances.std(ddof=1) / np.sqrt(len(variances)))
    assert two_sided(stats.norm.cdf(score)) > LEVEL
