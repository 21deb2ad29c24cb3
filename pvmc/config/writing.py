"""Sections as TOML text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import tomlkit
from pydantic.fields import FieldInfo

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
