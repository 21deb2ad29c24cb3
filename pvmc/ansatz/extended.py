"""Slow and safe kernels of the restricted Boltzmann machine, for weights that saturate tanh or overflow a product.

Instead of T = tanh theta a walker keeps both p = (1 + T)/2 and q = (1 - T)/2, each to full relative precision, so that

    cosh(theta - D)/cosh theta = p exp(-D) + q exp(D),      p' = p exp(-D)/f,      q' = q exp(D)/f

lose no digits however large theta is (for real weights no term cancels).  Running products are rescaled by powers of
two.  Good for |Re theta| <= ``LARGEST_ANGLE``.  Arithmetic is complex; real weights have imaginary parts 0.
"""

from __future__ import annotations

import cmath
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pvmc.ansatz.base import Booleans, Floats, Integers, Spins
from pvmc.ansatz.hidden_units import complex_product
from pvmc.ansatz.kernels import propose, relative_signs
from pvmc.kernels import kernel

Complexes: TypeAlias = npt.NDArray[np.complex128]
Pair: TypeAlias = tuple[float, float]
"""Real and imaginary part."""

LARGEST_ANGLE = 300.0
"""Largest |Re theta|; exp(+-2 theta) and all factors then stay inside the range of float64."""

# Factors lie within about 2^(+-490), so a product kept within 2^(+-256) cannot leave the range of float64.
SCALE = 2.0**512
UPPER, LOWER = 2.0**256, 2.0**-256
LOG_SCALE = 512.0 * 0.6931471805599453


def probabilities(theta: Complexes) -> Floats:
    """p = 1/(1 + exp(-2 theta)) and q = 1 - p to full relative precision, as planes (Re p, Im p, Re q, Im q)."""
    positive = theta.real >= 0.0
    small = np.exp(np.where(positive, -2.0, 2.0) * theta)
    below = 1.0 + small
    below[below == 0.0] = np.finfo(np.float64).eps  # theta on a zero of cosh, to rounding
    larger, smaller = 1.0 / below, small / below
    p, q = np.where(positive, larger, smaller), np.where(positive, smaller, larger)
    return np.array([p.real, p.imag, q.real, q.imag])


@kernel
def pattern_exponentials(
    doubled: Complexes, spins: Spins, sites: Integers, lane: int, shrink: Complexes, grow: Complexes
) -> None:
    """exp(-D_j) and exp(D_j) for flipping ``sites`` in the given lane; ``doubled`` is 2 W, (N, M)."""
    for j in range(len(grow)):
        angle = 0j
        for m in range(len(sites)):
            angle += doubled[sites[m], j] * spins[sites[m], lane]
        grow[j] = cmath.exp(angle)
        shrink[j] = cmath.exp(-angle)


@kernel
def start_scaled(
    doubled_bias: Complexes, spins: Spins, sites: Integers, lane: int, sign: Floats, product: Floats, power: Floats
) -> None:
    """The visible-bias factor of every walker as product * SCALE^power; (2, L) and (L,)."""
    exponent = 0j
    for m in range(len(sites)):
        exponent += doubled_bias[sites[m]] * spins[sites[m], lane]
    for walker in range(len(sign)):
        own = -exponent if sign[walker] > 0.0 else exponent
        power[walker] = np.floor(own.real / LOG_SCALE + 0.5)
        value = cmath.exp(own - power[walker] * LOG_SCALE)
        product[0, walker], product[1, walker] = value.real, value.imag


@kernel
def weighted(p: Pair, q: Pair, shrink: complex, grow: complex, same: bool) -> tuple[Pair, Pair]:
    """p exp(-D) and q exp(D), whose sum is the ratio; a walker with the opposite pattern has -D."""
    to_p = (shrink.real if same else grow.real, shrink.imag if same else grow.imag)
    to_q = (grow.real if same else shrink.real, grow.imag if same else shrink.imag)
    return complex_product(p, to_p), complex_product(q, to_q)


@kernel
def multiply_scaled(
    planes: Floats, shrink: Complexes, grow: Complexes, sign: Floats, product: Floats, power: Floats
) -> None:
    """Multiply by the factors of all hidden units; walkers of another pattern (sign 0) get nonsense."""
    real, imaginary = product[0], product[1]
    for j in range(len(grow)):
        p_real, p_imag, q_real, q_imag = planes[0, j], planes[1, j], planes[2, j], planes[3, j]
        down, up = shrink[j], grow[j]
        for walker in range(len(sign)):
            p, q = (p_real[walker], p_imag[walker]), (q_real[walker], q_imag[walker])
            first, second = weighted(p, q, down, up, sign[walker] > 0.0)
            factor = (first[0] + second[0], first[1] + second[1])
            value = complex_product((real[walker], imaginary[walker]), factor)
            width, height = abs(value[0]), abs(value[1])
            size = width if width > height else height
            shift = 1.0 if size > UPPER else (-1.0 if size < LOWER else 0.0)
            scale = 1.0 / SCALE if size > UPPER else (SCALE if size < LOWER else 1.0)
            power[walker] += shift
            real[walker], imaginary[walker] = value[0] * scale, value[1] * scale


@kernel
def update(planes: Floats, shrink: Complexes, grow: Complexes, sign: Floats, accept: Booleans) -> None:
    """p and q of the accepting walkers after the flip."""
    for j in range(len(grow)):
        p_real, p_imag, q_real, q_imag = planes[0, j], planes[1, j], planes[2, j], planes[3, j]
        down, up = shrink[j], grow[j]
        for walker in range(len(sign)):
            p, q = (p_real[walker], p_imag[walker]), (q_real[walker], q_imag[walker])
            first, second = weighted(p, q, down, up, sign[walker] > 0.0)
            factor = (first[0] + second[0], first[1] + second[1])
            norm = factor[0] * factor[0] + factor[1] * factor[1]
            inverse = (factor[0] / norm, -factor[1] / norm)
            first, second = complex_product(first, inverse), complex_product(second, inverse)
            p_real[walker] = first[0] if accept[walker] else p[0]
            p_imag[walker] = first[1] if accept[walker] else p[1]
            q_real[walker] = second[0] if accept[walker] else q[0]
            q_imag[walker] = second[1] if accept[walker] else q[1]


@kernel
def unscaled(real: float, imaginary: float, power: float) -> complex:
    """(real + i imaginary) SCALE^power; inf or 0 in the parts that leave the range of float64, never NaN."""
    scale = SCALE if power > 0.0 else 1.0 / SCALE
    for _ in range(int(min(abs(power), 8.0))):
        real, imaginary = real * scale, imaginary * scale
    return complex(real, imaginary)


@kernel
def pattern_ratios(
    doubled: Complexes,
    doubled_bias: Complexes,
    spins: Spins,
    planes: Floats,
    sites: Integers,
    lane: int,
    exponentials: Complexes,
    sign: Floats,
    product: Floats,
    power: Floats,
) -> None:
    """Scaled ratios of all walkers that have the pattern of ``lane`` on the set; of the others (sign 0) nonsense."""
    pattern_exponentials(doubled, spins, sites, lane, exponentials[0], exponentials[1])
    relative_signs(spins, sites, lane, sign)
    start_scaled(doubled_bias, spins, sites, lane, sign, product, power)
    multiply_scaled(planes, exponentials[0], exponentials[1], sign, product, power)


@kernel
def ratios(
    doubled: Complexes,
    doubled_bias: Complexes,
    spins: Spins,
    planes: Floats,
    offsets: Integers,
    sites: Integers,
    wanted: Booleans,
    out: Complexes,
) -> None:
    """psi(s')/psi(s) of every set and walker into ``out``, complex128 (n_flips, L); 0 where not wanted.

    Args:
        doubled: 2 W, complex128 (N, M).
        doubled_bias: 2 a, complex128 (N,).
        spins: int8 (N, L).
        planes: float64 (4, M, L), p and q of these spins, see :func:`probabilities`.
        offsets, sites: the sets, as in :class:`pvmc.flips.FlipSets`.
        wanted: bool (n_flips, L).
        out: written.
    """
    n_hidden, width = planes.shape[1], planes.shape[2]
    exponentials = np.empty((2, n_hidden), np.complex128)
    sign, power, product = np.empty(width), np.empty(width), np.empty((2, width))
    pending = np.empty(width, dtype=np.bool_)
    for k in range(len(offsets) - 1):
        members = sites[offsets[k] : offsets[k + 1]]
        for walker in range(width):
            pending[walker] = wanted[k, walker]
            out[k, walker] = 0.0
        for lane in range(width):
            if not pending[lane]:
                continue
            pattern_ratios(doubled, doubled_bias, spins, planes, members, lane, exponentials, sign, product, power)
            for walker in range(width):
                if pending[walker] and sign[walker] != 0.0:
                    pending[walker] = False
                    out[k, walker] = unscaled(product[0, walker], product[1, walker], power[walker])


@kernel
def metropolis(
    doubled: Complexes,
    doubled_bias: Complexes,
    spins: Spins,
    planes: Floats,
    offsets: Integers,
    sites: Integers,
    conserving: Booleans,
    chosen: Integers,
    uniforms: Floats,
    accepted: Integers,
) -> None:
    """Metropolis steps; updates spins and planes and counts ``accepted`` up.

    Arguments as in :func:`ratios` and :func:`pvmc.ansatz.kernels.metropolis`.
    """
    n_hidden, width = planes.shape[1], planes.shape[2]
    exponentials = np.empty((2, n_hidden), np.complex128)
    sign, power, product = np.empty(width), np.empty(width), np.empty((2, width))
    pending, accept = np.empty(width, dtype=np.bool_), np.empty(width, dtype=np.bool_)
    for t in range(len(chosen)):
        members = sites[offsets[chosen[t]] : offsets[chosen[t] + 1]]
        propose(spins, members, conserving[chosen[t]], pending)
        for lane in range(width):
            if not pending[lane]:
                continue
            pattern_ratios(doubled, doubled_bias, spins, planes, members, lane, exponentials, sign, product, power)
            any_accepted = False
            for walker in range(width):
                decided = pending[walker] and sign[walker] != 0.0
                ratio = unscaled(product[0, walker], product[1, walker], power[walker])
                weight = ratio.real * ratio.real + ratio.imag * ratio.imag
                accept[walker] = decided and uniforms[t, walker] < weight
                pending[walker] = pending[walker] and not decided
                any_accepted |= accept[walker]
            if any_accepted:
                update(planes, exponentials[0], exponentials[1], sign, accept)
            for walker in range(width):
                if accept[walker]:
                    accepted[walker] += 1
                    for m in range(len(members)):
                        spins[members[m], walker] = -spins[members[m], walker]
