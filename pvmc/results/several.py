"""Several runs at once, of which one that cannot be used does not hide the others."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pvmc.errors import InputError, PvmcError
from pvmc.io.fit_file import is_fit
from pvmc.io.reader import Run, open_run

T = TypeVar("T")


@dataclass(frozen=True)
class LeftOut:
    """A run that cannot be used.

    Attributes:
        path: as it was given.
        message: why.
        exit_code: of the error.
    """

    path: str
    message: str
    exit_code: int

    def text(self) -> str:
        """One line."""
        return self.message if self.path in self.message else f"{self.path}: {self.message}"


def usable(
    paths: Sequence[str | os.PathLike[str]], use: Callable[[Run], T]
) -> tuple[list[Run], list[T], list[LeftOut]]:
    """The runs that can be opened and used, what the use gave, and the others.

    Args:
        paths: directories or files of runs.
        use: what each must be good for; an error that it raises leaves the run out.

    Raises:
        InputError, StorageError: of the first run, where none can be used.
    """
    runs: list[Run] = []
    values: list[T] = []
    errors: list[tuple[str, PvmcError]] = []
    for path in paths:
        try:
            run = _opened(Path(path))
            value = use(run)
        except PvmcError as error:
            errors.append((str(path), error))
            continue
        runs.append(run)
        values.append(value)
    if errors and not runs:
        raise errors[0][1]
    return runs, values, [LeftOut(path, str(error), error.exit_code) for path, error in errors]


def _opened(path: Path) -> Run:
    try:
        return open_run(path)
    except InputError:
        if is_fit(path):
            raise InputError(f"{path}: is a fit, not a run; pvmc plot and pvmc status read it") from None
        raise


def exit_code(left_out: Sequence[LeftOut]) -> int:
    """That of the first that was left out, else 0: as ``pvmc status`` has it."""
    return left_out[0].exit_code if left_out else 0
