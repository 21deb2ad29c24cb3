"""Writing ``run.h5``: one row per SR iteration, readable while it grows and after a kill.

The file is in HDF5's single-writer, multiple-reader (SWMR) mode.  In that mode neither datasets nor attributes can be
added, so everything is laid out first, under a temporary name; then the file takes its name and rows are appended.
A run that goes on is laid out anew too, and the rows that it keeps are copied: a kill or a full disk at any moment
leaves the old file or the new one, both whole.  Nothing here knows of MPI: rank 0 writes, the others have no writer.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from pvmc.errors import InputError, StorageError
from pvmc.io.earlier import Earlier, read_earlier
from pvmc.io.hdf5 import stored_length
from pvmc.io.layout import ParameterBlocks, Session, StartTrial, laid_out, require_schema, space, stored
from pvmc.io.measurement import GROUP
from pvmc.io.schema import FILE_NAME, SCHEMA_VERSION, SERIES, STATUSES
from pvmc.io.storage import reason, remove_leftovers, reserve, sync_directory, temporary_path

_MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None


class ResultsWriter:
    """The results file of one run, open for appending.

    Attributes:
        path: the file.
        trials: the rows of ``/starts``: what a run of several starts has tried, and what is to come.

    A context manager: leaving it marks the run "finished", or "failed" with the exception's text, unless
    :meth:`finish` has been called.

    Args:
        directory: the run's directory; made if missing.  The file is ``directory/run.h5``.
        attributes: values of the root attributes in the schema; ``schema_version`` and ``created`` are filled in here.
        parameter_blocks: name -> (slice of the flat vector, shape), as ``Ansatz.parameter_blocks``.
        parameter_dtype: float64 or complex128.
        reference_energy: exact total energy in units of ``energy_units``, if known.
        reference_method: where the reference comes from.
        radius: bound on half the width of the spectrum of H, in the same units; None where it is not known.
        sector: attributes of ``/reference`` about quantum numbers and the ground state, see docs/hdf5.md.
        overwrite: replace the results that are already in ``directory``.
        patience: seconds that a row may wait in memory for the ones after it; a write costs more than an iteration of
            a small system.  0 writes each row at once.
        threads: threads per rank, for the record.
        trials: the seeds that a run of several starts will try; see :meth:`record_trial`.
        earlier: the rows of the same run that are kept; see :meth:`resume`.

    Raises:
        InputError: ``directory`` holds results, or things that are not a run's, and ``overwrite`` is off.
        StorageError: the file cannot be written.
        ValueError: ``attributes`` do not match the schema.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        attributes: Mapping[str, str | int],
        *,
        parameter_blocks: ParameterBlocks,
        parameter_dtype: DTypeLike,
        reference_energy: float | None = None,
        reference_method: str = "",
        radius: float | None = None,
        sector: Mapping[str, str | float] = MappingProxyType({}),
        overwrite: bool = False,
        patience: float = 0.0,
        threads: int = 1,
        trials: Sequence[StartTrial] = (),
        earlier: Earlier | None = None,
    ):
        now = _now()
        given = {"schema_version": SCHEMA_VERSION, "created": now, **attributes}
        require_schema(given)
        self.path = Path(directory) / FILE_NAME
        _require_free(self.path, overwrite or earlier is not None)
        self._rows = self._saved = 0
        self._waiting: list[tuple[int, Mapping[str, float]]] = []
        self._patience, self._began = patience, time.monotonic()
        self._written = self._began
        self._last_iteration: int | None = None
        self._file: h5py.File | None = None
        sessions = [*(earlier.sessions if earlier else []), _session(given, now, threads, earlier)]
        reference = _reference(reference_energy, reference_method, radius, earlier) | dict(sector)
        self.trials = list(earlier.trials if earlier else trials)
        kept = earlier.measurements if earlier else []
        image = laid_out(given, parameter_blocks, np.dtype(parameter_dtype), reference, sessions, self.trials, kept)
        self._empty = self._reserved = len(image)
        temporary = temporary_path(self.path)
        try:
            with self._storage():
                self.path.parent.mkdir(parents=True, exist_ok=True)
                remove_leftovers(self.path.parent, FILE_NAME)
                temporary.write_bytes(image)
                # Not every file system of a cluster has locks; one writer per file is our own rule.
                self._file = h5py.File(temporary, "r+", libver="latest", locking="best-effort")
                # Held open: a handle that is closed writes out what it has cached, and there a failure goes unnoticed.
                self._datasets = _datasets(self._file)
                self._file.swmr_mode = True
                if earlier is not None:
                    self._take_over(earlier)
                self._sync()
                os.replace(temporary, self.path)
                sync_directory(self.path.parent)
        except BaseException:
            self._abandon()
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise

    @classmethod
    def resume(
        cls,
        directory: str | os.PathLike[str],
        iteration: int,
        attributes: Mapping[str, str | int],
        *,
        parameter_blocks: ParameterBlocks,
        parameter_dtype: DTypeLike,
        reference_energy: float | None = None,
        reference_method: str = "",
        radius: float | None = None,
        sector: Mapping[str, str | float] = MappingProxyType({}),
        patience: float = 0.0,
        threads: int = 1,
    ) -> Self:
        """The results file of a run that is over or was killed, open for appending from an iteration on.

        Rows and parameters from ``iteration`` on, which the run will write again, are gone; the state is "running",
        ``/sessions`` has a new row, and ``created`` is as it was.  Until all this is on the disk, the old file stays.

        Args:
            directory: the run's directory.
            iteration: the first iteration to come, as in the checkpoint.
            attributes: as for a new run; what changed since then is recorded.
            parameter_blocks, parameter_dtype: as for a new run.
            reference_energy, reference_method, radius: as for a new run; None keeps what the file has.
            sector: as for a new run.
            patience, threads: as for a new run.

        Raises:
            InputError: there is no results file, or its parameters are of another ansatz.
            StorageError: the file cannot be read or written, or lacks rows before ``iteration``.
            ValueError: ``attributes`` do not match the schema.
        """
        earlier = read_earlier(Path(directory) / FILE_NAME, iteration)
        earlier.require_same(parameter_blocks, np.dtype(parameter_dtype))
        return cls(
            directory,
            {**attributes, "created": earlier.run.attributes["created"]},
            parameter_blocks=parameter_blocks,
            parameter_dtype=parameter_dtype,
            reference_energy=reference_energy,
            reference_method=reference_method,
            radius=radius,
            sector=sector,
            patience=patience,
            threads=threads,
            earlier=earlier,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._file is None:
            return
        if error is None:
            self.finish("finished")
        else:
            self.finish("failed", str(error) or type(error).__name__)

    def withdraw(self) -> None:
        """Close the file, and remove it where it holds no iteration: an input that is refused leaves nothing behind."""
        is_empty = not self._rows and not self._waiting and not any(trial.iterations for trial in self.trials)
        if not is_empty:
            self.finish("failed")
            return
        file, self._file = self._file, None
        with contextlib.suppress(OSError, RuntimeError):
            if file is not None:
                file.close()
            self.path.unlink()

    def append(self, iteration: int, values: Mapping[str, float]) -> None:
        """Adds one row to every series.  After ``patience`` seconds at most, the row survives a kill of the process.

        Args:
            iteration: number of the SR iteration; larger than that of the row before.
            values: series name -> value; missing ones are marked as not measured.

        Raises:
            ValueError: a name that is not in the schema, or an iteration out of order.
            StorageError: the file cannot be written; the rows before this one are safe.
        """
        unknown = set(values) - {quantity.name for quantity in SERIES}
        if unknown:
            raise ValueError(f"no such series: {', '.join(sorted(unknown))}")
        if self._last_iteration is not None and iteration <= self._last_iteration:
            raise ValueError(f"iteration {iteration} after {self._last_iteration}: iterations must increase")
        self._opened()
        self._waiting.append((iteration, dict(values)))
        self._last_iteration = iteration
        if time.monotonic() - self._written >= self._patience:
            self._write_waiting()

    def record_trial(self, row: int, trial: StartTrial) -> None:
        """Writes how far a trial is.  One that is over survives a crash of the machine, and is never tried again.

        Args:
            row: its place in ``/starts``.
            trial: its iterations so far, and its energy where it is over.

        Raises:
            StorageError: the file cannot be written; the trials before this one are safe.
        """
        self._opened()
        self.trials[row] = trial
        if not trial.over and time.monotonic() - self._written < self._patience:
            return
        with self._storage():
            self._set("starts/iterations", row, trial.iterations)
            self._set_session("seconds", time.monotonic() - self._began)
            if trial.over:
                self._set("starts/energy_error", row, trial.energy_error)
                self._sync()
                self._set("starts/energy", row, trial.energy)  # last: it says that the row is complete
                self._sync()
        self._written = time.monotonic()

    def flush(self, lasting: bool = True) -> None:
        """Forces all rows and parameters so far to the disk, where they survive a crash of the machine too.

        To be called before a checkpoint is written: a run that goes on from it needs all rows before it.  Not
        ``lasting``, they are only handed to the system: they survive the end of the process.

        Raises:
            StorageError: the file cannot be written; the rows written before are safe.
        """
        self._write_waiting()
        with self._storage():
            if lasting:
                self._sync()
            else:
                self._opened().flush()

    def _write_waiting(self) -> None:
        """Writes the rows that wait in memory."""
        if not self._waiting:
            return
        columns: dict[str, list[float]] = {"iteration": [iteration for iteration, _ in self._waiting]}
        for quantity in SERIES:
            columns[quantity.name] = [values.get(quantity.name, quantity.fill) for _, values in self._waiting]
        with self._storage():
            self._reserve(self._rows + len(self._waiting), self._saved)
            self._write_rows(columns, len(self._waiting))
            self._set_session("seconds", time.monotonic() - self._began)
        self._waiting, self._written = [], time.monotonic()

    def _reserve(self, rows: int, saved: int) -> None:
        """Take the disk space for so many rows and saved parameters; see :func:`pvmc.io.storage.reserve`."""
        theta = self._datasets["parameters/theta"]
        size = self._empty + space(rows, saved, theta.shape[1], theta.dtype)
        if size <= self._reserved:
            return
        reserve(self._opened().id.get_vfd_handle(), self._reserved, size - self._reserved)
        self._reserved = size

    def _write_rows(self, columns: Mapping[str, ArrayLike], count: int) -> None:
        for name, values in columns.items():
            _set_rows(self._datasets[f"series/{name}"], self._rows, values)
        self._opened().flush()
        # A row counts only once it is all in the file: readers stop at this number, so they never see a torn row.
        self._set_state("iterations_done", self._rows + count)
        self._rows += count

    def _take_over(self, earlier: Earlier) -> None:
        """Copies the rows of the run's first part; they come before all of this one."""
        if not earlier.iteration:
            return
        self._reserve(earlier.iteration, len(earlier.saved))
        self._write_rows(earlier.series, earlier.iteration)
        self._last_iteration = earlier.iteration - 1
        for batch in earlier.parameters():
            self._write_parameters(earlier.saved[self._saved : self._saved + len(batch)], batch)

    def save_parameters(self, iteration: int, theta: ArrayLike) -> None:
        """Adds the parameter vector (K,) as it is after ``iteration`` to ``/parameters``.

        Raises:
            ValueError: wrong shape, or complex values for real parameters.
            StorageError: the file cannot be written.
        """
        self._opened()
        dataset = self._datasets["parameters/theta"]
        vector = np.asarray(theta)
        if vector.shape != dataset.shape[1:]:
            raise ValueError(f"parameters of shape {vector.shape}, expected {dataset.shape[1:]}")
        if not np.can_cast(vector.dtype, dataset.dtype, casting="safe"):
            raise ValueError(f"parameters of type {vector.dtype}, expected {dataset.dtype}")
        with self._storage():
            self._reserve(self._rows, self._saved + 1)
            self._write_parameters([iteration], vector[np.newaxis])

    def _write_parameters(self, iterations: ArrayLike, theta: NDArray[Any]) -> None:
        file, dataset = self._opened(), self._datasets["parameters/theta"]
        _set_rows(dataset, self._saved, theta.astype(dataset.dtype, copy=False))  # HDF5 makes no complex from real
        file.flush()
        # After the vectors: a saved iteration number says that its vector is complete.
        _set_rows(self._datasets["parameters/iteration"], self._saved, iterations)
        file.flush()
        self._saved += len(theta)

    def finish(self, status: str, message: str = "", outcome: str = "") -> None:
        """Records how the run ended ("finished", "stopped" or "failed", and why), and closes the file.

        Args:
            status, message: of the run.
            outcome: of its session, where that is another one than the status.
        """
        if status not in STATUSES[1:]:
            raise ValueError(f"status {status!r}; a run ends as one of {', '.join(STATUSES[1:])}")
        file = self._opened()
        self._write_waiting()
        with self._storage():
            for row, trial in enumerate(self.trials):
                self._set("starts/iterations", row, trial.iterations)
            self._set_state("message", message)
            self._set_state("ended", _now())
            self._set_session("seconds", time.monotonic() - self._began)
            self._set_session("outcome", outcome or status)
            self._set_state("status", status)
            file.close()
        self._file = None
        with contextlib.suppress(OSError):  # it does no harm
            os.truncate(self.path, stored_length(self.path))  # gives back what was reserved and not used

    def _set_state(self, name: str, value: str | int) -> None:
        self._set(f"state/{name}", (), value)

    def _set_session(self, name: str, value: str | float) -> None:
        self._set(f"sessions/{name}", -1, value)

    def _set(self, name: str, where: int | tuple[()], value: str | float) -> None:
        dataset = self._datasets[name]
        dataset[where] = stored(value, f"S{dataset.dtype.itemsize}")
        dataset.flush()

    def _sync(self) -> None:
        file = self._opened()
        file.flush()
        os.fsync(file.id.get_vfd_handle())

    def _opened(self) -> h5py.File:
        if self._file is None:
            raise ValueError(f"{self.path} is closed")
        return self._file

    @contextlib.contextmanager
    def _storage(self) -> Iterator[None]:
        """Turns what h5py and the system raise on a failing write into one StorageError, and gives the file up."""
        try:
            yield
        except (OSError, RuntimeError) as error:
            self._abandon()
            raise StorageError(f"cannot write {self.path}: {reason(error)}") from error

    def _abandon(self) -> None:
        """Closes a file that cannot be written, leaving on disk what is there.

        HDF5 would try the failed writes again at every close, report each, and in the end crash the process at exit
        (seen with 1.14).  So the file's descriptor is pointed at an anonymous file in memory first, which takes them.
        """
        file, self._file = self._file, None
        if file is None:
            return
        with contextlib.suppress(OSError, RuntimeError):
            with tempfile.TemporaryFile(dir=_MEMORY) as sink:
                os.dup2(sink.fileno(), file.id.get_vfd_handle())
            file.close()


def _datasets(file: h5py.File) -> dict[str, h5py.Dataset]:
    """Handles of all datasets of the run itself, by path; its measurements are groups, which it leaves alone."""
    return {f"{group}/{name}": file[group][name] for group in file if group != GROUP for name in file[group]}


def _set_rows(dataset: h5py.Dataset, first: int, values: ArrayLike) -> None:
    """Writes the last rows, which are new, or were left incomplete by an interrupt."""
    rows = np.asarray(values)
    dataset.resize(first + len(rows), axis=0)
    dataset[first:] = rows


def _session(attributes: Mapping[str, Any], started: str, threads: int, earlier: Earlier | None) -> Session:
    return Session(
        started=started if earlier else str(attributes["created"]),
        first_iteration=earlier.iteration if earlier else 0,
        ranks=int(attributes["ranks"]),
        threads=threads,
        host=str(attributes["host"]),
        pid=int(attributes["pid"]),
    )


def _reference(
    energy: float | None, method: str, radius: float | None, earlier: Earlier | None
) -> dict[str, float | str]:
    """The attributes of ``/reference``; what is None as it was before."""
    if energy is None and earlier is not None:
        energy, method = earlier.run.reference_energy, earlier.run.reference_method
    if radius is None and earlier is not None:
        radius = earlier.run.radius or None
    known: dict[str, float | str] = {} if energy is None else {"energy": float(energy), "method": method}
    return known if radius is None else {**known, "radius": float(radius)}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _require_free(path: Path, overwrite: bool) -> None:
    """Raises InputError where a new run would replace, or mix with, something that exists."""
    directory = path.parent
    advice = "choose another --output or pass --overwrite"
    try:
        if path.is_dir() or (directory.exists() and not directory.is_dir()):
            raise InputError(f"{directory} cannot hold a run: choose another --output")
        if path.exists() and not overwrite:
            raise InputError(f"{path} exists; go on with --resume, {advice}")
        visible = directory.exists() and any(not entry.name.startswith(".") for entry in directory.iterdir())
        if visible and not overwrite:
            raise InputError(f"{directory} exists and is not a pvmc run; {advice}")
    except OSError as error:
        raise StorageError(f"cannot read {directory}: {reason(error)}") from error
