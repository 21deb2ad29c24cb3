"""The command line: subcommands and their arguments, a file for each topic; what they do is in :mod:`pvmc.commands`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial

import pvmc
from pvmc.cli import analysing, checking, cluster, inputs, interchange, measuring, running
from pvmc.cli.arguments import Parser
from pvmc.errors import InputError, StorageError
from pvmc.output import lasting_output, nobody_reads, what_is_lost


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of ``pvmc``; the exit code (see :mod:`pvmc.errors`)."""
    with lasting_output():
        command = _parsed(arguments)  # before the imports: --help needs none
        from pvmc.mpi import note_exit_code, run_main

        return note_exit_code(run_main(command))


def _parsed(arguments: Sequence[str] | None) -> Callable[[], int]:
    """What the command line asks for, as a function; for a wrong one, a function that raises the error."""
    try:
        options = _parser().parse_args(arguments)
    except InputError as error:
        return partial(_complain, str(error))
    return partial(_carry_out, options)


def _carry_out(options: argparse.Namespace) -> int:
    """What a command does, and whether its output could be written."""
    code: int = options.command(options)
    sys.stdout.flush()
    lost = what_is_lost(sys.stdout)
    if lost is None or nobody_reads(sys.stdout):
        return code
    problem = f"cannot write to standard output: {lost.strerror}"
    if options.keeps_results:
        print(f"pvmc: warning: {problem}; the results are in their files", file=sys.stderr)
    elif code == 0:
        raise StorageError(problem)
    return code


def _complain(message: str) -> int:
    raise InputError(message)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="pvmc",
        description="Parallel variational Monte Carlo with neural quantum states.",
        epilog="Start with:  pvmc new chain.toml;  mpirun -n 4 pvmc run chain.toml;  pvmc plot runs/chain",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"pvmc {pvmc.__version__}")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    inputs.add_new(subparsers)
    inputs.add_validate(subparsers)
    running.add_run(subparsers)
    cluster.add_submit(subparsers)
    running.add_fit(subparsers)
    measuring.add_measure(subparsers)
    analysing.add_status(subparsers)
    analysing.add_plot(subparsers)
    interchange.add_export(subparsers)
    interchange.add_import_wf(subparsers)
    analysing.add_analyze(subparsers)
    analysing.add_report(subparsers)
    inputs.add_lattice(subparsers)
    checking.add_exact(subparsers)
    checking.add_check_ansatz(subparsers)
    checking.add_validate_physics(subparsers)
    cluster.add_bench(subparsers)
    cluster.add_warmup(subparsers)
    cluster.add_info(subparsers)
    return parser
