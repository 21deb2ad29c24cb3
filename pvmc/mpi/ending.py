"""Ending: errors become messages and exit codes, and a failure of one rank ends them all.

- An error that all ranks raise together (``collective = True``; ``Communicator.on_root`` makes such errors) is printed
  once, and every rank leaves in good order with the error's exit code.
- Any other error of one rank is printed by that rank, which then aborts the job, so that no rank waits for ever.
"""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Callable

from pvmc.errors import InputError, OutOfMemory, PvmcError
from pvmc.mpi.communicator import MpiCommunicator, flush_output
from pvmc.mpi.launch import launcher


def run_main(main: Callable[[], int]) -> int:
    """Run a program's main function and turn what it raises into messages and an exit code.

    Does not start MPI.  In a world of one rank, and for a collective error, the root prints one line and every rank
    returns the exit code.  Any other error in a larger world aborts the job from here, with this rank's message.
    Before MPI is started, a process knows no other: of an :class:`~pvmc.errors.InputError` raised then (a wrong command
    line, the same for all) only the launcher's first process speaks.

    Returns:
        ``main``'s value, the error's ``exit_code``, 1 where memory does not suffice and for an error that nobody
        foresaw, 130 when interrupted from the keyboard, 141 when the reader of our output has gone.
    """
    try:
        code = main()
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        _discard_output()
        return _leave(141)
    except KeyboardInterrupt:
        return _leave(130, "pvmc: interrupted")
    except SystemExit as leaving:  # argparse's way out, its message already printed
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
        return _leave(code, "" if isinstance(leaving.code, int) else str(leaving.code)) if code else 0
    except PvmcError as error:
        if error.collective:
            if _print_rank() == 0:
                _print(_in_lines(error))
            return error.exit_code
        return _leave(error.exit_code, _in_lines(error), only_first=isinstance(error, InputError))
    except MemoryError as error:
        return _leave(OutOfMemory.exit_code, _in_lines(OutOfMemory.of(error)))
    except Exception as error:
        details = "".join(traceback.format_exception(error))
        return _leave(1, f"{details}pvmc: error: {type(error).__name__}: {error} (a bug: please report it)")


def _in_lines(error: PvmcError) -> str:
    """The error's message, of which each line is a problem of its own."""
    return "\n".join(f"pvmc: error: {line}" for line in str(error).splitlines()) or "pvmc: error: "


EXIT_FILE = "PVMC_EXIT_FILE"
"""Variable with the name of a file for the exit code: ``srun -K1`` may not hand it on."""


def note_exit_code(code: int) -> int:
    """The code; the first rank writes it to the file that PVMC_EXIT_FILE names, if it does.

    An abort does not come here: then the file stays as it was, and the launcher's code counts.
    """
    path = os.environ.get(EXIT_FILE)
    if path and _print_rank() == 0:
        with contextlib.suppress(OSError), open(path, "w", encoding="ascii") as file:  # no reason to fail a run
            file.write(f"{code}\n")
    return code


def _leave(code: int, message: str = "", only_first: bool = False) -> int:
    """Print this rank's message; abort a world of several ranks, else return the code."""
    comm = _running_world()
    if comm is not None and comm.size > 1:
        if message:
            _print(f"[rank {comm.rank}] {message}")
        comm.abort(code)
    rank = _print_rank()
    if message and rank == 0:
        _print(message)
    elif message and not only_first:
        _print(f"[rank {rank}] {message}")
    return code


def _running_world() -> MpiCommunicator | None:
    """The world, if something has started MPI."""
    mpi = sys.modules.get("mpi4py.MPI")
    if mpi is None or not mpi.Is_initialized() or mpi.Is_finalized():
        return None
    return MpiCommunicator(mpi, mpi.COMM_WORLD)


def _print_rank() -> int:
    """This process's number: MPI's where it sees the others, else the launcher's."""
    comm = _running_world()
    if comm is not None and comm.size > 1:
        return comm.rank
    started_by = launcher()
    return 0 if started_by is None else started_by.rank


def _print(message: str) -> None:
    print(message, file=sys.stderr)
    flush_output()


def _discard_output() -> None:
    """Point stdout nowhere, so that Python's own flush at exit does not complain once more."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
