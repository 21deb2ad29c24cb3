"""Sums over all blocks of all ranks, whose bits do not depend on which rank owns which block.

Floating-point addition is not associative: summed over other ranks, the same numbers give other last digits.  Here a
number is cut into integer multiples of five fixed quanta.  Sums of integers are exact in any order, so that every
number of ranks gives the same result, with an error below that of a floating-point sum.
"""

from __future__ import annotations

import numpy as np

from pvmc.ansatz.base import Floats, Integers
from pvmc.kernels import kernel
from pvmc.parallel import Communicator

LIMBS = 5
LIMB_BITS = 40
LARGEST_EXPONENT = 60
"""Quanta are 2^60, 2^20, ..., 2^-100; a limb of a summand is below 2^40, so that 2^23 of them can be added."""

LARGEST = 2.0 ** (LARGEST_EXPONENT + LIMB_BITS)
"""Summands must be smaller than this (1e30)."""


@kernel
def cut(values: Floats, limbs: Integers) -> None:
    """Add the rows of values, float64 (n, m), to limbs, int64 (LIMBS + 1, m); the last row counts what is out of range.

    What is below half of the last quantum, 4e-31, is dropped from each summand.
    """
    for row in range(values.shape[0]):
        for i in range(values.shape[1]):
            rest = values[row, i]
            if not abs(rest) < LARGEST:  # NaN too
                limbs[LIMBS, i] += 1
                continue
            quantum = 2.0**LARGEST_EXPONENT
            for level in range(LIMBS):
                multiple = np.rint(rest / quantum)
                limbs[level, i] += np.int64(multiple)
                rest -= multiple * quantum
                quantum *= 2.0**-LIMB_BITS


def joined(limbs: Integers) -> Floats:
    """The numbers of summed limbs, float64 (m,); NaN where a summand was out of range or NaN."""
    total = np.zeros(limbs.shape[1])
    for level in reversed(range(LIMBS)):
        total += limbs[level] * 2.0 ** (LARGEST_EXPONENT - level * LIMB_BITS)
    return np.where(limbs[LIMBS] > 0, np.nan, total)


def sum_of_blocks(partials: Floats, comm: Communicator, exact: bool) -> Floats:
    """Collective. Sum over the blocks of all ranks.

    Args:
        partials: float64 (n_blocks, m), one row for each block of this rank.
        comm: the ranks.
        exact: the same bits at any number of ranks, by integers; else a plain floating-point sum.

    Returns:
        float64 (m,); with ``exact``, NaN where a summand is NaN or infinite.
    """
    if not exact:
        return comm.sum(partials.sum(axis=0))
    units = common_units(partials, comm)
    limbs = np.zeros((LIMBS + 1, partials.shape[1]), dtype=np.int64)
    cut(partials / units, limbs)
    return joined(comm.sum(limbs)) * units


UNIT_BITS = 2 * LIMB_BITS
"""Units are powers of 2 with exponents that are multiples of this: numbers of order 2^-40 to 2^40 have the unit 1."""


def common_units(partials: Floats, comm: Communicator) -> Floats:
    """Collective. Powers of 2 near the largest modulus in each column over all ranks, float64 (m,); 1 where all are 0.

    Numbers much larger or smaller than 1, such as energies in joule, would not fit into the quanta, or be lost.
    """
    moduli = np.abs(partials)
    exponents = np.frexp(np.where(np.isfinite(moduli), moduli, 0.0))[1].astype(np.int64)
    exponents = np.where(moduli > 0, exponents, -_NOTHING)
    largest = comm.max(exponents.max(axis=0, initial=-_NOTHING))
    steps = np.where(largest > -_NOTHING, np.rint(largest / UNIT_BITS), 0.0)
    return np.ldexp(1.0, UNIT_BITS * steps.astype(np.int64))


_NOTHING = 1 << 20
"""No exponent of a float64 is as large."""


class ExactSum:
    """A vector summed over chunks and ranks, with the same bits in any order; see :func:`sum_of_blocks`.

    Args:
        size: length of the vector.
        unit: a power of 2, the same on every rank, of :func:`common_units`: summands are of its order.
    """

    def __init__(self, size: int, unit: float = 1.0):
        self._limbs = np.zeros((LIMBS + 1, size), dtype=np.int64)
        self._unit = unit

    def add(self, values: Floats) -> None:
        """Add a vector, float64 (size,)."""
        cut(values.reshape(1, -1) / self._unit, self._limbs)

    def total(self, comm: Communicator) -> Floats:
        """Collective. The sum over all ranks, float64 (size,); NaN where a summand is NaN or not below 1e30 units."""
        return joined(comm.sum(self._limbs)) * self._unit


class BoundedSum:
    """A vector summed over chunks and ranks as 64-bit integers: one number each in the message, where bounds are known.

    Args:
        scale: float64 (size,), of :func:`fixed_scale`: powers of 2 that turn summands into integers.
    """

    def __init__(self, scale: Floats):
        self._scale = scale
        self._sums = np.zeros(len(scale), dtype=np.int64)

    def add(self, values: Floats, start: int = 0) -> None:
        """Add values, float64, to the elements from ``start`` on."""
        part = slice(start, start + len(values))
        add_rounded(values, self._scale[part], self._sums[part])

    def total(self, comm: Communicator) -> Floats:
        """Collective. The sum over all ranks, float64 (size,)."""
        return np.asarray(comm.sum(self._sums) / self._scale)


def fixed_scale(bound: Floats) -> Floats:
    """Powers of 2, float64 (size,), that turn numbers up to these bounds into integers of 62 bits.

    Args:
        bound: float64 (size,), not smaller than the sum over all chunks of all ranks of the summands' moduli.
    """
    exponents = np.frexp(np.maximum(bound, SMALLEST_BOUND))[1].astype(np.int64)
    return np.ldexp(1.0, FIXED_BITS - exponents)


FIXED_BITS = 61
"""Of the int64 sums that the bound may take: one is the sign, one is room for rounding."""

SMALLEST_BOUND = 2.0**-900
"""Bounds below count as this, whose scale is still a number."""


@kernel
def add_rounded(values: Floats, scale: Floats, sums: Integers) -> None:
    """Add values times their scales, rounded to integers."""
    for i in range(len(values)):
        sums[i] += np.int64(np.rint(values[i] * scale[i]))
