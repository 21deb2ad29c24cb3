"""Data sets: configurations with the logarithm of the target's amplitude, enumerated or drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pvmc.errors import InputError
from pvmc.exact import Basis
from pvmc.numerics.arrays import Spins
from pvmc.spins.configurations import checked_configurations, read_arrays

Weighting = Literal["target", "uniform"]

SMALLEST_AMPLITUDE = 1e-12
"""Amplitudes below this part of the largest one count as zero: they are rounding errors of a diagonalisation."""


@dataclass(frozen=True)
class DataSet:
    """Configurations and the target amplitudes that an ansatz is fitted to.

    Attributes:
        spins: int8 (N, D).
        log_target: ln of the target's amplitude, complex128 (D,), not normalised; -inf where it vanishes.
        weights: of the rows in the cost, float64 (D,), summing to one; 0 where the target vanishes.
        log_measure: logarithm of how many configurations a row stands for, float64 (D,): 0 for enumerated ones,
            -ln |target|^2 for rows drawn from |target|^2.
    """

    spins: Spins
    log_target: npt.NDArray[np.complex128]
    weights: npt.NDArray[np.float64]
    log_measure: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.weights)


def enumerated(spins: Spins, log_target: npt.NDArray[Any], weighting: Weighting) -> DataSet:
    """Every configuration once, with ln of the target's amplitude (-inf for zeros).

    Raises:
        InputError: the target vanishes everywhere, or is not finite.
    """
    logarithm = log_target.astype(np.complex128)
    largest = logarithm.real.max()
    if not np.isfinite(largest):
        raise InputError("the target of the fit vanishes everywhere or is not finite")
    logarithm[logarithm.real < largest + np.log(SMALLEST_AMPLITUDE)] = -np.inf
    weights = np.exp(2.0 * (logarithm.real - largest))
    if weighting == "uniform":
        weights = (weights > 0).astype(np.float64)
    return DataSet(np.ascontiguousarray(spins), logarithm, weights / weights.sum(), np.zeros(len(weights)))


def sampled(spins: Spins, log_target: npt.NDArray[Any]) -> DataSet:
    """Configurations (N, D) drawn from |target|^2, all of one weight."""
    logarithm = log_target.astype(np.complex128)
    uniform = np.full(len(logarithm), 1.0 / len(logarithm))
    return DataSet(np.ascontiguousarray(spins), logarithm, uniform, -2.0 * logarithm.real)


def logarithms(amplitudes: npt.NDArray[Any]) -> npt.NDArray[np.complex128]:
    """ln of amplitudes, real or complex, -inf where they vanish."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(np.abs(amplitudes)) + 1j * np.angle(amplitudes), dtype=np.complex128)


@dataclass(frozen=True)
class ProductState:
    """prod_i (cos(polar_i / 2) |up> + exp(i azimuth_i) sin(polar_i / 2) |down>).

    Attributes:
        polar, azimuth: float64 (N,), radians.
    """

    polar: npt.NDArray[np.float64]
    azimuth: npt.NDArray[np.float64]

    def log_amplitudes(self, spins: Spins) -> npt.NDArray[np.complex128]:
        """ln of the amplitudes of configurations (N, D), complex128 (D,)."""
        up = logarithms(np.cos(self.polar / 2.0))
        down = logarithms(np.sin(self.polar / 2.0) * np.exp(1j * self.azimuth))
        return np.where(spins > 0, up[:, None], down[:, None]).sum(axis=0)

    def draw(self, rng: np.random.Generator, count: int) -> Spins:
        """Configurations from |amplitude|^2, int8 (N, count): every spin by itself."""
        is_up = rng.random((len(self.polar), count)) < np.cos(self.polar[:, None] / 2.0) ** 2
        return np.where(is_up, 1, -1).astype(np.int8)


def product_state(n_sites: int, polar: float, azimuth: float, sublattices: npt.NDArray[np.int8] | None) -> ProductState:
    """All spins along one direction (units of pi), those with sublattice -1 along the opposite one."""
    opposite = np.zeros(n_sites, dtype=bool) if sublattices is None else sublattices < 0
    return ProductState(
        np.pi * np.where(opposite, 1.0 - polar, polar), np.pi * np.where(opposite, azimuth + 1.0, azimuth)
    )


def from_file(path: str, n_sites: int, magnetization: int | None, basis: Basis | None, weighting: Weighting) -> DataSet:
    """Amplitudes from .npz or HDF5 arrays ``spins`` (n, N) and ``amplitudes`` (n,), or from text with N spins, the real
    part and, if complex, the imaginary part in each row.

    Args:
        path: the file.
        n_sites: N.
        magnetization: sum that every row must have, or None.
        basis: all configurations; those that the file leaves out have amplitude zero.  None where they are too many:
            then the rows of the file are all that is compared.
        weighting: of the rows in the cost.

    Raises:
        InputError: the file is not of this kind, or has a configuration twice.
        StorageError: it cannot be read.
    """
    arrays = read_arrays(path)
    if {"spins", "amplitudes"} <= arrays.keys():
        rows, amplitudes = arrays["spins"], arrays["amplitudes"]
    elif arrays.keys() == {""} and arrays[""].ndim == 2 and arrays[""].shape[1] - n_sites in (1, 2):
        rows, parts = arrays[""][:, :n_sites], arrays[""][:, n_sites:]
        amplitudes = parts @ np.array([1.0, 1.0j])[: parts.shape[1]]
    else:
        raise InputError(
            f"{path}: needs arrays spins and amplitudes, or text with {n_sites} spins and the amplitude in each row"
        )
    spins = checked_configurations(rows, path, n_sites, magnetization).T
    if amplitudes.shape != spins.shape[1:] or not np.all(np.isfinite(amplitudes)):
        raise InputError(f"{path}: needs one finite amplitude per configuration")
    if len(np.unique(spins, axis=1).T) != spins.shape[1]:
        raise InputError(f"{path}: a configuration stands there twice")
    if basis is None:
        return enumerated(spins, logarithms(amplitudes), weighting)
    full = np.zeros(len(basis), dtype=np.complex128)
    full[basis.index(basis.labels_of(spins))] = amplitudes
    return enumerated(basis.spins, logarithms(full), weighting)
