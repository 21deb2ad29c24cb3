"""Compiled kernels of the restricted Boltzmann machine: products over hidden units, no transcendental functions.

Flipping the spins of a set X changes theta_j by -D_j, D_j = 2 sum_{i in X} s_i W_ij, and

    psi(s')/psi(s) = exp(-2 sum_{i in X} a_i s_i) prod_j (cosh D_j - T_j sinh D_j),        T_j = tanh theta_j;
    T'_j = (C T_j - S) / (C - T_j S),                                                      C = cosh D_j, S = sinh D_j.

All walkers of a block (the last axis, "lanes") try the same set.  Walkers with the same spins on it up to a common sign
share C, and S up to that sign: a **pattern**.  C and S of a pattern are composed from the rows exp(+-2 W_i) of its
sites, and used by all its walkers, one after the other (:mod:`pvmc.wavefunctions.rbm.hidden_units`).

Numbers are kept in **planes** of float64: one for real weights; two, real and imaginary, for complex ones.  Shapes:

    table    (N, 2, n_planes, M)     exp(2 W_i) and exp(-2 W_i)
    visible  (N, n_planes)           2 a_i
    lookup   (n_planes * M, L)       T, imaginary plane below the real one
    tanh     (L, n_planes, size)     T as the loops over hidden units want it, a walker's side by side
    rows     (3, n_planes, size)     C, S and -S of one pattern

Plain products are exact to rounding while T is not saturated and no product can overflow (``growth`` bounds its
logarithm); where that fails the kernels refuse, and :mod:`pvmc.wavefunctions.rbm.extended` takes over.
"""

from __future__ import annotations

import cmath
from typing import Any

import numpy as np

from pvmc.numerics.accept import accepts, flip, propose
from pvmc.numerics.arrays import Booleans, Floats, Integers, Spins
from pvmc.numerics.kernels import inlined, kernel
from pvmc.numerics.simd import LANES, lanes_below, load, splat, store
from pvmc.wavefunctions.rbm.hidden_units import (
    VectorPair,
    complex_product,
    is_saturated,
    new_pattern,
    new_walkers,
    ratio_pair,
    read_lookup,
    update,
    write_lookup,
)

LARGEST_LOG_RATIO = 300.0
"""Bound on |ln |ratio|| up to which plain products, and their squares, stay inside the range of float64."""


@inlined
def pattern_exponentials(
    table: Floats, spins: Spins, sites: Integers, lane: int, j: int, inside: Any
) -> tuple[VectorPair, VectorPair]:
    """exp(D) and exp(-D) of LANES hidden units from j on, for flipping ``sites`` in the given lane."""
    n_planes, n_hidden = table.shape[2], table.shape[3]
    grow, fall = (splat(1.0), splat(0.0)), (splat(1.0), splat(0.0))
    for m in range(len(sites)):
        up = 0 if spins[sites[m], lane] > 0 else 1
        more = (2 * sites[m] + up) * n_planes * n_hidden + j
        less = (2 * sites[m] + 1 - up) * n_planes * n_hidden + j
        if n_planes == 1:
            grow = grow[0] * load(table, more, inside), grow[1]
            fall = fall[0] * load(table, less, inside), fall[1]
        else:
            grow = complex_product(grow, (load(table, more, inside), load(table, more + n_hidden, inside)))
            fall = complex_product(fall, (load(table, less, inside), load(table, less + n_hidden, inside)))
    return grow, fall


@kernel
def compose_rows(table: Floats, spins: Spins, sites: Integers, lane: int, rows: Floats) -> None:
    """C, S and -S for flipping ``sites`` in the given lane: exp(+-D) are products of table rows."""
    n_planes, n_hidden, size = table.shape[2], table.shape[3], rows.shape[2]
    for j in range(0, n_hidden, LANES):
        inside = lanes_below(n_hidden - j)
        grow, fall = pattern_exponentials(table, spins, sites, lane, j, inside)
        half = splat(0.5)
        store(rows, j, half * (grow[0] + fall[0]), inside)
        store(rows, n_planes * size + j, half * (grow[0] - fall[0]), inside)
        store(rows, 2 * n_planes * size + j, half * (fall[0] - grow[0]), inside)
        if n_planes == 2:
            store(rows, size + j, half * (grow[1] + fall[1]), inside)
            store(rows, 3 * size + j, half * (grow[1] - fall[1]), inside)
            store(rows, 5 * size + j, half * (fall[1] - grow[1]), inside)


@kernel
def relative_signs(spins: Spins, sites: Integers, lane: int, sign: Floats) -> None:
    """+1 for walkers whose spins on the set equal those of ``lane``, -1 for the opposite, 0 for another pattern."""
    for walker in range(len(sign)):
        sign[walker] = 0.0
    for m in range(len(sites)):
        site = sites[m]
        reference = spins[site, lane]
        for walker in range(len(sign)):
            sign[walker] += spins[site, walker] * reference
    size = float(len(sites))
    for walker in range(len(sign)):
        overlap = sign[walker]
        sign[walker] = 1.0 if overlap == size else (-1.0 if overlap == -size else 0.0)


@kernel
def visible_factors(visible: Floats, spins: Spins, sites: Integers, lane: int, factors: Floats) -> None:
    """exp(-2 sum a_i s_i) over the set for the pattern of the given lane, and for the opposite: rows 1, 2 of (3, 2)."""
    exponent = 0j
    for m in range(len(sites)):
        site = sites[m]
        spin = spins[site, lane]
        exponent += complex(visible[site, 0] * spin, visible[site, 1] * spin if visible.shape[1] == 2 else 0.0)
    same, opposite = (cmath.exp(-exponent), cmath.exp(exponent)) if exponent != 0j else (1.0 + 0j, 1.0 + 0j)
    factors[1, 0], factors[1, 1] = same.real, same.imag
    factors[2, 0], factors[2, 1] = opposite.real, opposite.imag


@kernel
def line_up(pending: Booleans, sign: Floats, lane: int, queue: Integers) -> tuple[int, int]:
    """Put the pending walkers of a pattern, from ``lane`` on, in line; then they are not pending any more.

    Returns:
        n and m: those whose spins are the pattern's are queue[:n]; those that have the opposite ones queue[n:m].  The
        queue must have room for one more than there are walkers.
    """
    n = 0
    for walker in range(lane, len(pending)):  # no branches, which nobody could predict
        queue[n] = walker
        n += int(pending[walker] and sign[walker] > 0.0)
    same = n
    for walker in range(lane, len(pending)):
        queue[n] = walker
        n += int(pending[walker] and sign[walker] < 0.0)
    for walker in range(lane, len(pending)):
        pending[walker] = pending[walker] and sign[walker] == 0.0
    return same, n


@kernel
def pattern_ratios(
    rows: Floats, factors: Floats, tanh: Floats, queue: Integers, first: int, last: int, way: int, out: Floats
) -> None:
    """Ratios of the walkers queue[first:last], which all go this way, into ``out``, (2, L); two at a time."""
    factor = (factors[way, 0], factors[way, 1])
    for i in range(first, last, 2):
        a, b = queue[i], queue[min(i + 1, last - 1)]
        one, other = ratio_pair(rows, way, tanh, a, b)
        out[0, a], out[1, a] = complex_product(one, factor)
        out[0, b], out[1, b] = complex_product(other, factor)


@kernel
def set_ratios(
    table: Floats,
    visible: Floats,
    spins: Spins,
    tanh: Floats,
    sites: Integers,
    pending: Booleans,
    rows: Floats,
    sign: Floats,
    out: Floats,
) -> None:
    """Ratios of the pending walkers for one set into ``out``, (2, L), 0 for the others; then none is pending."""
    width, factors, queue = len(pending), np.empty((3, 2)), np.empty(len(pending) + 1, dtype=np.int64)
    for walker in range(width):
        out[0, walker] = out[1, walker] = 0.0
    for lane in range(width):
        if not pending[lane]:
            continue
        # C, S and -S of the pattern of this walker, (3, n_planes, size), from |X| rows of exp(+-2 W)
        compose_rows(table, spins, sites, lane, rows)
        # all walkers that have it: queue[:same], and queue[same:both] with the opposite spins
        relative_signs(spins, sites, lane, sign)
        visible_factors(visible, spins, sites, lane, factors)
        same, both = line_up(pending, sign, lane, queue)
        # exp(-2 sum a s) prod_j (C_j - T_j S_j) of the former, with -S of the latter
        pattern_ratios(rows, factors, tanh, queue, 0, same, 1, out)
        pattern_ratios(rows, factors, tanh, queue, same, both, 2, out)


@kernel
def is_bounded(growth: Floats, largest: float, sites: Integers) -> bool:
    """True where flipping the set changes ln |psi| by at most ``largest``."""
    total = 0.0
    for m in range(len(sites)):
        total += growth[sites[m]]
    return total <= largest


@kernel
def ratios(
    table: Floats,
    visible: Floats,
    growth: Floats,
    largest: float,
    spins: Spins,
    lookup: Floats,
    offsets: Integers,
    sites: Integers,
    wanted: Booleans,
    out: Floats,
) -> bool:
    """psi(s')/psi(s) of every set and walker, 0 where not wanted.

    Args:
        table, visible, spins, lookup: see the top of this file.
        growth: (N,), bound on the change of ln |psi| by flipping the site.
        largest: bound that a set must keep.
        offsets, sites: the sets, as in :class:`pvmc.spins.flips.FlipSets`.
        wanted: bool (n_flips, L).
        out: float64 (n_flips, L, n_planes), written.

    Returns:
        False when plain products cannot be trusted; then ``out`` is meaningless.
    """
    n_planes, n_hidden, width = table.shape[2], table.shape[3], spins.shape[1]
    if is_saturated(lookup, n_planes):
        return False
    # T by walkers: (n_planes * M, L) -> (L, n_planes, size)
    tanh = new_walkers(width, n_planes, n_hidden)
    read_lookup(lookup, tanh)
    rows = new_pattern(n_planes, n_hidden)
    sign, pending, found = np.empty(width), np.empty(width, dtype=np.bool_), np.empty((2, width))
    for k in range(len(offsets) - 1):
        members = sites[offsets[k] : offsets[k + 1]]
        if not is_bounded(growth, largest, members):
            return False
        for walker in range(width):
            pending[walker] = wanted[k, walker]
        set_ratios(table, visible, spins, tanh, members, pending, rows, sign, found)
        n_lost = 0
        for plane in range(n_planes):
            for walker in range(width):
                value = found[plane, walker]
                out[k, walker, plane] = value
                n_lost += int(not abs(value) < np.inf)  # NaN too
        if n_lost > 0:
            return False
    return True


@kernel
def metropolis(
    table: Floats,
    visible: Floats,
    growth: Floats,
    largest: float,
    spins: Spins,
    lookup: Floats,
    offsets: Integers,
    sites: Integers,
    conserving: Booleans,
    chosen: Integers,
    uniforms: Floats,
    accepted: Integers,
) -> tuple[int, bool]:
    """Metropolis steps until all are done or plain products can no longer be trusted.

    Args:
        table, visible, spins, lookup: see the top of this file; spins and lookup are updated.
        growth, largest, offsets, sites: as in :func:`ratios`.
        conserving: bool (n_flips,).
        chosen: int64 (n_steps,).
        uniforms: float64 (n_steps, L).
        accepted: int64 (L,), counted up.

    Returns:
        The number of steps done (the rest has left no trace in the spins), and whether the lookup can be trusted.
    """
    n_planes, n_hidden, width = table.shape[2], table.shape[3], spins.shape[1]
    if is_saturated(lookup, n_planes):
        return 0, False
    # T by walkers: (n_planes * M, L) -> (L, n_planes, size)
    rows, tanh = new_pattern(n_planes, n_hidden), new_walkers(width, n_planes, n_hidden)
    read_lookup(lookup, tanh)
    sign, pending, factors = np.empty(width), np.empty(width, dtype=np.bool_), np.empty((3, 2))
    queue, found = np.empty(width + 1, dtype=np.int64), np.empty((2, width))
    done, fine = 0, True
    while done < len(chosen) and fine:
        k = chosen[done]
        members = sites[offsets[k] : offsets[k + 1]]
        if not is_bounded(growth, largest, members):
            break
        # Every walker that may flip X, pattern by pattern: ratios, test, and T' of those that accept.
        propose(spins, members, conserving[k], pending)
        for lane in range(width):
            if not pending[lane]:
                continue
            # as in set_ratios; a function for both would cost as much as some hidden units
            compose_rows(table, spins, members, lane, rows)
            relative_signs(spins, members, lane, sign)
            visible_factors(visible, spins, members, lane, factors)
            same, both = line_up(pending, sign, lane, queue)
            pattern_ratios(rows, factors, tanh, queue, 0, same, 1, found)
            pattern_ratios(rows, factors, tanh, queue, same, both, 2, found)
            for i in range(both):
                walker, way = queue[i], 1 if i < same else 2
                real, imaginary = found[0, walker], found[1, walker]
                weight = real * real + imaginary * imaginary
                # A walker that leaves a node of psi has an overflowing weight, be it inf or NaN.
                if accepts(uniforms[done, walker], weight if weight == weight else np.inf):
                    accepted[walker] += 1
                    fine = update(rows, way, tanh, walker) and fine
                    flip(spins, members, walker)
        done += 1
    write_lookup(tanh, lookup)
    return done, fine


@kernel
def move(table: Floats, spins: Spins, lookup: Floats, sites: Integers, accept: Booleans) -> bool:
    """Flip the sites in the accepting walkers, spins and lookup updated; False where some T cannot be trusted then."""
    n_planes, n_hidden, width = table.shape[2], table.shape[3], spins.shape[1]
    rows, tanh = new_pattern(n_planes, n_hidden), new_walkers(width, n_planes, n_hidden)
    read_lookup(lookup, tanh)
    fine = move_walkers(table, spins, tanh, sites, accept.copy(), rows, np.empty(width))
    write_lookup(tanh, lookup)
    return fine


@kernel
def move_walkers(
    table: Floats, spins: Spins, tanh: Floats, sites: Integers, pending: Booleans, rows: Floats, sign: Floats
) -> bool:
    """As :func:`move`, of T by walkers, (L, n_planes, size); then none is pending."""
    width, fine = len(pending), True
    for lane in range(width):
        if not pending[lane]:
            continue
        compose_rows(table, spins, sites, lane, rows)
        relative_signs(spins, sites, lane, sign)
        for walker in range(lane, width):
            if pending[walker] and sign[walker] != 0.0:
                pending[walker] = False
                fine = update(rows, 1 if sign[walker] > 0.0 else 2, tanh, walker) and fine
                flip(spins, sites, walker)
    return fine
