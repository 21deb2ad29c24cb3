"""Measuring: observables at parameters that stay."""

from __future__ import annotations

import argparse
import time


def measure(options: argparse.Namespace) -> int:
    """Collective. ``pvmc measure``."""
    started = time.monotonic()
    from pvmc.measurement.command import measure as carry_out
    from pvmc.measurement.request import MeasureRequest
    from pvmc.mpi import world

    if options.time_limit is not None:
        from pvmc.runtime import parse_duration

        parse_duration(options.time_limit)
        options.set.append(f'run.time.limit="{options.time_limit}"')
    request = MeasureRequest(
        path=options.run,
        observables=options.observables,
        samples=options.samples,
        until_error=options.until_error,
        iteration=options.iteration,
        seed=options.seed,
        overrides=options.set,
        resume=options.resume,
        started=started,
    )
    return carry_out(request, world())
