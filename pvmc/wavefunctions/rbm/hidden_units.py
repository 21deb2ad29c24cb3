"""Compiled kernels over the hidden units of one walker of an RBM: the product that a ratio is, the update of T.

The change by a flip is derived in :mod:`pvmc.wavefunctions.rbm.patterns`, where these are called.  Hidden units go by
vectors of LANES (:mod:`pvmc.numerics.simd`), so that each walker costs only what it needs: no ratio where nothing is
proposed, no update where a proposal is rejected.  Rows are filled up to a multiple of LANES with units of T = 0, C = 1,
S = 0, which change nothing.  Shapes, with ``size`` the filled-up number of hidden units:

    rows   (3, n_planes, size)    C, S and -S of one pattern
    way    1 for a walker whose spins on the flipped set are those of the pattern, 2 for the opposite ones: which S
    tanh   (L, n_planes, size)    T of all walkers; functions of one walker take its number, since a view of an array
                                  costs as much as some hidden units
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from pvmc.numerics.arrays import Floats
from pvmc.numerics.kernels import inlined, kernel
from pvmc.numerics.simd import (
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
from pvmc.numerics.special import aligned_zeros

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
def new_pattern(n_planes: int, n_hidden: int) -> Floats:
    """Rows of a pattern, (3, n_planes, size), of which only those of hidden units remain to be written."""
    size = filled_up(n_hidden)
    rows = aligned_zeros(3 * n_planes * size).reshape(3, n_planes, size)
    rows[0, 0, n_hidden:] = 1.0
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


@inlined
def real_pair(rows: Floats, way: int, tanh: Floats, a: int, b: int) -> tuple[float, float]:
    """prod_j (C_j - T_j S_j) of two walkers that go the same way: C and S are fetched once for both."""
    size = rows.shape[2]
    # C - T S of LANES hidden units: even vectors into first and second, odd ones into third and fourth
    first, second, third, fourth = splat(1.0), splat(1.0), splat(1.0), splat(1.0)
    paired = size - size % (2 * LANES)
    for j in range(0, paired, 2 * LANES):  # two products for each, so that none waits for the last
        c, s = tile(rows, j), tile(rows, way * size + j)
        first = first * (c - tile(tanh, a * size + j) * s)
        second = second * (c - tile(tanh, b * size + j) * s)
        c, s = tile(rows, j + LANES), tile(rows, way * size + j + LANES)
        third = third * (c - tile(tanh, a * size + j + LANES) * s)
        fourth = fourth * (c - tile(tanh, b * size + j + LANES) * s)
    for j in range(paired, size, LANES):
        c, s = tile(rows, j), tile(rows, way * size + j)
        first = first * (c - tile(tanh, a * size + j) * s)
        second = second * (c - tile(tanh, b * size + j) * s)
    return real_total(first * third), real_total(second * fourth)


@kernel
def real_total(product: Vector) -> float:
    """The product of all lanes."""
    product = product * rotated(product, LANES // 2)
    product = product * rotated(product, LANES // 4)
    if LANES == 8:
        product = product * rotated(product, 1)
    return first_lane(product)


@inlined
def complex_pair(
    rows: Floats, way: int, tanh: Floats, a: int, b: int
) -> tuple[tuple[float, float], tuple[float, float]]:
    """As :func:`real_pair`, each by real and imaginary part."""
    size = rows.shape[2]
    first, second = (splat(1.0), splat(0.0)), (splat(1.0), splat(0.0))
    for j in range(0, size, LANES):
        # C = c + id, S = s + it, T = x + iy:  C - T S = (c - xs + yt) + i(d - xt - ys)
        c, d = tile(rows, j), tile(rows, size + j)
        s, t = tile(rows, 2 * way * size + j), tile(rows, (2 * way + 1) * size + j)
        x, y = tile(tanh, 2 * a * size + j), tile(tanh, (2 * a + 1) * size + j)
        first = complex_product(first, (c - x * s + y * t, d - x * t - y * s))
        x, y = tile(tanh, 2 * b * size + j), tile(tanh, (2 * b + 1) * size + j)
        second = complex_product(second, (c - x * s + y * t, d - x * t - y * s))
    return complex_total(first), complex_total(second)


@kernel
def folded(product: VectorPair, distance: int) -> VectorPair:
    """The product with the lanes that are ``distance`` away."""
    return complex_product(product, (rotated(product[0], distance), rotated(product[1], distance)))


@kernel
def complex_total(product: VectorPair) -> tuple[float, float]:
    """The product of all lanes."""
    product = folded(product, LANES // 2)
    product = folded(product, LANES // 4)
    if LANES == 8:
        product = folded(product, 1)
    return first_lane(product[0]), first_lane(product[1])


@inlined
def ratio_pair(rows: Floats, way: int, tanh: Floats, a: int, b: int) -> tuple[tuple[float, float], tuple[float, float]]:
    """prod_j (C_j - T_j S_j) of two walkers, of real or complex weights, by real and imaginary part."""
    if tanh.shape[1] == 1:
        first, second = real_pair(rows, way, tanh, a, b)
        return (first, 0.0), (second, 0.0)
    return complex_pair(rows, way, tanh, a, b)


@kernel
def smaller(first: Vector, second: Vector) -> Vector:
    """The smaller of each lane."""
    return select(less(second, first), second, first)


@kernel
def real_distance(tanh: Vector) -> Vector:
    """The distance of T from saturation, |1 - |T||."""
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
    """True where all distances are larger than SMALLEST_GAP."""
    return not any_lane(without(lanes_below(LANES), less(splat(SMALLEST_GAP), distance)))


@kernel
def update_real(rows: Floats, way: int, tanh: Floats, walker: int) -> bool:
    """T' = (C T - S) / (C - T S) of all hidden units, in place; False where T' saturates or a divisor is extreme."""
    size = rows.shape[2]
    start, nearest = walker * size, splat(1.0)
    for j in range(0, size, LANES):
        c, s, t = tile(rows, j), tile(rows, way * size + j), tile(tanh, start + j)
        # T' = (C T - S)/(C - T S), and the smallest distance of T' from saturation so far
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
        # T' = (u + iv)/(p + iq) = (u + iv)(p - iq)/(p^2 + q^2)
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
    """True where some T of a look-up (n_planes * M, L) is so close to saturation that the kernels refuse."""
    gap = np.empty(lookup.shape[1])
    measure_gap(lookup, n_planes, gap)
    return not gap.min() > SMALLEST_GAP
