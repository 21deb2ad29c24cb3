"""Metropolis moves: sets of spins to flip and maps of configurations, how often each is proposed, where they lead.

A new kind of move is a function that makes its sets or maps, a line in :data:`KINDS`, and a weight in
:class:`MoveWeights`.

**Reach**: proposals are made whatever psi is, so that the question whether the moves lead from every configuration of a
sector to every other one is a question to the moves alone: psi does not vanish in general.  What is decided, in this
order:

- without a fixed magnetisation, sets that may be flipped anywhere reach all 2^N configurations exactly where they span
  all of them as vectors of bits, modulo 2; so do flips of a single site in every part that exchanges join;
- at a fixed magnetisation, exchanges reach all where their pairs join all sites to one graph;
- for small systems, by the connected parts of the graph of configurations itself, whatever the moves are;
- for others, sets that do not span the bits, or that leave parts of the lattice unjoined, cannot reach all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import comb

import numpy as np
import numpy.typing as npt
from pydantic import Field

from pvmc.config import KeyProblem, Section
from pvmc.hamiltonians import Operator
from pvmc.lattice import Lattice
from pvmc.spins.configurations import MAX_SITES, Basis
from pvmc.spins.flips import FlipSets

LARGEST_GRAPH = 2**22
"""Most edges of a graph of configurations that is walked through: configurations times moves (a second)."""


class MoveWeights(Section):
    """Relative frequencies of the kinds of moves; 0 leaves a kind out."""

    flip: float = Field(default=0.0, ge=0.0)
    """flip one spin, any site"""
    exchange: float = Field(default=0.0, ge=0.0)
    """exchange two antiparallel nearest neighbours; keeps the magnetisation"""
    exchange_any: float = Field(default=0.0, ge=0.0)
    """exchange any two antiparallel spins; keeps the magnetisation"""
    hamiltonian: float = Field(default=0.0, ge=0.0)
    """flip a set of spins that a term of the Hamiltonian flips; keeps the magnetisation where the Hamiltonian does"""
    global_flip: float = Field(default=0.0, ge=0.0)
    """flip all spins; costs as much as N single flips"""
    translation: float = Field(default=0.0, ge=0.0)
    """translate the configuration by a random lattice vector; costs as much as N single flips"""

    def changes_magnetization(self, operator: Operator) -> str:
        """The first kind of move that changes sum_i s_i; empty where all keep it (a global flip keeps a sum of 0)."""
        if self.flip > 0:
            return "flip"
        return "hamiltonian" if self.hamiltonian > 0 and not operator.conserves_magnetization else ""


@dataclass(frozen=True)
class Flips:
    """Moves that flip a set of spins; each is its own inverse.

    Attributes:
        sets: the sets.
        conserving: a set may be flipped only where its spins sum to zero, which keeps the magnetisation.
    """

    sets: FlipSets
    conserving: bool

    def __len__(self) -> int:
        return len(self.sets)


@dataclass(frozen=True)
class Maps:
    """Moves s -> g s with (g s)_i = sign * s[permutation[i]], for which psi is computed anew.

    A map that is not its own inverse, offered to all walkers of a block, does not leave |psi|^2 as it is: what flows
    from s to g s flows back by the inverse of g alone.  Each walker is therefore offered g or its inverse with equal
    chance, by a random bit of its own.  This step is reversible whatever g is, and so are the walkers of a block
    independent Markov chains, given the numbers of the maps that they are offered.

    Attributes:
        permutations: int64 (n_maps, N).
        signs: int8 (n_maps,), +-1.
    """

    permutations: npt.NDArray[np.int64]
    signs: npt.NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.permutations)

    @cached_property
    def inverses(self) -> npt.NDArray[np.int64]:
        """The inverse permutations, int64 (n_maps, N)."""
        return np.argsort(self.permutations, axis=1)

    def apply(self, k: int, spins: npt.NDArray[np.int8], backwards: npt.NDArray[np.bool_]) -> npt.NDArray[np.int8]:
        """The images of configurations (N, L) under map k or, where ``backwards`` (L,) is true, under its inverse."""
        forth, back = self.permutations[k], self.inverses[k]
        images = spins[forth]
        if not np.array_equal(forth, back):
            images = np.where(backwards, spins[back], images)
        return np.ascontiguousarray(self.signs[k] * images)


def _flip(lattice: Lattice, operator: Operator | None) -> Flips:
    return Flips(FlipSets.of_equal_size(np.arange(lattice.n_sites, dtype=np.int64)[:, np.newaxis]), conserving=False)


def _exchange(lattice: Lattice, operator: Operator | None) -> Flips:
    return Flips(FlipSets.of_equal_size(lattice.bonds()), conserving=True)


def _exchange_any(lattice: Lattice, operator: Operator | None) -> Flips:
    """All pairs of sites, in lexicographic order."""
    pairs = np.stack(np.triu_indices(lattice.n_sites, k=1), axis=1).astype(np.int64)
    return Flips(FlipSets.of_equal_size(pairs), conserving=True)


def _hamiltonian(lattice: Lattice, operator: Operator | None) -> Flips:
    """The sets that the operator's terms flip.

    Where the operator conserves the magnetisation, its terms have matrix elements only where the spins of a set sum to
    zero, and only there the set is flipped.
    """
    if operator is None:
        raise ValueError("the moves of the Hamiltonian need the operator")
    return Flips(operator.flips, operator.conserves_magnetization)


def _global_flip(lattice: Lattice, operator: Operator | None) -> Maps:
    return Maps(np.arange(lattice.n_sites, dtype=np.int64)[None], np.array([-1], dtype=np.int8))


def _translation(lattice: Lattice, operator: Operator | None) -> Maps:
    """All translations but the identity; KeyProblem where the lattice has none."""
    elements = lattice.group("translation")
    moving = elements[np.any(elements != np.arange(lattice.n_sites), axis=1)]
    if not len(moving):
        raise KeyProblem("sampler.moves.translation", "> 0", "this lattice has no translations (it is not periodic)")
    return Maps(moving, np.ones(len(moving), dtype=np.int8))


KINDS: dict[str, Callable[[Lattice, Operator | None], Flips | Maps]] = {
    "flip": _flip,
    "exchange": _exchange,
    "exchange_any": _exchange_any,
    "hamiltonian": _hamiltonian,
    "global_flip": _global_flip,
    "translation": _translation,
}
"""The registry of moves; each name is also a key of :class:`MoveWeights`."""


@dataclass(frozen=True)
class Moves:
    """All sets and maps that may be proposed, with the probability of each.

    The choice never looks at the configuration, and each move is its own inverse or, for a map, offered as often
    backwards as forwards, walker by walker (:class:`Maps`).  So every single proposal leaves |psi|^2 as it is, and all
    walkers of a block can be offered the same one: each is a correct Markov chain, and given the choices they are
    independent.

    Attributes:
        flips: the sets; moves 0 to len(flips) - 1.
        conserving: bool (n_flips,); a conserving set may be flipped only where its spins sum to zero.
        maps: the maps; moves len(flips) onwards.
        kind_starts: int64 (n_kinds + 1,), range of moves of each kind.
        kind_probabilities: float64 (n_kinds,), summing to one.
    """

    flips: FlipSets
    conserving: npt.NDArray[np.bool_]
    maps: Maps
    kind_starts: npt.NDArray[np.int64]
    kind_probabilities: npt.NDArray[np.float64]

    @classmethod
    def build(cls, weights: MoveWeights, lattice: Lattice, operator: Operator | None = None) -> Moves:
        """Moves on a lattice; kinds with weight zero are left out (not all may be).

        Args:
            weights: of the kinds.
            lattice: the lattice.
            operator: the Hamiltonian, needed for its moves.

        Raises:
            KeyProblem: translations on a lattice that has none.
            ValueError: the moves of the Hamiltonian without the operator.
        """
        chosen = {name: weight for name, weight in weights.model_dump().items() if weight > 0}
        made = {name: KINDS[name](lattice, operator) for name in chosen}
        flips = {name: kind for name, kind in made.items() if isinstance(kind, Flips)}
        maps = {name: kind for name, kind in made.items() if isinstance(kind, Maps)}
        ordered: dict[str, Flips | Maps] = {**flips, **maps}  # sets come before maps
        lengths = [len(kind) for kind in ordered.values()]
        total = sum(chosen.values())
        no_maps = np.empty((0, lattice.n_sites), dtype=np.int64)
        return cls(
            FlipSets.joined([kind.sets for kind in flips.values()]),
            np.repeat([kind.conserving for kind in flips.values()], [len(kind) for kind in flips.values()]).astype(
                bool
            ),
            Maps(
                np.concatenate([no_maps, *(kind.permutations for kind in maps.values())]),
                np.concatenate([np.empty(0, dtype=np.int8), *(kind.signs for kind in maps.values())]),
            ),
            np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            np.array([chosen[name] / total for name in ordered]),
        )

    @property
    def conserve_magnetization(self) -> bool:
        """True where no move changes sum_i s_i (a global flip keeps a magnetisation of zero)."""
        return bool(self.conserving.all())

    def choose(self, rng: np.random.Generator, n_steps: int) -> npt.NDArray[np.int64]:
        """Numbers of the moves of n_steps proposals: the kind by its weight, the move within it uniformly."""
        kind = np.searchsorted(np.cumsum(self.kind_probabilities)[:-1], rng.random(n_steps), side="right")
        lengths = np.diff(self.kind_starts)[kind]
        return self.kind_starts[kind] + (rng.random(n_steps) * lengths).astype(np.int64)

    def senses(self, rng: np.random.Generator, chosen: npt.NDArray[np.int64], n_walkers: int) -> npt.NDArray[np.bool_]:
        """True where a walker is offered the inverse of a map: a fair bit for each of the maps among the proposals.

        Returns:
            bool (n, n_walkers), n the number of maps among the chosen moves; without any, no random number is drawn.
        """
        if not len(self.maps):
            return np.empty((0, n_walkers), dtype=np.bool_)
        n_maps = np.count_nonzero(chosen >= len(self.flips))
        return rng.integers(0, 2, size=(n_maps, n_walkers), dtype=np.bool_)


@dataclass(frozen=True)
class Reach:
    """Knowledge of where the moves lead.

    Attributes:
        complete: True where they lead everywhere; None where neither was shown.
        words: the reason, or what separates the configurations.
    """

    complete: bool | None
    words: str


def reach(moves: Moves, n_sites: int, magnetization: int | None) -> Reach:
    """Decide whether the moves lead from every configuration to every other one.

    Args:
        moves: what is proposed.
        n_sites: N.
        magnetization: sum of s_i of the configurations; None for all 2^N.
    """
    sets = [moves.flips[k].tolist() for k in range(len(moves.flips))]
    free = [rows for rows, conserving in zip(sets, moves.conserving.tolist(), strict=True) if not conserving]
    bound = [rows for rows, conserving in zip(sets, moves.conserving.tolist(), strict=True) if conserving]
    parts = _parts([rows for rows in bound if len(rows) == 2], n_sites)
    if magnetization is None:
        alone = {parts[rows[0]] for rows in free if len(rows) == 1}
        if alone == set(parts) or _rank(free) == n_sites:
            return Reach(True, "flips reach every configuration")
    elif abs(magnetization) == n_sites or len(set(parts)) == 1:
        return Reach(True, "exchanges join all sites")
    dimension = 2**n_sites if magnetization is None else comb(n_sites, (n_sites + magnetization) // 2)
    if n_sites <= MAX_SITES and dimension * (len(moves.flips) + len(moves.maps)) <= LARGEST_GRAPH:
        n_parts = _n_separate(moves, Basis.enumerate(n_sites, magnetization))
        separate = f"the {dimension} configurations fall into {n_parts} sets that no move joins"
        return Reach(True, "every configuration was reached") if n_parts == 1 else Reach(False, separate)
    if len(moves.maps) == 0 and magnetization is None and _rank(sets) < n_sites:
        return Reach(False, f"products of spins are kept: the moves change {_rank(sets)} of {n_sites} of them")
    unjoined = len(set(_parts(sets, n_sites)))
    if len(moves.maps) == 0 and magnetization is not None and unjoined > 1:
        return Reach(
            False, f"the moves leave {unjoined} parts of the lattice unjoined, of which each keeps its spins up"
        )
    return Reach(None, "whether the moves reach every configuration was not shown")


def _parts(sets: list[list[int]], n_sites: int) -> list[int]:
    """The part of the lattice that each site belongs to, by its lowest site, where the sets join their sites."""
    above = list(range(n_sites))

    def root(site: int) -> int:
        while above[site] != site:
            above[site] = above[above[site]]
            site = above[site]
        return site

    for first, *others in sets:
        for other in others:
            low, high = sorted((root(first), root(other)))
            above[high] = low
    return [root(site) for site in range(n_sites)]


def _rank(sets: list[list[int]]) -> int:
    """Dimension of the space that the sets span as vectors of bits, modulo 2."""
    basis: dict[int, int] = {}
    for rows in sets:
        bits = sum(1 << site for site in rows)
        while bits:
            lead = bits.bit_length()
            if lead not in basis:
                basis[lead] = bits
                break
            bits ^= basis[lead]
    return len(basis)


def _n_separate(moves: Moves, basis: Basis) -> int:
    """Number of connected parts of the graph whose edges are the moves between the configurations of a basis."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    here = np.arange(len(basis), dtype=np.int64)
    starts: list[npt.NDArray[np.int64]] = []
    ends: list[npt.NDArray[np.int64]] = []
    for k, conserving in enumerate(moves.conserving.tolist()):
        sites = moves.flips[k]
        allowed = basis.spins[sites].sum(axis=0) == 0 if conserving else np.ones(len(basis), dtype=np.bool_)
        starts.append(here[allowed])
        ends.append(basis.index(basis.labels[allowed] ^ int(np.bitwise_or.reduce(np.int64(1) << sites))))
    forwards = np.zeros(len(basis), dtype=np.bool_)
    for k in range(len(moves.maps)):
        starts.append(here)
        ends.append(basis.index(basis.labels_of(moves.maps.apply(k, basis.spins, forwards))))
    rows, columns = np.concatenate(starts), np.concatenate(ends)
    graph = coo_array((np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=(len(basis), len(basis)))
    n_parts, _ = connected_components(graph, directed=False)
    return int(n_parts)
