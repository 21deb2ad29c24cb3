"""Arguments that many commands share, a parser that complains like the rest of pvmc, and the input on every rank."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from pvmc.errors import InputError

if TYPE_CHECKING:
    from pvmc.config import RawInput
    from pvmc.mpi import Communicator
    from pvmc.vmc.job import Job

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
"""Names of the subcommands in other programs, or those that a user tries first."""


class Later(str):
    """A help text of argparse that is made when it is shown, from what takes long to import.

    Args:
        make: gives the text.
    """

    make: Callable[[], str]

    def __new__(cls, make: Callable[[], str]) -> Later:
        text = super().__new__(cls, "(made when it is shown)")
        text.make = make
        return text

    def __mod__(self, values: Any) -> str:
        return self.make()


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


def positive(text: str) -> int:
    """An integer >= 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be an integer >= 1, not '{text}'")
    return int(text)


def positive_number(text: str) -> float:
    """A finite number > 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0.0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number > 0, not '{text}'")
    return number


def count(text: str) -> int:
    """An integer >= 0 that fits into 64 bits."""
    if not text.isdecimal() or int(text) >= 2**63:
        raise argparse.ArgumentTypeError(f"must be an integer >= 0 and < 2^63, not '{text}'")
    return int(text)


def iteration(text: str) -> int | str | None:
    """Whose parameters: a number, "best", or None for "last"."""
    if text in ("best", "last"):
        return text if text == "best" else None
    try:
        return count(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"must be an integer >= 0, best or last, not '{text}'") from None


def seconds(text: str) -> float:
    """A time > 0, of an option whose value may be left out and then could swallow what follows."""
    try:
        return positive_number(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}; runs come before --watch") from None


def formats(text: str) -> tuple[str, ...]:
    """Types of figures, each once."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    if wrong := [name for name in names if name not in ("png", "pdf", "svg")]:
        raise argparse.ArgumentTypeError(f"must be some of png, pdf, svg with commas between them, not '{wrong[0]}'")
    return names


def key_and_values(text: str) -> tuple[str, list[str]]:
    """A dotted key and values to try, each as TOML text; bare words are strings."""
    key, _, values = (part.strip() for part in text.partition("="))
    if not key or not values:
        raise argparse.ArgumentTypeError(f"must be KEY=V1,V2,..., such as ansatz.alpha=1,2,4, not '{text}'")
    import tomllib

    from pvmc.config import toml_value

    try:
        return key, [toml_value(value) for value in tomllib.loads(f"values = [{values}]")["values"]]
    except tomllib.TOMLDecodeError:
        return key, [word.strip() for word in values.split(",")]


def shared_job(options: argparse.Namespace) -> tuple[Job, RawInput, Communicator]:
    """Collective. The job, built alike on every rank from what rank 0 read; the input as it was read; the ranks.

    The files that the input names are checked by rank 0, but for those that a run which goes on has read before.

    Raises:
        InputError: a line for everything that is wrong with the input; on every rank.
    """
    from pvmc.mpi import world
    from pvmc.vmc.job import Draft

    comm = world()
    raw = comm.root_value(lambda: _input(options))
    draft = Draft(raw)

    def judge() -> None:
        if not getattr(options, "resume", False):
            draft.check_files()
        draft.problems.raise_all()

    comm.on_root(judge)
    return draft.finished(), raw, comm


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
            from pvmc.vmc.checkpoints import input_of_run

            return overridden(input_of_run(options.config), options.set)
        if (options.config / "run.h5").exists():
            raise InputError(
                f"{options.config}: is the directory of a run; to go on with it: pvmc run {options.config} --resume; "
                "to start another one, give an input file"
            )
    raw = read_input(options.config, options.set)
    if getattr(options, "resume", False):
        from pvmc.vmc.checkpoints import with_stored_choices

        return with_stored_choices(raw, directory(options))
    return _for_weights(raw) if hasattr(options, "weights") else raw


def _for_weights(raw: RawInput) -> RawInput:
    """The input for weights of a file, which may be complex whatever the ground state is."""
    ansatz = raw.tables.get("ansatz")
    if not isinstance(ansatz, dict) or ansatz.get("kind") != "rbm" or "weights" in ansatz:
        return raw
    return replace(raw, tables={**raw.tables, "ansatz": {**ansatz, "weights": "complex"}})
