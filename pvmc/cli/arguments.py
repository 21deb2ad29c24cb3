"""A parser that complains like the rest of pvmc, and the arguments that many commands share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from pvmc.errors import InputError

Command = Callable[[argparse.Namespace], int]


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are input errors, so that N ranks print one."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} (see '{self.prog} --help')")


def add_command(  # type: ignore[no-untyped-def]
    subparsers, name: str, command: Command, summary: str, example: str, keeps_results: bool = False
) -> argparse.ArgumentParser:
    """A subcommand, what runs it, and its help: ``summary`` is one line, ``example`` a whole command line.

    With ``keeps_results`` all that counts is in files: that what it prints cannot be written is no failure.
    """
    parser: argparse.ArgumentParser = subparsers.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(command=command, keeps_results=keeps_results)
    return parser


def add_config(parser: argparse.ArgumentParser) -> None:
    """The input file, and --set."""
    parser.add_argument("config", type=Path, metavar="CONFIG", help="input file (TOML); 'pvmc new' writes one")
    add_override(parser)


def add_override(parser: argparse.ArgumentParser) -> None:
    """--set, which overrides keys of the input file."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a key of the input file, such as ansatz.alpha=2; may be repeated",
    )
