"""Configurations drawn from |psi|^p with the weights |psi|^(2-p): distributions, means, and the errors they claim.

Against enumeration of all configurations of 8 spins.  Tests are two-sided and fail by chance with the probability LEVEL
each (Bonferroni within a test).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import optimize, stats

from pvmc.estimators import EnergyStatistics, local_energy
from pvmc.estimators.energy import energy_statistics
from pvmc.hamiltonians import Operator
from pvmc.hamiltonians.ising import transverse_field_ising
from pvmc.lattice import chain
from pvmc.mpi import SerialCommunicator, block_range
from pvmc.sampler import Metropolis, Moves, MoveWeights, Samples, Tempering, Walkers, advance, start
from pvmc.wavefunctions import WaveFunction
from tests.designs import slow_but
from tests.helpers import (
    EnumeratedMoments,
    all_pass,
    binomial_p,
    chi_square_p,
    configurations,
    enumerated_moments,
    labels_of,
    mean_p,
    random_rbm,
    state_vector,
    two_sided,
)
from tests.sampler.chains import counted, flat, probabilities, same_in_parts

Floats = npt.NDArray[np.float64]

LEVEL = 1e-3
N_SITES = 8
CONTRAST = 6.0
"""ln of the largest |psi|^2 over the smallest."""

RING = chain(N_SITES)
COMM = SerialCommunicator()
OPERATOR = Operator.from_pauli_sum(transverse_field_ising(N_SITES, RING.bonds(), 1.0, 0.7), N_SITES)
POWERS = (1.0, 1.5)

power = pytest.mark.parametrize("power", POWERS)
quick_power = pytest.mark.parametrize("power", slow_but([1.5], POWERS))


def sampler(power: float, *, weights: dict[str, float] | None = None, seed: int = 1, **settings: Any) -> Metropolis:
    moves = Moves.build(MoveWeights(**(weights or {"flip": 1.0})), RING)
    counts = {"n_draws": 1, "sweep": 2 * N_SITES, "burn_in": 25, "discard": 1} | settings
    return Metropolis(moves, seed, power=power, **counts)


@pytest.fixture(scope="module", params=[np.float64, np.complex128], ids=["real", "complex"])
def state(request: pytest.FixtureRequest) -> tuple[WaveFunction, EnumeratedMoments]:
    """A state, scaled so that the largest |psi|^2 is exp(6) times the smallest, and its moments."""
    rbm, theta = random_rbm(N_SITES, request.param, "translation", n_features=1, scale=0.5)

    def excess(scale: float) -> float:
        return float(np.ptp(2.0 * rbm.at(scale * theta).log_psi(configurations(N_SITES)).real)) - CONTRAST

    theta = optimize.brentq(excess, 0.0, 1.0) * theta
    return rbm.at(theta), enumerated_moments(rbm, theta, OPERATOR, configurations(N_SITES))


def weights_of(samples: Samples) -> Floats:
    """Of mean one, (n_draws, n_walkers)."""
    assert samples.log_weights is not None
    weights = np.exp(samples.log_weights - samples.log_weights.max())
    return (weights / weights.mean()).transpose(1, 0, 2).reshape(samples.n_draws, -1)


def statistics_of(samples: Samples, psi: WaveFunction) -> EnergyStatistics:
    spins, weights = flat(samples), weights_of(samples)
    energies = local_energy(OPERATOR, psi, spins, psi.lookup(spins)).reshape(weights.shape)
    mean = np.average(energies, weights=weights)
    return energy_statistics(
        energies - mean, complex(mean), N_SITES, 0.0, 1, 1, COMM, n_blocks=samples.n_blocks, weights=weights
    )


@pytest.mark.statistical
@quick_power
@pytest.mark.parametrize("weights", [{"flip": 1.0}, {"flip": 1.0, "global_flip": 0.2, "translation": 0.2}], ids=str)
def test_draws_follow_the_power(
    state: tuple[WaveFunction, EnumeratedMoments], power: float, weights: dict[str, float]
) -> None:
    psi, _ = state
    walkers, samples = advance(sampler(power, weights=weights), start("random", range(150), 64, RING, None, 2), psi, 0)
    counts = counted(samples.spins[:, 0])
    assert chi_square_p(counts, probabilities(psi, N_SITES, power=power)) > LEVEL
    assert chi_square_p(counts, probabilities(psi, N_SITES, power=power + 0.5)) < 1e-9, "the test tells powers apart"
    np.testing.assert_array_equal(walkers.spins, samples.spins[:, -1])


@pytest.mark.statistical
def test_replicas_are_relative_to_the_power(state: tuple[WaveFunction, EnumeratedMoments]) -> None:
    psi, _ = state
    tempering = Tempering((1.0, 0.6, 0.2))
    tempered = sampler(1.0, tempering=tempering)
    walkers, samples = advance(tempered, start("random", range(150), 192, RING, None, 3), psi, 0)
    np.testing.assert_array_equal(samples.spins[:, 0], walkers.spins[:, :, :64])
    replicas = [counted(walkers.spins[:, :, 64 * r : 64 * (r + 1)]) for r in range(3)]
    p_values = [
        chi_square_p(replicas[r], probabilities(psi, N_SITES, power=beta)) for r, beta in enumerate(tempering.betas)
    ]
    assert all_pass(p_values, LEVEL)
    assert chi_square_p(replicas[1], probabilities(psi, N_SITES, power=2.0 * 0.6)) < 1e-9


@pytest.mark.parametrize("replicas", [1, 3])
@pytest.mark.parametrize("power", [2.0, *POWERS])
def test_weights_and_look_ups_belong_to_the_configurations(
    state: tuple[WaveFunction, EnumeratedMoments], power: float, replicas: int
) -> None:
    """ln w = (2 - p) ln|psi|; look-ups follow flips, exchanges, maps and swaps; to walk again gives the same."""
    psi, _ = state
    tempering = Tempering((1.0, 0.5, 0.25)) if replicas > 1 else None
    mixture = {"flip": 1.0, "exchange_any": 0.5, "global_flip": 0.2, "translation": 0.2}
    walkers = start("random", range(2), 16 * replicas, RING, None, 4)
    walk = sampler(power, weights=mixture, n_draws=5, tempering=tempering).walk(walkers, psi, 0)
    first, again = Samples.of(walk), Samples.of(walk)
    assert first.spins.shape == (2, 5, N_SITES, 16) and not first.is_exact
    np.testing.assert_array_equal(first.spins, again.spins)
    np.testing.assert_array_equal(first.lookup, again.lookup)
    for block, draw in np.ndindex(2, 5):
        spins = np.ascontiguousarray(first.spins[block, draw])
        np.testing.assert_allclose(first.lookup[block, draw], psi.lookup(spins), rtol=0, atol=1e-12)
        if power == 2.0:
            assert first.log_weights is None
        else:
            assert first.log_weights is not None
            np.testing.assert_array_equal(first.log_weights[block, draw], (2.0 - power) * psi.log_psi(spins).real)
            np.testing.assert_array_equal(first.lookup[block, draw], psi.lookup(spins))
    assert first.proposed == 2 * 16 * 2 * N_SITES * 30 and 0 < first.accepted < first.proposed


@pytest.mark.statistical
@quick_power
def test_weighted_energy_force_and_tensor_have_their_exact_means(
    state: tuple[WaveFunction, EnumeratedMoments], power: float
) -> None:
    """A mean <w x> / <w> is exact where <w (x - exact)> vanishes, which has no bias: a chi-square each for E, its
    variance, <O>, F and S.  Without the weights, E, F and S are told apart from the exact ones.
    """
    psi, exact = state
    _, samples = advance(sampler(power), start("random", range(400), 64, RING, None, 5), psi, 0)
    spins, weights = flat(samples), weights_of(samples)[0]
    lookup = psi.lookup(spins)
    energies = local_energy(OPERATOR, psi, spins, lookup) - exact.energy.mean
    rows = psi.log_derivatives(spins, lookup) - exact.derivative_mean[:, None]
    lower = np.tril_indices(len(rows))
    values = {
        "energy": (energies.real[None], np.zeros(1)),
        "variance": (np.abs(energies[None]) ** 2, np.array([exact.energy.variance])),
        "derivatives": (rows, np.zeros(len(rows))),
        "force": (rows.conj() * energies, exact.force),
        "tensor": (rows[lower[0]].conj() * rows[lower[1]], exact.tensor[lower]),
    }
    if exact.real_parameters:
        values = {name: (value.real, expected) for name, (value, expected) in values.items()}
    deviations = {name: value - expected[:, None] for name, (value, expected) in values.items()}
    p_values = [mean_p(weights * deviation, np.zeros(len(deviation))) for deviation in deviations.values()]
    assert all_pass(p_values, LEVEL), p_values
    for name in ("energy", "force", "tensor"):
        assert mean_p(deviations[name], np.zeros(len(deviations[name]))) < 1e-6


@pytest.mark.statistical
@quick_power
def test_effective_samples_are_those_of_the_distribution(
    state: tuple[WaveFunction, EnumeratedMoments], power: float
) -> None:
    """Kish's number by its formula, and its limit n (sum_s |psi|^2)^2 / (sum_s |psi|^p sum_s |psi|^(4-p))."""
    psi, _ = state
    _, samples = advance(sampler(power), start("random", range(400), 64, RING, None, 6), psi, 0)
    weights, result = weights_of(samples), statistics_of(samples, psi)
    assert result.effective_samples == pytest.approx(weights.sum() ** 2 / np.sum(weights**2), rel=1e-12)
    assert result.n_samples == 400 * 64 and result.effective_samples < 0.98 * result.n_samples
    # n / n_eff = <w^2> / <w>^2, whose error is that of w^2 / <w>^2 - 2 w <w^2> / <w>^3.
    sums = [np.sum(np.abs(state_vector(psi, configurations(N_SITES))) ** q) for q in (power, 2.0, 4.0 - power)]
    scatter = np.std(weights**2 - 2.0 * weights * np.mean(weights**2)) / np.sqrt(weights.size)
    deviation = result.n_samples / result.effective_samples - sums[0] * sums[2] / sums[1] ** 2
    assert two_sided(stats.norm.cdf(deviation / scatter)) > LEVEL


@pytest.fixture(scope="module")
def runs(state: tuple[WaveFunction, EnumeratedMoments]) -> Callable[[float], list[EnergyStatistics]]:
    """400 short runs of a power: 16 draws of 32 walkers, so few proposals apart that they are correlated."""
    psi, _ = state
    settings = {"n_draws": 16, "sweep": 2, "burn_in": 200}
    return lambda p: [
        statistics_of(advance(sampler(p, seed=seed, **settings), start_of(seed), psi, 0)[1], psi) for seed in range(400)
    ]


def start_of(seed: int) -> Walkers:
    return start("random", range(2), 16, RING, None, seed)


@pytest.mark.statistical
@quick_power
def test_claimed_errors_cover_the_exact_energy(
    state: tuple[WaveFunction, EnumeratedMoments], runs: Callable[[float], list[EnergyStatistics]], power: float
) -> None:
    """As often as Student's distribution of 32 means says; the scatter of the runs is what they claim."""
    exact, results = state[1].energy.mean.real, runs(power)
    assert np.mean([result.autocorrelation_time for result in results]) > 1.5, "no correlation to be seen through"
    deviations = np.array([result.mean.real - exact for result in results])
    errors = np.array([result.error for result in results])
    covered = int(np.count_nonzero(np.abs(deviations) < errors))
    expected = 2.0 * stats.t.cdf(1.0, 31) - 1.0
    spread = 399 * deviations.var(ddof=1) / np.mean(errors**2)
    assert all_pass([binomial_p(covered, 400, expected), two_sided(stats.chi2.cdf(spread, 399))], LEVEL)
    naive = np.sqrt([result.variance / result.n_samples for result in results])
    assert binomial_p(int(np.count_nonzero(np.abs(deviations) < naive)), 400, expected) < 1e-6


@power
@pytest.mark.parametrize("size", [2, 3, 5])
def test_chains_and_weights_are_the_same_whoever_owns_the_blocks(
    state: tuple[WaveFunction, EnumeratedMoments], power: float, size: int
) -> None:
    """Two iterations, the second with more draws, on one rank and on several: bit for bit."""
    psi, _ = state

    def two_iterations(blocks: range) -> list[Samples]:
        weighted = sampler(power, n_draws=3)
        walk = weighted.walk(start("random", blocks, 16, RING, None, 1), psi, 0)
        first = Samples.of(walk)
        return [first, Samples.of(weighted.walk(walk.walkers, psi, 1, n_draws=5))]

    whole = two_iterations(range(5))
    parts = [two_iterations(block_range(5, rank, size)) for rank in range(size)]
    same_in_parts(whole, parts, "spins", "lookup", "log_weights")


# Draws and stages of a walk -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("power", [2.0, 1.5])
def test_more_draws_go_on_where_fewer_end(state: tuple[WaveFunction, EnumeratedMoments], power: float) -> None:
    """The first draws are the same, and those of a sampler that was built with as many."""
    psi, _ = state
    few, walkers = sampler(power, n_draws=2), start("random", range(2), 16, RING, None, 1)
    short, long = Samples.of(few.walk(walkers, psi, 0)), few.walk(walkers, psi, 0, n_draws=6)
    assert long.n_draws == 6
    built = Samples.of(replace(few, n_draws=6).walk(walkers, psi, 0))
    kept = Samples.of(long)
    np.testing.assert_array_equal(kept.spins, built.spins)
    np.testing.assert_array_equal(kept.spins[:, :2], short.spins)
    assert (kept.accepted, kept.proposed) == (built.accepted, built.proposed)
    np.testing.assert_array_equal(long.walkers.spins, kept.spins[:, -1])


@pytest.mark.parametrize("power", [2.0, 1.5])
def test_a_second_stage_has_random_numbers_of_its_own(
    state: tuple[WaveFunction, EnumeratedMoments], power: float
) -> None:
    """And no burn-in, in iteration 0 either; stage 0 is the walk without a stage."""
    psi, _ = state
    lazy, walkers = sampler(power, n_draws=4, burn_in=3, discard=3), start("random", range(2), 16, RING, None, 1)
    spins = {
        (iteration, stage): Samples.of(lazy.walk(walkers, psi, iteration, stage=stage)).spins.tobytes()
        for iteration in (0, 1)
        for stage in (0, 1)
    }
    assert len(set(spins.values())) == 4
    assert Samples.of(lazy.walk(walkers, psi, 0)).spins.tobytes() == spins[0, 0]
    eager = replace(lazy, burn_in=50)
    per_sweep = 2 * 16 * lazy.sweep
    assert Samples.of(eager.walk(walkers, psi, 0)).proposed == per_sweep * 54
    assert Samples.of(eager.walk(walkers, psi, 0, stage=1)).proposed == per_sweep * 7
    assert Samples.of(eager.walk(walkers, psi, 0, stage=1)).spins.tobytes() == spins[0, 1]


@pytest.mark.statistical
def test_a_second_stage_follows_psi_squared_too(state: tuple[WaveFunction, EnumeratedMoments]) -> None:
    """Jointly with the first, of which it is independent after enough sweeps: cells of the spins' first halves."""
    psi, _ = state
    patient = sampler(2.0, discard=40)
    walkers, first = advance(patient, start("random", range(300), 64, RING, None, 7), psi, 0)
    second = Samples.of(patient.walk(walkers, psi, 0, stage=1))
    assert chi_square_p(counted(second.spins[:, 0]), probabilities(psi, N_SITES, power=2.0)) > LEVEL
    cell = np.arange(2**N_SITES) % 8  # of the first three spins
    single = np.bincount(cell, weights=probabilities(psi, N_SITES, power=2.0))
    here, there = (cell[labels_of(flat(samples))] for samples in (first, second))
    assert chi_square_p(np.bincount(8 * here + there, minlength=64), np.outer(single, single).ravel()) > LEVEL
