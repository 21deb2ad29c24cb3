"""Series of one or of several chains, in one shape."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pvmc.errors import InputError

Floats = NDArray[np.float64]


def as_chains(values: ArrayLike, shortest: int) -> Floats:
    """Chains of equal length, one per row, float64 (n_chains, n); a series (n,) is one chain.

    Args:
        values: real numbers, (n,) or (n_chains, n), oldest first.
        shortest: fewest entries of a chain that will do.

    Raises:
        InputError: another shape, complex numbers, chains too short, or entries that are not finite.
    """
    array = np.asarray(values)
    if np.iscomplexobj(array):
        raise InputError("statistics of a series need real numbers: give the real and the imaginary part one by one")
    chains = np.atleast_2d(array.astype(np.float64))
    if chains.ndim != 2 or chains.shape[0] == 0:
        raise InputError(f"a series is (n,) or (chains, n), not of shape {array.shape}")
    if chains.shape[1] < shortest:
        raise InputError(f"the series needs at least {shortest} entries, not {chains.shape[1]}")
    if not np.isfinite(chains).all():
        raise InputError("the series holds values that are not finite")
    return chains


def halves(chains: Floats) -> Floats:
    """Each chain cut in two, (2 n_chains, n // 2), so that a drift shows as chains that differ.

    The middle entry of a chain of odd length is left out.
    """
    half = chains.shape[1] // 2
    return np.concatenate([chains[:, :half], chains[:, chains.shape[1] - half :]])


def unit_scale(values: Floats) -> tuple[Floats, int]:
    """Values divided by the power of two 2^e that brings the largest magnitude into [1/2, 1), and e; 0 for zeros.

    Squares of numbers beyond 1e154 overflow, and those below 1e-154 lose their digits.  The division is exact, so that
    whatever is computed from the quotients has the same bits at any scale.
    """
    exponent = int(np.frexp(np.max(np.abs(values), initial=0.0))[1])
    return np.ldexp(values, -exponent), exponent


def scaled(value: Any, exponent: int) -> Any:
    """2^exponent times a number or an array; infinite or zero where float64 has no room for it."""
    with np.errstate(over="ignore", under="ignore"):
        product = np.ldexp(value, exponent)
    return product if np.ndim(product) else float(product)
