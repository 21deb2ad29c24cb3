"""Products x* x^T of chunks, added up in a packed triangle.

A packed triangle of size m holds the elements i >= j, column by column, float64 or int64 (m (m + 1) / 2, n_planes).  A
small product is made as a whole, by BLAS herk or syrk; a large one tile by tile, so that it takes no memory of its own
and each tile is added while it is in the cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import blas

from pvmc.numerics.arrays import Floats, Numbers
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
    planes = _planes(product.T)
    if scales is None:
        add_tile(planes, 0, 0, len(rows), sums)
    else:
        add_scaled_tile(planes, scales, scales, 0, 0, len(rows), sums)


def _add_tiles(left: Numbers, right: Numbers, scales: Floats | None, sums: npt.NDArray[Any]) -> None:
    """Add left right^T, tile by tile."""
    size = len(left)
    for j in range(0, size, TILE):
        for i in range(j, size, TILE):
            planes = _planes(right[j : j + TILE] @ left[i : i + TILE].T)
            if scales is None:
                add_tile(planes, i, j, size, sums)
            else:
                add_scaled_tile(planes, scales[i : i + TILE], scales[j : j + TILE], i, j, size, sums)


def _planes(columns: Numbers) -> Floats:
    """Elements (column, row) as float64 (column, row, real and imaginary part)."""
    return columns.view(np.float64).reshape(*columns.shape, -1)


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
