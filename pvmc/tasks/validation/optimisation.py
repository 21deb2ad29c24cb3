"""The configured run from its first iteration to its last, against the exact ground-state energy."""

from __future__ import annotations

import itertools

from pvmc.mpi import Communicator
from pvmc.results.plateau import plateau
from pvmc.statistics.thresholds import VALIDATED_ERRORS, VALIDATED_ROUNDING, rounding_of
from pvmc.tasks.validation.check import Check, Outcome
from pvmc.tasks.validation.system import ExactSystem
from pvmc.vmc.job import Job
from pvmc.vmc.loop import iterate
from pvmc.vmc.run import initial_state

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
    for step in itertools.islice(steps, job.config.run.iterations):
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
