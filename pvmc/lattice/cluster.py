"""Clusters: a finite piece of an infinite lattice, open or closed on itself, with its bonds and symmetries.

A cell is a vector n of integers, the coordinates of its corner in the primitive vectors.  The cells of a cluster are
those within the parallelepiped of its supercell vectors; where the cluster is periodic, cells that differ by a
supercell vector are the same one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pvmc.lattice.lattice import Lattice, LatticeError
from pvmc.lattice.unit_cell import TOLERANCE, UnitCell, contains, generated
from pvmc.numerics.arrays import Floats, Integers

N_SHELLS = 3
"""Neighbour shells that are listed (fewer where a cluster has fewer)."""

MAX_SITES = 4096
"""Largest lattice built here."""

_REACH = 5
"""Cells apart, along each primitive vector, of the sites among which neighbours are looked for."""

_LARGEST_BOX = 100 * MAX_SITES


@dataclass(frozen=True, eq=False)
class Cluster:
    """Cells of an infinite lattice.

    Attributes:
        unit_cell: what repeats.
        supercell: int64, shape (m, m): row k is the k-th edge of the cluster in primitive vectors; diagonal unless all
            directions are periodic.
        periodic: whether the cluster closes on itself along each edge.
    """

    unit_cell: UnitCell
    supercell: Integers
    periodic: tuple[bool, ...]

    @classmethod
    def of_size(cls, unit_cell: UnitCell, size: Sequence[int], periodic: Sequence[bool]) -> Cluster:
        """size[0] x size[1] x ... cells.

        Raises:
            LatticeError: too few or too many sites.
        """
        _check_sites(int(np.prod([int(cells) for cells in size], dtype=object)) * len(unit_cell.basis))
        return cls(unit_cell, np.diag(np.array(size, dtype=np.int64)), tuple(periodic))

    @classmethod
    def of_supercell(cls, unit_cell: UnitCell, supercell: Sequence[Sequence[int]]) -> Cluster:
        """The periodic cluster of the cells within a parallelepiped; its edges are the rows of ``supercell``.

        Raises:
            LatticeError: too few or too many sites, or edges so long for their volume that the cells cannot be listed.
        """
        rows = np.array(supercell, dtype=np.int64)
        if np.abs(rows).max(initial=0) > MAX_SITES:
            raise LatticeError(f"the entries of a supercell must be at most {MAX_SITES} in magnitude")
        _check_sites(abs(round(np.linalg.det(rows))) * len(unit_cell.basis))
        if np.prod(np.abs(rows).sum(axis=0) + 1) > _LARGEST_BOX:
            raise LatticeError("the supercell is too skew; choose shorter vectors that span the same lattice")
        return cls(unit_cell, rows, (True,) * len(rows))

    @cached_property
    def cells(self) -> Integers:
        """int64, shape (n_cells, m); the first coordinate runs fastest."""
        low, box = self._box
        candidates = low + np.stack(np.unravel_index(np.arange(np.prod(box)), tuple(box), order="F"), axis=1)
        inside = np.all(self._edges_crossed(candidates) == 0, axis=1)
        return candidates[inside].astype(np.int64)

    @cached_property
    def positions(self) -> Floats:
        """float64, shape (N, d): all sites of the first cell, then those of the second, ..."""
        corners = self.cells @ self.unit_cell.vectors
        return (corners[:, np.newaxis] + self.unit_cell.basis).reshape(-1, corners.shape[1])

    @cached_property
    def periods(self) -> Floats:
        """Vectors along which the cluster repeats, shape (n_periodic, d)."""
        return (self.supercell @ self.unit_cell.vectors)[np.array(self.periodic)]

    def index(self, cells: Integers, member: int) -> Integers:
        """Index of the site ``member`` of each cell, int64 (n,); -1 for cells outside an open cluster."""
        low, box = self._box
        crossed = np.where(np.array(self.periodic), self._edges_crossed(cells), 0)
        home = cells - crossed @ self.supercell - low
        inside = np.all((home >= 0) & (home < box), axis=1)
        numbers = np.full(len(cells), -1, dtype=np.int64)
        numbers[inside] = self._cell_numbers[tuple(home[inside].T)]
        return np.where(numbers < 0, -1, numbers * len(self.unit_cell.basis) + member)

    def permutation(self, matrix: Floats, shift: Floats) -> Integers | None:
        """The permutation p with site p[i] at  matrix @ positions[i] + shift  up to periods; None if there is none."""
        cell = self.unit_cell
        moved = self.positions @ matrix.T + shift
        permutation = np.full(len(moved), -1, dtype=np.int64)
        for member, origin in enumerate(cell.basis):
            cells = np.rint((moved - origin) @ np.linalg.pinv(cell.vectors)).astype(np.int64)
            on_site = np.abs(cells @ cell.vectors + origin - moved).max(axis=1) < TOLERANCE
            permutation[on_site] = self.index(cells[on_site], member)
        complete = np.array_equal(np.sort(permutation), np.arange(len(permutation)))
        return permutation if complete else None

    @cached_property
    def _box(self) -> tuple[Integers, Integers]:
        """Lowest cell coordinates and shape of a box that holds all cells."""
        low = np.minimum(self.supercell, 0).sum(axis=0)
        return low, np.maximum(self.supercell, 0).sum(axis=0) - low + 1

    @cached_property
    def _cell_numbers(self) -> Integers:
        low, box = self._box
        numbers = np.full(tuple(box), -1, dtype=np.int64)
        numbers[tuple((self.cells - low).T)] = np.arange(len(self.cells))
        return numbers

    def _edges_crossed(self, cells: Integers) -> Integers:
        """How many edges of the supercell a cell is away from home, along each; exact, in integers."""
        volume = round(np.linalg.det(self.supercell))
        adjugate = np.rint(volume * np.linalg.inv(self.supercell)).astype(np.int64)
        return np.sign(volume) * (cells @ adjugate) // abs(volume)


def cut(cluster: Cluster) -> Lattice:
    """The lattice of a cluster: sites, neighbour shells, and the symmetries that its shape and boundaries leave.

    Raises:
        LatticeError: a periodic direction is so short that a site would be a nearest neighbour of another twice.
    """
    shells = _neighbour_shells(cluster)
    translations = _translations(cluster)
    return Lattice(
        cluster.positions,
        shells,
        {
            "translation": _stack(translations, cluster),
            "space": _stack(translations + _point_operations(cluster), cluster),
        },
        periods=cluster.periods,
        vectors=cluster.unit_cell.vectors,
        basis=cluster.unit_cell.basis,
    )


def _check_sites(n_sites: int) -> None:
    if not 2 <= n_sites <= MAX_SITES:
        raise LatticeError(f"a lattice needs 2 to {MAX_SITES} sites, not {n_sites}")


def _neighbour_shells(cluster: Cluster) -> tuple[Integers, ...]:
    """Pairs of sites by the distance of their nearest images, the first N_SHELLS distances."""
    n_sites = len(cluster.positions)
    shells: list[Integers] = []
    seen = np.zeros(0, dtype=np.int64)
    for number, offsets in enumerate(_offsets_by_length(cluster.unit_cell)):
        keys = np.concatenate([_pairs(cluster, *offset) for offset in offsets])
        pairs, counts = np.unique(keys, return_counts=True)
        if number == 0 and (np.any(counts > 1) or np.any(pairs // n_sites == pairs % n_sites)):
            raise LatticeError(
                "too short to close on itself: a bond would run both ways round; a periodic direction of a "
                f"{cluster.unit_cell.name} needs at least {cluster.unit_cell.shortest_ring} cells"
            )
        new = np.setdiff1d(pairs, seen, assume_unique=True)
        new = new[new // n_sites < new % n_sites]
        if len(new):
            shells.append(np.stack(np.divmod(new, n_sites), axis=1))
        if len(shells) == N_SHELLS:
            break
        seen = np.concatenate([seen, pairs])
    return tuple(shells)


def _offsets_by_length(cell: UnitCell) -> list[list[tuple[Integers, int, int]]]:
    """Vectors between sites of the infinite lattice, as (cells apart, from member, to member), by ascending length."""
    axes = [np.arange(-_REACH, _REACH + 1)] * len(cell.vectors)
    apart = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
    found = []
    for first, second in np.ndindex(len(cell.basis), len(cell.basis)):
        vectors = apart @ cell.vectors + cell.basis[second] - cell.basis[first]
        lengths = np.linalg.norm(vectors, axis=1)
        found += [(length, n, first, second) for length, n in zip(lengths.tolist(), apart, strict=True)]
    found.sort(key=lambda offset: offset[0])
    # Within one cell less than _REACH layers of cells, no vector is missing.
    complete = (_REACH - 1) / np.linalg.norm(np.linalg.pinv(cell.vectors), axis=0).max()
    classes: list[list[tuple[Integers, int, int]]] = []
    last = 0.0
    for length, n, first, second in found:
        if not TOLERANCE < length < complete + TOLERANCE:
            continue
        if length > last + TOLERANCE:
            classes.append([])
        last = length
        classes[-1].append((n, first, second))
    return classes


def _pairs(cluster: Cluster, apart: Integers, first: int, second: int) -> Integers:
    """The numbers i N + j of all ordered pairs of sites that an offset joins."""
    i = np.arange(len(cluster.cells)) * len(cluster.unit_cell.basis) + first
    j = cluster.index(cluster.cells + apart, second)
    return (i * len(cluster.positions) + j)[j >= 0]


def _translations(cluster: Cluster) -> list[Integers]:
    vectors = cluster.unit_cell.vectors[np.array(cluster.periodic)]
    found = (cluster.permutation(np.eye(vectors.shape[1]), vector) for vector in vectors)
    return [permutation for permutation in found if permutation is not None]


def _point_operations(cluster: Cluster) -> list[Integers]:
    """Rotations and reflections that, with the translations, generate all symmetries of the cluster.

    About which point an operation acts is not assumed: the first site may go to any site of one cell of each orbit of
    translations, so that centres on sites, bonds, plaquettes and of the cluster are all found.
    """
    identity, *others = cluster.unit_cell.point_group()
    chosen, group = [], [identity]
    permutations = []
    for matrix in others:
        if contains(group, matrix):
            continue
        permutation = _about_some_centre(cluster, matrix)
        if permutation is not None:
            chosen.append(matrix)
            group = generated(chosen, len(matrix))
            permutations.append(permutation)
    return permutations


def _about_some_centre(cluster: Cluster, matrix: Floats) -> Integers | None:
    """A permutation by this rotation or reflection and some shift; None if the cluster has none."""
    positions, periods = cluster.positions, cluster.periods
    if not _maps_periods(matrix, periods):
        return None
    dimension = len(matrix)
    across = np.eye(dimension) - np.linalg.pinv(periods) @ periods if len(periods) else np.eye(dimension)
    first_cells = np.all(cluster.cells[:, np.array(cluster.periodic)] == 0, axis=1)
    targets = positions[np.repeat(first_cells, len(cluster.unit_cell.basis))]
    centre = positions.mean(axis=0)
    for shift in targets - matrix @ positions[0]:
        # Across the periodic directions the centre of the cluster must stay.
        if np.abs(across @ (matrix @ centre + shift - centre)).max() > TOLERANCE:
            continue
        permutation = cluster.permutation(matrix, shift)
        if permutation is not None:
            return permutation
    return None


def _maps_periods(matrix: Floats, periods: Floats) -> bool:
    """True where an isometry maps the lattice of periods to itself (else it does not act on the torus at all)."""
    if len(periods) == 0:
        return True
    moved = periods @ matrix.T
    coefficients = np.rint(moved @ np.linalg.pinv(periods))
    return bool(np.allclose(coefficients @ periods, moved, rtol=0, atol=TOLERANCE))


def _stack(permutations: list[Integers], cluster: Cluster) -> Integers:
    return np.array(permutations, dtype=np.int64).reshape(len(permutations), len(cluster.positions))
