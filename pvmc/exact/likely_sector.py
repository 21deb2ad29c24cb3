"""The magnetisation that the ground state of a large lattice is likely to have, from a small lattice of the same kind.

A short test, not a proof: the same model on fewer cells (with the same boundaries, and the same parity along every
edge) is diagonalised in every sector, and its magnetisation per site carried over.  Steps of the small lattice are
coarse, so that what lies within one of them counts as likely too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import prod

from pvmc.config import KeyProblem
from pvmc.errors import InputError
from pvmc.exact.ground_sector import SEARCHED_SITES, ground_sector
from pvmc.hamiltonians import HamiltonianSpec, Operator
from pvmc.hamiltonians.couplings import RandomField
from pvmc.hamiltonians.terms import TermsSpec
from pvmc.lattice import Lattice, LatticeSpec


@dataclass(frozen=True)
class LikelySector:
    """Magnetisations that are likely.

    Attributes:
        sites: number of sites of the small lattice.
        found: the magnetisation of its ground state of smallest modulus.
        lowest, highest: magnetisations of the large lattice that are within one step of the small one's.
        guess: the one in proportion.
    """

    sites: int
    found: int
    lowest: float
    highest: float
    guess: int


def likely_sector(lattice: LatticeSpec, hamiltonian: HamiltonianSpec, n_sites: int) -> LikelySector | None:
    """The likely magnetisations of N sites; None where no small lattice is like the large one.

    Fields or terms that differ from site to site have no small likeness.

    Args:
        lattice: the large lattice as configured.
        hamiltonian: the model as configured.
        n_sites: N.
    """
    if isinstance(hamiltonian, TermsSpec) and hamiltonian.terms:
        return None
    if any(isinstance(getattr(hamiltonian, name), list | RandomField) for name in _fields_of(hamiltonian)):
        return None
    for small in _built(smaller_lattices(lattice, SEARCHED_SITES)):
        try:
            operator = Operator.from_pauli_sum(hamiltonian.written(small), small.n_sites)  # a turn keeps the sectors
        except (KeyProblem, InputError):  # a shell that the small one does not have
            continue
        found = ground_sector(operator)
        return None if found is None else _carried_over(found.magnetizations, small.n_sites, n_sites)
    return None


def smaller_lattices(lattice: LatticeSpec, most_sites: int) -> Iterator[LatticeSpec]:
    """Lattices of the same kind, boundaries and parities with fewer cells, the largest and most compact first."""
    name = "length" if hasattr(lattice, "length") else "size"
    value = getattr(lattice, name, None)
    if value is None:
        return
    lengths = (value,) if isinstance(value, int) else tuple(value)
    choices = [range(length, 0, -2) for length in lengths]
    fitting = [cells for cells in product(*choices) if prod(cells) <= most_sites and cells != lengths]
    for cells in sorted(fitting, key=lambda cells: (-prod(cells), max(cells) - min(cells))):
        yield lattice.model_copy(update={name: cells[0] if isinstance(value, int) else cells})


def _fields_of(hamiltonian: HamiltonianSpec) -> list[str]:
    """Keys of a model that may differ from site to site; ``patterns`` and the like are alike on all lattices."""
    names = ("field", "field_x", "field_y", "field_z", "longitudinal", "detuning")
    return [name for name in names if hasattr(hamiltonian, name)]


def _built(specs: Iterator[LatticeSpec]) -> Iterator[Lattice]:
    """The lattices that exist and are small enough."""
    for spec in specs:
        try:
            lattice = spec.build()
        except KeyProblem:
            continue
        if lattice.n_sites <= SEARCHED_SITES:
            yield lattice


def _carried_over(magnetizations: tuple[int, ...], few: int, n_sites: int) -> LikelySector:
    scale = n_sites / few
    guess = magnetizations[0] * scale
    parity = n_sites % 2
    rounded = 2 * round((guess - parity) / 2) + parity
    lowest, highest = (min(magnetizations) - 2) * scale, (max(magnetizations) + 2) * scale
    return LikelySector(few, magnetizations[0], lowest, highest, max(-n_sites, min(n_sites, rounded)))
