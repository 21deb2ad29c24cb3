"""Entropies and fidelities from samples: values and claimed errors against exact ones.

Chains are stationary, of states given by vectors, with a known correlation in time.  Tests are two-sided and fail by
chance with the probability LEVEL each.
"""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
from scipy import stats

from pvmc.exact import Basis
from pvmc.lattice import chain
from pvmc.measurement.fidelity import FidelityEstimate, RatioSums, fidelity
from pvmc.measurement.renyi import Renyi2, Renyi2Estimate
from pvmc.mpi import SerialCommunicator
from pvmc.sampler import Metropolis, Moves, MoveWeights, start
from pvmc.wavefunctions.vectors import dense_vector
from tests.designs import designed, slow_but
from tests.helpers import Numbers, all_pass, binomial_p, random_rbm, two_sided
from tests.table_state import TableState, full_vector, purity, random_state

pytestmark = pytest.mark.statistical

LEVEL = 1e-3
COMM = SerialCommunicator()
ONE_SIGMA = 2.0 * stats.norm.cdf(1.0) - 1.0


def sampled_entropy(
    state: TableState,
    sites: list[int],
    rng: np.random.Generator,
    *,
    n_blocks: int = 4,
    n_draws: int = 10,
    width: int = 64,
    n_shifts: int = 1,
    memory: float = 0.0,
    power: float = 2.0,
) -> Renyi2Estimate:
    sums = Renyi2(n_blocks, width, state.basis.n_sites, sites, n_shifts=n_shifts)
    for draw in state.chains(rng, n_blocks, n_draws, width, memory=memory, power=power):
        weights = None if power == 2 else np.exp((2.0 - power) * state.log_psi(draw.spins).real)
        sums.add(state, draw, weights)
    return sums.estimate(COMM)


def pulls_pass(pulls: Numbers) -> bool:
    """Whether deviations over claimed errors are those of a unit Gaussian: number within 1, mean square, and mean."""
    square = two_sided(float(stats.chi2.cdf(np.sum(pulls**2), len(pulls))))
    mean = two_sided(float(stats.norm.cdf(pulls.mean() * np.sqrt(len(pulls)))))
    within = binomial_p(int(np.count_nonzero(np.abs(pulls) < 1.0)), len(pulls), ONE_SIGMA)
    return all_pass([square, mean, within], LEVEL)


@pytest.mark.parametrize("kind", ["complex", "signed"])
def test_all_regions(kind: str) -> None:
    """Every region of 6 sites but none and all, each from samples of its own."""
    rng = np.random.default_rng(1)
    state = random_state(rng, 6, kind=kind)
    pulls = []
    for sites in (list(sites) for size in range(1, 6) for sites in combinations(range(6), size)):
        found = sampled_entropy(state, sites, rng, n_blocks=8, n_draws=20, width=128)
        assert found.reliable
        pulls.append((found.value + np.log(purity(full_vector(state), 6, sites))) / found.error)
    assert len(pulls) == 62 and pulls_pass(np.array(pulls))


@pytest.mark.parametrize(("n_shifts", "memory"), slow_but([(5, 0.8)], product([1, 5, 16], [0.0, 0.8]), several=True))
def test_claimed_errors_of_entropies(n_shifts: int, memory: float) -> None:
    """Pairs that share no walker, some and all; independent draws and correlated ones."""
    rng = np.random.default_rng(2)
    state = random_state(rng, 5, kind="signed")
    exact = purity(full_vector(state), 5, [0, 1])
    options = {"n_blocks": 8, "n_draws": 12, "width": 32, "n_shifts": n_shifts, "memory": memory}
    found = [sampled_entropy(state, [0, 1], rng, **options) for _ in range(150)]  # type: ignore[arg-type]
    swaps = np.array([(estimate.swap - exact) / estimate.swap_error for estimate in found])
    assert pulls_pass(swaps)
    entropies = np.array([(estimate.value + np.log(exact)) / estimate.error for estimate in found])
    assert pulls_pass(entropies)


def test_claimed_errors_of_imaginary_parts() -> None:
    rng = np.random.default_rng(3)
    state = random_state(rng, 5)
    found = [sampled_entropy(state, [0, 1], rng, n_shifts=3, memory=0.5) for _ in range(150)]
    assert pulls_pass(np.array([estimate.imaginary / estimate.imaginary_error for estimate in found]))


def test_weighted_samples() -> None:
    """Drawn from |psi|, with the weights |psi|."""
    rng = np.random.default_rng(4)
    state = random_state(rng, 5)
    exact = -np.log(purity(full_vector(state), 5, [0, 2]))
    found = [
        sampled_entropy(state, [0, 2], rng, n_blocks=4, n_draws=15, n_shifts=3, memory=0.5, power=1.0)
        for _ in range(150)
    ]
    assert pulls_pass(np.array([(estimate.value - exact) / estimate.error for estimate in found]))


def test_more_pairs_of_the_same_walkers_lower_the_error() -> None:
    rng = np.random.default_rng(5)
    state = random_state(rng, 6, kind="signed")
    few, many = (sampled_entropy(state, [0, 1, 2], rng, n_blocks=16, n_draws=20, n_shifts=n) for n in (1, 16))
    assert (few.n_pairs, many.n_pairs) == (16 * 32, 16 * (32 + 15 * 64))
    assert 0.1 * few.error < many.error < 0.7 * few.error


def test_too_few_samples_are_flagged() -> None:
    rng = np.random.default_rng(6)
    state = random_state(rng, 10)
    found = sampled_entropy(state, [0, 1, 2, 3, 4], rng, n_blocks=1, n_draws=2)
    assert not found.reliable
    assert sampled_entropy(state, [0], rng, n_blocks=16, n_draws=40).reliable


def test_metropolis_walkers_of_a_network() -> None:
    """A complex RBM, its own chains: walkers of a block share the moves that they are offered, and are independent."""
    rbm, theta = random_rbm(6, np.complex128)
    psi, basis = rbm.at(theta), Basis.enumerate(6)
    exact = -np.log(purity(dense_vector(psi, basis), 6, [0, 1, 2]))
    assert exact > 0.05
    pulls = []
    for seed in range(40):
        sampler = Metropolis(Moves.build(MoveWeights(flip=1.0), chain(6)), seed, 15, 6, 100, 2)
        sums = Renyi2(4, 32, 6, [0, 1, 2], n_shifts=3)
        for draw in sampler.walk(start("random", range(4), 32, chain(6), None, seed), psi, 0):
            sums.add(psi, draw)
        estimate = sums.estimate(COMM)
        pulls.append((estimate.value - exact) / estimate.error)
    assert pulls_pass(np.array(pulls))


# Fidelities -----------------------------------------------------------------------------------------------------------


def near(state: TableState, rng: np.random.Generator, distance: float) -> TableState:
    """The state with Gaussian relative changes of each amplitude."""
    noise = rng.standard_normal(len(state.vector)) + 1j * rng.standard_normal(len(state.vector))
    vector = state.vector * (1.0 + distance * noise)
    return TableState(vector / np.linalg.norm(vector), state.basis)


def sampled_fidelity(
    psi: TableState, phi: TableState, rng: np.random.Generator, *, control: bool, memory: float = 0.5
) -> FidelityEstimate:
    forward, backward = RatioSums(4, 64), RatioSums(2, 96)
    for draw in psi.chains(rng, 4, 10, 64, memory=memory):
        forward.add(psi, phi, draw)
    for draw in phi.chains(rng, 2, 10, 96, memory=memory):
        backward.add(phi, psi, draw)
    return fidelity(forward, backward, COMM, control=control)


@designed(strength=1, distance=[0.02, 0.3], control=[False, True])
def test_claimed_errors_of_fidelities(distance: float, control: bool) -> None:
    rng = np.random.default_rng(7)
    psi = random_state(rng, 6, kind="positive")
    phi = near(psi, rng, distance)
    exact = np.abs(np.vdot(psi.vector, phi.vector)) ** 2
    found = [sampled_fidelity(psi, phi, rng, control=control) for _ in range(150)]
    assert pulls_pass(np.array([(estimate.value - exact) / estimate.error for estimate in found]))
    assert pulls_pass(np.array([estimate.imaginary / estimate.imaginary_error for estimate in found]))
    assert pulls_pass(np.array([(estimate.norms - 1.0) / estimate.norms_error for estimate in found]))


def test_many_pairs_of_states() -> None:
    """States at many distances: complex, or one of them real with signs."""
    rng = np.random.default_rng(8)
    pulls = []
    for distance in np.linspace(0.1, 0.6, 60):
        psi = random_state(rng, 5, kind="signed")
        psi = TableState(np.sign(psi.vector) * (0.2 + np.abs(psi.vector)), psi.basis)
        phi = near(psi, rng, distance)
        exact = np.abs(np.vdot(psi.vector, phi.vector)) ** 2 / np.vdot(psi.vector, psi.vector).real
        found = sampled_fidelity(psi, phi, rng, control=False)
        pulls.append((found.value - exact) / found.error)
    assert pulls_pass(np.array(pulls))


def test_control_variate_resolves_small_infidelities() -> None:
    """What is linear in the difference of the states cancels: the error falls with its square."""
    rng = np.random.default_rng(9)
    psi = random_state(rng, 6, kind="positive")
    phi = near(psi, rng, 0.01)
    plain, controlled = (sampled_fidelity(psi, phi, rng, control=control) for control in (False, True))
    assert 0.0 < controlled.error < 0.1 * plain.error
    infidelity = 1.0 - np.abs(np.vdot(psi.vector, phi.vector)) ** 2
    assert controlled.error < 0.2 * infidelity < plain.error
