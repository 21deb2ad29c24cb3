"""The lattice and the model of a run, built again from the input in its file; runs of one system."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pvmc.config import KeyProblem, RawInput, Section, stored_input, validate
from pvmc.errors import InputError
from pvmc.hamiltonians import HamiltonianSpec, PauliSum
from pvmc.io.reader import Run
from pvmc.lattice import Lattice, LatticeSpec

SECTOR = ("momentum", "parity", "irrep", "spin_flip")
"""Quantum numbers of a projected ansatz."""

FRAME = ("marshall", "rotate")
"""Keys that choose the frame in which a Hamiltonian is written, on which no energy depends."""


class HasSystem(Protocol):
    """Anything with a name that says of which system it is."""

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


def differences(items: Sequence[HasSystem]) -> list[str]:
    """Keys in which the systems of runs differ, a text for each with its values; empty where they are one system."""
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
    """The items of each system (:class:`HasSystem`), in the order in which they come."""
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


class _SystemInput(Section):
    """The sections of an input file that say what is solved."""

    lattice: LatticeSpec
    """sites and bonds"""
    hamiltonian: HamiltonianSpec
    """the model"""


@dataclass(frozen=True, eq=False)
class StoredSystem:
    """Lattice and Hamiltonian of a run.

    Attributes:
        lattice: sites, bonds and symmetries.
        model: the section [hamiltonian].
        terms: the Hamiltonian, a sum of Pauli strings.
    """

    lattice: Lattice
    model: HamiltonianSpec
    terms: PauliSum


def system_of(run: Run) -> StoredSystem:
    """The lattice and the Hamiltonian of a run.

    Raises:
        InputError: its input is not one of this version of pvmc.
    """
    raw = run_input(run)
    raw = RawInput({name: raw.tables[name] for name in ("lattice", "hamiltonian") if name in raw.tables}, raw.file)
    config = validate(_SystemInput, raw)
    try:
        lattice = config.lattice.build()
        return StoredSystem(lattice, config.hamiltonian, config.hamiltonian.build(lattice))
    except KeyProblem as problem:
        raise raw.error(problem.key, str(problem)) from None
    except InputError as error:
        raise InputError(f"{raw.file}: {error}") from None


def run_input(run: Run) -> RawInput:
    """The whole input of a run, to be validated again."""
    return stored_input(run.config_text, f"the input in {run.path}", run.config_text)


def model_name(run: Run) -> str:
    """The model and its size, such as "heisenberg, chain 40" or "ising h=1, open chain 16"."""
    tables = run.config
    hamiltonian, lattice = tables.get("hamiltonian", {}), tables.get("lattice", {})
    shown = {"field": "h", "anisotropy": "Delta", "j2": "J2", "j3": "J3"}
    values = [f"{sign}={hamiltonian[key]:g}" for key, sign in shown.items() if _is_number(hamiltonian.get(key))]
    size = lattice.get("length") or lattice.get("size")
    extent = "x".join(map(str, size)) if isinstance(size, list) else str(size or run.n_sites)
    model = " ".join([str(hamiltonian.get("model", "?")), *values])
    periodic = lattice.get("periodic")
    is_open = periodic is False or (isinstance(periodic, list) and not any(periodic))
    return f"{model}, {'open ' if is_open else ''}{lattice.get('kind', 'lattice')} {extent}"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value != 0
