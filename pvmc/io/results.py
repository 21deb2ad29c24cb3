"""Writing ``run.h5``: one row per SR iteration, readable while it grows and after a kill.

The file is in HDF5's single-writer, multiple-reader (SWMR) mode.  In that mode neither datasets nor attributes can be
added, so everything is laid out first, under a temporary name; then the file takes its name and rows are appended.
Nothing here knows of MPI: rank 0 writes, the others have no writer.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from pvmc.errors import InputError, StorageError
from pvmc.io.schema import (
    FILE_NAME,
    ITERATION,
    ROOT_ATTRIBUTES,
    SCHEMA_VERSION,
    SERIES,
    SERIES_CHUNK,
    STATE,
    STATUSES,
    THETA_CHUNK_BYTES,
    Quantity,
)
from pvmc.io.storage import reason

ParameterBlocks = Mapping[str, tuple[slice, tuple[int, ...]]]

_MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None


class ResultsWriter:
    """The results file of one run, open for appending.

    A context manager: leaving it marks the run "finished", or "failed" with the exception's text, unless
    :meth:`finish` has been called.

    Args:
        directory: the run's directory; made if missing.  The file is ``directory/run.h5``.
        attributes: values of the root attributes in the schema; ``schema_version`` and ``created`` are filled in here.
        parameter_blocks: name -> (slice of the flat vector, shape), as ``Ansatz.parameter_blocks``.
        parameter_dtype: float64 or complex128.
        reference_energy: exact total energy in units of ``energy_units``, if known.
        reference_method: where the reference comes from.
        overwrite: replace the results that are already in ``directory``.
        patience: seconds that a row may wait in memory for the ones after it; a write costs more than an iteration of
            a small system.  0 writes each row at once.

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
        overwrite: bool = False,
        patience: float = 0.0,
    ):
        given = {"schema_version": SCHEMA_VERSION, "created": _now(), **attributes}
        _require_schema(given)
        self.path = Path(directory) / FILE_NAME
        _require_free(self.path, overwrite)
        temporary = self.path.with_name(f".{FILE_NAME}.{os.getpid()}")
        self._rows = self._saved = 0
        self._waiting: list[tuple[int, Mapping[str, float]]] = []
        self._patience, self._written = patience, time.monotonic()
        self._last_iteration: int | None = None
        self._file: h5py.File | None = None
        image = _laid_out(
            given, parameter_blocks, np.dtype(parameter_dtype), _reference(reference_energy, reference_method)
        )
        try:
            with self._storage():
                self.path.parent.mkdir(parents=True, exist_ok=True)
                temporary.write_bytes(image)
                # Not every file system of a cluster has locks; one writer per file is our own rule.
                self._file = h5py.File(temporary, "r+", libver="latest", locking="best-effort")
                # Held open: a handle that is closed writes out what it has cached, and there a failure goes unnoticed.
                self._datasets = _datasets(self._file)
                self._file.swmr_mode = True
                os.replace(temporary, self.path)
        except BaseException:
            self._abandon()
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise

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

    def _write_waiting(self) -> None:
        """Writes the rows that wait in memory."""
        if not self._waiting:
            return
        file, first, last = self._opened(), self._rows, self._rows + len(self._waiting)
        with self._storage():
            _set_rows(self._datasets["series/iteration"], first, [iteration for iteration, _ in self._waiting])
            for quantity in SERIES:
                rows = [values.get(quantity.name, quantity.fill) for _, values in self._waiting]
                _set_rows(self._datasets[f"series/{quantity.name}"], first, rows)
            file.flush()
            # A row counts only once it is all in the file: readers stop at this number, so they never see a torn row.
            self._set_state("iterations_done", last)
        self._rows, self._waiting, self._written = last, [], time.monotonic()

    def save_parameters(self, iteration: int, theta: ArrayLike) -> None:
        """Adds the parameter vector (K,) as it is after ``iteration`` to ``/parameters``.

        Raises:
            ValueError: wrong shape, or complex values for real parameters.
            StorageError: the file cannot be written.
        """
        file = self._opened()
        dataset = self._datasets["parameters/theta"]
        vector = np.asarray(theta)
        if vector.shape != dataset.shape[1:]:
            raise ValueError(f"parameters of shape {vector.shape}, expected {dataset.shape[1:]}")
        if not np.can_cast(vector.dtype, dataset.dtype, casting="safe"):
            raise ValueError(f"parameters of type {vector.dtype}, expected {dataset.dtype}")
        with self._storage():
            _set_rows(dataset, self._saved, vector[np.newaxis])
            file.flush()
            # After the vector: a saved iteration number says that its vector is complete.
            _set_rows(self._datasets["parameters/iteration"], self._saved, [iteration])
            file.flush()
        self._saved += 1

    def finish(self, status: str, message: str = "") -> None:
        """Records how the run ended ("finished", "stopped" or "failed", and why), and closes the file."""
        if status not in STATUSES[1:]:
            raise ValueError(f"status {status!r}; a run ends as one of {', '.join(STATUSES[1:])}")
        file = self._opened()
        self._write_waiting()
        with self._storage():
            self._set_state("message", message)
            self._set_state("ended", _now())
            self._set_state("status", status)
            file.close()
        self._file = None

    def _set_state(self, name: str, value: str | int) -> None:
        dataset = self._datasets[f"state/{name}"]
        dataset[()] = _clipped(value, dataset.dtype.itemsize) if isinstance(value, str) else value
        dataset.flush()

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


def _laid_out(
    attributes: Mapping[str, str | int],
    blocks: ParameterBlocks,
    dtype: np.dtype[Any],
    reference: dict[str, float | str],
) -> bytes:
    """The bytes of a results file without rows.

    It is made in memory: HDF5 crashes where it cannot write the first pieces of a file (a full disk or quota), while
    plain bytes are written with a plain error.
    """
    with h5py.File(FILE_NAME, "w", libver="latest", driver="core", backing_store=False) as file:
        file.attrs.update(attributes)
        _create_series(file.create_group("series"), str(attributes["energy_units"]))
        _create_parameters(file.create_group("parameters"), blocks, dtype, int(attributes["n_parameters"]))
        _create_state(file.create_group("state"))
        file.create_group("reference").attrs.update(reference)
        file.flush()
        return bytes(file.id.get_file_image())


def _create_series(group: h5py.Group, energy_units: str) -> None:
    scale = _growing(group, ITERATION, energy_units)
    scale.make_scale(ITERATION.name)
    for quantity in SERIES:
        axis = _growing(group, quantity, energy_units).dims[0]
        axis.label = ITERATION.name
        axis.attach_scale(scale)


def _create_parameters(group: h5py.Group, blocks: ParameterBlocks, dtype: np.dtype[Any], n_parameters: int) -> None:
    if dtype not in (np.dtype(np.float64), np.dtype(np.complex128)):
        raise ValueError(f"parameters of type {dtype}, expected float64 or complex128")
    saved = _growing(group, ITERATION, "")
    saved.attrs["description"] = "SR iteration after which the row of theta was saved"
    position = group.create_dataset("parameter", data=np.arange(n_parameters))
    position.attrs.update(units="1", description="position in the flat parameter vector")
    chunk = (max(1, THETA_CHUNK_BYTES // max(1, n_parameters * dtype.itemsize)), n_parameters)
    theta = group.create_dataset("theta", (0, n_parameters), dtype, maxshape=(None, n_parameters), chunks=chunk)
    theta.attrs.update(units="1", description="flat vector of the variational parameters")
    for axis, scale, label in zip(theta.dims, (saved, position), ("saved", "parameter"), strict=True):
        scale.make_scale(scale.name.rpartition("/")[2])
        axis.label = label
        axis.attach_scale(scale)
    theta.attrs["block_names"] = list(blocks)
    for name, (part, shape) in blocks.items():
        theta.attrs[f"{name}_slice"] = np.array([part.start, part.stop], dtype=np.int64)
        theta.attrs[f"{name}_shape"] = np.array(shape, dtype=np.int64)


def _create_state(group: h5py.Group) -> None:
    initial = {"status": b"running", "message": b"", "ended": b"", "iterations_done": 0}
    for field in STATE:
        # With its value, so that its place in the file is given: in SWMR mode only the content may change.
        dataset = group.create_dataset(field.name, (), _storage_dtype(field.dtype), data=initial[field.name])
        dataset.attrs["description"] = field.description


def _reference(energy: float | None, method: str) -> dict[str, float | str]:
    return {} if energy is None else {"energy": float(energy), "method": method}


def _growing(group: h5py.Group, quantity: Quantity, energy_units: str) -> h5py.Dataset:
    """A new dataset (0,) that grows along its axis."""
    dataset = group.create_dataset(
        quantity.name, (0,), quantity.dtype, maxshape=(None,), chunks=(SERIES_CHUNK,), fillvalue=quantity.fill
    )
    dataset.attrs.update(units=quantity.units_in(energy_units), description=quantity.description)
    return dataset


def _datasets(file: h5py.File) -> dict[str, h5py.Dataset]:
    """Handles of all datasets, by path."""
    return {f"{group}/{name}": file[group][name] for group in file for name in file[group]}


def _set_rows(dataset: h5py.Dataset, first: int, values: ArrayLike) -> None:
    """Writes the last rows, which are new, or were left incomplete by an interrupt."""
    rows = np.asarray(values)
    dataset.resize(first + len(rows), axis=0)
    dataset[first:] = rows


def _storage_dtype(name: str) -> DTypeLike:
    return h5py.string_dtype("utf-8", int(name[1:])) if name.startswith("S") else name


def _clipped(text: str, length: int) -> bytes:
    """UTF-8 bytes of ``text``, at most ``length`` and ending at a whole character."""
    return text.encode(errors="replace")[:length].decode(errors="ignore").encode()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _require_schema(attributes: Mapping[str, str | int]) -> None:
    """Raises ValueError unless exactly the attributes of the schema are there, each of its type."""
    types = {attribute.name: attribute.type for attribute in ROOT_ATTRIBUTES}
    if missing := sorted(types.keys() - attributes.keys()):
        raise ValueError(f"attributes missing: {', '.join(missing)}")
    if unknown := sorted(attributes.keys() - types.keys()):
        raise ValueError(f"attributes that are not in the schema: {', '.join(unknown)}")
    for name, value in attributes.items():
        if not isinstance(value, types[name] if types[name] is str else (int, np.integer)):
            raise ValueError(f"attribute {name} = {value!r}, expected {types[name].__name__}")


def _require_free(path: Path, overwrite: bool) -> None:
    """Raises InputError where a new run would replace, or mix with, something that exists."""
    directory = path.parent
    advice = "choose another --output or pass --overwrite"
    try:
        if path.is_dir() or (directory.exists() and not directory.is_dir()):
            raise InputError(f"{directory} cannot hold a run: choose another --output")
        if path.exists() and not overwrite:
            raise InputError(f"{path} exists; {advice}")
        visible = directory.exists() and any(not entry.name.startswith(".") for entry in directory.iterdir())
        if visible and not overwrite:
            raise InputError(f"{directory} exists and is not a pvmc run; {advice}")
    except OSError as error:
        raise StorageError(f"cannot read {directory}: {reason(error)}") from error
