"""One clear line for each thing that is wrong with an input: the key, its value, what is allowed, the nearest key."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from pvmc.config.section import INTEGER_BOUND, KeyProblem, KeyProblems, Section, meaning, ordered_fields, shown
from pvmc.config.synonyms import keys_meant, plain, sections_meant, words_meant
from pvmc.config.words import allowed_values, default_tag, literal_words, one_of, section_classes, tag_words


@dataclass(frozen=True)
class _Place:
    """Where a problem lies: the key, its value, what the section that holds it knows of it, its union."""

    path: tuple[str, ...]
    value: Any
    holder: type[Section] | None
    field: FieldInfo | None
    union: Any = None

    @property
    def key(self) -> str:
        return ".".join(part if re.fullmatch(r"[\w-]+(\[\d+\])?", part) else json.dumps(part) for part in self.path)


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with an input.

    Attributes:
        path: the key, part by part.
        text: one line: the key, its value, what is allowed or what to do.
        is_unknown: whether the key is one that the section does not have.
    """

    path: tuple[str, ...]
    text: str
    is_unknown: bool = False

    @property
    def key(self) -> str:
        """The dotted key."""
        return ".".join(self.path)


def problems_of(
    model: type[Section], tables: Mapping[str, Any], error: ValidationError, overridden: Collection[str] = ()
) -> list[Problem]:
    """Every problem that pydantic has found, once.

    Of the kinds of value that a key may be, each complains where none fits: what counts is the table that was meant
    where there is one, and the key itself else.  A key that is missing because it is misspelt is no second problem.

    Args:
        model: the section of the whole input.
        tables: the input.
        error: of pydantic.
        overridden: keys that came from the command line, whose words may be no TOML.
    """
    order = {"extra_forbidden": 0, "missing": 2}
    raw = sorted(error.errors(), key=lambda problem: order.get(problem["type"], 1))
    placed = [(problem, _tag_place(_locate(model, tables, problem["loc"]), problem["type"])) for problem in raw]
    first: dict[tuple[str, ...], tuple[Any, _Place]] = {}
    for problem, place in placed:
        first.setdefault(place.path, (problem, place))
    inner = {path[:depth] for path in first for depth in range(1, len(path))}
    guessed: set[str] = set()
    found: list[Problem] = []
    for path, (problem, place) in first.items():
        fits_another = isinstance(place.value, Mapping) and not isinstance(_context(problem), ValueError)
        if path in inner and fits_another:
            continue
        if any(path[:depth] in first and not _is_table(first[path[:depth]]) for depth in range(1, len(path))):
            continue
        if problem["type"] == "missing" and place.key in guessed:
            continue
        guess = _nearest_key(place, model, tables) if problem["type"] == "extra_forbidden" else ""
        guessed.add(guess)
        context = _context(problem)
        if isinstance(context, KeyProblems):
            found += [Problem(tuple(one.key.split(".")), str(one)) for one in context.problems]
            continue
        if isinstance(context, KeyProblem):
            found.append(Problem(tuple(context.key.split(".")), str(context)))
            continue
        is_word = place.key in overridden
        text = _problem_in_words(problem, place, guess, is_word)
        found.append(Problem(path, text, problem["type"] == "extra_forbidden"))
    return found


def other_kinds(model: type[Section], tables: Mapping[str, Any], error: ValidationError) -> list[tuple[str, ...]]:
    """Unknown keys that another kind of the same table would have."""
    unknown = [problem["loc"] for problem in error.errors() if problem["type"] == "extra_forbidden"]
    return [place.path for place in (_locate(model, tables, location) for location in unknown) if _other_kind(place)]


def _context(problem: Mapping[str, Any]) -> object:
    """The problem that a validator of ours has raised, if one has."""
    return problem["ctx"]["error"] if problem["type"] == "value_error" else None


def _is_table(found: tuple[Any, _Place]) -> bool:
    return isinstance(found[1].value, Mapping)


def _problem_in_words(problem: Mapping[str, Any], place: _Place, guess: str, is_word: bool) -> str:
    given = f"{place.key} = {shown(place.value)}"
    match problem["type"]:
        case "extra_forbidden":
            siblings = list(ordered_fields(place.holder)) if place.holder else []
            unknown = f"[{place.key}]: unknown section" if isinstance(place.value, Mapping) else f"{given}: unknown key"
            hint = f", did you mean '{guess}'?" if guess else _other_kind(place)
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
        case "value_error":
            return f"{given}: {problem['ctx']['error']}"
        case "finite_number":
            return f"{given}: must be finite, {_allowed(place)}"
        case _:
            words = literal_words(_annotation(place))
            near = _nearest_word(place.value, words) or _nearest_value(place.value, _annotation(place), is_word)
            return f"{given}: must be {_allowed(place)}{near}"


def _locate(model: type[Section], tables: Mapping[str, Any], location: Sequence[int | str]) -> _Place:
    """The key that a pydantic location speaks of.

    A location also holds tags of unions, names of types and positions in lists, which are no keys.
    """
    place = _Place((), tables, None, None)
    section: type[Section] | None = model
    union: Any = None
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
            place = _Place((*place.path, str(part)), place.value.get(str(part)), section, known, union)
        else:  # a plain number in place of a table
            place = _Place(place.path, place.value, section, known)
        union = known.annotation if known else None
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


def _nearest_key(place: _Place, model: type[Section], tables: Mapping[str, Any]) -> str:
    """A guess at what an unknown key was to be; empty without one.

    Beside it a key that is elsewhere called so, or one of a similar name; in other sections the one of this name, or
    one that is elsewhere called so.
    """
    *parents, name = place.path
    siblings = {plain(key): key for key in (ordered_fields(place.holder) if place.holder else ())}
    prefix = "".join(f"{parent}." for parent in parents)
    known = sorted(_known_keys(model, tables), key=lambda key: key.count("."))
    meant = list(keys_meant(name)) if parents else [*sections_meant(name), *keys_meant(name)]
    if isinstance(place.value, Mapping) and not parents:
        meant = list(sections_meant(name))
    close = difflib.get_close_matches(plain(name), siblings, n=1, cutoff=0.5)
    certain = difflib.get_close_matches(plain(name), siblings, n=1, cutoff=0.8)
    beside = [key for key in meant if key in known and key.rpartition(".")[0] == prefix.rstrip(".")]
    guesses = [
        *(prefix + siblings[near] for near in certain),
        *beside,
        *(key for key in known if key.rpartition(".")[2] == name),
        *(prefix + siblings[near] for near in close),
        *(key for key in meant if key in known),
    ]
    return next((guess for guess in guesses if guess != place.key), "")


def _other_kind(place: _Place) -> str:
    """Of a key that another kind of the same table has: which one."""
    if place.union is None:
        return ""
    name = str(place.path[-1])
    for section in section_classes(place.union):
        for tag in ("kind", "model"):
            if name in section.model_fields and (words := tag_words(section, tag)):
                return f' of this {tag} ({tag} = "{words[0]}" has it)'
    return ""


def _known_keys(section: type[Section], table: Any, prefix: str = "") -> Iterator[str]:
    """Dotted keys of a section and of those in it, choosing union members as the table does."""
    for name, field in ordered_fields(section).items():
        yield f"{prefix}{name}"
        inner_table = table.get(name) if isinstance(table, Mapping) else None
        inner = _chosen(field.annotation, inner_table)
        if inner:
            yield from _known_keys(inner, inner_table, f"{prefix}{name}.")


def _nearest_word(value: object, words: Sequence[str]) -> str:
    if not isinstance(value, str) or len(words) < 2:
        return ""
    own = {plain(word): word for word in words}
    certain = difflib.get_close_matches(plain(value), own, n=1, cutoff=0.8)
    close = difflib.get_close_matches(plain(value), own, n=1, cutoff=0.5)
    guesses = [*map(own.get, certain), *(word for word in words_meant(value) if word in words), *map(own.get, close)]
    return f', did you mean "{guesses[0]}"?' if guesses else ""


def _nearest_value(value: object, annotation: Any, is_word: bool) -> str:
    """A guess for a value of another type: a number or a truth value in quotes, a float for an integer."""
    if isinstance(value, str):
        truth = value.lower() if value.lower() in ("true", "false") else next(iter(words_meant(value)), "")
        if annotation is bool or (bool in get_args(annotation)):
            return f", did you mean {truth}?" if truth in ("true", "false") else ""
        is_number = re.fullmatch(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?", value) is not None
        if is_number and not is_word and {int, float} & {annotation, *get_args(annotation)}:
            return f", without quotes: {value}"
    if isinstance(value, float) and not isinstance(value, bool) and value.is_integer() and annotation is int:
        return f", such as {int(value)}" if abs(value) < INTEGER_BOUND else ""
    return ""
