"""The last saved parameters of a run or a fit, to start another one from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from pvmc.errors import InputError
from pvmc.io.fit_file import fit_file, open_fit
from pvmc.io.reader import open_run

Blocks = Mapping[str, tuple[slice, tuple[int, ...]]]


@dataclass(frozen=True)
class SavedParameters:
    """Parameters and what they are.

    Attributes:
        path: the file that they come from.
        theta: (K,), float64 or complex128.
        blocks: named parts: name -> (slice, shape).
        n_sites: N of their wave function; None where it is not known.
    """

    path: Path
    theta: NDArray[Any]
    blocks: Blocks
    n_sites: int | None = None

    def fitting(self, blocks: Blocks, dtype: DTypeLike) -> NDArray[Any]:
        """theta, for an ansatz with these parts and this type of numbers.

        Raises:
            InputError: it was saved for another ansatz.
        """
        wanted, found = _in_words(blocks, dtype), _in_words(self.blocks, self.theta.dtype)
        if wanted != found:
            raise InputError(f"{self.path} holds {found}; this ansatz has {wanted}")
        if not np.all(np.isfinite(self.theta)):
            raise InputError(f"the last parameters in {self.path} are not finite")
        return self.theta


def read_parameters(path: str | os.PathLike[str]) -> SavedParameters:
    """The last saved parameters of a run or a fit.

    Args:
        path: its directory or .h5 file.

    Raises:
        InputError: no such run, or nothing saved yet.
        StorageError: the file cannot be read.
    """
    if fit_file(path).is_file():
        fit = open_fit(path)
        return SavedParameters(fit.path, fit.theta, fit.blocks, int(fit.attributes["n_sites"]))
    run = open_run(path)
    return SavedParameters(run.path, run.parameters(), run.parameter_blocks(), int(run.attributes["n_sites"]))


def _in_words(blocks: Blocks, dtype: DTypeLike) -> str:
    parts = ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, (_, shape) in blocks.items())
    count = max((part.stop for part, _ in blocks.values()), default=0)
    return f"{count} {np.dtype(dtype).name} parameters ({parts})"
