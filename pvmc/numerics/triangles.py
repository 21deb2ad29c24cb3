"""Products x* x^T of chunks, added up in a packed triangle; their sums over all ranks, the same bits in any order.

A packed triangle of size m holds the elements i >= j, column by column, float64 or int64 (m (m + 1) / 2, n_planes).  A
small product is made as a whole, by BLAS herk or syrk; a large one tile by tile, so that it takes no memory of its own
and each tile is added while it is in the cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import blas

from pvmc.numerics.arrays import Floats, Integers, Numbers, count_planes, plane_view
from pvmc.numerics.exact_sums import FIXED_BITS, SMALLEST_BOUND, Ranks
from pvmc.numerics.kernels import kernel

WHOLE = 1024
"""Largest size of a product that is made as a whole."""

TILE = 512
"""Rows and columns of a tile of a larger one."""


def zeros(shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """As numpy.zeros, in huge pages where it is large: those of numpy.zeros are small ones, each with a fault."""
    array = np.empty(shape, dtype=dtype)
    array.fill(0)
    return array


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
        self._sums = zeros((len(squares) * (len(squares) + 1) // 2, count_planes(dtype)), np.int64)

    def add(self, piece: Numbers) -> None:
        """Add x* x^T of a piece x, (m, n), of the sum's dtype, C-contiguous."""
        add_product(piece, self._scales, self._sums)

    def on_root(self, comm: Ranks) -> Numbers | None:
        """Collective. The sum over all ranks on the root, (m, m) in Fortran order, zero above the diagonal."""
        total = comm.sum_to_root(self._sums)
        if total is None:
            return None
        size = len(self._scales)
        matrix = zeros((size, size), self._dtype).T
        unpack_triangle(total, 1.0 / self._scales, plane_view(matrix.T))
        return matrix


def add_product(rows: Numbers, scales: Floats | None, sums: npt.NDArray[Any]) -> None:
    """Add the lower triangle of x* x^T.

    Args:
        rows: x, float64 or complex128 (m, n), C-contiguous.
        scales: float64 (m,); elements times those of row and column are rounded to integers.  None: added as they are.
        sums: the packed triangle, int64, or float64 without scales.
    """
    if len(rows) > WHOLE:
        _add_tiles(rows.conj(), rows, scales, sums)
        return
    # In Fortran order the transpose of a C array is itself: no copy.
    is_complex = np.iscomplexobj(rows)
    product = blas.zherk(1.0, rows.T, trans=2, lower=1) if is_complex else blas.dsyrk(1.0, rows.T, trans=1, lower=1)
    planes = plane_view(product.T)
    if scales is None:
        add_tile(planes, 0, 0, len(rows), sums)
    else:
        add_scaled_tile(planes, scales, scales, 0, 0, len(rows), sums)


def _add_tiles(left: Numbers, right: Numbers, scales: Floats | None, sums: npt.NDArray[Any]) -> None:
    """Add left right^T, tile by tile."""
    size = len(left)
    for j in range(0, size, TILE):
        for i in range(j, size, TILE):
            planes = plane_view(right[j : j + TILE] @ left[i : i + TILE].T)
            if scales is None:
                add_tile(planes, i, j, size, sums)
            else:
                add_scaled_tile(planes, scales[i : i + TILE], scales[j : j + TILE], i, j, size, sums)


@kernel
def add_tile(tile: Floats, first_row: int, first_column: int, size: int, sums: Floats) -> None:
    """Add the elements of tile[column, row, plane] on or below the diagonal to a packed triangle."""
    for column in range(tile.shape[0]):
        j = first_column + column
        start = j * size - j * (j - 1) // 2 - j
        for row in range(max(0, j - first_row), tile.shape[1]):
            for plane in range(tile.shape[2]):
                sums[start + first_row + row, plane] += tile[column, row, plane]


@kernel
def add_scaled_tile(
    tile: Floats,
    row_scales: Floats,
    column_scales: Floats,
    first_row: int,
    first_column: int,
    size: int,
    sums: npt.NDArray[Any],
) -> None:
    """As :func:`add_tile`, with each element times the scales of row and column, rounded to integers."""
    for column in range(tile.shape[0]):
        j = first_column + column
        start = j * size - j * (j - 1) // 2 - j
        for row in range(max(0, j - first_row), tile.shape[1]):
            scale = row_scales[row] * column_scales[column]
            for plane in range(tile.shape[2]):
                sums[start + first_row + row, plane] += np.int64(np.rint(tile[column, row, plane] * scale))


@kernel
def unpack_triangle(sums: Integers, scales: Floats, matrix: Floats) -> None:
    """matrix[j, i, plane], i >= j, from packed sums (n_pairs, n_planes) times the scales of row and column."""
    position = 0
    for j in range(matrix.shape[0]):
        for i in range(j, matrix.shape[0]):
            for plane in range(matrix.shape[2]):
                matrix[j, i, plane] = sums[position, plane] * (scales[i] * scales[j])
            position += 1
