"""What a measurement is asked for, and what it begins with."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from pvmc.config import RawInput, overridden, stored_tables
from pvmc.errors import InputError, StorageError
from pvmc.io.checkpoint import Checkpoint, latest_checkpoint
from pvmc.io.earlier import SavedParameters
from pvmc.io.measurement import Measurement, following
from pvmc.io.reader import open_run
from pvmc.measurement.frozen import IGNORED, read_state
from pvmc.results.judged import best_iteration

SEED_LIMIT = 2**63

FREE = ("run.time.", "run.checkpoint.", "run.threads_per_rank")
"""Keys that may be set beside those of the sampler, also where a measurement goes on: none changes a number."""


@dataclass(frozen=True)
class MeasureRequest:
    """What the user asked for.

    Attributes:
        path: directory or file of a run or a fit.
        observables: see :func:`pvmc.measurement.registry.names_of`; none for all.
        samples: configurations to measure; with ``until_error`` the most.  None for the default.
        until_error: error of the energy per site at which to stop, in units of energy; None to measure ``samples``.
        iteration: whose parameters; None for the last saved ones, "best" for those of the settled iterations after
            which the variance was smallest.
        seed: of the random numbers; None for the run's seed and the number of the measurement.
        overrides: ``sampler.KEY=VALUE`` (and keys of how the run stops).
        resume: go on with the last measurement.
        started: when the program started, in seconds of ``time.monotonic``.
    """

    path: Path
    observables: Sequence[str] = ()
    samples: int | None = None
    until_error: float | None = None
    iteration: int | Literal["best"] | None = None
    seed: int | None = None
    overrides: Sequence[str] = ()
    resume: bool = False
    started: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Plan:
    """What a measurement begins with; read by the root, the same on every rank.

    Attributes:
        file: where it is stored.
        raw: the input of the job.
        saved: the parameters.
        iteration: whose they are.
        number: of the measurement.
        seed: of its random numbers; None for the default.
        checkpoint: what it goes on from; None at the beginning.
        walkers: of all ranks where the run stopped, int8 (n_blocks, N, lanes); None where there are none.
        before: the measurement as it is stored; None at the beginning.
    """

    file: Path
    raw: RawInput
    saved: SavedParameters
    iteration: int
    number: int
    seed: int
    checkpoint: Checkpoint | None
    walkers: npt.NDArray[np.int8] | None
    before: Measurement | None

    @property
    def directory(self) -> Path:
        """Where its checkpoints are."""
        return directory_of(self.file, self.number)


def directory_of(file: Path, number: int) -> Path:
    """The directory of the checkpoints of a measurement."""
    return file.parent / f"measurement-{number:04d}"


def make_plan(request: MeasureRequest) -> Plan:
    """What to measure.  For the root alone.

    Raises:
        InputError: no such run or parameters, keys that a measurement does not have, or nothing to go on with.
        StorageError: a file cannot be read.
    """
    iteration = best_iteration(open_run(request.path)) if request.iteration == "best" else request.iteration
    state, found = read_state(request.path, iteration)
    saved, raw = state.saved, _overridden(state.raw, request)
    if request.resume:
        return _resumed(request, raw, saved, found)
    number = following(found)
    seed = request.seed
    if seed is None:
        seed = (int(raw.tables.get("run", {}).get("seed", 1)) + number - 1) % SEED_LIMIT
    return Plan(saved.path, raw, saved, state.iteration, number, seed, None, state.walkers, None)


def _overridden(raw: RawInput, request: MeasureRequest) -> RawInput:
    for override in request.overrides:
        key = override.partition("=")[0].strip()
        if not key.startswith(FREE) and (request.resume or not key.startswith("sampler.")):
            why = "a measurement that goes on keeps its sampler" if request.resume else "only keys of [sampler] count"
            raise InputError(f"--set {key}: {why}, and {', '.join(name.rstrip('.') for name in FREE)}")
        if key in [f"sampler.{name}" for name in IGNORED]:
            raise InputError(f"--set {key}: a measurement does without; its draws all weigh the same")
    given = overridden(raw, request.overrides)
    if _kind(given) == _kind(raw):
        return given
    # The keys of one kind of sampler mean nothing to the other.
    return overridden(replace(raw, tables={**raw.tables, "sampler": {}}), request.overrides)


def _kind(raw: RawInput) -> str:
    return str(raw.tables["sampler"].get("kind", "metropolis"))


def _resumed(request: MeasureRequest, raw: RawInput, saved: SavedParameters, found: Sequence[Measurement]) -> Plan:
    given = {"--iteration": request.iteration, "--seed": request.seed, "--observables": request.observables or None}
    if extra := [name for name, value in given.items() if value is not None]:
        raise InputError(f"{extra[0]}: a measurement that goes on with --resume keeps its own: leave it out")
    resumable = [one for one in found if latest_checkpoint(directory_of(saved.path, one.number))[0] is not None]
    if not resumable:
        raise InputError(f"{saved.path}: holds no measurement to go on with; leave out --resume to start one")
    before = resumable[-1]
    checkpoint, _ = latest_checkpoint(directory_of(saved.path, before.number))
    assert checkpoint is not None
    tables = stored_tables(checkpoint.config)
    free = {key: value for key, value in raw.tables.get("run", {}).items() if f"run.{key}".startswith(_FREE_TABLES)}
    tables["run"] = {**tables.get("run", {}), **free}
    saved = SavedParameters(saved.path, checkpoint.theta, saved.blocks)
    try:
        iteration, seed = int(before.attributes["iteration"]), int(before.attributes["seed"])
    except (KeyError, ValueError) as error:
        raise StorageError(f"{saved.path} is damaged: measurement {before.number} lacks {error}") from error
    raw = RawInput(tables, str(saved.path), stored=True)
    return Plan(saved.path, raw, saved, iteration, before.number, seed, checkpoint, None, before)


_FREE_TABLES = tuple(name.rstrip(".") for name in FREE)
