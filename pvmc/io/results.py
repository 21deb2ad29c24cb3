"""Writing ``run.h5``: one row per SR iteration, readable while it grows and after a kill.

The file is in HDF5's single-writer, multiple-reader (SWMR) mode.  In that mode neither datasets nor attributes can be
added, so everything is laid out first, under a temporary name; then the file takes its name and rows are appended.
Nothing here knows of MPI: rank 0 writes, the others have no writer.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

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
        parameter_blocks: Mapping[str, tuple[slice, tuple[int, ...]]],
        parameter_dtype: DTypeLike,
        reference_energy: float | None = None,
        reference_method: str = "",
        overwrite: bool = False,
    ):
        given = {"schema_version": SCHEMA_VERSION, "created": _now(), **attributes}
        _require_schema(given)
        self.path = Path(directory) / FILE_NAME
        _require_free(self.path, overwrite)
        temporary = self.path.with_name(f".{FILE_NAME}.{os.getpid()}")
        self._rows = self._saved = 0
        self._last_iteration: int | None = None
        try:
            with self._storage():
                self.path.parent.mkdir(parents=True, exist_ok=True)
                # Not every file system of a cluster has locks; one writer per file is our own rule.
                self._file: h5py.File | None = h5py.File(temporary, "w", libver="latest", locking="best-effort")
                self._file.attrs.update(given)
                self._create_series(str(given["energy_units"]))
                self._create_parameters(parameter_blocks, np.dtype(parameter_dtype), int(given["n_parameters"]))
                self._create_state()
                self._create_reference(reference_energy, reference_method)
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
        """Adds one row to every series.  When this returns, the row survives a kill of the process.

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
        file = self._opened()
        with self._storage():
            _set_row(self._datasets["series/iteration"], self._rows, iteration)
            for quantity in SERIES:
                value = values.get(quantity.name, quantity.fill)
                _set_row(self._datasets[f"series/{quantity.name}"], self._rows, value)
            file.flush()
            # The row counts only once it is all in the file: readers stop at this number, so they never see a torn row.
            self._rows += 1
            self._set_state("iterations_done", self._rows)
        self._last_iteration = iteration

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
            _set_row(dataset, self._saved, vector)
            file.flush()
            # After the vector: a saved iteration number says that its vector is complete.
            _set_row(self._datasets["parameters/iteration"], self._saved, iteration)
            file.flush()
        self._saved += 1

    def finish(self, status: str, message: str = "") -> None:
        """Records how the run ended ("finished", "stopped" or "failed", and why), and closes the file."""
        if status not in STATUSES[1:]:
            raise ValueError(f"status {status!r}; a run ends as one of {', '.join(STATUSES[1:])}")
        file = self._opened()
        with self._storage():
            self._set_state("message", message)
            self._set_state("ended", _now())
            self._set_state("status", status)
            file.close()
        self._file = None

    def _create_series(self, energy_units: str) -> None:
        group = self._opened().create_group("series")
        scale = _growing(group, ITERATION, energy_units)
        scale.make_scale(ITERATION.name)
        for quantity in SERIES:
            axis = _growing(group, quantity, energy_units).dims[0]
            axis.label = ITERATION.name
            axis.attach_scale(scale)

    def _create_parameters(
        self, blocks: Mapping[str, tuple[slice, tuple[int, ...]]], dtype: np.dtype, n_parameters: int
    ) -> None:
        if dtype not in (np.dtype(np.float64), np.dtype(np.complex128)):
            raise ValueError(f"parameters of type {dtype}, expected float64 or complex128")
        group = self._opened().create_group("parameters")
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

    def _create_state(self) -> None:
        group = self._opened().create_group("state")
        initial = {"status": b"running", "message": b"", "ended": b"", "iterations_done": 0}
        for field in STATE:
            # With its value, so that its place in the file is given: in SWMR mode only the content may change.
            dataset = group.create_dataset(field.name, (), _storage_dtype(field.dtype), data=initial[field.name])
            dataset.attrs["description"] = field.description

    def _create_reference(self, energy: float | None, method: str) -> None:
        group = self._opened().create_group("reference")
        if energy is not None:
            group.attrs["energy"] = float(energy)
            group.attrs["method"] = method

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
        file, self._file = getattr(self, "_file", None), None
        if file is None:
            return
        with contextlib.suppress(OSError, RuntimeError):
            with tempfile.TemporaryFile(dir=_MEMORY) as sink:
                os.dup2(sink.fileno(), file.id.get_vfd_handle())
            file.close()


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


def _set_row(dataset: h5py.Dataset, row: int, value: ArrayLike) -> None:
    """Writes the last row, which is new, or was left incomplete by an interrupt."""
    dataset.resize(row + 1, axis=0)
    dataset[row] = value


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
