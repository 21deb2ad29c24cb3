"""Rank 0's side of a run: the lock of its directory, the results file, checkpoints, and the terminal."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from pvmc.ansatz import Projected
from pvmc.config import to_toml
from pvmc.driver import StepRecord
from pvmc.exact import Reference, find_reference
from pvmc.exact.reference import AUTOMATIC_DIMENSION
from pvmc.guarded import Setback
from pvmc.io import provenance
from pvmc.io.checkpoint import Checkpoint, remove_checkpoints, write_checkpoint
from pvmc.io.lock import locked
from pvmc.io.reader import open_run
from pvmc.io.results import ResultsWriter
from pvmc.job import Job
from pvmc.parallel import describe_mpi
from pvmc.progress import reporter
from pvmc.resumption import Resumption, find_resumption
from pvmc.runtime import StopReason

WRITE_INTERVAL = 0.5
"""Longest time in seconds that the results of an iteration wait in memory."""


@dataclass(frozen=True)
class RunRequest:
    """What the user asked for.

    Attributes:
        job: the validated input, built.
        source: text of the user's input file.
        directory: where the results go.
        overwrite: replace results that are already there.
        resume: go on with the run that is there.
        started: when the program started, in seconds of ``time.monotonic``.
    """

    job: Job
    source: str
    directory: Path
    overwrite: bool = False
    resume: bool = False
    started: float = field(default_factory=time.monotonic)


def warn(text: str) -> None:
    """A line for the user, beside the table."""
    print(f"pvmc: warning: {text}", file=sys.stderr, flush=True)


class Recorder:
    """Rank 0's side of a run.  A context manager.

    Attributes:
        resumption: what the run goes on from; None for a new one.
        writer: the results file.

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
            self.reference = find_job_reference(self.job)
            self.writer = open_results(request, self.reference, ranks, self.resumption)
            self._introduce(ranks)
            run = self.job.config.run
            exact = self.reference.energy if self.reference else None
            first = self.resumption.iteration if self.resumption else 0
            self.reporter = reporter(run.iterations, self.job.lattice.n_sites, exact, first=first)
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            self.reporter.close()
            self.writer.__exit__(kind, error, trace)
        if error is None:
            print(f"results in {self.writer.path}", flush=True)

    def checkpoint(self) -> Checkpoint | None:
        """What the run goes on from."""
        return self.resumption.checkpoint if self.resumption else None

    def has_checkpoint(self) -> bool:
        """Whether it goes on from one."""
        return self.checkpoint() is not None

    def memory(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, npt.NDArray[Any]]]:
        """The numbers of the checkpoint, and the series of the iterations before it."""
        checkpoint = self.checkpoint()
        return (dict(checkpoint.solver) if checkpoint else {}), open_run(self.writer.path).series

    def record(self, step: StepRecord) -> None:
        """Write an iteration, and its parameters where they are due; show it.

        Raises:
            StorageError: the file cannot be written.
        """
        self.writer.append(step.iteration, series(step))
        run = self.job.config.run
        if step.iteration % run.save_every == 0 or step.iteration == run.iterations - 1:
            self.writer.save_parameters(step.iteration, step.state.theta)
        self.reporter.show(step)

    def go_back(self, setback: Setback) -> None:
        """Cut the results back to the iteration that comes next, and say why.

        Raises:
            StorageError: the file cannot be written.
        """
        warn(setback.message)
        self.writer.finish("stopped", setback.message)
        resumption = Resumption(None, [], self.request.source)
        self.writer = open_results(self.request, self.reference, self._ranks, resumption, first=setback.first)

    def save(
        self,
        iteration: int,
        theta: npt.NDArray[Any],
        spins: npt.NDArray[np.int8],
        numbers: Mapping[str, npt.NDArray[Any]],
    ) -> float:
        """Write a checkpoint, all rows before it first; the seconds that it took.

        Args:
            iteration: the next one.
            theta: parameters, (K,).
            spins: walkers of all ranks, int8 (n_blocks, N, lanes).
            numbers: what else a resumed run needs.

        Raises:
            StorageError: it cannot be written; the ones before it are as they were.
        """
        begin = time.monotonic()
        self.writer.flush()
        config = self.job.config
        attributes: dict[str, str | int] = {"seed": config.run.seed, "ranks": self._ranks}
        attributes |= {name: text for name, text in provenance.collect().items() if name.endswith("_version")}
        write_checkpoint(
            self.request.directory, Checkpoint(iteration, theta, spins, numbers, to_toml(config), attributes)
        )
        return time.monotonic() - begin

    def stop(self, reason: StopReason) -> None:
        """Record why the run ends, and say so where it is not simply over.

        Raises:
            StorageError: the file cannot be written.
        """
        told = reason.kind != "iterations"
        self.writer.finish("finished" if reason.finished else "stopped", reason.message if told else "")
        self.reporter.close()
        if told:
            remedy = "" if reason.finished else "; go on with --resume"
            print(f"stopped: {reason.message}{remedy}", flush=True)

    def _introduce(self, ranks: int) -> None:
        job = self.job
        print(describe(job))
        print(f"{job.sampler.describe()} on {ranks} rank{'s' if ranks > 1 else ''}, seed {job.config.run.seed}")
        if self.reference:
            per_site = self.reference.energy / job.lattice.n_sites
            unit = job.config.hamiltonian.energy_unit
            print(f"exact E/N = {per_site:.10f} {unit} ({self.reference.method})")
        if self.resumption:
            print(f"going on from iteration {self.resumption.iteration}")
        print(f"writing {self.writer.path}", flush=True)


def open_results(
    request: RunRequest,
    reference: Reference | None,
    ranks: int,
    resumption: Resumption | None = None,
    first: int | None = None,
) -> ResultsWriter:
    """The results file of a run, open for its first iteration, or for the one that it goes on from.

    Args:
        request: what the user asked for.
        reference: the exact energy, if known.
        ranks: number of ranks.
        resumption: what the run goes on from, if it does.
        first: the iteration that comes next, where it is not that of the resumption.

    Raises:
        InputError: results are in the way.
        StorageError: the file cannot be written.
    """
    job, config = request.job, request.job.config
    attributes = provenance.collect(describe_mpi()["library"]) | {
        "config": to_toml(config),
        "config_source": resumption.source if resumption else request.source,
        "ranks": ranks,
        "seed": config.run.seed,
        "n_sites": job.lattice.n_sites,
        "n_parameters": job.ansatz.n_parameters,
        "n_iterations": config.run.iterations,
        "energy_units": config.hamiltonian.energy_unit,
    }
    settings: dict[str, Any] = {
        "parameter_blocks": job.ansatz.parameter_blocks,
        "parameter_dtype": job.ansatz.dtype,
        "reference_energy": reference.energy if reference else None,
        "reference_method": reference.method if reference else "",
        "patience": WRITE_INTERVAL,
        "threads": config.run.threads_per_rank,
    }
    if resumption:
        iteration = resumption.iteration if first is None else first
        return ResultsWriter.resume(request.directory, iteration, attributes, **settings)
    writer = ResultsWriter(request.directory, attributes, overwrite=request.overwrite, **settings)
    remove_checkpoints(request.directory)
    return writer


def find_job_reference(job: Job) -> Reference | None:
    """The exact energy that ``run.reference`` asks for; None where there is none."""
    wanted = job.config.run.reference
    if wanted == "none":
        return None
    if isinstance(wanted, float | int):
        return Reference(float(wanted), "given")
    return exact_energy(job, AUTOMATIC_DIMENSION)


def exact_energy(job: Job, largest: int) -> Reference | None:
    """The lowest exact energy among the states that the job's wave function may be; None where it is out of reach.

    Args:
        job: a projected wave function asks for the energy of its sector.
        largest: largest dimension of the Hilbert space to diagonalise.
    """
    magnetization = job.sampler.magnetization
    if isinstance(job.ansatz, Projected):  # the ground state of the Hamiltonian may have other quantum numbers
        from pvmc.exact.sector import sector_reference  # scipy's sparse matrices: most runs need none

        return sector_reference(job.operator, job.ansatz.symmetry_group, magnetization, largest)
    return find_reference(job.config.lattice, job.config.hamiltonian, job.operator, magnetization, largest=largest)


def describe(job: Job) -> str:
    """One line: model, lattice, ansatz and number of parameters."""
    config = job.config
    return (
        f"{config.hamiltonian.model} on {config.lattice.kind}, N = {job.lattice.n_sites}; "
        f"{config.ansatz.kind} with {job.ansatz.n_parameters} {np.dtype(job.ansatz.dtype).name} parameters"
    )


def series(step: StepRecord) -> dict[str, float]:
    """The row of an iteration, by the names of the results file's schema."""
    energy = step.energy
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
        "force_norm": step.step.force_norm,
        "learning_rate": step.step.learning_rate,
        "shift": step.step.shift,
        "update_angle": step.step.angle,
        "update_norm": step.step.learning_rate * float(np.linalg.norm(step.step.direction)),
        "solve_residual": step.step.residual,
        "seconds": sum(step.seconds.values()),
        **{f"seconds_{phase}": seconds for phase, seconds in step.seconds.items()},
    }
