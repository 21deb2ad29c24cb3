"""Configurations of N spins: enumerated (all of them, or those of one magnetisation), and read from files."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pvmc.errors import InputError, StorageError

MAX_SITES = 24
"""Most spins that are enumerated: 2^24 configurations are 400 MB of int8."""


@dataclass(frozen=True, eq=False)
class Basis:
    """Configurations of N spins in ascending order of their labels.

    The label of a configuration is the integer whose bit i is set where s_i = -1: site 0 is the least significant
    bit and the state of all spins up is number 0, as in Kronecker products of Pauli matrices with site 0 last.

    Attributes:
        n_sites: number of spins N.
        labels: int64, shape (D,), ascending.
        spins: int8, shape (N, D), entries +-1; column d is the configuration ``labels[d]``.
    """

    n_sites: int
    labels: npt.NDArray[np.int64]
    spins: npt.NDArray[np.int8]

    @classmethod
    def enumerate(cls, n_sites: int, magnetization: int | None = None) -> Basis:
        """All 2^N configurations, or those with sum_i s_i = ``magnetization``.

        Raises:
            InputError: more than MAX_SITES spins, or no configuration has this magnetisation.
        """
        if not 1 <= n_sites <= MAX_SITES:
            raise InputError(f"enumeration of all configurations: needs 1 to {MAX_SITES} sites, not {n_sites}")
        labels = np.arange(2**n_sites, dtype=np.int64)
        if magnetization is not None:
            if abs(magnetization) > n_sites or (n_sites - magnetization) % 2:
                raise InputError(f"no configuration of {n_sites} spins +-1 sums to {magnetization}")
            labels = labels[np.bitwise_count(labels) == (n_sites - magnetization) // 2]
        spins = np.empty((n_sites, len(labels)), dtype=np.int8)
        for site in range(n_sites):
            spins[site] = 1 - 2 * ((labels >> site) & 1)
        return cls(n_sites, labels, spins)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def is_complete(self) -> bool:
        """True where all 2^N configurations are members."""
        return len(self) == 2**self.n_sites

    def index(self, labels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Positions in the basis of the configurations with these labels, any shape; -1 where it is not a member."""
        if self.is_complete:
            return labels  # every label is its own position
        position = np.minimum(np.searchsorted(self.labels, labels), len(self.labels) - 1)
        return np.where(self.labels[position] == labels, position, -1)

    def labels_of(self, spins: npt.NDArray[np.int8]) -> npt.NDArray[np.int64]:
        """Labels, int64 (L,), of configurations, int8 (N, L)."""
        weights = np.int64(1) << np.arange(self.n_sites, dtype=np.int64)
        return weights @ (spins < 0).astype(np.int64)


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
