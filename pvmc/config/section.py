"""The base of all config sections, and problems that name a key."""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import json
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.fields import FieldInfo

SectionT = TypeVar("SectionT", bound="Section")

INTEGER_BOUND = 2**63
"""Integers of TOML and of HDF5 lie below it."""

LARGEST_SHOWN = 60
"""Longest value that a message repeats in full, in characters."""


class Section(BaseModel):
    """Base of all config sections: immutable, no unknown keys, no silent conversions, finite numbers only."""

    # What a key means stands below it in the source (see `meaning`); validators are built when first used.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)

    shorthand: ClassVar[str | None] = None
    """The key that a plain number sets when it stands in place of the table."""

    open_tag: ClassVar[str | None] = None
    """The form of a tag of a union's member that is not from a list of words, for messages."""

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
    """Meaning of a key: the string below it in the source of its class; empty where there is none.

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


class KeyProblems(ValueError):
    """Several problems of one section at once.

    Attributes:
        problems: at least one.
    """

    def __init__(self, problems: Sequence[KeyProblem]):
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


def check_all(*checks: Callable[[], object]) -> None:
    """Carry out checks that do not depend on each other.

    Raises:
        KeyProblem: the one that one of them raised.
        KeyProblems: all that several of them raised.
    """
    found: list[KeyProblem] = []
    for check in checks:
        try:
            check()
        except KeyProblem as problem:
            found.append(problem)
        except KeyProblems as several:
            found += several.problems
    raise_all(found)


def raise_all(problems: Iterable[KeyProblem]) -> None:
    """Raise problems together, of each key the first.

    Raises:
        KeyProblem: there is one.
        KeyProblems: there are several.
    """
    first: dict[str, KeyProblem] = {}
    for problem in problems:
        first.setdefault(problem.key, problem)
    if len(first) > 1:
        raise KeyProblems(list(first.values()))
    for problem in first.values():
        raise problem


@contextmanager
def inside_key(outer: str, inner: str) -> Iterator[None]:
    """Makes the keys of problems raised within those of a nested table: ``outer.x`` becomes ``inner.x``."""

    def renamed(problem: KeyProblem) -> KeyProblem:
        if problem.key != outer and not problem.key.startswith(f"{outer}."):
            return problem
        return KeyProblem(inner + problem.key[len(outer) :], problem.value, problem.allowed)

    try:
        yield
    except KeyProblem as problem:
        raise renamed(problem) from None
    except KeyProblems as several:
        raise KeyProblems([renamed(problem) for problem in several.problems]) from None


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
        if value.shorthand and value.model_fields_set == {value.shorthand}:
            return _toml_text(getattr(value, value.shorthand))  # as it was given
        value = value.model_dump(exclude_none=True)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name} = {_toml_text(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml_text, value)) + "]"
    return str(value)
