"""The configured sampler against |psi|^2 over all configurations, and the configured run against the exact energy."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy import stats

from pvmc.estimators import estimate, reduce_moments
from pvmc.mpi import Communicator, block_range
from pvmc.numerics.arrays import Floats
from pvmc.results.plateau import plateau
from pvmc.sampler import Metropolis, Samples, Walkers, advance
from pvmc.statistics.thresholds import VALIDATED_ERRORS, VALIDATED_P, VALIDATED_ROUNDING, rounding_of
from pvmc.tasks.validation.check import Check, Outcome
from pvmc.tasks.validation.system import ExactSystem
from pvmc.vmc.job import Job
from pvmc.vmc.loop import iterate
from pvmc.vmc.start import initial_state
from pvmc.wavefunctions import WaveFunction

DRAWS = 16_384
"""Configurations that are compared with |psi|^p, at least."""

SEPARATION = 16
"""Sweeps between two draws of a walker in units of N, so that they are independent; twice as many before the first.

Exchanges of neighbours on an open chain need so many: with 4 the p-values at rough wave functions were too small.
"""

RARE = 8.0
"""Configurations expected less often than this share a cell of the chi-square."""


DISTRIBUTION, MEAN_ENERGY = "sampled distribution", "sampled energy"


def check_sampling(job: Job, system: ExactSystem, psi: WaveFunction, comm: Communicator) -> tuple[Check, Check]:
    """Collective. The checks of the distribution and of the mean energy, at the same psi."""
    blocks = block_range(job.sampler.n_blocks, comm.rank, comm.size)
    walkers = job.sampler.start(blocks, comm)
    vector = system.state(psi)
    probabilities = np.abs(vector) ** 2
    if isinstance(job.sampler, Metropolis):
        drawn_from = np.abs(vector) ** job.sampler.power
        if job.sampler.smear is not None:
            drawn_from = job.sampler.smear.distribution(drawn_from, system.basis)
        distribution, walkers = _chi_square(job, job.sampler, system, psi, drawn_from, walkers, comm)
    else:
        distribution = _weights(job, system, psi, probabilities, walkers, comm)
    return distribution, _mean_energy(job, system, psi, walkers, comm)


def _chi_square(
    job: Job,
    sampler: Metropolis,
    system: ExactSystem,
    psi: WaveFunction,
    probabilities: Floats,
    walkers: Walkers,
    comm: Communicator,
) -> tuple[Check, Walkers]:
    """Collective. The chi-square of independent draws, one per walker at a time, and the walkers after them."""
    separation = SEPARATION * job.lattice.n_sites
    patient = replace(sampler, n_draws=1, burn_in=2 * separation, discard=separation)
    counts = np.zeros(len(probabilities) + 1, dtype=np.int64)
    n_times = -(-DRAWS // (sampler.n_blocks * sampler.width))
    for time in range(n_times):
        walkers, samples = advance(patient, walkers, psi, time)
        counts += _counts(samples, system)
    counts = comm.sum(counts)
    if counts[-1]:
        return Check.broken(DISTRIBUTION, f"{counts[-1]} configurations of another magnetisation"), walkers
    p_value, n_cells = chi_square(counts[:-1], probabilities)
    note = f"two-sided p of chi-square, {counts.sum()} draws in {n_cells} cells"
    return Check.at_least(DISTRIBUTION, p_value, VALIDATED_P, note), walkers


def _counts(samples: Samples, system: ExactSystem) -> npt.NDArray[np.int64]:
    """How often each configuration of the basis was drawn, (D + 1,); the last entry counts those outside."""
    spins = samples.spins.transpose(2, 0, 1, 3).reshape(system.basis.n_sites, -1)
    position = system.basis.index(system.basis.labels_of(np.ascontiguousarray(spins)))
    return np.bincount(np.where(position < 0, len(system.basis), position), minlength=len(system.basis) + 1)


def chi_square(counts: npt.NDArray[np.int64], probabilities: Floats) -> tuple[float, int]:
    """Two-sided p-value of Pearson's chi-square, and the number of cells.

    A configuration expected at least RARE times is a cell; the others share cells with their neighbours in the basis,
    so that each cell is expected as often.  Too good a fit is improbable too.
    """
    expected = probabilities / probabilities.sum() * counts.sum()
    common = expected >= RARE
    filled = np.floor(np.cumsum(expected[~common]) / RARE).astype(np.int64)
    cell = np.minimum(filled, max(int(filled[-1]) - 1, 0)) if filled.size else filled  # what is left joins the last
    pooled = [np.bincount(cell, weights=values[~common]) for values in (counts, expected)]
    observed, mean = np.append(counts[common], pooled[0]), np.append(expected[common], pooled[1])
    observed, mean = observed[mean > 0], mean[mean > 0]
    if len(mean) < 2:
        return 1.0 if observed.sum() == counts.sum() else 0.0, len(mean)
    statistic = float(np.sum((observed - mean) ** 2 / mean))
    below = float(stats.chi2.cdf(statistic, len(mean) - 1))
    above = float(stats.chi2.sf(statistic, len(mean) - 1))
    return 2.0 * min(below, above), len(mean)


def _weights(
    job: Job, system: ExactSystem, psi: WaveFunction, probabilities: Floats, walkers: Walkers, comm: Communicator
) -> Check:
    """Collective. The weights of an enumeration, relative to the largest."""
    _, samples = advance(job.sampler, walkers, psi, 0)
    assert samples.log_weights is not None
    spins = np.ascontiguousarray(samples.spins.transpose(2, 0, 1, 3).reshape(system.basis.n_sites, -1))
    logarithms = samples.log_weights.reshape(-1)
    weights = np.exp(logarithms - comm.max(np.array([logarithms.max()])))
    found = np.bincount(
        system.basis.index(system.basis.labels_of(spins)), weights=weights, minlength=len(probabilities)
    )
    total = comm.sum(found)
    error = float(np.max(np.abs(total / total.sum() - probabilities)) / probabilities.max())
    note = "largest deviation of a weight: all configurations, no draws"
    return Check.at_most(DISTRIBUTION, error, VALIDATED_ROUNDING, note)


def _mean_energy(job: Job, system: ExactSystem, psi: WaveFunction, walkers: Walkers, comm: Communicator) -> Check:
    """Collective. The mean and error that an iteration of a run would give, by the configured sampler."""
    walk = job.sampler.walk(walkers, psi, DRAWS)  # an iteration whose random numbers nothing else has used
    real = not np.issubdtype(job.ansatz.dtype, np.complexfloating)
    moments = reduce_moments(
        estimate(walk, job.operator, psi, job.ansatz.n_parameters, comm, real_parameters=real),
        comm,
        n_sites=job.lattice.n_sites,
        infinite_temperature=job.operator.infinite_temperature_energy,
    )
    exact, mean, error = system.energy_of(psi), moments.energy.mean.real, moments.energy.error
    difference = abs(mean - exact)
    if difference <= VALIDATED_ROUNDING * max(1.0, abs(exact)):
        return Check.at_most(MEAN_ENERGY, difference, VALIDATED_ROUNDING * max(1.0, abs(exact)), "equal up to rounding")
    if error == 0.0:
        return Check.at_most(MEAN_ENERGY, difference / max(1.0, abs(exact)), VALIDATED_ROUNDING, "no error is claimed")
    note = f"deviation in claimed errors: {mean:.6g} +- {error:.2g}, exact {exact:.6g}"
    return Check.at_most(MEAN_ENERGY, difference / error, VALIDATED_ERRORS, note)


FINAL, BOUND, ENUMERATED = "final energy", "variational bound", "energy of the final psi"


def check_run(job: Job, system: ExactSystem, accuracy: float, comm: Communicator) -> tuple[list[Check], Outcome]:
    """Collective. Run the job and compare its energies with the exact one.

    Args:
        job: the input.
        system: the same system solved exactly.
        accuracy: largest relative error of the energy.
        comm: the ranks.

    Raises:
        NumericalError: the energy or the step went bad; on every rank.
    """
    state = initial_state(job, comm)
    means, errors = [], []
    steps = iterate(state, job.ansatz, job.operator, job.sampler, job.solver, comm)
    for step in itertools.islice(steps, job.config.run.n_iterations):
        means.append(step.energy.mean.real)
        errors.append(step.energy.error)
        state = step.state
    end = plateau(means, errors, rounding_of(system.energy, job.operator.radius))
    psi = job.ansatz.at(state.theta)
    outcome = Outcome(
        exact=system.energy,
        radius=job.operator.radius,
        energy=end.value,
        error=end.error,
        enumerated=system.energy_of(psi),
        variance=system.variance_of(psi),
    )
    return _judged(outcome, accuracy, end.n), outcome


def _judged(outcome: Outcome, accuracy: float, n_iterations: int) -> list[Check]:
    exact, scale = outcome.exact, outcome.scale
    slack = VALIDATED_ROUNDING * scale
    below = max(0.0, exact - outcome.energy - slack)
    sigmas = below / outcome.error if outcome.error > 0 else (float("inf") if below else 0.0)
    excess = (outcome.enumerated - exact) / scale
    return [
        Check.at_most(
            FINAL,
            outcome.relative_error,
            accuracy,
            f"relative error: {outcome.energy:.8g} +- {outcome.error:.2g} over {n_iterations} iterations, "
            f"exact {exact:.8g}",
        ),
        Check.at_most(BOUND, sigmas, VALIDATED_ERRORS, "errors by which the mean lies below the exact energy"),
        Check.at_most(
            ENUMERATED,
            abs(excess) if excess >= -VALIDATED_ROUNDING else float("inf"),
            accuracy,
            f"relative error by enumeration, signed {excess:.1e}; variance {outcome.variance:.2e}",
        ),
    ]
