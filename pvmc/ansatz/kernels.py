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
from typing import TypeAlias

import numpy as np

from pvmc.ansatz.base import Booleans, Floats, Integers, Spins
from pvmc.ansatz.vector_math import CACHE_LINE, kernel

Pair: TypeAlias = tuple[float, float]
"""Real and imaginary part."""

SMALLEST_GAP = 4e-9
"""1 - |tanh theta| below which (|Re theta| > 10) T has lost so many digits of theta that the kernels refuse."""

LARGEST_LOG_RATIO = 300.0
"""Bound on |ln |ratio|| up to which plain products, and their squares, stay inside the range of float64."""

LANES = 32
"""Walkers that :func:`feature_derivatives` takes at a time: few enough for the first-level cache to hold its rows."""


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
def multiply_real(cosh: Floats, sinh: Floats, lookup: Floats, sign: Floats, product: Floats) -> None:
    """product *= prod_j (C_j - sign T_j S_j).  Four units at a time: the product is loaded and stored once for them."""
    n_hidden = len(cosh)
    grouped = n_hidden - n_hidden % 4
    for j in range(0, grouped, 4):
        c0, c1, c2, c3 = cosh[j], cosh[j + 1], cosh[j + 2], cosh[j + 3]
        s0, s1, s2, s3 = sinh[j], sinh[j + 1], sinh[j + 2], sinh[j + 3]
        t0, t1, t2, t3 = lookup[j], lookup[j + 1], lookup[j + 2], lookup[j + 3]
        for walker in range(len(sign)):
            s = sign[walker]
            first = (c0 - s * t0[walker] * s0) * (c1 - s * t1[walker] * s1)
            second = (c2 - s * t2[walker] * s2) * (c3 - s * t3[walker] * s3)
            product[walker] *= first * second
    for j in range(grouped, n_hidden):
        c0, s0, t0 = cosh[j], sinh[j], lookup[j]
        for walker in range(len(sign)):
            product[walker] *= c0 - sign[walker] * t0[walker] * s0


@kernel
def complex_factor(sign: float, real: float, imaginary: float, cosh: complex, sinh: complex) -> Pair:
    """C - sign T S."""
    real, imaginary = sign * real, sign * imaginary
    return (
        cosh.real - real * sinh.real + imaginary * sinh.imag,
        cosh.imag - real * sinh.imag - imaginary * sinh.real,
    )


@kernel
def complex_product(x: Pair, y: Pair) -> Pair:
    """x y of two (real, imaginary) pairs."""
    return x[0] * y[0] - x[1] * y[1], x[0] * y[1] + x[1] * y[0]


@kernel
def multiply_complex(cosh: Floats, sinh: Floats, lookup: Floats, sign: Floats, real: Floats, imaginary: Floats) -> None:
    """real + i imaginary *= prod_j (C_j - sign T_j S_j); C and S (2, M)."""
    n_hidden = cosh.shape[1]
    grouped = n_hidden - n_hidden % 4
    for j in range(0, grouped, 4):
        c0, s0 = complex(cosh[0, j], cosh[1, j]), complex(sinh[0, j], sinh[1, j])
        c1, s1 = complex(cosh[0, j + 1], cosh[1, j + 1]), complex(sinh[0, j + 1], sinh[1, j + 1])
        c2, s2 = complex(cosh[0, j + 2], cosh[1, j + 2]), complex(sinh[0, j + 2], sinh[1, j + 2])
        c3, s3 = complex(cosh[0, j + 3], cosh[1, j + 3]), complex(sinh[0, j + 3], sinh[1, j + 3])
        x0, x1, x2, x3 = lookup[j], lookup[j + 1], lookup[j + 2], lookup[j + 3]
        k = n_hidden + j
        y0, y1, y2, y3 = lookup[k], lookup[k + 1], lookup[k + 2], lookup[k + 3]
        for walker in range(len(sign)):
            s = sign[walker]
            f0 = complex_factor(s, x0[walker], y0[walker], c0, s0)
            f1 = complex_factor(s, x1[walker], y1[walker], c1, s1)
            f2 = complex_factor(s, x2[walker], y2[walker], c2, s2)
            f3 = complex_factor(s, x3[walker], y3[walker], c3, s3)
            group = complex_product(complex_product(f0, f1), complex_product(f2, f3))
            real[walker], imaginary[walker] = complex_product((real[walker], imaginary[walker]), group)
    for j in range(grouped, n_hidden):
        c0, s0 = complex(cosh[0, j], cosh[1, j]), complex(sinh[0, j], sinh[1, j])
        x0, y0 = lookup[j], lookup[n_hidden + j]
        for walker in range(len(sign)):
            f0 = complex_factor(sign[walker], x0[walker], y0[walker], c0, s0)
            real[walker], imaginary[walker] = complex_product((real[walker], imaginary[walker]), f0)


@kernel
def update_real(cosh: Floats, sinh: Floats, lookup: Floats, sign: Floats, accept: Booleans, gap: Floats) -> None:
    """T of the accepting walkers after the flip; ``gap`` keeps the smallest 1 - |T| of each walker."""
    for j in range(len(cosh)):
        c, s, row = cosh[j], sinh[j], lookup[j]
        for walker in range(len(sign)):
            signed = sign[walker] * row[walker]
            moved = sign[walker] * (c * signed - s) / (c - signed * s)
            value = moved if accept[walker] else row[walker]
            row[walker] = value
            distance = 1.0 - abs(value)
            gap[walker] = distance if distance < gap[walker] else gap[walker]


@kernel
def update_complex(cosh: Floats, sinh: Floats, lookup: Floats, sign: Floats, accept: Booleans, gap: Floats) -> None:
    """As :func:`update_real`; the gap is the larger of |1 - |Re T|| and |Im T|."""
    n_hidden = cosh.shape[1]
    for j in range(n_hidden):
        c, s = complex(cosh[0, j], cosh[1, j]), complex(sinh[0, j], sinh[1, j])
        x, y = lookup[j], lookup[n_hidden + j]
        for walker in range(len(sign)):
            real, imaginary = sign[walker] * x[walker], sign[walker] * y[walker]
            below = complex_factor(1.0, real, imaginary, c, s)
            above = (
                c.real * real - c.imag * imaginary - s.real,
                c.real * imaginary + c.imag * real - s.imag,
            )
            moved = complex_product(above, (below[0], -below[1]))
            inverse = sign[walker] / (below[0] * below[0] + below[1] * below[1])
            real = moved[0] * inverse if accept[walker] else x[walker]
            imaginary = moved[1] * inverse if accept[walker] else y[walker]
            x[walker], y[walker] = real, imaginary
            distance, height = abs(1.0 - abs(real)), abs(imaginary)
            distance = distance if distance > height else height
            gap[walker] = distance if distance < gap[walker] else gap[walker]


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
        multiply_complex(rows[0], rows[1], lookup, sign, product[0], product[1])


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


@kernel
def aligned_zeros(size: int) -> Floats:
    """A vector of zeros that starts on a cache line."""
    memory = np.zeros(size + CACHE_LINE // 8)
    start = (-memory.ctypes.data % CACHE_LINE) // 8
    return memory[start : start + size]


@kernel
def pack_images(spins: Floats, permutations: Integers, site: int, images: Floats) -> None:
    """The rows spins[perm[g, i]] of four sites i from ``site`` (the last one repeated at the end) side by side.

    Args:
        spins: (N, LANES).
        permutations: (|G|, N).
        site: the first of the four.
        images: rows (g, i) of LANES, written.
    """
    last = permutations.shape[1] - 1
    second, third, fourth = min(site + 1, last), min(site + 2, last), min(site + 3, last)
    for g in range(len(permutations)):
        target, row = images[4 * g * LANES :], permutations[g]
        s0, s1, s2, s3 = spins[row[site]], spins[row[second]], spins[row[third]], spins[row[fourth]]
        for lane in range(LANES):
            target[lane] = s0[lane]
            target[LANES + lane] = s1[lane]
            target[2 * LANES + lane] = s2[lane]
            target[3 * LANES + lane] = s3[lane]


@kernel
def correlate(first: Floats, second: Floats, images: Floats, total: Floats) -> None:
    """total = sum_g T_g s_gi of two rows of T and four sites i: eight sums share what is loaded, for four g at a time.

    Args:
        first, second: T, rows g of LANES; as many as a multiple of four.
        images: spins, rows (g, i) of LANES.
        total: rows (i, which T) of LANES, written.
    """
    total[:] = 0.0
    for g in range(0, len(first) // LANES, 4):
        t, u, s = first[g * LANES :], second[g * LANES :], images[4 * g * LANES :]
        for k in range(LANES):
            t0, t1, t2, t3 = t[k], t[LANES + k], t[2 * LANES + k], t[3 * LANES + k]
            u0, u1, u2, u3 = u[k], u[LANES + k], u[2 * LANES + k], u[3 * LANES + k]
            a, b, c, d = s[k], s[4 * LANES + k], s[8 * LANES + k], s[12 * LANES + k]
            total[k] += (t0 * a + t1 * b) + (t2 * c + t3 * d)
            total[LANES + k] += (u0 * a + u1 * b) + (u2 * c + u3 * d)
            a, b, c, d = s[LANES + k], s[5 * LANES + k], s[9 * LANES + k], s[13 * LANES + k]
            total[2 * LANES + k] += (t0 * a + t1 * b) + (t2 * c + t3 * d)
            total[3 * LANES + k] += (u0 * a + u1 * b) + (u2 * c + u3 * d)
            a, b, c, d = s[2 * LANES + k], s[6 * LANES + k], s[10 * LANES + k], s[14 * LANES + k]
            total[4 * LANES + k] += (t0 * a + t1 * b) + (t2 * c + t3 * d)
            total[5 * LANES + k] += (u0 * a + u1 * b) + (u2 * c + u3 * d)
            a, b, c, d = s[3 * LANES + k], s[7 * LANES + k], s[11 * LANES + k], s[15 * LANES + k]
            total[6 * LANES + k] += (t0 * a + t1 * b) + (t2 * c + t3 * d)
            total[7 * LANES + k] += (u0 * a + u1 * b) + (u2 * c + u3 * d)


@kernel
def pack_tanh(lookup: Floats, start: int, width: int, order: int, size: int, tanh: Floats) -> None:
    """T of the walkers from ``start``, as rows g of LANES, ``size`` numbers for every feature and plane."""
    for j in range(len(lookup)):
        target, source = tanh[j // order * size + j % order * LANES :], lookup[j, start : start + width]
        for lane in range(width):
            target[lane] = source[lane]


@kernel
def feature_derivatives(lookup: Floats, spins: Floats, permutations: Integers, out: Floats) -> None:
    """O_{w_fi} = sum_g T_fg s[perm[g, i]], without an array of all N M products.

    A small matrix product for every walker, done for LANES walkers at a time on rows packed side by side.  Zeros fill
    the group up to a multiple of four elements, and the features up to an even number.

    Args:
        lookup: float64 (n_planes * F * |G|, L).
        spins: float64 (N, L).
        permutations: int64 (|G|, N).
        out: float64 (F * N, L, n_planes), written.
    """
    order, n_sites = permutations.shape
    n_rows = lookup.shape[0] // order
    n_features = n_rows // out.shape[2]
    size = (order + -order % 4) * LANES
    tanh, images, total = aligned_zeros((n_rows + 1) * size), aligned_zeros(4 * size), aligned_zeros(8 * LANES)
    part = np.zeros((n_sites, LANES))
    for start in range(0, spins.shape[1], LANES):
        width = min(LANES, spins.shape[1] - start)
        part[:, :width] = spins[:, start : start + width]
        pack_tanh(lookup, start, width, order, size, tanh)
        for site in range(0, n_sites, 4):
            pack_images(part, permutations, site, images)
            for row in range(0, n_rows, 2):
                correlate(tanh[row * size : (row + 1) * size], tanh[(row + 1) * size :], images, total)
                for r in range(row, min(row + 2, n_rows)):
                    for i in range(min(4, n_sites - site)):
                        target = out[r % n_features * n_sites + site + i, start : start + width]
                        source, plane = total[(2 * i + r - row) * LANES :], r // n_features
                        for lane in range(width):
                            target[lane, plane] = source[lane]
