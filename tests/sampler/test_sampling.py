"""Configurations drawn by the Metropolis sampler against |psi|^2 over all configurations.

Walkers are independent and each gives one draw after a burn-in from random configurations, so that counts are
multinomial; the exact spectrum of the Markov chain says how long the burn-in must be.  Every test is two-sided and
fails by chance with the probability LEVEL (Bonferroni within a test).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from pvmc.estimators import estimate, reduce_moments
from pvmc.hamiltonians import Operator
from pvmc.hamiltonians.heisenberg import xxz
from pvmc.hamiltonians.ising import transverse_field_ising
from pvmc.lattice import chain
from pvmc.mpi import SerialCommunicator, block_range
from pvmc.sampler import Metropolis, Moves, MoveWeights, Samples, Walkers, advance, start
from pvmc.wavefunctions import RBM, WaveFunction
from tests.designs import designed
from tests.helpers import (
    all_pass,
    binomial_p,
    chi_square_p,
    configurations,
    enumerated_moments,
    labels_of,
    mean_p,
    random_rbm,
    two_sided,
)
from tests.sampler.chains import counted, flat, probabilities, same_in_parts

pytestmark = pytest.mark.statistical

LEVEL = 1e-3
REMAINDER = 1e-4
"""What is left of the slowest mode after the burn-in; squared, times 20000 samples, it cannot be seen."""

MOVES: dict[str, tuple[dict[str, float], int | None]] = {
    "flip": ({"flip": 1.0}, None),
    "exchange": ({"exchange": 1.0}, 0),
    "exchange_any": ({"exchange_any": 1.0}, 2),
    "both exchanges": ({"exchange": 2.0, "exchange_any": 1.0}, 0),
    "flip and exchange": ({"flip": 1.0, "exchange": 2.0, "exchange_any": 0.5}, None),
}
"""Weights, and the magnetisation that the walkers keep."""


@pytest.fixture(params=[np.float64, np.complex128], ids=["real", "complex"])
def dtype(request: pytest.FixtureRequest) -> Any:
    return request.param


def metropolis(n_sites: int, moves: str, *, seed: int = 1, **counts: int) -> Metropolis:
    built = Moves.build(MoveWeights(**MOVES[moves][0]), chain(n_sites))
    return Metropolis(built, seed, **({"n_draws": 1, "sweep": n_sites, "burn_in": 10, "discard": 1} | counts))


def walkers_for(n_sites: int, moves: str, n_blocks: int, width: int, seed: int = 1) -> Walkers:
    return start("random", range(n_blocks), width, chain(n_sites), MOVES[moves][1], seed)


def agreement(samples: Samples, expected: npt.NDArray[np.float64]) -> float:
    """The p-value of the counts of all configurations; those of probability zero must not occur."""
    counts = counted(samples.spins)
    assert counts[expected == 0].sum() == 0
    return chi_square_p(counts[expected > 0], expected[expected > 0])


def uneven_state(
    n_sites: int, dtype: Any, symmetry: str = "none", *, magnetization: int | None = None, seed: int = 7
) -> tuple[RBM, npt.NDArray[Any]]:
    """A random state, scaled so that the largest |psi|^2 is exp(4) times the smallest."""
    rbm, theta = random_rbm(n_sites, dtype, symmetry, n_features=4 if symmetry == "none" else 1, scale=0.5, seed=seed)
    spins = configurations(n_sites, magnetization)
    low, high = 0.0, 1.0
    for _ in range(30):
        middle = (low + high) / 2
        uneven = np.ptp(2.0 * rbm.at(middle * theta).log_psi(spins).real) > 4.0
        low, high = (low, middle) if uneven else (middle, high)
    assert high < 1.0
    return rbm, high * theta


def transition_matrix(psi: WaveFunction, moves: Moves, n_sites: int) -> npt.NDArray[np.float64]:
    """P(s -> s') of one step, over all configurations: sum_k p_k min(1, |psi(s')/psi(s)|^2), written out."""
    spins = configurations(n_sites)
    rows, weights = np.arange(2**n_sites), probabilities(psi, n_sites)
    kind = np.searchsorted(moves.kind_starts, np.arange(len(moves.flips)), side="right") - 1
    chances = (moves.kind_probabilities / np.diff(moves.kind_starts))[kind]
    matrix = np.zeros((len(rows), len(rows)))
    for k, chance in enumerate(chances):
        sites = moves.flips[k]
        columns = rows ^ np.sum(1 << sites)
        allowed = spins[sites].sum(axis=0) == 0 if moves.conserving[k] else np.ones(len(rows), dtype=bool)
        matrix[rows, columns] += chance * allowed * np.minimum(1.0, weights[columns] / weights)
    matrix[rows, rows] += 1.0 - matrix.sum(axis=1)
    return matrix


def equilibration(psi: WaveFunction, moves: str, n_sites: int) -> int:
    """Sweeps until the slowest mode has decayed to REMAINDER, from the eigenvalues of the transition matrix."""
    weights = probabilities(psi, n_sites, MOVES[moves][1])
    possible = weights > 0
    matrix = transition_matrix(psi, metropolis(n_sites, moves).moves, n_sites)[np.ix_(possible, possible)]
    root = np.sqrt(weights[possible])
    eigenvalues = np.sort(np.abs(np.linalg.eigvalsh(root[:, None] * matrix / root)))
    assert eigenvalues[-1] == pytest.approx(1.0, abs=1e-12)
    sweeps = int(np.ceil(np.log(REMAINDER) / np.log(eigenvalues[-2]) / n_sites))
    assert sweeps < 60, "a state that mixes too slowly for a quick test"
    return sweeps


@designed(strength=1, moves=MOVES, dtype=[np.float64, np.complex128])
def test_the_draws_follow_psi_squared(moves: str, dtype: Any) -> None:
    """For 6, 7 and 8 sites, plain and translation-invariant; |psi| instead of |psi|^2 is told apart."""
    magnetization = MOVES[moves][1]
    p_values = []
    for n_sites, symmetry in ((6, "none"), (7, "translation"), (8, "none"), (8, "translation")):
        if magnetization is not None and n_sites % 2:
            continue
        rbm, theta = uneven_state(n_sites, dtype, symmetry, magnetization=magnetization)
        psi = rbm.at(theta)
        expected = probabilities(psi, n_sites, magnetization)
        sampler = metropolis(n_sites, moves, burn_in=equilibration(psi, moves, n_sites))
        _, samples = advance(sampler, walkers_for(n_sites, moves, 80, 256), psi, 0)
        p_values.append(agreement(samples, expected))
        assert agreement(samples, probabilities(psi, n_sites, magnetization, power=1.0)) < 1e-12
    assert all_pass(p_values, LEVEL)


@designed(strength=1, blocks=[(1, 2000), (3, 1500), (64, 150), (1000, 10)], dtype=[np.float64, np.complex128])
def test_any_width_of_the_blocks(blocks: tuple[int, int], dtype: Any) -> None:
    width, n_blocks = blocks
    rbm, theta = uneven_state(6, dtype)
    psi = rbm.at(theta)
    p_values = []
    for moves in ("flip", "exchange"):
        sampler = metropolis(6, moves, burn_in=equilibration(psi, moves, 6))
        _, samples = advance(sampler, walkers_for(6, moves, n_blocks, width), psi, 0)
        p_values.append(agreement(samples, probabilities(psi, 6, MOVES[moves][1])))
    assert all_pass(p_values, LEVEL)


def test_walkers_follow_a_new_psi(dtype: Any) -> None:
    """Iteration 1 starts where iteration 0 ended; after the discarded sweeps its draws belong to the new psi."""
    rbm, theta = uneven_state(6, dtype, "translation")
    _, other = uneven_state(6, dtype, "translation", seed=8)
    sweeps = max(equilibration(rbm.at(parameters), "flip", 6) for parameters in (theta, other))
    sampler = metropolis(6, "flip", burn_in=sweeps, discard=sweeps)
    walkers, first = advance(sampler, walkers_for(6, "flip", 80, 256), rbm.at(theta), 0)
    np.testing.assert_array_equal(walkers.spins, first.spins[:, -1])
    _, second = advance(sampler, walkers, rbm.at(other), 1)
    expected = [probabilities(rbm.at(parameters), 6) for parameters in (theta, other)]
    assert all_pass([agreement(first, expected[0]), agreement(second, expected[1])], LEVEL)
    assert agreement(second, expected[0]) < 1e-12


def test_walkers_of_a_block_are_independent(dtype: Any) -> None:
    """They share the proposals; the joint distribution of two of them is nevertheless the product, cell by cell."""
    rbm, theta = random_rbm(4, dtype, "none", n_features=3, scale=0.3)
    psi = rbm.at(theta)
    p_values = []
    for moves in ("flip", "exchange"):
        sampler = metropolis(4, moves, burn_in=equilibration(psi, moves, 4))
        _, samples = advance(sampler, walkers_for(4, moves, 3000, 2), psi, 0)
        single = probabilities(psi, 4, MOVES[moves][1])
        labels = labels_of(flat(samples)).reshape(3000, 2)
        counts, expected = np.bincount(labels @ [16, 1], minlength=256), np.outer(single, single).ravel()
        p_values.append(chi_square_p(counts[expected > 0], expected[expected > 0]))
    assert all_pass(p_values, LEVEL)


def test_means_of_the_walkers_of_a_block_are_uncorrelated(dtype: Any) -> None:
    """Over chains of 10 draws: the variance of a block's mean is that of a walker's mean over the number of walkers."""
    n_blocks, width = 600, 16
    rbm, theta = uneven_state(6, dtype)
    psi = rbm.at(theta)
    sampler = metropolis(6, "flip", n_draws=10, sweep=2, burn_in=3 * equilibration(psi, "flip", 6))
    _, samples = advance(sampler, walkers_for(6, "flip", n_blocks, width), psi, 0)
    log_psi = psi.log_psi(flat(samples)).real.reshape(10, n_blocks, width)
    means = log_psi.mean(axis=0)
    ratio = width * means.mean(axis=1).var(ddof=1) / means.var(axis=1, ddof=1).mean()
    assert two_sided(stats.f.cdf(ratio, n_blocks - 1, n_blocks * (width - 1))) > LEVEL


@designed(strength=1, moves=MOVES, dtype=[np.float64, np.complex128])
def test_single_steps_are_reversible_and_accepted_as_often_as_they_should(moves: str, dtype: Any) -> None:
    """From equilibrium s -> s' is as frequent as s' -> s, and the accepted fraction that of the transition matrix."""
    n_sites, n_blocks = 6, 5000
    rbm, theta = uneven_state(n_sites, dtype)
    psi = rbm.at(theta)
    sampler = metropolis(n_sites, moves, burn_in=equilibration(psi, moves, n_sites))
    walkers, _ = advance(sampler, walkers_for(n_sites, moves, n_blocks, 1), psi, 0)
    single = metropolis(n_sites, moves, sweep=1, discard=0)
    after, samples = advance(single, walkers, psi, 1)
    before, now = (labels_of(np.ascontiguousarray(w.spins[:, :, 0].T)) for w in (walkers, after))
    assert samples.proposed == n_blocks
    assert samples.accepted == np.count_nonzero(before != now)
    matrix, weights = transition_matrix(psi, single.moves, n_sites), probabilities(psi, n_sites, MOVES[moves][1])
    p_values = [binomial_p(samples.accepted, n_blocks, 1.0 - weights @ matrix.diagonal())]
    traffic = np.bincount(before * 64 + now, minlength=64 * 64)
    p_values.append(chi_square_p(traffic, (weights[:, None] * matrix).ravel()))
    traffic = traffic.reshape(64, 64)
    there, back = (direction[np.triu_indices(64, 1)] for direction in (traffic, traffic.T))
    used = there + back >= 16
    assert used.sum() > 5
    scores = (there - back)[used] ** 2 / (there + back)[used]
    p_values.append(two_sided(stats.chi2.cdf(scores.sum(), used.sum())))
    assert all_pass(p_values, LEVEL)


@pytest.mark.parametrize("size", [2, 3, 4])
def test_chains_are_the_same_however_the_blocks_are_split(size: int, dtype: Any) -> None:
    """Two iterations on 1 rank and on several: the same spins and look-ups, bit for bit."""
    n_blocks, width = 5, 16
    rbm, theta = uneven_state(6, dtype, "translation")
    _, other = uneven_state(6, dtype, "translation", seed=8)
    sampler = metropolis(6, "exchange", n_draws=4)

    def two_iterations(blocks: range) -> list[Samples]:
        walkers = start("random", blocks, width, chain(6), 0, 1)
        walkers, first = advance(sampler, walkers, rbm.at(theta), 0)
        assert walkers.first_block == blocks.start
        return [first, advance(sampler, walkers, rbm.at(other), 1)[1]]

    whole = two_iterations(range(n_blocks))
    same_in_parts(whole, [two_iterations(block_range(n_blocks, rank, size)) for rank in range(size)], "spins", "lookup")
    assert not np.array_equal(whole[0].spins, whole[1].spins)


def test_iterations_seeds_and_blocks_have_random_numbers_of_their_own() -> None:
    """From the same configurations, in the same psi, each takes another way."""
    rbm, theta = uneven_state(6, np.complex128)
    psi, spins = rbm.at(theta), walkers_for(6, "flip", 1, 64).spins
    runs = [
        advance(metropolis(6, "flip", seed=seed, burn_in=1), Walkers(spins, block), psi, iteration)[1].spins.tobytes()
        for seed in (1, 2)
        for block in (0, 1)
        for iteration in (0, 1, 2)
    ]
    assert len(set(runs)) == 12


def test_advancing_does_not_change_its_arguments() -> None:
    rbm, theta = uneven_state(6, np.complex128)
    walkers = walkers_for(6, "flip", 2, 8)
    before = walkers.spins.copy()
    sampler = metropolis(6, "flip")
    first = advance(sampler, walkers, rbm.at(theta), 0)[1]
    np.testing.assert_array_equal(walkers.spins, before)
    np.testing.assert_array_equal(first.spins, advance(sampler, walkers, rbm.at(theta), 0)[1].spins)


@pytest.mark.parametrize("model", ["ising", "heisenberg"])
def test_sampled_energy_force_and_tensor_have_their_exact_means(model: str, dtype: Any) -> None:
    """By the covariance of the samples: a chi-square each for E, F and S."""
    n_sites, ring = 6, chain(6)
    if model == "ising":
        terms, moves = transverse_field_ising(n_sites, ring.bonds(), 1.0, 0.7), "flip"
    else:
        terms, moves = xxz(ring.bonds(), 1.0, 1.0, ring.sublattices()), "exchange"
    operator = Operator.from_pauli_sum(terms, n_sites)
    rbm, theta = uneven_state(n_sites, dtype, "translation", magnetization=MOVES[moves][1])
    exact = enumerated_moments(rbm, theta, operator, configurations(n_sites, MOVES[moves][1]))
    psi, comm = rbm.at(theta), SerialCommunicator()
    sampler = metropolis(n_sites, moves, burn_in=equilibration(psi, moves, n_sites))
    _, samples = advance(sampler, walkers_for(n_sites, moves, 100, 256), psi, 0)
    batch = estimate(samples, operator, psi, rbm.n_parameters, comm, real_parameters=exact.real_parameters)
    moments = reduce_moments(batch, comm, n_sites=n_sites, infinite_temperature=0.0)
    blocks = zip(samples.spins[:, 0], samples.lookup[:, 0], strict=True)
    rows = np.concatenate([psi.log_derivatives(*block) for block in blocks], axis=1) - exact.derivative_mean[:, None]
    energies = batch.energies.reshape(-1) - exact.energy.mean
    lower = np.tril_indices(rbm.n_parameters)
    tensor, exact_tensor = (m.tensor[lower] for m in (moments, exact))
    forces, products = rows.conj() * energies, rows[lower[0]].conj() * rows[lower[1]]
    # Covariances about the sample means are those about the exact means less the product of the means' deviations.
    shift, energy_shift = rows.mean(axis=1), energies.mean()
    force_shift, tensor_shift = shift.conj() * energy_shift, shift[lower[0]].conj() * shift[lower[1]]
    if exact.real_parameters:
        forces, products, force_shift, tensor_shift = (a.real for a in (forces, products, force_shift, tensor_shift))
    np.testing.assert_allclose(moments.force, forces.mean(axis=1) - force_shift, rtol=0, atol=1e-12)
    np.testing.assert_allclose(tensor, products.mean(axis=1) - tensor_shift, rtol=0, atol=1e-12)
    p_values = [
        mean_p(batch.energies.real.reshape(1, -1), np.array([exact.energy.mean.real])),
        mean_p(forces, exact.force),
        mean_p(products, exact_tensor),
    ]
    assert all_pass(p_values, LEVEL)
    assert mean_p(forces, exact.force * 1.1) < 1e-6
    assert mean_p(products, exact_tensor * 1.1) < 1e-6
