"""The lowest energy among the states with given quantum numbers, by exact diagonalisation."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from pvmc.exact.characters import Symmetries
from pvmc.exact.lanczos import lowest, sparse_matrix
from pvmc.exact.reference import AUTOMATIC_DIMENSION, ExactEnergy, dimension
from pvmc.hamiltonians.operator import Operator
from pvmc.spins.configurations import MAX_SITES, Basis

LARGEST_WORK = 4_000_000
"""Most pairs of a symmetry and a configuration that are listed."""

TOLERANCE = 1e-9
"""Largest accepted |H V - V (V^H H V)|, relative to the largest element of H: the symmetries are those of H."""


def sector_basis(group: Symmetries, basis: Basis) -> sparse.csc_array:
    """Orthonormal states with the group's characters, as columns, complex128 (D, D_sector).

    One per orbit of configurations: psi(g r) = chi(g) for its first member r, unless two elements contradict.
    """
    dimension = len(basis)
    images = np.empty((len(group.signs), dimension), dtype=np.int64)
    for g, (permutation, sign) in enumerate(zip(group.permutations, group.signs, strict=True)):
        images[g] = basis.index(basis.labels_of(sign * basis.spins[permutation]))
    first = np.flatnonzero(images.min(axis=0) == np.arange(dimension))
    rows, columns = images[:, first], np.broadcast_to(np.arange(len(first)), (len(images), len(first)))
    values = np.broadcast_to(group.characters[:, None], rows.shape)
    states = sparse.csc_array((values.ravel(), (rows.ravel(), columns.ravel())), shape=(dimension, len(first)))
    norms = np.sqrt(np.asarray(abs(states).power(2).sum(axis=0)).ravel())
    kept = np.flatnonzero(norms > TOLERANCE * len(images))
    return sparse.csc_array(states[:, kept] @ sparse.diags_array(1.0 / norms[kept]))


def is_within_reach(n_sites: int, group: Symmetries, magnetization: int | None, largest: int) -> bool:
    """True where the states of N spins with a group's characters are diagonalised; see :func:`sector_reference`."""
    size = dimension(n_sites, magnetization)
    return n_sites <= MAX_SITES and size <= largest and size * len(group.signs) <= LARGEST_WORK


def sector_reference(
    operator: Operator, group: Symmetries, magnetization: int | None, largest: int = AUTOMATIC_DIMENSION
) -> ExactEnergy | None:
    """The lowest eigenvalue in the sector; None where it is out of reach, empty, or no sector of this Hamiltonian.

    Args:
        operator: the Hamiltonian.
        group: the symmetries and their characters.
        magnetization: conserved sum of s_i = +-1, or None.
        largest: largest dimension of the Hilbert space, before the symmetries are used.
    """
    if magnetization not in (0, None) and np.any(group.signs < 0):
        return None  # a flip of all spins leads out of a magnetisation other than 0
    if not is_within_reach(operator.n_sites, group, magnetization, largest):
        return None
    basis = Basis.enumerate(operator.n_sites, magnetization)
    states = sector_basis(group, basis)
    if states.shape[1] == 0:
        return None
    image = sparse_matrix(operator, basis) @ states
    matrix = states.conj().T @ image
    if abs(image - states @ matrix).max() > TOLERANCE * abs(image).max():
        return None
    energy, _ = lowest(sparse.csr_array(matrix))
    return ExactEnergy(energy, "exact diagonalisation of the sector")
