"""Averages over a series of SR iterations."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pvmc.errors import InputError


def relative_error(energy: ArrayLike, reference: float, scale: float | None = None) -> NDArray[np.float64]:
    """|E - E_ref| / scale, of the shape of ``energy``; the scale is |E_ref| unless another is given.

    Raises:
        InputError: the scale is zero.
    """
    scale = abs(reference) if scale is None else scale
    if scale == 0.0:
        raise InputError("no relative error: the reference energy is zero")
    return np.abs(np.asarray(energy, dtype=np.float64) - reference) / scale


def running_mean(values: ArrayLike, fraction: float = 0.1) -> NDArray[np.float64]:
    """Centred mean over a window that grows with the position: entries i - w .. i + w, w = floor(fraction * i).

    i counts from 1.  On a logarithmic axis the window has the same width everywhere, so that early, fast changes are
    kept while the noise of the late iterations is averaged out.  The window is cut off at the end of the series: the
    last value is the mean of the last ``fraction`` of the run.

    Args:
        values: series (n,).
        fraction: half-width of the window relative to the position, below 1.
    """
    series = np.asarray(values, dtype=np.float64)
    position = np.arange(series.size)
    half = np.floor(fraction * (position + 1)).astype(np.int64)
    first, end = position - half, np.minimum(position + half + 1, series.size)
    offset = series[-1] if series.size else 0.0  # differences are small late in the run: keeps the digits of the sums
    sums = np.concatenate([[0.0], np.cumsum(series - offset)])
    means: NDArray[np.float64] = offset + (sums[end] - sums[first]) / (end - first)
    return means
