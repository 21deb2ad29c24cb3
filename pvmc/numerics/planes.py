"""Complex numbers by planes of float64: the form in which the compiled kernels take them."""

from __future__ import annotations

import numpy as np

from pvmc.numerics.arrays import Floats, Numbers


def stacked_planes(values: Numbers) -> Floats:
    """Real on imaginary plane along the first axis; real values as they are."""
    return np.concatenate([values.real, values.imag]) if np.iscomplexobj(values) else values


def joined_planes(planes: Floats, n_planes: int) -> Numbers:
    """The inverse of :func:`stacked_planes`."""
    if n_planes == 1:
        return planes
    half = len(planes) // 2
    joined = np.empty((half, *planes.shape[1:]), dtype=np.complex128)
    joined.real, joined.imag = planes[:half], planes[half:]
    return joined


def plane_view(values: Numbers, n_planes: int) -> Floats:
    """An (n, L) array as float64 (n, L, n_planes), sharing memory."""
    return values.view(np.float64).reshape(*values.shape, n_planes)
