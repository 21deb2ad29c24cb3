"""Metropolis moves: which sets of spins are proposed to be flipped, which maps of configurations, and how often."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from pydantic import Field

from pvmc.config import KeyProblem, Section
from pvmc.hamiltonians import Operator
from pvmc.lattice import Lattice
from pvmc.spins.flips import FlipSets


class MoveWeights(Section):
    """How often each kind of move is proposed, relative to the others; 0 leaves it out."""

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
class MoveKind:
    """One registered kind of move: the sets it may flip on a lattice, and whether it keeps the magnetisation."""

    flips: Callable[[Lattice], FlipSets]
    conserving: bool


def _sites(lattice: Lattice) -> npt.NDArray[np.int64]:
    return np.arange(lattice.n_sites, dtype=np.int64)[:, np.newaxis]


def _pairs(lattice: Lattice) -> npt.NDArray[np.int64]:
    """All pairs of sites in lexicographic order, (n, 2)."""
    return np.stack(np.triu_indices(lattice.n_sites, k=1), axis=1).astype(np.int64)


KINDS: dict[str, MoveKind] = {
    "flip": MoveKind(lambda lattice: FlipSets.of_equal_size(_sites(lattice)), conserving=False),
    "exchange": MoveKind(lambda lattice: FlipSets.of_equal_size(lattice.bonds()), conserving=True),
    "exchange_any": MoveKind(lambda lattice: FlipSets.of_equal_size(_pairs(lattice)), conserving=True),
}
"""The registry of moves that a lattice defines; each name is also a key of :class:`MoveWeights`."""


def _hamiltonian_kind(operator: Operator) -> MoveKind:
    """The sets that the operator's terms flip.

    Flipping a set is its own inverse, so the moves are symmetric.  Where the operator conserves the magnetisation,
    its terms have matrix elements only where the spins of a set sum to zero, and only there the set is flipped.
    """
    return MoveKind(lambda lattice: operator.flips, operator.conserves_magnetization)


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


def no_maps(n_sites: int) -> Maps:
    """The empty list of maps."""
    return Maps(np.empty((0, n_sites), dtype=np.int64), np.empty(0, dtype=np.int8))


def global_flip(n_sites: int) -> Maps:
    """The one map that flips every spin."""
    return Maps(np.arange(n_sites, dtype=np.int64)[None], np.array([-1], dtype=np.int8))


def translations(lattice: Lattice) -> Maps:
    """All translations but the identity.

    Raises:
        KeyProblem: the lattice has none.
    """
    elements = lattice.group("translation")
    moving = elements[np.any(elements != np.arange(lattice.n_sites), axis=1)]
    if not len(moving):
        raise KeyProblem("sampler.moves.translation", "> 0", "this lattice has no translations (it is not periodic)")
    return Maps(moving, np.ones(len(moving), dtype=np.int8))


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
        kinds = dict(KINDS)
        if "hamiltonian" in chosen:
            if operator is None:
                raise ValueError("the moves of the Hamiltonian need the operator")
            kinds["hamiltonian"] = _hamiltonian_kind(operator)
        sets = {name: kinds[name].flips(lattice) for name in chosen if name in kinds}
        maps = {name: _maps(name, lattice) for name in chosen if name not in kinds}
        lengths = [len(sets[name]) if name in sets else len(maps[name]) for name in chosen]
        total = sum(chosen.values())
        return cls(
            FlipSets.joined(list(sets.values())),
            np.repeat([kinds[name].conserving for name in sets], [len(rows) for rows in sets.values()]).astype(bool),
            Maps(
                np.concatenate([no_maps(lattice.n_sites).permutations, *(m.permutations for m in maps.values())]),
                np.concatenate([no_maps(lattice.n_sites).signs, *(m.signs for m in maps.values())]),
            ),
            np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            np.array([weight / total for weight in chosen.values()]),
        )

    @property
    def conserve_magnetization(self) -> bool:
        """Whether no move changes sum_i s_i (a global flip keeps a magnetisation of zero)."""
        return bool(self.conserving.all())

    def choose(self, rng: np.random.Generator, n_steps: int) -> npt.NDArray[np.int64]:
        """Numbers of the moves of n_steps proposals: the kind by its weight, the move within it uniformly."""
        kind = np.searchsorted(np.cumsum(self.kind_probabilities)[:-1], rng.random(n_steps), side="right")
        lengths = np.diff(self.kind_starts)[kind]
        return self.kind_starts[kind] + (rng.random(n_steps) * lengths).astype(np.int64)

    def senses(self, rng: np.random.Generator, chosen: npt.NDArray[np.int64], n_walkers: int) -> npt.NDArray[np.bool_]:
        """Whether each walker is offered the inverse of a map, a fair bit for each of the maps among the proposals.

        Returns:
            bool (n, n_walkers), n the number of maps among the chosen moves; without any, no random number is drawn.
        """
        if not len(self.maps):
            return np.empty((0, n_walkers), dtype=np.bool_)
        n_maps = np.count_nonzero(chosen >= len(self.flips))
        return rng.integers(0, 2, size=(n_maps, n_walkers), dtype=np.bool_)


def _maps(name: str, lattice: Lattice) -> Maps:
    return global_flip(lattice.n_sites) if name == "global_flip" else translations(lattice)
