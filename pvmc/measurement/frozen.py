"""A wave function whose parameters stay: what a run or a fit left of it, and how it is sampled."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pvmc.config import RawInput, stored_input
from pvmc.errors import InputError, StorageError
from pvmc.io.checkpoint import latest_checkpoint
from pvmc.io.earlier import SavedParameters
from pvmc.io.fit_file import fit_file, open_fit
from pvmc.io.reader import open_run
from pvmc.mpi import Communicator, block_range
from pvmc.sampler import Enumeration, Metropolis, Sampler, Walk, Walkers
from pvmc.wavefunctions.base import WaveFunction

BURN_IN_FACTOR = 10
"""Sweeps before the first draw, in units of ``sampler.burn_in``: parameters that stay deserve more than a start."""

IGNORED = ("growth", "power", "smear")
"""Keys of the sampler that do not count here: all draws weigh the same, and their number is that of a measurement."""


@dataclass(frozen=True)
class FrozenState:
    """A wave function as a run or a fit left it.

    Attributes:
        raw: the input of its job, without what only an optimisation needs.
        saved: the parameters, and the file that they come from.
        iteration: after which they were saved; the epoch of a fit.
        walkers: of all ranks where the run stopped, int8 (n_blocks, N, lanes); None where there are none.
    """

    raw: RawInput
    saved: SavedParameters
    iteration: int
    walkers: npt.NDArray[np.int8] | None


def read_state(path: Path, iteration: int | None) -> FrozenState:
    """The state in a run or a fit after an iteration, None for the last one that was saved.

    Raises:
        InputError: no such run or parameters.
        StorageError: a file cannot be read.
    """
    if fit_file(path).is_file():
        fit = open_fit(path)
        if iteration is not None:
            raise InputError(f"{fit.path} is a fit, which holds its last parameters alone: leave out the iteration")
        saved, iteration = SavedParameters(fit.path, fit.theta, fit.blocks), int(fit.series["epoch"][-1])
        text = str(fit.attributes["config"])
    else:
        run = open_run(path)
        theta = run.parameters(-1 if iteration is None else iteration)
        saved = SavedParameters(run.path, theta, run.parameter_blocks())
        iteration = int(run.saved_iterations()[-1]) if iteration is None else iteration
        text = run.config_text
    raw = stored_input(text, str(saved.path))
    tables = dict(raw.tables)
    tables["sampler"] = {key: value for key, value in tables.get("sampler", {}).items() if key not in IGNORED}
    tables.pop("fit", None)
    return FrozenState(replace(raw, tables=tables), saved, iteration, _walkers(saved.path))


def frozen(sampler: Sampler, seed: int) -> Sampler:
    """The sampler with another seed, drawing from |psi|^2, with a long burn-in before the first batch of draws."""
    if isinstance(sampler, Metropolis):
        return replace(sampler, seed=seed, power=2.0, growth=None, smear=None, discard=BURN_IN_FACTOR * sampler.burn_in)
    return sampler


def first_walkers(sampler: Sampler, left: npt.NDArray[np.int8] | None, comm: Communicator) -> Walkers:
    """Collective. Walkers where the run left them, if it had as many, else as at the start of a run.

    Args:
        sampler: that of the measurement.
        left: see :class:`FrozenState`.
        comm: the ranks.
    """
    blocks = block_range(sampler.n_blocks, comm.rank, comm.size)
    anew = sampler.start(blocks, comm)
    if left is None or isinstance(sampler, Enumeration):
        return anew
    if left.shape != (sampler.n_blocks, *anew.spins.shape[1:]) or not _same_sector(left, sampler.magnetization):
        return anew
    return Walkers(left[blocks.start : blocks.stop].copy(), blocks.start)


def walk(sampler: Sampler, walkers: Walkers, psi: WaveFunction, batch: int, stage: int) -> Walk:
    """A batch of draws; the burn-in comes before the first batch alone."""
    if batch and isinstance(sampler, Metropolis):
        sampler = replace(sampler, discard=0)
    return sampler.walk(walkers, psi, batch, n_draws=sampler.n_draws, stage=stage)


def _same_sector(spins: npt.NDArray[np.int8], magnetization: int | None) -> bool:
    return magnetization is None or bool((spins.sum(axis=1, dtype=np.int64) == magnetization).all())


def _walkers(file: Path) -> npt.NDArray[np.int8] | None:
    """The walkers of the run's last checkpoint, which follow |psi|^2 already; None where there is no good one."""
    try:
        checkpoint, _ = latest_checkpoint(file.parent)
    except StorageError:
        return None
    return None if checkpoint is None else checkpoint.spins
