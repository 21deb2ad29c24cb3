"""Sections and their keys in words: what a key may be, for messages and for the config reference."""

from __future__ import annotations

import json
import types
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from pvmc.config.section import INTEGER_BOUND, InWords, Section, ordered_fields


def section_classes(annotation: Any) -> list[type[Section]]:
    """The section classes in a type annotation, through unions and ``Annotated``."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [found for argument in get_args(annotation) for found in section_classes(argument)]


def allowed_values(field: FieldInfo) -> str:
    """Allowed values of a key, in words: "an integer >= 1", "true or false", "a list of 2 values, each ..."."""
    return type_in_words(field.annotation, field.metadata)


def type_in_words(annotation: Any, limits: Sequence[Any] = ()) -> str:
    """Values of a type, within limits, in words.

    Args:
        annotation: of a key, such as ``int`` or ``list[float]``.
        limits: what pydantic keeps beside it, such as ``Ge(1)``.
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if said := [item.text for item in limits if isinstance(item, InWords)]:
        return said[0]
    if origin is Annotated:
        inner = [
            limit for item in arguments[1:] for limit in (item.metadata if isinstance(item, FieldInfo) else [item])
        ]
        return type_in_words(arguments[0], [*limits, *inner])
    members = [member for member in arguments if member is not types.NoneType]
    is_union = origin in (Union, types.UnionType)
    if is_union and not all(section_classes(member) for member in members):
        return ", or ".join(type_in_words(member, limits) for member in members)
    if origin is list:
        return f"a list, each entry {type_in_words(arguments[0])}"
    sections = section_classes(annotation)
    if sections:
        return table_in_words(sections)
    if origin is dict:
        return "a table"
    if origin is Literal:
        return one_of(arguments)
    if origin is tuple and arguments[-1] is Ellipsis:
        return f"a list of values, each {type_in_words(arguments[0])}"
    if origin is tuple:
        kinds = list(dict.fromkeys(type_in_words(argument) for argument in arguments))
        if len(kinds) > 1:
            return f"a list of {len(arguments)} values: {'; then '.join(type_in_words(a) for a in arguments)}"
        return f"a list of {len(arguments)} values, each {kinds[0]}"
    noun = {bool: "true or false", int: "an integer", float: "a number", str: "text"}[annotation]
    return f"{noun} {_limits_in_words(limits)}".rstrip()


def _limits_in_words(limits: Iterable[Any]) -> str:
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    found = [(sign, getattr(limit, name)) for limit in limits for name, sign in signs.items() if hasattr(limit, name)]
    return " and ".join(f"{sign} {bound:g}" for sign, bound in found if bound < INTEGER_BOUND)


def table_in_words(sections: Sequence[type[Section]]) -> str:
    """A table that is one of several sections, in words: by its tag, or by its keys where there is one section."""
    for tag in ("kind", "model"):
        words = [word for section in sections for word in tag_words(section, tag)]
        if words:
            return f"a table with {tag} = {one_of(words)}"
    number = "a number or " if sections[0].shorthand else ""
    return f"{number}a table with {', '.join(ordered_fields(sections[0]))}"


def tag_words(section: type[Section], tag: str) -> Sequence[str]:
    """The words that the tag of a section may be; empty where it has no such tag."""
    field = section.model_fields.get(tag)
    words = literal_words(field.annotation) if field else []
    return [*words, section.open_tag] if field and section.open_tag else words


def default_tag(section: type[Section], tag: str) -> Any:
    """The tag of a table that leaves it out; None where it may not."""
    field = section.model_fields.get(tag)
    return field.default if field else None


def literal_words(annotation: Any) -> list[str]:
    """The words that an annotation's literals allow."""
    if get_origin(annotation) is Literal:
        return [str(word) for word in get_args(annotation)]
    return [word for argument in get_args(annotation) for word in literal_words(argument)]


def one_of(words: Sequence[object]) -> str:
    """Words in quotes: "a", "b" or "c"."""
    quoted = [json.dumps(word) for word in words]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"
