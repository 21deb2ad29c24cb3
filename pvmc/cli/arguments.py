"""A parser that complains like the rest of pvmc, and the arguments that many commands share."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from pvmc.errors import InputError

Command = Callable[[argparse.Namespace], int]


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are input errors, so that N ranks print one."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}{_nearest(message)} (see '{self.prog} --help')")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse has it, but that a subcommand itself complains of what it does not know: it knows its options."""
        known, rest = super().parse_known_args(args, namespace)
        if rest:
            options = difflib.get_close_matches(rest[0].partition("=")[0], self._option_string_actions, n=1)
            hint = f", did you mean {options[0]}?" if options else ""
            self.error(f"unrecognized arguments: {' '.join(rest)}{hint}")
        return known, rest


def _nearest(message: str) -> str:
    """A guess at the word that argparse did not find among its choices."""
    found = re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message, flags=re.DOTALL)
    if found is None:
        return ""
    words = [word.strip(" '\"") for word in found[2].split(",")]
    meant = [word for word in words if found[1].lower() in COMMANDS_MEANT.get(word, "").split()]
    close = meant or difflib.get_close_matches(found[1].lower(), words, n=1, cutoff=0.5)
    return f", did you mean '{close[0]}'?" if close else ""


COMMANDS_MEANT = {
    "run": "start optimize optimise train vmc go execute resume continue",
    "new": "init create template example",
    "validate": "check verify test lint estimate",
    "status": "show state watch progress ps",
    "analyze": "analyse results table summary extrapolate",
    "plot": "figure draw graph",
    "measure": "observables sample evaluate correlations",
    "exact": "ed diag diagonalize diagonalise lanczos energy",
    "bench": "benchmark time profile",
    "submit": "sbatch slurm queue",
    "info": "version versions",
    "import-wf": "import load",
    "warmup": "compile",
}
"""What other programs call the subcommands, or a user tries first."""


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
