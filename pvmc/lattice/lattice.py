"""The lattice that everything else sees: sites in space, bonds by neighbour shell, and symmetries of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from pvmc.config.words import one_of
from pvmc.errors import InputError
from pvmc.lattice.unit_cell import minimum_image
from pvmc.numerics.arrays import Floats, Integers


class LatticeError(InputError):
    """The lattice cannot be built, or lacks what is asked of it."""


@dataclass(frozen=True, eq=False)
class Lattice:
    """N sites, the bonds between them and the symmetries of both.

    Attributes:
        positions: float64, shape (N, d); unit: nearest-neighbour distance.  d = 0 for a graph that lies nowhere.
        shells: int64 arrays of shape (n_bonds, 2), one per neighbour shell by ascending distance.  Every pair of
            sites stands once, as i < j, in lexicographic order, also where two images are equally near.
        generators: permutations (int64, shape (n_generators, N)) that generate each symmetry group, by its name.
        periods: float64, shape (n_periodic, d): vectors along which the cluster repeats.
        weights: float64 (n_bonds,) for each shell, the couplings of its bonds; empty where all are 1.
        vectors: float64, shape (m, d): primitive vectors of the infinite lattice; none for a graph.
        basis: float64, shape (n_basis, d): the sites of the unit cell at the origin; none for a graph.
        arrows: int64, shape (n_bonds, 2): the bonds of the first shell in its order, each from i to j as a graph lists
            it; none (0, 2) for other lattices.

    Raises:
        ValueError: a generator is not a permutation that maps every shell, with its couplings, to itself.
    """

    positions: Floats
    shells: tuple[Integers, ...]
    generators: Mapping[str, Integers] = field(default_factory=dict)
    periods: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    weights: tuple[Floats, ...] = ()
    vectors: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    basis: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    arrows: Integers = field(default_factory=lambda: np.zeros((0, 2), dtype=np.int64))

    def __post_init__(self) -> None:
        weights = self.weights or tuple(np.ones(len(bonds)) for bonds in self.shells)
        object.__setattr__(self, "weights", weights)
        space = (self.positions, self.periods, self.vectors, self.basis)
        for array in (*space, self.arrows, *self.shells, *weights, *self.generators.values()):
            array.setflags(write=False)
        for name, permutations in self.generators.items():
            if not all(is_automorphism(permutation, self.shells, weights) for permutation in permutations):
                raise ValueError(f'a generator of the group "{name}" does not map bonds to bonds')

    @property
    def n_sites(self) -> int:
        """Number of sites N."""
        return len(self.positions)

    def bonds(self, shell: int = 1) -> Integers:
        """The bonds of a neighbour shell (1: nearest), int64, shape (n_bonds, 2).

        Raises:
            LatticeError: the lattice has no such shell.
        """
        if not 1 <= shell <= len(self.shells):
            raise LatticeError(f"neighbour shell {shell} of {self.n_sites} sites: known are 1 to {len(self.shells)}")
        return self.shells[shell - 1]

    def couplings(self, shell: int = 1) -> Floats:
        """Factor of each bond of a shell in the Hamiltonian, float64, shape (n_bonds,); 1 unless a graph says else.

        Raises:
            LatticeError: the lattice has no such shell.
        """
        self.bonds(shell)  # raises where there is no such shell
        return self.weights[shell - 1]

    def displacements(self, shell: int = 1) -> Floats:
        """The shortest vector from site i to site j of each bond (i, j) of a shell, float64, shape (n_bonds, d).

        Where two images of j are equally near, as on the second shell of a ring of four, it is one of them.

        Raises:
            LatticeError: the lattice has no such shell.
        """
        first, second = self.bonds(shell).T
        return minimum_image(self.positions[second] - self.positions[first], self.periods)

    def displacement_classes(self) -> Integers | None:
        """Classes of pairs of sites by the site of the unit cell and the vector from it to the other site.

        Returns:
            int64 (N, N), the class of (i, j) at [i, j], numbered from 0; None of a graph, which has no unit cell.
        """
        if len(self.vectors) == 0 or len(self.basis) == 0:
            return None
        # The place of each site in its unit cell: the basis site that differs from it by whole primitive vectors.
        cells = (self.positions[:, None] - self.basis) @ np.linalg.pinv(self.vectors)  # (N, n_basis, m)
        places = np.abs(cells - np.rint(cells)).sum(axis=2).argmin(axis=1)
        apart = self.positions[None] - self.positions[:, None]  # (N, N, d)
        vectors = minimum_image(apart.reshape(self.n_sites**2, -1), self.periods)
        # One integer for each pair: unique numbers are found faster than unique rows.
        steps = np.column_stack([np.repeat(places, self.n_sites), np.rint(1e4 * vectors)]).astype(np.int64)
        steps -= steps.min(axis=0)
        keys = np.ravel_multi_index(tuple(steps.T), tuple(steps.max(axis=0) + 1))
        return np.unique(keys, return_inverse=True)[1].reshape(self.n_sites, self.n_sites).astype(np.int64)

    def momenta(self) -> Floats:
        """The wave vectors k that the periodic directions allow: exp(i k.P) = 1 for every period P.

        They lie in the span of the periods, are distinct modulo reciprocal lattice vectors, and are as many as there
        are translations; k = sum_j q_j b_j with 0 <= q_j < 1 and a_i . b_j = 2 pi delta_ij.

        Returns:
            float64, shape (n_k, d), k = 0 first; only k = 0 where no direction is periodic.
        """
        if len(self.periods) == 0:
            return np.zeros((1, self.positions.shape[1]))
        supercell = np.rint(self.periods @ np.linalg.pinv(self.vectors)).astype(np.int64)
        along = np.any(supercell != 0, axis=0)
        supercell, vectors = supercell[:, along], self.vectors[along]
        n_momenta = abs(round(np.linalg.det(supercell)))
        # q = S^-1 m for integers m: n_momenta q are integers, sums of the columns of the adjugate of S.
        steps = np.rint(n_momenta * np.linalg.inv(supercell)).astype(np.int64).T
        known = {(0,) * len(steps)}
        reached = list(known)
        for numerators in reached:  # grows while it is walked
            for step in steps:
                new = tuple(((np.array(numerators) + step) % n_momenta).tolist())
                if new not in known:
                    known.add(new)
                    reached.append(new)
        fractions = np.array(sorted(reached, key=lambda numerators: numerators[::-1])) / n_momenta
        return fractions @ (2 * np.pi * np.linalg.pinv(vectors).T)

    def group(self, name: str) -> Integers:
        """All elements of a symmetry group, as permutations of the sites.

        Element g acts on a configuration as (g s)_i = s[perm[g, i]].  The elements are distinct and closed under
        composition; they stand in lexicographic order, which puts the identity first and, on a cluster of one
        site per cell, the translation that fetches site g at row g.

        Args:
            name: "none" (the identity alone), "translation" (along all periodic directions; the identity alone
                where there are none) or "space" (translations, reflections and rotations; of a graph, the
                permutations given with it).

        Returns:
            int64, shape (|G|, N).

        Raises:
            LatticeError: the lattice has no group of this name.
        """
        if name == "none":
            return np.arange(self.n_sites, dtype=np.int64)[np.newaxis]
        if name not in self.generators:
            known = one_of(["none", *self.generators])
            raise LatticeError(f'symmetry group "{name}": this lattice has {known}')
        return closure(self.generators[name], self.n_sites)

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


def describe(lattice: Lattice) -> str:
    """Lines on the sites, the bonds of each shell, the sublattices and the symmetry groups of a lattice."""
    lines = [f"{lattice.n_sites} sites, {_sublattices(lattice)}"]
    lines += [_shell(lattice, shell) for shell in range(1, len(lattice.shells) + 1)]
    for name in lattice.generators:
        order = len(lattice.group(name))
        lines.append(f'symmetry group "{name}": {order} permutation{"s" if order > 1 else ""}')
    return "\n".join(lines)


def _sublattices(lattice: Lattice) -> str:
    try:
        colours = lattice.sublattices()
    except LatticeError:
        return "not bipartite"
    return f"bipartite: {np.sum(colours == 1)} on sublattice A, {np.sum(colours == -1)} on B"


def _shell(lattice: Lattice, shell: int) -> str:
    bonds, couplings = lattice.bonds(shell), lattice.couplings(shell)
    neighbours = np.bincount(bonds.ravel(), minlength=lattice.n_sites)
    fewest, most = neighbours.min(), neighbours.max()
    words = [f"{len(bonds)} bonds", f"{fewest} neighbours" if fewest == most else f"{fewest} to {most} neighbours"]
    if len(lattice.vectors):
        words.append(f"distance {np.linalg.norm(lattice.displacements(shell)[0]):.6g}")
    if np.any(couplings != 1.0):
        words.append(f"couplings {couplings.min():g} to {couplings.max():g}")
    return f"shell {shell}: {', '.join(words)}"


def is_automorphism(permutation: Integers, shells: Sequence[Integers], couplings: Sequence[Floats]) -> bool:
    """True where a permutation of the sites maps the bonds of every shell onto bonds of it and of equal coupling.

    Args:
        permutation: int64, shape (N,); what is no permutation of 0 ... N - 1 is no automorphism.
        shells: int64 (n_bonds, 2) each, every pair once.
        couplings: float64 (n_bonds,) each.
    """
    n_sites = len(permutation)
    if not np.array_equal(np.sort(permutation), np.arange(n_sites)):
        return False
    return all(
        _same_bonds(bonds, permutation[bonds], values, n_sites) for bonds, values in zip(shells, couplings, strict=True)
    )


def _same_bonds(bonds: Integers, moved: Integers, couplings: Floats, n_sites: int) -> bool:
    before, after = (pairs.min(axis=1) * n_sites + pairs.max(axis=1) for pairs in (bonds, moved))
    order_before, order_after = np.argsort(before), np.argsort(after)
    return bool(
        np.array_equal(before[order_before], after[order_after])
        and np.array_equal(couplings[order_before], couplings[order_after])
    )


def closure(generators: Integers, n_sites: int) -> Integers:
    """All products of the generators.

    Dimino's algorithm (G. Butler, Fundamental Algorithms for Permutation Groups, 1991, chapter 3): the group H of the
    first generators grows by the next one, by whole cosets H c.  A product c s of a coset's representative with a
    generator that is not known yet represents a new coset.

    Args:
        generators: int64, shape (n_generators, N).
        n_sites: number of sites N.

    Returns:
        int64, shape (|G|, N), in lexicographic order (so the identity is first).
    """
    group = [np.arange(n_sites, dtype=np.int64)]
    first_images = [0]  # of site 0 under each element
    for k in range(len(generators)):
        size, representatives = len(group), [group[0]]
        for representative in representatives:  # grows while it is walked
            for generator in generators[: k + 1]:
                product = representative[generator]
                if _is_known(product, group, np.array(first_images)):
                    continue
                representatives.append(product)
                group += [element[product] for element in group[:size]]
                first_images += [int(element[0]) for element in group[-size:]]
    elements = np.empty((len(group), n_sites), dtype=np.int64)
    for number, row in enumerate(_lexicographic_order(group).tolist()):
        elements[number] = group[row]
    return elements


def _is_known(element: Integers, group: Sequence[Integers], first_images: Integers) -> bool:
    """True where a permutation is among others, of which the images of site 0 are given."""
    candidates = np.flatnonzero(first_images == element[0]).tolist()
    return any(np.array_equal(group[row], element) for row in candidates)


def _lexicographic_order(permutations: Sequence[Integers]) -> Integers:
    """The order of different permutations, by as many columns as tell them apart."""
    n_sites, n_columns = len(permutations[0]), 1
    while True:
        columns = np.array([permutation[:n_columns] for permutation in permutations])
        order = np.lexsort(columns.T[::-1])
        if n_columns >= n_sites or np.all(np.any(np.diff(columns[order], axis=0) != 0, axis=1)):
            return order
        n_columns = min(2 * n_columns, n_sites)
