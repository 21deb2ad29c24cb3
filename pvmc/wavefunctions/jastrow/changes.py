"""Compiled kernels of the mean field and the Jastrow factor.

Numbers are kept in planes of float64: one for real parameters; two, real and imaginary, for complex ones.  Shapes:

    pairs   (n_planes, N, N)    v_ij, symmetric, zero diagonal
    fields  (n_planes, N)       a_i
    lookup  (n_planes * N, L)   J_i = a_i + sum_j v_ij s_j, imaginary plane below the real one

Flipping the spins of a set X changes ln psi by  -2 sum_{i in X} s_i J_i + 4 sum_{i<j in X} v_ij s_i s_j, and J_j by
-2 sum_{i in X} v_ij s_i (rank 1 per site).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pvmc.numerics.accept import accepts_change, flip, may_flip
from pvmc.numerics.arrays import Booleans, Floats, Integers, Spins
from pvmc.numerics.kernels import kernel


@kernel
def store_exponential(real: float, imaginary: float, target: Any) -> None:
    """exp(real + i imaginary) into ``target``, (n_planes,); inf beyond the range of float64, never NaN."""
    size = math.exp(real)
    if len(target) == 1:
        target[0] = size
    else:
        cosine, sine = math.cos(imaginary), math.sin(imaginary)
        target[0] = size * cosine if cosine != 0.0 else 0.0
        target[1] = size * sine if sine != 0.0 else 0.0


@kernel
def field_change(fields: Floats, spins: Spins, sites: Integers, lane: int) -> float:
    """One plane of -2 sum_{i in X} a_i s_i."""
    total = 0.0
    for m in range(len(sites)):
        total += fields[sites[m]] * spins[sites[m], lane]
    return -2.0 * total


@kernel
def field_ratios(
    fields: Floats, spins: Spins, offsets: Integers, sites: Integers, wanted: Booleans, out: Floats
) -> None:
    """Ratios of a mean field into ``out``, float64 (n_flips, L, n_planes); 0 where not wanted."""
    n_planes = fields.shape[0]
    for k in range(len(offsets) - 1):
        members = sites[offsets[k] : offsets[k + 1]]
        for lane in range(spins.shape[1]):
            if wanted[k, lane]:
                real = field_change(fields[0], spins, members, lane)
                imaginary = field_change(fields[n_planes - 1], spins, members, lane)
                store_exponential(real, imaginary, out[k, lane])
            else:
                out[k, lane] = 0.0


@kernel
def field_metropolis(
    fields: Floats,
    spins: Spins,
    offsets: Integers,
    sites: Integers,
    conserving: Booleans,
    chosen: Integers,
    uniforms: Floats,
    accepted: Integers,
) -> None:
    """Metropolis steps of a mean field with the real parts ``fields``, (N,); spins and ``accepted`` are updated."""
    for t in range(len(chosen)):
        k = chosen[t]
        members = sites[offsets[k] : offsets[k + 1]]
        for lane in range(spins.shape[1]):
            if not may_flip(spins, members, conserving[k], lane):
                continue
            if accepts_change(uniforms[t, lane], field_change(fields, spins, members, lane)):
                accepted[lane] += 1
                flip(spins, members, lane)


@kernel
def pair_change(pairs: Floats, lookup: Floats, spins: Spins, sites: Integers, lane: int) -> float:
    """One plane of the change of ln psi of a Jastrow factor; pairs (N, N), lookup (N, L)."""
    total = 0.0
    for m in range(len(sites)):
        i = sites[m]
        correction = 0.0
        for n in range(m):
            correction += pairs[i, sites[n]] * spins[sites[n], lane]
        total += spins[i, lane] * (2.0 * correction - lookup[i, lane])
    return 2.0 * total


@kernel
def pair_changes(pairs: Floats, lookup: Floats, spins: Spins, sites: Integers, change: Floats) -> None:
    """One plane of the change of ln psi of every walker, (L,); :func:`pair_change` in vector instructions."""
    for lane in range(len(change)):
        change[lane] = 0.0
    for m in range(len(sites)):
        i = sites[m]
        # -2 s_i J_i
        row, own = lookup[i], spins[i]
        for lane in range(len(change)):
            change[lane] -= 2.0 * own[lane] * row[lane]
        # + 4 v_ij s_i s_j of the pairs within X
        for n in range(m):
            strength, other = 4.0 * pairs[i, sites[n]], spins[sites[n]]
            for lane in range(len(change)):
                change[lane] += strength * (own[lane] * other[lane])


@kernel
def pair_ratios(
    pairs: Floats,
    lookup: Floats,
    spins: Spins,
    offsets: Integers,
    sites: Integers,
    wanted: Booleans,
    out: Floats,
) -> None:
    """Ratios of a Jastrow factor into ``out``, float64 (n_flips, L, n_planes); 0 where not wanted."""
    n_planes, n_sites = pairs.shape[0], pairs.shape[1]
    last = (n_planes - 1) * n_sites
    for k in range(len(offsets) - 1):
        members = sites[offsets[k] : offsets[k + 1]]
        for lane in range(spins.shape[1]):
            if wanted[k, lane]:
                real = pair_change(pairs[0], lookup[:n_sites], spins, members, lane)
                imaginary = 0.0
                if n_planes == 2:
                    imaginary = pair_change(pairs[1], lookup[last:], spins, members, lane)
                store_exponential(real, imaginary, out[k, lane])
            else:
                out[k, lane] = 0.0


@kernel
def pair_update(pairs: Floats, lookup: Floats, spins: Spins, sites: Integers, accept: Booleans, step: Floats) -> None:
    """Flip the sites in the accepting walkers and update J: one rank-1 update per site; ``step`` is scratch, (L,)."""
    n_planes, n_sites = pairs.shape[0], pairs.shape[1]
    for m in range(len(sites)):
        # s_i' - s_i = -2 s_i of the accepting walkers, 0 of the others
        i = sites[m]
        for lane in range(len(step)):
            step[lane] = -2.0 * spins[i, lane] if accept[lane] else 0.0
            spins[i, lane] = -spins[i, lane] if accept[lane] else spins[i, lane]
        # J_j += v_ij (s_i' - s_i): (N, 1) x (1, L) -> (N, L), plane by plane
        for plane in range(n_planes):
            for j in range(n_sites):
                strength, row = pairs[plane, i, j], lookup[plane * n_sites + j]
                for lane in range(len(step)):
                    row[lane] += strength * step[lane]


@kernel
def pair_metropolis(
    pairs: Floats,
    lookup: Floats,
    spins: Spins,
    offsets: Integers,
    sites: Integers,
    conserving: Booleans,
    chosen: Integers,
    uniforms: Floats,
    accepted: Integers,
) -> None:
    """Metropolis steps of a Jastrow factor; spins, lookup and ``accepted`` are updated."""
    n_sites, width = pairs.shape[1], spins.shape[1]
    change, step = np.empty(width), np.empty(width)
    accept = np.empty(width, dtype=np.bool_)
    for t in range(len(chosen)):
        k = chosen[t]
        members = sites[offsets[k] : offsets[k + 1]]
        # Re ln psi(s')/psi(s) of all walkers, (L,); the phase does not enter the test
        pair_changes(pairs[0], lookup[:n_sites], spins, members, change)
        any_accepted = False
        for lane in range(width):
            accept[lane] = may_flip(spins, members, conserving[k], lane) and accepts_change(
                uniforms[t, lane], change[lane]
            )
            accepted[lane] += accept[lane]
            any_accepted |= accept[lane]
        if any_accepted:
            pair_update(pairs, lookup, spins, members, accept, step)


@kernel
def pair_sums(orbits: Integers, spins: Spins, out: Floats) -> None:
    """sum of s_i s_j over the pairs i < j of every orbit, into ``out``, float64 (n_orbits, L); orbits (N, N)."""
    out[:] = 0.0
    for i in range(spins.shape[0]):
        for j in range(i):
            row, first, second = out[orbits[i, j]], spins[i], spins[j]
            for lane in range(spins.shape[1]):
                row[lane] += first[lane] * second[lane]
