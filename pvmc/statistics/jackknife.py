"""Errors of functions of means, by leaving out one block of the data at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pvmc.errors import InputError
from pvmc.statistics.chains import scaled
from pvmc.statistics.mean import MIN_BINS, binning

MAX_BLOCKS = 512
"""Most blocks that are made where the size is chosen: the function is evaluated so many times."""

Numbers = NDArray[Any]


@dataclass(frozen=True)
class Jackknife:
    """A function of means.

    Attributes:
        value: the function of the means over all blocks, of the function's shape and units.
        error: its standard error, float64, of the same shape; of a complex value that of its distance from the truth.
        corrected: ``value`` less its bias of order 1/n; a little noisier.
        bin_size: entries per block.
        n_blocks: number of blocks.
    """

    value: Numbers
    error: Numbers
    corrected: Numbers
    bin_size: int
    n_blocks: int


def jackknife(function: Callable[..., ArrayLike], *series: ArrayLike, bin_size: int | None = None) -> Jackknife:
    """f(<x>, <y>, ...), its error and its value without the leading bias.

    With f_i the function of the means without block i, of B blocks,

        error^2 = (B - 1)/B sum_i |f_i - mean(f_i)|^2,      corrected = B f - (B - 1) mean(f_i)

    (B. Efron, The Jackknife, the Bootstrap and Other Resampling Plans (1982), ch. 2 and 3).  The series belong to the
    same draws: what they have in common enters the error.

    Args:
        function: takes one mean for each series, of the shape of an entry, and returns a number or an array.
        series: (n,) or (n, ...), oldest first, of one length; real or complex.
        bin_size: entries per block, longer than their memory; 1 for independent entries, such as means of walkers.  By
            default the largest one that :func:`pvmc.statistics.mean` chooses for any of their components, and no
            more than 512 blocks.  The oldest entries are left out where they fill no block.

    Raises:
        InputError: no series, different lengths, fewer than 2 blocks, or entries that are not finite.
    """
    arrays = [_checked(values) for values in series]
    if not arrays or len({len(array) for array in arrays}) > 1:
        raise InputError(f"a jackknife needs series of one length, not {[len(array) for array in arrays]}")
    n = len(arrays[0])
    size = _automatic_size(arrays) if bin_size is None else bin_size
    n_blocks = n // size if size > 0 else 0
    if n_blocks < 2:
        raise InputError(f"a jackknife needs at least 2 blocks: {n} entries do not fill two of {size}")
    blocks = [array[n - n_blocks * size :].reshape(n_blocks, size, *array.shape[1:]).mean(axis=1) for array in arrays]
    value = np.asarray(function(*(block.mean(axis=0) for block in blocks)))
    # Means without block i of each series, (B, ...); the function of them, f_i, (B, ...).
    without = [_means_without_one(block) for block in blocks]
    values = np.stack([np.asarray(function(*means)) for means in zip(*without, strict=True)])
    centre = values.mean(axis=0)
    return Jackknife(
        value=value,
        error=leave_one_out_error(values),
        corrected=value + (n_blocks - 1) * (value - centre),
        bin_size=size,
        n_blocks=n_blocks,
    )


def leave_one_out_error(values: Numbers) -> Numbers:
    """sqrt(B - 1) sqrt(mean of |f_i - mean|^2) of estimates f_i without block i, (B, ...), each at its own scale."""
    deviations = np.abs(values - values.mean(axis=0))
    exponents = np.frexp(deviations.max(axis=0))[1]
    squares = np.mean(np.ldexp(deviations, -exponents) ** 2, axis=0)
    return np.asarray(scaled(np.sqrt(len(values) - 1) * np.sqrt(squares), exponents))


def _means_without_one(blocks: Numbers) -> Numbers:
    """Means over all blocks but one, for each one, (n_blocks, ...); from differences, to keep the digits."""
    mean = blocks.mean(axis=0)
    return mean - (blocks - mean) / (len(blocks) - 1)


def _automatic_size(arrays: list[Numbers]) -> int:
    """Entries per block by binning of each component, so that at least 8 and at most 512 blocks remain."""
    n = len(arrays[0])
    columns = [array.reshape(n, -1) for array in arrays]
    parts = [part for array in columns for part in ((array.real, array.imag) if np.iscomplexobj(array) else (array,))]
    chosen = [binning(column).bin_size for part in parts for column in part.T]
    return max(min(max(chosen), n // MIN_BINS), -(-n // MAX_BLOCKS), 1)


def _checked(values: ArrayLike) -> Numbers:
    """A series of at least 2 finite entries, in double precision."""
    array = np.asarray(values)
    array = array.astype(np.complex128 if np.iscomplexobj(array) else np.float64)
    if array.ndim == 0 or len(array) < 2:
        raise InputError("a jackknife needs series of at least 2 entries")
    if not np.isfinite(array).all():
        raise InputError("a series of the jackknife holds values that are not finite")
    return array
