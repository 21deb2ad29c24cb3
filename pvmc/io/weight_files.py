"""Files of the weights of an RBM: text as of Carleo & Troyer, Science 355, 602 (2017), and .npz as of NetKet.

Text, one number a line: N, then M, then a (N numbers), b (M) and W (N rows of M: W[i][j] is between spin i and hidden
unit j), each number as ``(re,im)``.  Spins are +-1, eigenvalues of sigma^z.  The ground states are those of
H = sum sigma_i . sigma_j after the Marshall rotation of one sublattice, and of H = -sum sigma^z sigma^z
- h sum sigma^x, both on rings.

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


def read_wf(path: str | os.PathLike[str]) -> RBMWeights:
    """The weights in a file, complex128.

    Raises:
        InputError: no such file, or one in another format; names the line.
        StorageError: the file cannot be read.
    """
    location = Path(path)
    words = _words(location)
    sizes = [_size(location, words, position) for position in (0, 1)]
    n_sites, n_hidden = sizes
    expected = n_sites + n_hidden + n_sites * n_hidden
    if len(words) - 2 != expected:
        raise InputError(
            f"{location} holds {len(words) - 2} parameters; N = {n_sites} and M = {n_hidden} in its first two lines "
            f"ask for {expected}"
        )
    values = np.array([_number(location, line, word) for line, word in words[2:]])
    visible, hidden, kernel = np.split(values, [n_sites, n_sites + n_hidden])
    try:
        return RBMWeights(visible, hidden, kernel.reshape(n_sites, n_hidden))
    except ValueError as error:
        raise InputError(f"{location}: {error}") from None


def write_wf(path: str | os.PathLike[str], weights: RBMWeights) -> None:
    """Writes weights so that :func:`read_wf` gives the same numbers.

    Raises:
        StorageError: the file cannot be written.
    """
    values = np.concatenate([weights.visible_bias, weights.hidden_bias, weights.kernel.ravel()]).astype(np.complex128)
    lines = [str(weights.n_sites), str(weights.n_hidden), *(f"({z.real:.17g},{z.imag:.17g})" for z in values.tolist())]
    try:
        Path(path).write_text("\n".join(lines) + "\n", encoding="ascii")
    except OSError as error:
        raise StorageError(f"cannot write {path}: {reason(error)}") from error


def _words(path: Path) -> list[tuple[int, str]]:
    """Lines that are not empty, with their numbers."""
    try:
        text = path.read_text(encoding="ascii")
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not a text file of weights") from None
    except OSError as error:
        raise StorageError(f"cannot read {path}: {reason(error)}") from error
    lines = enumerate(text.splitlines(), start=1)
    return [(number, line.strip()) for number, line in lines if line.strip()]


def _size(path: Path, words: list[tuple[int, str]], position: int) -> int:
    line, word = words[position] if position < len(words) else (position + 1, "")
    if not word.isdecimal() or int(word) < 1:
        name = ("the number of spins N", "the number of hidden units M")[position]
        raise InputError(f'{path}, line {line}: must be {name}, not "{word}"')
    return int(word)


def _number(path: Path, line: int, word: str) -> complex:
    try:
        real, _, imaginary = word.removeprefix("(").removesuffix(")").partition(",")
        return complex(float(real), float(imaginary or 0.0))
    except ValueError:
        raise InputError(f'{path}, line {line}: must be a complex number such as (0.5,-1), not "{word}"') from None


# NetKet ---------------------------------------------------------------------------------------------------------------


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
    kernel = _number_array(flat["kernel"])
    if kernel.ndim != 2:
        raise InputError(f"a kernel of shape {kernel.shape}, expected (N, M)")
    n_sites, n_hidden = kernel.shape
    try:
        return RBMWeights(
            visible_bias=_number_array(flat.get("visible_bias", np.zeros(n_sites))),
            hidden_bias=_number_array(flat.get("hidden_bias", np.zeros(n_hidden))),
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


def _number_array(values: Any) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind not in "fiuc":
        raise InputError(f"parameters of type {array.dtype}, expected numbers")
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)
