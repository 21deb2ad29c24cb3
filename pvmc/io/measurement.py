"""Measurements of a run, as its results file keeps them in ``/measurements``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from pvmc.io.hdf5 import read_hdf5

COORDINATES = ("displacement", "distance", "momentum")
"""Datasets that say where the entries of others are."""


@dataclass(frozen=True, eq=False)
class Estimate:
    """A measured quantity.

    Attributes:
        value: number or array.
        error: its standard error, of the same shape.
        units: unit of both.
        dims: names of the axes; empty for a number.
    """

    value: NDArray[Any]
    error: NDArray[np.float64]
    units: str
    dims: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Measurement:
    """What one measurement found.

    Attributes:
        number: 1 for the first of the run.
        attributes: iteration, n_samples, seed, status and the like.
        estimates: name -> value and error.
        coordinates: name -> array, such as displacement (n, d), distance (n,), momentum (n_k, d).
    """

    number: int
    attributes: dict[str, Any]
    estimates: dict[str, Estimate]
    coordinates: dict[str, NDArray[Any]]


def read_measurements(path: Path) -> list[Measurement]:
    """All measurements in a results file, oldest first; those that still go on have the status "running".

    Raises:
        InputError: no such file.
        StorageError: it cannot be read.
    """
    return read_hdf5(path, _measurements, "a results file of pvmc")


def _measurements(file: h5py.File) -> list[Measurement]:
    group = file.get("measurements", {})
    return [_measurement(int(name), group[name]) for name in sorted(group)]


def _measurement(number: int, group: h5py.Group) -> Measurement:
    names = [name for name in group if f"{name}_error" in group]
    return Measurement(
        number,
        {name: _plain(value) for name, value in group.attrs.items()},
        {name: _estimate(group, name) for name in names},
        {name: group[name][()] for name in COORDINATES if name in group},
    )


def _estimate(group: h5py.Group, name: str) -> Estimate:
    dataset = group[name]
    dims = tuple(dimension.label for dimension in dataset.dims)
    return Estimate(dataset[()], group[f"{name}_error"][()], str(_plain(dataset.attrs.get("units", "1"))), dims)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    return value.item() if isinstance(value, np.generic) else value
