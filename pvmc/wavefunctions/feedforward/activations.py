"""Activation functions f(z) of feed-forward nets and their derivatives f'(z), real and holomorphic.

    name       f(z)            f'(z)              complex z
    linear     z               1                  entire
    tanh       tanh z          1 - tanh^2 z       poles at z = i pi (n + 1/2)
    sigmoid    1/(1 + e^-z)    f (1 - f)          poles at z = i pi (2n + 1)
    lncosh     ln cosh z       tanh z             the branch that grows as |Re z| on both sides
    softplus   ln(1 + e^z)     1/(1 + e^-z)       z/2 + ln 2 + lncosh(z/2), on the same branch

lncosh is analytic off the parts |Im z| > pi/2 of the imaginary axis, softplus off |Im z| > pi; across these cuts the
value jumps by a multiple of 2 pi i.  There a net is still a well-defined function of the spins, but not analytic in the
weights: those that carry a unit across its cut.

Arrays hold real units as float64 (M, B), complex ones by planes, (2 M, B), the imaginary plane below the real one.
All is plain arithmetic with selections for branches, which the compiler turns into vector code; the absolute error is
a few times 1e-16 (relative where the value exceeds 1).
"""

from __future__ import annotations

from enum import IntEnum
from typing import TypeAlias

import numpy as np

from pvmc.numerics.arrays import Floats
from pvmc.numerics.kernels import inlined, kernel
from pvmc.numerics.special import (
    LN2,
    LN2_HIGH,
    LN2_LOW,
    SATURATED,
    bits_of,
    expm1,
    from_bits,
    sine_cosine_products,
    tanh_of,
)

Pair: TypeAlias = tuple[float, float]
"""Real and imaginary part."""


class Activation(IntEnum):
    """The number that stands for an activation in the kernels; the name is what a config file says."""

    linear = 0
    tanh = 1
    sigmoid = 2
    lncosh = 3
    softplus = 4


LINEAR, TANH, SIGMOID, LNCOSH, SOFTPLUS = (int(name) for name in Activation)

PI_4 = float(np.pi / 4)
TAN_PI_8 = float(np.sqrt(2.0) - 1.0)
ROOT_HALF_BITS = 0x3FE6A09E667F3BCD  # of sqrt(1/2)

SMALLEST_SQUARE = 1e-300
"""|2 cosh z|^2 exp(-2|Re z|) is not let below this, so that ln cosh stays finite on its zeros."""

LARGEST_PHASE = 2.0**50
"""|Im z| from here on has no fractional digits left: any phase is as good as another, and 0 is taken."""


# Elementary functions -------------------------------------------------------------------------------------------------


@inlined
def log_of_ratio(t: float) -> float:
    """ln((1 + t)/(1 - t)) = 2 artanh t for |t| <= 3 - 2 sqrt 2, to 2e-17 by its interpolation at Chebyshev points."""
    square = t * t
    series = 0.07308224224038644
    series = series * square + 0.07665860863568635
    series = series * square + 0.09091444560217637
    series = series * square + 0.11111105567440195
    series = series * square + 0.14285714312987394
    series = series * square + 0.19999999999949752
    series = series * square + 0.3333333333333335
    return 2.0 * (t + t * square * series)


@inlined
def log1p_unit(u: float) -> float:
    """ln(1 + u) for 0 <= u <= 1: arguments above sqrt 2 are halved first."""
    large = u > 0.41421356237309503
    t = (u - 1.0 if large else u) / (u + 3.0 if large else u + 2.0)
    return log_of_ratio(t) + (LN2 if large else 0.0)


@inlined
def log_positive(x: float) -> float:
    """ln x of a positive normal number: x = 2^n m with sqrt(1/2) <= m < sqrt 2."""
    bits = bits_of(x)
    n = (bits - ROOT_HALF_BITS) >> 52
    m = from_bits(bits - (n << 52))
    exponent = float(n)
    return exponent * LN2_HIGH + (log_of_ratio((m - 1.0) / (m + 1.0)) + exponent * LN2_LOW)


@inlined
def angle_right(x: float, y: float) -> float:
    """The argument of x + iy, x >= 0, in [-pi/2, pi/2]; 0 at 0.  atan r to 2e-17 by interpolation, r <= tan(pi/8)."""
    height = abs(y)
    steep = height > x
    larger = height if steep else x
    smaller = x if steep else height
    middle = smaller > TAN_PI_8 * larger
    below = larger + (smaller if middle else 0.0)
    r = (smaller - (larger if middle else 0.0)) / (below if below > 0.0 else 1.0)
    square = r * r
    series = -0.019176962944845062
    series = series * square + 0.03923172078637705
    series = series * square - 0.05085451921751118
    series = series * square + 0.05858149333667797
    series = series * square - 0.0666451149601035
    series = series * square + 0.07692183194244112
    series = series * square - 0.09090904578264573
    series = series * square + 0.11111111015259392
    series = series * square - 0.14285714284666567
    series = series * square + 0.1999999999999552
    series = series * square - 0.3333333333333333
    angle = r + r * square * series + (PI_4 if middle else 0.0)
    angle = 2.0 * PI_4 - angle if steep else angle
    return angle if y >= 0.0 else -angle


@inlined
def log_cosh_of(x: float) -> float:
    """ln cosh x = |x| - ln 2 + ln(1 + e^(-2|x|)), to an absolute error of rounding."""
    size = abs(x)
    fall = expm1(-2.0 * (size if size < SATURATED else SATURATED))
    return (size - LN2) + log1p_unit(1.0 + fall)


@inlined
def softplus_of(x: float) -> float:
    """ln(1 + e^x) = max(x, 0) + ln(1 + e^(-|x|))."""
    size = abs(x)
    fall = expm1(-(size if size < 2.0 * SATURATED else 2.0 * SATURATED))
    return (x if x > 0.0 else 0.0) + log1p_unit(1.0 + fall)


@inlined
def complex_parts(x: float, y: float) -> tuple[float, float, float, float]:
    """fall = e^(-2|x|) - 1, sin y cos y, cos^2 y, and |2 cosh z|^2 e^(-2|x|) as a sum of squares that cannot cancel."""
    size = abs(x)
    fall = expm1(-2.0 * (size if size < SATURATED else SATURATED))
    product, square = sine_cosine_products(y if abs(y) < LARGEST_PHASE else 0.0)
    norm = fall * fall + 4.0 * (1.0 + fall) * square
    return fall, product, square, (norm if norm > SMALLEST_SQUARE else SMALLEST_SQUARE)


@inlined
def complex_tanh(x: float, y: float) -> Pair:
    """tanh(x + iy) = (sinh x cosh x + i sin y cos y)/(sinh^2 x + cos^2 y)."""
    fall, product, _, norm = complex_parts(x, y)
    inverse = 1.0 / norm
    result = -fall * (2.0 + fall) * inverse
    return (result if x > 0.0 else -result), 4.0 * (1.0 + fall) * product * inverse


@inlined
def complex_log_cosh(x: float, y: float) -> Pair:
    """ln cosh(x + iy): with the sign that makes Re z >= 0, z - ln 2 + ln(1 + e^(-2z)), where Re(1 + e^(-2z)) >= 0."""
    fall, product, square, norm = complex_parts(x, y)
    sign = 1.0 if x >= 0.0 else -1.0
    decay = 1.0 + fall
    real = abs(x) - LN2 + 0.5 * log_positive(norm)
    tail = angle_right(2.0 * decay * square - fall, -2.0 * decay * sign * product)
    return real, sign * y + tail


# Arrays ---------------------------------------------------------------------------------------------------------------


@kernel
def activate_real(code: int, z: Floats, out: Floats) -> None:
    """out = f(z), flat arrays."""
    if code == LINEAR:
        for k in range(len(z)):
            out[k] = z[k]
    elif code == TANH:
        for k in range(len(z)):
            out[k] = tanh_of(z[k])
    elif code == SIGMOID:
        for k in range(len(z)):
            out[k] = 0.5 + 0.5 * tanh_of(0.5 * z[k])
    elif code == LNCOSH:
        for k in range(len(z)):
            out[k] = log_cosh_of(z[k])
    else:
        for k in range(len(z)):
            out[k] = softplus_of(z[k])


@kernel
def activate_complex(code: int, x: Floats, y: Floats, real: Floats, imaginary: Floats) -> None:
    """real + i imaginary = f(x + iy), flat arrays."""
    if code == LINEAR:
        for k in range(len(x)):
            real[k], imaginary[k] = x[k], y[k]
    elif code == TANH:
        for k in range(len(x)):
            real[k], imaginary[k] = complex_tanh(x[k], y[k])
    elif code == SIGMOID:
        for k in range(len(x)):
            u, v = complex_tanh(0.5 * x[k], 0.5 * y[k])
            real[k], imaginary[k] = 0.5 + 0.5 * u, 0.5 * v
    elif code == LNCOSH:
        for k in range(len(x)):
            real[k], imaginary[k] = complex_log_cosh(x[k], y[k])
    else:
        for k in range(len(x)):
            half_x, half_y = 0.5 * x[k], 0.5 * y[k]
            u, v = complex_log_cosh(half_x, half_y)
            real[k], imaginary[k] = half_x + u + LN2, half_y + v


@kernel
def activate(code: int, n_planes: int, z: Floats, out: Floats) -> None:
    """out = f(z), both contiguous float64 (n_planes * M, B), in different memory."""
    flat, target = z.reshape(z.size), out.reshape(z.size)
    if n_planes == 1:
        activate_real(code, flat, target)
    else:
        half = z.size // 2
        activate_complex(code, flat[:half], flat[half:], target[:half], target[half:])


@kernel
def derivative_real(code: int, z: Floats, out: Floats) -> None:
    """out = f'(z), flat arrays."""
    if code == LINEAR:
        for k in range(len(z)):
            out[k] = 1.0
    elif code == TANH:
        for k in range(len(z)):
            t = tanh_of(z[k])
            out[k] = 1.0 - t * t
    elif code == SIGMOID:
        for k in range(len(z)):
            t = tanh_of(0.5 * z[k])
            out[k] = 0.25 - 0.25 * t * t
    elif code == LNCOSH:
        activate_real(TANH, z, out)
    else:
        activate_real(SIGMOID, z, out)


@kernel
def derivative_complex(code: int, x: Floats, y: Floats, real: Floats, imaginary: Floats) -> None:
    """real + i imaginary = f'(x + iy), flat arrays."""
    if code == LINEAR:
        for k in range(len(x)):
            real[k], imaginary[k] = 1.0, 0.0
    elif code == TANH:
        for k in range(len(x)):
            u, v = complex_tanh(x[k], y[k])
            real[k], imaginary[k] = 1.0 - u * u + v * v, -2.0 * u * v
    elif code == SIGMOID:
        for k in range(len(x)):
            u, v = complex_tanh(0.5 * x[k], 0.5 * y[k])
            real[k], imaginary[k] = 0.25 * (1.0 - u * u + v * v), -0.5 * u * v
    elif code == LNCOSH:
        activate_complex(TANH, x, y, real, imaginary)
    else:
        activate_complex(SIGMOID, x, y, real, imaginary)


@kernel
def derivative(code: int, n_planes: int, z: Floats, out: Floats) -> None:
    """out = f'(z), both contiguous float64 (n_planes * M, B), in different memory."""
    flat, target = z.reshape(z.size), out.reshape(z.size)
    if n_planes == 1:
        derivative_real(code, flat, target)
    else:
        half = z.size // 2
        derivative_complex(code, flat[:half], flat[half:], target[:half], target[half:])
