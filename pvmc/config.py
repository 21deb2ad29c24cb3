"""Reading and checking input: TOML text to frozen, validated sections, and one clear line for what is wrong.

The sections themselves live with the nouns that they describe (``pvmc.lattice.ChainSpec``, ...); the whole
input is :class:`pvmc.job.JobConfig`.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import tomlkit
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from pvmc.errors import InputError

SectionT = TypeVar("SectionT", bound="Section")

OVERRIDE_FLAG = "--set"
"""The flag that overrides a key; messages about an overridden value name it instead of the file."""


@dataclass(frozen=True)
class RawInput:
    """The user's input before validation.

    Attributes:
        tables: nested mappings as TOML gives them, overrides put in.
        text: the file as it stands, without the overrides.
        file: name of the file, for messages.
        overridden: dotted keys that came from the command line.
    """

    tables: dict[str, Any]
    text: str
    file: str
    overridden: frozenset[str] = frozenset()

    def error(self, key: str, text: str) -> InputError:
        """The error for a key: names the file or the override that the key came from."""
        name = OVERRIDE_FLAG if any(key == own or key.startswith(f"{own}.") for own in self.overridden) else self.file
        return InputError(f"{name}: {text}")


class Section(BaseModel):
    """Base of all config sections: immutable, no unknown keys, no silent conversions, finite numbers only."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True)


class KeyProblem(ValueError):
    """A value that is wrong only in the light of others; raised by checks across sections.

    Attributes:
        key: dotted name of the offending key, such as ``ansatz.alpha``.
        value: its value.
        allowed: what would have been accepted, in words.
    """

    def __init__(self, key: str, value: object, allowed: str):
        super().__init__(f"{key} = {_shown(value)}: {allowed}")
        self.key, self.value, self.allowed = key, value, allowed


def _read(path: Path) -> tuple[dict[str, Any], str]:
    """The tables of a TOML file, and its text."""
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start})") from None
    try:
        return tomllib.loads(text), text
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not valid TOML: {error}") from None


def read_input(path: Path, overrides: Sequence[str] = ()) -> RawInput:
    """A TOML file with each ``key.path=value`` of the command line put in; values are TOML, bare words are strings.

    Raises:
        InputError: the file cannot be read; an override lacks ``=`` or a key, or its path runs through a value.
    """
    tables, text = _read(path)
    overridden = []
    for override in overrides:
        key, equals, word = override.partition("=")
        parts = [part.strip() for part in key.split(".")]
        if not equals or not all(parts):
            raise InputError(f"{OVERRIDE_FLAG} {override}: expected KEY=VALUE, such as {OVERRIDE_FLAG} ansatz.alpha=2")
        table = tables
        for depth, part in enumerate(parts[:-1], start=1):
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise InputError(f"{OVERRIDE_FLAG} {override}: {'.'.join(parts[:depth])} is a value, not a section")
        table[parts[-1]] = _parsed_value(word.strip())
        overridden.append(".".join(parts))
    return RawInput(tables, text, str(path), frozenset(overridden))


def validate(model: type[SectionT], raw: RawInput) -> SectionT:
    """Build a frozen section from the user's input.

    Raises:
        InputError: ``FILE: KEY = VALUE: what is wrong and what is allowed`` for the first problem.
    """
    try:
        return model.model_validate(raw.tables)
    except ValidationError as error:
        key, text = _message(model, raw.tables, error)
        raise raw.error(key, text) from None


def to_toml(section: Section, *, commented: bool = False) -> str:
    """The section as TOML text with every default written out; ``commented`` adds each key's description."""
    document = tomlkit.document()
    for name, value, field in _fields(section):
        if isinstance(value, Section):
            table = tomlkit.table()
            if commented:
                table.add(tomlkit.comment(str(field.description)))
            _fill(table, value, commented)
            document.add(name, table)
    return tomlkit.dumps(document)


def _fill(table: tomlkit.items.Table, section: Section, commented: bool) -> None:
    for name, value, field in _fields(section):
        if commented:
            table.add(tomlkit.comment(str(field.description)))
        if value is not None:
            table.add(name, _toml_value(value))
        elif commented:
            table.add(tomlkit.comment(f"{name} = (left out: chosen by pvmc)"))


def _toml_value(value: Any) -> Any:
    if isinstance(value, Section):
        value = {name: item for name, item, _ in _fields(value) if item is not None}
    if isinstance(value, Mapping):
        inline = tomlkit.inline_table()
        for name, item in value.items():
            inline.append(name, _toml_value(item))
        return inline
    return tomlkit.item(list(value) if isinstance(value, tuple) else value)


def _fields(section: Section) -> Iterator[tuple[str, Any, FieldInfo]]:
    for name, field in type(section).model_fields.items():
        yield name, getattr(section, name), field


def _parsed_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _message(model: type[Section], tables: Mapping[str, Any], error: ValidationError) -> tuple[str, str]:
    """The key and one line for the most telling problem: a misspelt key comes before the missing key that it caused."""
    order = {"extra_forbidden": 0, "missing": 2}
    problems = sorted(error.errors(), key=lambda problem: order.get(problem["type"], 1))
    problem = problems[0]
    # A discriminated union puts the chosen tag into the path; only what stands in the file is a key.
    path, value = _path_in(tables, problem["loc"])
    key = ".".join(path)
    siblings = _allowed_keys(model, tables, path[:-1])
    match problem["type"]:
        case "extra_forbidden":
            text = f"{key} = {_shown(value)}: unknown key{_nearest(path, siblings)}; allowed: {', '.join(siblings)}"
        case "missing":
            text = f"{key}: missing; {_described(model, tables, path)}"
        case "union_tag_not_found":
            tag = str(problem["ctx"]["discriminator"]).strip("'")
            text = f"{key}.{tag}: missing; says which {path[-1]} this is"
        case "union_tag_invalid":
            tag = str(problem["ctx"]["discriminator"]).strip("'")
            allowed = str(problem["ctx"]["expected_tags"])
            given = value.get(tag) if isinstance(value, Mapping) else value
            text = f"{key}.{tag} = {_shown(given)}: must be one of {allowed}{_nearest_word(given, allowed)}"
        case "literal_error":
            allowed = str(problem["ctx"]["expected"])
            text = f"{key} = {_shown(value)}: must be {allowed}{_nearest_word(value, allowed)}"
        case "value_error" if isinstance(problem["ctx"]["error"], KeyProblem):
            text = str(problem["ctx"]["error"])
        case "value_error":
            text = f"{key} = {_shown(value)}: {problem['ctx']['error']}"
        case _:
            text = f"{key} = {_shown(value)}: {problem['msg'][0].lower()}{problem['msg'][1:]}"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return key, f"{text}{more}"


def _path_in(tables: Mapping[str, Any], location: tuple[int | str, ...]) -> tuple[list[str], Any]:
    """Keys of a pydantic location that stand in the tables (the last may be absent), and the value there."""
    path: list[str] = []
    here: Any = tables
    for depth, part in enumerate(location):
        last = depth == len(location) - 1
        if isinstance(here, Mapping) and (part in here or (last and isinstance(part, str) and not _is_tag(part, here))):
            path.append(str(part))
            here = here.get(part)
        elif isinstance(here, list | tuple) and isinstance(part, int) and part < len(here):
            path[-1] += f"[{part}]"
            here = here[part]
    return path, here


def _is_tag(part: str, table: Mapping[str, Any]) -> bool:
    return part in (table.get("kind"), table.get("model"))


def _allowed_keys(model: type[Section], tables: Mapping[str, Any], path: Sequence[str]) -> list[str]:
    section = _section_at(model, tables, path)
    return list(section.model_fields) if section else []


def _described(model: type[Section], tables: Mapping[str, Any], path: Sequence[str]) -> str:
    section = _section_at(model, tables, path[:-1])
    field = section.model_fields.get(path[-1]) if section else None
    return str(field.description).splitlines()[0] if field and field.description else "this key is required"


def _section_at(model: type[Section], tables: Mapping[str, Any], path: Sequence[str]) -> type[Section] | None:
    """The section class that governs the table at a path, choosing union members by their tag."""
    here: Any = tables
    section: type[Section] | None = model
    for part in path:
        field = section.model_fields.get(part) if section else None
        here = here.get(part, {}) if isinstance(here, Mapping) else {}
        section = _chosen(field.annotation, here) if field else None
    return section


def section_classes(annotation: Any) -> list[type[Section]]:
    """The section classes in a type annotation, through unions and ``Annotated``."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    if get_origin(annotation) is None and not isinstance(annotation, type(int | str)):
        return []
    return [found for argument in get_args(annotation) for found in section_classes(argument)]


def _chosen(annotation: Any, table: Any) -> type[Section] | None:
    classes = section_classes(annotation)
    for section in classes:
        for tag in ("kind", "model"):
            field = section.model_fields.get(tag)
            if field and isinstance(table, Mapping) and table.get(tag) in get_args(field.annotation):
                return section
    return classes[0] if len(classes) == 1 else None


def _nearest(path: Sequence[str], siblings: Sequence[str]) -> str:
    close = difflib.get_close_matches(path[-1], siblings, n=1, cutoff=0.5)
    return f", did you mean '{'.'.join([*path[:-1], close[0]])}'?" if close else ""


def _nearest_word(value: object, allowed: str) -> str:
    words = [word.strip(" '") for word in allowed.replace(" or ", ",").split(",")]
    close = difflib.get_close_matches(str(value), words, n=1, cutoff=0.6)
    return f", did you mean '{close[0]}'?" if close else ""


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
