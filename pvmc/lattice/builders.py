"""The named lattices.

Sites are numbered cell by cell, the first direction fastest, and within a cell in the order of the basis: on a
cluster of Lx x Ly x ... cells with n sites each, site b of cell (x, y, ...) has index b + n (x + Lx (y + ...)).
The nearest-neighbour distance is 1.
"""

from __future__ import annotations

from collections.abc import Sequence

from pvmc.lattice.cluster import Cluster, cut
from pvmc.lattice.lattice import Lattice
from pvmc.lattice.unit_cell import CHAIN, CUBIC, HONEYCOMB, KAGOME, SQUARE, TRIANGULAR, UnitCell, ladder_cell

Supercell = Sequence[Sequence[int]]


def chain(length: int, periodic: bool = True) -> Lattice:
    """A chain of sites, at distance 1.

    Raises:
        LatticeError: fewer than 2 sites or more than MAX_SITES, or fewer than 3 on a ring.
    """
    return cut(Cluster.of_size(CHAIN, (length,), (periodic,)))


def ladder(length: int, legs: int = 2, periodic: bool = True) -> Lattice:
    """``legs`` chains side by side, open across; site (x, leg) has index leg + legs*x.

    Raises:
        LatticeError: fewer than 2 sites or more than MAX_SITES, or fewer than 3 rungs where periodic.
    """
    return cut(Cluster.of_size(ladder_cell(legs), (length,), (periodic,)))


def rectangle(size: tuple[int, int], periodic: tuple[bool, bool] = (True, True)) -> Lattice:
    """The square lattice cut to Lx x Ly sites; site (x, y) has index x + Lx*y.

    Raises:
        LatticeError: fewer than 2 sites or more than MAX_SITES, or fewer than 3 along a periodic direction.
    """
    return cut(Cluster.of_size(SQUARE, size, periodic))


def triangular(size: tuple[int, int], periodic: tuple[bool, bool] = (True, True)) -> Lattice:
    """The triangular lattice: L1 x L2 sites along a1 = (1, 0) and a2 = (1/2, sqrt(3)/2).

    Raises:
        LatticeError: fewer than 2 sites or more than MAX_SITES, or fewer than 3 along a periodic direction.
    """
    return cut(Cluster.of_size(TRIANGULAR, size, periodic))


def honeycomb(size: tuple[int, int], periodic: tuple[bool, bool] = (True, True)) -> Lattice:
    """The honeycomb lattice: L1 x L2 cells along a1 = (sqrt(3), 0) and a2 = (sqrt(3)/2, 3/2), two sites each.

    Site 0 of a cell stands at its corner, site 1 at (a1 + a2)/3.

    Raises:
        LatticeError: more than MAX_SITES sites, or fewer than 2 cells along a periodic direction.
    """
    return cut(Cluster.of_size(HONEYCOMB, size, periodic))


def kagome(size: tuple[int, int], periodic: tuple[bool, bool] = (True, True)) -> Lattice:
    """The kagome lattice: L1 x L2 cells along a1 = (2, 0) and a2 = (1, sqrt(3)), three sites each.

    The sites of a cell stand at its corner, at a1/2 and at a2/2.

    Raises:
        LatticeError: more than MAX_SITES sites, or fewer than 2 cells along a periodic direction.
    """
    return cut(Cluster.of_size(KAGOME, size, periodic))


def cubic(size: tuple[int, int, int], periodic: tuple[bool, bool, bool] = (True, True, True)) -> Lattice:
    """The simple cubic lattice of Lx x Ly x Lz sites; site (x, y, z) has index x + Lx*(y + Ly*z).

    Raises:
        LatticeError: fewer than 2 sites or more than MAX_SITES, or fewer than 3 along a periodic direction.
    """
    return cut(Cluster.of_size(CUBIC, size, periodic))


def supercell_cluster(unit_cell: UnitCell, supercell: Supercell) -> Lattice:
    """The periodic cluster whose edges are sum_j supercell[k][j] a_j; [[2, 2], [-2, 4]] are 12 triangular sites.

    Raises:
        LatticeError: fewer than 2 sites or more than MAX_SITES, or a period so short that a bond would run both ways
            round.
    """
    return cut(Cluster.of_supercell(unit_cell, supercell))
