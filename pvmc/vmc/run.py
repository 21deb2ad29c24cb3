"""One run: build or resume, iterate, write, save, stop."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from pvmc.errors import DifferentRanks, NumericalError
from pvmc.mpi import Communicator, Node, limit_threads, node_of, oversubscription
from pvmc.vmc.checkpoints import CheckpointPolicy, resumed_state
from pvmc.vmc.guard import spectrum_bounds
from pvmc.vmc.interruptions import Signals, TimeLimit, find_time_limit
from pvmc.vmc.job import Job, require_blocks
from pvmc.vmc.loop import State
from pvmc.vmc.recorder import Desk, Recorder, RunRequest, warn
from pvmc.vmc.rollback import Safety, Setback, guarded, packed, unpacked
from pvmc.vmc.start import best_start, compile_kernels, initial_state, require_support
from pvmc.vmc.stop import Convergence, StopReason, StopWatcher
from pvmc.vmc.stuck_walkers import WalkerWatch


def run(request: RunRequest, comm: Communicator) -> int:
    """Collective. Carry out a run, from the first iteration or from its last checkpoint, until it ends or is stopped.

    Rank 0 alone writes the files in ``directory`` and reports to the terminal.

    Returns:
        The exit code: 0 for a finished run, 75 for one that was stopped and can be resumed.

    Raises:
        InputError: more ranks than walker blocks, results that are in the way, or nothing that can be resumed.
        NumericalError: psi is zero on all walkers, or the numbers went bad for good; the last good state is saved.
        StorageError: the files cannot be read or written; the results so far are kept.
    """
    threads = request.job.config.run.threads_per_rank
    limit_threads(threads)
    node = node_of(comm)
    require_blocks(request.job, comm)
    with contextlib.ExitStack() as stack:
        signals = stack.enter_context(Signals())
        desk = Desk(comm.on_root(lambda: stack.enter_context(Recorder(request, comm.size))), comm)
        if warning := oversubscription(comm, node, threads):
            warn(warning)
        limit = _time_limit(request, comm)
        begin, watch = partial(_anew, node=node, comm=comm), _trial_watch(request, signals, limit)
        job = best_start(request.job, begin, watch, desk, comm)
        if isinstance(job, StopReason):
            desk.tell(partial(Recorder.stop, reason=job))
            return job.exit_code
        state, safety = _begin(job, desk, comm)
        if over := desk.ask(partial(Recorder.over, iteration=state.iteration)):
            return _nothing_left(over, state, desk)
        compile_kernels(job, state, comm, node)
        if state.iteration == 0:
            require_support(job, state, comm)
        watcher = _watcher(request, desk, state, signals, limit)
        return _iterate(state, job, safety, watcher, desk, comm).exit_code


def _begin(job: Job, desk: Desk, comm: Communicator) -> tuple[State, Safety]:
    """Collective. The state that the run begins with, and what it remembers of iterations before."""
    safety = _safety(job)
    if not desk.ask(Recorder.has_checkpoint):
        return initial_state(job, comm), safety
    state = resumed_state(desk.tell(Recorder.checkpoint), job, comm)
    numbers, series = desk.ask(Recorder.memory)
    state = replace(state, memory=unpacked(numbers))
    safety.restore(state, numbers, series)
    return state, safety


def _anew(job: Job, node: Node, comm: Communicator) -> tuple[State, Safety]:
    """Collective. What a new run of a job begins with, its kernels compiled."""
    state = initial_state(job, comm)
    compile_kernels(job, state, comm, node)
    require_support(job, state, comm)
    return state, _safety(job)


def _safety(job: Job) -> Safety:
    return Safety(job, spectrum_bounds(job.config.hamiltonian.build(job.lattice)))


def _nothing_left(reason: StopReason, state: State, desk: Desk) -> int:
    """Collective. What a resumed run does that has reached its end before."""
    desk.tell(partial(Recorder.stop, reason=reason))
    if desk.recorder and reason.kind == "iterations":
        print(f"{reason.message}; for more, --set run.iterations=N with N > {state.iteration}", flush=True)
    return reason.exit_code


def _time_limit(request: RunRequest, comm: Communicator) -> TimeLimit | None:
    """Collective. Until when the run may last; None without a limit, and on ranks other than the root."""
    found = comm.on_root(lambda: find_time_limit(request.job.config.run.time, request.started))
    if found is not None and found.warning:
        warn(found.warning)
    return found.limit if found is not None else None


def _trial_watch(request: RunRequest, signals: Signals, limit: TimeLimit | None) -> Callable[[], StopWatcher]:
    """Makes what decides whether a trial goes on: as for the run, but it neither converges nor saves."""
    beyond = request.job.config.run.start_iterations + 1  # its last iteration is not the end of the run
    return lambda: StopWatcher(beyond, signals, request.directory, limit)


def _watcher(request: RunRequest, desk: Desk, state: State, signals: Signals, limit: TimeLimit | None) -> StopWatcher:
    """What decides when the run stops and saves; complete on the root, enough of it elsewhere."""
    settings, n_sites = request.job.config.run, request.job.lattice.n_sites
    if desk.recorder is None:
        return StopWatcher(settings.iterations, signals)
    convergence = None
    if settings.stop is not None:
        convergence = Convergence(settings.stop, n_sites)
        convergence.replay(desk.recorder.memory()[1])
    policy = CheckpointPolicy(settings.checkpoint, state.iteration, time.monotonic())
    return StopWatcher(settings.iterations, signals, request.directory, limit, convergence, policy)


def _iterate(
    state: State, job: Job, safety: Safety, watcher: StopWatcher, desk: Desk, comm: Communicator
) -> StopReason:
    """Collective. The iterations of a run, each recorded; the reason why it stops."""
    walkers, saved = WalkerWatch(job.operator.radius), state.iteration
    try:
        for step in guarded(state, job, safety, comm):
            state = step.state
            if isinstance(step, Setback):
                if state.iteration < saved:  # the checkpoint is of iterations that no longer count
                    _save(state, safety, desk, comm)
                    saved = state.iteration
                desk.tell(partial(Recorder.go_back, setback=step))
                continue
            warning = ""
            if step.walker_energies is not None:
                warning = walkers.look(step.iteration, step.walker_energies, step.energy.r_hat, comm)
            desk.tell(partial(Recorder.record, step=step, n_stuck=walkers.n_stuck))
            if warning:
                warn(warning)
            decision = watcher.decide(step.iteration, step.energy, comm)
            for wanted, lasting in ((decision.recent, False), (decision.checkpoint, True)):
                if wanted:
                    watcher.saved(step.iteration, _save(state, safety, desk, comm, lasting), lasting)
                    saved = state.iteration
            if decision.stop:
                desk.tell(partial(Recorder.stop, reason=decision.stop))
                return decision.stop
    except DifferentRanks:
        raise  # the checkpoints before are better than this state
    except NumericalError as error:
        if error.collective and state.iteration > 0:  # its parameters led to trouble: those before did not
            _save(safety.last_good(), safety, desk, comm)
        raise
    raise AssertionError("the iterations have no end")


def _save(state: State, safety: Safety, desk: Desk, comm: Communicator, lasting: bool = True) -> float:
    """Collective. Write a checkpoint, forced to the disk where it is to be lasting; the seconds that it took."""
    begin = time.monotonic()
    spins, numbers = comm.gather(state.walkers.spins), safety.saved(comm) | packed(state.memory)

    def save(recorder: Recorder) -> None:
        assert spins is not None, "the root has gathered them"
        recorder.save(state.iteration, state.theta, spins, numbers, lasting)

    desk.tell(save)
    return time.monotonic() - begin
