"""Several starts: each seed is tried for some iterations, and the run is that of the lowest energy."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from pvmc.errors import DifferentRanks, NumericalError, on_every_rank
from pvmc.io.layout import StartTrial, kept
from pvmc.mpi import Communicator
from pvmc.results.plateau import plateau
from pvmc.vmc.guarded import Safety, Setback, guarded
from pvmc.vmc.job import Job, RunSpec, with_seed
from pvmc.vmc.loop import State
from pvmc.vmc.recorder import Desk, Recorder, warn
from pvmc.vmc.stop import StopReason, StopWatcher

Begin = Callable[[Job], tuple[State, Safety]]
"""Collective.  What a run of a job begins with."""


def cost_in_words(run: RunSpec) -> str:
    """What the trials cost, beside the iterations of the run; empty for a single start."""
    if run.starts == 1:
        return ""
    trials, share = run.starts * run.start_iterations, run.starts * run.start_iterations / run.iterations
    return (
        f"{run.starts} starts of {run.start_iterations} iterations each: {trials} iterations before the "
        f"{run.iterations} of the run ({share:.0%} more time)"
    )


def best_start(
    job: Job, begin: Begin, watch: Callable[[], StopWatcher], desk: Desk, comm: Communicator
) -> Job | StopReason:
    """Collective. The job with the seed of the lowest energy; or why it stops before that is known.

    Trials that an earlier start of the run has finished are not repeated.  A job of one start is returned as it is.

    Args:
        job: the user's job, with the first of the seeds.
        begin: makes the state before iteration 0, and what the run remembers; collective.
        watch: makes what decides whether a trial goes on.
        desk: the recorder of rank 0.
        comm: the ranks.

    Raises:
        NumericalError: the numbers of all trials went bad; on every rank.
    """
    if job.config.run.starts == 1:
        return job
    for row, trial in enumerate(desk.ask(Recorder.trials)):
        if not trial.over:
            desk.tell(partial(Recorder.begin_trial, row=row))
            stop = _attempt(row, with_seed(job, trial.seed), begin, watch, desk, comm)
            if stop:
                return stop
    best = kept(desk.ask(Recorder.trials))
    with on_every_rank():
        if best is None:
            raise NumericalError(f"the numbers of all {job.config.run.starts} starts went bad")
    desk.tell(partial(Recorder.keep, best=best))
    return with_seed(job, best.seed)


def _attempt(
    row: int, job: Job, begin: Begin, watch: Callable[[], StopWatcher], desk: Desk, comm: Communicator
) -> StopReason | None:
    """Collective. Iterations of one seed, recorded; why they stop before their end, None where they do not."""
    run = job.config.run
    energies: list[tuple[float, float]] = []  # and errors
    try:
        state, safety = begin(job)
        watcher = watch()
        for step in guarded(state, job, safety, comm):
            if isinstance(step, Setback):
                del energies[step.state.iteration :]
                if desk.recorder:
                    warn(step.message)
                continue
            energies.append((step.energy.mean.real, step.energy.error))
            over = len(energies) == run.start_iterations
            trial = finished(run.seed, energies) if over else StartTrial(run.seed, len(energies))
            desk.tell(partial(Recorder.record_trial, row=row, trial=trial, step=step))
            stop = watcher.decide(step.iteration, step.energy, comm).stop
            if stop or over:
                return stop
    except DifferentRanks:
        raise
    except NumericalError as error:
        if not error.collective:
            raise
        bad = StartTrial(run.seed, len(energies), energy=math.inf)
        desk.tell(partial(Recorder.lose_trial, row=row, trial=bad, reason=str(error)))
        return None
    raise AssertionError("the iterations have no end")


def finished(seed: int, energies: Sequence[tuple[float, float]]) -> StartTrial:
    """A trial that is over: the mean energy of its plateau, and its error.

    The plateau is that of a run (:func:`pvmc.results.plateau.plateau`).  The error, which may come out too small by
    chance where iterations are few, is never less than that of independent iterations with their own errors.

    Args:
        seed: of the trial.
        energies: total energy and its standard error in each iteration, n >= 8 of them.
    """
    values, errors = np.array(energies).T
    end = plateau(values, errors)
    return StartTrial(seed, len(energies), end.value, end.error)
