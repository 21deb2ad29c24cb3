"""Errors that pvmc raises on purpose, and the exit code of each.

An error carries one line that a physicist can act on.  ``collective`` says whether every rank of the job
raises the same error at the same place: then rank 0 alone prints it and all ranks leave in good order.
Any other error ends the whole job by an abort (see :func:`pvmc.mpi.run_main`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

EXIT_RESUMABLE = 75
"""Exit code of a run that stopped in good order before its end, with its state saved: start it again to go on.  It is
no error, and the only code for which a job script should queue the job again (EX_TEMPFAIL of sysexits.h)."""


class PvmcError(Exception):
    """Base of all deliberate errors.  ``exit_code`` is the process's exit code."""

    exit_code = 1
    collective = False


class InputError(PvmcError):
    """The user's input (config file, command line, existing files) cannot be used.  Nothing was written."""

    exit_code = 2


class NumericalError(PvmcError):
    """The numbers went bad (NaN, overflow, a linear system that cannot be solved)."""

    exit_code = 3


class DifferentRanks(NumericalError):
    """Ranks that must hold the same numbers do not: nothing that they compute together can be trusted any more."""


class StorageError(PvmcError):
    """A file cannot be read or written."""

    exit_code = 4


class OutOfMemory(PvmcError):
    """An array does not fit into the memory that is left."""

    @classmethod
    def of(cls, error: MemoryError) -> OutOfMemory:
        """The error with what Python or numpy says, and what to do."""
        said = " ".join(str(error).split()).rstrip(".")
        return cls(
            f"out of memory{f': {said}' if said else ''}; pvmc validate predicts what a job needs: fewer parameters, "
            "walkers or samples on a rank"
        )


@contextmanager
def on_every_rank() -> Iterator[None]:
    """Marks an error raised within as collective: all ranks run the same code on the same values."""
    try:
        yield
    except PvmcError as error:
        error.collective = True
        raise
