"""The Metropolis step on a set of spins, once for all wave functions: who may flip it, who accepts, and the flip."""

from __future__ import annotations

import math

import numpy as np

from pvmc.numerics.arrays import Booleans, Floats, Integers, Spins
from pvmc.numerics.kernels import inlined, kernel


@inlined
def accepts(uniform: float, weight: float) -> bool:
    """The Metropolis test: a proposal of weight w = |psi(s')/psi(s)|^2 is accepted with probability min(1, w).

    Args:
        uniform: in [0, 1); below 0 accepts whatever the weight, inf accepts nothing.
        weight: w; inf accepts, NaN does not.
    """
    return uniform < weight


@inlined
def accepts_change(uniform: float, change: float) -> bool:
    """The same from the change of ln |psi|: w = exp(2 change)."""
    return accepts(uniform, math.exp(min(2.0 * change, 0.0)))


@kernel
def accepting(uniforms: Floats, weights: Floats) -> Booleans:
    """:func:`accepts` for many walkers, bool (L,)."""
    accept = np.empty(len(uniforms), dtype=np.bool_)
    for walker in range(len(uniforms)):
        accept[walker] = accepts(uniforms[walker], weights[walker])
    return accept


def accepting_change(uniforms: Floats, change: Floats) -> Booleans:
    """:func:`accepts_change` for many walkers, bool (L,)."""
    return np.asarray(accepting(uniforms, np.exp(np.minimum(2.0 * change, 0.0))))


@inlined
def may_flip(spins: Spins, sites: Integers, conserving: bool, walker: int) -> bool:
    """True where the walker may flip the set: with ``conserving`` only where its spins on it sum to zero."""
    total = 0
    if conserving:
        for m in range(len(sites)):
            total += spins[sites[m], walker]
    return total == 0


@kernel
def propose(spins: Spins, sites: Integers, conserving: bool, pending: Booleans) -> None:
    """Mark the walkers that may flip the set, bool (L,)."""
    for walker in range(len(pending)):
        pending[walker] = may_flip(spins, sites, conserving, walker)


@inlined
def flip(spins: Spins, sites: Integers, walker: int) -> None:
    """Flip the spins of the set in one walker."""
    for m in range(len(sites)):
        spins[sites[m], walker] = -spins[sites[m], walker]
