"""How a run begins: parameters, walkers, compiled kernels, and the best of several seeds."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from pvmc import sampler
from pvmc.config import shown
from pvmc.errors import DifferentRanks, InputError, NumericalError, on_every_rank
from pvmc.estimators import LeakTest, Reweighting, estimate, reduce_moments
from pvmc.io.earlier import read_parameters
from pvmc.io.layout import StartTrial, best_trial
from pvmc.mpi import Communicator, Node, OnRoot, SerialCommunicator, block_range
from pvmc.numerics.random import Stream, generator
from pvmc.results.plateau import plateau
from pvmc.vmc.display import warn
from pvmc.vmc.job import Job, require_blocks, with_seed
from pvmc.vmc.loop import State
from pvmc.vmc.pieces import Decision, Piece, Round, StopReason, carry_out
from pvmc.vmc.recorder import Recorder
from pvmc.vmc.rollback import GoneBack, Redraw, Rollback, draw_scale
from pvmc.vmc.spec import RunSpec
from pvmc.vmc.stop import StopWatcher
from pvmc.wavefunctions.composite import nodes

RANDOM_WALKERS = 256
"""Configurations of a rank that are looked at, besides its walkers, for one where psi is not zero."""


def initial_state(job: Job, comm: Communicator, draw: int = 0) -> State:
    """Collective. The state before iteration 0: random parameters, the same on every rank, and this rank's walkers.

    Args:
        job: the job.
        comm: the ranks.
        draw: as of :func:`initial_parameters`.

    Raises:
        InputError: more ranks than walker blocks; on every rank.
    """
    require_blocks(job, comm)
    theta = initial_parameters(job, comm, draw)
    walkers = job.sampler.start(block_range(job.sampler.n_blocks, comm.rank, comm.size), comm)
    return State(0, theta, walkers)


def redraws(job: Job) -> Redraw:
    """Draws the first parameters of a job again, where they turn out to be bad."""
    return lambda draw, comm: initial_state(job, comm, draw)


def initial_parameters(job: Job, comm: Communicator, draw: int = 0) -> npt.NDArray[Any]:
    """Collective. The first parameters, (K,), the same on every rank: random, or those of ``ansatz.start_from``.

    Args:
        job: the job.
        comm: the ranks.
        draw: number of the draw, 0 for the first: each has random numbers of its own, and half the scale of the one
            before.  A run records the last one.

    Raises:
        InputError: the other run has no parameters, or those of another ansatz; on every rank.
    """
    source = job.config.ansatz.start_from
    if source is None:
        tied = job.refinement.tied_at({}) if job.refinement is not None else None
        ansatz = job.ansatz if tied is None else tied.ansatz
        rng = generator(job.config.run.seed, Stream.PARAMETERS, iteration=draw)
        return comm.broadcast(draw_scale(draw) * ansatz.initial_parameters(rng))

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


def compile_kernels(job: Job, state: State, comm: Communicator, node: Node) -> None:
    """Collective. Compile every kernel of an iteration, or load it from the cache.

    Rank 0 compiles while the others wait; then, where a node has a cache of its own, its first rank; the others
    load.  All at once would repeat the work on the same cores.
    """
    start_compiler()
    comm.on_root(lambda: run_kernels(job, state))
    if comm.rank != 0 and node.rank == 0:
        run_kernels(job, state)
    comm.barrier()


def start_compiler() -> None:
    """Load what the compiler needs even for kernels from the cache, some 0.2 s, on every rank at the same time."""
    from numba.core.registry import cpu_target

    cpu_target.typing_context.refresh()
    cpu_target.target_context.refresh()


def run_kernels(job: Job, state: State, copies: int | None = None) -> None:
    """Run every kernel of an iteration once, on one block.

    Args:
        job: the job.
        state: theta, and the walkers of this rank.
        copies: draws of the block: there are kernels for derivatives that are written beside those of other draws,
            and others for a draw alone; default: as in the iterations of this rank.
    """
    copies = copies or min(2, job.sampler.n_draws)
    first = sampler.Walkers(state.walkers.spins[:1], state.walkers.first_block)
    psi = job.ansatz.at(state.theta)
    _, samples = sampler.advance(job.sampler.short(), first, psi, 0)
    weights = None if samples.log_weights is None else samples.log_weights.repeat(copies, axis=1)
    spins, lookup = samples.spins.repeat(copies, axis=1), samples.lookup.repeat(copies, axis=1)
    draws = sampler.Samples(spins, lookup, samples.accepted, samples.proposed, weights, samples.is_exact, samples.smear)
    real = not np.issubdtype(job.ansatz.dtype, np.complexfloating)
    alone = SerialCommunicator()
    batch = estimate(
        draws,
        job.operator,
        psi,
        len(state.theta),
        alone,
        real_parameters=real,
        keep_rows=job.solver.keeps_rows,
        keep_spins=job.solver.keeps_spins,
    )
    if test := LeakTest.of(job.sampler, job.operator, job.config.run.leak_every):
        test(first, psi, 0, alone)
    moments = reduce_moments(batch, alone, n_sites=job.lattice.n_sites, infinite_temperature=0.0)
    if job.solver.keeps_spins:
        moments = replace(moments, reweighting=Reweighting(batch, state.theta, job.ansatz, job.operator, alone))
    with contextlib.suppress(NumericalError):  # S of so few configurations may have no solution
        job.solver.solve(moments, 0, alone)


def warm_up(job: Job) -> None:
    """Compile the kernels of a job, or find them in the cache."""
    theta = job.ansatz.initial_parameters(generator(job.config.run.seed, Stream.PARAMETERS))
    state = State(0, theta, job.sampler.start(range(1), SerialCommunicator()))
    for copies in (1, 2):
        run_kernels(job, state, copies)


def cost_in_words(run: RunSpec) -> str:
    """The cost of the trials, beside the iterations of the run; empty for a single start."""
    if run.n_starts == 1:
        return ""
    trials, share = run.n_starts * run.start_iterations, run.n_starts * run.start_iterations / run.n_iterations
    return (
        f"{run.n_starts} starts of {run.start_iterations} iterations each: {trials} iterations before the "
        f"{run.n_iterations} of the run ({share:.0%} more time)"
    )


def best_start(
    job: Job, watch: Callable[[], StopWatcher], recorder: OnRoot[Recorder], node: Node, comm: Communicator
) -> Job | StopReason:
    """Collective. The job with the seed of the lowest energy; or why it stops before that is known.

    Trials that an earlier launch of the run has finished are not repeated.  A job of one start is returned as it is.

    Args:
        job: the user's job, with the first of the seeds.
        watch: makes what decides whether a trial goes on.
        recorder: of the run.
        node: of this rank.
        comm: the ranks.

    Raises:
        NumericalError: the numbers of all trials went bad; on every rank.
    """
    if job.config.run.n_starts == 1:
        return job
    for row, trial in enumerate(recorder.ask(Recorder.trials)):
        if not trial.over:
            recorder.do(partial(Recorder.begin_trial, row=row))
            stop = _attempt(row, with_seed(job, trial.seed), watch, recorder, node, comm)
            if stop:
                return stop
    best = best_trial(recorder.ask(Recorder.trials))
    with on_every_rank():
        if best is None:
            raise NumericalError(f"the numbers of all {job.config.run.n_starts} starts went bad")
    recorder.do(partial(Recorder.keep, best=best))
    return with_seed(job, best.seed)


def _attempt(
    row: int, job: Job, watch: Callable[[], StopWatcher], recorder: OnRoot[Recorder], node: Node, comm: Communicator
) -> StopReason | None:
    """Collective. Iterations of one seed, recorded; why they stop before their end, None where they do not."""
    record = _TrialRecord(row, job.config.run, recorder)
    try:
        state = initial_state(job, comm)
        compile_kernels(job, state, comm, node)
        require_support(job, state, comm)
        stop = carry_out(state, job, Rollback.of(job, redraws(job)), [watch(), record], comm)
    except NumericalError as error:
        if isinstance(error, DifferentRanks) or not error.collective:
            raise
        record.lose(str(error))
        return None
    return None if stop.finished else stop


class _TrialRecord(Piece):
    """Writes how far a trial is, and ends it after its last iteration."""

    def __init__(self, row: int, run: RunSpec, recorder: OnRoot[Recorder]):
        self._row, self._run, self._recorder = row, run, recorder
        self._energies: list[tuple[float, float]] = []  # and errors

    def after(self, done: Round, comm: Communicator) -> None:
        """Collective.  Write and show the iteration."""
        energies, seed, energy = self._energies, self._run.seed, done.step.energy
        energies.append((energy.mean.real, energy.error))
        over = len(energies) == self._run.start_iterations
        trial = finished(seed, energies) if over else StartTrial(seed, len(energies))
        self._recorder.do(partial(Recorder.record_trial, row=self._row, trial=trial, step=done.step))
        if over and done.decision.stop is None:
            done.decision = Decision(StopReason("iterations", "the trial is over", finished=True), checkpoint=False)

    def gone_back(self, back: GoneBack, comm: Communicator) -> None:
        """Collective.  Forget the energies that no longer count, and say why."""
        del self._energies[back.state.iteration :]
        self._recorder.do(lambda recorder: warn(back.message))

    def lose(self, reason: str) -> None:
        """Collective.  Write that the numbers of the trial went bad."""
        trial = StartTrial(self._run.seed, len(self._energies), energy=math.inf)
        self._recorder.do(partial(Recorder.lose_trial, row=self._row, trial=trial, reason=reason))


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
