"""What several commands need: the input on every rank, and the directory of the results."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pvmc.config import RawInput
    from pvmc.job import Job
    from pvmc.parallel import Communicator


def shared_job(options: argparse.Namespace) -> tuple[Job, str, Communicator]:
    """Collective. The job, built alike on every rank from what rank 0 read; the file's text; the ranks."""
    from pvmc.config import validate
    from pvmc.errors import on_every_rank
    from pvmc.job import JobConfig, build_job
    from pvmc.parallel import world

    comm = world()
    raw = comm.root_value(lambda: _input(options))
    with on_every_rank():
        job = build_job(validate(JobConfig, raw), raw)
    return job, raw.text, comm


def directory(options: argparse.Namespace) -> Path:
    """Where the results go: --output, with --resume DIR that one, else runs/NAME of the input file."""
    if getattr(options, "resume", False) and options.config.is_dir():
        return options.output or options.config
    return options.output or Path("runs") / options.config.stem


def _input(options: argparse.Namespace) -> RawInput:
    """The input file, or with --resume DIR that of the run there, with what --set overrides."""
    from pvmc.config import overridden, read_input

    if getattr(options, "resume", False) and options.config.is_dir():
        from pvmc.resumption import stored_input

        return overridden(stored_input(options.config), options.set)
    return read_input(options.config, options.set)
