"""Computing: a run, a fit, a measurement, the trials that tune an input."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from pvmc.cli.arguments import (
    Later,
    add_command,
    add_config,
    count,
    directory,
    iteration,
    key_and_values,
    positive,
    positive_number,
    shared_job,
)
from pvmc.errors import InputError


def add_run(subparsers) -> None:  # type: ignore[no-untyped-def]
    """Arguments of ``pvmc run``."""
    parser = add_command(
        subparsers,
        "run",
        run,
        "optimise a wave function; under mpirun on all ranks, else on one",
        "mpirun -n 4 pvmc run configs/heisenberg_chain.toml --set ansatz.alpha=2 --output runs/h40a2",
        keeps_results=True,
    )
    parser.epilog = (
        f"{parser.epilog}\n\nto stop it with its state saved (exit code 75):\n"
        "  touch DIR/STOP, or kill -USR1 of mpiexec (without mpiexec: of pvmc itself)"
    )
    add_config(parser)
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="directory of the results; default: runs/NAME of the input file"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace results that are already in DIR")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the run in DIR from its last checkpoint, on any number of ranks; CONFIG may be DIR itself",
    )
    parser.add_argument(
        "--time-limit",
        metavar="TIME",
        help="stop before so much wall time is over, with the state saved (exit code 75): 90 (minutes), 24:00:00, 2h",
    )


def add_fit(subparsers) -> None:  # type: ignore[no-untyped-def]
    """Arguments of ``pvmc fit``."""
    parser = add_command(
        subparsers,
        "fit",
        fit,
        "fit a wave function to a target state, by the section [fit]; under mpirun on all ranks, else on one",
        "mpirun -n 2 pvmc fit configs/fit_heisenberg.toml --output runs/fit",
        keeps_results=True,
    )
    add_config(parser)
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="directory of the result; default: runs/NAME of the input file"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a fit that is already in DIR")


def add_tune(subparsers) -> None:  # type: ignore[no-untyped-def]
    """Arguments of ``pvmc tune``."""
    parser = add_command(
        subparsers,
        "tune",
        tune,
        "try variants of an input file by short runs, and write the best one; under mpirun on all ranks, else on one",
        "pvmc tune chain.toml --minutes 3 --output tuned.toml",
        keeps_results=True,
    )
    parser.epilog = (
        f"{parser.epilog}\n\n"
        "Weights, alpha, samples, moves, learning rate and momentum are varied as far as the input leaves them out.\n"
        "Each trial has the same processor time, which is measured: another number of ranks, another machine or\n"
        "another load of it may lead to another choice, at the same seed as well."
    )
    add_config(parser)
    parser.add_argument(
        "--minutes",
        type=positive_number,
        default=3.0,
        metavar="X",
        help="wall time of all trials, beside that of compiling kernels; default: 3",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="the input to use; default: CONFIG_tuned.toml, beside the input file",
    )
    parser.add_argument("--seed", type=count, metavar="S", help="of the trials; default: that of the input")
    parser.add_argument(
        "--try",
        action="append",
        default=[],
        dest="tries",
        type=key_and_values,
        metavar="KEY=V1,V2,...",
        help="values of a key to try, also of one that the input file gives; may be repeated",
    )


def run(options: argparse.Namespace) -> int:
    """Collective. ``pvmc run``."""
    started = time.monotonic()
    from pvmc.tasks.memory import require_memory
    from pvmc.vmc.recorder import RunRequest
    from pvmc.vmc.run import run as carry_out

    if options.time_limit is not None:
        from pvmc.vmc.interruptions import parse_duration

        parse_duration(options.time_limit)
        options.set.append(f'run.time.limit="{options.time_limit}"')
    if options.resume and options.overwrite:
        raise InputError("--resume goes on with the run that --overwrite would replace: give one of them")
    job, raw, comm = shared_job(options)
    require_memory(job, comm, str(options.config))
    request = RunRequest(
        job, raw.text, directory(options), options.overwrite, options.resume, started, ends_program=True
    )
    return carry_out(request, comm)


def fit(options: argparse.Namespace) -> int:
    """Collective. ``pvmc fit``."""
    from pvmc.tasks.fit import FitRequest
    from pvmc.tasks.fit import fit as carry_out

    job, raw, comm = shared_job(options)
    carry_out(FitRequest(job, raw.text, directory(options), options.overwrite), comm)
    return 0


def add_measure(subparsers) -> None:  # type: ignore[no-untyped-def]
    """Arguments of ``pvmc measure``."""
    parser = add_command(
        subparsers,
        "measure",
        measure,
        "measure energy, correlations and other observables at a run's parameters, with their errors; under mpirun on "
        "all ranks, else on one",
        "mpirun -n 4 pvmc measure runs/h40a2 --until-error 1e-5",
        keeps_results=True,
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="directory or file of a run or a fit that is over")
    parser.add_argument(
        "--observables",
        action="append",
        default=[],
        metavar="LIST",
        help=Later(_observables),
    )
    parser.add_argument(
        "--samples", type=positive, metavar="N", help="configurations; default: 100 times sampler.samples"
    )
    parser.add_argument(
        "--until-error",
        type=positive_number,
        metavar="X",
        help="stop when the error of the energy per site is below X, after 10 million configurations or --samples",
    )
    parser.add_argument(
        "--iteration",
        type=iteration,
        metavar="K",
        help="whose parameters: a number, last (the last saved ones; default) or best (the smallest variance of those "
        "saved since the energy has settled)",
    )
    parser.add_argument("--seed", type=count, metavar="S", help="of the random numbers; default: by the run's own")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override a key of [sampler]; may be repeated"
    )
    parser.add_argument("--resume", action="store_true", help="go on with the last measurement, on any number of ranks")
    parser.add_argument(
        "--time-limit", metavar="TIME", help="stop before so much wall time is over (exit code 75), as in pvmc run"
    )


def _observables() -> str:
    from pvmc.measurement.registry import command_line_help

    return command_line_help()


def measure(options: argparse.Namespace) -> int:
    """Collective. ``pvmc measure``."""
    started = time.monotonic()
    from pvmc.measurement import MeasureRequest
    from pvmc.measurement import measure as carry_out
    from pvmc.mpi import world

    if options.time_limit is not None:
        from pvmc.vmc.interruptions import parse_duration

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
        ends_program=True,
    )
    return carry_out(request, world())


def tune(options: argparse.Namespace) -> int:
    """Collective. ``pvmc tune``."""
    from pvmc.tasks.memory import require_memory
    from pvmc.tasks.tune import TuneRequest
    from pvmc.tasks.tune import tune as carry_out

    output = options.output or options.config.with_name(f"{options.config.stem}_tuned.toml")
    job, raw, comm = shared_job(options)
    require_memory(job, comm, str(options.config))
    return carry_out(TuneRequest(raw, job, output, options.minutes, options.seed, options.tries), comm)
