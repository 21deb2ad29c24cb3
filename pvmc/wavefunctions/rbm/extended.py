"""Kernels of the restricted Boltzmann machine for weights that saturate tanh or overflow a product.

Instead of T = tanh theta a walker keeps both p = (1 + T)/2 and q = (1 - T)/2, each to full relative precision, so that

    f = cosh(theta - D)/cosh theta = p exp(-D) + q exp(D),      p' = p exp(-D)/f,      q' = q exp(D)/f

lose no digits however large theta is (for real weights no term cancels).  Products of as many factors as are sure to
stay inside the range of float64 are divided by the power of two below them, which is counted.  Good for |Re theta| <=
``LARGEST_REAL_PART``.

Patterns, queues and planes are those of :mod:`pvmc.wavefunctions.rbm.patterns`, hidden units go by vectors as in
:mod:`pvmc.wavefunctions.rbm.hidden_units`.  Shapes, with ``size`` the number of hidden units filled up to a multiple of
LANES:
    rows     (2, n_planes, size)       exp(-D) and exp(D) of one pattern; filled up with 1
    walkers  (L, 2 n_planes, size)     p and q of all walkers; filled up with 1 and 0
    way      1 for a walker whose spins on the flipped set are those of the pattern, 2 for the opposite ones, whose D is
             -D: the rows change places
"""

from __future__ import annotations

import cmath
import math
from typing import Any, TypeAlias

import numpy as np

from pvmc.numerics.accept import accepts, flip, propose
from pvmc.numerics.arrays import Booleans, Floats, Integers, Spins
from pvmc.numerics.kernels import inlined, kernel
from pvmc.numerics.simd import (
    LANES,
    counted_exponents,
    inverse_power,
    lanes_below,
    magnitude,
    splat,
    store,
    total_count,
)
from pvmc.numerics.special import (
    EXPONENT_BIAS,
    LN2,
    aligned_zeros,
    exponential,
    from_bits,
    sine_cosine_products,
)
from pvmc.wavefunctions.rbm.hidden_units import complex_product, complex_total, filled_up, read_lookup, real_total, tile
from pvmc.wavefunctions.rbm.patterns import line_up, pattern_exponentials, relative_signs

VectorPair: TypeAlias = Any
"""Real and imaginary part."""

LARGEST_REAL_PART = 300.0
"""Largest |Re theta|.  exp(+-2 theta) and exp(+-D) then stay inside the range of float64, and factors within about
2^(+-490)."""

RUN = 256
"""Products, each of modulus 0.7 to 2 without its power of two, between two divisions of the product of all."""

LARGEST_POWER = 1 << 20
"""Powers of two beyond it are those of 0 and of infinity anyway."""


@kernel
def probabilities(theta: Floats, n_planes: int) -> Floats:
    """p = 1/(1 + exp(-2 theta)) and q = 1 - p to full relative precision, as planes (Re p, Im p, Re q, Im q).

    With a = exp(-2 |Re theta|) and theta = +-(|x| + iy) the larger is 1/(1 + a exp(-2iy)), whose real part
    (1 - a) + 2 a cos^2 y has no term that cancels, and the smaller one is a exp(-2iy) times it.

    Args:
        theta: float64 (n_planes M, L), real plane on imaginary plane.
        n_planes: 1 or 2.

    Returns:
        float64 (2 n_planes M, L).
    """
    n_hidden, width = theta.shape[0] // n_planes, theta.shape[1]
    planes = np.empty((2 * theta.shape[0], width))
    for j in range(n_hidden):
        for walker in range(width):
            # a = exp(-2|x|), and in the real case 1/(1 + a) and a/(1 + a)
            x = theta[j, walker]
            a = exponential(-2.0 * abs(x))
            if n_planes == 1:
                larger = 1.0 / (1.0 + a)
                planes[j, walker] = larger if x >= 0.0 else a * larger
                planes[n_hidden + j, walker] = a * larger if x >= 0.0 else larger
                continue
            # 1 + a exp(-2iy) with y reflected to Re theta >= 0, its inverse, and a exp(-2iy) times that
            y = theta[n_hidden + j, walker]
            product, square = sine_cosine_products(y if x >= 0.0 else -y)
            real, imaginary = (1.0 - a) + 2.0 * a * square, -2.0 * a * product
            if real == 0.0 and imaginary == 0.0:
                real = 2.220446049250313e-16  # theta on a zero of cosh, to rounding
            norm = real * real + imaginary * imaginary
            large = real / norm, -imaginary / norm
            small = complex_product((a * (2.0 * square - 1.0), imaginary), large)
            first, second = (large, small) if x >= 0.0 else (small, large)
            planes[j, walker], planes[n_hidden + j, walker] = first
            planes[2 * n_hidden + j, walker], planes[3 * n_hidden + j, walker] = second
    return planes


@kernel
def new_pattern(n_planes: int, n_hidden: int) -> Floats:
    """Rows of a pattern, of which only those of hidden units remain to be written."""
    size = filled_up(n_hidden)
    rows = aligned_zeros(2 * n_planes * size).reshape(2, n_planes, size)
    rows[:, 0, n_hidden:] = 1.0
    return rows


@kernel
def new_walkers(planes: Floats, n_planes: int) -> Floats:
    """p and q of all walkers from their planes, (2 n_planes M, L)."""
    n_hidden, width = planes.shape[0] // (2 * n_planes), planes.shape[1]
    size = filled_up(n_hidden)
    walkers = aligned_zeros(width * 2 * n_planes * size).reshape(width, 2 * n_planes, size)
    read_lookup(planes, walkers)
    walkers[:, 0, n_hidden:] = 1.0
    return walkers


@kernel
def compose_rows(table: Floats, spins: Spins, sites: Integers, lane: int, rows: Floats) -> None:
    """exp(-D) and exp(D) for flipping ``sites`` in the given lane."""
    n_planes, n_hidden, size = table.shape[2], table.shape[3], rows.shape[2]
    for j in range(0, n_hidden, LANES):
        inside = lanes_below(n_hidden - j)
        grow, fall = pattern_exponentials(table, spins, sites, lane, j, inside)
        store(rows, j, fall[0], inside)
        store(rows, n_planes * size + j, grow[0], inside)
        if n_planes == 2:
            store(rows, size + j, fall[1], inside)
            store(rows, 3 * size + j, grow[1], inside)


@inlined
def real_terms(rows: Floats, way: int, walkers: Floats, walker: int, j: int) -> tuple[Any, Any]:
    """p exp(-D) and q exp(D), whose sum is the factor, of LANES hidden units from j on."""
    size = rows.shape[2]
    start = 2 * walker * size + j
    return (
        tile(walkers, start) * tile(rows, (way - 1) * size + j),
        tile(walkers, start + size) * tile(rows, (2 - way) * size + j),
    )


@inlined
def complex_terms(rows: Floats, way: int, walkers: Floats, walker: int, j: int) -> tuple[VectorPair, VectorPair]:
    """As :func:`real_terms`."""
    size = rows.shape[2]
    start, fall, grow = 4 * walker * size + j, 2 * (way - 1) * size + j, 2 * (2 - way) * size + j
    p = tile(walkers, start), tile(walkers, start + size)
    q = tile(walkers, start + 2 * size), tile(walkers, start + 3 * size)
    return (
        complex_product(p, (tile(rows, fall), tile(rows, fall + size))),
        complex_product(q, (tile(rows, grow), tile(rows, grow + size))),
    )


@kernel
def units_at_once(reach: Floats, sites: Integers) -> int:
    """Hidden units whose factors are multiplied, LANES side by side, before powers of two are taken out.

    A factor is within 2^(+-(|Re D|/ln 2 + 55)): p and q are at most 2^54, next to a zero of cosh theta, and
    cosh(theta - D) can come as close to zero.
    """
    largest = 0.0
    for m in range(len(sites)):
        largest += reach[sites[m]]
    return LANES * max(1, int(1000.0 / (largest / LN2 + 55.0)))


@inlined
def powers_in(counts: Any, size: int, step: int) -> int:
    """The sum of the exponents counted in a ratio of so many hidden units."""
    steps = (size + step - 1) // step + (size + RUN * step - 1) // (RUN * step)
    return total_count(counts) - EXPONENT_BIAS * LANES * steps


@inlined
def real_ratio(rows: Floats, way: int, walkers: Floats, walker: int, step: int) -> tuple[float, int]:
    """The product of the factors of all hidden units, as a number next to 1 and a power of two."""
    size = rows.shape[2]
    w, fall, grow = 2 * walker * size, (way - 1) * size, (2 - way) * size
    # Three levels: factors of ``step`` hidden units, RUN of these between divisions of the product, all hidden units.
    product, counts = splat(1.0), splat(0.0)
    for start in range(0, size, RUN * step):
        for first in range(start, min(start + RUN * step, size), step):
            factor = splat(1.0)
            for j in range(first, min(first + step, size), LANES):
                p, q = tile(walkers, w + j), tile(walkers, w + size + j)
                factor = factor * (p * tile(rows, fall + j) + q * tile(rows, grow + j))
            counts = counted_exponents(counts, factor)
            product = product * (factor * inverse_power(factor))
        counts = counted_exponents(counts, product)
        product = product * inverse_power(product)
    return real_total(product), powers_in(counts, size, step)


@inlined
def complex_ratio(rows: Floats, way: int, walkers: Floats, walker: int, step: int) -> tuple[tuple[float, float], int]:
    """As :func:`real_ratio`, by real and imaginary part."""
    size = rows.shape[2]
    w, fall, grow = 4 * walker * size, 2 * (way - 1) * size, 2 * (2 - way) * size
    product, counts = (splat(1.0), splat(0.0)), splat(0.0)
    for start in range(0, size, RUN * step):
        for first in range(start, min(start + RUN * step, size), step):
            factor = (splat(1.0), splat(0.0))
            for j in range(first, min(first + step, size), LANES):
                p, u = tile(walkers, w + j), tile(walkers, w + size + j)  # p + iu
                q, v = tile(walkers, w + 2 * size + j), tile(walkers, w + 3 * size + j)
                a, c = tile(rows, fall + j), tile(rows, fall + size + j)  # exp(-D) = a + ic
                b, d = tile(rows, grow + j), tile(rows, grow + size + j)
                factor = complex_product(factor, (p * a - u * c + q * b - v * d, p * c + u * a + q * d + v * b))
            largest = magnitude(factor[0]) + magnitude(factor[1])
            counts, scale = counted_exponents(counts, largest), inverse_power(largest)
            product = complex_product(product, (factor[0] * scale, factor[1] * scale))
        largest = magnitude(product[0]) + magnitude(product[1])
        counts, scale = counted_exponents(counts, largest), inverse_power(largest)
        product = product[0] * scale, product[1] * scale
    return complex_total(product), powers_in(counts, size, step)


@kernel
def update(rows: Floats, way: int, walkers: Floats, walker: int) -> None:
    """p and q of a walker after the flip."""
    size = rows.shape[2]
    for j in range(0, size, LANES):
        everywhere = lanes_below(LANES)
        if rows.shape[1] == 1:
            start = 2 * walker * size + j
            # p' = p exp(-D)/f, q' = q exp(D)/f, f the sum of both terms
            first, second = real_terms(rows, way, walkers, walker, j)
            inverse = splat(1.0) / (first + second)
            store(walkers, start, first * inverse, everywhere)
            store(walkers, start + size, second * inverse, everywhere)
        else:
            start = 4 * walker * size + j
            one, other = complex_terms(rows, way, walkers, walker, j)
            real, imaginary = one[0] + other[0], one[1] + other[1]
            norm = splat(1.0) / (real * real + imaginary * imaginary)
            quotient = real * norm, (splat(0.0) - imaginary) * norm
            one, other = complex_product(one, quotient), complex_product(other, quotient)
            store(walkers, start, one[0], everywhere)
            store(walkers, start + size, one[1], everywhere)
            store(walkers, start + 2 * size, other[0], everywhere)
            store(walkers, start + 3 * size, other[1], everywhere)


@kernel
def visible_exponent(visible: Floats, spins: Spins, sites: Integers, lane: int) -> complex:
    """2 sum a_i s_i over the set in the given lane; a flip multiplies psi by exp of its negative."""
    exponent = 0j
    for m in range(len(sites)):
        spin = spins[sites[m], lane]
        exponent += complex(visible[sites[m], 0] * spin, visible[sites[m], 1] * spin if visible.shape[1] == 2 else 0.0)
    return exponent


@kernel
def unscaled(real: float, imaginary: float, power: int) -> tuple[float, float]:
    """(real + i imaginary) 2^power; inf or 0 in the parts that leave the range of float64, never NaN."""
    if -EXPONENT_BIAS < power <= EXPONENT_BIAS:
        scale = from_bits((power + EXPONENT_BIAS) << 52)
        return real * scale, imaginary * scale
    bounded = max(-LARGEST_POWER, min(LARGEST_POWER, power))
    return math.ldexp(real, bounded), math.ldexp(imaginary, bounded)


@kernel
def pattern_ratios(
    rows: Floats,
    exponent: complex,
    walkers: Floats,
    queue: Integers,
    first: int,
    last: int,
    way: int,
    step: int,
    out: Floats,
) -> None:
    """Ratios of the walkers queue[first:last], which all go this way, into ``out``, (2, L)."""
    # exp(-+2 sum a s) = 2^power times a number next to 1
    own = -exponent if way == 1 else exponent
    power = np.floor(own.real / LN2 + 0.5)
    visible = cmath.exp(own - power * LN2)
    for i in range(first, last):
        walker = queue[i]
        if rows.shape[1] == 1:
            product, more = real_ratio(rows, way, walkers, walker, step)
            out[0, walker], out[1, walker] = unscaled(product * visible.real, 0.0, more + int(power))
        else:
            pair, more = complex_ratio(rows, way, walkers, walker, step)
            value = complex_product(pair, (visible.real, visible.imag))
            out[0, walker], out[1, walker] = unscaled(value[0], value[1], more + int(power))


@inlined
def ratios_of_pattern(
    table: Floats,
    visible: Floats,
    spins: Spins,
    walkers: Floats,
    sites: Integers,
    lane: int,
    pending: Booleans,
    rows: Floats,
    sign: Floats,
    queue: Integers,
    step: int,
    out: Floats,
) -> tuple[int, int]:
    """Ratios of all pending walkers of the pattern of ``lane`` into ``out``, (2, L); they are not pending any more.

    Returns n and m of :func:`pvmc.wavefunctions.rbm.patterns.line_up`; ``step`` is that of :func:`units_at_once`.
    """
    # exp(-D) and exp(D): (2, n_planes, size), from |X| rows of exp(+-2 W)
    compose_rows(table, spins, sites, lane, rows)
    # who else has this pattern, and which way
    relative_signs(spins, sites, lane, sign)
    exponent = visible_exponent(visible, spins, sites, lane)
    same, both = line_up(pending, sign, lane, queue)
    # prod_j (p_j exp(-D_j) + q_j exp(D_j)) for these walkers, with the signs of D exchanged for those
    pattern_ratios(rows, exponent, walkers, queue, 0, same, 1, step, out)
    pattern_ratios(rows, exponent, walkers, queue, same, both, 2, step, out)
    return same, both


@kernel
def ratios(
    table: Floats,
    visible: Floats,
    reach: Floats,
    spins: Spins,
    planes: Floats,
    offsets: Integers,
    sites: Integers,
    wanted: Booleans,
    out: Floats,
) -> None:
    """psi(s')/psi(s) of every set and walker, 0 where not wanted.

    Args:
        table: exp(+-2 W), as in :mod:`pvmc.wavefunctions.rbm.patterns`.
        visible: 2 a by planes, (N, n_planes).
        reach: (N,), the largest 2 |Re W| of each site.
        spins: int8 (N, L).
        planes: p and q of these spins, float64 (2 n_planes M, L), see :func:`probabilities`.
        offsets, sites: the sets, as in :class:`pvmc.spins.flips.FlipSets`.
        wanted: bool (n_flips, L).
        out: float64 (n_flips, L, n_planes), written.
    """
    n_planes, n_hidden, width = table.shape[2], table.shape[3], spins.shape[1]
    walkers, rows = new_walkers(planes, n_planes), new_pattern(n_planes, n_hidden)
    sign, pending, found = np.empty(width), np.empty(width, dtype=np.bool_), np.empty((2, width))
    queue = np.empty(width + 1, dtype=np.int64)
    for k in range(len(offsets) - 1):
        members = sites[offsets[k] : offsets[k + 1]]
        step = units_at_once(reach, members)
        for walker in range(width):
            pending[walker] = wanted[k, walker]
            found[0, walker] = found[1, walker] = 0.0
        for lane in range(width):
            if pending[lane]:
                ratios_of_pattern(
                    table, visible, spins, walkers, members, lane, pending, rows, sign, queue, step, found
                )
        for walker in range(width):
            for plane in range(n_planes):
                out[k, walker, plane] = found[plane, walker]


@kernel
def metropolis(
    table: Floats,
    visible: Floats,
    reach: Floats,
    spins: Spins,
    planes: Floats,
    offsets: Integers,
    sites: Integers,
    conserving: Booleans,
    chosen: Integers,
    uniforms: Floats,
    accepted: Integers,
) -> None:
    """Metropolis steps; updates spins and counts ``accepted`` up.

    Arguments as in :func:`ratios` and :func:`pvmc.wavefunctions.rbm.patterns.metropolis`.
    """
    n_planes, n_hidden, width = table.shape[2], table.shape[3], spins.shape[1]
    walkers, rows = new_walkers(planes, n_planes), new_pattern(n_planes, n_hidden)
    sign, pending, found = np.empty(width), np.empty(width, dtype=np.bool_), np.empty((2, width))
    queue = np.empty(width + 1, dtype=np.int64)
    for t in range(len(chosen)):
        members = sites[offsets[chosen[t]] : offsets[chosen[t] + 1]]
        step = units_at_once(reach, members)
        propose(spins, members, conserving[chosen[t]], pending)
        for lane in range(width):
            if not pending[lane]:
                continue
            same, both = ratios_of_pattern(
                table, visible, spins, walkers, members, lane, pending, rows, sign, queue, step, found
            )
            for i in range(both):
                walker = queue[i]
                real, imaginary = found[0, walker], found[1, walker]
                if accepts(uniforms[t, walker], real * real + imaginary * imaginary):
                    accepted[walker] += 1
                    update(rows, 1 if i < same else 2, walkers, walker)
                    flip(spins, members, walker)
