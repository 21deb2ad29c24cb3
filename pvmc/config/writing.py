"""Sections as TOML text, and the input that a file of results holds."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

import tomlkit
from pydantic.fields import FieldInfo

from pvmc.config.reading import RawInput
from pvmc.config.section import Section, meaning, ordered_fields
from pvmc.config.words import allowed_values


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


def toml_value(value: Any) -> str:
    """A value of a key as TOML text on one line."""
    return str(_toml_value(value).as_string())


def edited(raw: RawInput) -> str:
    """The text of an input with what the command line sets put in; comments stay.

    Where the text cannot be changed in place, it is written anew, without comments.
    """
    values: dict[str, Any] = {}
    for key in sorted(raw.overridden):
        value: Any = raw.tables
        for part in key.split("."):
            value = value[part]
        is_section = isinstance(value, dict) and "." not in key
        values |= {f"{key}.{name}": item for name, item in value.items()} if is_section else {key: value}
    text = _with_values(raw.text, values)
    if tomllib.loads(text) == raw.tables:
        return text
    sections = {name: table for name, table in raw.tables.items() if isinstance(table, dict)}
    return _with_values("", {f"{name}.{key}": item for name, table in sections.items() for key, item in table.items()})


def _with_values(text: str, values: Mapping[str, Any]) -> str:
    """A TOML text in which dotted keys have these values; tables on the way to them are made where there are none."""
    document = tomlkit.parse(text)
    for key, value in values.items():
        *sections, name = key.split(".")
        table: Any = document
        for depth, section in enumerate(sections):
            if section not in table:
                table[section] = tomlkit.inline_table() if depth else tomlkit.table()
            table = table[section]
        table[name] = _toml_value(value)
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


TURNED_LATER = ("cluster_ising", "compass", "ising", "kitaev", "long_range_ising")
"""Models that once had no key ``rotate``, and turned no spin."""


def stored_input(text: str, file: str, source: str = "") -> RawInput:
    """An input that is stored with results, to be validated again.

    Args:
        text: TOML, with every choice written out.
        file: name of the file that holds it, for messages.
        source: the input file as the user wrote it, where it is wanted.
    """
    return RawInput(stored_tables(text), file, source, stored=True)


def stored_tables(text: str) -> dict[str, Any]:
    """The tables of an input as a run or fit stores it, with every choice written out.

    Keys that came later have the values that stand for what older versions did, where that is not their default.

    Args:
        text: TOML.
    """
    tables = tomllib.loads(text)
    hamiltonian = tables.get("hamiltonian")
    if isinstance(hamiltonian, dict) and hamiltonian.get("model") in TURNED_LATER:
        hamiltonian.setdefault("rotate", False)
    return tables
