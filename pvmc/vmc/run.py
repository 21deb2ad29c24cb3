"""One run: build, resume or start, compile, iterate, close."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from functools import partial

from pvmc.errors import DifferentRanks, NumericalError
from pvmc.mpi import Communicator, OnRoot, limit_threads, node_of, oversubscription
from pvmc.sampler import Metropolis
from pvmc.vmc.checkpoints import CheckpointPolicy, shared_run
from pvmc.vmc.display import warn
from pvmc.vmc.guard import spectrum_bounds
from pvmc.vmc.interruptions import Signals, TimeLimit, find_time_limit, stopped_by_signals
from pvmc.vmc.job import Job, require_blocks
from pvmc.vmc.loop import State
from pvmc.vmc.pieces import Piece, StopReason, carry_out
from pvmc.vmc.recorder import Checkpoints, Record, Recorder, RunRequest
from pvmc.vmc.rollback import Rollback
from pvmc.vmc.start import best_start, compile_kernels, initial_state, redraws, require_support
from pvmc.vmc.stop import Convergence, Eigenstate, StopWatcher
from pvmc.vmc.stuck_walkers import WalkerWatch


def run(request: RunRequest, comm: Communicator) -> int:
    """Collective. Carry out a run, from the first iteration or from its last checkpoint, until it ends or is stopped.

    Rank 0 alone writes the files in ``directory`` and reports to the terminal.  A signal stops the run; SIGTERM, Ctrl-C
    and SIGHUP are then raised again, unless the caller ends the program (``request.ends_program``).

    Returns:
        The exit code: 0 for a finished run, 75 for one that was stopped and can be resumed.

    Raises:
        InputError: more ranks than walker blocks, results that are in the way, or nothing that can be resumed.
        NumericalError: psi is zero on all walkers, or the numbers went bad for good; the last good state is saved.
        StorageError: the files cannot be read or written; the results so far are kept.
    """
    # Build: the ranks, the record on rank 0, and the seed, where several are tried.
    threads = request.job.config.run.threads_per_rank
    limit_threads(threads)
    node = node_of(comm)
    require_blocks(request.job, comm)
    with contextlib.ExitStack() as stack:
        signals = stack.enter_context(stopped_by_signals(comm, request.ends_program))
        recorder = OnRoot.made(lambda: stack.enter_context(Recorder(request, comm.size)), comm)
        if warning := oversubscription(comm, node, threads):
            warn(warning)
        limit = _time_limit(request, comm)
        job = best_start(request.job, partial(_trial_watcher, request, signals, limit), recorder, node, comm)
        if isinstance(job, StopReason):
            return _close(job, recorder)
        # Surround the loop: the pieces in the order in which they are called after an iteration.
        rollback, convergence = Rollback.of(job, redraws(job)), Convergence.of(job)
        eigenstate = _eigenstate(job, recorder)
        watcher = _watcher(request, signals, limit)
        walkers = WalkerWatch(job.operator.radius, job.sampler.width, job.config.run.seed)
        checkpoints = Checkpoints(recorder, watcher, [rollback, walkers])
        pieces = [walkers, Record(recorder), convergence, eigenstate, watcher, checkpoints]
        # Resume or start.
        state = _resumed(job, [rollback, *pieces], recorder, comm)
        if state is None:
            state = initial_state(job, comm)
        elif over := _reason_to_end(state, watcher, convergence, eigenstate, comm):
            return _nothing_left(over, state, recorder)
        # Compile, iterate, close.
        compile_kernels(job, state, comm, node)
        if state.iteration == 0:
            require_support(job, state, comm)
        return _close(_iterate(state, job, rollback, pieces, checkpoints, comm), recorder)


def _time_limit(request: RunRequest, comm: Communicator) -> TimeLimit | None:
    """Collective. The end of the run's time; None without a limit, and on ranks other than the root."""
    found = comm.on_root(lambda: find_time_limit(request.job.config.run.time, request.started))
    if found is not None and found.warning:
        warn(found.warning)
    return found.limit if found is not None else None


def _trial_watcher(request: RunRequest, signals: Signals, limit: TimeLimit | None) -> StopWatcher:
    """Decides whether a trial goes on: as for the run, but it neither converges nor saves."""
    beyond = request.job.config.run.start_iterations + 1  # its last iteration is not the end of the run
    return StopWatcher(beyond, signals, request.directory, limit)


def _watcher(request: RunRequest, signals: Signals, limit: TimeLimit | None) -> StopWatcher:
    """Decides when the run stops and saves; on ranks other than the root no more than the signals matters."""
    settings = request.job.config.run
    policy = CheckpointPolicy(settings.checkpoint, iteration=0, moment=time.monotonic())
    return StopWatcher(settings.n_iterations, signals, request.directory, limit, policy)


def _resumed(
    job: Job, parts: Sequence[Piece | Rollback], recorder: OnRoot[Recorder], comm: Communicator
) -> State | None:
    """Collective. The state of the last checkpoint, all parts as they were then; None where the run begins anew."""
    if not recorder.ask(Recorder.has_checkpoint):
        return None
    saved = shared_run(recorder.do(Recorder.checkpoint), recorder.ask(Recorder.series), job, comm)
    for part in parts:
        part.restored(saved)
    return saved.state


def _eigenstate(job: Job, recorder: OnRoot[Recorder]) -> Eigenstate:
    """Collective. The test for an eigenstate, with the exact energy where the record has one."""
    bounds = spectrum_bounds(job.config.hamiltonian.build(job.lattice))
    exact = recorder.ask(Recorder.exact_energy)
    return Eigenstate(job.operator, bounds, is_exact=not isinstance(job.sampler, Metropolis), exact=exact)


def _reason_to_end(
    state: State, watcher: StopWatcher, convergence: Convergence, eigenstate: Eigenstate, comm: Communicator
) -> StopReason | None:
    """Collective. The reason why a run that goes on from a state has nothing left to do."""
    found = eigenstate.found(state.walkers, comm)
    return comm.root_value(lambda: watcher.over(state.iteration, convergence.reached() or found))


def _nothing_left(reason: StopReason, state: State, recorder: OnRoot[Recorder]) -> int:
    """Collective. End a resumed run that has reached its end before; the exit code."""
    code = _close(reason, recorder)
    if recorder.root and reason.kind == "iterations":
        print(f"{reason.message}; for more, --set run.iterations=N with N > {state.iteration}", flush=True)
    return code


def _iterate(
    state: State,
    job: Job,
    rollback: Rollback,
    pieces: Sequence[Piece],
    checkpoints: Checkpoints,
    comm: Communicator,
) -> StopReason:
    """Collective. The iterations of a run; the reason why it stops.  Where the numbers stay bad, the last good state is
    saved."""
    try:
        return carry_out(state, job, rollback, pieces, comm)
    except NumericalError as error:
        # Where ranks differ, the checkpoints before are better than any state since.
        if error.collective and not isinstance(error, DifferentRanks) and (good := rollback.last_good()):
            checkpoints.save(good, comm)
        raise


def _close(reason: StopReason, recorder: OnRoot[Recorder]) -> int:
    """Collective. Record why the run ends; the exit code."""
    recorder.do(lambda recorder: recorder.stop(reason))
    return reason.exit_code
