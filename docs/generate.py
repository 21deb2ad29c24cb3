"""Writes what is generated: docs/cli.md, config.md, hdf5.md, layers.svg, parts of analysis.md and measure.md, jobs/.

python docs/generate.py           write them
python docs/generate.py --check   write nothing; exit code 1 when a page is out of date
"""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from picture import picture
from pydantic.fields import FieldInfo

from pvmc import errors
from pvmc.cli import _parser as parser
from pvmc.config import Section, allowed_values, meaning, ordered_fields, section_classes, shown
from pvmc.figures.kinds import FIGURES
from pvmc.io.schema import schema_markdown
from pvmc.measurement.registry import coordinates, dataset_rows, observable_rows
from pvmc.tasks.submission import Array, Script, alphas, render, seeds
from pvmc.vmc.spec import JobConfig

ROOT = Path(__file__).resolve().parents[1]
DOCS, JOBS = ROOT / "docs", ROOT / "jobs"

CONFIG_HEAD = """\
# The input file

A TOML file; this page is generated from the section classes.  `pvmc new chain.toml` writes a commented one,
`pvmc validate chain.toml` checks one and prints it with every default, and the examples in `configs/` run as they
stand.  On the command line `--set KEY=VALUE` overrides a key: `--set ansatz.alpha=2 --set sr.shift=0.01`.

An unknown key, a wrong type or a value out of range is an error, never ignored.  Integers may stand for numbers, not
the other way round.
"""


def pages() -> dict[Path, str]:
    """The generated pages: path -> text."""
    return {
        DOCS / "config.md": config_markdown(),
        DOCS / "layers.svg": picture((ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")),
        DOCS / "cli.md": cli_markdown(),
        DOCS / "hdf5.md": schema_markdown(dataset_rows(), coordinates()),
        DOCS / "analysis.md": with_list("analysis.md", "figures", figures()),
        DOCS / "measure.md": with_list("measure.md", "observables", observables()),
        JOBS / "run.sbatch": job_script("run.sbatch"),
        JOBS / "array_alpha.sbatch": job_script("array_alpha.sbatch", alphas("1,2,4")),
        JOBS / "array_seeds.sbatch": job_script("array_seeds.sbatch", seeds("1-8")),
    }


def with_list(name: str, what: str, items: Iterable[str]) -> str:
    """A page of docs/ with its list of observables or figures, between two comments, as the registry has it."""
    before, begin, rest = (ROOT / "docs" / name).read_text(encoding="utf-8").partition(f"<!-- {what} -->\n")
    end = rest[rest.index(f"<!-- end of the {what} -->") :]
    lines = [_wrapped(re.sub(r"<(?=[a-zA-Z])", "&lt;", item)) for item in items]
    return before + begin + "\n".join(lines) + "\n" + end


def observables() -> Iterator[str]:
    """One entry for each observable: what it is, and its figure."""
    for names, text, figure in observable_rows():
        yield f"{names}: {text}" + (f"; drawn by {figure}" if figure else "")


def figures() -> Iterator[str]:
    """One entry for each kind of figure: what it shows, of which runs, and its axes."""
    for name, kind in FIGURES.items():
        yield f"`{name}`: {kind.shows}.  Runs: {kind.needs}.  Axes: {kind.axes}."


def job_script(name: str, elements: Array | None = None) -> str:
    """An example of what `pvmc submit` writes, for the directory of the repository, wherever that is."""
    option = {None: [], "alpha": ["--array-alpha"], "seed": ["--array-seeds"]}[elements and elements.word]
    values = [elements.indices] if elements else []
    config, file, tasks, limit = "configs/heisenberg_chain.toml", f"jobs/{name}", 8, "01:00:00"
    command = ["pvmc", "submit", config, "--ntasks", str(tasks), "--time", limit, *option, *values, "--write", file]
    return render(
        Script(
            config=config,
            output="runs/heisenberg_chain",
            name="heisenberg_chain",
            file=file,
            written_by=command,
            example=True,
            ntasks=tasks,
            time=limit,
            array=elements,
        )
    )


def config_markdown() -> str:
    """Every key of the input file: what it may be, its default, what it is; one table per section and kind."""
    parts = [CONFIG_HEAD]
    for name, field in JobConfig.model_fields.items():
        text = _escaped(meaning(JobConfig, name))
        parts += [f"## [{name}]\n", _wrapped(text[0].upper() + text[1:], "", "") + "\n"]
        if not field.is_required():
            parts.append("The section may be left out.\n")
        for section in section_classes(field.annotation):
            parts += _section_parts(section)
    inner = _inner_sections()
    parts.append("## Tables within sections\n")
    for section, places in inner.items():
        parts.append(f"### {', '.join(f'`{place}`' for place in dict.fromkeys(places))}\n")
        parts += _section_parts(section, heading=False)
    return "\n".join(parts)


def _section_parts(section: type[Section], heading: bool = True) -> Iterator[str]:
    tag = next((name for name in ("kind", "model") if name in section.model_fields), None)
    if heading and tag:
        words = f'"{section.open_tag}"' if section.open_tag else allowed_values(section.model_fields[tag])
        yield f"### {tag} = {words}\n"
    yield _wrapped(_escaped(" ".join((section.__doc__ or "").split())), "", "") + "\n"
    yield _keys(section)


def _keys(section: type[Section]) -> str:
    """One entry of a list for each key: its name, what it may be, its default, what it means."""
    lines = []
    for name, field in ordered_fields(section).items():
        text = _escaped(" ".join(meaning(section, name).split()).rstrip("."))
        known = f"{_escaped(allowed_values(field))}; {_default(field, meaning(section, name))}"
        lines.append(_wrapped(f"`{name}` ({known}): {text}"))
    return "\n".join(lines) + "\n"


def _wrapped(text: str, first: str = "- ", rest: str = "  ") -> str:
    return textwrap.fill(
        text, 118, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )


def _escaped(text: str) -> str:
    """Formulas hold signs that Markdown takes for its own."""
    return re.sub(r"<(?=[a-zA-Z/!?])", "&lt;", text).replace("*", "\\*").replace("|", "\\|")


def _default(field: FieldInfo, text: str) -> str:
    if field.is_required():
        return "required"
    if field.default is None:
        words = text.rpartition("; default: ")[2]
        return f"default: {words if words == 'not projected' else 'chosen by pvmc'}"
    return f"default: `{shown(field.default)}`"


def _inner_sections() -> dict[type[Section], list[str]]:
    """The section classes that stand as tables within sections, and the keys where they do."""
    found: dict[type[Section], list[str]] = {}
    for name, field in JobConfig.model_fields.items():
        members = section_classes(field.annotation)
        for outer in members:
            for key, inner_field in ordered_fields(outer).items():
                for inner in section_classes(inner_field.annotation):
                    if inner in members:  # an ansatz within an ansatz: it has its table already
                        continue
                    found.setdefault(inner, []).append(f"{name}.{key}")
    return found


CLI_HEAD = """\
# Commands

Every command of `pvmc` with its arguments; this page is generated from the parsers of the command line.  `pvmc COMMAND
--help` prints the same.  Commands that say so run on all ranks under `mpirun`, the others on one.  `python -m pvmc` is
the same as `pvmc`.
"""


def cli_markdown() -> str:
    """Every command with its arguments, options and example, and the exit codes."""
    commands = next(action for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    parts = [CLI_HEAD, *_exit_codes()]
    for name, command in commands.choices.items():
        parts += [f"## pvmc {name}\n", _wrapped(_escaped(str(command.description)), "", "") + "\n"]
        actions = [action for action in command._actions if not isinstance(action, argparse._HelpAction)]
        parts.append("\n".join(_wrapped(_argument(command, action)) for action in actions) + "\n")
        parts += ["```text", str(command.epilog), "```\n"]
    return "\n".join(parts).replace("\n\n\n", "\n\n")


def _argument(command: argparse.ArgumentParser, action: argparse.Action) -> str:
    """An argument or option: how it is written, and its help."""
    formatter = command._get_formatter()
    value, text = formatter._format_args(action, action.dest.upper()), formatter._expand_help(action)
    if len(value) > 60 and action.choices:
        value, text = action.dest.upper(), f"one of {', '.join(action.choices)}; {text}"
    words = [f"{option} {value}".strip() for option in action.option_strings[-1:]] or [value]
    return f"`{words[0]}`: {_escaped(text)}"


def _exit_codes() -> Iterator[str]:
    """The section on exit codes, from the errors that have them."""
    yield "## Exit codes\n"
    meanings = {0: "Finished, or converged.", errors.EXIT_RESUMABLE: "Stopped before its end with its state saved."}
    for kind in (errors.InputError, errors.NumericalError, errors.StorageError, errors.OutOfMemory):
        meanings[kind.exit_code] = " ".join(str(kind.__doc__).split())
    notes = {errors.EXIT_RESUMABLE: "`pvmc run DIR --resume` goes on.", 3: "The last good state is saved."}
    for code, words in sorted(meanings.items()):
        yield _wrapped(f"{code}: {words}  {notes.get(code, '')}".strip(), "- ", "  ")
    yield ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pages, or check them; the exit code."""
    parser = argparse.ArgumentParser(description="Write the generated pages of docs/ and scripts of jobs/.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 when a page is out of date")
    check = parser.parse_args(arguments).check
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        if not check:
            path.write_text(pages()[path], encoding="utf-8")
        print(f"{path.parent.name}/{path.name}: {'out of date; run python docs/generate.py' if check else 'written'}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
