"""From the user's file and command line to a validated section."""

from __future__ import annotations

import copy
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pvmc.config.messages import problem_message
from pvmc.config.section import INTEGER_BOUND, SectionT, shown
from pvmc.errors import InputError

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
    """

    tables: dict[str, Any]
    file: str
    text: str = ""
    overridden: frozenset[str] = frozenset()

    def error(self, key: str, text: str) -> InputError:
        """The error for a dotted key: names the file or the override that the key came from."""
        source = self.file
        if any(key == own or key.startswith(f"{own}.") for own in self.overridden):
            source = OVERRIDE_FLAG
        elif self.overridden and not self._holds(key):
            source = f"{self.file} with {OVERRIDE_FLAG}"  # a default or an absent key: either may have caused it
        return InputError(f"{source}: {text}")

    def _holds(self, key: str) -> bool:
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
    return f"line {line}, column {column}: not valid TOML: {problem}: {shown(text.splitlines()[line - 1].strip())}"


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


def validate(model: type[SectionT], raw: RawInput) -> SectionT:
    """Build a frozen section from the user's input.

    Raises:
        InputError: ``FILE: KEY = VALUE: what is wrong and what is allowed`` for the first problem.
    """
    for key, value in _entries(raw.tables):
        if isinstance(value, int) and not -INTEGER_BOUND <= value < INTEGER_BOUND:
            raise raw.error(key, f"{key} = {shown(value)}: must be an integer of at most 64 bits")
    try:
        return model.model_validate(raw.tables)
    except ValidationError as error:
        key, text = problem_message(model, raw.tables, error)
        raise raw.error(key, text) from None


def _entries(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of nested tables, and of lists within them."""
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _entries(value, f"{prefix}{name}.")
        else:
            for item in value if isinstance(value, list) else [value]:
                yield f"{prefix}{name}", item
