"""From the user's file and command line to a validated section."""

from __future__ import annotations

import copy
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError, create_model

from pvmc.config.messages import other_kinds, problems_of
from pvmc.config.section import INTEGER_BOUND, KeyProblem, KeyProblems, Section, SectionT, shown
from pvmc.errors import InputError

T = TypeVar("T")

OVERRIDE_FLAG = "--set"
"""The flag that overrides a key; messages about an overridden value name it instead of the file."""


@dataclass(frozen=True)
class RawInput:
    """The user's input before validation.

    Attributes:
        tables: nested mappings as TOML gives them, overrides put in.
        file: name of the file, for messages.
        text: the file as it stands, without the overrides.
        overridden: dotted keys that came from the command line.
        stored: it was resolved and written by pvmc, perhaps by an earlier version.
    """

    tables: dict[str, Any]
    file: str
    text: str = ""
    overridden: frozenset[str] = frozenset()
    stored: bool = False

    def error(self, key: str, text: str) -> InputError:
        """The error for a dotted key: names the file or the override that the key came from."""
        source = self.file
        if any(key == own or key.startswith(f"{own}.") for own in self.overridden):
            source = OVERRIDE_FLAG
        elif self.overridden and not self.holds(key):
            source = f"{self.file} with {OVERRIDE_FLAG}"  # a default or an absent key: either may have caused it
        return InputError(f"{source}: {text}")

    def holds(self, key: str) -> bool:
        """True where a dotted key is given, by the file or by an override."""
        here: Any = self.tables
        for part in key.split("."):
            if not isinstance(here, Mapping) or part not in here:
                return False
            here = here[part]
        return True


def read_input(path: Path, overrides: Sequence[str] = ()) -> RawInput:
    """A TOML file with each ``key.path=value`` of the command line put in; values are TOML, bare words are strings.

    Raises:
        InputError: the file cannot be read; an override lacks ``=`` or a key, or its path runs through a value.
    """
    tables, text = _read(path)
    return overridden(RawInput(tables, str(path), text), overrides)


def overridden(raw: RawInput, overrides: Sequence[str]) -> RawInput:
    """An input with each ``key.path=value`` put in.

    Raises:
        InputError: an override lacks ``=`` or a key, or its path runs through a value.
    """
    tables, keys = copy.deepcopy(raw.tables), set(raw.overridden)
    for override in overrides:
        key, equals, word = override.partition("=")
        parts = [part.strip() for part in key.split(".")]
        if not equals or not word.strip() or not all(parts):
            raise InputError(f"{OVERRIDE_FLAG} {shown(override)}: must be KEY=VALUE, such as ansatz.alpha=2")
        keys.add(_put(tables, parts, _parsed_value(word.strip())))
    return replace(raw, tables=tables, overridden=frozenset(keys))


def _read(path: Path) -> tuple[dict[str, Any], str]:
    """The tables of a TOML file, and its text."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except IsADirectoryError:
        raise InputError(f"{path}: is a directory; must be a TOML file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise InputError(f"{path}: line {line}: must be UTF-8 text (byte {error.start} is not)") from None
    try:
        return tomllib.loads(text), text
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: {_syntax_problem(str(error), text)}") from None
    except (RecursionError, ValueError):
        raise InputError(f"{path}: not valid TOML: nested too deeply, or a number of thousands of digits") from None


def _syntax_problem(message: str, text: str) -> str:
    """tomllib's message with the place first, and the line that it speaks of."""
    found = re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", message, flags=re.DOTALL)
    if not found:
        return f"not valid TOML: {' '.join(message.split())}"
    problem, line, column = found[1], int(found[2]), int(found[3])
    problem = re.sub(r"Cannot overwrite a value", "this key stands twice", problem)
    problem = re.sub(r"Cannot declare .* twice", "this table stands twice", problem)
    there = text.splitlines()[line - 1].strip()
    return f"line {line}, column {column}: not valid TOML: {problem}: {shown(there)}{_how_toml_writes(there)}"


def _how_toml_writes(line: str) -> str:
    """A guess at the meaning of a line that is no TOML, with a comma before it; empty without a guess."""
    value = re.fullmatch(r"[\w.\"-]+\s*=\s*(.*?)\s*(?:#.*)?", line)
    if value is None:
        pair = re.fullmatch(r"([\w.-]+)\s*:\s*(.+)", line)
        return f"; TOML writes {pair[1]} = {pair[2]}" if pair else ""
    written = value[1]
    if written.lower() in ("true", "false"):
        return f"; TOML writes {written.lower()}"
    if written.lower() in ("none", "null", "nil", ""):
        return "; a key without a value is left out"
    if re.fullmatch(r"[+-]?(\.\d+|\d+\.)([eE][+-]?\d+)?", written):
        return f"; TOML writes {_plain_number(written)}, with digits on both sides of the point"
    if re.fullmatch(r"[A-Za-z][\w:/.-]*", written):
        return f'; text stands in quotes: "{written}"'
    return ""


def _plain_number(text: str) -> str:
    mantissa, letter, exponent = re.fullmatch(r"([^eE]*)([eE]?)(.*)", text).groups()  # type: ignore[union-attr]
    whole, _, fraction = mantissa.partition(".")
    digits = whole if whole.lstrip("+-") else f"{whole}0"
    return f"{digits}.{fraction or 0}{letter}{exponent}"


def _put(tables: dict[str, Any], parts: Sequence[str], value: Any) -> str:
    """Set a nested key; the dotted name of the outermost key that is new or changed by it."""
    table, changed = tables, ".".join(parts)
    for depth, part in enumerate(parts[:-1], start=1):
        name = ".".join(parts[:depth])
        if part not in table:
            table[part] = {}
            changed = min(changed, name, key=len)
        table = table[part]
        if not isinstance(table, dict):
            flag = f"{OVERRIDE_FLAG} {'.'.join(parts)}={shown(value)}"
            raise InputError(f"{flag}: {name} = {shown(table)} is a value, not a table; set {name} itself")
    table[parts[-1]] = value
    return changed


def _parsed_value(text: str) -> Any:
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return parsed["value"] if len(parsed) == 1 else text


class Problems:
    """All problems of an input, gathered from checks that do not depend on each other.

    Attributes:
        raw: the input.
        found: the dotted key of each problem, and one line that names it, without where the key came from.
    """

    def __init__(self, raw: RawInput):
        self.raw = raw
        self.found: list[tuple[str, str]] = []

    def __bool__(self) -> bool:
        return bool(self.found)

    def add(self, key: str, text: str) -> None:
        """Note a problem, once; a dotted key, and one line that names it."""
        if (key, text) not in self.found:
            self.found.append((key, text))

    def attempt(self, action: Callable[[], T]) -> T | None:
        """The result of an action; None where it raises problems, which are noted."""
        try:
            return action()
        except KeyProblem as problem:
            self.add(problem.key, str(problem))
        except KeyProblems as several:
            for one in several.problems:
                self.add(one.key, str(one))
        except InputError as error:
            self.add("", str(error))
        except MemoryError as error:
            self.add("", f"needs more memory than there is: {error}")
        return None

    def raise_all(self) -> None:
        """Raise what was found as one error, one line for each, in the order of the keys in the input.

        Raises:
            InputError: there is any.
        """
        if self.found:
            raise InputError("\n".join(str(self.raw.error(key, text)) for key, text in self._in_order()))

    def _in_order(self) -> list[tuple[str, str]]:
        keys = {key: number for number, key in enumerate(_all_keys(self.raw.tables))}

        def place(problem: tuple[str, str]) -> float:
            key = re.sub(r"\[\d+\]", "", problem[0])
            while key and key not in keys:  # a key that is not there comes behind its section
                key = key.rpartition(".")[0]
            if key == problem[0]:
                return keys[key] if key else len(keys)
            return max((keys[one] for one in keys if f"{one}.".startswith(f"{key}.")), default=len(keys)) + 0.5

        return sorted(self.found, key=place)


def validate(model: type[SectionT], raw: RawInput) -> SectionT:
    """Build a frozen section from the user's input.

    Raises:
        InputError: a line ``FILE: KEY = VALUE: what is wrong and what is allowed`` for every problem.
    """
    problems = Problems(raw)
    parts = sections_of(model, raw, problems)
    problems.raise_all()
    assert isinstance(parts, model)
    return parts


def sections_of(model: type[SectionT], raw: RawInput, problems: Problems) -> SectionT | dict[str, Any]:
    """The validated section; or where there are problems, those of its keys that have none, by name.

    Args:
        model: the section of the whole input.
        raw: the input.
        problems: where problems are noted.
    """
    for key, value in _entries(raw.tables):
        if isinstance(value, int) and not -INTEGER_BOUND <= value < INTEGER_BOUND:
            problems.add(key, f"{key} = {shown(value)}: must be an integer of at most 64 bits")
    tables = raw.tables
    try:
        return _validated(model, tables, problems)
    except ValidationError as error:
        tables = _without_other_kinds(model, raw, error)
    try:
        return _validated(model, tables, problems)
    except ValidationError as error:
        found = problems_of(model, tables, error, raw.overridden)
    large = [key for key, _ in problems.found]
    for one in found:
        if one.key not in large:
            problems.add(one.key, one.text)
    return _good_parts(model, tables, problems)


def _validated(model: type[SectionT], tables: Mapping[str, Any], problems: Problems) -> SectionT | dict[str, Any]:
    whole = model.model_validate(tables)
    return _good_parts(model, tables, problems) if problems else whole


def _good_parts(model: type[Section], tables: Mapping[str, Any], problems: Problems) -> dict[str, Any]:
    """The parts of a section, each validated by itself, that no problem speaks of."""
    bad = {key.partition(".")[0] for key, _ in problems.found}
    parts: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        if name in bad:
            continue
        if name not in tables:
            if not field.is_required():
                parts[name] = field.get_default(call_default_factory=True)
            continue
        part = create_model("Part", __base__=Section, **{name: (field.annotation, field)})  # type: ignore[call-overload]
        try:
            parts[name] = getattr(part.model_validate({name: tables[name]}), name)
        except ValidationError:  # a problem that was told under another key
            continue
    return parts


def _without_other_kinds(model: type[Section], raw: RawInput, error: ValidationError) -> dict[str, Any]:
    """The tables without keys of the file that the command line has made meaningless by choosing another kind."""
    tables = copy.deepcopy(raw.tables)
    for path in other_kinds(model, raw.tables, error):
        *parents, name = path
        prefix = ".".join(parents)
        chosen = {f"{prefix}.kind", f"{prefix}.model"} & raw.overridden
        if chosen and ".".join(path) not in raw.overridden:
            table = tables
            for parent in parents:
                table = table[parent]
            del table[name]
    return tables


def _all_keys(table: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Dotted keys of nested tables in their order, those of the tables too."""
    for name, value in table.items():
        yield f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from _all_keys(value, f"{prefix}{name}.")


def _entries(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of nested tables, and of lists within them."""
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _entries(value, f"{prefix}{name}.")
        else:
            for item in value if isinstance(value, list) else [value]:
                yield f"{prefix}{name}", item
