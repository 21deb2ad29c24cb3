"""The magnetisation of the ground state of a Hamiltonian that conserves sum_i s_i: known where it can be proved.

Five ways, the first that applies:

- a Hamiltonian that is invariant under rotations of all spins: every multiplet has a member at sum_i s_i = 0 (N even)
  or +-1 (N odd);
- a diagonal Hamiltonian of few spins: its configurations are its eigenstates;
- exact diagonalisation of every sector, of few spins;
- a Heisenberg ring in a uniform field, whatever its length, by the Bethe ansatz;
- a sum of one- and two-spin terms: where the state of all spins up (or down) has the lowest energy of every pair of
  spins with its share of the fields, nothing is lower (Anderson, Phys. Rev. 83, 1260 (1951), for the bound).

Where none applies, a small lattice of the same kind says what is likely: the same model on fewer cells (with the same
boundaries, and the same parity along every edge) is diagonalised in every sector, and its magnetisation per site
carried over.  Steps of the small lattice are coarse, so that what lies within one of them counts as likely too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np

from pvmc.config import KeyProblem
from pvmc.errors import InputError
from pvmc.exact.closed_chains import heisenberg_chain_magnetizations
from pvmc.hamiltonians import HamiltonianSpec, Operator
from pvmc.hamiltonians.couplings import RandomField
from pvmc.hamiltonians.pairs import heisenberg_ring, is_even_in_spins, is_rotation_invariant, pair_terms
from pvmc.hamiltonians.terms import TermsSpec
from pvmc.lattice import Lattice, LatticeSpec
from pvmc.spins.configurations import Basis

SAME_LEVEL = 1e-9
"""Energies closer than this, relative to the bound on the width of the spectrum, are one level."""

SEARCHED_SITES = 16
"""Most sites of which every sector is diagonalised without being asked (2^16 configurations; about a second)."""

CONFIGURATIONS_AT_ONCE = 2**16
"""Configurations whose diagonal elements are computed at a time."""


EXCITED = "unless an excited state is wanted"
"""End of the warnings that quantum numbers asked for by name are not those of the ground state."""


@dataclass(frozen=True)
class GroundSector:
    """The magnetisations that hold the lowest level.

    Attributes:
        magnetizations: the values of sum_i s_i that are known to hold it, by ascending modulus, positive ones first.
        energy: its energy in the Hamiltonian's units; None where only the magnetisation is known.
        method: how it is known, in words.
        levels: the lowest energy of every magnetisation, where all were computed.
    """

    magnetizations: tuple[int, ...]
    energy: float | None
    method: str
    levels: Mapping[int, float] | None = None

    @property
    def preferred(self) -> int:
        """The magnetisation of smallest modulus; of two the positive one."""
        return self.magnetizations[0]


def automatic_magnetization(operator: Operator, *, balanced: bool = False) -> int | None:
    """The magnetisation that is sampled unless another is asked for: that of the ground state where it is known.

    Where it is not, 0, or 1 for an odd number of sites.  None, which is any, where the operator does not conserve it,
    and for a diagonal one of which it is not known: nothing else leads from one configuration to another there.

    Args:
        operator: the Hamiltonian.
        balanced: 0 or 1 is wanted where the magnetisation is conserved.
    """
    if not operator.conserves_magnetization:
        return None
    ground = None if balanced else ground_sector(operator)
    if ground is not None:
        return ground.preferred
    return operator.n_sites % 2 if balanced or len(operator.flips) else None


def ground_sector(operator: Operator, most_sites: int = SEARCHED_SITES) -> GroundSector | None:
    """The magnetisations of the ground state; None where they are not known, or not conserved.

    Args:
        operator: the Hamiltonian.
        most_sites: largest number of sites of which all sectors are diagonalised.
    """
    if not operator.conserves_magnetization:
        return None
    if is_rotation_invariant(operator):
        smallest = operator.n_sites % 2
        return GroundSector((smallest, -smallest)[: 1 + smallest], None, "spin rotations")
    return _searched(operator, most_sites) or _bethe(operator) or _polarised(operator)


def all_sectors(operator: Operator) -> GroundSector:
    """The lowest level of every magnetisation, by exact diagonalisation, and where the lowest of all is.

    Where a flip of all spins is a symmetry, only one of M and -M is diagonalised.

    Raises:
        InputError: more than MAX_SITES spins, or a Hamiltonian that does not conserve the magnetisation.
        NumericalError: Lanczos did not converge.
    """
    if not len(operator.flips):
        return _of_levels(operator, _diagonal_levels(operator), "all configurations")
    from pvmc.exact.lanczos import ground_state  # scipy's sparse matrices: a closed solution needs none

    levels: dict[int, float] = {}
    even = is_even_in_spins(operator)
    for magnetization in range(operator.n_sites, -1, -2):
        values = (magnetization, -magnetization) if magnetization else (0,)
        for value in values:
            if value < 0 and even:
                levels[value] = levels[-value]
                continue
            levels[value], _ = ground_state(operator, Basis.enumerate(operator.n_sites, value))
    return _of_levels(operator, levels, "Lanczos")


def polarised_energies(operator: Operator) -> dict[int, float]:
    """Energies of the states of all spins up, at N, and down, at -N, of an operator that keeps the magnetisation."""
    n_sites = operator.n_sites
    spins = np.ones((n_sites, 2), dtype=np.int8)
    spins[:, 1] = -1
    up, down = operator.diagonal(spins).tolist()
    return {n_sites: up, -n_sites: down}


def _searched(operator: Operator, most_sites: int) -> GroundSector | None:
    """By computing all levels, where there are few enough configurations."""
    return all_sectors(operator) if operator.n_sites <= most_sites else None


def _of_levels(operator: Operator, levels: Mapping[int, float], method: str) -> GroundSector:
    lowest = min(levels.values())
    close = SAME_LEVEL * operator.radius
    held = [value for value, energy in levels.items() if energy <= lowest + close]
    return GroundSector(tuple(sorted(held, key=lambda value: (abs(value), -value))), lowest, method, dict(levels))


def _diagonal_levels(operator: Operator) -> dict[int, float]:
    """The lowest diagonal element of every magnetisation."""
    n_sites = operator.n_sites
    lowest = np.full(n_sites + 1, np.inf)  # by the number of spins down
    for start in range(0, 2**n_sites, CONFIGURATIONS_AT_ONCE):
        labels = np.arange(start, min(start + CONFIGURATIONS_AT_ONCE, 2**n_sites), dtype=np.int64)
        spins = (1 - 2 * ((labels >> np.arange(n_sites)[:, None]) & 1)).astype(np.int8)
        np.minimum.at(lowest, np.bitwise_count(labels), operator.diagonal(spins))
    return {n_sites - 2 * down: float(energy) for down, energy in enumerate(lowest)}


def _bethe(operator: Operator) -> GroundSector | None:
    """A ring of equal antiferromagnetic bonds S_i . S_j in a uniform field, of an even number of sites."""
    ring = heisenberg_ring(operator)
    if ring is None or operator.n_sites % 2 or not ring.coupling > 0:
        return None
    held, energy = heisenberg_chain_magnetizations(operator.n_sites, ring.coupling, ring.field)
    return GroundSector(held, energy + ring.constant, "Bethe ansatz")


def _polarised(operator: Operator) -> GroundSector | None:
    """All spins up or down, where no state can be lower; None where this cannot be proved."""
    bound = pair_bound(operator)
    if bound is None:
        return None
    energies = polarised_energies(operator)
    close = SAME_LEVEL * operator.radius
    held = tuple(value for value, energy in energies.items() if energy <= bound + close)
    return GroundSector(held, energies[held[0]], "product state") if held else None


def pair_bound(operator: Operator) -> float | None:
    """A lower bound of the ground-state energy of a sum of terms of one and of two spins; None for other operators.

    Each field is dealt out to the pairs of its site in proportion to their couplings; the sum of the lowest
    eigenvalues of all pairs bounds the lowest eigenvalue of their sum.
    """
    pairs = pair_terms(operator)
    if pairs is None:
        return None
    first, second = pairs.sites.T
    weights = np.abs(pairs.parallel) + np.abs(pairs.exchange)
    total = np.bincount(first, weights, operator.n_sites) + np.bincount(second, weights, operator.n_sites)
    share = np.divide(pairs.fields, total, out=np.zeros(operator.n_sites), where=total > 0)
    alone = float(np.abs(pairs.fields[total == 0]).sum())
    of_first, of_second = share[first] * weights, share[second] * weights
    aligned = pairs.parallel - np.abs(of_first + of_second)
    mixed = -pairs.parallel - np.hypot(of_first - of_second, np.abs(pairs.exchange))
    return pairs.constant - alone + float(np.minimum(aligned, mixed).sum())


# From a small lattice of the same kind --------------------------------------------------------------------------------


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
