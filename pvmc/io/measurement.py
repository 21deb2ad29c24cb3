"""Measurements at frozen parameters, kept in ``/measurements/NNNN`` of ``run.h5`` or ``fit.h5``.

A file that is over is never changed in place: a copy of it gets the new group and takes its name, so that a kill or a
full disk at any moment leaves the old file or the new one, both whole.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from pvmc.errors import StorageError
from pvmc.io.hdf5 import mark_closed, read_hdf5, stored_length
from pvmc.io.schema import Coordinate, axis_scale
from pvmc.io.storage import reason, remove_leftovers, reserve, sync_directory, temporary_path

GROUP = "measurements"
"""Name of the group that holds all measurements."""

_ERROR = "_error"
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
    """The results of one call of ``pvmc measure``.

    Attributes:
        number: its number, from 1.
        attributes: iteration, n_samples, seed, status, created, command_line, pvmc_version, host and others.
        estimates: expectation values by name.
        coordinates: arrays along the named axes, such as displacement (n, d), distance (n,) and momentum (n_k, d).
        axes: axes and units of each of these arrays, by name.
    """

    number: int
    attributes: dict[str, Any]
    estimates: dict[str, Estimate] = field(default_factory=dict)
    coordinates: dict[str, NDArray[Any]] = field(default_factory=dict)
    axes: dict[str, Coordinate] = field(default_factory=dict)


_EARLIER_COORDINATES = {
    "displacement": "a", "distance": "a", "momentum": "1/a", "region_size": "1", "region_sites": "1"
}  # fmt: skip
"""Coordinates of files whose groups do not list them, of version 0.1, and their units."""

_LISTED = "coordinates"  # attribute of the CF conventions: of a dataset those along its axes, of a group all


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
    return [_read(number, file[GROUP][_name(number)]) for number in _numbers(file)]


def measurement_numbers(path: Path, what: str) -> list[int]:
    """The numbers of all measurements in a file, ascending, without reading them; arguments and errors as above."""
    return read_hdf5(path, _numbers, what)


def read_measurement(path: Path, number: int, what: str) -> Measurement:
    """One measurement of a file; arguments and errors as above."""
    return read_hdf5(path, lambda file: _read(number, file[GROUP][_name(number)]), what)


def _numbers(file: h5py.File) -> list[int]:
    return sorted(int(name) for name in file[GROUP]) if GROUP in file else []


def _name(number: int) -> str:
    return f"{number:04d}"


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
        name = _name(measurement.number)
        if name in parent:
            del parent[name]
        store_measurement(parent.create_group(name), measurement)


def _reserve(path: Path, measurement: Measurement) -> None:
    estimates, coordinates = measurement.estimates.values(), measurement.coordinates.values()
    arrays = [*coordinates, *(part for estimate in estimates for part in (estimate.value, estimate.error))]
    size = _SPARE + 2 * sum(np.asarray(array).nbytes for array in arrays)
    with path.open("r+b") as file:
        reserve(file.fileno(), path.stat().st_size, size)


def store_measurement(group: h5py.Group, measurement: Measurement) -> None:
    """Lays a measurement out in an empty group: coordinates and estimates along axes that are numbered by scales.

    Raises:
        ValueError: a coordinate without axes, or an axis of two lengths.
    """
    group.attrs.update(measurement.attributes)
    scales = _Scales(group, measurement.coordinates)
    for name, values in measurement.coordinates.items():
        if name not in measurement.axes:
            raise ValueError(f"the axes of {name} are not known")
        _put(group, name, values, measurement.axes[name].units, measurement.axes[name].axes, scales)
    if measurement.coordinates:
        group.attrs[_LISTED] = " ".join(measurement.coordinates)
    for name, estimate in measurement.estimates.items():
        along = [one for one in measurement.coordinates if set(measurement.axes[one].axes) <= set(estimate.dims)]
        for suffix, numbers in (("", estimate.value), (_ERROR, estimate.error)):
            dataset = _put(group, name + suffix, numbers, estimate.units, estimate.dims, scales)
            if along:
                dataset.attrs[_LISTED] = " ".join(along)


class _Scales:
    """The dimension scales of a group, one for each axis, made when the first dataset along it is."""

    def __init__(self, group: h5py.Group, coordinates: Container[str]):
        self._group, self._coordinates = group, coordinates
        self._made: dict[str, h5py.Dataset] = {}

    def along(self, axis: str, length: int) -> h5py.Dataset:
        """The scale of an axis, int64 (length,)."""
        if axis not in self._made:
            name = axis_scale(axis, self._coordinates)
            self._made[axis] = self._group.create_dataset(name, data=np.arange(length, dtype=np.int64))
            self._made[axis].attrs["units"] = "1"
            self._made[axis].make_scale(name)
        return self._made[axis]


def _put(group: h5py.Group, name: str, values: Any, units: str, axes: tuple[str, ...], scales: _Scales) -> h5py.Dataset:
    """A new dataset along named axes."""
    dataset = group.create_dataset(name, data=values)
    dataset.attrs["units"] = units
    for dimension, axis, length in zip(dataset.dims, axes, dataset.shape, strict=True):
        scale = scales.along(axis, length)
        if len(scale) != length:
            raise ValueError(f"{name} has {length} places along {axis}, not {len(scale)}")
        dimension.label = axis
        dimension.attach_scale(scale)
    return dataset


def _read(number: int, group: h5py.Group) -> Measurement:
    attributes = {name: _plain(value) for name, value in group.attrs.items() if name != _LISTED}
    errors = {name for name in group if name.removesuffix(_ERROR) != name and name.removesuffix(_ERROR) in group}
    estimates = {name: _estimate(group, name) for name in group if name + _ERROR in errors}
    listed = str(_plain(group.attrs[_LISTED])).split() if _LISTED in group.attrs else _EARLIER_COORDINATES
    axes = {name: _coordinate(group[name], name) for name in listed if name in group}
    return Measurement(number, attributes, estimates, {name: group[name][()] for name in axes}, axes)


def _coordinate(dataset: h5py.Dataset, name: str) -> Coordinate:
    """Axes and units of a coordinate, as the file has them."""
    units = dataset.attrs.get("units", _EARLIER_COORDINATES.get(name, "1"))
    return Coordinate(name, _dims(dataset), str(dataset.dtype), str(_plain(units)))


def _dims(dataset: h5py.Dataset) -> tuple[str, ...]:
    return tuple(str(axis.label) for axis in dataset.dims)


def _estimate(group: h5py.Group, name: str) -> Estimate:
    value, error = group[name], group[name + _ERROR]
    return Estimate(_number(value), _number(error), str(_plain(value.attrs["units"])), _dims(value))


def _number(dataset: h5py.Dataset) -> float | NDArray[Any]:
    values: Any = dataset[()]
    return float(values) if dataset.ndim == 0 else values


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value.item() if isinstance(value, np.generic) else value
