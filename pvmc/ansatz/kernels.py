"""Compiled kernels of the restricted Boltzmann machine: products over hidden units, no transcendental functions.

Flipping the spins of a set X changes theta_j by -D_j, D_j = 2 sum_{i in X} s_i W_ij, and

    psi(s')/psi(s) = exp(-2 sum_{i in X} a_i s_i) prod_j (cosh D_j - T_j sinh D_j),        T_j = tanh theta_j;
    T'_j = (C T_j - S) / (C - T_j S),                                                      C = cosh D_j, S = sinh D_j.

All walkers of a block (the last axis, "lanes") try the same set.  Walkers with the same spins on it up to a common sign
share C, and S up to that sign: a **pattern**.  C and S of a pattern are composed from the rows exp(+-2 W_i) of its
sites and then used by all lanes, one vector instruction for several walkers.

Numbers are kept in **planes** of float64: one for real weights; two, real and imaginary, for complex ones.  Shapes:

    table    (N, 2, n_planes, M)     exp(2 W_i) and exp(-2 W_i)
    visible  (N, n_planes)           2 a_i
    lookup   (n_planes * M, L)       T, imaginary plane below the real one
    rows     (2, n_planes, M)        C and S of one pattern
    product  (n_planes, L)           the running ratio

Plain products are exact to rounding while T is not saturated and no product can overflow (``growth`` bounds its
logarithm); where that fails the kernels refuse, and :mod:`pvmc.ansatz.extended` takes over.
"""

from __future__ import annotations

import cmath

import numpy as np

from pvmc.ansatz.base import Booleans, Floats, Integers, Spins
from pvmc.ansatz.hidden_units import multiply_complex, multiply_real, update_complex, update_real
from pvmc.ansatz.vector_math import kernel

SMALLEST_GAP = 4e-9
"""1 - |tanh theta| below which (|Re theta| > 10) T has lost so many digits of theta that the kernels refuse."""

LARGEST_LOG_RATIO = 300.0
"""Bound on |ln |ratio|| up to which plain products, and their squares, stay inside the range of float64."""


@kernel
def scale_row(row: Floats, factor: Floats) -> None:
    """row *= factor, elementwise, both (n_planes, M)."""
    if row.shape[0] == 1:
        for j in range(row.shape[1]):
            row[0, j] *= factor[0, j]
    else:
        for j in range(row.shape[1]):
            real = row[0, j] * factor[0, j] - row[1, j] * factor[1, j]
            row[1, j] = row[0, j] * factor[1, j] + row[1, j] * factor[0, j]
            row[0, j] = real


@kernel
def compose_rows(table: Floats, spins: Spins, sites: Integers, lane: int, rows: Floats) -> None:
    """C and S for flipping ``sites`` in the given lane: exp(+-D) are products of table rows."""
    grow, fall = rows[0], rows[1]
    up = 0 if spins[sites[0], lane] > 0 else 1
    for plane in range(rows.shape[1]):
        for j in range(rows.shape[2]):
            grow[plane, j] = table[sites[0], up, plane, j]
            fall[plane, j] = table[sites[0], 1 - up, plane, j]
    for m in range(1, len(sites)):
        up = 0 if spins[sites[m], lane] > 0 else 1
        scale_row(grow, table[sites[m], up])
        scale_row(fall, table[sites[m], 1 - up])
    for plane in range(rows.shape[1]):
        for j in range(rows.shape[2]):
            plus, minus = grow[plane, j], fall[plane, j]
            grow[plane, j] = 0.5 * (plus + minus)
            fall[plane, j] = 0.5 * (plus - minus)


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
def start_product(visible: Floats, spins: Spins, sites: Integers, lane: int, sign: Floats, product: Floats) -> None:
    """The visible-bias factor exp(-2 sum a_i s_i) of every walker."""
    exponent = 0j
    for m in range(len(sites)):
        site = sites[m]
        spin = spins[site, lane]
        exponent += complex(visible[site, 0] * spin, visible[site, 1] * spin if visible.shape[1] == 2 else 0.0)
    same, opposite = cmath.exp(-exponent), cmath.exp(exponent)
    for walker in range(len(sign)):
        product[0, walker] = same.real if sign[walker] > 0.0 else opposite.real
    if product.shape[0] == 2:
        for walker in range(len(sign)):
            product[1, walker] = same.imag if sign[walker] > 0.0 else opposite.imag


@kernel
def pattern_ratios(
    table: Floats,
    visible: Floats,
    spins: Spins,
    lookup: Floats,
    sites: Integers,
    lane: int,
    rows: Floats,
    sign: Floats,
    product: Floats,
) -> None:
    """Ratios of all walkers that have the pattern of ``lane`` on the set; of the others (sign 0) nonsense."""
    compose_rows(table, spins, sites, lane, rows)
    relative_signs(spins, sites, lane, sign)
    start_product(visible, spins, sites, lane, sign, product)
    if rows.shape[1] == 1:
        multiply_real(rows[0, 0], rows[1, 0], lookup, sign, product[0])
    else:
        multiply_complex(rows[0], rows[1], lookup, sign, product)


@kernel
def measure_gap(lookup: Floats, n_planes: int, gap: Floats) -> None:
    """The smallest distance of every walker's T from saturation, as in the updates."""
    for walker in range(len(gap)):
        gap[walker] = 1.0
    n_hidden = lookup.shape[0] // n_planes
    for j in range(n_hidden):
        x = lookup[j]
        y = lookup[j + (n_planes - 1) * n_hidden]
        for walker in range(len(gap)):
            distance = abs(1.0 - abs(x[walker]))
            height = abs(y[walker]) if n_planes == 2 else 0.0
            distance = distance if distance > height else height
            gap[walker] = distance if distance < gap[walker] else gap[walker]


@kernel
def is_bounded(growth: Floats, largest: float, sites: Integers) -> bool:
    """Whether flipping the set changes ln |psi| by at most ``largest``."""
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
        offsets, sites: the sets, as in :class:`pvmc.flips.FlipSets`.
        wanted: bool (n_flips, L).
        out: float64 (n_flips, L, n_planes), written.

    Returns:
        False when plain products cannot be trusted; then ``out`` is meaningless.
    """
    n_planes, n_hidden, width = table.shape[2], table.shape[3], spins.shape[1]
    rows = np.empty((2, n_planes, n_hidden))
    sign = np.empty(width)
    product = np.empty((n_planes, width))
    pending = np.empty(width, dtype=np.bool_)
    measure_gap(lookup, n_planes, sign)
    if not sign.min() > SMALLEST_GAP:
        return False
    for k in range(len(offsets) - 1):
        members = sites[offsets[k] : offsets[k + 1]]
        for walker in range(width):
            pending[walker] = wanted[k, walker]
            for plane in range(n_planes):
                out[k, walker, plane] = 0.0
        if not is_bounded(growth, largest, members):
            return False
        for lane in range(width):
            if not pending[lane]:
                continue
            pattern_ratios(table, visible, spins, lookup, members, lane, rows, sign, product)
            for walker in range(width):
                if pending[walker] and sign[walker] != 0.0:
                    pending[walker] = False
                    for plane in range(n_planes):
                        if not np.isfinite(product[plane, walker]):
                            return False
                        out[k, walker, plane] = product[plane, walker]
    return True


@kernel
def propose(spins: Spins, sites: Integers, conserving: bool, pending: Booleans) -> None:
    """Mark the walkers that may flip the set: all, or those whose spins on it sum to zero."""
    for walker in range(len(pending)):
        total = 0
        if conserving:
            for m in range(len(sites)):
                total += spins[sites[m], walker]
        pending[walker] = total == 0


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
) -> int:
    """Metropolis steps until all are done or plain products can no longer be trusted.

    Args:
        table, visible, spins, lookup: see the top of this file; spins and lookup are updated.
        growth, largest, offsets, sites: as in :func:`ratios`.
        conserving: bool (n_flips,).
        chosen: int64 (n_steps,).
        uniforms: float64 (n_steps, L).
        accepted: int64 (L,), counted up.

    Returns:
        The number of steps done; the rest has left no trace in spins and lookup.
    """
    n_planes, n_hidden, width = table.shape[2], table.shape[3], spins.shape[1]
    rows = np.empty((2, n_planes, n_hidden))
    sign = np.empty(width)
    product = np.empty((n_planes, width))
    gap = np.empty(width)
    pending = np.empty(width, dtype=np.bool_)
    accept = np.empty(width, dtype=np.bool_)
    decided = np.empty(width, dtype=np.bool_)
    measure_gap(lookup, n_planes, gap)
    for t in range(len(chosen)):
        k = chosen[t]
        members = sites[offsets[k] : offsets[k + 1]]
        if not (gap.min() > SMALLEST_GAP and is_bounded(growth, largest, members)):
            return t
        propose(spins, members, conserving[k], pending)
        for lane in range(width):
            if not pending[lane]:
                continue
            pattern_ratios(table, visible, spins, lookup, members, lane, rows, sign, product)
            any_accepted = False
            for walker in range(width):
                decided[walker] = pending[walker] and sign[walker] != 0.0
                weight = product[0, walker] * product[0, walker]
                if n_planes == 2:
                    weight += product[1, walker] * product[1, walker]
                # not (u >= weight): a walker that leaves a node of psi has an overflowing weight, be it inf or NaN.
                accept[walker] = decided[walker] and not uniforms[t, walker] >= weight
                any_accepted |= accept[walker]
            if any_accepted:
                if n_planes == 1:
                    update_real(rows[0, 0], rows[1, 0], lookup, sign, accept, gap)
                else:
                    update_complex(rows[0], rows[1], lookup, sign, accept, gap)
            for walker in range(width):
                pending[walker] = pending[walker] and not decided[walker]
                if accept[walker]:
                    accepted[walker] += 1
                    for m in range(len(members)):
                        spins[members[m], walker] = -spins[members[m], walker]
    return len(chosen)


@kernel
def move(table: Floats, spins: Spins, lookup: Floats, sites: Integers, accept: Booleans) -> float:
    """Flip the sites in the accepting walkers, spins and lookup updated; the smallest gap that T has then."""
    n_planes, n_hidden, width = table.shape[2], table.shape[3], spins.shape[1]
    rows, sign, gap = np.empty((2, n_planes, n_hidden)), np.empty(width), np.ones(width)
    pending, moving = accept.copy(), np.empty(width, dtype=np.bool_)
    for lane in range(width):
        if not pending[lane]:
            continue
        compose_rows(table, spins, sites, lane, rows)
        relative_signs(spins, sites, lane, sign)
        for walker in range(width):
            moving[walker] = pending[walker] and sign[walker] != 0.0
            pending[walker] = pending[walker] and not moving[walker]
        if n_planes == 1:
            update_real(rows[0, 0], rows[1, 0], lookup, sign, moving, gap)
        else:
            update_complex(rows[0], rows[1], lookup, sign, moving, gap)
        for walker in range(width):
            if moving[walker]:
                for m in range(len(sites)):
                    spins[sites[m], walker] = -spins[sites[m], walker]
    return gap.min()
