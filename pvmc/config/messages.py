"""One clear line for what is wrong with an input: the key, its value, what is allowed, and the nearest key."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from pvmc.config.section import KeyProblem, Section, meaning, ordered_fields, shown
from pvmc.config.words import allowed_values, default_tag, literal_words, one_of, section_classes, tag_words


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


def problem_message(model: type[Section], tables: Mapping[str, Any], error: ValidationError) -> tuple[str, str]:
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
            return f"{place.key}: missing; must be {one_of(_tags_of(place))}"
        case "union_tag_invalid":
            words = _tags_of(place)
            return f"{given}: must be {one_of(words)}{_nearest_word(place.value, words)}"
        case "value_error" if isinstance(problem["ctx"]["error"], KeyProblem):
            return str(problem["ctx"]["error"])
        case "value_error":
            return f"{given}: {problem['ctx']['error']}"
        case "finite_number":
            return f"{given}: must be finite, {_allowed(place)}"
        case _:
            return f"{given}: must be {_allowed(place)}{_nearest_word(place.value, literal_words(_annotation(place)))}"


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
    return [word for section in section_classes(_annotation(place)) for word in tag_words(section, place.path[-1])]


def _chosen(annotation: Any, table: Any) -> type[Section] | None:
    """The section class of a union that a table's tag names; the only one, where there is one."""
    classes = section_classes(annotation)
    for section in classes:
        for tag in ("kind", "model"):
            if isinstance(table, Mapping) and table.get(tag, default_tag(section, tag)) in tag_words(section, tag):
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
