"""Graphs: any sites and bonds, with a coupling on each bond."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pvmc.lattice.cluster import MAX_SITES
from pvmc.lattice.lattice import Lattice, LatticeError, is_automorphism
from pvmc.numerics.arrays import Integers

Edge = tuple[int, int, float]
"""Two sites and the coupling between them."""


def graph(
    edges: Sequence[Edge],
    n_sites: int | None = None,
    positions: Sequence[Sequence[float]] | None = None,
    symmetries: Sequence[Sequence[int]] = (),
) -> Lattice:
    """A lattice whose only shell are the given edges.

    Args:
        edges: (i, j, coupling) in any order; each pair once.
        n_sites: number of sites; by default one more than the largest index.
        positions: a point (x, y) or (x, y, z) for each site, for pictures; by default none.
        symmetries: permutations p of the sites, each meaning (g s)_i = s[p[i]], that keep edges and couplings.  They
            and their products make the group "space"; without them the graph has no group but "none".

    Raises:
        LatticeError: an edge joins a site with itself, stands twice or leads out of the sites; there are neither edges
            nor a number of sites; positions are not one for each site; a symmetry does not map edges to edges of equal
            coupling.
    """
    if not edges and n_sites is None:
        raise LatticeError("a graph without edges needs lattice.sites, the number of its sites")
    sites = n_sites if n_sites is not None else 1 + max((max(i, j) for i, j, _ in edges), default=-1)
    if not 2 <= sites <= MAX_SITES:
        raise LatticeError(f"a graph needs 2 to {MAX_SITES} sites, not {sites}")
    bonds, couplings, arrows = _sorted(edges, sites)
    permutations = _checked(symmetries, bonds, couplings, sites)
    return Lattice(
        _points(positions, sites),
        (bonds,),
        {"space": permutations} if len(permutations) else {},
        weights=(couplings,),
        arrows=arrows,
    )


def read_edges(path: Path) -> list[Edge]:
    """Edges from a text file: a line ``i j`` or ``i j coupling`` for each; ``#`` starts a comment.

    Raises:
        LatticeError: the file cannot be read, or a line is something else; the message names it.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise LatticeError(f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise LatticeError("must be UTF-8 text") from None
    edges = []
    for number, line in enumerate(lines, start=1):
        words = line.partition("#")[0].replace(",", " ").split()
        if words:
            edges.append(_edge(words, f"line {number}"))
    return edges


def parse_edges(entries: Iterable[object]) -> list[Edge]:
    """Edges from lists [i, j] or [i, j, coupling].

    Raises:
        LatticeError: an entry is something else; the message names it.
    """
    edges = []
    for number, entry in enumerate(entries):
        if not isinstance(entry, list | tuple) or any(isinstance(value, bool | str) for value in entry):
            raise LatticeError(f"entry {number} is {entry!r}, not [i, j] or [i, j, coupling]")
        if any(not isinstance(value, int) for value in entry[:2]):
            raise LatticeError(f"entry {number} is {entry!r}: sites are integers")
        edges.append(_edge([str(value) for value in entry], f"entry {number}"))
    return edges


def _edge(words: Sequence[str], place: str) -> Edge:
    try:
        i, j, *rest = words
        coupling = float(rest[0]) if rest else 1.0
        if len(rest) > 1 or not np.isfinite(coupling):
            raise ValueError
        return int(i), int(j), coupling
    except ValueError:
        raise LatticeError(f"{place}: {' '.join(words)!r} is not two sites and at most one coupling") from None


def _sorted(edges: Sequence[Edge], n_sites: int) -> tuple[Integers, npt.NDArray[np.float64], Integers]:
    """Bonds i < j in lexicographic order, (n_bonds, 2); their couplings; each bond as it was given, (n_bonds, 2)."""
    couplings: dict[tuple[int, int], float] = {}
    given: dict[tuple[int, int], tuple[int, int]] = {}
    for i, j, coupling in edges:
        pair = (min(i, j), max(i, j))
        if pair[0] < 0 or pair[1] >= n_sites:
            raise LatticeError(f"edge [{i}, {j}]: sites are 0 to {n_sites - 1}")
        if i == j:
            raise LatticeError(f"edge [{i}, {j}]: an edge joins two different sites")
        if pair in couplings:
            raise LatticeError(f"edge [{i}, {j}] stands twice")
        couplings[pair], given[pair] = coupling, (i, j)
    pairs = sorted(couplings)
    bonds, arrows = (np.array(rows, dtype=np.int64).reshape(-1, 2) for rows in (pairs, [given[p] for p in pairs]))
    return bonds, np.array([couplings[pair] for pair in pairs], dtype=np.float64), arrows


def _points(positions: Sequence[Sequence[float]] | None, n_sites: int) -> npt.NDArray[np.float64]:
    if positions is None:
        return np.zeros((n_sites, 0))
    if len(positions) != n_sites or {len(point) for point in positions} not in ({2}, {3}):
        raise LatticeError(f"needs a point [x, y] or [x, y, z] for each of the {n_sites} sites")
    return np.array(positions, dtype=np.float64)


def _checked(
    symmetries: Sequence[Sequence[int]],
    bonds: npt.NDArray[np.int64],
    couplings: npt.NDArray[np.float64],
    n_sites: int,
) -> npt.NDArray[np.int64]:
    for number, permutation in enumerate(symmetries):
        if sorted(permutation) != list(range(n_sites)):
            raise LatticeError(f"entry {number} is not a permutation of 0 to {n_sites - 1}")
        if not is_automorphism(np.array(permutation), (bonds,), (couplings,)):
            raise LatticeError(f"entry {number} does not map edges to edges of the same coupling")
    return np.array(symmetries, dtype=np.int64).reshape(len(symmetries), n_sites)
