"""One run: build, iterate, write, report."""

from __future__ import annotations

import contextlib
import itertools
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from pvmc import sampler
from pvmc.ansatz import Projected
from pvmc.ansatz.composite import nodes
from pvmc.compilation import compile_kernels
from pvmc.config import to_toml
from pvmc.driver import State, StepRecord, iterate
from pvmc.errors import InputError, NumericalError, on_every_rank
from pvmc.exact import Reference, find_reference
from pvmc.exact.reference import AUTOMATIC_DIMENSION
from pvmc.io import provenance
from pvmc.io.parameters import read_parameters
from pvmc.io.results import ResultsWriter
from pvmc.job import Job
from pvmc.parallel import Communicator, block_range, describe_mpi, limit_threads, node_of, oversubscription
from pvmc.progress import reporter
from pvmc.rng import Stream, generator

WRITE_INTERVAL = 0.5
"""Longest time in seconds that the results of an iteration wait in memory."""


RANDOM_WALKERS = 256
"""Configurations of a rank that are looked at, besides its walkers, for one where psi is not zero."""


@dataclass(frozen=True)
class RunRequest:
    """What the user asked for.

    Attributes:
        job: the validated input, built.
        source: text of the user's input file.
        directory: where the results go.
        overwrite: replace results that are already there.
    """

    job: Job
    source: str
    directory: Path
    overwrite: bool = False


def run(request: RunRequest, comm: Communicator) -> None:
    """Collective. Carry out a run from the first iteration to the last.

    Rank 0 alone writes ``directory/run.h5`` and reports to the terminal.

    Raises:
        InputError: more ranks than walker blocks, or results that are in the way.
        NumericalError: psi is zero on all walkers, or the energy or the step went bad; the results so far are kept.
        StorageError: the results cannot be written; the results so far are kept.
    """
    job = request.job
    threads = job.config.run.threads_per_rank
    limit_threads(threads)
    node = node_of(comm)
    state = initial_state(job, comm)
    with contextlib.ExitStack() as stack:
        record = comm.on_root(lambda: stack.enter_context(Recorder(request, comm.size)).record) or _nothing
        if warning := oversubscription(comm, node, threads):
            print(f"pvmc: warning: {warning}", file=sys.stderr, flush=True)
        compile_kernels(job, state, comm, node)
        require_support(job, state, comm)
        steps = iterate(
            state, job.ansatz, job.operator, job.sampler, job.solver, comm, exact_sums=job.config.run.reproducible
        )
        for step in itertools.islice(steps, job.config.run.iterations):
            comm.on_root(partial(record, step))


def initial_state(job: Job, comm: Communicator) -> State:
    """Collective. The state before iteration 0: random parameters, the same on every rank, and this rank's walkers.

    Raises:
        InputError: more ranks than walker blocks; on every rank.
    """
    n_blocks = job.sampler.n_blocks
    with on_every_rank():
        if comm.size > n_blocks:
            raise InputError(
                f"{comm.size} ranks, but {n_blocks} block{'s' if n_blocks > 1 else ''} of walkers "
                f"({job.sampler.describe()}): use at most {n_blocks}, more walkers, or a smaller sampler.block_width"
            )
    theta = initial_parameters(job, comm)
    walkers = job.sampler.start(block_range(n_blocks, comm.rank, comm.size), comm)
    return State(0, theta, walkers)


def initial_parameters(job: Job, comm: Communicator) -> npt.NDArray[Any]:
    """Collective. The first parameters, (K,), the same on every rank: random, or those of ``ansatz.start_from``.

    Raises:
        InputError: the other run has no parameters, or those of another ansatz; on every rank.
    """
    source = job.config.ansatz.start_from
    if source is None:
        return comm.broadcast(job.ansatz.initial_parameters(generator(job.config.run.seed, Stream.PARAMETERS)))
    saved = comm.root_value(lambda: read_parameters(source))
    with on_every_rank():
        return saved.fitting(job.ansatz.parameter_blocks, job.ansatz.dtype)


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


class Recorder:
    """Rank 0's side of a run: the results file and the terminal.  A context manager."""

    def __init__(self, request: RunRequest, ranks: int):
        self.job, self.request = request.job, request
        self.reference = find_job_reference(request.job)
        self.writer = open_results(request, self.reference, ranks)
        self._introduce(ranks)
        run = self.job.config.run
        exact = self.reference.energy if self.reference else None
        self.reporter = reporter(run.iterations, self.job.lattice.n_sites, exact)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.reporter.close()
        self.writer.__exit__(kind, error, trace)
        if error is None:
            print(f"results in {self.writer.path}", flush=True)

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

    def _introduce(self, ranks: int) -> None:
        job = self.job
        print(describe(job))
        print(f"{job.sampler.describe()} on {ranks} rank{'s' if ranks > 1 else ''}, seed {job.config.run.seed}")
        if self.reference:
            per_site = self.reference.energy / job.lattice.n_sites
            unit = job.config.hamiltonian.energy_unit
            print(f"exact E/N = {per_site:.10f} {unit} ({self.reference.method})")
        print(f"writing {self.writer.path}", flush=True)


def open_results(request: RunRequest, reference: Reference | None, ranks: int) -> ResultsWriter:
    """The results file of a run, open for its first iteration.

    Raises:
        InputError: results are in the way.
        StorageError: the file cannot be written.
    """
    job, config = request.job, request.job.config
    attributes = provenance.collect(describe_mpi()["library"]) | {
        "config": to_toml(config),
        "config_source": request.source,
        "ranks": ranks,
        "seed": config.run.seed,
        "n_sites": job.lattice.n_sites,
        "n_parameters": job.ansatz.n_parameters,
        "n_iterations": config.run.iterations,
        "energy_units": config.hamiltonian.energy_unit,
    }
    return ResultsWriter(
        request.directory,
        attributes,
        parameter_blocks=job.ansatz.parameter_blocks,
        parameter_dtype=job.ansatz.dtype,
        reference_energy=reference.energy if reference else None,
        reference_method=reference.method if reference else "",
        overwrite=request.overwrite,
        patience=WRITE_INTERVAL,
    )


def _nothing(step: StepRecord) -> None:
    """What ranks without a recorder record."""


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
        "update_norm": step.step.learning_rate * float(np.linalg.norm(step.step.direction)),
        "solve_residual": step.step.residual,
        "seconds": sum(step.seconds.values()),
        **{f"seconds_{phase}": seconds for phase, seconds in step.seconds.items()},
    }
