"""Compiled kernels of a projected RBM: Metropolis steps, ratios, look-ups and log-derivatives.

Arrays and symbols are those of :mod:`pvmc.wavefunctions.projection.image_products`.
"""

from __future__ import annotations

import numpy as np

from pvmc.numerics.accept import accepts, flip, may_flip
from pvmc.numerics.arrays import Booleans, Floats, Integers, Spins
from pvmc.numerics.kernels import inlined, kernel
from pvmc.numerics.simd import LANES
from pvmc.numerics.special import aligned_zeros, exponential, sine_cosine_products
from pvmc.wavefunctions.projection.image_products import (
    FARTHEST,
    Images,
    Work,
    compose,
    evaluate,
    fill_row,
    fold,
    follow,
    move,
    new_work,
    quotient,
    read_logs,
    renew,
    set_omega,
    set_scales,
    top_of,
    view_products,
    weighted_sum,
    within,
)
from pvmc.wavefunctions.rbm.hidden_units import transpose

HUGE = 1e100
"""(X - beta)/(X + beta) is 1 from this |X| on."""


# Metropolis steps -----------------------------------------------------------------------------------------------------


@kernel
def metropolis(
    images: Images,
    spins: Spins,
    lookup: Floats,
    logs: Floats,
    offsets: Integers,
    sites: Integers,
    conserving: Booleans,
    chosen: Integers,
    uniforms: Floats,
    accepted: Integers,
    done: Integers,
) -> None:
    """Metropolis steps of each walker until all are done or its products can no longer be trusted.

    Args:
        images: the tables.
        spins, lookup, logs: the walkers; all updated, but of walkers that stop early only the spins.
        offsets, sites, conserving, chosen, uniforms: as in :func:`pvmc.wavefunctions.rbm.patterns.metropolis`.
        accepted: int64 (L,), counted up.
        done: int64 (L,), written: the number of steps done; the rest has left no trace in the spins.
    """
    width, n_planes, n_hidden = spins.shape[1], images.n_planes, images.n_hidden
    n_views, partners = images.slots.shape
    rows, length = n_views * n_planes, n_views * n_planes * images.size
    x, work = aligned_zeros(LANES * length), new_work(images, n_views, 1)
    filled = len(work.logs) // 2
    for first in range(0, width, LANES):
        # X of LANES walkers: (V, n_planes, M, L) -> (LANES, V, n_planes, size)
        n_here = min(LANES, width - first)
        for row in range(rows):
            start = row * n_hidden * width + first
            transpose(lookup, start, width, n_hidden, n_here, x, row * images.size, length)
        for walker in range(first, first + n_here):
            place = (walker - first) * length
            read_logs(images, logs, walker, work.logs)
            steps = walk(images, x, place, spins, walker, offsets, sites, conserving, chosen, uniforms, work)
            done[walker], accepted[walker] = steps[0], accepted[walker] + steps[1]
            follow(work)
            for view in range(n_views):
                for partner in range(partners):
                    slot, term = view * partners + partner, images.slots[view, partner]
                    logs[0, term, walker], logs[1, term, walker] = work.logs[slot], work.logs[filled + slot]
        for row in range(rows):
            start = row * n_hidden * width + first
            transpose(x, row * images.size, length, n_here, n_hidden, lookup, start, width)


@kernel
def walk(
    images: Images,
    x: Floats,
    place: int,
    spins: Spins,
    walker: int,
    offsets: Integers,
    sites: Integers,
    conserving: Booleans,
    chosen: Integers,
    uniforms: Floats,
    work: Work,
) -> tuple[int, int]:
    """The steps of one walker: how many are done, and how many were accepted."""
    n_accepted, n_terms = 0, images.slots.size
    filled = len(work.omega) // 2
    if not renew(images, x, place, spins, walker, work):
        return 0, 0
    before = weighted_sum(work.omega, work.now, 0, filled)
    for t in range(len(chosen)):
        first, last = offsets[chosen[t]], offsets[chosen[t] + 1]
        members = sites[first:last]
        if not may_flip(spins, members, conserving[chosen[t]], walker):
            continue
        # |psi_P(s')/psi_P(s)|^2, with psi_P = sum_t omega_t R_t
        evaluate(images, x, place, spins, walker, sites, first, last, work, work.new)
        after = weighted_sum(work.omega, work.new, 0, filled)
        weight = (after[0] ** 2 + after[1] ** 2) / (before[0] ** 2 + before[1] ** 2)
        if not (weight < np.inf):
            return t, n_accepted
        if not accepts(uniforms[t, walker], weight):
            continue
        if not within(work.new, work.first, n_terms):
            # far from where omega was made: take omega of here, and look again
            follow(work)
            if not renew(images, x, place, spins, walker, work):
                return t, n_accepted
            evaluate(images, x, place, spins, walker, sites, first, last, work, work.new)
            after = weighted_sum(work.omega, work.new, 0, filled)
            if not within(work.new, work.first, n_terms):
                return t, n_accepted
        move(images, x, place, spins, walker, sites, first, last, work.row)
        flip(spins, members, walker)
        work.now[:] = work.new
        before = after
        n_accepted += 1
    return len(chosen), n_accepted


# Ratios ---------------------------------------------------------------------------------------------------------------


@kernel
def line_up(
    spins: Spins, offsets: Integers, sites: Integers, wanted: Booleans, queue: Integers, leads: Booleans
) -> Integers:
    """The walkers of each set, those with the same spins on it side by side; how many, int64 (n_flips,).

    Args:
        spins, offsets, sites, wanted: as in :func:`ratios`.
        queue: int64 (n_flips, L), written: the walkers.
        leads: bool (n_flips, L), written: True where the spins on the set are not those of the walker before.
    """
    counts = np.zeros(len(offsets) - 1, dtype=np.int64)
    for k in range(len(counts)):
        pending = wanted[k].copy()
        for lead in range(len(pending)):
            begins = True
            for walker in range(lead, len(pending)):
                same = pending[lead] and pending[walker]
                for m in range(offsets[k], offsets[k + 1]):
                    same = same and spins[sites[m], walker] == spins[sites[m], lead]
                if same:
                    queue[k, counts[k]], leads[k, counts[k]] = walker, begins
                    counts[k] += 1
                    begins = False
                    if walker != lead:
                        pending[walker] = False
            pending[lead] = False
    return counts


@kernel
def ratios(
    images: Images,
    spins: Spins,
    lookup: Floats,
    logs: Floats,
    offsets: Integers,
    sites: Integers,
    wanted: Booleans,
    out: Floats,
) -> bool:
    """psi_P(s')/psi_P(s) of every set and walker, 0 where not wanted.

    Args:
        images: the tables.
        spins, lookup, logs: the walkers.
        offsets, sites: the sets, as in :class:`pvmc.spins.flips.FlipSets`.
        wanted: bool (n_flips, L).
        out: float64 (n_flips, L, n_planes of psi), written.

    Returns:
        False when products cannot be trusted; then ``out`` is meaningless.
    """
    width, n_planes, n_hidden, size = spins.shape[1], images.n_planes, images.n_hidden, images.size
    n_views, partners = images.slots.shape
    queue, leads = np.empty(wanted.shape, dtype=np.int64), np.empty(wanted.shape, dtype=np.bool_)
    counts = line_up(spins, offsets, sites, wanted, queue, leads)
    own, whole = new_work(images, n_views, 0), np.zeros((2, width))
    found, tops = np.zeros((len(counts), width, 2)), np.empty(width)
    for walker in range(width):
        read_logs(images, logs, walker, own.logs)
        tops[walker] = top_of(own.logs)
    # LANES terms at a time: their X of all walkers, and F of a set, stay in the cache
    step, stride = max(LANES // partners, 1), n_planes * size
    block = step * stride
    work, beta, shape = new_work(images, width * step, 0), images.beta, (n_planes, size)
    scales, now, lanes, turned = work.scales, work.now, work.lanes, work.turned
    rows, x = aligned_zeros(block), aligned_zeros(width * block)
    for start in range(0, n_views, step):
        n_here = min(step, n_views - start)
        for view in range(n_here):
            for plane in range(n_planes):
                row, place = ((start + view) * n_planes + plane) * n_hidden * width, view * stride + plane * size
                transpose(lookup, row, width, n_hidden, width, x, place, block)
        fill_row(images, rows)
        work.logs[: width * LANES], work.logs[width * LANES :] = -np.inf, 0.0
        for walker in range(width):
            for slot in range(n_here * partners):
                term, place = images.slots[start + slot // partners, slot % partners], walker * LANES + slot
                work.logs[place] = logs[0, term, walker] - tops[walker]
                work.logs[width * LANES + place] = logs[1, term, walker]
            if not set_scales(images, x, walker * block, n_here, work, walker * LANES):
                return False
            block_products(
                beta, shape, partners, n_here, rows, x, walker * block, scales, walker * LANES, lanes, turned, now
            )
        if not set_omega(work.logs, 0.0, work):
            return False
        for walker in range(width):
            total = weighted_sum(work.omega, work.now, walker * LANES, (walker + 1) * LANES)
            whole[0, walker] += total[0]
            whole[1, walker] += total[1]
        set_sums(images, start, n_here, spins, offsets, sites, queue, leads, counts, rows, x, work, found)
    fine = True
    for k in range(len(counts)):
        for walker in range(width):
            real, imaginary = quotient(found[k, walker, 0], found[k, walker, 1], whole[0, walker], whole[1, walker])
            out[k, walker, 0] = real
            if out.shape[2] == 2:
                out[k, walker, 1] = imaginary
            known = whole[0, walker] != 0.0 or whole[1, walker] != 0.0 or not wanted[k, walker]
            fine = fine and known and abs(real) < np.inf and abs(imaginary) < np.inf
    return fine


@inlined
def block_products(
    beta: Floats,
    shape: tuple[int, int],
    partners: int,
    n_views: int,
    rows: Floats,
    x: Floats,
    place: int,
    scales: Floats,
    slot: int,
    lanes: Floats,
    turned: Floats,
    out: Floats,
) -> None:
    """R of LANES terms from ``slot`` on, those of so many views, F of each from ``rows``."""
    stride = shape[0] * shape[1]
    for view in range(n_views):
        start, term = view * stride, slot + view * partners
        view_products(beta, shape, partners, rows, start, x, place + start, scales, term, lanes)
    fold(lanes, turned, shape[0], out, slot)


@kernel
def set_sums(
    images: Images,
    start: int,
    n_views: int,
    spins: Spins,
    offsets: Integers,
    sites: Integers,
    queue: Integers,
    leads: Booleans,
    counts: Integers,
    rows: Floats,
    x: Floats,
    work: Work,
    found: Floats,
) -> None:
    """Add sum_t omega_t R_t of the terms of some views, of every set and walker in line, to ``found``."""
    table, beta, slots, inverses, signs, _, n_planes, size = images
    scales, omega, _, _, new, _, _, lanes, turned = work
    partners, shape = slots.shape[1], (n_planes, size)
    block = max(LANES // partners, 1) * n_planes * size
    for k in range(len(counts)):
        first, last = offsets[k], offsets[k + 1]
        for i in range(counts[k]):
            walker = queue[k, i]
            if leads[k, i]:
                for view in range(n_views):
                    row = view * n_planes * size
                    compose(table, inverses, signs, shape, start + view, spins, walker, sites, first, last, rows, row)
            slot = walker * LANES
            block_products(beta, shape, partners, n_views, rows, x, walker * block, scales, slot, lanes, turned, new)
            total = weighted_sum(omega, new, slot, slot + LANES)
            found[k, walker, 0] += total[0]
            found[k, walker, 1] += total[1]


# Look-up and log-derivatives ------------------------------------------------------------------------------------------


@kernel
def exponentials(theta: Floats, n_planes: int) -> None:
    """Replace theta, float64 (n_planes * M, L), by exp(2 theta); real parts beyond 345 are taken there."""
    n_hidden = len(theta) // n_planes
    for j in range(n_hidden):
        real, imaginary = theta[j], theta[j + (n_planes - 1) * n_hidden]
        if n_planes == 1:
            for column in range(theta.shape[1]):
                real[column] = exponential(min(max(2.0 * real[column], FARTHEST), -FARTHEST))
        else:
            for column in range(theta.shape[1]):
                size = exponential(min(max(2.0 * real[column], FARTHEST), -FARTHEST))
                product, square = sine_cosine_products(imaginary[column])
                real[column], imaginary[column] = size * (2.0 * square - 1.0), size * 2.0 * product


@kernel
def weighted_tanh(images: Images, lookup: Floats, weights: Floats, signs: Floats, sums: Floats, signed: Floats) -> None:
    """w_t tanh theta_j of all terms, for the log-derivatives.

    Args:
        images: the tables.
        lookup: X, (V, n_planes, M, L).
        weights: w by planes, (2, T, L).
        signs: float64 (T,), -1 where the term sees all spins flipped.
        sums: float64 (n_planes of psi, M, L), written: sum over all terms.
        signed: float64 (n_planes of psi, M, V, L), written: sum over the partners of a view, with their signs.
    """
    n_views, n_planes, n_hidden, width = lookup.shape
    zeros = np.zeros(width)
    sums[:] = 0.0
    for view in range(n_views):
        for j in range(n_hidden):
            x, y = lookup[view, 0, j], lookup[view, 1, j] if n_planes == 2 else zeros
            for partner in range(images.slots.shape[1]):
                term, beta = images.slots[view, partner], partner * n_planes * images.size + j
                b, c = images.beta[beta], images.beta[beta + images.size] if n_planes == 2 else 0.0
                u, v, total, part = weights[0, term], weights[1, term], sums[0, j], signed[0, j, view]
                sense = -1.0 if partner == 1 else 1.0
                sign = signs[term]
                if len(sums) == 1:
                    for walker in range(width):
                        # tanh theta = (X - beta)/(X + beta), or its negative
                        value = sense * u[walker] * (x[walker] - b) / (x[walker] + b)
                        total[walker] += value
                        part[walker] = (part[walker] if partner else 0.0) + sign * value
                else:
                    total_y, part_y = sums[1, j], signed[1, j, view]
                    for walker in range(width):
                        p, q, r, s = x[walker] - b, y[walker] - c, x[walker] + b, y[walker] + c
                        inverse = sense / (r * r + s * s)
                        p, q = (p * r + q * s) * inverse, (q * r - p * s) * inverse
                        large = abs(x[walker]) + abs(y[walker]) > HUGE
                        p, q = sense if large else p, 0.0 if large else q
                        p, q = u[walker] * p - v[walker] * q, u[walker] * q + v[walker] * p
                        total[walker] += p
                        total_y[walker] += q
                        part[walker] = (part[walker] if partner else 0.0) + sign * p
                        part_y[walker] = (part_y[walker] if partner else 0.0) + sign * q
