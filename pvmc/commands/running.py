"""Computing: a run, a fit."""

from __future__ import annotations

import argparse
import time

from pvmc.commands.shared import directory, shared_job
from pvmc.errors import InputError


def run(options: argparse.Namespace) -> int:
    """Collective. ``pvmc run``."""
    started = time.monotonic()
    from pvmc.recorder import RunRequest
    from pvmc.resources import require_memory
    from pvmc.simulation import run as carry_out

    if options.time_limit is not None:
        from pvmc.runtime import parse_duration

        parse_duration(options.time_limit)
        options.set.append(f'run.time.limit="{options.time_limit}"')
    if options.resume and options.overwrite:
        raise InputError("--resume goes on with the run that --overwrite would replace: give one of them")
    job, text, comm = shared_job(options)
    require_memory(job, comm, str(options.config))
    request = RunRequest(job, text, directory(options), options.overwrite, options.resume, started)
    return carry_out(request, comm)


def fit(options: argparse.Namespace) -> int:
    """Collective. ``pvmc fit``."""
    from pvmc.fitting import FitRequest
    from pvmc.fitting import fit as carry_out

    job, text, comm = shared_job(options)
    carry_out(FitRequest(job, text, directory(options), options.overwrite), comm)
    return 0
