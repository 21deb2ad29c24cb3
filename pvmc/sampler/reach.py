"""Whether the moves of a sampler lead from every configuration of its sector to every other one.

Proposals are made whatever psi is, so that this is a question to the moves alone: psi does not vanish in general.  What
is decided, in this order:

- without a fixed magnetisation, sets that may be flipped anywhere reach all 2^N configurations exactly where they span
  all of them as vectors of bits, modulo 2; so do flips of a single site in every part that exchanges join;
- at a fixed magnetisation, exchanges reach all where their pairs join all sites to one graph;
- for small systems, by the connected parts of the graph of configurations itself, whatever the moves are;
- for others, sets that do not span the bits, or that leave parts of the lattice unjoined, cannot reach all.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np
import numpy.typing as npt

from pvmc.sampler.moves import Moves
from pvmc.spins.basis import MAX_SITES, Basis

LARGEST_GRAPH = 2**22
"""Most edges of a graph of configurations that is walked through: configurations times moves (a second)."""


@dataclass(frozen=True)
class Reach:
    """What is known of where the moves lead.

    Attributes:
        complete: whether they lead everywhere; None where neither was shown.
        words: how it is known, or what separates the configurations.
    """

    complete: bool | None
    words: str


def reach(moves: Moves, n_sites: int, magnetization: int | None) -> Reach:
    """Whether the moves lead from every configuration to every other one.

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
