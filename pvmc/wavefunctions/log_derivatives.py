"""Log-derivatives of weights: outer products of one configuration, and their sums over the images by a symmetry group.

**Factors.**  A dense layer of q p weights has q + p numbers per configuration, not q p:

    O_{W_ji} = B_j A_i,        B (q, L),  A (p, L),

with B what is propagated back to the units and A what comes in from below.  :data:`pvmc.wavefunctions.base.Factors` is
the form that the whole vector of log-derivatives takes; here is who offers it, how it is put together and multiplied
out.

**Sums over images.**  Units that share their weights by a group G of site permutations have

    O_{w_fi} = sum_g T_fg s[perm[g, i]],

a small matrix product (F, |G|) x (|G|, N) for every walker.  LANES walkers (:mod:`pvmc.numerics.simd`) go at a time, as
the lanes of vectors: their spins, and T of all features, stay in the cache.  Two rows of T are multiplied by eight
sites at once, so that sixteen sums stay in registers while g runs over the group, and ten loads serve sixteen
multiply-adds.  The two rows are the planes of a complex feature, or two real features.  Lanes are never combined: bits
depend neither on the width of the block nor on a walker's place in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from pvmc.numerics.arrays import Floats, Integers, Numbers, Spins
from pvmc.numerics.kernels import inlined, kernel
from pvmc.numerics.simd import LANES, lanes_below, load, splat, store, store_alternately
from pvmc.numerics.special import aligned_zeros
from pvmc.wavefunctions.base import Ansatz, Factors

Vector: TypeAlias = Any

SITES = 8
"""Sites i whose sums are kept in registers together."""


def factors_of(psi: Any) -> Callable[[Spins, Floats], Factors] | None:
    """The method ``derivative_factors`` of a wave function; None where it has none, or says that it does not pay."""
    method: Callable[[Spins, Floats], Factors] | None = getattr(psi, "derivative_factors", None)
    return method if getattr(psi, "has_factors", True) else None


def factor_rows_of(ansatz: Ansatz) -> int | None:
    """``ansatz.factor_rows``, the rows of all B and A together; None where factors are not offered or not counted."""
    rows: int | None = getattr(ansatz, "factor_rows", None)
    return rows


def is_shorter(n_units: int, n_inputs: int) -> bool:
    """True where an outer product of q = ``n_units`` and p = ``n_inputs`` has fewer factors than products."""
    return n_units + n_inputs < n_units * n_inputs


def outer_rows(n_units: int, n_inputs: int) -> int:
    """The number of rows of :func:`outer`."""
    return n_units + n_inputs if is_shorter(n_units, n_inputs) else n_units * n_inputs


def outer(units: Numbers, inputs: Numbers) -> tuple[Numbers, ...]:
    """The block of all units[j] * inputs[i], j major: as factors where these are fewer, else as rows.

    Args:
        units: B, (q, L), kept.
        inputs: A, (p, L), kept.
    """
    return (units, inputs) if is_shorter(len(units), len(inputs)) else (products(units, inputs),)


def products(units: Numbers, inputs: Numbers) -> Numbers:
    """All units[j] * inputs[i], (q p, L), j major."""
    rows: Numbers = (units[:, None] * inputs).reshape(-1, units.shape[1])
    return rows


def multiplied_out(factors: Factors) -> Numbers:
    """The log-derivatives, (K, L): float64 where all factors are, else complex128."""
    return np.concatenate([block[0] if len(block) == 1 else products(*block) for block in factors])


def n_rows(factors: Factors) -> int:
    """Numbers per configuration: the rows of all B and A together."""
    return sum(len(rows) for block in factors for rows in block)


# Sums over images -----------------------------------------------------------------------------------------------------


@kernel
def site_places(permutations: Integers) -> Integers:
    """Start of the spin perm[g, i] of LANES walkers among those of all sites, (|G|, sites filled up to SITES)."""
    order, n_sites = permutations.shape
    places = np.zeros((order, n_sites + -n_sites % SITES), dtype=np.int64)
    for g in range(order):
        for i in range(n_sites):
            places[g, i] = permutations[g, i] * LANES
    return places


@inlined
def row_stride(array: Floats) -> int:
    """Numbers from one row to the next: more than it has where the array is a column block of a larger one."""
    return array.strides[0] // 8


@kernel
def pack(source: Floats, row: int, start: int, target: Floats, place: int) -> None:
    """LANES numbers of a row from column ``start`` on to a flat position, zeros past the end."""
    values = load(source, row * row_stride(source) + start, lanes_below(source.shape[1] - start))
    store(target, place, values, lanes_below(LANES))


@kernel
def pack_tanh(lookup: Floats, start: int, n_planes: int, order: int, tanh: Floats) -> None:
    """T of the walkers from ``start``, flat rows (pair of rows, g, which of them) of LANES."""
    n_features = len(lookup) // (n_planes * order)
    for plane in range(n_planes):
        for f in range(n_features):
            pair, which = divmod(f * n_planes + plane, 2)
            for g in range(order):
                place = ((pair * order + g) * 2 + which) * LANES
                pack(lookup, (plane * n_features + f) * order + g, start, tanh, place)


@inlined
def correlate(tanh: Floats, begin: int, spins: Floats, places: Integers, site: int) -> tuple[Vector, ...]:
    """sum_g T_g s_gi of two rows of T and eight sites: the eight sums of the first row, then those of the second.

    Args:
        tanh: as :func:`pack_tanh` writes it; the two rows start at ``begin``.
        spins: flat rows i of LANES.
        places: int64, see :func:`site_places`.
        site: the first of the eight.
    """
    every = lanes_below(LANES)
    a0 = a1 = a2 = a3 = a4 = a5 = a6 = a7 = splat(0.0)
    b0 = b1 = b2 = b3 = b4 = b5 = b6 = b7 = splat(0.0)
    for g in range(len(places)):
        t, u = load(tanh, begin + 2 * g * LANES, every), load(tanh, begin + (2 * g + 1) * LANES, every)
        s0, s1 = load(spins, places[g, site], every), load(spins, places[g, site + 1], every)
        a0, b0, a1, b1 = a0 + t * s0, b0 + u * s0, a1 + t * s1, b1 + u * s1
        s2, s3 = load(spins, places[g, site + 2], every), load(spins, places[g, site + 3], every)
        a2, b2, a3, b3 = a2 + t * s2, b2 + u * s2, a3 + t * s3, b3 + u * s3
        s4, s5 = load(spins, places[g, site + 4], every), load(spins, places[g, site + 5], every)
        a4, b4, a5, b5 = a4 + t * s4, b4 + u * s4, a5 + t * s5, b5 + u * s5
        s6, s7 = load(spins, places[g, site + 6], every), load(spins, places[g, site + 7], every)
        a6, b6, a7, b7 = a6 + t * s6, b6 + u * s6, a7 + t * s7, b7 + u * s7
    return a0, a1, a2, a3, a4, a5, a6, a7, b0, b1, b2, b3, b4, b5, b6, b7


@kernel
def feature_derivatives(lookup: Floats, spins: Floats, permutations: Integers, out: Floats) -> None:
    """O_{w_fi} = sum_g T_fg s[perm[g, i]], without an array of all N M products.

    Args:
        lookup: float64 (n_planes * F * |G|, L), each row contiguous.
        spins: float64 (N, L), each row contiguous.
        permutations: int64 (|G|, N).
        out: float64 (F * N, L, n_planes), each (L, n_planes) contiguous, written.
    """
    order, n_sites = permutations.shape
    width, n_planes = out.shape[1], out.shape[2]
    n_features = len(out) // n_sites
    n_pairs = (n_features * n_planes + 1) // 2
    places = site_places(permutations)
    tanh, images = aligned_zeros(2 * n_pairs * order * LANES), aligned_zeros(n_sites * LANES)
    for start in range(0, width, LANES):
        # T (pairs of rows, |G|, 2, LANES) and s (N, LANES) of these walkers, side by side in the cache
        pack_tanh(lookup, start, n_planes, order, tanh)
        for i in range(n_sites):
            pack(spins, i, start, images, i * LANES)
        # (2, |G|) x (|G|, SITES) -> (2, SITES) in every lane
        for pair in range(n_pairs):
            for site in range(0, n_sites, SITES):
                sums = correlate(tanh, 2 * pair * order * LANES, images, places, site)
                write(sums, pair, site, n_sites, start, out)


@inlined
def write(sums: tuple[Vector, ...], pair: int, site: int, n_sites: int, start: int, out: Floats) -> None:
    """The sums of :func:`correlate` to where they belong, of the sites and walkers that there are."""
    n_planes, stride = out.shape[2], row_stride(out)
    left = out.shape[1] - start
    for i in range(SITES):
        if site + i < n_sites:
            if n_planes == 2:
                place = (pair * n_sites + site + i) * stride + 2 * start
                store_alternately(out, place, sums[i], sums[SITES + i], left)
            else:
                place = (2 * pair * n_sites + site + i) * stride + start
                store(out, place, sums[i], lanes_below(left))
                if (2 * pair + 1) * n_sites < len(out):
                    store(out, place + n_sites * stride, sums[SITES + i], lanes_below(left))


@kernel
def bias_derivatives(deltas: Floats, out: Floats) -> None:
    """O_{b_j} = sum over the images of Delta_j.

    Args:
        deltas: float64 (P, M, G, L), by the planes of ln psi.
        out: float64 (M, L, P), written.
    """
    n_planes, n_rows, order, width = deltas.shape
    total = np.empty(width)
    for j in range(n_rows):
        for plane in range(n_planes):
            total[:] = 0.0
            for image in range(order):
                row = deltas[plane, j, image]
                for walker in range(width):
                    total[walker] += row[walker]
            for walker in range(width):
                out[j, walker, plane] = total[walker]


@kernel
def weight_derivatives(deltas: Floats, values: Floats, out: Floats) -> None:
    """O_{W_ji} = sum over the images of Delta_j a_i: the outer products of all walkers.

    Args:
        deltas: float64 (P, M, G, L), Delta of a layer by the planes of ln psi.
        values: float64 (A, M', G, L), a of the layer below: one plane for real weights, two for complex ones.
        out: float64 (M * M', L, P), written.
    """
    n_planes, n_rows, order, width = deltas.shape
    n_below = values.shape[1]
    real, imaginary = np.empty(width), np.empty(width)
    for j in range(n_rows):
        for i in range(n_below):
            target = out[j * n_below + i]
            if values.shape[0] == 1:
                for plane in range(n_planes):
                    real[:] = 0.0
                    for image in range(order):
                        d, a = deltas[plane, j, image], values[0, i, image]
                        for walker in range(width):
                            real[walker] += d[walker] * a[walker]
                    for walker in range(width):
                        target[walker, plane] = real[walker]
            else:
                # (x + iy)(a + ib) = (xa - yb) + i(xb + ya)
                real[:] = 0.0
                imaginary[:] = 0.0
                for image in range(order):
                    x, y = deltas[0, j, image], deltas[1, j, image]
                    a, b = values[0, i, image], values[1, i, image]
                    for walker in range(width):
                        real[walker] += x[walker] * a[walker] - y[walker] * b[walker]
                        imaginary[walker] += x[walker] * b[walker] + y[walker] * a[walker]
                for walker in range(width):
                    target[walker, 0] = real[walker]
                    target[walker, 1] = imaginary[walker]
