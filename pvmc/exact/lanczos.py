"""Sparse exact diagonalisation: the matrix of an operator on enumerated configurations, and its ground state."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.linalg import eigh
from scipy.sparse.linalg import ArpackError, eigsh

from pvmc.errors import InputError, NumericalError
from pvmc.hamiltonians.operator import Operator
from pvmc.spins.configurations import Basis
from pvmc.spins.flips import FlipSets

CHUNK_ELEMENTS = 2**21
"""Matrix elements computed at a time, which bounds the memory beyond that of the matrix."""

DENSE_DIMENSION = 300
"""Up to this dimension the matrix is diagonalised as a whole."""

TOLERANCE = 1e-11
"""Largest accepted ||H v - E v||, relative to the largest row sum of |H|."""

ROUNDING = 1e-14
"""Part of the largest sum of moduli over a row of a matrix below which an eigenvalue is rounding: 45 times 2^-52."""

Vector = npt.NDArray[np.float64] | npt.NDArray[np.complex128]


def sparse_matrix(operator: Operator, basis: Basis) -> sparse.csr_array:
    """The matrix H[s, s'] of an operator on the configurations of a basis.

    Args:
        operator: a Hermitian operator.
        basis: configurations of the same sites; all, or for a conserved magnetisation those of one value.

    Returns:
        Sparse matrix, shape (D, D), float64 or complex128, no stored zeros off the diagonal.

    Raises:
        InputError: the operator has other sites than the basis, or leads out of it.
    """
    if operator.n_sites != basis.n_sites:
        raise InputError(f"an operator on {operator.n_sites} sites does not act on configurations of {basis.n_sites}")
    if not (basis.is_complete or operator.conserves_magnetization):
        raise InputError("configurations of one magnetisation: the operator does not conserve it")
    masks = _masks(operator.flips)
    rows_at_once = max(1, CHUNK_ELEMENTS // (len(masks) + 1))
    blocks = [
        _rows(operator, basis, masks, start, min(start + rows_at_once, len(basis)))
        for start in range(0, len(basis), rows_at_once)
    ]
    return sparse.csr_array(sparse.vstack(blocks, format="csr"))


def ground_state(operator: Operator, basis: Basis) -> tuple[float, Vector]:
    """Lowest eigenvalue and a normalised eigenvector of a Hermitian operator on the span of a basis.

    Lanczos (ARPACK) from a fixed start vector, so that a call gives the same result every time; small matrices are
    diagonalised as a whole.  The phase of the vector makes its largest component real and positive.  Where the
    ground level is degenerate the vector is one of its states.

    Returns:
        Energy in the operator's unit, and the vector, shape (D,), float64 or complex128.

    Raises:
        InputError: the operator does not act within the basis.
        NumericalError: Lanczos did not converge, or H v differs from E v.
    """
    matrix, unit = in_own_unit(sparse_matrix(operator, basis))
    energy, vector = lowest(matrix)
    image = np.asarray(matrix @ vector)
    residual = float(np.linalg.norm(image - energy * vector))
    scale = float(abs(matrix).sum(axis=1).max())
    if not residual <= TOLERANCE * scale:
        raise NumericalError(f"exact diagonalisation of dimension {len(basis)}: residual {residual:.1e} is too large")
    largest = vector[np.abs(vector).argmax()]
    return energy * unit, vector * (np.conj(largest) / abs(largest))


def in_own_unit(matrix: sparse.csr_array) -> tuple[sparse.csr_array, float]:
    """A matrix whose largest element is of order 1, and the unit that it is to be multiplied by, a power of two.

    LAPACK and ARPACK compare with numbers of order 1 here and there, such as eigenvalues with the precision itself.  A
    power of two changes no digit.  The unit of a zero matrix is 1.
    """
    largest = float(abs(matrix).max()) if matrix.nnz else 0.0
    unit = float(np.ldexp(1.0, np.frexp(largest)[1])) if largest > 0.0 else 1.0
    return sparse.csr_array(matrix / unit), unit


def lowest(matrix: sparse.csr_array) -> tuple[float, Vector]:
    """Lowest eigenvalue and a normalised eigenvector of a Hermitian sparse matrix.

    An eigenvalue below the rounding of the matrix, ROUNDING times its largest sum of moduli over a row, is 0.
    """
    matrix, unit = in_own_unit(matrix)
    dimension = matrix.shape[0]
    if not abs(matrix).sum() > 0.0:  # Lanczos has no second vector
        return 0.0, np.eye(dimension, 1, dtype=matrix.dtype)[:, 0]
    if dimension <= DENSE_DIMENSION:
        energies, vectors = eigh(matrix.toarray(), subset_by_index=[0, 0])
    else:
        start = np.random.default_rng(0).standard_normal(dimension)  # overlaps with every symmetry sector
        try:
            energies, vectors = eigsh(matrix, k=1, which="SA", v0=start.astype(matrix.dtype))
        except ArpackError as error:
            raise NumericalError(f"Lanczos of dimension {dimension}: {error}") from None
    rounding = ROUNDING * float(abs(matrix).sum(axis=1).max())
    return (float(energies[0]) * unit if abs(energies[0]) > rounding else 0.0), vectors[:, 0]


def _masks(flips: FlipSets) -> npt.NDArray[np.int64]:
    """Per flip set the number whose bits are its sites: flipping is the exclusive or with it."""
    return np.array([np.sum(np.int64(1) << flips[k]) for k in range(len(flips))], dtype=np.int64)


def _rows(operator: Operator, basis: Basis, masks: npt.NDArray[np.int64], start: int, stop: int) -> sparse.csr_array:
    """The rows start to stop - 1 of the matrix."""
    spins = np.ascontiguousarray(basis.spins[:, start:stop])
    amplitudes = operator.amplitudes(spins)
    flip, row = np.nonzero(amplitudes)
    column = basis.index(basis.labels[start + row] ^ masks[flip])
    member = column >= 0  # what leads out of a conserved magnetisation is zero up to rounding
    flip, row, column = flip[member], row[member], column[member]
    diagonal = np.arange(stop - start)
    values: npt.NDArray[Any] = np.concatenate([amplitudes[flip, row], operator.diagonal(spins)])
    rows = np.concatenate([row, diagonal]).astype(np.int32)
    columns = np.concatenate([column, start + diagonal]).astype(np.int32)
    return sparse.csr_array((values, (rows, columns)), shape=(stop - start, len(basis)))
