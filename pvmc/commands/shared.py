"""What several commands need: the input on every rank, and the directory of the results."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pvmc.config import RawInput
    from pvmc.job import Job
    from pvmc.mpi import Communicator


def shared_job(options: argparse.Namespace) -> tuple[Job, str, Communicator]:
    """Collective. The job, built alike on every rank from what rank 0 read; the file's text; the ranks.

    The files that the input names are checked by rank 0, but for those that a run which goes on has read before.

    Raises:
        InputError: a line for everything that is wrong with the input; on every rank.
    """
    from pvmc.job import Draft
    from pvmc.mpi import world

    comm = world()
    raw = comm.root_value(lambda: _input(options))
    draft = Draft(raw)

    def judge() -> None:
        if not getattr(options, "resume", False):
            draft.check_files()
        draft.problems.raise_all()

    comm.on_root(judge)
    return draft.finished(), raw.text, comm


def directory(options: argparse.Namespace) -> Path:
    """Where the results go: --output, with --resume DIR that one, else runs/NAME of the input file."""
    if getattr(options, "resume", False) and options.config.is_dir():
        return options.output or options.config
    return options.output or Path("runs") / options.config.stem


def _input(options: argparse.Namespace) -> RawInput:
    """The input file, or with --resume DIR that of the run there, with what --set overrides."""
    from pvmc.config import overridden, read_input
    from pvmc.errors import InputError

    if options.config.is_dir():
        if getattr(options, "resume", False):
            from pvmc.resumption import stored_input

            return overridden(stored_input(options.config), options.set)
        if (options.config / "run.h5").exists():
            raise InputError(
                f"{options.config}: is the directory of a run; to go on with it: pvmc run {options.config} --resume; "
                "to start another one, give an input file"
            )
    raw = read_input(options.config, options.set)
    if getattr(options, "resume", False):
        from pvmc.resumption import with_stored_turn

        return with_stored_turn(raw, directory(options))
    return raw
