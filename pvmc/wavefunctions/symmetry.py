"""Symmetry groups with the one-dimensional representation by which psi transforms.

An element g permutes the sites and may flip all spins, (g s)_i = sign[g] s[perm[g, i]].  The symmetry of a wave
function is the statement  psi(g s) = chi(g) psi(s)  with characters chi(g), |chi| = 1 and chi(g h) = chi(g) chi(h).
Groups without signs and characters are rows of permutations, of which large lattices have gigabytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pvmc.numerics.arrays import Floats, Integers, Spins
from pvmc.numerics.kernels import kernel

CHARACTER_TOLERANCE = 1e-9
"""Characters that differ by more are different."""


class Element(NamedTuple):
    """One symmetry: the permutation of the sites, int64 (N,); +1, or -1 if all spins flip; the character."""

    permutation: Integers
    sign: int
    character: complex

    @property
    def key(self) -> tuple[bytes, int]:
        """Identifier of the element: equal for equal permutations and signs."""
        return self.permutation.tobytes(), self.sign

    def after(self, first: Element) -> Element:
        """The element that acts as ``first`` and then as this one."""
        return Element(first.permutation[self.permutation], first.sign * self.sign, first.character * self.character)


class NoRepresentation(ValueError):
    """The characters of the generators belong to no one-dimensional representation of the group."""


@dataclass(frozen=True, eq=False)
class SymmetryGroup:
    """A group of symmetries and a character for each; the identity is first.

    Attributes:
        permutations: int64 (|G|, N).
        signs: int8 (|G|,), -1 where all spins flip.
        characters: complex128 (|G|,).
    """

    permutations: Integers
    signs: npt.NDArray[np.int8]
    characters: npt.NDArray[np.complex128]

    def __len__(self) -> int:
        return len(self.permutations)

    @classmethod
    def of_permutations(cls, permutations: Integers) -> SymmetryGroup:
        """A group of permutations (|G|, N) under which psi does not change."""
        order = len(permutations)
        return cls(permutations, np.ones(order, dtype=np.int8), np.ones(order, dtype=np.complex128))

    @classmethod
    def generated(cls, generators: Sequence[Element], n_sites: int) -> SymmetryGroup:
        """All products of the generators.

        Raises:
            NoRepresentation: two products are the same symmetry and yet have different characters.
        """
        elements = [Element(np.arange(n_sites, dtype=np.int64), 1, 1.0 + 0j)]
        known = {elements[0].key: elements[0].character}
        for element in elements:  # the list grows: every element is multiplied by every generator once
            for generator in generators:
                product = generator.after(element)
                if product.key not in known:
                    known[product.key] = product.character
                    elements.append(product)
                elif abs(known[product.key] - product.character) > CHARACTER_TOLERANCE:
                    raise NoRepresentation("no one-dimensional representation of the group has these characters")
        return cls.of_elements(elements)

    @classmethod
    def of_elements(cls, elements: Iterable[Element]) -> SymmetryGroup:
        """The elements as arrays; characters that are real to rounding become so."""
        listed = list(elements)
        characters = np.array([element.character for element in listed], dtype=np.complex128)
        for part in (characters.real, characters.imag):
            nearest = np.rint(part)
            close = np.abs(part - nearest) < CHARACTER_TOLERANCE
            part[close] = nearest[close]
        return cls(
            np.array([element.permutation for element in listed], dtype=np.int64),
            np.array([element.sign for element in listed], dtype=np.int8),
            characters,
        )

    def elements(self) -> list[Element]:
        """The elements one by one."""
        rows = zip(self.permutations, self.signs.tolist(), self.characters.tolist(), strict=True)
        return [Element(*row) for row in rows]

    def with_spin_flip(self) -> SymmetryGroup:
        """This group of permutations and, with the same characters, each of them followed by the flip of all spins."""
        doubled = [element._replace(sign=sign * element.sign) for sign in (1, -1) for element in self.elements()]
        return SymmetryGroup.of_elements(doubled)

    def act(self, g: int, spins: Spins) -> Spins:
        """g s, int8 (N, L), of spins (N, L)."""
        return self.signs[g] * spins[self.permutations[g]]

    def shared(self, other: SymmetryGroup) -> SymmetryGroup:
        """The elements of both groups, with the characters of a product of two wave functions."""
        theirs = {element.key: element.character for element in other.elements()}
        common = [element for element in self.elements() if element.key in theirs]
        return SymmetryGroup.of_elements(
            element._replace(character=element.character * theirs[element.key]) for element in common
        )

    def cosets(self, subgroup: SymmetryGroup) -> Integers:
        """Indices of one element g of every coset H g, where H are the elements that are also in ``subgroup``.

        For psi(h s) = chi_H(h) psi(s) the sum of chi(g)* psi(g s) over the group is |H| times that over these g.

        Raises:
            NoRepresentation: the characters of an element differ between the groups, so that the sum is zero.
        """
        theirs = {element.key: element.character for element in subgroup.elements()}
        shared = [element for element in self.elements() if element.key in theirs]
        for element in shared:
            if abs(theirs[element.key] - element.character) > CHARACTER_TOLERANCE:
                raise NoRepresentation(
                    f"psi has a symmetry already, with the character {_complex_text(theirs[element.key])} where "
                    f"{_complex_text(element.character)} is asked for: the projection is zero"
                )
        covered: set[tuple[bytes, int]] = set()
        chosen = []
        for g, element in enumerate(self.elements()):
            if element.key not in covered:
                chosen.append(g)
                covered.update(member.after(element).key for member in shared)
        return np.array(chosen, dtype=np.int64)


def claimed_symmetry(ansatz: Any) -> SymmetryGroup | None:
    """The symmetries that an ansatz says it has exactly: its ``symmetry_group`` or ``permutations``, if any."""
    group = getattr(ansatz, "symmetry_group", None)
    if isinstance(group, SymmetryGroup):
        return group
    permutations = getattr(ansatz, "permutations", None)
    return None if permutations is None else SymmetryGroup.of_permutations(np.asarray(permutations))


def _complex_text(value: complex) -> str:
    return f"{value.real:.3g}" if abs(value.imag) < CHARACTER_TOLERANCE else f"{value:.3g}"


# Rows of permutations -------------------------------------------------------------------------------------------------


def checked(permutations: Integers) -> Integers:
    """The rows, int64 (n, N); one that is no permutation of 0 ... N - 1 raises a ValueError."""
    rows = np.ascontiguousarray(permutations, dtype=np.int64)
    if not _are_permutations(rows):
        raise ValueError("every row of the symmetry group must be a permutation of the sites")
    return rows


def inverted(permutations: Integers) -> Integers:
    """The inverse permutations, int64 (n, N)."""
    inverses = np.empty_like(permutations)
    _invert(permutations, inverses)
    return inverses


@kernel
def _are_permutations(rows: Integers) -> bool:
    n_sites = rows.shape[1]
    last = np.full(n_sites, -1, np.int64)  # the last row that each site was seen in
    for row in range(rows.shape[0]):
        for i in range(n_sites):
            site = rows[row, i]
            if site < 0 or site >= n_sites or last[site] == row:
                return False
            last[site] = row
    return True


@kernel
def _invert(rows: Integers, inverses: Integers) -> None:
    for row in range(rows.shape[0]):
        for i in range(rows.shape[1]):
            inverses[row, rows[row, i]] = i


def site_orbits(permutations: Integers) -> Integers:
    """The index of every site's orbit under a group of permutations (|G|, N); int64 (N,)."""
    _, orbits = np.unique(permutations.min(axis=0), return_inverse=True)
    return orbits.astype(np.int64)


def pair_orbits(permutations: Integers) -> Integers:
    """The index of the orbit of every unordered pair of distinct sites; int64 (N, N), symmetric, -1 on the diagonal."""
    n_sites = permutations.shape[1]
    lowest = np.full((n_sites, n_sites), n_sites**2, dtype=np.int64)
    for permutation in permutations:
        image = permutation[:, None] * n_sites + permutation
        np.minimum(lowest, np.minimum(image, image.T), out=lowest)
    distinct = ~np.eye(n_sites, dtype=np.bool_)
    orbits = np.full((n_sites, n_sites), -1, dtype=np.int64)
    _, orbits[distinct] = np.unique(lowest[distinct], return_inverse=True)
    return orbits


def orbit_sums(orbits: Integers, spins: Spins | Floats) -> Floats:
    """The sum of the spins, or other real numbers, of every orbit of sites, (n_orbits, L)."""
    members = orbits == np.arange(orbits.max() + 1)[:, None]
    return members.astype(np.float64) @ spins.astype(np.float64)
