"""Names of array types, and complex numbers by **planes** of float64, the form in which compiled kernels take them.

Real numbers have one plane.  Complex ones have two, the real and the imaginary parts, in one of three places:

    stacked   (2 M, ...)      the imaginary plane below the real one
    first     (2, ...)        along a new first axis
    last      (..., 2)        side by side in memory, which is how numpy holds them: a view
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Spins: TypeAlias = npt.NDArray[np.int8]
"""Spins +1 and -1; (N, L) with the walkers last, or (n, N) as rows of a list."""
Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]
Booleans: TypeAlias = npt.NDArray[np.bool_]
Numbers: TypeAlias = npt.NDArray[Any]
"""float64 or complex128."""


def count_planes(dtype: npt.DTypeLike) -> int:
    """2 for complex128, 1 for float64."""
    return np.dtype(dtype).itemsize // 8


def first_planes(values: Numbers) -> Floats:
    """Planes along a new first axis, float64 (n_planes, ...), C-contiguous, a new array."""
    return np.array([values.real, values.imag] if np.iscomplexobj(values) else [values], dtype=np.float64)


def stacked_planes(values: Numbers) -> Floats:
    """Real on imaginary plane along the first axis, (n_planes M, ...); real values as they are."""
    return np.concatenate([values.real, values.imag]) if np.iscomplexobj(values) else values


def joined_planes(planes: Floats, n_planes: int) -> Numbers:
    """The inverse of :func:`stacked_planes`; the planes themselves where there is one."""
    if n_planes == 1:
        return planes
    half = len(planes) // 2
    joined = np.empty((half, *planes.shape[1:]), dtype=np.complex128)
    joined.real, joined.imag = planes[:half], planes[half:]
    return joined


def plane_view(values: Numbers) -> Floats:
    """An array as float64 (..., n_planes), sharing memory; its last axis is contiguous."""
    return values.view(np.float64).reshape(*values.shape, values.dtype.itemsize // 8)
