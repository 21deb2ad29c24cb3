"""``fit.h5``: one row per epoch and the last parameters, readable while it grows and after a kill.

/series/epoch, cost, infidelity, seconds    one row per epoch; row 0 is the start
/parameters/parameter, theta                (K,): position, and parameters after the last row; attributes as in run.h5
attributes of the root                      config, config_source, target, provenance, as in run.h5

Every axis has its dimension scale, /series/epoch and /parameters/parameter, as in run.h5.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import DTypeLike, NDArray

from pvmc.errors import InputError, StorageError
from pvmc.io.hdf5 import read_hdf5
from pvmc.io.layout import ParameterBlocks, store_blocks, stored_blocks
from pvmc.io.measurement import Measurement, read_measurements
from pvmc.io.storage import reason

FILE_NAME = "fit.h5"
"""Name of the file in the directory of a fit."""

LAYOUT = 1
"""Raised when an older reader would misread the file."""

SERIES = {
    "epoch": ("int64", "1", "epochs done"),
    "cost": ("float64", "1", "half the mean square distance of ln psi from ln target"),
    "infidelity": ("float64", "1", "1 - |<psi|target>|^2 / (<psi|psi> <target|target>)"),
    "seconds": ("float64", "s", "wall time of the epoch"),
}
"""Type, units and meaning of the series."""


class FitWriter:
    """The file of one fit, open for appending.  A context manager.

    Args:
        directory: the fit's directory; made if missing.
        attributes: of the root.
        blocks: name -> (slice of the flat vector, shape), as ``Ansatz.parameter_blocks``.
        dtype: of the parameters.
        overwrite: replace a fit that is already in ``directory``.

    Raises:
        InputError: ``directory`` holds a fit or something else, and ``overwrite`` is off.
        StorageError: the file cannot be written.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        attributes: Mapping[str, str | int],
        blocks: ParameterBlocks,
        dtype: DTypeLike,
        overwrite: bool = False,
    ):
        self.path = Path(directory) / FILE_NAME
        require_free(directory, overwrite)
        with self._storage():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = h5py.File(self.path, "w", libver="latest", locking="best-effort")
            self._file.attrs.update({"fit_layout": LAYOUT, **attributes})
            group = self._file.create_group("series")
            for name, (kind, units, description) in SERIES.items():
                dataset = group.create_dataset(name, (0,), kind, maxshape=(None,), chunks=(512,))
                dataset.attrs.update(units=units, description=description)
                _scale(dataset, group["epoch"], "epoch")
            size = max(part.stop for part, _ in blocks.values())
            position = self._file.create_dataset("parameters/parameter", data=np.arange(size))
            position.attrs.update(units="1", description="position in the flat parameter vector")
            theta = self._file.create_dataset("parameters/theta", data=np.full(size, np.nan, dtype=dtype))
            theta.attrs.update(units="1", description="flat vector of the variational parameters")
            _scale(position, position, "parameter")
            _scale(theta, position, "parameter")
            store_blocks(theta, blocks)
            self._file.swmr_mode = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._storage():
            self._file.close()

    def append(self, values: Mapping[str, float], theta: NDArray[Any]) -> None:
        """Adds a row to every series and replaces the parameters by those of this epoch.

        Raises:
            StorageError: the file cannot be written.
        """
        with self._storage():
            self._file["parameters/theta"][:] = theta
            for name in SERIES:
                dataset = self._file["series"][name]
                dataset.resize(len(dataset) + 1, axis=0)
                dataset[-1] = values[name]
            self._file.flush()

    @contextlib.contextmanager
    def _storage(self) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError) as error:
            raise StorageError(f"cannot write {self.path}: {reason(error)}") from error


@dataclass(frozen=True)
class Fit:
    """The results of a fit up to the moment of reading.

    Attributes:
        path: the file.
        attributes: of the root.
        series: name -> (n,), see ``SERIES``.
        theta: parameters after the last row, (K,).
        blocks: named parts of theta.
    """

    path: Path
    attributes: dict[str, Any]
    series: dict[str, NDArray[Any]]
    theta: NDArray[Any]
    blocks: ParameterBlocks

    @property
    def name(self) -> str:
        """The fit's directory name."""
        return self.path.resolve().parent.name if self.path.name == FILE_NAME else self.path.stem

    @property
    def measurements(self) -> list[Measurement]:
        """The measurements of ``pvmc measure`` at these parameters, by number; read from the file at each access."""
        return read_measurements(self.path, "a fit of pvmc")


def fit_file(path: str | os.PathLike[str]) -> Path:
    """The path of the file of a fit, given its directory or the file itself (which need not exist)."""
    location = Path(path)
    return location if location.name == FILE_NAME else location / FILE_NAME


def is_fit(path: str | os.PathLike[str]) -> bool:
    """True where a directory or file is that of a fit."""
    return fit_file(path).is_file()


def open_fit(path: str | os.PathLike[str]) -> Fit:
    """Reads a fit; one that is still being written, or was killed, up to its last row.

    Raises:
        InputError: no such file, not one of a fit, or one of a newer version, or without any row.
        StorageError: the file is there but cannot be read.
    """
    location = fit_file(path)
    if not location.is_file():
        raise InputError(f"{location} does not exist")
    return read_hdf5(location, lambda file: _fit(file, location), "a fit of pvmc")


def _fit(file: h5py.File, location: Path) -> Fit:
    layout = file.attrs.get("fit_layout")
    if layout is None or layout > LAYOUT:
        raise InputError(f"{location} is not a fit of pvmc, or one of a newer version")
    rows = min(len(file["series"][name]) for name in SERIES)
    if not rows:
        raise InputError(f"{location} holds no epoch yet")
    theta = file["parameters/theta"]
    series = {name: file["series"][name][:rows] for name in SERIES}
    return Fit(location, dict(file.attrs), series, theta[:], stored_blocks(theta))


def _scale(dataset: h5py.Dataset, scale: h5py.Dataset, name: str) -> None:
    """Give the one axis of a dataset its scale; make the scale itself into one."""
    if dataset == scale:
        scale.make_scale(name)
    else:
        dataset.dims[0].label = name
        dataset.dims[0].attach_scale(scale)


def require_free(directory: str | os.PathLike[str], overwrite: bool) -> None:
    """Refuse a directory that cannot take a fit.

    Raises:
        InputError: it holds a fit or something else, and ``overwrite`` is off.
    """
    path = Path(directory) / FILE_NAME
    directory = path.parent
    if directory.exists() and not directory.is_dir():
        raise InputError(f"{directory} cannot hold a fit: choose another --output")
    if not overwrite and path.exists():
        raise InputError(f"{path} exists; choose another --output or pass --overwrite")
    if not overwrite and directory.exists() and any(directory.iterdir()):
        raise InputError(f"{directory} exists and is not a fit; choose another --output or pass --overwrite")
