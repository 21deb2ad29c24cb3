"""Which runs are of one system: the same Hamiltonian on the same lattice, in the same sector."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from pvmc.io.reader import Run

SECTOR = ("momentum", "parity", "irrep", "spin_flip")
"""Quantum numbers of a projected ansatz."""

FRAME = ("marshall", "rotate")
"""Keys that choose the frame in which a Hamiltonian is written, on which no energy depends."""


class OfASystem(Protocol):
    """Whatever knows the system that it is of."""

    @property
    def name(self) -> str:
        """For messages."""
        ...

    @property
    def system(self) -> str:
        """See :func:`system_text`."""
        ...


def system_text(run: Run) -> str:
    """All that defines the lowest level that a run looks for, as a JSON object of keys of its input, in their order.

    These are the sections [lattice] and [hamiltonian], in which files of terms and of edges are stored by what they
    hold, the magnetisation, and the quantum numbers of a projected ansatz.  Neither the frame of the Hamiltonian nor
    the symmetry of an RBM counts: runs with and without are often extrapolated together.
    """
    tables = run.config
    ansatz = tables.get("ansatz", {})
    found: dict[str, Any] = {}
    for section in ("lattice", "hamiltonian"):
        found |= _flat(section, tables.get(section, {}))
    found = {key: value for key, value in found.items() if key.partition(".")[2] not in FRAME}
    found["sampler.magnetization"] = tables.get("sampler", {}).get("magnetization")
    if ansatz.get("kind") == "projected":
        found |= {f"ansatz.{name}": ansatz.get(name) for name in SECTOR}
    found["energy units"] = run.energy_units
    found["sites"] = run.n_sites
    return json.dumps({key: value for key, value in found.items() if value is not None}, sort_keys=True)


def differences(items: Sequence[OfASystem]) -> list[str]:
    """What the systems of some runs differ in, a text for each key with its values; empty where they are one system."""
    systems: list[dict[str, Any]] = [json.loads(item.system) if item.system else {} for item in items]
    texts = []
    for key in sorted({key for system in systems for key in system}):
        values: dict[str, str] = {}
        for system, item in zip(systems, items, strict=True):
            values.setdefault(json.dumps(system.get(key)), item.name)
        if len(values) > 1:
            each = ", ".join(f"{'none' if value == 'null' else value} ({name})" for value, name in values.items())
            texts.append(f"{key}: {each}")
    told = [text for text in texts if not text.startswith(("sites", "energy units"))]
    return told or texts  # sites and units follow from the keys of the input, where those tell


def groups(items: Sequence[Any]) -> list[list[Any]]:
    """The items of each system (:class:`OfASystem`), in the order in which they come."""
    found: dict[str, list[Any]] = {}
    for item in items:
        found.setdefault(item.system, []).append(item)
    return list(found.values())


def _flat(prefix: str, table: Mapping[str, Any]) -> dict[str, Any]:
    """A table and those inside it as one, with dots in the keys."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= _flat(f"{prefix}.{key}", value) if isinstance(value, Mapping) else {f"{prefix}.{key}": value}
    return flat
