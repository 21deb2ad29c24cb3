"""When a run saves its state, and how it goes on from there."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pvmc.config import RawInput, shown, stored_input, to_toml, validate
from pvmc.errors import InputError, StorageError
from pvmc.io.checkpoint import Checkpoint, latest_checkpoint
from pvmc.io.reader import Run, open_run
from pvmc.io.schema import FILE_NAME
from pvmc.mpi import Communicator, block_range
from pvmc.sampler import Walkers
from pvmc.vmc.job import Job
from pvmc.vmc.loop import State
from pvmc.vmc.spec import CheckpointSpec, JobConfig


@dataclass
class CheckpointPolicy:
    """Decides after which iterations to save.  On rank 0 alone.

    A checkpoint is due after so many iterations or minutes since the last one, but not before the last one's cost is
    below the allowed part of the time since then.  Between them come states that are not forced to the disk.

    Attributes:
        spec: how often.
        iteration: number of the iteration that the last checkpoint stands before: the first to run after a resume.
        moment: when the last checkpoint was finished, in seconds of ``time.monotonic``.
        seconds: what it took.
    """

    spec: CheckpointSpec
    iteration: int
    moment: float
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self._recent = self._ended = self.moment  # the last state that was written at all; the last iteration
        self._recent_seconds = self._iteration_seconds = 0.0

    def due(self, iteration: int, now: float) -> bool:
        """True where the state is to be saved after an iteration.

        Args:
            iteration: number of the iteration that is done.
            now: the time, in seconds of ``time.monotonic``.
        """
        elapsed = now - self.moment
        every, minutes = self.spec.iterations, self.spec.minutes
        wanted = every is not None and iteration + 1 - self.iteration >= every
        wanted = wanted or (minutes > 0 and elapsed >= 60.0 * minutes)
        return wanted and self.seconds <= self.spec.cost * elapsed

    def recent_due(self, now: float) -> bool:
        """True where a state is to be written without forcing it to the disk, before an iteration puts more at risk.

        Args:
            now: the time after an iteration; to be asked once after each.
        """
        self._iteration_seconds, self._ended = now - self._ended, now
        at_risk = now - self._recent
        wanted = self.spec.seconds > 0 and at_risk + self._iteration_seconds > self.spec.seconds
        return wanted and self._recent_seconds <= self.spec.cost * at_risk

    def begin(self, iteration: int, now: float) -> None:
        """Prepare for iterations from this one on: the time before does not count."""
        self.iteration, self.moment = iteration, now
        self._recent = self._ended = now

    def saved(self, iteration: int, seconds: float, now: float, lasting: bool = True) -> None:
        """A checkpoint was written after an iteration, and took so long."""
        self._recent = self._ended = now
        if lasting:
            self.iteration, self.moment, self.seconds = iteration + 1, now, seconds
        else:
            self._recent_seconds = seconds


FREE_KEYS = (
    *("checkpoint", "iterations", "leak_every", "reference", "retries", "save_every", "stop", "threads_per_rank"),
    "time",
)
"""Keys of [run] that a resumed run may have changed: none of them changes an iteration."""

MAGNETIZATION = "sampler.magnetization"
"""Key of the conserved magnetisation."""

MEMORY = "memory"
"""Name of the part of a checkpoint that holds what solver and sampler remember."""

LARGEST_LISTED = 5
"""Differences that a message names."""


@dataclass(frozen=True)
class Resumption:
    """The checkpoint that a run goes on from, as the root finds it.

    Attributes:
        checkpoint: its last good one; None where it was stopped before the first checkpoint, and begins anew.
        passed_over: one line for each newer checkpoint that cannot be used.
        source: the text of the input file that the run was started with.
    """

    checkpoint: Checkpoint | None
    passed_over: list[str]
    source: str

    @property
    def iteration(self) -> int:
        """The first iteration to come."""
        return self.checkpoint.iteration if self.checkpoint else 0


def find_resumption(directory: Path, job: Job) -> Resumption:
    """The checkpoint that the run in a directory goes on from.  For the root alone.

    Raises:
        InputError: there is no run, or its input is another one.
        StorageError: its files cannot be read, or no checkpoint is good, or none fits.
    """
    run = _existing(directory)
    checkpoint, passed_over = latest_checkpoint(directory)
    require_same_input(checkpoint.config if checkpoint else run.config_text, job.config, directory)
    if checkpoint is not None:
        _require_fit(checkpoint, job)
        if checkpoint.iteration > job.config.run.n_iterations:
            raise InputError(
                f"run.iterations = {job.config.run.n_iterations}: {directory} has {checkpoint.iteration} iterations "
                f"already; to go on with it: --set run.iterations=N with N > {checkpoint.iteration}"
            )
    return Resumption(checkpoint, passed_over, str(run.attributes["config_source"]))


def input_of_run(directory: Path) -> RawInput:
    """The input of the run in a directory, as it was resolved.  For the root alone.

    Raises:
        InputError: there is no run.
        StorageError: it cannot be read.
    """
    run = _existing(directory)
    return stored_input(run.config_text, str(run.path), str(run.attributes["config_source"]))


def with_stored_choices(raw: RawInput, directory: Path) -> RawInput:
    """An input that leaves the turn of spins or first parameters open, with those of the run in a directory.

    The run may be of a version that had another rule, or none.  For the root alone.

    Raises:
        StorageError: the run cannot be read.
    """
    if not isinstance(raw.tables.get("hamiltonian"), dict) or not (directory / FILE_NAME).exists():
        return raw
    tables, stored = dict(raw.tables), input_of_run(directory).tables
    given, model = tables["hamiltonian"], stored.get("hamiltonian", {})
    turns = [key for key in ("marshall", "rotate") if key in model and given.get(key, "auto") == "auto"]
    if turns and model.get("model") == given.get("model"):
        tables["hamiltonian"] = {**given, **{key: model[key] for key in turns}}
    if "ansatz" in tables:
        tables["ansatz"] = _with_stored_scales(tables["ansatz"], stored.get("ansatz"))
    return raw if tables == raw.tables else replace(raw, tables=tables)


def _with_stored_scales(given: Any, stored: Any) -> Any:
    """The table of a wave function and those within it, with ``init_scale`` as stored where it is left open."""
    if isinstance(given, list) and isinstance(stored, list) and len(given) == len(stored):
        return [_with_stored_scales(*pair) for pair in zip(given, stored, strict=True)]
    if not isinstance(given, dict) or not isinstance(stored, dict) or given.get("kind") != stored.get("kind"):
        return given
    scale = {key: stored[key] for key in ("init_scale",) if key in stored}
    parts = {key: _with_stored_scales(given[key], stored.get(key)) for key in ("factors", "inner") if key in given}
    return scale | given | parts


def _existing(directory: Path) -> Run:
    if not (directory / FILE_NAME).exists():
        raise InputError(f"{directory}: holds no run to go on with (no {FILE_NAME}); leave out --resume to start one")
    return open_run(directory)


def require_same_input(old: str, config: JobConfig, directory: Path) -> None:
    """Refuse an input that would lead to other iterations than those of the run.

    Args:
        old: the input of the run (TOML), every default written out.
        config: the input now.
        directory: of the run, for the message.

    Raises:
        InputError: names the keys that differ, with both values.
    """
    before = dict(_entries(_with_defaults(old)))
    after = dict(_entries(tomllib.loads(to_toml(config))))
    if MAGNETIZATION not in after:  # where moves change it, earlier versions wrote a 0 that meant nothing
        before.pop(MAGNETIZATION, None)
    free = tuple(f"run.{key}" for key in FREE_KEYS)
    differences = [
        f"{key} = {_words(before, key)} there, {_words(after, key)} now"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key) and not key.startswith(free) and not key.startswith("fit.")
    ]
    if differences:
        listed = "; ".join(differences[:LARGEST_LISTED]) + ("; ..." if len(differences) > LARGEST_LISTED else "")
        raise InputError(
            f"{directory} cannot go on with another input: {listed}. Undo the change, or start a new run with another "
            "--output (ansatz.start_from takes over the parameters)"
        )


def _with_defaults(text: str) -> dict[str, Any]:
    """The tables of a stored input, with keys that are newer than it at their defaults."""
    raw = stored_input(text, "the stored input")
    try:
        return tomllib.loads(to_toml(validate(JobConfig, raw)))
    except InputError:  # of a version that knew other keys: compared as it stands
        return raw.tables


def _entries(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _entries(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _words(entries: Mapping[str, Any], key: str) -> str:
    return shown(entries[key]) if key in entries else "not given"


def _require_fit(checkpoint: Checkpoint, job: Job) -> None:
    theta, spins = checkpoint.theta, checkpoint.spins
    if theta.shape != (job.ansatz.n_parameters,) or theta.dtype != job.ansatz.dtype:
        raise StorageError(
            f"the checkpoint holds {theta.size} {theta.dtype} parameters, this input has {job.ansatz.n_parameters} "
            f"{job.ansatz.dtype} ones"
        )
    if len(spins) != job.sampler.n_blocks or spins.shape[1] != job.lattice.n_sites:
        raise StorageError(
            f"the checkpoint holds {len(spins)} blocks of walkers of {spins.shape[1]} spins, this input has "
            f"{job.sampler.n_blocks} of {job.lattice.n_sites}"
        )


@dataclass(frozen=True)
class SavedRun:
    """A run as its last checkpoint left it, on every rank.

    Attributes:
        state: parameters, this rank's walkers, and what solver and sampler remember.
        parts: what the parts of the run have saved, by their names; see :class:`pvmc.vmc.pieces.Piece`.
        series: the rows of the results file before it, by name.
    """

    state: State
    parts: Mapping[str, Any]
    series: Mapping[str, npt.NDArray[Any]]


def shared_run(
    checkpoint: Checkpoint | None, series: Mapping[str, npt.NDArray[Any]], job: Job, comm: Communicator
) -> SavedRun:
    """Collective.  A run that the root has read, dealt out to any number of ranks.

    Args:
        checkpoint: its last one, on the root; not looked at elsewhere.
        series: the rows of its results file.
        job: the job.
        comm: the ranks.
    """
    shape = np.zeros(4, dtype=np.int64)
    if checkpoint is not None:
        shape[:] = checkpoint.iteration, *checkpoint.spins.shape
    iteration, *layout = comm.broadcast(shape).tolist()
    theta, spins = np.empty(job.ansatz.n_parameters, dtype=job.ansatz.dtype), np.empty(layout, dtype=np.int8)
    if checkpoint is not None:
        theta[:], spins[:] = checkpoint.theta, checkpoint.spins
    comm.broadcast(theta)
    comm.broadcast(spins)
    parts: Mapping[str, Any] = comm.broadcast_object(checkpoint.parts if checkpoint is not None else {})
    mine = block_range(job.sampler.n_blocks, comm.rank, comm.size)
    walkers = Walkers(spins[mine.start : mine.stop].copy(), mine.start)
    state = State(iteration, theta, walkers, parts.get(MEMORY, {}))
    return SavedRun(state, parts, series)
