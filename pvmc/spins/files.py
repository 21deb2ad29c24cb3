"""Configurations from a file: what walkers start from, and the rows of a data set."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pvmc.errors import InputError, StorageError


def read_arrays(path: str | os.PathLike[str]) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a file by their names: .npz, .npy (one array, ""), HDF5 (datasets of the root) or text ("").

    Raises:
        InputError: no such file, or no numbers in it.
        StorageError: the file is there but cannot be read.
    """
    location = Path(path)
    if not location.is_file():
        raise InputError(f"{location}: no such file")
    try:
        if location.suffix in (".npz", ".npy"):
            loaded = np.load(location, allow_pickle=False)
            return dict(loaded) if location.suffix == ".npz" else {"": loaded}
        import h5py  # a start from random walkers needs none

        if h5py.is_hdf5(location):
            with h5py.File(location, "r") as file:
                return {name: item[()] for name, item in file.items() if isinstance(item, h5py.Dataset)}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # "input contained no data": the shape says so
            return {"": np.loadtxt(location, ndmin=2)}
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(f"{location}: no table of numbers: {str(error).splitlines()[0]}") from None
    except (OSError, RuntimeError) as error:
        raise StorageError(f"{location}: cannot be read: {str(error).splitlines()[0]}") from error


def read_configurations(
    path: str | os.PathLike[str], n_sites: int, magnetization: int | None = None
) -> npt.NDArray[np.int8]:
    """Configurations of N spins, one a row: int8 (n, N).

    The file is text, .npy, or .npz or HDF5 with an array ``spins`` (or with one array alone).

    Args:
        path: the file.
        n_sites: N.
        magnetization: sum that every row must have, or None.

    Raises:
        InputError: the file holds something else, or rows of another magnetisation.
        StorageError: the file cannot be read.
    """
    arrays = read_arrays(path)
    if "spins" not in arrays and len(arrays) != 1:
        raise InputError(f"{path}: needs an array named spins; it holds {', '.join(arrays) or 'none'}")
    rows = arrays["spins"] if "spins" in arrays else next(iter(arrays.values()))
    return checked_configurations(rows, str(path), n_sites, magnetization)


def checked_configurations(
    rows: npt.NDArray[Any], name: str, n_sites: int, magnetization: int | None
) -> npt.NDArray[np.int8]:
    """The rows as int8 (n, N); InputError where they are not configurations of N spins of this magnetisation."""
    if rows.ndim != 2 or rows.shape[1] != n_sites or not len(rows):
        raise InputError(f"{name}: must have one row of {n_sites} spins per configuration, has shape {rows.shape}")
    if not np.all((rows == 1) | (rows == -1)):
        raise InputError(f"{name}: spins are +1 or -1; row {_first(np.any(abs(rows) != 1, axis=1))} has others")
    spins = rows.astype(np.int8)
    if magnetization is not None:
        sums = spins.sum(axis=1, dtype=np.int64)
        if np.any(sums != magnetization):
            row = _first(sums != magnetization)
            kept = f"but the magnetisation {magnetization} is kept; set sampler.magnetization = {sums[row]}"
            raise InputError(f"{name}: row {row} sums to {sums[row]}, {kept} for these configurations")
    return spins


def _first(wrong: npt.NDArray[np.bool_]) -> int:
    return int(np.flatnonzero(wrong)[0])
