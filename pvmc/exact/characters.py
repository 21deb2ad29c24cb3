"""The characters with which the ground state of a magnetisation transforms under symmetries of its Hamiltonian.

Perron and Frobenius: where no off-diagonal element of H is positive, a ground state without negative elements exists;
added up over its images under the symmetries it stays one, so that a ground state has the character 1 under all.  Where
the exchanges of a sum of pairs become negative after a turn of some sites B by pi about z, this holds for the turned
state, psi(s) = prod_{i in B} s_i |psi(s)| (W. Marshall, Proc. R. Soc. A 232, 48 (1955)).
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from pvmc.hamiltonians.operator import Operator
from pvmc.hamiltonians.pairs import sign_of_ground_state
from pvmc.hamiltonians.signs import is_stoquastic
from pvmc.spins.configurations import Basis

Numbers = npt.NDArray[np.complex128]

EIGENVECTOR = 1e-6
"""Largest 1 - |<psi|g psi>| of an eigenvector of g: a vector of a degenerate level is usually none."""


class Symmetries(Protocol):
    """A group with characters, psi(g s) = chi(g) psi(s) with (g s)_i = sign[g] s[perm[g, i]]."""

    @property
    def permutations(self) -> npt.NDArray[np.int64]:
        """int64 (|G|, N)."""
        ...

    @property
    def signs(self) -> npt.NDArray[np.int8]:
        """int8 (|G|,)."""
        ...

    @property
    def characters(self) -> npt.NDArray[np.complex128]:
        """complex128 (|G|,)."""
        ...


def positive_characters(operator: Operator, magnetization: int | None, group: Symmetries) -> Numbers | None:
    """chi(g) of a ground state of the magnetisation, complex128 (|G|,), from signs alone; None where they do not tell.

    Args:
        operator: the Hamiltonian, of any number of sites.
        magnetization: conserved sum of s_i, or None for all configurations.
        group: symmetries of it.
    """
    if is_stoquastic(operator):
        return np.ones(len(group.signs), dtype=np.complex128)
    turned = sign_of_ground_state(operator) if magnetization is not None else None
    if turned is None or magnetization is None:
        return None
    characters = np.ones(len(group.signs), dtype=np.complex128)
    n_down = (operator.n_sites - magnetization) // 2
    for g, (permutation, sign) in enumerate(zip(group.permutations, group.signs, strict=True)):
        image = turned[permutation]
        if np.array_equal(image, -turned):
            characters[g] = (-1.0) ** n_down  # the sign of A in place of B: the product of all spins
        elif not np.array_equal(image, turned):
            return None
        if sign < 0:
            characters[g] *= (-1.0) ** np.count_nonzero(turned < 0)
    return characters


def characters_of(vector: npt.NDArray[np.float64] | Numbers, basis: Basis, group: Symmetries) -> Numbers | None:
    """chi(g) of a normalised vector (D,), complex128 (|G|,); None where it is no eigenvector of all of them."""
    characters = np.empty(len(group.signs), dtype=np.complex128)
    for g, (permutation, sign) in enumerate(zip(group.permutations, group.signs, strict=True)):
        image = basis.index(basis.labels_of(sign * basis.spins[permutation]))
        characters[g] = np.vdot(vector, vector[image])
        if abs(abs(characters[g]) - 1) > EIGENVECTOR:
            return None
    return characters
