"""Hermitian matrices summed over chunks and ranks, with the same bits in any order."""

from __future__ import annotations

from typing import Any

import numpy as np

from pvmc.mpi import Communicator
from pvmc.numerics.arrays import Floats, Integers, Numbers
from pvmc.numerics.exact_sums import FIXED_BITS, SMALLEST_BOUND
from pvmc.numerics.kernels import kernel
from pvmc.numerics.packed import add_product, zeros


class TriangleSum:
    """The sum of x* x^T over pieces x, lower triangle, in 64-bit integers.

    Args:
        squares: diagonal of the whole sum, float64 (m,), or what it does not exceed; the same on every rank.  No
            element is larger than the root of the product of its two diagonal ones (Cauchy and Schwarz).
        dtype: of the sum, float64 or complex128.
    """

    def __init__(self, squares: Floats, dtype: np.dtype[Any]):
        exponents = np.frexp(np.sqrt(np.maximum(squares * (1.0 + 1e-9), SMALLEST_BOUND)))[1]
        self._scales = np.ldexp(1.0, FIXED_BITS // 2 - exponents)
        self._dtype = dtype
        n_planes = 2 if np.issubdtype(dtype, np.complexfloating) else 1
        self._sums = zeros((len(squares) * (len(squares) + 1) // 2, n_planes), np.int64)

    def add(self, piece: Numbers) -> None:
        """Add x* x^T of a piece x, (m, n), of the sum's dtype, C-contiguous."""
        add_product(piece, self._scales, self._sums)

    def on_root(self, comm: Communicator) -> Numbers | None:
        """Collective. The sum over all ranks on the root, (m, m) in Fortran order, zero above the diagonal."""
        total = comm.sum_to_root(self._sums)
        if total is None:
            return None
        size = len(self._scales)
        matrix = zeros((size, size), self._dtype).T
        unpack_triangle(total, 1.0 / self._scales, matrix.T.view(np.float64).reshape(size, size, -1))
        return matrix


@kernel
def unpack_triangle(sums: Integers, scales: Floats, matrix: Floats) -> None:
    """matrix[j, i, plane], i >= j, from packed sums (n_pairs, n_planes) times the scales of row and column."""
    position = 0
    for j in range(matrix.shape[0]):
        for i in range(j, matrix.shape[0]):
            for plane in range(matrix.shape[2]):
                matrix[j, i, plane] = sums[position, plane] * (scales[i] * scales[j])
            position += 1
