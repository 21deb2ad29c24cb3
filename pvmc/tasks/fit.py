"""One supervised fit: make the data set, iterate, write, report."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from pvmc import fit as supervised
from pvmc.config import stored_input, to_toml
from pvmc.errors import InputError, on_every_rank
from pvmc.exact import Basis, ground_state
from pvmc.exact.reference import AUTOMATIC_DIMENSION, LANCZOS_SITES, dimension
from pvmc.fit import DataSet, EpochRecord, FitSpec
from pvmc.io import provenance
from pvmc.io.earlier import read_parameters
from pvmc.io.fit_file import FitWriter, fit_file, open_fit, require_free
from pvmc.io.reader import open_run
from pvmc.mpi import Communicator, SerialCommunicator, describe_mpi, limit_threads
from pvmc.numerics.random import Stream, generator
from pvmc.sampler import Metropolis, advance
from pvmc.vmc.display import describe
from pvmc.vmc.job import Job, job_of
from pvmc.vmc.start import initial_parameters

LINES_PER_FIT = 25
"""About how many lines a fit prints."""


@dataclass(frozen=True)
class FitRequest:
    """A fit as asked for.

    Attributes:
        job: the validated input, built; with a section [fit].
        source: text of the user's input file.
        directory: where the result goes.
        overwrite: replace a fit that is already there.
    """

    job: Job
    source: str
    directory: Path
    overwrite: bool = False


def fit(request: FitRequest, comm: Communicator) -> None:
    """Collective. Carry out a fit.  Rank 0 alone writes ``directory/fit.h5`` and prints.

    Raises:
        InputError: no section [fit], a target that cannot be had, or results that are in the way; on every rank.
        NumericalError: the cost went bad; the epochs so far are kept.
        StorageError: the result cannot be written.
    """
    job = request.job
    with on_every_rank():
        spec = _section(job)
    limit_threads(job.config.run.threads_per_rank)
    theta = initial_parameters(job, comm)
    comm.on_root(lambda: require_free(request.directory, request.overwrite))
    data = comm.root_value(lambda: make_data(job))
    with contextlib.ExitStack() as stack:
        record = comm.on_root(lambda: partial(_record, stack.enter_context(_open(request, comm.size)), spec.epochs))
        comm.on_root(lambda: _introduce(job, data, comm.size))
        for epoch in supervised.iterate_epochs(theta, job.ansatz, data, spec, job.config.run.seed, comm):
            comm.on_root(partial(record or _nothing, epoch))
    comm.on_root(lambda: print(f"parameters in {request.directory}; start a run with ansatz.start_from", flush=True))


def make_data(job: Job) -> DataSet:
    """The data set of a job's section [fit].

    All configurations (of the magnetisation that the sampler keeps) where they can be enumerated, else configurations
    drawn from the target.

    Raises:
        InputError: the target needs a smaller system, or its file or run cannot be used.
    """
    spec = _section(job)
    match spec.target:
        case "exact":
            basis = _basis(job)
            if basis is None:
                raise InputError(f'fit.target = "exact": at most {LANCZOS_SITES} sites can be diagonalised')
            _, vector = ground_state(job.operator, basis)
            return supervised.enumerated(basis.spins, supervised.logarithms(vector), spec.weights)
        case "product":
            return _product(job, spec)
        case "file":
            basis = _basis(job)
            return supervised.from_file(
                str(spec.source), job.lattice.n_sites, job.sampler.magnetization, basis, spec.weights
            )
        case "run":
            return _other_run(job, spec)


def _section(job: Job) -> FitSpec:
    if job.config.fit is None:
        raise InputError('[fit]: section missing; a fit needs one, such as target = "exact"')
    return job.config.fit


def _basis(job: Job) -> Basis | None:
    """All configurations that the sampler can reach, or None where they are too many."""
    n_sites, magnetization = job.lattice.n_sites, job.sampler.magnetization
    if n_sites > LANCZOS_SITES or dimension(n_sites, magnetization) > AUTOMATIC_DIMENSION:
        return None
    return Basis.enumerate(n_sites, magnetization)


def _product(job: Job, spec: FitSpec) -> DataSet:
    sublattices = job.lattice.sublattices() if spec.staggered else None
    state = supervised.product_state(job.lattice.n_sites, spec.polar, spec.azimuth, sublattices)
    basis = _basis(job)
    if basis is not None:
        return supervised.enumerated(basis.spins, state.log_amplitudes(basis.spins), spec.weights)
    if job.sampler.magnetization is not None:
        raise InputError(
            'fit.target = "product": the walkers keep the magnetisation, of which a product state has many; '
            "give sampler.moves.flip a weight"
        )
    spins = state.draw(generator(job.config.run.seed, Stream.FIT, block=1), spec.samples)
    return supervised.sampled(spins, state.log_amplitudes(spins))


def _other_run(job: Job, spec: FitSpec) -> DataSet:
    """The wave function of another run or fit on all configurations, or on samples of its own Markov chains."""
    source = str(spec.source)
    saved = read_parameters(source)
    text = str(open_fit(source).attributes["config"]) if fit_file(source).is_file() else open_run(source).config_text
    other = job_of(stored_input(text, str(saved.path)))
    if other.lattice.n_sites != job.lattice.n_sites:
        raise InputError(f"fit.source: {saved.path} has {other.lattice.n_sites} sites, not {job.lattice.n_sites}")
    psi = other.ansatz.at(saved.fitting(other.ansatz.parameter_blocks, other.ansatz.dtype))
    basis = _basis(job)
    if basis is not None:
        spins = basis.spins
        logarithm = np.concatenate([psi.log_psi(block) for block in _blocks(spins)])
        return supervised.enumerated(spins, logarithm, spec.weights)
    drawn: list[np.ndarray] = []
    serial = SerialCommunicator()
    sampler = other.sampler
    if isinstance(sampler, Metropolis):
        sampler = replace(sampler, power=2.0)  # the rows of a data set all weigh the same
    walkers = sampler.start(range(sampler.n_blocks), serial)
    while sum(block.shape[1] for block in drawn) < spec.samples:
        walkers, samples = advance(sampler, walkers, psi, len(drawn))
        drawn.append(samples.spins.transpose(2, 0, 1, 3).reshape(job.lattice.n_sites, -1))
    spins = np.concatenate(drawn, axis=1)[:, : spec.samples]
    return supervised.sampled(spins, np.concatenate([psi.log_psi(block) for block in _blocks(spins)]))


def _blocks(spins: np.ndarray, width: int = 1024) -> Iterator[np.ndarray]:
    for start in range(0, spins.shape[1], width):
        yield np.ascontiguousarray(spins[:, start : start + width])


def _open(request: FitRequest, ranks: int) -> FitWriter:
    job = request.job
    attributes = provenance.collect(describe_mpi()["library"]) | {
        "config": to_toml(job.config),
        "config_source": request.source,
        "ranks": ranks,
        "seed": job.config.run.seed,
        "n_sites": job.lattice.n_sites,
        "n_parameters": job.ansatz.n_parameters,
        "target": _section(job).target,
    }
    ansatz = job.ansatz
    return FitWriter(request.directory, attributes, ansatz.parameter_blocks, ansatz.dtype, request.overwrite)


def _introduce(job: Job, data: DataSet, ranks: int) -> None:
    print(describe(job))
    rows = f"{np.count_nonzero(data.weights)} configurations"
    print(f"fit to {_section(job).target}: {rows} on {ranks} rank{'s' if ranks > 1 else ''}")
    print(f"{'epoch':>9}{'cost':>14}{'1 - fidelity':>14}", flush=True)


def _nothing(record: EpochRecord) -> None:
    """Nothing: ranks without a writer record no epochs."""


def _record(writer: FitWriter, epochs: int, record: EpochRecord) -> None:
    values = {name: getattr(record, name) for name in ("epoch", "cost", "infidelity", "seconds")}
    writer.append(values, record.theta)
    if record.epoch in (0, epochs) or record.epoch % max(1, epochs // LINES_PER_FIT) == 0:
        print(f"{record.epoch:>9}{record.cost:>14.4e}{record.infidelity:>14.4e}", flush=True)
