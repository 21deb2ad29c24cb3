"""The section [lattice] of the input, one class for each kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, ClassVar, Literal, TypeVar

from pydantic import BeforeValidator, Field, model_validator

from pvmc.config import InWords, KeyProblem, Section
from pvmc.lattice.builders import chain, cubic, honeycomb, kagome, ladder, rectangle, supercell_cluster, triangular
from pvmc.lattice.graph import Edge, graph, parse_edges, read_edges
from pvmc.lattice.lattice import Lattice, LatticeError
from pvmc.lattice.unit_cell import CUBIC, HONEYCOMB, KAGOME, SQUARE, TRIANGULAR, UnitCell


def _edges(value: object) -> object:
    """Edges as they stand in the input or in the file that it names."""
    try:
        if isinstance(value, str):
            return tuple(read_edges(Path(value)))
        return tuple(parse_edges(value)) if isinstance(value, list | tuple) else value
    except LatticeError as error:
        raise ValueError(str(error)) from None


def _square(value: object) -> object:
    """A supercell with rows as long as it has rows."""
    if isinstance(value, list | tuple) and any(not isinstance(row, list | tuple) for row in value):
        raise ValueError("must be a list of lists")
    if isinstance(value, list | tuple) and any(len(row) != len(value) for row in value):
        raise ValueError("must have as many rows as columns")
    return value


# Not strict: TOML has lists, not tuples.
Length = Annotated[int, Field(ge=1)]
Size2 = Annotated[tuple[Length, Length], Field(strict=False)]
Size3 = Annotated[tuple[Length, Length, Length], Field(strict=False)]
Boundary2 = Annotated[tuple[bool, bool], Field(strict=False)]
Boundary3 = Annotated[tuple[bool, bool, bool], Field(strict=False)]
Row2 = Annotated[tuple[int, int], Field(strict=False)]
Row3 = Annotated[tuple[int, int, int], Field(strict=False)]
Supercell2 = Annotated[
    tuple[Row2, Row2],
    Field(strict=False),
    BeforeValidator(_square),
    InWords("a list of 2 lists of 2 integers, such as [[2, 2], [-2, 4]]"),
]
Supercell3 = Annotated[
    tuple[Row3, Row3, Row3], Field(strict=False), BeforeValidator(_square), InWords("a list of 3 lists of 3 integers")
]
Edges = Annotated[
    tuple[Edge, ...],
    Field(strict=False),
    BeforeValidator(_edges),
    InWords("a list of [i, j] or [i, j, coupling], or the name of a file with such a line for each edge"),
]
Permutation = Annotated[tuple[int, ...], Field(strict=False)]
Permutations = Annotated[
    tuple[Permutation, ...], Field(strict=False), InWords("a list of permutations of the sites from 0")
]
Point = Annotated[tuple[float, ...], Field(strict=False)]
Points = Annotated[tuple[Point, ...], Field(strict=False), InWords("a list of points, [x, y] or [x, y, z]")]


class ChainSpec(Section):
    """A chain of sites at distance 1."""

    kind: Literal["chain"]
    """The chain."""
    length: Annotated[int, Field(ge=2)]
    """Number of sites."""
    periodic: bool = True
    """Close the chain to a ring (then at least 3 sites)."""

    def build(self) -> Lattice:
        """The lattice.

        Raises:
            KeyProblem: no such lattice exists.
        """
        return _built(lambda: chain(self.length, self.periodic), "length", self.length)


class LadderSpec(Section):
    """Chains side by side, open across; spacing 1, site (x, leg) has index leg + legs*x."""

    kind: Literal["ladder"]
    """The ladder."""
    length: Annotated[int, Field(ge=1)]
    """Number of rungs."""
    legs: Annotated[int, Field(ge=2, le=64)] = 2
    """Number of legs."""
    periodic: bool = True
    """Close the legs to rings (then at least 3 rungs)."""

    def build(self) -> Lattice:
        """The lattice.

        Raises:
            KeyProblem: no such lattice exists.
        """
        return _built(lambda: ladder(self.length, self.legs, self.periodic), "length", self.length)


class _PlaneSpec(Section):
    """A cluster of a lattice in the plane, given by its size or by a supercell."""

    unit_cell: ClassVar[UnitCell]
    builder: ClassVar[Callable[[tuple[int, int], tuple[bool, bool]], Lattice]]

    size: Size2 | None = None
    """Number of cells [L1, L2] along the primitive vectors."""
    supercell: Supercell2 | None = None
    """Edges of a periodic cluster in primitive vectors, one a row, in place of size."""
    periodic: bool | Boundary2 = True
    """Close the cluster on itself, for both directions or for each."""

    @model_validator(mode="after")
    def _one_shape(self) -> _PlaneSpec:
        return _check_shape(self)

    def build(self) -> Lattice:
        """The lattice.

        Raises:
            KeyProblem: no such lattice exists.
        """
        return _cluster(self)


class RectangleSpec(_PlaneSpec):
    """The square lattice, cut to a rectangle; spacing 1, site (x, y) has index x + Lx*y."""

    unit_cell = SQUARE
    builder = staticmethod(rectangle)

    kind: Literal["rectangle"]
    """The square lattice."""


class TriangularSpec(_PlaneSpec):
    """The triangular lattice; a1 = (1, 0), a2 = (1/2, sqrt(3)/2), site n1 a1 + n2 a2 has index n1 + L1*n2."""

    unit_cell = TRIANGULAR
    builder = staticmethod(triangular)

    kind: Literal["triangular"]
    """The triangular lattice."""


class HoneycombSpec(_PlaneSpec):
    """The honeycomb lattice; spacing 1, two sites a cell, site b of cell (n1, n2) has index b + 2*(n1 + L1*n2)."""

    unit_cell = HONEYCOMB
    builder = staticmethod(honeycomb)

    kind: Literal["honeycomb"]
    """The honeycomb lattice."""


class KagomeSpec(_PlaneSpec):
    """The kagome lattice; spacing 1, three sites a cell, site b of cell (n1, n2) has index b + 3*(n1 + L1*n2)."""

    unit_cell = KAGOME
    builder = staticmethod(kagome)

    kind: Literal["kagome"]
    """The kagome lattice."""


class CubicSpec(Section):
    """The simple cubic lattice; spacing 1, site (x, y, z) has index x + Lx*(y + Ly*z)."""

    unit_cell: ClassVar[UnitCell] = CUBIC
    builder: ClassVar[Callable[[tuple[int, int, int], tuple[bool, bool, bool]], Lattice]] = staticmethod(cubic)

    kind: Literal["cubic"]
    """The cubic lattice."""
    size: Size3 | None = None
    """Number of sites [Lx, Ly, Lz]."""
    supercell: Supercell3 | None = None
    """Edges of a periodic cluster in primitive vectors, one a row, in place of size."""
    periodic: bool | Boundary3 = True
    """Close the cluster on itself, for all directions or for each (then at least 3 sites along it)."""

    @model_validator(mode="after")
    def _one_shape(self) -> CubicSpec:
        return _check_shape(self)

    def build(self) -> Lattice:
        """The lattice.

        Raises:
            KeyProblem: no such lattice exists.
        """
        return _cluster(self)


class GraphSpec(Section):
    """Any graph, with a coupling on each edge."""

    kind: Literal["graph"]
    """The graph."""
    edges: Edges
    """Bonds [i, j] or [i, j, coupling], sites from 0; the coupling (default 1) multiplies the Hamiltonian's.  Without
    positions a bond points from i to j, where that matters.  May be [] where the Hamiltonian needs no bonds."""
    sites: Annotated[int, Field(ge=2)] | None = None
    """Number of sites; by default one more than the largest that an edge names.  Required without edges."""
    positions: Points | None = None
    """Where the sites are drawn; by default the picture arranges them."""
    symmetries: Permutations = ()
    """Permutations p, (g s)_i = s[p[i]], that keep the edges; with their products they are the group "space"."""

    def build(self) -> Lattice:
        """The lattice.

        Raises:
            KeyProblem: no such graph exists, or a symmetry is none.
        """
        # Key by key, so that a message names the one that is wrong.
        shown = [list(edge) for edge in self.edges]
        _built(lambda: graph(self.edges, self.sites), "edges", shown)
        _built(lambda: graph(self.edges, self.sites, self.positions), "positions", self.positions)
        return _built(
            lambda: graph(self.edges, self.sites, self.positions, self.symmetries),
            "symmetries",
            [list(permutation) for permutation in self.symmetries],
        )


ShapedT = TypeVar("ShapedT", _PlaneSpec, CubicSpec)

LatticeSpec = Annotated[
    ChainSpec | LadderSpec | RectangleSpec | TriangularSpec | HoneycombSpec | KagomeSpec | CubicSpec | GraphSpec,
    Field(discriminator="kind"),
]


def _check_shape(spec: ShapedT) -> ShapedT:
    if (spec.size is None) == (spec.supercell is None):
        raise KeyProblem("lattice.size", list(spec.size or ()), "give either size or supercell")
    if spec.supercell is not None and spec.periodic is not True:
        raise KeyProblem("lattice.periodic", spec.periodic, "a cluster given by a supercell is periodic: must be true")
    return spec


def _cluster(spec: _PlaneSpec | CubicSpec) -> Lattice:
    """The cluster of a supercell or of a size."""
    unit_cell, edges, size = spec.unit_cell, spec.supercell, spec.size
    if edges is not None:
        return _built(lambda: supercell_cluster(unit_cell, edges), "supercell", [list(row) for row in edges])
    assert size is not None, "one of them is given"
    periodic = (spec.periodic,) * len(size) if isinstance(spec.periodic, bool) else spec.periodic
    builder: Callable[..., Lattice] = type(spec).builder
    return _built(lambda: builder(size, periodic), "size", list(size))


def _built(build: Callable[[], Lattice], key: str, value: object) -> Lattice:
    try:
        return build()
    except LatticeError as error:
        raise KeyProblem(f"lattice.{key}", value, str(error)) from None
