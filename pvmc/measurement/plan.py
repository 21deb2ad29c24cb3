"""A measurement before its first draw: the request, what it starts from, and when it is over."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pvmc.config import RawInput, overridden, stored_input
from pvmc.errors import InputError, StorageError
from pvmc.estimators import EnergyStatistics
from pvmc.io.checkpoint import Checkpoint, latest_checkpoint
from pvmc.io.earlier import SavedParameters
from pvmc.io.measurement import Measurement, measurement_numbers, read_measurement
from pvmc.io.reader import open_run
from pvmc.measurement.frozen import IGNORED, read_state
from pvmc.results.judged import best_iteration
from pvmc.statistics.thresholds import FEWEST_DRAWS

SEED_LIMIT = 2**63

FILE = "a file of pvmc"
"""A file that holds measurements, in messages."""

DEFAULT_BATCHES = 100
"""Batches of draws, each of ``sampler.samples`` configurations, unless told otherwise."""

MOST_SAMPLES = 10_000_000
"""Configurations after which a measurement until an error gives up, unless told otherwise."""

FREE = ("run.time.", "run.checkpoint.", "run.threads_per_rank")
"""Keys that may be set beside those of the sampler, also where a measurement goes on: none changes a number."""


@dataclass(frozen=True)
class MeasureRequest:
    """A measurement as the user asks for it.

    Attributes:
        path: directory or file of a run or a fit.
        observables: see :data:`pvmc.measurement.registry.OBSERVABLES`; none for all.
        samples: configurations to measure; with ``until_error`` the most.  None for the default.
        until_error: error of the energy per site at which to stop, in units of energy; None to measure ``samples``.
        iteration: whose parameters; None for the last saved ones, "best" for those of the settled iterations after
            which the variance was smallest.
        seed: of the random numbers; None for the run's seed and the number of the measurement.
        overrides: ``sampler.KEY=VALUE`` (and keys of how the run stops).
        resume: go on with the last measurement.
        started: when the program started, in seconds of ``time.monotonic``.
        ends_program: the caller ends the program with the exit code, and no signal is raised again.
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
    ends_program: bool = False


@dataclass(frozen=True)
class Plan:
    """Start of a measurement: input, parameters and walkers, read by the root and the same on every rank.

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
        """The directory of its checkpoints."""
        return directory_of(self.file, self.number)


def directory_of(file: Path, number: int) -> Path:
    """The directory of the checkpoints of a measurement."""
    return file.parent / f"measurement-{number:04d}"


def make_plan(request: MeasureRequest) -> Plan:
    """Read what a request asks for.  For the root alone.

    Raises:
        InputError: no such run or parameters, keys that a measurement does not have, or nothing to go on with.
        StorageError: a file cannot be read.
    """
    iteration = best_iteration(open_run(request.path)) if request.iteration == "best" else request.iteration
    state = read_state(request.path, iteration)
    saved, raw = state.saved, _overridden(state.raw, request)
    numbers = measurement_numbers(saved.path, FILE)
    if request.resume:
        return _resumed(request, raw, saved, numbers)
    number = max(numbers, default=0) + 1
    seed = request.seed
    if seed is None:
        seed = (int(raw.tables.get("run", {}).get("seed", 1)) + number - 1) % SEED_LIMIT
    return Plan(saved.path, raw, saved, state.iteration, number, seed, None, state.walkers, None)


def _overridden(raw: RawInput, request: MeasureRequest) -> RawInput:
    for override in request.overrides:
        key = override.partition("=")[0].strip()
        if not f"{key}.".startswith(FREE) and (request.resume or not key.startswith("sampler.")):
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


def _resumed(request: MeasureRequest, raw: RawInput, saved: SavedParameters, numbers: Sequence[int]) -> Plan:
    given = {"--iteration": request.iteration, "--seed": request.seed, "--observables": request.observables or None}
    if extra := [name for name, value in given.items() if value is not None]:
        raise InputError(f"{extra[0]}: a measurement that goes on with --resume keeps its own: leave it out")
    checkpoints = ((number, latest_checkpoint(directory_of(saved.path, number))[0]) for number in reversed(numbers))
    last, checkpoint = next(((number, one) for number, one in checkpoints if one is not None), (0, None))
    if checkpoint is None:
        raise InputError(f"{saved.path}: holds no measurement to go on with; leave out --resume to start one")
    before = read_measurement(saved.path, last, FILE)
    own = stored_input(checkpoint.config, str(saved.path))
    free = {key: value for key, value in raw.tables.get("run", {}).items() if f"run.{key}".startswith(_FREE_TABLES)}
    own.tables["run"] = {**own.tables.get("run", {}), **free}
    saved = SavedParameters(saved.path, checkpoint.theta, saved.blocks)
    try:
        iteration, seed = int(before.attributes["iteration"]), int(before.attributes["seed"])
    except (KeyError, ValueError) as error:
        raise StorageError(f"{saved.path} is damaged: measurement {before.number} lacks {error}") from error
    return Plan(saved.path, own, saved, iteration, before.number, seed, checkpoint, None, before)


_FREE_TABLES = tuple(name.rstrip(".") for name in FREE)


@dataclass(frozen=True)
class Goal:
    """End of a measurement.

    Attributes:
        samples: configurations that were asked for, the most of them with ``until_error``.
        batches: the most batches.
        until_error: error of the energy per site; None for all batches.
    """

    samples: int
    batches: int
    until_error: float | None

    @classmethod
    def of(cls, request: MeasureRequest, stored: Mapping[str, Any], batch_samples: int) -> Goal:
        """The goal of a request; where a measurement goes on and nothing is said, the goal that it had before."""
        samples, until_error = request.samples, request.until_error
        if samples is None and until_error is None and stored:
            samples, until_error = int(stored["samples"]), stored.get("until_error")
        if samples is None:
            samples = DEFAULT_BATCHES * batch_samples if until_error is None else MOST_SAMPLES
        return cls(samples, math.ceil(samples / batch_samples), until_error)

    def reached(self, energy: EnergyStatistics, draws: int, n_sites: int) -> bool:
        """True where the error is small enough."""
        return self.until_error is not None and draws >= FEWEST_DRAWS and energy.error / n_sites <= self.until_error
