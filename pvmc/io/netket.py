"""Weights of an RBM as NumPy's .npz, and under the names of NetKet's ``netket.models.RBM``.

A .npz file holds ``kernel`` (N, M), ``hidden_bias`` (M,) and ``visible_bias`` (N,).  NetKet's parameters are nested:
``{"Dense": {"kernel": (N, M), "bias": (M,)}, "visible_bias": (N,)}``; a bias that is left out is zero.  NetKet's spins
are +-1 too, sites are in the same order, and its ln cosh in place of ln 2cosh changes the norm of psi alone.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pvmc.errors import InputError, StorageError
from pvmc.io.rbm_weights import RBMWeights
from pvmc.io.storage import reason


def to_netket(weights: RBMWeights) -> dict[str, Any]:
    """The nested dictionary that ``netket.models.RBM`` takes as ``variables["params"]``."""
    return {
        "Dense": {"kernel": weights.kernel, "bias": weights.hidden_bias},
        "visible_bias": weights.visible_bias,
    }


def from_netket(parameters: Mapping[str, Any]) -> RBMWeights:
    """The weights in parameters of NetKet's RBM, nested or flat (``kernel``, ``hidden_bias``, ``visible_bias``).

    Raises:
        InputError: no kernel, a name that is not one of an RBM, or shapes that do not belong together.
    """
    flat = dict(parameters)
    dense = flat.pop("Dense", {})
    flat |= {("hidden_bias" if name == "bias" else name): values for name, values in dense.items()}
    if unknown := sorted(flat.keys() - {"kernel", "hidden_bias", "visible_bias"}):
        raise InputError(f"{', '.join(unknown)}: no parameters of an RBM; known are kernel, hidden_bias, visible_bias")
    if "kernel" not in flat:
        raise InputError("the weights of an RBM need a kernel, (N, M)")
    kernel = _numbers(flat["kernel"])
    if kernel.ndim != 2:
        raise InputError(f"a kernel of shape {kernel.shape}, expected (N, M)")
    n_sites, n_hidden = kernel.shape
    try:
        return RBMWeights(
            visible_bias=_numbers(flat.get("visible_bias", np.zeros(n_sites))),
            hidden_bias=_numbers(flat.get("hidden_bias", np.zeros(n_hidden))),
            kernel=kernel,
        )
    except ValueError as error:
        raise InputError(str(error)) from None


def write_npz(path: str | os.PathLike[str], weights: RBMWeights) -> None:
    """Writes weights as .npz.

    Raises:
        StorageError: the file cannot be written.
    """
    try:
        with open(path, "wb") as file:
            np.savez(
                file,
                kernel=weights.kernel,
                hidden_bias=weights.hidden_bias,
                visible_bias=weights.visible_bias,
            )
    except OSError as error:
        raise StorageError(f"cannot write {path}: {reason(error)}") from error


def read_npz(path: str | os.PathLike[str]) -> RBMWeights:
    """The weights in a .npz file.

    Raises:
        InputError: no such file, or one that does not hold an RBM.
        StorageError: the file cannot be read.
    """
    if not Path(path).is_file():
        raise InputError(f"{path} does not exist")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (ValueError, zipfile.BadZipFile, AttributeError):
        raise InputError(f"{path} is not a .npz file of numbers") from None
    except OSError as error:
        raise StorageError(f"cannot read {path}: {reason(error)}") from error
    try:
        return from_netket(arrays)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _numbers(values: Any) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind not in "fiuc":
        raise InputError(f"parameters of type {array.dtype}, expected numbers")
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)
