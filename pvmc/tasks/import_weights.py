"""A state from elsewhere as a run of pvmc: its parameters are written, and its energy is measured."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy.typing as npt

from pvmc.config import to_toml
from pvmc.errors import InputError
from pvmc.estimators import EnergyStatistics, Leak
from pvmc.io import provenance
from pvmc.io.checkpoint import Checkpoint, write_checkpoint
from pvmc.io.rbm_weights import RBMWeights, parameters_from
from pvmc.io.results import ResultsWriter
from pvmc.io.storage import locked
from pvmc.io.weight_files import read_npz, read_wf
from pvmc.lattice import LatticeError
from pvmc.measurement.frozen import first_walkers, frozen
from pvmc.measurement.measuring import Sampling, enumerated
from pvmc.measurement.plan import SEED_LIMIT
from pvmc.measurement.registry import Observables
from pvmc.measurement.smeared_variance import Energy
from pvmc.mpi import Communicator, OnRoot, block_range, limit_threads
from pvmc.results.digits import plain
from pvmc.sampler import Enumeration, Walkers
from pvmc.statistics.thresholds import STUCK_IN_A_ROW, error_scale, r_hat_limit
from pvmc.vmc.display import describe, warn
from pvmc.vmc.job import Job, require_blocks
from pvmc.vmc.pieces import NOT_LOOKED
from pvmc.vmc.recorder import RunRequest, energy_series, leak_series, open_results
from pvmc.vmc.sectors import Sector, job_sector
from pvmc.vmc.stuck_walkers import StuckWalkers, WalkerWatch
from pvmc.wavefunctions import RBM

BATCHES = 2 * STUCK_IN_A_ROW
"""Sets of ``sampler.samples`` configurations for the energy: enough to tell walkers that are stuck."""


def import_weights(request: RunRequest, weights_file: Path, comm: Communicator) -> None:
    """Collective. Read a file of RBM weights, check it against an input, measure its energy, write all as a run.

    The run has one row, iteration 0, after which the parameters are those of the file; it can go on from there.  Rank 0
    alone reads and writes files.

    Args:
        request: the input, and where the run goes.
        weights_file: text or .npz, see :mod:`pvmc.io.weight_files`.
        comm: the ranks.

    Raises:
        InputError: the file cannot be read or is of another ansatz, results are in the way, or there are more ranks
            than walker blocks.
        NumericalError: the energy is not finite.
        StorageError: the run cannot be written.
    """
    job = request.job
    limit_threads(job.config.run.threads_per_rank)
    require_blocks(job, comm)
    theta = comm.root_value(partial(_read, weights_file, job))
    run = job.config.run.model_copy(update={"iterations": 1, "starts": 1})
    single = replace(request, job=replace(job, config=job.config.model_copy(update={"run": run})))
    with contextlib.ExitStack() as stack:
        files = OnRoot.made(partial(_opened, single, comm.size, stack), comm)
        measured = measured_energy(job, theta, comm)
        spins = comm.gather(measured.walkers.spins)

        def write(opened: tuple[ResultsWriter, Sector]) -> None:
            writer, sector = opened
            assert spins is not None, "the root has gathered them"
            versions = {name: text for name, text in provenance.collect().items() if name.endswith("_version")}
            attributes: dict[str, str | int] = {"seed": run.seed, "ranks": comm.size, **versions}
            row = energy_series(measured.energy) | leak_series(measured.leak)
            writer.append(0, row | {"stuck_walkers": measured.n_stuck})
            writer.save_parameters(0, theta)
            # What --resume goes on from, in place of random parameters.
            checkpoint = Checkpoint(1, theta, spins, config=to_toml(single.job.config), attributes=attributes)
            write_checkpoint(request.directory, checkpoint)
            writer.finish("finished", f"imported from {weights_file.name}; not optimised here")
            _print(job, measured, sector)
            print(f"results in {writer.path}; start a run with ansatz.start_from", flush=True)

        files.do(write)


def _opened(request: RunRequest, ranks: int, stack: contextlib.ExitStack) -> tuple[ResultsWriter, Sector]:
    """The results file of the run, its directory locked as long as the stack is, and its sector.

    Raises:
        InputError: results are in the way, or another process has the directory.
        StorageError: the file cannot be written.
    """
    if warning := stack.enter_context(locked(request.directory)):
        warn(warning)
    sector = job_sector(request.job)
    writer = stack.enter_context(open_results(request, sector, ranks))
    if sector.elsewhere:
        warn(sector.elsewhere)
    return writer, sector


def _read(weights_file: Path, job: Job) -> npt.NDArray[Any]:
    """The file's weights as parameters of the job, (K,); says what they are."""
    weights = read_npz(weights_file) if weights_file.suffix == ".npz" else read_wf(weights_file)
    try:
        theta = parameters_from(weights, job.ansatz)
    except InputError as error:
        raise InputError(f"{weights_file}: {error}") from None
    print(f"{weights_file}: RBM of {weights.n_sites} spins and {weights.n_hidden} hidden units")
    print(symmetry_in_words(weights, job))
    print(describe(job), flush=True)
    return theta


@dataclass(frozen=True)
class Measured:
    """The energy of a state.

    Attributes:
        energy: over all batches, the same on every rank.
        warning: about walkers in a spurious mode, on rank 0; empty where there are none, and elsewhere.
        n_stuck: how many there are, on rank 0; -1 where configurations are enumerated.
        walkers: where this rank's are in the end.
        leak: by the last draws of the batches; None where configurations are enumerated.
    """

    energy: EnergyStatistics
    warning: str
    n_stuck: int
    walkers: Walkers
    leak: Leak | None = None


def measured_energy(job: Job, theta: npt.NDArray[Any], comm: Communicator) -> Measured:
    """Collective. The energy at these parameters, sampled as by ``pvmc measure``, with a watch for stuck walkers.

    Raises:
        NumericalError: a local energy is not finite; on every rank.
    """
    psi = job.ansatz.at(theta)
    # Measurements of the run have its seed and those after it: random numbers in common would couple the walkers.
    seed = (job.config.run.seed - 1) % SEED_LIMIT
    sampler = frozen(job.sampler, seed)
    if isinstance(sampler, Enumeration):
        walkers = first_walkers(sampler, None, comm)
        return Measured(enumerated(sampler, walkers, psi, job, Observables(()), comm)[1], "", NOT_LOOKED, walkers)
    job = replace(job, sampler=sampler)
    leak_test = Energy(job, seed, block_range(sampler.n_blocks, comm.rank, comm.size))
    sampling = Sampling.begun(job, psi, Observables((), (leak_test,)), None, comm)
    sampling.compile()
    watch, found = WalkerWatch(job.operator.radius), list[StuckWalkers]()
    for _ in range(BATCHES):
        means = comm.gather(sampling.draw().ravel())
        energy = sampling.energy()
        if means is not None and (stuck := watch.judge(means, energy.r_hat)) is not None:
            found.append(stuck)
    warning = found[-1].warning(0).removeprefix("iteration 0: ") if found else ""
    n_stuck = max((len(stuck.walkers) for stuck in found), default=0)
    return Measured(energy, warning, n_stuck, sampling.walkers, sampling.leak())


def _print(job: Job, measured: Measured, sector: Sector) -> None:
    """Print the energy beside the exact one, and what is wrong with its walkers."""
    energy = measured.energy
    n_sites, unit = job.lattice.n_sites, job.config.hamiltonian.energy_unit
    per_site, error = energy.mean.real / n_sites, energy.error / n_sites
    print(f"E/N = {plain(per_site, error)} +- {error:.1e} {unit}, {energy.n_samples} samples")
    variance = energy.variance / n_sites
    print(f"variance/N = {variance:.3e}, R-hat {energy.r_hat:.4f}, acceptance {energy.acceptance:.3f}")
    if sector.reference:
        exact = sector.reference.energy
        relative = abs(energy.mean.real - exact) / (error_scale(exact, job.operator.radius) or 1.0)
        print(f"exact E/N = {exact / n_sites:.10g}, relative error {relative:.2e}")
    if measured.warning:
        warn(f'{measured.warning}; here sampler.start = "neel" may keep walkers out')
    elif energy.r_hat > r_hat_limit(BATCHES * job.sampler.n_draws):
        # As where half of the walkers sit in another mode: none is an outlier.
        warn(
            f"R-hat {energy.r_hat:.3f}: the walkers do not agree, and neither the energy nor its error is to be trusted"
        )


def symmetry_in_words(weights: RBMWeights, job: Job) -> str:
    """The symmetry of the weights, as far as this program knows it, and what it saves, in words."""
    try:
        group = job.lattice.group("translation")
    except LatticeError:
        group = job.lattice.group("none")
    filters = weights.filters(group) if len(group) > 1 else None
    if filters is None:
        return "the weights have no translation symmetry"
    n_filters = len(filters[0])
    text = f"the weights are those of a translation-symmetric RBM with {n_filters} filter{'s' if n_filters > 1 else ''}"
    if isinstance(job.ansatz, RBM) and len(job.ansatz.permutations) == 1:
        symmetric = RBM(group, n_filters, dtype=job.ansatz.dtype)
        text += (
            f'; with --set ansatz.symmetry="translation" the run has {symmetric.n_parameters} parameters in place of '
            f"{job.ansatz.n_parameters}"
        )
    return text
