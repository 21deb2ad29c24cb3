"""Metropolis moves: which sets of spins are proposed to be flipped, and how often."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
from pydantic import Field

from pvmc.config import Section
from pvmc.flips import FlipSets
from pvmc.lattice import Lattice


class MoveWeights(Section):
    """How often each kind of move is proposed, relative to the others; 0 leaves it out."""

    flip: float = Field(default=0.0, ge=0.0)
    """flip one spin, any site"""
    exchange: float = Field(default=0.0, ge=0.0)
    """exchange two antiparallel nearest neighbours; keeps the magnetisation"""
    exchange_any: float = Field(default=0.0, ge=0.0)
    """exchange any two antiparallel spins; keeps the magnetisation"""


@dataclass(frozen=True)
class MoveKind:
    """One registered kind of move: the sets it may flip on a lattice, and whether it keeps the magnetisation."""

    flips: Callable[[Lattice], list[list[int]]]
    conserving: bool


KINDS: dict[str, MoveKind] = {
    "flip": MoveKind(lambda lattice: [[site] for site in range(lattice.n_sites)], conserving=False),
    "exchange": MoveKind(lambda lattice: lattice.bonds().tolist(), conserving=True),
    "exchange_any": MoveKind(
        lambda lattice: [list(c) for c in combinations(range(lattice.n_sites), 2)], conserving=True
    ),
}
"""The registry of moves; each name is also a key of :class:`MoveWeights`."""


@dataclass(frozen=True)
class Moves:
    """All sets that may be proposed, with the probability of each.

    The choice of a set never looks at the configuration, so proposals are symmetric and all walkers of a block
    can be offered the same one: each is a correct Markov chain, and given the choices they are independent.

    Attributes:
        flips: the sets.
        conserving: bool (n_flips,); a conserving set may be flipped only where its spins sum to zero.
        kind_starts: int64 (n_kinds + 1,), range of sets of each kind.
        kind_probabilities: float64 (n_kinds,), summing to one.
    """

    flips: FlipSets
    conserving: npt.NDArray[np.bool_]
    kind_starts: npt.NDArray[np.int64]
    kind_probabilities: npt.NDArray[np.float64]

    @classmethod
    def build(cls, weights: MoveWeights, lattice: Lattice) -> Moves:
        """Moves on a lattice; kinds with weight zero are left out (not all may be)."""
        chosen = {name: weight for name, weight in weights.model_dump().items() if weight > 0}
        sets = {name: KINDS[name].flips(lattice) for name in chosen}
        lengths = [len(sets[name]) for name in chosen]
        total = sum(chosen.values())
        return cls(
            FlipSets.from_lists([row for name in chosen for row in sets[name]]),
            np.repeat([KINDS[name].conserving for name in chosen], lengths),
            np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            np.array([weight / total for weight in chosen.values()]),
        )

    @property
    def conserve_magnetization(self) -> bool:
        """Whether no move changes sum_i s_i."""
        return bool(self.conserving.all())

    def choose(self, rng: np.random.Generator, n_steps: int) -> npt.NDArray[np.int64]:
        """Indices into ``flips`` for n_steps proposals: the kind by its weight, the set within it uniformly."""
        kind = np.searchsorted(np.cumsum(self.kind_probabilities)[:-1], rng.random(n_steps), side="right")
        lengths = np.diff(self.kind_starts)[kind]
        return self.kind_starts[kind] + (rng.random(n_steps) * lengths).astype(np.int64)
