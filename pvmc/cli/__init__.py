"""The command line: subcommands, their arguments and what they do, a file for each topic."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial

import pvmc
from pvmc.cli import analysis, check, exchange, inputs, machines, run
from pvmc.cli.arguments import Parser
from pvmc.cli.output import lasting_output, nobody_reads, what_is_lost
from pvmc.errors import InputError, StorageError


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of ``pvmc``; the exit code (see :mod:`pvmc.errors`)."""
    with lasting_output():
        command = _parsed(arguments)  # before the imports: --help needs none
        from pvmc.mpi import note_exit_code, run_main

        return note_exit_code(run_main(command))


def _parsed(arguments: Sequence[str] | None) -> Callable[[], int]:
    """The action of a command line, as a function; for a wrong one, a function that raises the error."""
    try:
        options = _parser().parse_args(arguments)
    except InputError as error:
        return partial(_complain, str(error))
    return partial(_carry_out, options)


def _carry_out(options: argparse.Namespace) -> int:
    """Carry out a command, and check that its output could be written."""
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
    run.add_run(subparsers)
    run.add_tune(subparsers)
    machines.add_submit(subparsers)
    run.add_fit(subparsers)
    run.add_measure(subparsers)
    analysis.add_status(subparsers)
    analysis.add_plot(subparsers)
    exchange.add_export(subparsers)
    exchange.add_import_wf(subparsers)
    analysis.add_analyze(subparsers)
    analysis.add_report(subparsers)
    inputs.add_lattice(subparsers)
    check.add_exact(subparsers)
    check.add_check_ansatz(subparsers)
    check.add_validate_physics(subparsers)
    machines.add_bench(subparsers)
    machines.add_warmup(subparsers)
    machines.add_info(subparsers)
    return parser
