"""Reading and checking input: TOML text to frozen, validated sections, and one clear line for what is wrong.

The sections themselves live with the nouns that they describe (``pvmc.lattice.ChainSpec``, ...); the whole
input is :class:`pvmc.job.JobConfig`.
"""

from __future__ import annotations

import ast
import difflib
import functools
import inspect
import itertools
import json
import re
import textwrap
import tomllib
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar, Union, get_args, get_origin

import tomlkit
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.fields import FieldInfo

from pvmc.errors import InputError

SectionT = TypeVar("SectionT", bound="Section")

OVERRIDE_FLAG = "--set"
"""The flag that overrides a key; messages about an overridden value name it instead of the file."""

_INTEGER_BOUND = 2**63  # of TOML and of HDF5

LARGEST_SHOWN = 60
"""Longest value that a message repeats in full, in characters."""


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


class Section(BaseModel):
    """Base of all config sections: immutable, no unknown keys, no silent conversions, finite numbers only."""

    # What a key means stands below it in the source (see `meaning`); validators are built when first used.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)

    shorthand: ClassVar[str | None] = None
    """The key that a plain number sets when it stands in place of the table."""

    open_tag: ClassVar[str | None] = None
    """What the tag of a member of a union looks like that is not from a list of words, for messages."""

    @model_validator(mode="before")
    @classmethod
    def _from_number(cls, value: Any) -> Any:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return {cls.shorthand: value} if cls.shorthand and is_number else value


@dataclass(frozen=True)
class InWords:
    """Metadata of a field (``Annotated[..., InWords("...")]``): what it may be, where its type says it badly."""

    text: str


def ordered_fields(section: type[Section]) -> dict[str, FieldInfo]:
    """The keys of a section in the order to show them: what says which it is, its own, those that others have too."""
    fields = section.model_fields
    tags = [name for name in ("kind", "model") if name in fields]
    own = [name for name in section.__annotations__ if name in fields]
    return {name: fields[name] for name in dict.fromkeys([*tags, *own, *fields])}


def meaning(section: type[Section], name: str) -> str:
    """What a key is: the string below it in the source of its class; empty where there is none.

    Read when asked for: to read all of them takes longer than the rest of a start.
    """
    texts = (_attribute_texts(base) for base in section.__mro__ if issubclass(base, Section))
    return next((found[name] for found in texts if name in found), "")


@functools.cache
def _attribute_texts(section: type[Section]) -> dict[str, str]:
    """The string below each attribute that a class declares, by the attribute's name."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(section))).body
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for attribute, below in itertools.pairwise(definition.body):
        match attribute, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = inspect.cleandoc(text)
    return found


class KeyProblem(ValueError):
    """A value that is wrong only in the light of others; raised by checks across sections.

    Attributes:
        key: dotted name of the offending key, such as ``ansatz.alpha``.
        value: its value.
        allowed: what would have been accepted, in words.
    """

    def __init__(self, key: str, value: object, allowed: str):
        super().__init__(f"{key} = {shown(value)}: {allowed}")
        self.key, self.value, self.allowed = key, value, allowed


@contextmanager
def inside_key(outer: str, inner: str) -> Iterator[None]:
    """Makes the keys of problems raised within those of a nested table: ``outer.x`` becomes ``inner.x``."""
    try:
        yield
    except KeyProblem as problem:
        if problem.key != outer and not problem.key.startswith(f"{outer}."):
            raise
        raise KeyProblem(inner + problem.key[len(outer) :], problem.value, problem.allowed) from None


# Reading --------------------------------------------------------------------------------------------------------------


def read_input(path: Path, overrides: Sequence[str] = ()) -> RawInput:
    """A TOML file with each ``key.path=value`` of the command line put in; values are TOML, bare words are strings.

    Raises:
        InputError: the file cannot be read; an override lacks ``=`` or a key, or its path runs through a value.
    """
    tables, text = _read(path)
    overridden: set[str] = set()
    for override in overrides:
        key, equals, word = override.partition("=")
        parts = [part.strip() for part in key.split(".")]
        if not equals or not word.strip() or not all(parts):
            raise InputError(f"{OVERRIDE_FLAG} {shown(override)}: must be KEY=VALUE, such as ansatz.alpha=2")
        overridden.add(_put(tables, parts, _parsed_value(word.strip())))
    return RawInput(tables, str(path), text, frozenset(overridden))


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
        if isinstance(value, int) and not -_INTEGER_BOUND <= value < _INTEGER_BOUND:
            raise raw.error(key, f"{key} = {shown(value)}: must be an integer of at most 64 bits")
    try:
        return model.model_validate(raw.tables)
    except ValidationError as error:
        key, text = _message(model, raw.tables, error)
        raise raw.error(key, text) from None


def _entries(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of nested tables, and of lists within them."""
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _entries(value, f"{prefix}{name}.")
        else:
            for item in value if isinstance(value, list) else [value]:
                yield f"{prefix}{name}", item


# Messages -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Place:
    """Where a problem lies: the key, its value, what the section that holds it knows of it."""

    path: tuple[str, ...]
    value: Any
    holder: type[Section] | None
    field: FieldInfo | None

    @property
    def key(self) -> str:
        return ".".join(part if re.fullmatch(r"[\w-]+(\[\d+\])?", part) else json.dumps(part) for part in self.path)


def _message(model: type[Section], tables: Mapping[str, Any], error: ValidationError) -> tuple[str, str]:
    """The key and one line for the most telling problem: a misspelt key comes before the missing key that it caused."""
    order = {"extra_forbidden": 0, "missing": 2}
    problems = sorted(error.errors(), key=lambda problem: order.get(problem["type"], 1))
    places = [_tag_place(_locate(model, tables, problem["loc"]), problem["type"]) for problem in problems]
    text = _problem_in_words(problems[0], places[0], model, tables)
    more = len({place.path for place in places}) - 1
    return ".".join(places[0].path), text + (f" (and {more} more problem{'s' if more > 1 else ''})" if more else "")


def _problem_in_words(
    problem: Mapping[str, Any], place: _Place, model: type[Section], tables: Mapping[str, Any]
) -> str:
    given = f"{place.key} = {shown(place.value)}"
    match problem["type"]:
        case "extra_forbidden":
            siblings = list(ordered_fields(place.holder)) if place.holder else []
            unknown = f"[{place.key}]: unknown section" if isinstance(place.value, Mapping) else f"{given}: unknown key"
            hint = _nearest_key(place.path, siblings, model, tables)
            return f"{unknown}{hint}; allowed: {', '.join(siblings)}"
        case "missing" if isinstance(place.value, list):  # too short a list
            return f"{given}: must be {_allowed(place)}"
        case "missing" if section_classes(_annotation(place)):
            return f"[{place.key}]: section missing; must be {_allowed(place)}"
        case "missing":
            purpose = meaning(place.holder, str(place.path[-1])).rstrip(".") if place.holder else ""
            return f"{place.key}: missing; must be {_allowed(place)}" + (f" ({purpose})" if purpose else "")
        case "union_tag_not_found":
            return f"{place.key}: missing; must be {_one_of(_tags_of(place))}"
        case "union_tag_invalid":
            words = _tags_of(place)
            return f"{given}: must be {_one_of(words)}{_nearest_word(place.value, words)}"
        case "value_error" if isinstance(problem["ctx"]["error"], KeyProblem):
            return str(problem["ctx"]["error"])
        case "value_error":
            return f"{given}: {problem['ctx']['error']}"
        case "finite_number":
            return f"{given}: must be finite, {_allowed(place)}"
        case _:
            return f"{given}: must be {_allowed(place)}{_nearest_word(place.value, _words(_annotation(place)))}"


def _locate(model: type[Section], tables: Mapping[str, Any], location: Sequence[int | str]) -> _Place:
    """The key that a pydantic location speaks of.

    A location also holds tags of unions, names of types and positions in lists, which are no keys.
    """
    place = _Place((), tables, None, None)
    section: type[Section] | None = model
    tag: Any = None
    for depth, part in enumerate(location, start=1):
        if tag is not None and part == tag:  # may be the name of a key as well
            tag = None
            continue
        if isinstance(part, int) and isinstance(place.value, list) and section:  # a table of a list of tables
            place = replace(place, value=place.value[part])
            continue
        if isinstance(part, int) and isinstance(place.value, list) and section_classes(_annotation(place)):
            *parents, last = place.path  # one of a list of tables of several kinds
            place = replace(place, path=(*parents, f"{last}[{part}]"), value=place.value[part])
            section = _chosen(_annotation(place), place.value)
            continue
        known = section.model_fields.get(str(part)) if section else None
        is_unknown_key = depth == len(location) and isinstance(place.value, Mapping) and part in place.value
        if known is None and not is_unknown_key:
            continue
        if isinstance(place.value, Mapping):
            place = _Place((*place.path, str(part)), place.value.get(str(part)), section, known)
        else:  # a plain number in place of a table
            place = _Place(place.path, place.value, section, known)
        section = _chosen(known.annotation, place.value) if known else None
        tag = place.value.get(known.discriminator) if known and isinstance(place.value, Mapping) else None
    return place


def _annotation(place: _Place) -> Any:
    return place.field.annotation if place.field else None


def _allowed(place: _Place) -> str:
    return allowed_values(place.field) if place.field else "left out"


def _tag_place(place: _Place, problem: str) -> _Place:
    """The place of a union's tag, where the problem is the tag's; else the place itself."""
    if problem not in ("union_tag_not_found", "union_tag_invalid") or place.field is None:
        return place
    own = place.field.discriminator
    tag = own if isinstance(own, str) else "kind"
    value = place.value.get(tag) if isinstance(place.value, Mapping) else None
    return replace(place, path=(*place.path, tag), value=value)


def _tags_of(place: _Place) -> list[str]:
    """The words of a union's tag, of which ``place`` is the place."""
    return [word for section in section_classes(_annotation(place)) for word in _tag_words(section, place.path[-1])]


def _chosen(annotation: Any, table: Any) -> type[Section] | None:
    """The section class of a union that a table's tag names; the only one, where there is one."""
    classes = section_classes(annotation)
    for section in classes:
        for tag in ("kind", "model"):
            if isinstance(table, Mapping) and table.get(tag, _default_tag(section, tag)) in _tag_words(section, tag):
                return section
    is_open = isinstance(table, Mapping) and ":" in str(table.get("kind"))
    classes = [section for section in classes if section.open_tag] if is_open else classes
    return classes[0] if len(classes) == 1 else None


def _nearest_key(path: Sequence[str], siblings: Sequence[str], model: type[Section], tables: Mapping[str, Any]) -> str:
    """A guess at what an unknown key was to be: a similar one beside it, or the same one of another section."""
    *parents, name = path
    close = difflib.get_close_matches(name, siblings, n=1, cutoff=0.5)
    guesses = [".".join([*parents, near]) for near in close]
    elsewhere = [key for key in _known_keys(model, tables) if key.rpartition(".")[2] == name]
    guesses += sorted(elsewhere, key=lambda key: key.count("."))
    return f", did you mean '{guesses[0]}'?" if guesses else ""


def _known_keys(section: type[Section], table: Any, prefix: str = "") -> Iterator[str]:
    """Dotted keys of a section and of those in it, choosing union members as the table does."""
    for name, field in ordered_fields(section).items():
        yield f"{prefix}{name}"
        inner_table = table.get(name) if isinstance(table, Mapping) else None
        inner = _chosen(field.annotation, inner_table)
        if inner:
            yield from _known_keys(inner, inner_table, f"{prefix}{name}.")


def _nearest_word(value: object, words: Sequence[str]) -> str:
    is_guessable = isinstance(value, str) and len(words) > 1
    close = difflib.get_close_matches(str(value), words, n=1, cutoff=0.5) if is_guessable else []
    return f', did you mean "{close[0]}"?' if close else ""


def shown(value: object) -> str:
    """A value as TOML writes it, on one line, shortened where it is long."""
    text = _toml_text(value)
    return text if len(text) <= LARGEST_SHOWN else text[: LARGEST_SHOWN - 3] + "..."


def _toml_text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Section):
        value = value.model_dump(exclude_none=True)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name} = {_toml_text(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml_text, value)) + "]"
    return str(value)


# Sections in words ----------------------------------------------------------------------------------------------------


def section_classes(annotation: Any) -> list[type[Section]]:
    """The section classes in a type annotation, through unions and ``Annotated``."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [found for argument in get_args(annotation) for found in section_classes(argument)]


def allowed_values(field: FieldInfo) -> str:
    """What a key may be, in words: "an integer >= 1", "true or false", "a list of 2 values, each ..."."""
    return _type_in_words(field.annotation, field.metadata)


def _type_in_words(annotation: Any, limits: Sequence[Any] = ()) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if said := [item.text for item in limits if isinstance(item, InWords)]:
        return said[0]
    if origin is Annotated:
        inner = [
            limit for item in arguments[1:] for limit in (item.metadata if isinstance(item, FieldInfo) else [item])
        ]
        return _type_in_words(arguments[0], [*limits, *inner])
    members = [member for member in arguments if member is not types.NoneType]
    is_union = origin in (Union, types.UnionType)
    if is_union and not all(section_classes(member) for member in members):
        return ", or ".join(_type_in_words(member, limits) for member in members)
    if origin is list:
        return f"a list, each entry {_type_in_words(arguments[0])}"
    sections = section_classes(annotation)
    if sections:
        return _table_in_words(sections)
    if origin is dict:
        return "a table"
    if origin is Literal:
        return _one_of(arguments)
    if origin is tuple and arguments[-1] is Ellipsis:
        return f"a list of values, each {_type_in_words(arguments[0])}"
    if origin is tuple:
        kinds = list(dict.fromkeys(_type_in_words(argument) for argument in arguments))
        if len(kinds) > 1:
            return f"a list of {len(arguments)} values: {'; then '.join(_type_in_words(a) for a in arguments)}"
        return f"a list of {len(arguments)} values, each {kinds[0]}"
    noun = {bool: "true or false", int: "an integer", float: "a number", str: "text"}[annotation]
    return f"{noun} {_limits_in_words(limits)}".rstrip()


def _limits_in_words(limits: Iterable[Any]) -> str:
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    found = [(sign, getattr(limit, name)) for limit in limits for name, sign in signs.items() if hasattr(limit, name)]
    return " and ".join(f"{sign} {bound:g}" for sign, bound in found if bound < _INTEGER_BOUND)


def _table_in_words(sections: Sequence[type[Section]]) -> str:
    for tag in ("kind", "model"):
        words = [word for section in sections for word in _tag_words(section, tag)]
        if words:
            return f"a table with {tag} = {_one_of(words)}"
    number = "a number or " if sections[0].shorthand else ""
    return f"{number}a table with {', '.join(ordered_fields(sections[0]))}"


def _tag_words(section: type[Section], tag: str) -> Sequence[str]:
    field = section.model_fields.get(tag)
    words = _words(field.annotation) if field else []
    return [*words, section.open_tag] if field and section.open_tag else words


def _default_tag(section: type[Section], tag: str) -> Any:
    """The tag of a table that leaves it out; None where it may not."""
    field = section.model_fields.get(tag)
    return field.default if field else None


def _words(annotation: Any) -> list[str]:
    """The words that an annotation's literals allow."""
    if get_origin(annotation) is Literal:
        return [str(word) for word in get_args(annotation)]
    return [word for argument in get_args(annotation) for word in _words(argument)]


def _one_of(words: Sequence[object]) -> str:
    quoted = [json.dumps(word) for word in words]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"


# Writing --------------------------------------------------------------------------------------------------------------


def to_toml(section: Section, *, commented: bool = False) -> str:
    """The section as TOML text with every default written out; ``commented`` says what each key is and may be."""
    document = tomlkit.document()
    for name, value, _ in _fields(section):
        if isinstance(value, Section):
            table = tomlkit.table()
            if commented:
                table.add(tomlkit.comment(meaning(type(section), name)))
            _fill(table, value, commented)
            document.add(name, table)
    return tomlkit.dumps(document)


def _fill(table: tomlkit.items.Table, section: Section, commented: bool) -> None:
    for name, value, field in _fields(section):
        is_tag = name in ("kind", "model")  # explained by the section's own line
        if commented and not is_tag:
            table.add(tomlkit.nl())
            table.add(tomlkit.comment(f"{meaning(type(section), name).rstrip('.')} ({allowed_values(field)})"))
        if value is not None:
            table.add(name, _toml_value(value))
        elif commented:
            table.add(tomlkit.comment(f"{name} = ..."))


def _toml_value(value: Any) -> Any:
    if isinstance(value, Section):
        value = {name: item for name, item, _ in _fields(value) if item is not None}
    if isinstance(value, Mapping):
        inline = tomlkit.inline_table()
        for name, item in value.items():
            inline.append(name, _toml_value(item))
        return inline
    if isinstance(value, list | tuple):
        array = tomlkit.array()
        for item in value:
            array.append(_toml_value(item))
        return array
    return tomlkit.item(value)


def _fields(section: Section) -> Iterator[tuple[str, Any, FieldInfo]]:
    for name, field in ordered_fields(type(section)).items():
        yield name, getattr(section, name), field
