"""Compiled kernels over the hidden units of one walker of an RBM: the product that a ratio is, the update of T.

What a flip does is explained in :mod:`pvmc.ansatz.kernels`, where these are called.  Hidden units go by vectors of
LANES (:mod:`pvmc.ansatz.simd`), so that each walker costs only what it needs: no ratio where nothing is proposed, no
update where a proposal is rejected.  Rows are filled up to a multiple of LANES with units of T = 0, C = 1, S = 0, which
change nothing.  Shapes, with ``size`` the filled-up number of hidden units:

    rows   (3, n_planes, size)    C, S and -S of one pattern; (3 n, n_planes, size) of n patterns
    way    1 for a walker whose spins on the flipped set are those of the pattern, 2 for the opposite ones: which S
    tanh   (L, n_planes, size)    T of all walkers; functions of one walker take its number, since a view of an array
                                  costs as much as some hidden units
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from pvmc.ansatz.base import Floats
from pvmc.ansatz.simd import (
    LANES,
    any_lane,
    first_lane,
    lanes_below,
    less,
    load,
    magnitude,
    rotated,
    select,
    splat,
    store,
    transpose_square,
    without,
)
from pvmc.ansatz.vector_math import aligned_zeros, inlined, kernel

Vector: TypeAlias = Any
VectorPair: TypeAlias = Any
"""Real and imaginary part."""

SMALLEST_GAP = 4e-9
"""1 - |tanh theta| below which (|Re theta| > 10) T has lost so many digits of theta that the kernels refuse."""

SMALLEST_DIVISOR = 1e-280
"""Divisors outside of 1e-280 ... 1e280 are not trusted."""


@kernel
def filled_up(n_hidden: int) -> int:
    """The size of a row of this many hidden units."""
    return (n_hidden + LANES - 1) // LANES * LANES


@kernel
def new_pattern(n_planes: int, n_hidden: int, count: int = 1) -> Floats:
    """Rows of some patterns, (3 count, n_planes, size), of which only those of hidden units remain to be written."""
    size = filled_up(n_hidden)
    rows = aligned_zeros(3 * count * n_planes * size).reshape(3 * count, n_planes, size)
    for pattern in range(count):
        rows[3 * pattern, 0, n_hidden:] = 1.0
    return rows


@kernel
def new_walkers(width: int, n_planes: int, n_hidden: int) -> Floats:
    """T of a block of walkers, (L, n_planes, size), all zero."""
    size = filled_up(n_hidden)
    return aligned_zeros(width * n_planes * size).reshape(width, n_planes, size)


@kernel
def read_lookup(lookup: Floats, tanh: Floats) -> None:
    """T of all walkers, (L, n_planes, size), from a look-up (n_planes * M, L)."""
    width, n_planes, size = tanh.shape
    n_hidden = lookup.shape[0] // n_planes
    for plane in range(n_planes):
        transpose(lookup, plane * n_hidden * width, width, n_hidden, width, tanh, plane * size, n_planes * size)


@kernel
def write_lookup(tanh: Floats, lookup: Floats) -> None:
    """The inverse of :func:`read_lookup`."""
    width, n_planes, size = tanh.shape
    n_hidden = lookup.shape[0] // n_planes
    for plane in range(n_planes):
        transpose(tanh, plane * size, n_planes * size, width, n_hidden, lookup, plane * n_hidden * width, width)


@kernel
def transpose(
    source: Floats,
    source_start: int,
    source_stride: int,
    n_rows: int,
    n_columns: int,
    target: Floats,
    target_start: int,
    target_stride: int,
) -> None:
    """Write rows of one flat array as columns of another, in squares of LANES by LANES numbers."""
    for row in range(0, n_rows, LANES):
        for column in range(0, n_columns, LANES):
            there = source_start + row * source_stride + column
            here = target_start + column * target_stride + row
            rows, columns = n_rows - row, n_columns - column
            transpose_square(source, there, source_stride, rows, columns, target, here, target_stride)


@kernel
def complex_product(x: Any, y: Any) -> Any:
    """x y of two pairs (real, imaginary) of numbers or vectors."""
    return x[0] * y[0] - x[1] * y[1], x[0] * y[1] + x[1] * y[0]


@kernel
def tile(array: Floats, position: int) -> Vector:
    """LANES numbers from a flat position on."""
    return load(array, position, lanes_below(LANES))


@kernel
def real_factor(rows: Floats, pattern: int, way: int, tanh: Floats, start: int, j: int) -> Vector:
    """C - T S of LANES hidden units from j, of the walker whose T begins at ``start``."""
    size = rows.shape[2]
    return tile(rows, pattern * size + j) - tile(tanh, start + j) * tile(rows, (pattern + way) * size + j)


@kernel
def complex_factor(rows: Floats, pattern: int, way: int, tanh: Floats, start: int, j: int) -> VectorPair:
    """As :func:`real_factor`."""
    size = rows.shape[2]
    x, y = tile(tanh, start + j), tile(tanh, start + size + j)
    cosh, sinh = 2 * pattern * size + j, 2 * (pattern + way) * size + j
    s, t = tile(rows, sinh), tile(rows, sinh + size)
    return tile(rows, cosh) - x * s + y * t, tile(rows, cosh + size) - x * t - y * s


@inlined
def ratio_real(rows: Floats, pattern: int, way: int, tanh: Floats, walker: int) -> float:
    """prod_j (C_j - T_j S_j).  Four products run side by side, so that none waits for the last."""
    size = rows.shape[2]
    start = walker * size
    first, second, third, fourth = splat(1.0), splat(1.0), splat(1.0), splat(1.0)
    grouped = size - size % (4 * LANES)
    for j in range(0, grouped, 4 * LANES):
        first = first * real_factor(rows, pattern, way, tanh, start, j)
        second = second * real_factor(rows, pattern, way, tanh, start, j + LANES)
        third = third * real_factor(rows, pattern, way, tanh, start, j + 2 * LANES)
        fourth = fourth * real_factor(rows, pattern, way, tanh, start, j + 3 * LANES)
    for j in range(grouped, size, LANES):
        first = first * real_factor(rows, pattern, way, tanh, start, j)
    product = (first * second) * (third * fourth)
    product = product * rotated(product, LANES // 2)
    product = product * rotated(product, LANES // 4)
    if LANES == 8:
        product = product * rotated(product, 1)
    return first_lane(product)


@kernel
def folded(product: VectorPair, distance: int) -> VectorPair:
    """The product with the lanes that are ``distance`` away."""
    return complex_product(product, (rotated(product[0], distance), rotated(product[1], distance)))


@inlined
def ratio_complex(rows: Floats, pattern: int, way: int, tanh: Floats, walker: int) -> tuple[float, float]:
    """As :func:`ratio_real`, by real and imaginary part."""
    size = rows.shape[2]
    start = 2 * walker * size
    first, second = (splat(1.0), splat(0.0)), (splat(1.0), splat(0.0))
    grouped = size - size % (2 * LANES)
    for j in range(0, grouped, 2 * LANES):
        first = complex_product(first, complex_factor(rows, pattern, way, tanh, start, j))
        second = complex_product(second, complex_factor(rows, pattern, way, tanh, start, j + LANES))
    for j in range(grouped, size, LANES):
        first = complex_product(first, complex_factor(rows, pattern, way, tanh, start, j))
    product = complex_product(first, second)
    product = folded(product, LANES // 2)
    product = folded(product, LANES // 4)
    if LANES == 8:
        product = folded(product, 1)
    return first_lane(product[0]), first_lane(product[1])


@inlined
def ratio(rows: Floats, way: int, tanh: Floats, walker: int, pattern: int = 0) -> tuple[float, float]:
    """prod_j (C_j - T_j S_j) of real or complex weights; C is the row ``pattern`` of those of several patterns."""
    if tanh.shape[1] == 1:
        return ratio_real(rows, pattern, way, tanh, walker), 0.0
    return ratio_complex(rows, pattern, way, tanh, walker)


@kernel
def smaller(first: Vector, second: Vector) -> Vector:
    """The smaller of each lane."""
    return select(less(second, first), second, first)


@kernel
def real_distance(tanh: Vector) -> Vector:
    """How far T is from saturation: |1 - |T||."""
    return magnitude(splat(1.0) - magnitude(tanh))


@kernel
def complex_distance(tanh: VectorPair) -> Vector:
    """The larger of |1 - |Re T|| and |Im T|."""
    distance, height = real_distance(tanh[0]), magnitude(tanh[1])
    return select(less(distance, height), height, distance)


@kernel
def trusted(distance: Vector, divisor: Vector) -> Vector:
    """The distance where the divisor, and so its inverse, is far inside the range of float64; 0 elsewhere."""
    size = magnitude(divisor)
    ordinary = without(less(splat(SMALLEST_DIVISOR), size), less(splat(1.0 / SMALLEST_DIVISOR), size))
    return select(ordinary, distance, splat(0.0))


@kernel
def all_beyond_gap(distance: Vector) -> bool:
    """Whether all distances are larger than SMALLEST_GAP."""
    return not any_lane(without(lanes_below(LANES), less(splat(SMALLEST_GAP), distance)))


@kernel
def update_real(rows: Floats, way: int, tanh: Floats, walker: int) -> bool:
    """T' = (C T - S) / (C - T S) of all hidden units, in place; False where T' saturates or a divisor is extreme."""
    size = rows.shape[2]
    start, nearest = walker * size, splat(1.0)
    for j in range(0, size, LANES):
        c, s, t = tile(rows, j), tile(rows, way * size + j), tile(tanh, start + j)
        below = c - t * s
        moved = (c * t - s) / below
        store(tanh, start + j, moved, lanes_below(LANES))
        nearest = smaller(nearest, trusted(real_distance(moved), below))
    return all_beyond_gap(nearest)


@kernel
def update_complex(rows: Floats, way: int, tanh: Floats, walker: int) -> bool:
    """As :func:`update_real`."""
    size = rows.shape[2]
    start, nearest = 2 * walker * size, splat(1.0)
    for j in range(0, size, LANES):
        x, y = tile(tanh, start + j), tile(tanh, start + size + j)
        c, d = tile(rows, j), tile(rows, size + j)
        s, t = tile(rows, 2 * way * size + j), tile(rows, (2 * way + 1) * size + j)
        p, q = c - x * s + y * t, d - x * t - y * s  # C - T S
        u, v = c * x - d * y - s, c * y + d * x - t  # C T - S
        below = p * p + q * q
        inverse = splat(1.0) / below
        moved = (u * p + v * q) * inverse, (v * p - u * q) * inverse
        store(tanh, start + j, moved[0], lanes_below(LANES))
        store(tanh, start + size + j, moved[1], lanes_below(LANES))
        nearest = smaller(nearest, trusted(complex_distance(moved), below))
    return all_beyond_gap(nearest)


@kernel
def update(rows: Floats, way: int, tanh: Floats, walker: int) -> bool:
    """T after the flip, of real or complex weights."""
    if tanh.shape[1] == 1:
        return update_real(rows, way, tanh, walker)
    return update_complex(rows, way, tanh, walker)


@kernel
def measure_gap(lookup: Floats, n_planes: int, gap: Floats) -> None:
    """The smallest distance from saturation of every walker of a look-up (n_planes * M, L), into ``gap``, (L,)."""
    for walker in range(len(gap)):
        gap[walker] = 1.0
    n_hidden = lookup.shape[0] // n_planes
    for j in range(n_hidden):
        x = lookup[j]
        y = lookup[j + (n_planes - 1) * n_hidden]
        for walker in range(len(gap)):
            distance = abs(1.0 - abs(x[walker]))
            height = abs(y[walker]) if n_planes == 2 else 0.0
            distance = distance if distance > height else height
            gap[walker] = distance if distance < gap[walker] else gap[walker]


@kernel
def is_saturated(lookup: Floats, n_planes: int) -> bool:
    """Whether some T of a look-up (n_planes * M, L) is so close to saturation that the kernels refuse."""
    gap = np.empty(lookup.shape[1])
    measure_gap(lookup, n_planes, gap)
    return not gap.min() > SMALLEST_GAP
