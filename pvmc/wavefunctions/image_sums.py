"""The correlation over a symmetry group that the derivatives by the features of an RBM are, walkers side by side.

    O_{w_fi} = sum_g T_fg s[perm[g, i]]

is a small matrix product for every walker.  LANES walkers (:mod:`pvmc.numerics.simd`) go at a time, as the lanes of
vectors: their spins, and T of all features, stay in the cache.  Two rows of T meet eight sites at once, so that sixteen
sums stay in registers while g runs over the group, and ten loads serve sixteen multiply-adds.  The two rows are the
planes of a complex feature, or two real features.  A lane never meets another: bits depend neither on the width of the
block nor on a walker's place in it.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from pvmc.numerics.arrays import Floats, Integers
from pvmc.numerics.kernels import inlined, kernel
from pvmc.numerics.simd import LANES, lanes_below, load, splat, store, store_alternately
from pvmc.numerics.special import aligned_zeros

Vector: TypeAlias = Any

SITES = 8
"""Sites i whose sums are kept in registers together."""


@kernel
def site_places(permutations: Integers) -> Integers:
    """Where the spin perm[g, i] of LANES walkers starts among those of all sites, (|G|, sites filled up to SITES)."""
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
        pack_tanh(lookup, start, n_planes, order, tanh)
        for i in range(n_sites):
            pack(spins, i, start, images, i * LANES)
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
