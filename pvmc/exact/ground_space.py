"""The whole ground space of an operator, where its lowest level may be degenerate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.linalg import eigh
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

from pvmc.errors import InputError, NumericalError
from pvmc.exact import lanczos
from pvmc.exact.characters import Symmetries
from pvmc.exact.lanczos import in_own_unit, sparse_matrix
from pvmc.exact.sector import sector_basis
from pvmc.hamiltonians.operator import Operator
from pvmc.spins.configurations import Basis

SAME_LEVEL = 1e-9
"""Energies closer than this, relative to the largest row sum of |H|, are one level."""

RESIDUAL = 1e-9
"""Largest accepted ||H v - E v||, relative to the same."""

STARTS = 4
"""Vectors to start Lanczos from.  With few distinct levels a Krylov space is soon exhausted; ARPACK then goes on at
random, and once in some thousand times ends elsewhere."""

LARGEST_DEGENERACY = 64
"""Most states that are looked for, one after the other."""


@dataclass(frozen=True)
class GroundSpace:
    """The states of lowest energy.

    Attributes:
        energy: of all of them, in the operator's unit.
        vectors: orthonormal, float64 or complex128 (D, g), on the configurations of the basis; g is the degeneracy.
    """

    energy: float
    vectors: npt.NDArray[np.float64] | npt.NDArray[np.complex128]

    @property
    def degeneracy(self) -> int:
        """g."""
        return int(self.vectors.shape[1])

    def weight_of(self, vector: npt.NDArray[np.complex128]) -> float:
        """<psi|P|psi> with the projector P on the ground space, of a normalised psi, (D,)."""
        return float(np.sum(np.abs(self.vectors.conj().T @ vector) ** 2))


def ground_space(operator: Operator, basis: Basis, symmetries: Symmetries | None = None) -> GroundSpace:
    """The lowest level of a Hermitian operator on the span of a basis, or of a sector of symmetries in it.

    Small matrices are diagonalised as a whole.  Of large ones Lanczos finds one state; it is lifted above the spectrum,
    and Lanczos is started anew, until the energy is another one: a single Lanczos run sees one state of each level,
    except for rounding.

    Args:
        operator: the Hamiltonian.
        basis: configurations, see :func:`pvmc.exact.sparse_matrix`.
        symmetries: a group of symmetries of the Hamiltonian with the characters of the states to look at, or None.

    Raises:
        InputError: the operator does not act within the basis, the sector holds no state, or more than
            LARGEST_DEGENERACY states have the lowest energy.
        NumericalError: Lanczos did not converge.
    """
    matrix = sparse_matrix(operator, basis)
    if symmetries is None:
        energy, vectors = lowest_level(matrix)
        return GroundSpace(energy, vectors)
    states = sector_basis(symmetries, basis)
    if states.shape[1] == 0:
        raise InputError("no state of this basis has these quantum numbers")
    energy, vectors = lowest_level(sparse.csr_array(states.conj().T @ matrix @ states))
    return GroundSpace(energy, np.asarray(states @ vectors))


def lowest_level(matrix: sparse.csr_array) -> tuple[float, npt.NDArray[np.float64] | npt.NDArray[np.complex128]]:
    """The lowest eigenvalue of a Hermitian matrix and orthonormal eigenvectors of all that have it, (D, g)."""
    matrix, unit = in_own_unit(matrix)
    energy, vectors = _lowest_level(matrix)
    return energy * unit, vectors


def _lowest_level(matrix: sparse.csr_array) -> tuple[float, npt.NDArray[np.float64] | npt.NDArray[np.complex128]]:
    """The same of a matrix with elements of order 1, or none."""
    scale = max(float(abs(matrix).sum(axis=1).max()), np.finfo(np.float64).tiny)
    if matrix.shape[0] <= lanczos.DENSE_DIMENSION:
        energies, vectors = eigh(matrix.toarray())
        return float(energies[0]), vectors[:, energies <= energies[0] + SAME_LEVEL * scale]
    found = np.zeros((matrix.shape[0], 0), dtype=matrix.dtype)
    energy = np.inf
    while True:
        value, vector = _lowest_beside(matrix, found, scale)
        if value > energy + SAME_LEVEL * scale:
            return energy, found
        if value < energy - SAME_LEVEL * scale and found.shape[1]:
            raise NumericalError("exact diagonalisation: Lanczos missed the lowest level at first")
        if found.shape[1] == LARGEST_DEGENERACY:
            raise InputError(f"more than {LARGEST_DEGENERACY} states have the lowest energy")
        vector = vector - found @ (found.conj().T @ vector)
        found = np.column_stack([found, vector / np.linalg.norm(vector)])
        energy = min(energy, value)


def _lowest_beside(
    matrix: sparse.csr_array, found: npt.NDArray[np.float64] | npt.NDArray[np.complex128], scale: float
) -> tuple[float, npt.NDArray[np.float64] | npt.NDArray[np.complex128]]:
    """Lowest eigenvalue and eigenvector of the matrix with the states found so far lifted above its spectrum."""

    def product(vector: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        column = vector.reshape(-1)
        return np.asarray(matrix @ column + 3.0 * scale * (found @ (found.conj().T @ column)))

    dimension = matrix.shape[0]
    rng = np.random.default_rng(found.shape[1])
    lifted = LinearOperator((dimension, dimension), matvec=product, dtype=matrix.dtype)
    for _ in range(STARTS):
        start = rng.standard_normal(dimension).astype(matrix.dtype)
        try:
            energies, vectors = eigsh(lifted, k=1, which="SA", v0=start)
        except ArpackError as error:
            raise NumericalError(f"Lanczos of dimension {dimension}: {error}") from None
        vector, energy = vectors[:, 0], float(energies[0])
        if np.linalg.norm(product(vector) - energy * vector) <= RESIDUAL * scale:
            return energy, vector
    raise NumericalError(f"Lanczos of dimension {dimension} has not converged")
