"""Compiled Metropolis steps of a projected RBM: all terms of the sum over the group in one loop.

Term g sees the configuration g s, (g s)_i = sign s[perm[i]], and keeps T = tanh theta of it and ln [chi(g)* psi(g s)].
A proposal costs |G| products over hidden units.  Shapes, besides those of :mod:`pvmc.ansatz.kernels`:

    moved   (|G|, N, L)               g s, int8
    tanh    (|G|, n_planes * M, L)    T of every term
    logs    (2, |G|, L)               real and imaginary part of ln [chi(g)* psi(g s)]
    sites   (|G|, n)                  the sets, flat, as term g sees them
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pvmc.ansatz import kernels
from pvmc.ansatz.base import Booleans, Floats, Integers, Spins
from pvmc.ansatz.vector_math import kernel


@kernel
def all_ratios(
    table: Floats,
    visible: Floats,
    spins: Spins,
    lookup: Floats,
    sites: Integers,
    allowed: Booleans,
    rows: Floats,
    sign: Floats,
    product: Floats,
    pending: Booleans,
    out: Floats,
) -> None:
    """Ratios of one term for one set into ``out``, (2, L); 0 where not allowed."""
    n_planes = table.shape[2]
    for walker in range(len(allowed)):
        pending[walker] = allowed[walker]
        out[0, walker] = out[1, walker] = 0.0
    for lane in range(len(allowed)):
        if not pending[lane]:
            continue
        kernels.pattern_ratios(table, visible, spins, lookup, sites, lane, rows, sign, product)
        for walker in range(len(allowed)):
            if pending[walker] and sign[walker] != 0.0:
                pending[walker] = False
                out[0, walker] = product[0, walker]
                out[1, walker] = product[1, walker] if n_planes == 2 else 0.0


@kernel
def accept_walkers(
    logs: Floats, ratios: Floats, uniforms: Floats, allowed: Booleans, accept: Booleans, changed: Floats
) -> bool:
    """Decide from the terms' ratios (|G|, 2, L); ``changed`` becomes the new ln of every term, (2, |G|, L).

    False where a term left the range of float64 or psi has a node; then nothing may be accepted.
    """
    n_terms = logs.shape[1]
    for walker in range(len(allowed)):
        accept[walker] = False
        if not allowed[walker]:
            continue
        top, new_top = -np.inf, -np.inf
        for g in range(n_terms):
            x, y = ratios[g, 0, walker], ratios[g, 1, walker]
            square = x * x + y * y
            if not (1e-280 < square < 1e280):
                return False
            changed[0, g, walker] = logs[0, g, walker] + 0.5 * np.log(square)
            changed[1, g, walker] = logs[1, g, walker] + np.arctan2(y, x)
            top, new_top = max(top, logs[0, g, walker]), max(new_top, changed[0, g, walker])
        before, after = 0j, 0j
        for g in range(n_terms):
            here, there = np.exp(logs[0, g, walker] - top), np.exp(changed[0, g, walker] - new_top)
            before += here * complex(np.cos(logs[1, g, walker]), np.sin(logs[1, g, walker]))
            after += there * complex(np.cos(changed[1, g, walker]), np.sin(changed[1, g, walker]))
        weight_before = before.real * before.real + before.imag * before.imag
        weight_after = after.real * after.real + after.imag * after.imag
        if not weight_before > 0.0:
            return False
        weight = weight_after / weight_before * np.exp(2.0 * (new_top - top))
        accept[walker] = uniforms[walker] < weight
    return True


@kernel
def metropolis(
    table: Floats,
    visible: Floats,
    growth: Floats,
    largest: float,
    spins: Spins,
    moved: Spins,
    tanh: Floats,
    logs: Floats,
    offsets: Integers,
    own_sites: Integers,
    sites: Integers,
    conserving: Booleans,
    chosen: Integers,
    uniforms: Floats,
    accepted: npt.NDArray[np.int64],
) -> int:
    """Metropolis steps until all are done or plain products can no longer be trusted.

    Args:
        table, visible, growth, largest: as in :func:`pvmc.ansatz.kernels.metropolis`.
        spins, moved, tanh, logs: the walkers; all updated.
        offsets, own_sites: the sets as the walkers see them.
        sites: the sets as the terms see them.
        conserving, chosen, uniforms: as there.
        accepted: int64 (L,), counted up.

    Returns:
        The number of steps done; the rest has left no trace.
    """
    n_terms, width = len(moved), spins.shape[1]
    n_planes, n_hidden = table.shape[2], table.shape[3]
    rows, sign = np.empty((2, n_planes, n_hidden)), np.empty(width)
    product, gap = np.empty((n_planes, width)), np.empty(width)
    ratios, changed = np.empty((n_terms, 2, width)), np.empty((2, n_terms, width))
    allowed, pending = np.empty(width, dtype=np.bool_), np.empty(width, dtype=np.bool_)
    accept = np.empty(width, dtype=np.bool_)
    smallest = 1.0
    for g in range(n_terms):
        kernels.measure_gap(tanh[g], n_planes, gap)
        smallest = min(smallest, gap.min())
    for t in range(len(chosen)):
        first, last = offsets[chosen[t]], offsets[chosen[t] + 1]
        if not smallest > kernels.SMALLEST_GAP:
            return t
        kernels.propose(spins, own_sites[first:last], conserving[chosen[t]], allowed)
        for g in range(n_terms):
            members = sites[g, first:last]
            if not kernels.is_bounded(growth, largest, members):
                return t
            all_ratios(table, visible, moved[g], tanh[g], members, allowed, rows, sign, product, pending, ratios[g])
        if not accept_walkers(logs, ratios, uniforms[t], allowed, accept, changed):
            return t
        if not accept.any():
            continue
        for g in range(n_terms):
            smallest = min(smallest, kernels.move(table, moved[g], tanh[g], sites[g, first:last], accept))
            for walker in range(width):
                if accept[walker]:
                    logs[0, g, walker], logs[1, g, walker] = changed[0, g, walker], changed[1, g, walker]
        for walker in range(width):
            if accept[walker]:
                accepted[walker] += 1
                for m in range(first, last):
                    spins[own_sites[m], walker] = -spins[own_sites[m], walker]
    return len(chosen)
