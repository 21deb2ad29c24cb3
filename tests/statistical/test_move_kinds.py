"""Every kind of move, and mixtures of them, sample |psi|^2; tempering crosses barriers that flips do not."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from pvmc.ansatz import RBM
from pvmc.hamiltonians import Operator, X, Y, Z
from pvmc.hamiltonians.heisenberg import xxz
from pvmc.hamiltonians.ising import transverse_field_ising
from pvmc.lattice import chain
from pvmc.sampler import Metropolis, Moves, MoveWeights, Tempering, Walkers, advance, start
from tests.helpers import chi_square_p, configurations, labels_of, random_rbm, state_vector

LEVEL = 1e-3
"""Significance of each chi-square test, two-sided."""

N_SITES = 6
RING = chain(N_SITES)


def heisenberg() -> Operator:
    return Operator.from_pauli_sum(xxz(RING.bonds(), 1.0, 1.0), N_SITES)


def ising() -> Operator:
    return Operator.from_pauli_sum(transverse_field_ising(N_SITES, RING.bonds(), 1.0, 1.0), N_SITES)


def three_body() -> Operator:
    """Terms that flip one, two and three spins, in no order that conserves anything."""
    strings = [X(i) * X((i + 1) % 6) * Y((i + 2) % 6) + 0.5 * X(i) * Z((i + 1) % 6) for i in range(6)]
    return Operator.from_pauli_sum(sum(strings, 0.3 * X(0) * X(3)), N_SITES)


OPERATORS = {"heisenberg": heisenberg, "ising": ising, "three_body": three_body}

CASES: list[tuple[str, dict[str, float], int | None]] = [
    ("heisenberg", {"hamiltonian": 1.0}, 0),
    ("heisenberg", {"hamiltonian": 1.0, "exchange_any": 0.5}, 2),
    ("ising", {"hamiltonian": 1.0}, None),
    ("three_body", {"hamiltonian": 1.0}, None),
    ("ising", {"flip": 1.0, "global_flip": 0.3}, None),
    ("heisenberg", {"exchange": 1.0, "global_flip": 0.3}, 0),
    ("ising", {"flip": 1.0, "translation": 0.4}, None),
    ("heisenberg", {"exchange": 1.0, "translation": 0.4}, -2),
    ("three_body", {"flip": 0.4, "exchange": 1.0, "hamiltonian": 1.0, "global_flip": 0.2, "translation": 0.3}, None),
]


def sampler(weights: dict[str, float], operator: Operator | None = None, **counts: object) -> Metropolis:
    moves = Moves.build(MoveWeights(**weights), RING, operator)
    settings = {"seed": 5, "n_draws": 12, "sweep": 2 * N_SITES, "burn_in": 10, "discard": 1}
    return Metropolis(moves, **(settings | counts))  # type: ignore[arg-type]


def distribution(rbm: RBM, theta: np.ndarray, magnetization: int | None, power: float = 1.0) -> np.ndarray:
    """|psi|^(2 power), normalised, over all 2^N labels."""
    spins = configurations(rbm.n_sites, magnetization)
    probabilities = np.zeros(2**rbm.n_sites)
    probabilities[labels_of(spins)] = np.abs(state_vector(rbm.at(theta), spins)) ** (2.0 * power)
    return probabilities / probabilities.sum()


def counted(spins: np.ndarray, n_sites: int) -> np.ndarray:
    """How often each of the 2^N configurations stands in an array (..., N, L)."""
    flat = np.moveaxis(spins, -2, 0).reshape(n_sites, -1)
    return np.bincount(labels_of(flat), minlength=2**n_sites)


@pytest.mark.statistical
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
@pytest.mark.parametrize(("model", "weights", "magnetization"), CASES, ids=str)
def test_samples_follow_the_wave_function(
    model: str, weights: dict[str, float], magnetization: int | None, dtype: type
) -> None:
    """The last draw of each of 6400 independent chains, against |psi|^2 on all configurations."""
    rbm, theta = random_rbm(N_SITES, dtype, scale=0.35)
    metropolis = sampler(weights, OPERATORS[model](), n_draws=1, burn_in=25)
    walkers = start("random", range(100), 64, RING, magnetization, 3)
    _, samples = advance(metropolis, walkers, rbm.at(theta), 0)
    expected = distribution(rbm, theta, magnetization)
    counts = counted(samples.spins, N_SITES)
    assert counts[expected == 0].sum() == 0, "the magnetisation is kept"
    assert 0 < samples.accepted < samples.proposed
    assert chi_square_p(counts[expected > 0], expected[expected > 0]) > LEVEL


@pytest.mark.statistical
@pytest.mark.parametrize(("model", "weights", "magnetization"), CASES, ids=str)
def test_detailed_balance(model: str, weights: dict[str, float], magnetization: int | None) -> None:
    """Started from |psi|^2 itself, one proposal leads from s to s' as often as from s' to s.

    Per pair of configurations the number of steps there less the number back has mean 0 and variance their sum.
    """
    rbm, theta = random_rbm(N_SITES, np.complex128, scale=0.35)
    probabilities = distribution(rbm, theta, magnetization)
    labels = np.random.default_rng(8).choice(2**N_SITES, size=300 * 64, p=probabilities)
    spins = (1 - 2 * ((labels >> np.arange(N_SITES)[:, None]) & 1)).astype(np.int8)
    walkers = Walkers(np.ascontiguousarray(spins.reshape(N_SITES, 300, 64).transpose(1, 0, 2)), 0)
    metropolis = sampler(weights, OPERATORS[model](), n_draws=1, sweep=1, burn_in=0)
    after, _ = advance(metropolis, walkers, rbm.at(theta), 0)
    there = np.zeros((2**N_SITES, 2**N_SITES))
    ends = labels_of(after.spins.transpose(1, 0, 2).reshape(N_SITES, -1))
    np.add.at(there, (labels, ends), 1)
    above = np.triu_indices(2**N_SITES, 1)
    forth, back = there[above], there.T[above]
    often = forth + back >= 16
    assert often.sum() > 10
    statistic = np.sum((forth - back)[often] ** 2 / (forth + back)[often])
    assert stats.chi2.sf(statistic, int(often.sum())) > LEVEL


def test_a_mixture_is_the_same_whatever_the_order_of_its_runs() -> None:
    """A sweep in which maps interrupt the kernel's runs of flips equals the same proposals made one at a time."""
    rbm, theta = random_rbm(N_SITES, np.complex128, "translation", scale=0.3)
    psi = rbm.at(theta)
    metropolis = sampler({"flip": 1.0, "global_flip": 0.5, "translation": 0.5})
    rng = np.random.default_rng(1)
    chosen, uniforms = metropolis.moves.choose(rng, 200), rng.random((200, 16))
    assert np.any(chosen >= N_SITES) and np.any(chosen < N_SITES)
    first = start("random", range(1), 16, RING, None, 4).spins[0]
    second = first.copy()
    accepted = metropolis._propose(psi, first, psi.lookup(first), chosen, uniforms)
    one_by_one = np.zeros(16, dtype=np.int64)
    for k in range(200):
        one_by_one += metropolis._propose(psi, second, psi.lookup(second), chosen[k : k + 1], uniforms[k : k + 1])
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(accepted, one_by_one)


def test_lookups_of_samples_belong_to_their_spins() -> None:
    rbm, theta = random_rbm(N_SITES, np.complex128, scale=0.3)
    psi = rbm.at(theta)
    for tempering in (None, Tempering((1.0, 0.5, 0.25))):
        lanes = 16 * (tempering.replicas if tempering else 1)
        metropolis = sampler({"flip": 1.0, "global_flip": 0.2, "translation": 0.2}, tempering=tempering)
        _, samples = advance(metropolis, start("random", range(2), lanes, RING, None, 4), psi, 0)
        assert samples.spins.shape == (2, 12, N_SITES, 16)
        for block, draw in itertools.product(range(2), range(12)):
            expected = psi.lookup(np.ascontiguousarray(samples.spins[block, draw]))
            np.testing.assert_allclose(samples.lookup[block, draw], expected, rtol=0, atol=1e-12)


# Tempering ------------------------------------------------------------------------------------------------------------


@pytest.mark.statistical
def test_every_replica_samples_its_own_power() -> None:
    """After many sweeps with swaps, lane group r follows |psi|^(2 beta_r); r = 0 is what is measured."""
    rbm, theta = random_rbm(N_SITES, np.complex128, scale=0.4)
    tempering = Tempering((1.0, 0.6, 0.2))
    metropolis = sampler({"flip": 1.0}, tempering=tempering, n_draws=1, burn_in=25)
    walkers, samples = advance(metropolis, start("random", range(100), 192, RING, None, 6), rbm.at(theta), 0)
    np.testing.assert_array_equal(samples.spins[:, 0], walkers.spins[:, :, :64])
    for r, beta in enumerate(tempering.betas):
        counts = counted(walkers.spins[:, :, 64 * r : 64 * (r + 1)], N_SITES)
        assert chi_square_p(counts, distribution(rbm, theta, None, beta)) > LEVEL
    wrong = chi_square_p(counted(samples.spins, N_SITES), distribution(rbm, theta, None, 0.6))
    assert wrong < 1e-9, "the test tells the replicas apart"


def bimodal(n_sites: int) -> tuple[RBM, np.ndarray]:
    """psi of a ferromagnet with a domain wall energy: all up and all down, with rare configurations between.

    One hidden unit per bond, theta = 2 (s_i + s_j), so that psi falls by cosh(4) = 27 with every domain wall.
    """
    rbm = RBM(chain(n_sites).group("translation"), 1, dtype=np.float64)
    theta = np.zeros(rbm.n_parameters)
    rbm.block(theta, "features")[0, :2] = 2.0
    return rbm, theta


def test_tempering_crosses_a_barrier_that_flips_do_not() -> None:
    """All walkers start in the up valley; half of the exact weight is in the down valley."""
    rbm, theta = bimodal(N_SITES)
    psi = rbm.at(theta)
    expected = distribution(rbm, theta, None)
    assert expected[0] == pytest.approx(expected[-1]) and expected[0] + expected[-1] > 0.99
    up = np.ones((8, N_SITES, 32), dtype=np.int8)
    stuck, _ = advance(sampler({"flip": 1.0}, burn_in=40), Walkers(up, 0), psi, 0)
    assert np.mean(stuck.spins.sum(axis=1) < 0) < 0.02, "plain flips stay in their valley"
    tempering = Tempering(tuple(0.02 ** (r / 7) for r in range(8)))
    metropolis = sampler({"flip": 1.0}, tempering=tempering, burn_in=200)
    _, samples = advance(metropolis, Walkers(np.tile(up, (1, 1, 8)), 0), psi, 0)
    down = np.mean(samples.spins.sum(axis=2) < 0)
    assert 0.35 < down < 0.65
    _, flipped = advance(sampler({"flip": 1.0, "global_flip": 0.2}, burn_in=40), Walkers(up, 0), psi, 0)
    assert 0.35 < np.mean(flipped.spins.sum(axis=2) < 0) < 0.65, "so does the global flip"
