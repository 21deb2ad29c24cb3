"""Lattices: sites in space, bonds by neighbour shell, and the permutations that map the lattice to itself.

Everything follows from three things: the positions of the sites, the vectors along which the cluster repeats
(none for open boundaries) and the isometries of the infinite lattice.  Shells come from distances by the
minimum-image rule, symmetries from matching moved sites with sites.  A new lattice is therefore one function that
names primitive vectors and isometries; a bare graph is a :class:`Lattice` with its edges as the only shell.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from pvmc.config import KeyProblem, Section
from pvmc.errors import InputError

N_SHELLS = 3
"""Neighbour shells that the builders of this file list (fewer where a lattice has fewer)."""

MAX_SITES = 4096
"""Largest lattice built here: distances are compared pair by pair."""

TOLERANCE = 1e-6
"""Lengths, in units of the nearest-neighbour distance, that differ by less than this are equal."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class LatticeError(InputError):
    """The lattice cannot be built, or lacks what is asked of it."""


@dataclass(frozen=True, eq=False)
class Lattice:
    """N sites, the bonds between them and the symmetries of both.

    Attributes:
        positions: float64, shape (N, d); unit: nearest-neighbour distance.
        shells: int64 arrays of shape (n_bonds, 2), one per neighbour shell by ascending distance.  Every pair of
            sites stands once, as i < j, in lexicographic order, also where two images are equally near.
        generators: permutations (int64, shape (n_generators, N)) that generate each symmetry group, by its name.
        periods: float64, shape (k, d), the vectors along which the cluster repeats; none (k = 0) where it is open.

    Raises:
        ValueError: a generator is not a permutation that maps every shell to itself.
    """

    positions: Floats
    shells: tuple[Ints, ...]
    generators: Mapping[str, Ints] = field(default_factory=dict)
    periods: Floats = field(default_factory=lambda: np.zeros((0, 0)))

    def __post_init__(self) -> None:
        for array in (self.positions, self.periods, *self.shells, *self.generators.values()):
            array.setflags(write=False)
        for name, permutations in self.generators.items():
            if not all(_is_automorphism(permutation, self.shells) for permutation in permutations):
                raise ValueError(f'a generator of the group "{name}" does not map bonds to bonds')

    @property
    def n_sites(self) -> int:
        """Number of sites N."""
        return len(self.positions)

    def bonds(self, shell: int = 1) -> Ints:
        """The bonds of a neighbour shell (1: nearest), int64, shape (n_bonds, 2).

        Raises:
            LatticeError: the lattice has no such shell.
        """
        if not 1 <= shell <= len(self.shells):
            raise LatticeError(f"neighbour shell {shell} of {self.n_sites} sites: known are 1 to {len(self.shells)}")
        return self.shells[shell - 1]

    def group(self, name: str) -> Ints:
        """All elements of a symmetry group, as permutations of the sites.

        Element g acts on a configuration as (g s)_i = s[perm[g, i]].  The elements are distinct and closed under
        composition; they stand in lexicographic order, which puts the identity first and, on a cluster of one
        site per cell, the translation that fetches site g at row g.

        Args:
            name: "none" (the identity alone), "translation" (along all periodic directions; the identity alone
                where there are none) or "space" (translations, reflections and rotations).

        Returns:
            int64, shape (|G|, N).

        Raises:
            LatticeError: the lattice has no group of this name.
        """
        if name == "none":
            return np.arange(self.n_sites, dtype=np.int64)[np.newaxis]
        if name not in self.generators:
            known = ", ".join(f'"{known}"' for known in ("none", *self.generators))
            raise LatticeError(f'symmetry group "{name}": this lattice has {known}')
        return _closure(self.generators[name], self.n_sites)

    def sublattices(self) -> npt.NDArray[np.int8]:
        """Two-colouring of the nearest-neighbour bonds: +1 on sublattice A, which holds site 0, and -1 on B.

        Returns:
            int8, shape (N,).  In every connected part of the lattice the lowest site is on A.

        Raises:
            LatticeError: no such colouring exists (the lattice is not bipartite).
        """
        neighbours: list[list[int]] = [[] for _ in range(self.n_sites)]
        for i, j in self.bonds().tolist():
            neighbours[i].append(j)
            neighbours[j].append(i)
        colours = np.zeros(self.n_sites, dtype=np.int8)
        for root in range(self.n_sites):
            if colours[root]:
                continue
            colours[root] = 1
            reached = [root]
            for site in reached:
                for neighbour in neighbours[site]:
                    if colours[neighbour] == 0:
                        colours[neighbour] = -colours[site]
                        reached.append(neighbour)
                    elif colours[neighbour] == colours[site]:
                        raise LatticeError(f"{self.n_sites} sites with a loop of odd length have no two sublattices")
        return colours


def chain(length: int, periodic: bool = True) -> Lattice:
    """A chain of sites, at distance 1.

    Raises:
        LatticeError: fewer than 2 sites or more than MAX_SITES, or fewer than 3 on a ring.
    """
    return _cluster(steps=np.eye(1), repeats=(length,), periodic=(periodic,), isometries=[-np.eye(1)])


def rectangle(size: tuple[int, int], periodic: tuple[bool, bool] = (True, True)) -> Lattice:
    """The square lattice cut to Lx x Ly sites; site (x, y) has index x + Lx*y.

    Raises:
        LatticeError: fewer than 2 sites or more than MAX_SITES, or fewer than 3 along a periodic direction.
    """
    mirror_x, mirror_y, transpose = np.diag([-1.0, 1.0]), np.diag([1.0, -1.0]), np.eye(2)[::-1]
    return _cluster(steps=np.eye(2), repeats=size, periodic=periodic, isometries=[mirror_x, mirror_y, transpose])


def _cluster(
    steps: Floats, repeats: tuple[int, ...], periodic: tuple[bool, ...], isometries: Sequence[Floats]
) -> Lattice:
    """A cluster of repeats[0] x repeats[1] x ... cells of a Bravais lattice; the first index runs fastest.

    Args:
        steps: primitive vectors as rows, shape (d, d).
        repeats: unit cells along each.
        periodic: whether the cluster closes on itself along each.
        isometries: orthogonal matrices (d, d) that generate the point group of the infinite lattice; those that
            the cluster or its boundaries break, when applied about the centre of the cluster, are left out.
    """
    n_sites = math.prod(repeats)
    if not 2 <= n_sites <= MAX_SITES:
        raise LatticeError(f"a lattice needs 2 to {MAX_SITES} sites, not {n_sites}")
    if any(closed and cells < 3 for closed, cells in zip(periodic, repeats, strict=True)):
        raise LatticeError("a periodic direction needs a length of at least 3")
    positions = np.stack(np.unravel_index(np.arange(n_sites), repeats, order="F"), axis=1) @ steps
    closed = np.array(periodic)
    periods = (steps * np.array(repeats)[:, np.newaxis])[closed]
    identity = np.eye(positions.shape[1])
    translations = [_permutation(positions, periods, identity, step) for step in steps[closed]]
    centre = positions.mean(axis=0)
    point_group = [
        _permutation(positions, periods, matrix, centre - matrix @ centre)
        for matrix in isometries
        if _maps_periods(matrix, periods)
    ]
    return Lattice(
        positions,
        _neighbour_shells(positions, periods),
        {"translation": _stack(translations, n_sites), "space": _stack(translations + point_group, n_sites)},
        periods,
    )


def _neighbour_shells(positions: Floats, periods: Floats) -> tuple[Ints, ...]:
    """Pairs of sites by minimum-image distance, the first N_SHELLS distances.

    ``periods`` must be nearly orthogonal (at most 60 degrees off for two), so that the nearest image of a pair
    inside the cluster is at most one period away.
    """
    first, second = np.triu_indices(len(positions), k=1)
    separation = positions[second] - positions[first]
    images = itertools.product((-1, 0, 1), repeat=len(periods))
    distance = np.full(len(first), np.inf)
    for image in images:
        shifted = separation + np.array(image) @ periods
        np.minimum(distance, np.sqrt(np.einsum("pd,pd->p", shifted, shifted)), out=distance)
    shells = []
    for _ in range(N_SHELLS):
        nearest = distance.min()
        if np.isinf(nearest):
            break
        members = distance < nearest + TOLERANCE
        shells.append(np.stack([first[members], second[members]], axis=1).astype(np.int64))
        distance[members] = np.inf
    return tuple(shells)


def _wrap(points: Floats, periods: Floats) -> Floats:
    """Move points into one copy of the cluster."""
    if len(periods) == 0:
        return points
    fractions = points @ np.linalg.pinv(periods)
    return points - np.floor(fractions + TOLERANCE) @ periods


def _permutation(positions: Floats, periods: Floats, matrix: Floats, shift: Floats) -> Ints | None:
    """The permutation p with site p[i] at  matrix @ positions[i] + shift  modulo the periods; None if there is none."""
    moved = _wrap(positions @ matrix.T + shift, periods)
    home = _wrap(positions, periods)
    apart = np.zeros((len(home), len(home)))
    for axis in range(home.shape[1]):
        apart += np.abs(moved[:, np.newaxis, axis] - home[np.newaxis, :, axis])
    permutation = apart.argmin(axis=1)
    matched = apart[np.arange(len(home)), permutation].max() < TOLERANCE
    return permutation if matched and len(np.unique(permutation)) == len(home) else None


def _maps_periods(matrix: Floats, periods: Floats) -> bool:
    """Whether an isometry maps the lattice of periods to itself (else it does not act on the torus at all)."""
    if len(periods) == 0:
        return True
    moved = periods @ matrix.T
    coefficients = np.rint(moved @ np.linalg.pinv(periods))
    return bool(np.allclose(coefficients @ periods, moved, rtol=0, atol=TOLERANCE))


def _stack(permutations: list[Ints | None], n_sites: int) -> Ints:
    found = [permutation for permutation in permutations if permutation is not None]
    return np.array(found, dtype=np.int64).reshape(len(found), n_sites)


def _is_automorphism(permutation: Ints, shells: tuple[Ints, ...]) -> bool:
    """Whether a permutation of the sites maps the bonds of every shell onto themselves."""
    n_sites = len(permutation)
    if not np.array_equal(np.sort(permutation), np.arange(n_sites)):
        return False

    def keys(bonds: Ints) -> Ints:
        return np.sort(bonds.min(axis=1) * n_sites + bonds.max(axis=1))

    return all(np.array_equal(keys(permutation[bonds]), keys(bonds)) for bonds in shells)


def _closure(generators: Ints, n_sites: int) -> Ints:
    """All products of the generators, in lexicographic order (so the identity is first)."""
    elements = [np.arange(n_sites, dtype=np.int64)]
    known = {elements[0].tobytes()}
    for element in elements:  # grows while it is walked: every element meets every generator once
        for generator in generators:
            product = element[generator]
            key = product.tobytes()
            if key not in known:
                known.add(key)
                elements.append(product)
    return np.array(sorted(elements, key=lambda permutation: permutation.tolist()))


Boundary = Annotated[tuple[bool, bool], Field(strict=False)]  # not strict: TOML has lists, not tuples
Size = Annotated[tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]], Field(strict=False)]


class ChainSpec(Section):
    """A chain of sites at distance 1."""

    kind: Literal["chain"]
    """The chain."""
    length: Annotated[int, Field(ge=2)]
    """Number of sites."""
    periodic: bool = True
    """Whether the chain closes to a ring (then at least 3 sites)."""

    def build(self) -> Lattice:
        """The lattice.

        Raises:
            KeyProblem: no such lattice exists.
        """
        try:
            return chain(self.length, self.periodic)
        except LatticeError as error:
            raise KeyProblem("lattice.length", self.length, str(error)) from None


class RectangleSpec(Section):
    """The square lattice, cut to a rectangle; spacing 1, site (x, y) has index x + Lx*y."""

    kind: Literal["rectangle"]
    """The rectangle."""
    size: Size
    """Number of sites [Lx, Ly]."""
    periodic: bool | Boundary = True
    """Whether the rectangle closes on itself, for both directions or as [x, y] (then at least 3 sites along it)."""

    def build(self) -> Lattice:
        """The lattice.

        Raises:
            KeyProblem: no such lattice exists.
        """
        periodic = (self.periodic, self.periodic) if isinstance(self.periodic, bool) else self.periodic
        try:
            return rectangle(self.size, periodic)
        except LatticeError as error:
            raise KeyProblem("lattice.size", list(self.size), str(error)) from None


LatticeSpec = Annotated[ChainSpec | RectangleSpec, Field(discriminator="kind")]
