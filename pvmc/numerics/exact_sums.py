"""Sums over all blocks of all ranks, whose bits do not depend on which rank owns which block.

Floating-point addition is not associative: summed over other ranks, the same numbers give other last digits.  Here a
number is cut into integer multiples of fixed quanta.  Sums of integers are exact in any order, so that every number of
ranks gives the same result, with an error below that of a floating-point sum.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pvmc.numerics.arrays import Floats, Integers
from pvmc.numerics.kernels import kernel

LIMB_BITS = 40
"""Quanta follow each other by this power of 2; a limb of a summand is below 2^40, so that 2^23 of them can be added."""

LIMBS = 5
LARGEST_EXPONENT = 60
"""The quanta of long vectors (:class:`ExactSum`) are 2^60, 2^20, ..., 2^-100, times their unit."""

LARGEST = 2.0 ** (LARGEST_EXPONENT + LIMB_BITS)
"""Summands of long vectors must be smaller than this (1e30), times their unit."""

ALL_LIMBS = 52
ALL_EXPONENT = 984
"""The quanta of the few numbers of a block (:func:`sum_of_blocks`) are 2^984, 2^944, ..., 2^-1056: all of float64, so
that energies in any unit, and their fourth powers, are summed without a message that asks how large they are."""


class Ranks(Protocol):
    """The ranks of a job, as far as sums need them: a :class:`pvmc.mpi.Communicator` is one."""

    def sum(self, array: npt.ArrayLike) -> npt.NDArray[Any]:
        """Collective.  Elementwise sum over the ranks, on every rank."""
        ...

    def sum_to_root(self, array: npt.ArrayLike) -> npt.NDArray[Any] | None:
        """Collective.  The same on rank 0 alone; None elsewhere."""
        ...

    def max(self, array: npt.ArrayLike) -> npt.NDArray[Any]:
        """Collective.  Elementwise maximum over the ranks, on every rank."""
        ...


@kernel
def cut(values: Floats, limbs: Integers, exponent: int) -> None:
    """Add the rows of values, float64 (n, m), to limbs, int64 (n_limbs + 1, m); the last row counts what is too large.

    The quanta are 2^exponent and n_limbs - 1 smaller ones.  A number begins at the largest quantum below it and takes
    up at most three; what is below half of the last quantum is dropped from each summand.
    """
    n_limbs = limbs.shape[0] - 1
    for row in range(values.shape[0]):
        for i in range(values.shape[1]):
            rest = values[row, i]
            size = math.frexp(rest)[1] if math.isfinite(rest) else exponent + LIMB_BITS + 1  # |rest| < 2^size
            if size > exponent + LIMB_BITS:
                limbs[n_limbs, i] += 1
                continue
            first = (exponent + LIMB_BITS - size) // LIMB_BITS
            for level in range(first, min(first + 3, n_limbs)):
                power = exponent - level * LIMB_BITS
                multiple = math.ldexp(rest, -power)
                multiple = np.rint(multiple) if level == n_limbs - 1 else np.trunc(multiple)
                limbs[level, i] += np.int64(multiple)
                rest -= math.ldexp(multiple, power)


@kernel
def joined(limbs: Integers, exponent: int) -> Floats:
    """The numbers of summed limbs, float64 (m,); NaN where a summand was too large or no number."""
    n_limbs = limbs.shape[0] - 1
    total = np.zeros(limbs.shape[1])
    for i in range(limbs.shape[1]):
        for level in range(n_limbs - 1, -1, -1):
            total[i] += math.ldexp(float(limbs[level, i]), exponent - level * LIMB_BITS)
        if limbs[n_limbs, i] > 0:
            total[i] = np.nan
    return total


def sum_of_blocks(partials: Floats, comm: Ranks, exact: bool) -> Floats:
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
    limbs = np.zeros((ALL_LIMBS + 1, partials.shape[1]), dtype=np.int64)
    cut(partials, limbs, ALL_EXPONENT)
    return np.asarray(joined(comm.sum(limbs), ALL_EXPONENT))


UNIT_BITS = 2 * LIMB_BITS
"""Units are powers of 2 with exponents that are multiples of this: numbers of order 2^-40 to 2^40 have the unit 1."""


def common_units(partials: Floats, comm: Ranks) -> Floats:
    """Collective. Powers of 2 near the largest modulus in each column over all ranks, float64 (m,); 1 where all are 0.

    Summands of long vectors that are much larger or smaller than 1, such as energies in joule, would not fit into their
    quanta, or be lost.
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
        cut(values.reshape(1, -1) / self._unit, self._limbs, LARGEST_EXPONENT)

    def total(self, comm: Ranks) -> Floats:
        """Collective. The sum over all ranks, float64 (size,); NaN where a summand is NaN or not below 1e30 units."""
        return np.asarray(joined(comm.sum(self._limbs), LARGEST_EXPONENT) * self._unit)


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

    def total(self, comm: Ranks) -> Floats:
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
