"""Products over hidden units of the images of a configuration, of which a projected RBM is the sum.

A **view** v of s is (g s)_i = sign s[perm[i]].  With X_j = exp(2 theta_j) of its hidden units

    psi(g s) = exp(sum_i a_i s_i - sum_j theta_j) prod_j (1 + X_j),

and a flip multiplies X_j by exp(-2 D_j), D_j = 2 sum_{i in X} s_i W_ji, with the sites and spins that the view sees.
Where the group has the flip of all spins beside each permutation, and there is no visible bias, both terms come from
one view: psi(-g s) = c exp(-sum_j theta_j) prod_j (exp(4 b_j) + X_j), with the same prefactor.  These are the
**partners** of a view.  A term that a walker keeps is psi_t = omega_t R_t, R_t = prod_j (beta_j + X_j), beta = 1 or
exp(4 b_j); omega_t is fixed while the walker moves.  The prefactor is one more unit, of beta = 0.  Shapes:

    table    (N, 2, n_planes, size)       exp(-4 s W_ji) for s = 1, -1, then the change of the prefactor, at j = M
    beta     (P, n_planes, size)          of P partners: 1 or exp(4 b_j), then 0
    lookup   (V, n_planes, M, L)          X of all views
    logs     (2, T, L)                    real and imaginary part of ln [chi(g)* psi(g s)] of all terms
    slots    (V, P)                       the term of each partner of a view
    x        (walkers, V, n_planes, size) X of some walkers, and the prefactor
    scales   (V P, groups, LANES)         powers of two by which products over GROUP vectors are multiplied

Lanes belong to one walker: bits depend neither on the width of the block nor on a walker's place in it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pvmc.numerics.arrays import Floats, Integers, Spins
from pvmc.numerics.kernels import inlined, kernel
from pvmc.numerics.simd import (
    LANES,
    inverse_power,
    lane_sum,
    lanes_below,
    magnitude,
    splat,
    store,
    transpose_square,
)
from pvmc.numerics.special import aligned_zeros, exponential, sine_cosine_products
from pvmc.wavefunctions.feedforward.activations import angle_right, log_positive
from pvmc.wavefunctions.rbm.hidden_units import complex_product, tile

GROUP = 8
"""Vectors of hidden units whose product is taken before it is scaled."""

LARGEST = 1e30
"""Bound on |X_j| and 1/|X_j|, and on |exp(4 b_j)|: products of GROUP factors stay inside the range of float64."""

REACH = 300.0
"""Bound on |Re theta_j| over all configurations: X_j is a normal number always."""

DRIFT = 1e100
"""The |R| of a term that has grown or fallen by this since omega was made makes omega anew."""

FARTHEST = -690.0
"""Terms whose logarithm is this far below the largest one are taken to be 0."""


class Images(NamedTuple):
    """The tables of a projected RBM; see the top of this file.

    Attributes:
        table, beta, slots: as there, table and beta flat.
        inverses: int64 (V, N), the site of each view at which it sees a site of s.
        signs: int64 (V,).
        n_hidden: M.
        n_planes: 1 for real weights, 2 for complex ones.
        size: M + 1 filled up to a multiple of LANES.
    """

    table: Floats
    beta: Floats
    slots: Integers
    inverses: Integers
    signs: Integers
    n_hidden: int
    n_planes: int
    size: int


class Work(NamedTuple):
    """Memory of one walker: of R and omega by planes (2, filled-up number of terms), and of products.

    Attributes:
        scales: see the top of this file.
        omega, first, now, new: omega; R when omega was made, of the walker, of what is proposed.
        logs: ln of the terms when omega was made.
        row: exp(-2 D) of a view.
        lanes, turned: (n_planes, LANES, LANES), products of LANES terms that are left in lanes.
    """

    scales: Floats
    omega: Floats
    first: Floats
    now: Floats
    new: Floats
    logs: Floats
    row: Floats
    lanes: Floats
    turned: Floats


@kernel
def new_work(images: Images, n_views: int, n_rows: int) -> Work:
    """The memory for so many views, with so many rows exp(-2 D)."""
    slots = n_views * images.slots.shape[1]
    filled = (slots + LANES - 1) // LANES * LANES
    groups = (images.size // LANES + GROUP - 1) // GROUP
    return Work(
        aligned_zeros(slots * groups * LANES),
        aligned_zeros(2 * filled),
        aligned_zeros(2 * filled),
        aligned_zeros(2 * filled),
        aligned_zeros(2 * filled),
        aligned_zeros(2 * filled),
        aligned_zeros(n_rows * images.n_planes * images.size),
        aligned_zeros(images.n_planes * LANES * LANES),
        aligned_zeros(images.n_planes * LANES * LANES),
    )


# Products over hidden units -------------------------------------------------------------------------------------------


@inlined
def compose(
    table: Floats,
    inverses: Integers,
    signs: Integers,
    shape: tuple[int, int],
    view: int,
    spins: Spins,
    walker: int,
    sites: Integers,
    first: int,
    last: int,
    row: Floats,
    start: int,
) -> None:
    """exp(-2 D) of a view for flipping sites[first:last] of s in the walker, into ``row`` from ``start`` on."""
    n_planes, size = shape
    every = lanes_below(LANES)
    for m in range(first, last):
        down = 0 if spins[sites[m], walker] * signs[view] > 0 else 1
        place = (2 * inverses[view, sites[m]] + down) * n_planes * size
        if n_planes == 1:
            for j in range(0, size, LANES):
                value = tile(table, place + j)
                store(row, start + j, value if m == first else tile(row, start + j) * value, every)
        else:
            for j in range(0, size, LANES):
                pair = (tile(table, place + j), tile(table, place + size + j))
                if m > first:
                    pair = complex_product((tile(row, start + j), tile(row, start + size + j)), pair)
                store(row, start + j, pair[0], every)
                store(row, start + size + j, pair[1], every)


@inlined
def put(lanes: Floats, which: int, value: Any, n_planes: int) -> None:
    """A product that is left in lanes, by planes, of the term ``which`` of LANES ones."""
    store(lanes, which * LANES, value[0], lanes_below(LANES))
    if n_planes == 2:
        store(lanes, (LANES + which) * LANES, value[1], lanes_below(LANES))


@inlined
def view_products(
    beta: Floats,
    shape: tuple[int, int],
    partners: int,
    row: Floats,
    start: int,
    x: Floats,
    place: int,
    scales: Floats,
    slot: int,
    lanes: Floats,
) -> None:
    """prod_j (beta_j + X_j F_j) of the partners of a view, F from ``row``, into ``lanes``; the term is ``slot``."""
    n_planes, size = shape
    groups = (size // LANES + GROUP - 1) // GROUP
    first, second = (splat(1.0), splat(0.0)), (splat(1.0), splat(0.0))
    for group in range(groups):
        begin, end = group * GROUP * LANES, min((group + 1) * GROUP * LANES, size)
        if n_planes == 1 and partners == 1:
            for j in range(begin, end, LANES):
                moved = tile(row, start + j) * tile(x, place + j)
                first = first[0] * (moved + tile(beta, j)), first[1]
        elif n_planes == 1:
            for j in range(begin, end, LANES):
                moved = tile(row, start + j) * tile(x, place + j)
                first = first[0] * (moved + tile(beta, j)), first[1]
                second = second[0] * (moved + tile(beta, size + j)), second[1]
        elif partners == 1:
            for j in range(begin, end, LANES):
                factor = tile(row, start + j), tile(row, start + size + j)
                u, v = complex_product(factor, (tile(x, place + j), tile(x, place + size + j)))
                first = complex_product(first, (u + tile(beta, j), v + tile(beta, size + j)))
        else:
            for j in range(begin, end, LANES):
                factor = tile(row, start + j), tile(row, start + size + j)
                u, v = complex_product(factor, (tile(x, place + j), tile(x, place + size + j)))
                first = complex_product(first, (u + tile(beta, j), v + tile(beta, size + j)))
                second = complex_product(second, (u + tile(beta, 2 * size + j), v + tile(beta, 3 * size + j)))
        scale = tile(scales, (slot * groups + group) * LANES)
        first = first[0] * scale, first[1] * scale
        if partners == 2:
            scale = tile(scales, ((slot + 1) * groups + group) * LANES)
            second = second[0] * scale, second[1] * scale
    put(lanes, slot % LANES, first, n_planes)
    if partners == 2:
        put(lanes, slot % LANES + 1, second, n_planes)


@inlined
def column(turned: Floats, n_planes: int, k: int) -> Any:
    """Lane k of LANES terms, by planes."""
    return tile(turned, k * LANES), tile(turned, ((n_planes - 1) * LANES + k) * LANES)


@inlined
def four_columns(turned: Floats, n_planes: int, k: int) -> Any:
    """The product of four lanes of LANES terms."""
    first, second = column(turned, n_planes, k), column(turned, n_planes, k + 1)
    third, fourth = column(turned, n_planes, k + 2), column(turned, n_planes, k + 3)
    if n_planes == 1:
        return (first[0] * second[0]) * (third[0] * fourth[0]), splat(0.0)
    return complex_product(complex_product(first, second), complex_product(third, fourth))


@inlined
def fold(lanes: Floats, turned: Floats, n_planes: int, out: Floats, slot: int) -> None:
    """R of LANES terms from their products in lanes, into ``out``, flat (2, filled), from ``slot`` on."""
    square = LANES * LANES
    for plane in range(n_planes):
        start = plane * square
        transpose_square(lanes, start, LANES, LANES, LANES, turned, start, LANES)
    value = four_columns(turned, n_planes, 0)
    if LANES == 8:
        value = complex_product(value, four_columns(turned, n_planes, 4))
    store(out, slot, value[0], lanes_below(LANES))
    store(out, len(out) // 2 + slot, value[1], lanes_below(LANES))


@inlined
def weighted_sum(omega: Floats, values: Floats, first: int, last: int) -> tuple[float, float]:
    """sum_t omega_t R_t of the terms first ... last - 1 (multiples of LANES), arrays flat (2, filled)."""
    filled = len(omega) // 2
    real, imaginary = splat(0.0), splat(0.0)
    for t in range(first, last, LANES):
        more = complex_product((tile(omega, t), tile(omega, filled + t)), (tile(values, t), tile(values, filled + t)))
        real, imaginary = real + more[0], imaginary + more[1]
    return lane_sum(real), lane_sum(imaginary)


@kernel
def evaluate(
    images: Images,
    x: Floats,
    place: int,
    spins: Spins,
    walker: int,
    sites: Integers,
    first: int,
    last: int,
    work: Work,
    out: Floats,
) -> None:
    """R of all terms of a walker with sites[first:last] flipped, X from ``place`` on."""
    table, beta, _, inverses, signs, _, n_planes, size = images
    scales, _, _, _, _, _, row, lanes, turned = work
    n_views, partners = images.slots.shape
    shape = n_planes, size
    for view in range(n_views):
        compose(table, inverses, signs, shape, view, spins, walker, sites, first, last, row, 0)
        start, slot = place + view * n_planes * size, view * partners
        view_products(beta, shape, partners, row, 0, x, start, scales, slot, lanes)
        if (slot + partners) % LANES == 0 or view == n_views - 1:
            fold(lanes, turned, n_planes, out, slot // LANES * LANES)


@kernel
def move(
    images: Images,
    x: Floats,
    place: int,
    spins: Spins,
    walker: int,
    sites: Integers,
    first: int,
    last: int,
    row: Floats,
) -> None:
    """X and the prefactor after the flip, of all views of a walker."""
    table, _, slots, inverses, signs, _, n_planes, size = images
    every = lanes_below(LANES)
    for view in range(len(slots)):
        compose(table, inverses, signs, (n_planes, size), view, spins, walker, sites, first, last, row, 0)
        start = place + view * n_planes * size
        for j in range(0, size, LANES):
            if n_planes == 1:
                store(x, start + j, tile(x, start + j) * tile(row, j), every)
            else:
                own = tile(x, start + j), tile(x, start + size + j)
                own = complex_product(own, (tile(row, j), tile(row, size + j)))
                store(x, start + j, own[0], every)
                store(x, start + size + j, own[1], every)


# omega ----------------------------------------------------------------------------------------------------------------


@kernel
def set_scales(images: Images, x: Floats, place: int, n_views: int, work: Work, slot: int) -> bool:
    """Reset the prefactors of so many views to 1, and scale their products, which go by terms from ``slot`` on.

    False where an X is out of range.
    """
    size, partners, n_planes, every = images.size, images.slots.shape[1], images.n_planes, lanes_below(LANES)
    groups = (size // LANES + GROUP - 1) // GROUP
    largest, smallest = 1.0, 1.0
    for view in range(n_views):
        start = place + view * n_planes * size
        for j in range(images.n_hidden):
            value = abs(x[start + j]) + (abs(x[start + size + j]) if n_planes == 2 else 0.0)
            largest, smallest = max(largest, value), min(smallest, value)
        x[start + images.n_hidden] = 1.0
        if n_planes == 2:
            x[start + size + images.n_hidden] = 0.0
        for partner in range(partners):
            beta = partner * n_planes * size
            for group in range(groups):
                real, imaginary = splat(1.0), splat(0.0)
                for j in range(group * GROUP * LANES, min((group + 1) * GROUP * LANES, size), LANES):
                    u = tile(x, start + j) + tile(images.beta, beta + j)
                    if n_planes == 1:
                        real = real * u
                    else:
                        v = tile(x, start + size + j) + tile(images.beta, beta + size + j)
                        real, imaginary = complex_product((real, imaginary), (u, v))
                scale = inverse_power(magnitude(real) + magnitude(imaginary))
                store(work.scales, ((slot + view * partners + partner) * groups + group) * LANES, scale, every)
    return smallest * LARGEST >= 1.0 and largest <= LARGEST


@inlined
def quotient(a: float, b: float, c: float, d: float) -> tuple[float, float]:
    """(a + ib)/(c + id); 0 where the divisor is 0."""
    square = c * c + d * d
    inverse = 1.0 / square if square > 0.0 else 0.0
    return (a * c + b * d) * inverse, (b * c - a * d) * inverse


@kernel
def set_omega(logs: Floats, top: float, work: Work) -> bool:
    """omega = exp(ln psi_t - top)/R_t, R of the walker from ``work.now``; False where an R is 0."""
    filled, fine = len(logs) // 2, True
    for t in range(filled):
        change = logs[t] - top
        inside = change > FARTHEST
        size = exponential(change if inside else FARTHEST)
        size = size if inside else 0.0
        product, square = sine_cosine_products(0.5 * logs[filled + t])
        real, imaginary = quotient(size * (2.0 * square - 1.0), size * 2.0 * product, work.now[t], work.now[filled + t])
        work.omega[t], work.omega[filled + t] = real, imaginary
        fine = fine and (size == 0.0 or work.now[t] != 0.0 or work.now[filled + t] != 0.0)
    work.first[:] = work.now
    return fine


@kernel
def renew(images: Images, x: Floats, place: int, spins: Spins, walker: int, work: Work) -> bool:
    """Scales, R and omega of a walker from X and ln of the terms; False where X is out of range."""
    n_views = len(images.slots)
    fill_row(images, work.row)
    fine = set_scales(images, x, place, n_views, work, 0)
    evaluate(images, x, place, spins, walker, images.signs, 0, 0, work, work.now)
    return set_omega(work.logs, top_of(work.logs), work) and fine


@kernel
def fill_row(images: Images, row: Floats) -> None:
    """The factors 1 of no flip."""
    row[:] = 0.0
    stride = images.n_planes * images.size
    for start in range(0, len(row), stride):
        row[start : start + images.size] = 1.0


@kernel
def top_of(logs: Floats) -> float:
    """The largest real part of the ln of the terms."""
    top = -np.inf
    for t in range(len(logs) // 2):
        top = max(top, logs[t])
    return top


@kernel
def follow(work: Work) -> None:
    """ln of the terms of a walker that has moved: ln psi_t + ln (R_t now / R_t at first)."""
    filled = len(work.logs) // 2
    for t in range(filled):
        u, v = quotient(work.now[t], work.now[filled + t], work.first[t], work.first[filled + t])
        angle = angle_right(abs(u), v)
        flat = np.pi if v >= 0.0 else -np.pi
        square = u * u + v * v
        work.logs[t] += 0.5 * log_positive(square) if square > 0.0 else -np.inf
        work.logs[filled + t] += angle if u >= 0.0 else flat - angle


@kernel
def within(values: Floats, reference: Floats, n_terms: int) -> bool:
    """True where each |R| differs from that of ``reference`` by less than DRIFT."""
    filled, fine = len(values) // 2, True
    for t in range(n_terms):
        here = abs(values[t]) + abs(values[filled + t])
        there = abs(reference[t]) + abs(reference[filled + t])
        fine = fine and here < DRIFT * there and there < DRIFT * here
    return fine


@kernel
def read_logs(images: Images, logs: Floats, walker: int, own: Floats) -> None:
    """ln of the terms of a walker in the order of the views, flat (2, filled); -inf where there is none."""
    n_views, partners = images.slots.shape
    filled = len(own) // 2
    own[:filled], own[filled:] = -np.inf, 0.0
    for view in range(n_views):
        for partner in range(partners):
            for plane in range(2):
                own[plane * filled + view * partners + partner] = logs[plane, images.slots[view, partner], walker]
