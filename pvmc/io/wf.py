"""The weight files of Carleo & Troyer, Science 355, 602 (2017): text, one number a line.

N, then M, then a (N numbers), b (M) and W (N rows of M: W[i][j] is between spin i and hidden unit j), each number as
``(re,im)``.  Spins are +-1, eigenvalues of sigma^z.  The ground states are those of H = sum sigma_i . sigma_j after the
Marshall rotation of one sublattice, and of H = -sum sigma^z sigma^z - h sum sigma^x, both on rings.
"""

from __future__ import annotations

import os
from pathlib import Path

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
