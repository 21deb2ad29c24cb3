"""Lattices: sites in space, bonds by neighbour shell, and the permutations that map the lattice to itself.

Everything follows from three things: the unit cell, the edges of the cluster and which of them close on themselves.
Shells come from distances by the minimum-image rule, symmetries from matching moved sites with sites.  A new lattice is
therefore one :class:`UnitCell`; a bare graph is a :class:`Lattice` with its edges as the only shell.
"""

from __future__ import annotations

from pvmc.lattice.builders import chain, cubic, honeycomb, kagome, ladder, rectangle, supercell_cluster, triangular
from pvmc.lattice.cluster import MAX_SITES, N_SHELLS, Cluster, cut
from pvmc.lattice.graph import graph, read_edges
from pvmc.lattice.lattice import Lattice, LatticeError, describe
from pvmc.lattice.spec import (
    ChainSpec,
    CubicSpec,
    GraphSpec,
    HoneycombSpec,
    KagomeSpec,
    LadderSpec,
    LatticeSpec,
    RectangleSpec,
    TriangularSpec,
)
from pvmc.lattice.unit_cell import (
    CHAIN,
    CUBIC,
    HONEYCOMB,
    KAGOME,
    SQUARE,
    TOLERANCE,
    TRIANGULAR,
    UnitCell,
    ladder_cell,
    minimum_image,
)

__all__ = [
    "CHAIN",
    "CUBIC",
    "HONEYCOMB",
    "KAGOME",
    "MAX_SITES",
    "N_SHELLS",
    "SQUARE",
    "TOLERANCE",
    "TRIANGULAR",
    "ChainSpec",
    "Cluster",
    "CubicSpec",
    "GraphSpec",
    "HoneycombSpec",
    "KagomeSpec",
    "LadderSpec",
    "Lattice",
    "LatticeError",
    "LatticeSpec",
    "RectangleSpec",
    "TriangularSpec",
    "UnitCell",
    "chain",
    "cubic",
    "cut",
    "describe",
    "graph",
    "honeycomb",
    "kagome",
    "ladder",
    "ladder_cell",
    "minimum_image",
    "read_edges",
    "rectangle",
    "supercell_cluster",
    "triangular",
]
