"""One run: build or resume, iterate, write, save, stop."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from pvmc import sampler
from pvmc.config import shown
from pvmc.errors import DifferentRanks, InputError, NumericalError, on_every_rank
from pvmc.io.earlier import read_parameters
from pvmc.mpi import Communicator, Node, block_range, limit_threads, node_of, oversubscription
from pvmc.numerics.random import Stream, generator
from pvmc.vmc.checkpoint_policy import CheckpointPolicy
from pvmc.vmc.compile import compile_kernels
from pvmc.vmc.convergence import Convergence
from pvmc.vmc.guard import spectrum_bounds
from pvmc.vmc.guarded import Safety, Setback, guarded, packed, unpacked
from pvmc.vmc.job import Job
from pvmc.vmc.limits import TimeLimit, find_time_limit
from pvmc.vmc.loop import State
from pvmc.vmc.recorder import Desk, Recorder, RunRequest, warn
from pvmc.vmc.resume import resumed_state
from pvmc.vmc.signals import Signals
from pvmc.vmc.starts import best_start
from pvmc.vmc.stop import StopReason, StopWatcher
from pvmc.vmc.stuck_walkers import WalkerWatch
from pvmc.wavefunctions.composite import nodes

RANDOM_WALKERS = 256
"""Configurations of a rank that are looked at, besides its walkers, for one where psi is not zero."""


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


def initial_state(job: Job, comm: Communicator) -> State:
    """Collective. The state before iteration 0: random parameters, the same on every rank, and this rank's walkers.

    Raises:
        InputError: more ranks than walker blocks; on every rank.
    """
    require_blocks(job, comm)
    theta = initial_parameters(job, comm)
    walkers = job.sampler.start(block_range(job.sampler.n_blocks, comm.rank, comm.size), comm)
    return State(0, theta, walkers)


def require_blocks(job: Job, comm: Communicator) -> None:
    """Refuse more ranks than walker blocks.

    Raises:
        InputError: on every rank.
    """
    n_blocks = job.sampler.n_blocks
    with on_every_rank():
        if comm.size > n_blocks:
            raise InputError(
                f"{comm.size} ranks, but {n_blocks} block{'s' if n_blocks > 1 else ''} of walkers "
                f"({job.sampler.describe()}): use at most {n_blocks}, more walkers, or a smaller sampler.block_width"
            )


def initial_parameters(job: Job, comm: Communicator) -> npt.NDArray[Any]:
    """Collective. The first parameters, (K,), the same on every rank: random, or those of ``ansatz.start_from``.

    Raises:
        InputError: the other run has no parameters, or those of another ansatz; on every rank.
    """
    source = job.config.ansatz.start_from
    if source is None:
        return comm.broadcast(job.ansatz.initial_parameters(generator(job.config.run.seed, Stream.PARAMETERS)))

    def read() -> npt.NDArray[Any]:
        try:
            return read_parameters(source).fitting(job.ansatz.parameter_blocks, job.ansatz.dtype)
        except InputError as error:
            raise InputError(f"ansatz.start_from = {shown(source)}: {error}") from None

    return comm.root_value(read)


def require_support(job: Job, state: State, comm: Communicator) -> None:
    """Collective.  Refuse a wave function that is zero on every walker, such as one projected on an empty sector.

    Raises:
        NumericalError: there is no walker, on any rank, where psi is not zero; on every rank.
    """
    psi, walkers = job.ansatz.at(state.theta), state.walkers
    # Walkers may all start on nodes, such as Neel states of many sectors, and leave: look at random ones then.
    blocks, magnetization = range(walkers.first_block, walkers.first_block + 1), job.sampler.magnetization
    anywhere = sampler.start("random", blocks, RANDOM_WALKERS, job.lattice, magnetization, job.config.run.seed)
    found = any(not nodes(psi, block).all() for block in (*walkers.spins, *anywhere.spins))
    with on_every_rank():
        if not comm.max(np.array([found], dtype=np.int64))[0]:
            raise NumericalError(
                "the wave function is zero on all walkers: no state has these quantum numbers (an empty sector), "
                "or its first parameters give it none of them"
            )
