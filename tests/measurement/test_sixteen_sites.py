"""Every observable of exact ground states of 16 sites, sampled as a measurement does, against exact diagonalisation.

One test of all points with their covariance, two-sided: it fails by chance with the probability LEVEL.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from benchmarks.agreement import NO_DEVIATION, agreement, pair_means
from benchmarks.exact_points import exact_ground_state, exact_points
from pvmc.estimators import local_energy
from pvmc.exact import Basis
from pvmc.measurement.frozen import walk
from pvmc.measurement.observable import Setup, saved_states
from pvmc.measurement.registry import choose, local_values
from pvmc.measurement.walker_sums import WalkerSums
from pvmc.mpi import SerialCommunicator
from pvmc.sampler import FROZEN_STAGE, Walkers
from pvmc.vmc.job import Job
from tests import jobs
from tests.helpers import Numbers
from tests.table_state import TableState

pytestmark = pytest.mark.statistical

LEVEL = 1e-3
DRAWS = 32
"""Of each walker: their means, and those of pairs, have to be close to Gaussian."""

COMM = SerialCommunicator()
OBSERVABLES = ["magnetization", "correlations", "structure_factor", "staggered", "renyi2:lengths"]

RING = {"kind": "chain", "length": 16}
SYSTEMS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "Heisenberg ring": (RING, {"model": "heisenberg"}),
    "Ising ring": (RING, {"model": "ising", "field": 1.0}),
    "Heisenberg square": ({"kind": "rectangle", "size": [4, 4]}, {"model": "heisenberg"}),
}

DEGREES = {"Heisenberg ring": 21, "Ising ring": 33, "Heisenberg square": 23}
"""Points that vary independently: C(r) on 8 orbits of pairs of a ring, 9 of the square, and 8 entropies.  Of spins with
S.S those of yy are those of xx, the sums of xx and of zz are those of a singlet, and the energy has no scatter, which
leaves 2 * 8 - 3 + 8 and 2 * 9 - 3 + 8.  Ising: sigma^x and sigma^z as well, less the energy: 3 * 8 + 2 - 1 + 8."""

# Of another program, which diagonalised the same Hamiltonians: energy, of S.S or (Ising) sigma.sigma; S_2 of half the
# sites in nats; <sigma^z_0 sigma^z_r> of r = 0, 1, ..., 8, or of the sites of the first three rows of the square.
KNOWN: dict[str, tuple[float, float, list[float]]] = {
    "Heisenberg ring": (
        -7.142296360616791,
        0.9306241820673673,
        [1.0, -0.595191363385, 0.246965841680, -0.211836449895, 0.150532407956]
        + [-0.143544832169, 0.119712702823, -0.122503231622, 0.111729849222],
    ),
    "Ising ring": (
        -20.404594474756674,
        0.5733840775299361,
        [1.0, 0.637643577336, 0.543877747905, 0.496470249222, 0.467754479548]
        + [0.449333442063, 0.437720727311, 0.431262303873, 0.429185658004],
    ),
    "Heisenberg square": (
        -11.228483208428859,
        1.1277467743308238,
        [1.0, -0.467853467018, 0.285020380533, -0.467853467018, -0.467853467018, 0.285020380533]
        + [-0.269552229284, 0.285020380533, 0.285020380533, -0.269552229284, 0.239500502013, -0.269552229284],
    ),
}


def job_of(system: str, marshall: bool | None = None) -> Job:
    lattice, hamiltonian = SYSTEMS[system]
    sampler = {"walkers": 2048, "block_width": 1024, "samples": 2048 * DRAWS}
    turned = {} if marshall is None else {"marshall": marshall}
    return jobs.job_of(jobs.ring() | {"lattice": lattice, "hamiltonian": hamiltonian | turned, "sampler": sampler})


@cache
def exact(system: str) -> tuple[float, Numbers]:
    """Energy, and ground state on all configurations in the frame of the spins."""
    job = job_of(system)
    return exact_ground_state(job.config, job.sampler.magnetization)


def sampled(job: Job, vector: Numbers) -> Numbers:
    """What the pairs of walkers of a measurement find in a state, (n_pairs, n_points).

    The walkers begin with configurations of |psi|^2, and no burn-in is needed.
    """
    sampler, lattice = job.sampler, job.lattice
    basis = Basis.enumerate(lattice.n_sites)
    psi = TableState(vector, basis)
    observables = choose(OBSERVABLES, Setup(job, psi, 1, {}, True, COMM))
    labels = np.random.default_rng(1).choice(len(basis), size=(sampler.n_blocks, sampler.width), p=psi.probabilities)
    walkers = Walkers(np.ascontiguousarray(basis.spins[:, labels].transpose(1, 0, 2)), 0)
    chains = WalkerSums.empty(sampler.n_blocks, observables.size, sampler.width)
    for drawn in walk(sampler, walkers, psi, 1, FROZEN_STAGE):
        block, draw, spins, lookup = drawn
        values = observables.values(psi, spins, lookup)
        chains.add(block, draw, values, local_energy(job.operator, psi, spins, lookup))
        for tally in observables.tallies:
            tally.add(psi, drawn)
    chains.draws = sampler.n_draws
    return pair_means(chains.saved() | saved_states(observables.tallies, COMM))


def expected(job: Job, vector: Numbers) -> Numbers:
    """The points of :func:`sampled` by their definitions."""
    points = exact_points(vector, job.lattice)
    rows = [points[one.name] for one, _ in local_values(OBSERVABLES, job).parts]
    return np.concatenate([*rows, np.exp(-points["renyi2"])])


@cache
def compared(system: str) -> tuple[Numbers, Numbers]:
    """What is sampled from the exact ground state, and what it should be; psi is positive in the frame of the job."""
    job, (_, vector) = job_of(system), exact(system)
    return sampled(job, np.abs(vector)), expected(job, vector)


@pytest.mark.parametrize("system", SYSTEMS)
def test_exact_numbers_are_those_of_another_program(system: str) -> None:
    energy, vector = exact(system)
    points = exact_points(vector, job_of(system).lattice)
    known_energy, half, correlation = KNOWN[system]
    assert energy == pytest.approx(known_energy, abs=1e-9)
    assert points["renyi2"][-1] == pytest.approx(half, abs=1e-9)
    np.testing.assert_allclose(points["correlation_zz"][: len(correlation)], correlation, atol=1e-9)


@pytest.mark.parametrize("system", SYSTEMS)
def test_all_points_agree_with_exact_diagonalisation(system: str) -> None:
    found = agreement(*compared(system))
    assert found.degrees == DEGREES[system]
    assert found.accepted(LEVEL)


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_point_that_is_off_by_five_errors_is_refused(system: str) -> None:
    """Each of C(r), S(q), m, m_s^2 and the purities alone; where it has no error, by 1e-4."""
    samples, right = compared(system)
    errors = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    for point, (mean, error) in enumerate(zip(samples.mean(axis=0), errors, strict=True)):
        wrong = right.copy()
        wrong[point] = mean - 5.0 * error if error > 1e-9 else mean + 1e-4
        assert not agreement(samples, wrong).accepted(LEVEL)


def test_five_errors_are_refused_by_the_statistic_alone() -> None:
    """C(r) of zz at eight distances and the purities, none of which follows from others, so that no identity helps."""
    samples, right = compared("Ising ring")
    (start,) = [
        rows.start
        for one, rows in local_values(OBSERVABLES, job_of("Ising ring")).parts
        if one.name == "correlation_zz"
    ]
    points = [*range(start + 1, start + 9), *range(len(right) - 8, len(right))]
    samples, right = samples[:, points], right[points]
    assert agreement(samples, right).accepted(LEVEL)
    for point, error in enumerate(samples.std(axis=0, ddof=1) / np.sqrt(len(samples))):
        wrong = right.copy()
        wrong[point] += 5.0 * error
        found = agreement(samples, wrong)
        assert found.degrees == len(points) and found.p_value < LEVEL


def test_a_wrong_sign_structure_is_refused() -> None:
    """The amplitudes of the ground state without the signs that a Hamiltonian without ``marshall`` gives them."""
    job, (_, vector) = job_of("Heisenberg ring", marshall=False), exact("Heisenberg ring")
    right = expected(job, vector)
    assert agreement(sampled(job, vector), right).accepted(LEVEL)
    found = agreement(sampled(job, np.abs(vector)), right)
    assert found.p_value < LEVEL or found.unmoved > NO_DEVIATION
    assert found.p_value < 1e-100
