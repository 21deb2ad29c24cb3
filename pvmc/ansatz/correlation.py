"""The correlation over a symmetry group that the derivatives by the features of an RBM are, walkers side by side."""

from __future__ import annotations

import numpy as np

from pvmc.ansatz.base import Floats, Integers
from pvmc.ansatz.vector_math import aligned_zeros, kernel

LANES = 32
"""Walkers that :func:`feature_derivatives` takes at a time: few enough for the first-level cache to hold its rows."""


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
