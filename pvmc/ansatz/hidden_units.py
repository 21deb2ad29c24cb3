"""Compiled kernels over the hidden units of a restricted Boltzmann machine: the product of a ratio, the update of T.

What a flip does is explained in :mod:`pvmc.ansatz.kernels`, where these are called.  Walkers go by vectors of LANES
(:mod:`pvmc.ansatz.simd`).  Shapes:

    cosh, sinh   (M,) or, for complex weights, (2, M): C and S of one pattern
    lookup       (n_planes * M, L): T, imaginary plane below the real one
    sign         (L,): the walker's spins on the flipped set against the pattern, +-1, 0 where it has another one
    product      (L,) or (2, L)
    gap          (L,): the smallest distance of T from saturation
"""

from __future__ import annotations

from typing import Any, TypeAlias

from pvmc.ansatz.base import Booleans, Floats
from pvmc.ansatz.simd import (
    LANES,
    any_lane,
    lanes_below,
    less,
    load,
    load_mask,
    magnitude,
    select,
    splat,
    store,
    without,
)
from pvmc.ansatz.vector_math import kernel

Vector: TypeAlias = Any
Mask: TypeAlias = Any
VectorPair: TypeAlias = Any
"""Real and imaginary part."""

SMALLEST_DIVISOR = 1e-280
"""Divisors outside of 1e-280 ... 1e280 are not trusted."""


@kernel
def complex_product(x: Any, y: Any) -> Any:
    """x y of two pairs (real, imaginary) of numbers or vectors."""
    return x[0] * y[0] - x[1] * y[1], x[0] * y[1] + x[1] * y[0]


@kernel
def signed_row(lookup: Floats, j: int, start: int, inside: Mask, sign: Vector) -> Vector:
    """sign T of row j and a tile of walkers."""
    return sign * load(lookup, j * lookup.shape[1] + start, inside)


@kernel
def signed_pair(lookup: Floats, j: int, start: int, inside: Mask, sign: Vector) -> VectorPair:
    """sign T of a complex hidden unit and a tile of walkers."""
    return (
        signed_row(lookup, j, start, inside, sign),
        signed_row(lookup, lookup.shape[0] // 2 + j, start, inside, sign),
    )


@kernel
def real_factor(cosh: Floats, sinh: Floats, j: int, tanh: Vector) -> Vector:
    """C - T S of a hidden unit, from its signed T."""
    return splat(cosh[j]) - tanh * splat(sinh[j])


@kernel
def complex_factor(cosh: Floats, sinh: Floats, j: int, tanh: VectorPair) -> VectorPair:
    """As :func:`real_factor`."""
    real, imaginary = splat(sinh[0, j]), splat(sinh[1, j])
    return (
        splat(cosh[0, j]) - tanh[0] * real + tanh[1] * imaginary,
        splat(cosh[1, j]) - tanh[0] * imaginary - tanh[1] * real,
    )


@kernel
def four_factors(
    cosh: Floats, sinh: Floats, j: int, lookup: Floats, start: int, inside: Mask, sign: Vector
) -> Vector:
    """The product of the factors of four hidden units from j."""
    f0 = real_factor(cosh, sinh, j, signed_row(lookup, j, start, inside, sign))
    f1 = real_factor(cosh, sinh, j + 1, signed_row(lookup, j + 1, start, inside, sign))
    f2 = real_factor(cosh, sinh, j + 2, signed_row(lookup, j + 2, start, inside, sign))
    f3 = real_factor(cosh, sinh, j + 3, signed_row(lookup, j + 3, start, inside, sign))
    return (f0 * f1) * (f2 * f3)


@kernel
def two_factors(
    cosh: Floats, sinh: Floats, j: int, lookup: Floats, start: int, inside: Mask, sign: Vector
) -> VectorPair:
    """The product of the factors of two complex hidden units from j."""
    first = complex_factor(cosh, sinh, j, signed_pair(lookup, j, start, inside, sign))
    second = complex_factor(cosh, sinh, j + 1, signed_pair(lookup, j + 1, start, inside, sign))
    return complex_product(first, second)


@kernel
def multiply_real(cosh: Floats, sinh: Floats, lookup: Floats, sign: Floats, product: Floats) -> None:
    """product *= prod_j (C_j - sign T_j S_j).

    Two vectors of walkers at a time, so that C and S are fetched once for both; hidden units in groups, so that one
    product need not wait for the last.
    """
    n_hidden, width = lookup.shape
    grouped = n_hidden - n_hidden % 4
    for start in range(0, width, 2 * LANES):
        second = start + LANES
        here, there = lanes_below(width - start), lanes_below(width - second)
        s, z = load(sign, start, here), load(sign, second, there)
        total, other = load(product, start, here), load(product, second, there)
        for j in range(0, grouped, 4):
            total = total * four_factors(cosh, sinh, j, lookup, start, here, s)
            other = other * four_factors(cosh, sinh, j, lookup, second, there, z)
        for j in range(grouped, n_hidden):
            total = total * real_factor(cosh, sinh, j, signed_row(lookup, j, start, here, s))
            other = other * real_factor(cosh, sinh, j, signed_row(lookup, j, second, there, z))
        store(product, start, total, here)
        store(product, second, other, there)


@kernel
def multiply_complex(cosh: Floats, sinh: Floats, lookup: Floats, sign: Floats, product: Floats) -> None:
    """As :func:`multiply_real`."""
    n_hidden, width = cosh.shape[1], lookup.shape[1]
    grouped = n_hidden - n_hidden % 2
    for start in range(0, width, 2 * LANES):
        second = start + LANES
        here, there = lanes_below(width - start), lanes_below(width - second)
        s, z = load(sign, start, here), load(sign, second, there)
        total = load(product, start, here), load(product, width + start, here)
        other = load(product, second, there), load(product, width + second, there)
        for j in range(0, grouped, 2):
            total = complex_product(total, two_factors(cosh, sinh, j, lookup, start, here, s))
            other = complex_product(other, two_factors(cosh, sinh, j, lookup, second, there, z))
        for j in range(grouped, n_hidden):
            total = complex_product(total, complex_factor(cosh, sinh, j, signed_pair(lookup, j, start, here, s)))
            other = complex_product(other, complex_factor(cosh, sinh, j, signed_pair(lookup, j, second, there, z)))
        store(product, start, total[0], here)
        store(product, width + start, total[1], here)
        store(product, second, other[0], there)
        store(product, width + second, other[1], there)


@kernel
def is_ordinary(divisor: Vector) -> Mask:
    """Where a divisor, and so its inverse, is far inside the range of float64; false for NaN."""
    size = magnitude(divisor)
    return without(less(splat(SMALLEST_DIVISOR), size), less(splat(1.0 / SMALLEST_DIVISOR), size))


@kernel
def smaller(first: Vector, second: Vector) -> Vector:
    """The smaller of each lane."""
    return select(less(second, first), second, first)


@kernel
def real_distance(tanh: Vector) -> Vector:
    """How far T is from saturation: 1 - |T|."""
    return magnitude(splat(1.0) - magnitude(tanh))


@kernel
def complex_distance(tanh: VectorPair) -> Vector:
    """The larger of |1 - |Re T|| and |Im T|."""
    distance, height = real_distance(tanh[0]), magnitude(tanh[1])
    return select(less(distance, height), height, distance)


@kernel
def moved_real(cosh: Floats, sinh: Floats, j: int, tanh: Vector) -> tuple[Vector, Vector]:
    """C T - S and C - T S of a hidden unit, from its signed T: T after the flip is sign times their quotient."""
    c, s = splat(cosh[j]), splat(sinh[j])
    return c * tanh - s, c - tanh * s


@kernel
def moved_complex(cosh: Floats, sinh: Floats, j: int, tanh: VectorPair) -> tuple[Vector, Vector, Vector]:
    """(C T - S) (C - T S)*, by its parts, and |C - T S|^2."""
    below = complex_factor(cosh, sinh, j, tanh)
    real, imaginary = splat(cosh[0, j]), splat(cosh[1, j])
    above = (
        real * tanh[0] - imaginary * tanh[1] - splat(sinh[0, j]),
        real * tanh[1] + imaginary * tanh[0] - splat(sinh[1, j]),
    )
    return (
        above[0] * below[0] + above[1] * below[1],
        above[1] * below[0] - above[0] * below[1],
        below[0] * below[0] + below[1] * below[1],
    )


@kernel
def update_real(cosh: Floats, sinh: Floats, lookup: Floats, sign: Floats, accept: Booleans, gap: Floats) -> None:
    """T of the accepting walkers after the flip, and the smallest 1 - |T| of each of them in ``gap``.

    Two units share a division, the slowest of the vector instructions.  Where a divisor is extreme the gap becomes 0.
    """
    n_hidden, width = lookup.shape
    paired = n_hidden - n_hidden % 2
    for start in range(0, width, LANES):
        inside = lanes_below(width - start)
        moving = load_mask(accept, start, inside)
        if not any_lane(moving):
            continue
        s, nearest = load(sign, start, inside), load(gap, start, inside)
        for j in range(0, paired, 2):
            old, old_next = signed_row(lookup, j, start, inside, s), signed_row(lookup, j + 1, start, inside, s)
            above, below = moved_real(cosh, sinh, j, old)
            above_next, below_next = moved_real(cosh, sinh, j + 1, old_next)
            divisor = below * below_next
            inverse = s / divisor
            new, new_next = above * (inverse * below_next), above_next * (inverse * below)
            store(lookup, j * width + start, new, moving)
            store(lookup, (j + 1) * width + start, new_next, moving)
            nearest = smaller(smaller(nearest, real_distance(new)), real_distance(new_next))
            nearest = select(is_ordinary(divisor), nearest, splat(0.0))
        for j in range(paired, n_hidden):
            above, below = moved_real(cosh, sinh, j, signed_row(lookup, j, start, inside, s))
            new = above * (s / below)
            store(lookup, j * width + start, new, moving)
            nearest = select(is_ordinary(below), smaller(nearest, real_distance(new)), splat(0.0))
        store(gap, start, nearest, moving)


@kernel
def update_complex(cosh: Floats, sinh: Floats, lookup: Floats, sign: Floats, accept: Booleans, gap: Floats) -> None:
    """As :func:`update_real`; the gap is the larger of |1 - |Re T|| and |Im T|."""
    n_hidden, width = cosh.shape[1], lookup.shape[1]
    paired = n_hidden - n_hidden % 2
    for start in range(0, width, LANES):
        inside = lanes_below(width - start)
        moving = load_mask(accept, start, inside)
        if not any_lane(moving):
            continue
        s, nearest = load(sign, start, inside), load(gap, start, inside)
        for j in range(0, paired, 2):
            real, imaginary, size = moved_complex(cosh, sinh, j, signed_pair(lookup, j, start, inside, s))
            pair = signed_pair(lookup, j + 1, start, inside, s)
            real_next, imaginary_next, size_next = moved_complex(cosh, sinh, j + 1, pair)
            divisor = size * size_next
            inverse = s / divisor
            mine, its = inverse * size_next, inverse * size
            new, new_next = (real * mine, imaginary * mine), (real_next * its, imaginary_next * its)
            store(lookup, j * width + start, new[0], moving)
            store(lookup, (n_hidden + j) * width + start, new[1], moving)
            store(lookup, (j + 1) * width + start, new_next[0], moving)
            store(lookup, (n_hidden + j + 1) * width + start, new_next[1], moving)
            nearest = smaller(smaller(nearest, complex_distance(new)), complex_distance(new_next))
            nearest = select(is_ordinary(divisor), nearest, splat(0.0))
        for j in range(paired, n_hidden):
            real, imaginary, size = moved_complex(cosh, sinh, j, signed_pair(lookup, j, start, inside, s))
            inverse = s / size
            new = real * inverse, imaginary * inverse
            store(lookup, j * width + start, new[0], moving)
            store(lookup, (n_hidden + j) * width + start, new[1], moving)
            nearest = select(is_ordinary(size), smaller(nearest, complex_distance(new)), splat(0.0))
        store(gap, start, nearest, moving)
