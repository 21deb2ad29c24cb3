"""One measurement: parameters that stay, long sampling over all ranks, files."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any

from pvmc.config import validate
from pvmc.errors import on_every_rank
from pvmc.measurement.frozen import frozen
from pvmc.measurement.goal import Goal
from pvmc.measurement.measure import Measuring, the
from pvmc.measurement.overlap import OVERLAP
from pvmc.measurement.plan import MeasureRequest
from pvmc.measurement.recorder import Notebook
from pvmc.measurement.registry import choose, names_of
from pvmc.measurement.tallies import make_tallies, read_others, without_fidelities
from pvmc.mpi import Communicator, limit_threads
from pvmc.sampler import Enumeration
from pvmc.vmc.job import Job, JobConfig, build_job
from pvmc.vmc.limits import find_time_limit
from pvmc.vmc.recorder import warn
from pvmc.vmc.run import require_blocks
from pvmc.vmc.signals import Signals
from pvmc.vmc.stop import StopWatcher


def measure(request: MeasureRequest, comm: Communicator) -> int:
    """Collective. Carry out a measurement, from the beginning or from its last checkpoint, and store it.

    Returns:
        The exit code: 0 for a finished one, 75 for one that was stopped and can go on.

    Raises:
        InputError: no such run, parameters or observables, more ranks than walker blocks, or nothing to go on with.
        NumericalError: a local value is not finite.
        StorageError: the files cannot be read or written.
    """
    with contextlib.ExitStack() as stack:
        signals = stack.enter_context(Signals())
        notebook = comm.on_root(lambda: stack.enter_context(Notebook(request)))
        plan = comm.root_value(lambda: the(notebook).plan)
        with on_every_rank():
            job = build_job(validate(JobConfig, plan.raw), plan.raw)
            theta = plan.saved.fitting(job.ansatz.parameter_blocks, job.ansatz.dtype)
            job = replace(job, sampler=frozen(job.sampler, plan.seed))
            psi = job.ansatz.at(theta)
            stored = plan.before.attributes if plan.before else {}
            words = [word for word in str(stored.get("observables", "")).split(", ") if word] or request.observables
            names = names_of(words, job)
            observables = choose(names, job)
        limit_threads(job.config.run.threads_per_rank)
        require_blocks(job, comm)
        others = comm.root_value(lambda: read_others(names))
        with on_every_rank():
            optional = () if request.observables else names
            tallies = make_tallies(names, others, job, psi, plan.seed, comm, optional)
            kept = {tally.name for tally in tallies}
            names = [name for name in names if name != OVERLAP or OVERLAP in kept]
        measuring = Measuring(job, theta, psi, observables, tallies, plan, comm, notebook)
        settings: dict[str, Any] = {"observables": ", ".join([*without_fidelities(names), *others])}
        if isinstance(job.sampler, Enumeration):
            return measuring.exact(settings)
        goal = Goal.of(request, stored, _batch_samples(job))
        settings |= {"samples": goal.samples} | ({"until_error": goal.until_error} if goal.until_error else {})
        limit = comm.on_root(lambda: find_time_limit(job.config.run.time, request.started))
        if limit is not None and limit.warning:
            warn(limit.warning)
        directory = plan.file.parent
        watcher = StopWatcher(goal.batches + 1, signals, directory, limit.limit if limit else None)
        return measuring.sampled(goal, settings, watcher)


def _batch_samples(job: Job) -> int:
    return job.sampler.n_blocks * job.sampler.width * job.sampler.n_draws
