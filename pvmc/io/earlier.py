"""Results of an earlier run or fit: the rows that a resumed run keeps, and parameters that another one starts from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import DTypeLike, NDArray

from pvmc.errors import InputError, StorageError
from pvmc.io.fit_file import fit_file, open_fit
from pvmc.io.hdf5 import read_hdf5
from pvmc.io.layout import ParameterBlocks, Session, StartTrial
from pvmc.io.measurement import Measurement
from pvmc.io.reader import RESULTS, Run, open_run
from pvmc.io.schema import ITERATION

_BATCH_BYTES = 1 << 26


@dataclass(frozen=True)
class Earlier:
    """The rows of a run before an iteration.

    Attributes:
        run: the results file as it is.
        iteration: the first iteration that is not kept.
        saved: iterations of the saved parameters that are kept, (n_saved,).
    """

    run: Run
    iteration: int
    saved: NDArray[np.int64]

    @property
    def sessions(self) -> list[Session]:
        """The launches of the run that this one follows."""
        return [session.over() for session in self.run.sessions]

    @property
    def trials(self) -> list[StartTrial]:
        """The trials of a run of several starts, as far as they are over."""
        return [trial.again() for trial in self.run.trials]

    @property
    def measurements(self) -> list[Measurement]:
        """All measurements at parameters of the run, also of iterations that it will make again."""
        return self.run.measurements

    @property
    def series(self) -> dict[str, NDArray[Any]]:
        """The rows that are kept: name -> (iteration,)."""
        return {name: values[: self.iteration] for name, values in self.run.series.items()}

    def parameters(self) -> Iterator[NDArray[Any]]:
        """The saved parameters that are kept, (n, K) at a time.

        Raises:
            StorageError: they cannot be read.
        """
        rows = max(1, _BATCH_BYTES // max(1, 16 * int(self.run.attributes["n_parameters"])))
        for first in range(0, len(self.saved), rows):
            part = slice(first, min(first + rows, len(self.saved)))

            def batch(file: h5py.File, part: slice = part) -> NDArray[Any]:
                return file["parameters/theta"][part]

            yield read_hdf5(self.run.path, batch, RESULTS)

    def require_same(self, blocks: ParameterBlocks, dtype: np.dtype[Any]) -> None:
        """Raises InputError unless the run has parameters of these names, shapes and type."""
        found, kind = self.run.parameter_blocks(), self.run.parameter_dtype()
        if found != dict(blocks) or kind != dtype:
            raise InputError(
                f"{self.run.path} holds {kind} parameters {_in_words(found)}, but this input has {dtype} parameters "
                f"{_in_words(blocks)}: a run goes on only with the ansatz that it began with"
            )


def read_earlier(path: Path, iteration: int) -> Earlier:
    """The rows before ``iteration`` of the results file of a run that is over or was killed.

    Raises:
        InputError: no such file, not a file of pvmc, or one of a newer version.
        StorageError: the file cannot be read, or rows are missing.
    """
    run = open_run(path)
    present = run.series[ITERATION.name][:iteration]
    if not np.array_equal(present, np.arange(iteration)):
        gap = int(np.argmin(np.append(present == np.arange(len(present)), False)))
        raise StorageError(
            f"{path} lacks iteration {gap}, but the run is to go on from iteration {iteration}: put back the file that "
            "belongs to the checkpoint, or start again with --overwrite"
        )
    saved = run.saved_iterations()
    return Earlier(run, iteration, saved[: int(np.searchsorted(saved, iteration))])


def _in_words(blocks: ParameterBlocks) -> str:
    return ", ".join(f"{name} {'x'.join(map(str, shape)) or 1}" for name, (_, shape) in blocks.items())


# Parameters to start from ---------------------------------------------------------------------------------------------


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
    blocks: ParameterBlocks
    n_sites: int | None = None

    def fitting(self, blocks: ParameterBlocks, dtype: DTypeLike) -> NDArray[Any]:
        """theta, for an ansatz with these parts and this type of numbers.

        Raises:
            InputError: it was saved for another ansatz.
        """
        wanted, found = _described(blocks, dtype), _described(self.blocks, self.theta.dtype)
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


def _described(blocks: ParameterBlocks, dtype: DTypeLike) -> str:
    parts = ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, (_, shape) in blocks.items())
    count = max((part.stop for part, _ in blocks.values()), default=0)
    return f"{count} {np.dtype(dtype).name} parameters ({parts})"
