"""Measurements at frozen parameters, kept in ``/measurements/NNNN`` of ``run.h5`` or ``fit.h5``.

A file that is over is never changed in place: a copy of it gets the new group and takes its name, so that a kill or a
full disk at any moment leaves the old file or the new one, both whole.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from pvmc.errors import StorageError
from pvmc.io.hdf5 import mark_closed, read_hdf5, stored_length
from pvmc.io.storage import reason, remove_leftovers, sync_directory, temporary_path

GROUP = "measurements"
"""Name of the group that holds all measurements."""

_ERROR = "_error"
_NO_RESERVING = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}  # a file system that cannot
_SPARE = 1 << 22
"""Bytes that are reserved before HDF5 writes, besides the arrays: it crashes where it cannot write its indices."""


@dataclass(frozen=True)
class Estimate:
    """An expectation value.

    Attributes:
        value: a number, or an array float64.
        error: its standard error, of the same shape; 0 where all configurations were counted.
        units: units of both; "1" for none.
        dims: names of the axes, () for a number.
    """

    value: float | NDArray[Any]
    error: float | NDArray[Any]
    units: str = "1"
    dims: tuple[str, ...] = ()


@dataclass(frozen=True)
class Measurement:
    """What one call of ``pvmc measure`` found.

    Attributes:
        number: its number, from 1.
        attributes: iteration, n_samples, seed, status, created, command_line, pvmc_version, host and others.
        estimates: expectation values by name.
        coordinates: arrays along the named axes, such as displacement (n, d), distance (n,) and momentum (n_k, d).
    """

    number: int
    attributes: dict[str, Any]
    estimates: dict[str, Estimate] = field(default_factory=dict)
    coordinates: dict[str, NDArray[Any]] = field(default_factory=dict)


COORDINATE_AXES = {
    "displacement": "displacement",
    "distance": "displacement",
    "momentum": "momentum",
    "region_size": "region",
    "region_sites": "region",
}
"""The axis that a coordinate belongs to; one that is not named here has an axis of its own name."""

COORDINATE_UNITS = {"displacement": "a", "distance": "a", "momentum": "1/a"}
"""Units of the coordinates: a is the distance of nearest neighbours."""


def read_measurements(path: Path, what: str) -> list[Measurement]:
    """All measurements in a file, by their numbers.

    Args:
        path: the file.
        what: what it should be, for messages.

    Raises:
        InputError: no such file.
        StorageError: it cannot be read.
    """
    return read_hdf5(path, measurements_of, what)


def measurements_of(file: h5py.File) -> list[Measurement]:
    """All measurements of an open file, by their numbers."""
    if GROUP not in file:
        return []
    return [_read(int(name), file[GROUP][name]) for name in sorted(file[GROUP], key=int)]


def write_measurement(path: Path, measurement: Measurement) -> None:
    """Puts a measurement into a file that no other process writes, in place of an earlier one of its number.

    Raises:
        StorageError: the file cannot be read or written; it is as it was.
    """
    temporary = temporary_path(path)
    try:
        remove_leftovers(path.parent, path.name)
        shutil.copyfile(path, temporary)
        mark_closed(temporary)
        _reserve(temporary, measurement)
        with h5py.File(temporary, "r+", libver="latest", locking="best-effort") as file:
            store_measurements(file, [measurement])
        os.truncate(temporary, stored_length(temporary))
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
        sync_directory(path.parent)
    except (OSError, RuntimeError) as error:
        raise StorageError(f"cannot write {path}: {reason(error)}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def store_measurements(file: h5py.File, measurements: Iterable[Measurement]) -> None:
    """Lays measurements out in an open file, in place of earlier ones of the same numbers."""
    parent = file.require_group(GROUP)
    for measurement in measurements:
        name = f"{measurement.number:04d}"
        if name in parent:
            del parent[name]
        _store(parent.create_group(name), measurement)


def _reserve(path: Path, measurement: Measurement) -> None:
    estimates, coordinates = measurement.estimates.values(), measurement.coordinates.values()
    arrays = [*coordinates, *(part for estimate in estimates for part in (estimate.value, estimate.error))]
    size = _SPARE + 2 * sum(np.asarray(array).nbytes for array in arrays)
    with path.open("r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), path.stat().st_size, size)
        except OSError as error:
            if error.errno not in _NO_RESERVING:
                raise


def _store(group: h5py.Group, measurement: Measurement) -> None:
    group.attrs.update(measurement.attributes)
    scales: dict[str, list[h5py.Dataset]] = {}
    for name, values in measurement.coordinates.items():
        axis = COORDINATE_AXES.get(name, name)
        dataset = group.create_dataset(name, data=values)
        dataset.attrs["units"] = COORDINATE_UNITS.get(name, "1")
        dataset.make_scale(name)
        dataset.dims[0].label = axis
        if dataset.ndim > 1:
            dataset.dims[1].label = "component"
        scales.setdefault(axis, []).append(dataset)
    for name, estimate in measurement.estimates.items():
        for suffix, numbers in (("", estimate.value), (_ERROR, estimate.error)):
            dataset = group.create_dataset(name + suffix, data=numbers)
            dataset.attrs["units"] = estimate.units
            for axis, label in zip(dataset.dims, estimate.dims, strict=True):
                axis.label = label
                for scale in scales.get(label, []):
                    axis.attach_scale(scale)


def _read(number: int, group: h5py.Group) -> Measurement:
    attributes = {name: _plain(value) for name, value in group.attrs.items()}
    errors = {name for name in group if name.removesuffix(_ERROR) != name and name.removesuffix(_ERROR) in group}
    estimates = {name: _estimate(group, name) for name in group if name + _ERROR in errors}
    coordinates = {name: group[name][()] for name in group if name not in errors and name not in estimates}
    return Measurement(number, attributes, estimates, coordinates)


def _estimate(group: h5py.Group, name: str) -> Estimate:
    value, error = group[name], group[name + _ERROR]
    dims = tuple(str(axis.label) for axis in value.dims)
    return Estimate(_number(value), _number(error), str(_plain(value.attrs["units"])), dims)


def _number(dataset: h5py.Dataset) -> float | NDArray[Any]:
    values: Any = dataset[()]
    return float(values) if dataset.ndim == 0 else values


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value.item() if isinstance(value, np.generic) else value


def following(measurements: Iterable[Measurement]) -> int:
    """The number of the next measurement."""
    return 1 + max((measurement.number for measurement in measurements), default=0)
