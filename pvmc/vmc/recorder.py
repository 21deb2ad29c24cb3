"""The record of a run, kept on rank 0: the lock of its directory, the results file, checkpoints, the terminal."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from pvmc.config import to_toml
from pvmc.errors import InputError
from pvmc.estimators import EnergyStatistics, Leak
from pvmc.io import provenance
from pvmc.io.checkpoint import Checkpoint, Part, remove_checkpoints, write_checkpoint
from pvmc.io.layout import REDRAWN, RETRIED, StartTrial
from pvmc.io.reader import open_run
from pvmc.io.results import ResultsWriter
from pvmc.io.storage import locked
from pvmc.mpi import Communicator, OnRoot, describe_mpi
from pvmc.vmc.checkpoints import MEMORY, Resumption, find_resumption
from pvmc.vmc.display import LINES_PER_RUN, Reporter, describe, notes, reporter, warn
from pvmc.vmc.job import Job
from pvmc.vmc.loop import State, StepRecord
from pvmc.vmc.pieces import Piece, Round, SavesPart, StopReason
from pvmc.vmc.rollback import GoneBack
from pvmc.vmc.sectors import Sector, job_sector, recorded
from pvmc.vmc.spec import RunSpec
from pvmc.vmc.stop import StopWatcher

WRITE_INTERVAL = 0.5
"""Longest time in seconds that the results of an iteration wait in memory."""

LINES_PER_TRIAL = 5
"""About how many lines each of several starts gets."""


@dataclass(frozen=True)
class RunRequest:
    """A run as the user asks for it.

    Attributes:
        job: the validated input, built.
        source: text of the user's input file.
        directory: where the results go.
        overwrite: replace results that are already there.
        resume: go on with the run that is there.
        started: when the program started, in seconds of ``time.monotonic``.
        ends_program: the caller ends the program with the exit code, and no signal is raised again.
    """

    job: Job
    source: str
    directory: Path
    overwrite: bool = False
    resume: bool = False
    started: float = field(default_factory=time.monotonic)
    ends_program: bool = False


class Recorder:
    """The record of a run, on rank 0 alone; all ranks use it by :class:`pvmc.mpi.OnRoot`.  A context manager.

    Attributes:
        resumption: the checkpoint that the run goes on from; None for a new run.
        writer: the results file.
        seed: of the run; of several starts, of the one that is kept, once it is known.

    Raises:
        InputError: results are in the way, there is nothing to resume, the input differs from that of the run to be
            resumed, or another process has the directory.
        StorageError: the files cannot be read or written.
    """

    def __init__(self, request: RunRequest, ranks: int):
        self.job, self.request, self._ranks = request.job, request, ranks
        self._stack = contextlib.ExitStack()
        with contextlib.ExitStack() as stack:
            if warning := stack.enter_context(locked(request.directory)):
                warn(warning)
            self.resumption: Resumption | None = None
            if request.resume:
                self.resumption = find_resumption(request.directory, self.job)
                for line in self.resumption.passed_over:
                    warn(f"{line}; the checkpoint before it is used")
            self.sector = job_sector(self.job)
            self.reference = self.sector.reference
            self.writer = open_results(request, self.sector, ranks, self.resumption)
            self._introduce(ranks)
            self.seed = self.job.config.run.seed
            self._config = to_toml(self.job.config)  # for checkpoints
            self._versions = {name: text for name, text in provenance.collect().items() if name.endswith("_version")}
            self.reporter: Reporter | None = None
            if not self.writer.trials:
                self._show_run()
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            self._show_nothing()
            if isinstance(error, InputError) and self.resumption is None:
                self.writer.withdraw()
            else:
                self.writer.__exit__(kind, error, trace)
        if error is None:
            print(f"results in {self.writer.path}", flush=True)

    def checkpoint(self) -> Checkpoint | None:
        """The checkpoint that the run goes on from; None where it begins anew."""
        return self.resumption.checkpoint if self.resumption else None

    def has_checkpoint(self) -> bool:
        """True where the run goes on from a checkpoint."""
        return self.checkpoint() is not None

    def exact_energy(self) -> float | None:
        """The exact energy that the run is compared with, where one is known."""
        return self.reference.energy if self.reference else None

    def series(self) -> dict[str, npt.NDArray[Any]]:
        """The series of the iterations before the checkpoint, by name."""
        return open_run(self.writer.path).series

    def record(self, step: StepRecord, n_stuck: int) -> None:
        """Write an iteration, and its parameters where they are due; show it.

        Args:
            step: the iteration.
            n_stuck: how many walkers were seen to be stuck in it; -1 where nobody looked.

        Raises:
            StorageError: the file cannot be written.
        """
        self.writer.append(step.iteration, series(step) | {"stuck_walkers": n_stuck})
        run = self.job.config.run
        if step.iteration % run.save_every == 0 or step.iteration == run.n_iterations - 1:
            self.writer.save_parameters(step.iteration, step.state.theta)
        self._show(step)

    def trials(self) -> tuple[StartTrial, ...]:
        """The seeds that a run of several starts tries, as far as it is; empty for a run of one."""
        return tuple(self.writer.trials)

    def begin_trial(self, row: int) -> None:
        """Show that a trial begins."""
        self._show_nothing()
        trials, run = self.writer.trials, self.job.config.run
        print(f"start {row + 1} of {len(trials)}: seed {trials[row].seed}", flush=True)
        self.reporter = self._new_reporter(run.start_iterations, lines=LINES_PER_TRIAL)

    def record_trial(self, row: int, trial: StartTrial, step: StepRecord) -> None:
        """Write how far a trial is after an iteration; show it.

        Raises:
            StorageError: the file cannot be written.
        """
        self.writer.record_trial(row, trial)
        self._show(step)

    def lose_trial(self, row: int, trial: StartTrial, reason: str) -> None:
        """Write that the numbers of a trial went bad, and say so.

        Raises:
            StorageError: the file cannot be written.
        """
        self.writer.record_trial(row, trial)
        warn(f"the start with seed {trial.seed} does not count: {reason}")

    def keep(self, best: StartTrial) -> None:
        """Show what all trials gave, and go over to the run itself."""
        self._show_nothing()
        self.seed = best.seed
        print(trials_in_words(self.trials(), best, self.job.lattice.n_sites), flush=True)
        self._show_run()

    def go_back(self, back: GoneBack) -> None:
        """Cut the results back to the iteration that comes next, and say why.

        Raises:
            StorageError: the file cannot be written.
        """
        warn(back.message)
        outcome = f"{REDRAWN} {back.draw}" if back.draw else RETRIED if back.is_retry else ""
        self.writer.finish("stopped", back.message, outcome=outcome)
        resumption = Resumption(None, [], self.request.source)
        self.writer = open_results(self.request, self.sector, self._ranks, resumption, first=back.state.iteration)

    def save(
        self,
        iteration: int,
        theta: npt.NDArray[Any],
        spins: npt.NDArray[np.int8],
        parts: Mapping[str, Part],
        lasting: bool = True,
    ) -> None:
        """Write a checkpoint, all rows before it first.

        Args:
            iteration: the next one.
            theta: parameters, (K,).
            spins: walkers of all ranks, int8 (n_blocks, N, lanes).
            parts: what the parts of the run have saved.
            lasting: whether to force it to the disk.

        Raises:
            StorageError: it cannot be written; the ones before it are as they were.
        """
        self.writer.flush(lasting)
        attributes: dict[str, str | int] = {"seed": self.seed, "ranks": self._ranks, **self._versions}
        checkpoint = Checkpoint(iteration, theta, spins, parts, self._config, attributes)
        write_checkpoint(self.request.directory, checkpoint, lasting)

    def stop(self, reason: StopReason) -> None:
        """Record why the run ends, and say so where it is not simply over.

        Raises:
            StorageError: the file cannot be written.
        """
        told = reason.kind != "iterations"
        self.writer.finish("finished" if reason.finished else "stopped", reason.message if told else "")
        self._show_nothing()
        if told:
            remedy = "" if reason.finished else "; go on with --resume"
            print(f"stopped: {reason.message}{remedy}", flush=True)

    def _introduce(self, ranks: int) -> None:
        job = self.job
        print(describe(job))
        if self.sector.words:
            print(f"sector: {self.sector.words}")
        run = job.config.run
        last = run.seed + run.n_starts - 1
        seeds = f"seed {run.seed}" if last == run.seed else f"best of seeds {run.seed} to {last}"
        print(f"{job.sampler.describe()} on {ranks} rank{'s' if ranks > 1 else ''}, {seeds}")
        print(f"solver {job.choice.solver}: {job.choice.reason}")
        for line in notes(job):
            print(line)
        if self.reference:
            per_site = self.reference.energy / job.lattice.n_sites
            unit = job.config.hamiltonian.energy_unit
            print(f"exact E/N = {per_site:.10g} {unit} ({self.reference.method})")
        if self.resumption:
            print(f"going on from iteration {self.resumption.iteration}")
        print(f"writing {self.writer.path}", flush=True)
        if self.sector.elsewhere:
            warn(self.sector.elsewhere)

    def _show(self, step: StepRecord) -> None:
        if self.reporter is not None:
            self.reporter.show(step)

    def _show_run(self) -> None:
        self.reporter = self._new_reporter(
            self.job.config.run.n_iterations, first=self.resumption.iteration if self.resumption else 0
        )

    def _show_nothing(self) -> None:
        if self.reporter is not None:
            self.reporter.close()

    def _new_reporter(self, n_iterations: int, first: int = 0, lines: int = LINES_PER_RUN) -> Reporter:
        exact = self.reference.energy if self.reference else None
        radius = self.job.operator.radius
        return reporter(n_iterations, self.job.lattice.n_sites, exact, first=first, lines=lines, radius=radius)


class Record(Piece):
    """Writes and shows each iteration.

    Args:
        recorder: of the run.
    """

    def __init__(self, recorder: OnRoot[Recorder]):
        self._recorder = recorder

    def after(self, done: Round, comm: Communicator) -> None:
        """Collective.  Write a row of the results."""
        self._recorder.do(lambda recorder: recorder.record(done.step, done.n_stuck))

    def gone_back(self, back: GoneBack, comm: Communicator) -> None:
        """Collective.  Cut the results back."""
        self._recorder.do(lambda recorder: recorder.go_back(back))


class Checkpoints(Piece):
    """Saves the state where that is decided, and where the run has gone back behind the last checkpoint.

    Args:
        recorder: of the run.
        watcher: decides when, and is told how long it took.
        parts: what saves a part of its own beside the state.
    """

    def __init__(self, recorder: OnRoot[Recorder], watcher: StopWatcher, parts: Sequence[SavesPart]):
        self._recorder, self._watcher, self._parts = recorder, watcher, parts
        self._saved = 0  # the iteration of the last checkpoint

    def begin(self, state: State) -> None:
        """Prepare for iterations from this state on."""
        self._saved = state.iteration

    def after(self, done: Round, comm: Communicator) -> None:
        """Collective.  Save the state, quickly first where both are wanted."""
        for wanted, lasting in ((done.decision.recent, False), (done.decision.checkpoint, True)):
            if wanted:
                seconds = self.save(done.step.state, comm, lasting)
                self._watcher.saved(done.step.iteration, seconds, lasting)

    def gone_back(self, back: GoneBack, comm: Communicator) -> None:
        """Collective.  Replace a checkpoint of iterations that no longer count."""
        if back.state.iteration < self._saved:
            self.save(back.state, comm)

    def save(self, state: State, comm: Communicator, lasting: bool = True) -> float:
        """Collective.  Write a checkpoint, forced to the disk where it is to be lasting; the seconds that it took."""
        begin = time.monotonic()
        spins = comm.gather(state.walkers.spins)
        parts = {MEMORY: state.memory, **{part.name: part.saved(comm) for part in self._parts}}

        def write(recorder: Recorder) -> None:
            assert spins is not None, "the root has gathered them"
            recorder.save(state.iteration, state.theta, spins, parts, lasting)

        self._recorder.do(write)
        self._saved = state.iteration
        return time.monotonic() - begin


def open_results(
    request: RunRequest,
    sector: Sector | None,
    ranks: int,
    resumption: Resumption | None = None,
    first: int | None = None,
) -> ResultsWriter:
    """The results file of a run, open for its first iteration, or for the one that it goes on from.

    Args:
        request: what the user asked for.
        sector: quantum numbers and exact energies; None where none is to be recorded.
        ranks: number of ranks.
        resumption: what the run goes on from, if it does.
        first: the iteration that comes next, where it is not that of the resumption.

    Raises:
        InputError: results are in the way.
        StorageError: the file cannot be written.
    """
    job, config = request.job, request.job.config
    reference = sector.reference if sector else None
    attributes = provenance.collect(describe_mpi()["library"]) | {
        "config": to_toml(config),
        "config_source": resumption.source if resumption else request.source,
        "ranks": ranks,
        "seed": config.run.seed,
        "n_sites": job.lattice.n_sites,
        "n_parameters": job.ansatz.n_parameters,
        "n_iterations": config.run.n_iterations,
        "energy_units": config.hamiltonian.energy_unit,
    }
    settings: dict[str, Any] = {
        "parameter_blocks": job.ansatz.parameter_blocks,
        "parameter_dtype": job.ansatz.dtype,
        "reference_energy": reference.energy if reference else None,
        "reference_method": reference.method if reference else "",
        "radius": job.operator.radius,
        "sector": recorded(sector) if sector else {},
        "patience": WRITE_INTERVAL,
        "threads": config.run.threads_per_rank,
    }
    if resumption:
        iteration = resumption.iteration if first is None else first
        return ResultsWriter.resume(request.directory, iteration, attributes, **settings)
    trials = new_trials(config.run)
    writer = ResultsWriter(request.directory, attributes, overwrite=request.overwrite, trials=trials, **settings)
    remove_checkpoints(request.directory)
    return writer


def new_trials(run: RunSpec) -> list[StartTrial]:
    """The seeds that a run of several starts will try; none for a single start."""
    return [StartTrial(run.seed + number) for number in range(run.n_starts)] if run.n_starts > 1 else []


def trials_in_words(trials: Sequence[StartTrial], best: StartTrial, n_sites: int) -> str:
    """One line: the seeds that were tried, their energies per site, and which is kept."""
    found = ", ".join(trial.per_site(n_sites).describe() for trial in trials)
    return f"E/N of the starts: {found}; kept: seed {best.seed}"


def energy_series(energy: EnergyStatistics) -> dict[str, float]:
    """The statistics of the energy, by the names of the results file's schema."""
    return {
        "energy": energy.mean.real,
        "energy_error": energy.error,
        "energy_imaginary": energy.mean.imag,
        "variance": energy.variance,
        "autocorrelation_time": energy.autocorrelation_time,
        "r_hat": energy.r_hat,
        "acceptance": energy.acceptance,
        "v_score": energy.v_score,
        "n_samples": energy.n_samples,
        "effective_samples": energy.effective_samples,
    }


def leak_series(leak: Leak | None) -> dict[str, float]:
    """The leak test, by the names of the results file's schema; empty where there was none."""
    return {"variance_smeared": leak.variance, "leak": leak.leak, "leak_error": leak.error} if leak else {}


def series(step: StepRecord) -> dict[str, float]:
    """The row of an iteration, by the names of the results file's schema."""
    tail = {"tail_exponent": step.tail.exponent} if step.tail else {}
    return {
        **energy_series(step.energy),
        "force_norm": step.step.force_norm,
        "learning_rate": step.step.learning_rate,
        "shift": step.step.shift,
        "update_angle": step.step.angle,
        "update_norm": step.step.learning_rate * float(np.linalg.norm(step.step.direction)),
        "solve_residual": step.step.residual,
        "solver_iterations": step.step.solver_iterations,
        "seconds": sum(step.seconds.values()),
        **leak_series(step.leak),
        **tail,
        **{f"seconds_{phase}": seconds for phase, seconds in step.seconds.items()},
    }
