"""All checks of an input, one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from pvmc.errors import NumericalError, on_every_rank
from pvmc.mpi import Communicator, SerialCommunicator
from pvmc.numerics.arrays import Numbers
from pvmc.numerics.random import Stream, generator
from pvmc.tasks.validation.check import Check, Outcome, Report
from pvmc.tasks.validation.stochastic import DISTRIBUTION, FINAL, check_run, check_sampling
from pvmc.tasks.validation.system import ExactSystem, require_small
from pvmc.tasks.validation.variational import POINTWISE, Point
from pvmc.vmc.job import Job
from pvmc.vmc.start import initial_parameters, initial_state, run_kernels

NOISE = 0.03
"""Standard deviation of what is added to the initial parameters, so that none of them is zero."""

CONTRAST = 1.5
"""Standard deviation of ln |psi|^2 over the configurations, to which the parameters are scaled up."""

GROWTH, N_GROWTHS = 1.25, 15
"""Factor of a scaling, and how often it is applied at most."""


def validate_physics(
    name: str,
    job: Job,
    comm: Communicator,
    *,
    accuracy: float = 1e-3,
    show: Callable[[Check], None] = lambda check: None,
) -> Report:
    """Collective. Compare sampler, local energies, gradient, SR step and final energy with exact diagonalisation.

    The first checks are made at random parameters that give psi some contrast; the last ones at the end of the run.

    Args:
        name: of the input, for the report.
        job: the input, built; at most 16 sites.
        comm: the ranks.
        accuracy: largest relative error of the final energy.
        show: called with each check as soon as it is made; on every rank.

    Raises:
        InputError: the system is too large to be diagonalised, or has no sector of these quantum numbers.
    """
    began = time.perf_counter()
    with on_every_rank():
        require_small(job)
        system = ExactSystem.of(job)
    comm.on_root(lambda: run_kernels(job, initial_state(job, SerialCommunicator())))
    checks: list[Check] = []
    outcome: Outcome | None = None
    for check in _at_point(job, system, comm):
        checks.append(check)
        show(check)
    try:
        final, outcome = check_run(job, system, accuracy, comm)
    except NumericalError as error:
        final = [_unmade(FINAL, error)]
    for check in final:
        checks.append(check)
        show(check)
    seconds = float(comm.broadcast(np.array([time.perf_counter() - began]))[0])
    return Report(
        name, job.lattice.n_sites, describe_ansatz(job), job.ansatz.n_parameters, tuple(checks), outcome, seconds
    )


def _at_point(job: Job, system: ExactSystem, comm: Communicator) -> Iterator[Check]:
    """Collective. The checks at fixed parameters."""
    point = Point(job, system, comm.broadcast(contrasting_parameters(job, system, comm)))
    try:
        yield from check_sampling(job, system, point.psi, comm)
    except NumericalError as error:
        yield _unmade(DISTRIBUTION, error)
    for name, make in POINTWISE:
        yield comm.root_value(partial(_made, name, make, point))


def _made(name: str, make: Callable[[Point], Check], point: Point) -> Check:
    try:
        return make(point)
    except NumericalError as error:
        return Check.broken(name, str(error))


def _unmade(name: str, error: NumericalError) -> Check:
    """The failed check of an error that all ranks raise alike; any other error ends the job."""
    if not error.collective:
        raise error
    return Check.broken(name, str(error))


def contrasting_parameters(job: Job, system: ExactSystem, comm: Communicator) -> Numbers:
    """Collective. The first parameters of the run with noise, scaled up until ln |psi|^2 varies by CONTRAST.

    Near their start most wave functions are nearly constant, and a constant passes too many tests.
    """
    theta = initial_parameters(job, comm)
    noise = generator(job.config.run.seed, Stream.PARAMETERS, block=1).normal(scale=NOISE, size=(2, len(theta)))
    theta = theta + (noise[0] + 1j * noise[1] if np.iscomplexobj(theta) else noise[0])
    for _ in range(N_GROWTHS):
        if np.std(2.0 * job.ansatz.at(theta).log_psi(system.basis.spins).real) >= CONTRAST:
            break
        theta = GROWTH * theta
    return theta


def describe_ansatz(job: Job) -> str:
    """The kind of the wave function with its size and symmetry, in a few words."""
    spec = job.config.ansatz
    words = [str(spec.kind)]
    for key in ("alpha", "widths", "momentum"):
        value = getattr(spec, key, None)
        if value is not None:
            words.append(f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}")
    symmetry = getattr(spec, "symmetry", "none")
    if symmetry != "none":
        words.append(str(symmetry))
    if getattr(spec, "weights", None) == "real":
        words.append("real")
    return ", ".join(words)
