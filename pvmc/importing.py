"""A state from elsewhere as a run of pvmc: its parameters, and its energy as the input's sampler finds it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pvmc.ansatz import RBM
from pvmc.config import to_toml
from pvmc.errors import InputError, NumericalError
from pvmc.estimators import EnergyStatistics, local_energy
from pvmc.estimators.statistics import energy_statistics, exact_statistics
from pvmc.guarded import Safety
from pvmc.io import provenance
from pvmc.io.checkpoint import Checkpoint, write_checkpoint
from pvmc.io.lock import locked
from pvmc.io.netket import read_npz
from pvmc.io.rbm_weights import RBMWeights, parameters_from
from pvmc.io.wf import read_wf
from pvmc.job import Job
from pvmc.lattice import LatticeError
from pvmc.parallel import SerialCommunicator, limit_threads
from pvmc.recorder import RunRequest, describe, find_job_reference, open_results, warn
from pvmc.runtime import WalkerWatch, spectrum_bounds
from pvmc.runtime.stuck_walkers import IN_A_ROW, NOT_LOOKED
from pvmc.sampler import Metropolis, Walkers

WORST_R_HAT = 1.1
"""Above this the walkers disagree so much that their mean says nothing (Gelman et al., sec. 11.5)."""

BATCHES = 2 * IN_A_ROW
"""Sets of ``sampler.samples`` configurations for the energy: enough to tell walkers that are stuck."""


UNUSED = 1 << 30
"""Iterations whose random numbers no run gets to: those of the batches after the first are numbered from here."""


@dataclass(frozen=True)
class Measured:
    """The energy of a state.

    Attributes:
        energy: over all batches.
        warning: about walkers in a spurious mode; empty where there are none.
        n_stuck: how many there are; -1 where configurations are enumerated.
        walkers: where they are in the end.
    """

    energy: EnergyStatistics
    warning: str
    n_stuck: int
    walkers: Walkers


def import_weights(request: RunRequest, weights_file: Path) -> None:
    """Read a file of RBM weights, check it against an input, measure its energy, and write all as a run.

    The run has one row, iteration 0, after which the parameters are those of the file; it can go on from there.

    Args:
        request: the input, and where the run goes.
        weights_file: in the format of :mod:`pvmc.io.wf`, or with the ending .npz in that of :mod:`pvmc.io.netket`.

    Raises:
        InputError: the file cannot be read or is of another ansatz, or results are in the way.
        NumericalError: the energy is not finite.
        StorageError: the run cannot be written.
    """
    job = request.job
    weights = read_npz(weights_file) if weights_file.suffix == ".npz" else read_wf(weights_file)
    try:
        theta = parameters_from(weights, job.ansatz)
    except InputError as error:
        raise InputError(f"{weights_file}: {error}") from None
    print(f"{weights_file}: RBM of {weights.n_sites} spins and {weights.n_hidden} hidden units")
    print(symmetry_in_words(weights, job))
    print(describe(job))
    limit_threads(job.config.run.threads_per_rank)
    with locked(request.directory) as warning:
        if warning:
            warn(warning)
        _write(request, weights_file.name, theta)


def _write(request: RunRequest, name: str, theta: npt.NDArray[Any]) -> None:
    """Measures the energy, writes the run, and says what it is."""
    job = request.job
    reference = find_job_reference(job)
    run = job.config.run.model_copy(update={"iterations": 1, "starts": 1})
    single = replace(request, job=replace(job, config=job.config.model_copy(update={"run": run})))
    with open_results(single, reference, ranks=1) as writer:
        measured = measure(job, theta)
        energy = measured.energy
        writer.append(0, _row(energy) | {"stuck_walkers": measured.n_stuck})
        writer.save_parameters(0, theta)
        _save(single, theta, measured.walkers)
        writer.finish("finished", f"imported from {name}; not optimised here")
    n_sites, unit = job.lattice.n_sites, job.config.hamiltonian.energy_unit
    print(f"E/N = {energy.mean.real / n_sites:.8f} +- {energy.error / n_sites:.1e} {unit}, {energy.n_samples} samples")
    print(f"variance/N = {energy.variance / n_sites:.3e}, R-hat {energy.r_hat:.4f}, acceptance {energy.acceptance:.3f}")
    if reference:
        exact = reference.energy / n_sites
        print(f"exact E/N = {exact:.8f}, relative error {abs(energy.mean.real / reference.energy - 1):.2e}")
    if measured.warning:
        warn(f'{measured.warning}; here sampler.start = "neel" may keep walkers out')
    elif energy.r_hat > WORST_R_HAT:  # as where half of the walkers sit in another mode, so that none is an outlier
        warn(
            f"R-hat {energy.r_hat:.3f}: the walkers do not agree, and neither the energy nor its error is to be trusted"
        )
    print(f"results in {writer.path}; start a run with ansatz.start_from")


def _save(request: RunRequest, theta: npt.NDArray[Any], walkers: Walkers) -> None:
    """Writes a checkpoint after iteration 0, so that --resume goes on from the state and not from random numbers."""
    job = request.job
    safety = Safety(job, spectrum_bounds(job.config.hamiltonian.build(job.lattice)))
    attributes: dict[str, str | int] = {"seed": job.config.run.seed, "ranks": 1}
    attributes |= {name: text for name, text in provenance.collect().items() if name.endswith("_version")}
    numbers = safety.saved(SerialCommunicator())
    write_checkpoint(request.directory, Checkpoint(1, theta, walkers.spins, numbers, to_toml(job.config), attributes))


def symmetry_in_words(weights: RBMWeights, job: Job) -> str:
    """What symmetry the weights have, as far as this program knows it, and what it saves."""
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


def measure(job: Job, theta: npt.NDArray[Any]) -> Measured:
    """The energy at these parameters, by the job's sampler, whose walkers all weigh the same here (power 2).

    Raises:
        NumericalError: a local energy is not finite.
    """
    comm, sampler, psi = SerialCommunicator(), job.sampler, job.ansatz.at(theta)
    if isinstance(sampler, Metropolis):
        sampler = replace(sampler, power=2.0)
    walkers = sampler.start(range(sampler.n_blocks), comm)
    n_batches = BATCHES if isinstance(sampler, Metropolis) else 1
    watch, warning, n_stuck = WalkerWatch(), "", NOT_LOOKED
    parts, accepted, proposed = [], 0, 0
    for batch in range(n_batches):
        number = batch and UNUSED + batch  # batch 0 begins with the burn-in, as an iteration 0 does
        energies, walk, walkers = _local_energies(job, sampler, psi, walkers, number)
        parts.append(energies)
        accepted, proposed = accepted + walk.accepted, proposed + walk.proposed
        if walk.log_weights is None:
            stuck = watch.judge(energies.real.mean(axis=0), _r_hat(np.concatenate(parts), job))
            warning = stuck.warning(0).removeprefix("iteration 0: ") if stuck else warning
            n_stuck = max(n_stuck, len(stuck.walkers) if stuck else 0)
    n_sites, top = job.lattice.n_sites, job.operator.infinite_temperature_energy
    values = np.concatenate(parts)
    if walk.log_weights is not None:
        weights = np.exp(walk.log_weights - walk.log_weights.max()).transpose(1, 0, 2).reshape(values.shape)
        weights, values = weights[weights > 0], values[weights > 0]
        mean = complex(weights @ values / weights.sum())
        variance = float(weights @ np.abs(values - mean) ** 2 / weights.sum())
        return Measured(exact_statistics(mean, variance, len(values), n_sites, top), "", n_stuck, walkers)
    mean = complex(values.mean())
    if not np.isfinite(mean):
        raise NumericalError("the local energy is not finite: psi left the range of numbers")
    centred = values - (mean if np.iscomplexobj(values) else mean.real)
    energy = energy_statistics(centred, mean, n_sites, top, accepted, proposed, comm)
    return Measured(energy, warning, n_stuck, walkers)


def _local_energies(job: Job, sampler: Any, psi: Any, walkers: Walkers, number: int) -> tuple[Any, Any, Walkers]:
    """Local energies (n_draws, n_walkers), the walk of this number that gave them, and where the walkers are then."""
    walk = sampler.walk(walkers, psi, number)
    energies = np.empty((walk.n_draws, walk.n_blocks, walk.width), np.result_type(psi.dtype, job.operator.dtype))
    for block, draw, spins, lookup in walk:
        energies[draw, block] = local_energy(job.operator, psi, spins, lookup)
    return energies.reshape(walk.n_draws, -1), walk, walk.walkers


def _r_hat(values: npt.NDArray[Any], job: Job) -> float:
    """Split R-hat of local energies (n_draws, n_walkers)."""
    centred = values - values.mean()
    return energy_statistics(centred, 0j, job.lattice.n_sites, 0.0, 0, 0, SerialCommunicator()).r_hat


def _row(energy: EnergyStatistics) -> dict[str, float]:
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
