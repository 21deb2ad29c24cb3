"""Compiled Metropolis steps of a projected RBM: all terms of the sum over the group in one loop.

Term g sees the configuration g s, (g s)_i = sign s[perm[i]], and keeps T = tanh theta of it and ln [chi(g)* psi(g s)].
A proposal costs |G| products over hidden units.  Shapes, besides those of :mod:`pvmc.wavefunctions.rbm.patterns`:

    moved   (|G|, N, L)               g s, int8
    lookup  (|G|, n_planes * M, L)    T of every term
    logs    (2, |G|, L)               real and imaginary part of ln [chi(g)* psi(g s)]
    sites   (|G|, n)                  the sets, flat, as term g sees them
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pvmc.numerics.accept import accepts, flip, propose
from pvmc.numerics.arrays import Booleans, Floats, Integers, Spins
from pvmc.numerics.kernels import kernel
from pvmc.wavefunctions.rbm import hidden_units, patterns


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
        # ln psi(g s') = ln psi(g s) + ln of its ratio, and the largest |psi(g .)| before and after
        top, new_top = -np.inf, -np.inf
        for g in range(n_terms):
            x, y = ratios[g, 0, walker], ratios[g, 1, walker]
            square = x * x + y * y
            if not (1e-280 < square < 1e280):
                return False
            changed[0, g, walker] = logs[0, g, walker] + 0.5 * np.log(square)
            changed[1, g, walker] = logs[1, g, walker] + np.arctan2(y, x)
            top, new_top = max(top, logs[0, g, walker]), max(new_top, changed[0, g, walker])
        # psi_P(s) and psi_P(s') as sums of the |G| terms, each over its largest one
        before, after = 0j, 0j
        for g in range(n_terms):
            here, there = np.exp(logs[0, g, walker] - top), np.exp(changed[0, g, walker] - new_top)
            before += here * complex(np.cos(logs[1, g, walker]), np.sin(logs[1, g, walker]))
            after += there * complex(np.cos(changed[1, g, walker]), np.sin(changed[1, g, walker]))
        # |psi_P(s')/psi_P(s)|^2
        weight_before = before.real * before.real + before.imag * before.imag
        weight_after = after.real * after.real + after.imag * after.imag
        if not weight_before > 0.0:
            return False
        weight = weight_after / weight_before * np.exp(2.0 * (new_top - top))
        accept[walker] = accepts(uniforms[walker], weight)
    return True


@kernel
def metropolis(
    table: Floats,
    visible: Floats,
    growth: Floats,
    largest: float,
    spins: Spins,
    moved: Spins,
    lookup: Floats,
    logs: Floats,
    offsets: Integers,
    own_sites: Integers,
    sites: Integers,
    conserving: Booleans,
    chosen: Integers,
    uniforms: Floats,
    accepted: npt.NDArray[np.int64],
) -> tuple[int, bool]:
    """Metropolis steps until all are done or plain products can no longer be trusted.

    Args:
        table, visible, growth, largest: as in :func:`pvmc.wavefunctions.rbm.patterns.metropolis`.
        spins, moved, lookup, logs: the walkers; all updated.
        offsets, own_sites: the sets as the walkers see them.
        sites: the sets as the terms see them.
        conserving, chosen, uniforms: as there.
        accepted: int64 (L,), counted up.

    Returns:
        The number of steps done (the rest has left no trace in the spins), and whether the lookup can be trusted.
    """
    n_terms, width = len(moved), spins.shape[1]
    n_planes, n_hidden = table.shape[2], table.shape[3]
    for g in range(n_terms):
        if hidden_units.is_saturated(lookup[g], n_planes):
            return 0, False
    # T by walkers: (|G|, n_planes * M, L) -> (|G|, L, n_planes, size)
    rows, sign = hidden_units.new_pattern(n_planes, n_hidden), np.empty(width)
    walkers = hidden_units.new_walkers(n_terms * width, n_planes, n_hidden)
    tanh = walkers.reshape(n_terms, width, n_planes, walkers.shape[2])
    for g in range(n_terms):
        hidden_units.read_lookup(lookup[g], tanh[g])
    ratios, changed = np.empty((n_terms, 2, width)), np.empty((2, n_terms, width))
    allowed, pending = np.empty(width, dtype=np.bool_), np.empty(width, dtype=np.bool_)
    accept = np.empty(width, dtype=np.bool_)
    done, fine = 0, True
    while done < len(chosen) and fine:
        first, last = offsets[chosen[done]], offsets[chosen[done] + 1]
        # ratios psi(g s')/psi(g s) of every term, of the walkers that may flip: (|G|, 2, L)
        propose(spins, own_sites[first:last], conserving[chosen[done]], allowed)
        for g in range(n_terms):
            members = sites[g, first:last]
            fine = fine and patterns.is_bounded(growth, largest, members)
            pending[:] = allowed
            patterns.set_ratios(table, visible, moved[g], tanh[g], members, pending, rows, sign, ratios[g])
        if not (fine and accept_walkers(logs, ratios, uniforms[done], allowed, accept, changed)):
            break
        done += 1
        if not accept.any():
            continue
        # T, g s and ln psi(g s) of the walkers that accept, term by term; then s itself
        for g in range(n_terms):
            pending[:] = accept
            members = sites[g, first:last]
            fine = patterns.move_walkers(table, moved[g], tanh[g], members, pending, rows, sign) and fine
            for walker in range(width):
                if accept[walker]:
                    logs[0, g, walker], logs[1, g, walker] = changed[0, g, walker], changed[1, g, walker]
        for walker in range(width):
            if accept[walker]:
                accepted[walker] += 1
                flip(spins, own_sites[first:last], walker)
    for g in range(n_terms):
        hidden_units.write_lookup(tanh[g], lookup[g])
    return done, fine
