"""Quantum numbers of a lattice's symmetries: from what a user asks for to a group with characters.

Conventions, for (g s)_i = sign s[perm[i]] and psi(g s) = chi(g) psi(s):

- **momentum** n_a (an integer per periodic direction a, modulo the number L_a of steps around it):  k_a = 2 pi n_a/L_a.
  The translation t_a fetches each spin from one step further, perm[i] at x_i + e_a, and chi(t_a) = exp(-i k_a), so that
  a single flipped spin at x has psi ~ exp(i k x).
- **parity** p = +-1:  the eigenvalue of the mirror of the first coordinate about the centre of the lattice; on a chain
  it exchanges the sites i and N - 1 - i.  On an even ring with momentum pi the mirror through a site has the other.
- **irrep** of the point group about the centre, by Mulliken's names of one-dimensional representations: A or B for
  character +1 or -1 of the smallest rotation, 1 or 2 for +1 or -1 of the mirror above.  "trivial" is A1; "sign" is A2,
  the determinant of the isometry.
- **spin_flip** p = +-1:  the eigenvalue of prod_i sigma^x_i.  A state of N spins 1/2 with total spin S has
  (-1)^(N/2 - S).  With a Marshall rotation at zero magnetisation the eigenvalue is multiplied by (-1)^(sites on B).

All symmetries act on the configurations that are sampled.  With a Marshall rotation a translation that exchanges the
sublattices has the character of the rotated state: (-1)^(N/2) times that of the original one at zero magnetisation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pvmc.numerics.arrays import Floats, Integers
from pvmc.wavefunctions.shared import LatticeOfSites
from pvmc.wavefunctions.symmetry import Element, NoRepresentation, SymmetryGroup

TOLERANCE = 1e-6
"""Largest error of a site's position, in units of the nearest-neighbour distance."""

IRREPS = {"trivial": (1, 1), "sign": (1, -1), "A1": (1, 1), "A2": (1, -1), "B1": (-1, 1), "B2": (-1, -1)}
"""Characters of the smallest rotation and of the mirror."""


class QuantumNumberError(ValueError):
    """A quantum number that the lattice does not have, or that contradicts another.

    Attributes:
        name: the quantum number at fault: "momentum", "parity", "irrep" or "spin_flip".
    """

    def __init__(self, name: str, text: str):
        super().__init__(text)
        self.name = name


@dataclass(frozen=True)
class QuantumNumbers:
    """The quantum numbers that a state is projected to; None leaves the symmetry alone.  See the top of this file."""

    momentum: Sequence[int] | None = None
    parity: int | None = None
    irrep: str | None = None
    spin_flip: int | None = None

    def group(self, lattice: LatticeOfSites) -> SymmetryGroup:
        """The symmetries of the lattice that have a quantum number, with their characters.

        Raises:
            QuantumNumberError: the lattice lacks a symmetry, or there is no common eigenstate with these numbers (the
                representation has more than one dimension).
        """
        parts: dict[str, list[Element]] = {}
        if self.momentum is not None:
            parts["momentum"] = translations(lattice, self.momentum)
        if self.irrep is not None:
            parts["irrep"] = point_group(lattice, self.irrep)
        if self.parity is not None:
            parts["parity"] = [Element(mirror(lattice, "parity"), 1, complex(self.parity))]
        if self.spin_flip is not None:
            identity = np.arange(lattice.n_sites, dtype=np.int64)
            parts["spin_flip"] = [Element(identity, -1, complex(self.spin_flip))]
        generators: list[Element] = []
        group = SymmetryGroup.generated(generators, lattice.n_sites)
        for name, elements in parts.items():
            generators += elements
            try:
                group = SymmetryGroup.generated(generators, lattice.n_sites)
            except NoRepresentation:
                raise QuantumNumberError(name, _contradiction(name, list(parts))) from None
        return group


def _contradiction(name: str, names: Sequence[str]) -> str:
    others = [other for other in names[: names.index(name)]]
    if name == "momentum":
        return "the translations of this cluster are not independent, and no state has these momenta together"
    if not others:
        return "this representation of the point group has no such characters on this lattice"
    return (
        f"no state has this together with the {' and '.join(others)} given: they belong to a "
        "representation of more than one dimension (a mirror turns k into -k); only one-dimensional ones are supported"
    )


def translations(lattice: LatticeOfSites, momentum: Sequence[int]) -> list[Element]:
    """One step along every periodic direction, with chi = exp(-2 pi i n / L)."""
    steps = lattice.generators.get("translation", np.empty((0, lattice.n_sites), dtype=np.int64))
    if len(steps) == 0:
        raise QuantumNumberError("momentum", "this lattice has no periodic direction")
    if len(momentum) != len(steps):
        plural = "s" if len(steps) > 1 else ""
        raise QuantumNumberError("momentum", f"needs {len(steps)} integer{plural}, one per periodic direction")
    return [
        Element(step, 1, np.exp(-2j * np.pi * (n % order(step)) / order(step)))
        for step, n in zip(steps, momentum, strict=True)
    ]


def order(permutation: Integers) -> int:
    """The number of times that a permutation must be applied to give the identity."""
    power, count = permutation, 1
    while not np.array_equal(power, np.arange(len(permutation))):
        power, count = power[permutation], count + 1
    return count


def isometries(lattice: LatticeOfSites) -> list[tuple[Integers, Floats]]:
    """The symmetries that are linear maps about the centre: permutation (N,) and matrix (d, d) of each."""
    centred = lattice.positions - lattice.positions.mean(axis=0)
    inverse = np.linalg.pinv(centred)
    found = []
    for permutation in lattice.group("space"):
        matrix = (inverse @ centred[permutation]).T
        exact = np.abs(centred @ matrix.T - centred[permutation]).max() < TOLERANCE
        if exact and np.abs(matrix @ matrix.T - np.eye(len(matrix))).max() < TOLERANCE:
            found.append((permutation, matrix))
    return found


def mirror(lattice: LatticeOfSites, name: str) -> Integers:
    """The mirror of the first coordinate about the centre, (N,); ``name``: the quantum number that asks for it."""
    dimension = lattice.positions.shape[1]
    if dimension == 0:
        raise QuantumNumberError(name, "a graph without positions has no mirror")
    wanted = np.diag([-1.0] + [1.0] * (dimension - 1))
    for permutation, matrix in isometries(lattice):
        if np.abs(matrix - wanted).max() < TOLERANCE:
            return permutation
    raise QuantumNumberError(name, "the mirror of the first coordinate about the centre is no symmetry of this lattice")


def point_group(lattice: LatticeOfSites, irrep: str) -> list[Element]:
    """The smallest rotation (where there is one) and the mirror, with their characters."""
    if irrep not in IRREPS:
        raise QuantumNumberError(
            "irrep", f"only one-dimensional representations are projected to: {', '.join(IRREPS)} (E and T have more)"
        )
    of_rotation, of_mirror = IRREPS[irrep]
    if not 1 <= lattice.positions.shape[1] <= 2:
        raise QuantumNumberError("irrep", "representations are named for chains and planar lattices only")
    rotations = [permutation for permutation, matrix in isometries(lattice) if np.linalg.det(matrix) > 0]
    smallest = max(rotations, key=order)
    if order(smallest) == 1:
        if of_rotation < 0:
            raise QuantumNumberError("irrep", "this lattice has no rotation about its centre: trivial, sign, A1 or A2")
        return [Element(mirror(lattice, "irrep"), 1, complex(of_mirror))]
    return [Element(smallest, 1, complex(of_rotation)), Element(mirror(lattice, "irrep"), 1, complex(of_mirror))]
