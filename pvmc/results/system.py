"""The lattice and the model of a run, built again from the input in its file."""

from __future__ import annotations

from dataclasses import dataclass

from pvmc.config import KeyProblem, RawInput, Section, stored_tables, validate
from pvmc.errors import InputError
from pvmc.hamiltonians import HamiltonianSpec, PauliSum
from pvmc.io.reader import Run
from pvmc.lattice import Lattice, LatticeSpec


class _SystemInput(Section):
    """The sections of an input file that say what is solved."""

    lattice: LatticeSpec
    """sites and bonds"""
    hamiltonian: HamiltonianSpec
    """the model"""


@dataclass(frozen=True, eq=False)
class System:
    """What a run is about.

    Attributes:
        lattice: sites, bonds and symmetries.
        terms: the Hamiltonian, a sum of Pauli strings.
    """

    lattice: Lattice
    terms: PauliSum


def system_of(run: Run) -> System:
    """The lattice and the Hamiltonian of a run.

    Raises:
        InputError: its input is not one of this version of pvmc.
    """
    raw = run_input(run)
    raw = RawInput({name: raw.tables[name] for name in ("lattice", "hamiltonian") if name in raw.tables}, raw.file)
    config = validate(_SystemInput, raw)
    try:
        lattice = config.lattice.build()
        return System(lattice, config.hamiltonian.build(lattice))
    except KeyProblem as problem:
        raise raw.error(problem.key, str(problem)) from None
    except InputError as error:
        raise InputError(f"{raw.file}: {error}") from None


def run_input(run: Run) -> RawInput:
    """The whole input of a run, to be validated again."""
    return RawInput(stored_tables(run.config_text), f"the input in {run.path}", run.config_text, stored=True)


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
