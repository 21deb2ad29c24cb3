"""tanh and sums of ln 2cosh of whole arrays, real and complex, in arithmetic that the compiler turns into vector code.

The libraries' complex functions work element by element and cost more than the rest of a Monte Carlo sweep.  Here all
branches are selections.  The absolute error of tanh stays below 2e-15 (relative to the value where |tanh| > 1), that of
ln 2cosh below 1e-15 (relative where |theta| > 1), besides the rounding of a sum of such terms.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from pvmc.numerics.arrays import Floats, Integers, Numbers
from pvmc.numerics.kernels import inlined, kernel

SATURATED = 20.0
"""tanh x is 1 to the last bit from here."""

LARGEST_IMAGINARY_PART = 2.0**20
"""Up to this |Im theta| the reduction by multiples of pi/2 is exact to rounding."""

# Adding ROUNDER to |x| < 2^51 leaves the integer nearest to x in the lowest bits of the sum.
ROUNDER = 6755399441055744.0  # 1.5 * 2^52
LOG2_E = 1.4426950408889634
LN2 = math.log(2.0)
LN2_HIGH = 6.93147180369123816490e-01  # ends in zeros: n * LN2_HIGH is exact
LN2_LOW = 1.90821492927058770002e-10
TWO_OVER_PI = 0.6366197723675814
HALF_PI_1 = 1.57079632673412561417e00  # three parts of pi/2 of 33 bits each
HALF_PI_2 = 6.07710050630396597660e-11
HALF_PI_3 = 2.02226624879595063154e-21

RUN = 8
"""Factors 1 + e^(-2 theta) between two looks at the size of their product.  No float64 up to LARGEST_IMAGINARY_PART is
closer to a zero of cosh than 6e-19, and the product of 8 such factors is still a normal number."""

EXPONENT_BIAS = 1023
"""Added to the exponent in the bits of a float64."""

CACHE_LINE = 64


def aligned_empty(shape: tuple[int, ...]) -> Floats:
    """A new float64 array that starts on a cache line: vector loads of its rows then never straddle two lines."""
    n_bytes = 8 * math.prod(shape)
    memory = np.empty(n_bytes + CACHE_LINE, dtype=np.uint8)
    start = -memory.ctypes.data % CACHE_LINE
    return memory[start : start + n_bytes].view(np.float64).reshape(shape)


@kernel
def aligned_zeros(size: int) -> Floats:
    """A vector of zeros that starts on a cache line."""
    memory = np.zeros(size + CACHE_LINE // 8)
    start = (-memory.ctypes.data % CACHE_LINE) // 8
    return memory[start : start + size]


intrinsic_function: Any = intrinsic  # seen by the type checker as any decorator


@intrinsic_function
def bits_of(typing_context: Any, value: Any) -> Any:
    """The bits of a float64 as an int64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(types.int64))

    return types.int64(types.float64), generate


@intrinsic_function
def from_bits(typing_context: Any, value: Any) -> Any:
    """The float64 whose bits are the given int64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(types.float64))

    return types.float64(types.int64), generate


@kernel
def exponential_parts(x: float) -> tuple[float, float]:
    """2^n and exp(r) - 1 with exp(x) = 2^n exp(r), |r| <= ln(2)/2, for |x| < 700: a Taylor series in r."""
    shifted = x * LOG2_E + ROUNDER
    n = shifted - ROUNDER
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    series = 1.0 / 6227020800.0
    series = series * r + 1.0 / 479001600.0
    series = series * r + 1.0 / 39916800.0
    series = series * r + 1.0 / 3628800.0
    series = series * r + 1.0 / 362880.0
    series = series * r + 1.0 / 40320.0
    series = series * r + 1.0 / 5040.0
    series = series * r + 1.0 / 720.0
    series = series * r + 1.0 / 120.0
    series = series * r + 1.0 / 24.0
    series = series * r + 1.0 / 6.0
    series = series * r + 0.5
    series = series * r * r + r
    return from_bits((bits_of(shifted) + 1023) << 52), series


@kernel
def expm1(x: float) -> float:
    """exp(x) - 1 for |x| < 700, to the last digits also near 0."""
    power, series = exponential_parts(x)
    result: float = power * series + (power - 1.0)
    return result


@kernel
def exponential(x: float) -> float:
    """exp(x) for |x| < 700."""
    power, series = exponential_parts(x)
    result: float = power * series + power
    return result


@kernel
def sine_cosine_products(y: float) -> tuple[float, float]:
    """(sin y cos y, cos^2 y): both have period pi, so only the parity of the quadrant matters."""
    shifted = y * TWO_OVER_PI + ROUNDER
    n = shifted - ROUNDER
    r = ((y - n * HALF_PI_1) - n * HALF_PI_2) - n * HALF_PI_3
    r2 = r * r
    sine = -7.6471637318198164759e-13  # Taylor: -1/15!
    sine = sine * r2 + 1.0 / 6227020800.0
    sine = sine * r2 - 1.0 / 39916800.0
    sine = sine * r2 + 1.0 / 362880.0
    sine = sine * r2 - 1.0 / 5040.0
    sine = sine * r2 + 1.0 / 120.0
    sine = sine * r2 - 1.0 / 6.0
    sine = sine * r2 * r + r
    cosine = 4.7794773323873852974e-14  # Taylor: 1/16!
    cosine = cosine * r2 - 1.0 / 87178291200.0
    cosine = cosine * r2 + 1.0 / 479001600.0
    cosine = cosine * r2 - 1.0 / 3628800.0
    cosine = cosine * r2 + 1.0 / 40320.0
    cosine = cosine * r2 - 1.0 / 720.0
    cosine = cosine * r2 + 1.0 / 24.0
    cosine = (cosine * r2 - 0.5) * r2 + 1.0
    odd = (bits_of(shifted) & 1) == 1
    product = sine * cosine
    return (-product if odd else product), (sine * sine if odd else cosine * cosine)


@inlined
def tanh_of(x: float) -> float:
    """tanh x."""
    size = abs(x)
    fall = expm1(-2.0 * (size if size < SATURATED else SATURATED))
    result = -fall / (2.0 + fall)
    return result if x > 0.0 else -result


@kernel
def tanh_real(x: Floats) -> None:
    """Replace x, float64 (M, L), by tanh x."""
    for j in range(x.shape[0]):
        row = x[j]
        for lane in range(x.shape[1]):
            row[lane] = tanh_of(row[lane])


@kernel
def tanh_complex(x: Floats, y: Floats) -> None:
    """Replace the planes x and y, float64 (M, L), by the real and imaginary part of tanh(x + iy).

    tanh(x + iy) = (sinh x cosh x + i sin y cos y) / (sinh^2 x + cos^2 y), written in exp(-2|x|): no term cancels,
    not even next to the poles x = 0, cos y = 0.
    """
    for j in range(x.shape[0]):
        real, imaginary = x[j], y[j]
        for lane in range(x.shape[1]):
            value = real[lane]
            size = abs(value)
            fall = expm1(-2.0 * (size if size < SATURATED else SATURATED))
            decay = 1.0 + fall
            product, square = sine_cosine_products(imaginary[lane])
            inverse = 1.0 / (fall * fall + 4.0 * decay * square)
            result = -fall * (1.0 + decay) * inverse
            real[lane] = result if value > 0.0 else -result
            imaginary[lane] = 4.0 * decay * product * inverse


def tanh_in_place(theta: Floats, n_planes: int) -> None:
    """Replace theta, float64 (n_planes * M, L) (real plane on imaginary plane), by its tanh."""
    if n_planes == 1:
        tanh_real(theta)
    else:
        half = len(theta) // 2
        tanh_complex(theta[:half], theta[half:])


@kernel
def log_two_cosh_real(x: Floats, product: Floats, exponent: Integers, total: Floats) -> None:
    """The sums over j of ln 2cosh x, x float64 (M, L), as total + exponent ln 2 + ln product.

    product and total are float64 (1, L), exponent is int64 (L,): they are updated, from 1, 0 and 0.
    """
    for start in range(0, x.shape[0], RUN):
        for j in range(start, min(start + RUN, x.shape[0])):
            row = x[j]
            for lane in range(x.shape[1]):
                size = abs(row[lane])
                decay = 1.0 + expm1(-2.0 * (size if size < SATURATED else SATURATED))
                total[0, lane] += size
                product[0, lane] *= 1.0 + decay
        for lane in range(x.shape[1]):
            power = bits_of(product[0, lane]) >> 52
            exponent[lane] += power - EXPONENT_BIAS
            product[0, lane] *= from_bits((2 * EXPONENT_BIAS - power) << 52)


@kernel
def log_two_cosh_complex(x: Floats, y: Floats, product: Floats, exponent: Integers, total: Floats) -> None:
    """The sums over j of ln 2cosh(x + iy), x and y float64 (M, L), as total + exponent ln 2 + ln product.

    product and total are float64 (2, L), real and imaginary parts, exponent is int64 (L,): they are updated, from 1, 0
    and 0.  With the sign that makes Re theta >= 0,

        1 + e^(-2 theta) = (1 - e^(-2|x|)) + 2 e^(-2|x|) cos^2 y - 2i e^(-2|x|) sin y cos y.

    No terms >= 0 cancel in the real part: next to a zero of cosh the digits of the distance from it are kept.
    """
    for start in range(0, x.shape[0], RUN):
        for j in range(start, min(start + RUN, x.shape[0])):
            real, imaginary = x[j], y[j]
            for lane in range(x.shape[1]):
                value, phase = real[lane], imaginary[lane]
                size = abs(value)
                fall = expm1(-2.0 * (size if size < SATURATED else SATURATED))
                twice = 2.0 + 2.0 * fall
                sine_cosine, square = sine_cosine_products(phase)
                u = twice * square - fall
                v = twice * sine_cosine
                v = v if value < 0.0 else -v
                p, q = product[0, lane], product[1, lane]
                product[0, lane] = p * u - q * v
                product[1, lane] = p * v + q * u
                total[0, lane] += size
                total[1, lane] += -phase if value < 0.0 else phase
        for lane in range(x.shape[1]):
            power = bits_of(abs(product[0, lane]) + abs(product[1, lane])) >> 52
            scale = from_bits((2 * EXPONENT_BIAS - power) << 52)
            exponent[lane] += power - EXPONENT_BIAS
            product[0, lane] *= scale
            product[1, lane] *= scale


def sum_log_two_cosh(theta: Floats, n_planes: int) -> Numbers:
    """sum_j ln 2cosh theta_j, (L,), float64 or complex128 with an imaginary part modulo 2 pi.

    ln 2cosh theta = +-theta + ln(1 + e^(-+2 theta)), with the sign that makes Re(+-theta) >= 0.  The factors
    1 + e^(-+2 theta), of modulus <= 2, are multiplied, powers of 2 apart, and one logarithm is taken for all of them.
    It is finite always, since no zero of cosh is a float64.

    Args:
        theta: float64 (n_planes * M, L), real plane on imaginary plane, |Im theta| <= LARGEST_IMAGINARY_PART.
        n_planes: 1 or 2.
    """
    shape = n_planes, theta.shape[1]
    product, total, exponent = np.zeros(shape), np.zeros(shape), np.zeros(shape[1], dtype=np.int64)
    product[0] = 1.0
    if n_planes == 1:
        log_two_cosh_real(theta, product, exponent, total)
        return np.asarray(total[0] + exponent * LN2 + np.log(product[0]))
    half = len(theta) // 2
    log_two_cosh_complex(theta[:half], theta[half:], product, exponent, total)
    value = np.log(product[0] + 1j * product[1])
    value.real += total[0] + exponent * LN2
    value.imag += total[1]
    return value
