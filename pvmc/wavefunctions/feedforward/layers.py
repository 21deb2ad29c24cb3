"""Compiled kernels of feed-forward nets: dense layers on many columns, ratios, Metropolis steps and outer products.

A **column** is one configuration.  For each column the net is evaluated on its G images under the symmetry group, which
lie side by side, so that layer l is one matrix product with G C columns:

    z^l = W^l a^{l-1} + b^l,      a^l = f_l(z^l),      ln psi = sum over the images of z^L.

Numbers are float64 throughout.  Complex units are kept by planes, the imaginary plane below the real one, and a complex
weight matrix is the real matrix [[Re W, -Im W], [Im W, Re W]] acting on the stacked planes.  Shapes:

    first     (N, Q1)        the first layer's weights of every site, Q1 = n_planes * M_1 * G, image minor
    lookup    (Q1 + P, L)    z^1, then ln psi by its P planes
    layers    (n, 5)         of each later layer: activation before it, rows, columns, start in weights, in biases
    weights, biases          those layers' matrices and biases, flat, one after the other

The layers are run by BLAS; what surrounds it is compiled here, so that a Metropolis step costs no Python.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np

from pvmc.numerics.accept import accepts_change, flip, propose
from pvmc.numerics.arrays import Booleans, Floats, Integers, Spins
from pvmc.numerics.kernels import kernel
from pvmc.wavefunctions.feedforward.activations import activate

Net: TypeAlias = tuple[Floats, Integers, Floats, Floats, int, int, int]
"""first, layers, weights, biases, n_planes, G, widest: rows of the largest later layer or hidden one."""

CHUNK_BYTES = 2**18
"""About how much of z^1 is worked on at once, so that it stays in the cache."""

LARGEST_EXPONENT_ARGUMENT = 800.0
"""Beyond this exp gives inf, or 0, anyway."""


@kernel
def matrix(flat: Floats, start: int, n_rows: int, n_columns: int) -> Floats:
    """A part of a flat array as a contiguous matrix."""
    return flat[start : start + n_rows * n_columns].reshape((n_rows, n_columns))


@kernel
def evaluate(net: Net, angles: Floats, work: Floats, log_psi: Floats) -> None:
    """ln psi of all columns, from z^1.

    Args:
        net: the wave function.
        angles: float64 (n_planes * M_1, G * C), contiguous: z^1.
        work: float64 (2, at least widest * G * C), overwritten.
        log_psi: float64 (P, C), written.
    """
    _, layers, weights, biases, n_planes, order, _ = net
    n_columns = angles.shape[1]
    product = angles
    for layer in range(len(layers)):
        code, rows, columns, start, start_bias = layers[layer]
        # a^{l-1} = f(z^{l-1}): (n_planes M_{l-1}, G C)
        # Never in place: the loops of the activations are vector code only where input and output do not overlap.
        values = matrix(work[0], 0, columns, n_columns)
        activate(code, n_planes, product, values)
        # z^l = W^l a^{l-1} + b^l: (n_planes M_l, n_planes M_{l-1}) x (n_planes M_{l-1}, G C)
        product = matrix(work[1], 0, rows, n_columns)
        np.dot(matrix(weights, start, rows, columns), values, product)
        for j in range(rows):
            bias = biases[start_bias + j]
            for column in range(n_columns):
                product[j, column] += bias
    # ln psi = sum over the images of the last z
    width = log_psi.shape[1]
    for plane in range(log_psi.shape[0]):
        for column in range(width):
            log_psi[plane, column] = 0.0
        for image in range(order):
            for column in range(width):
                log_psi[plane, column] += product[plane, image * width + column]


@kernel
def shifted_angles(
    net: Net, spins: Spins, lookup: Floats, sites: Integers, walkers: Integers, angles: Floats, first_column: int
) -> None:
    """z^1 - 2 sum_{i in sites} s_i W^1_i of the walkers, into columns of ``angles``, (Q1, C), from the given one."""
    first = net[0]
    n_walkers = len(walkers)
    # 2 s_i, (|X|, walkers)
    doubled = np.empty((len(sites), n_walkers))
    for m in range(len(sites)):
        for c in range(n_walkers):
            doubled[m, c] = 2.0 * spins[sites[m], walkers[c]]
    for q in range(len(angles)):
        row, own = angles[q, first_column : first_column + n_walkers], lookup[q]
        for c in range(n_walkers):
            row[c] = own[walkers[c]]
        for m in range(len(sites)):
            weight, factor = first[sites[m], q], doubled[m]
            for c in range(n_walkers):
                row[c] -= weight * factor[c]


@kernel
def ratios(
    net: Net, spins: Spins, lookup: Floats, offsets: Integers, sites: Integers, wanted: Booleans, out: Floats
) -> None:
    """psi(s')/psi(s) of every set and walker; many pairs of them at a time are the columns of the net.

    Args:
        net: the wave function.
        spins: int8 (N, L).
        lookup: float64 (Q1 + P, L), belonging to the spins.
        offsets, sites: the sets, as in :class:`pvmc.spins.flips.FlipSets`.
        wanted: bool (n_flips, L).
        out: float64 (n_flips, L, P), written: 0 where not wanted; inf beyond the range of float64, never NaN.
    """
    n_angles, order, widest = net[0].shape[1], net[5], net[6]
    n_planes, width = out.shape[2], spins.shape[1]
    set_of, walker_of = np.nonzero(wanted)
    capacity = max(CHUNK_BYTES // (8 * n_angles), 16)
    memory, work = np.empty(n_angles * capacity), np.empty((2, widest * order * capacity))
    log_psi = np.empty((n_planes, capacity))
    for k in range(len(out)):
        for walker in range(width):
            for plane in range(n_planes):
                out[k, walker, plane] = 0.0
    # Pairs (set, walker) that are wanted, ``capacity`` of them at a time
    for start in range(0, len(set_of), capacity):
        stop = min(start + capacity, len(set_of))
        n_columns = stop - start
        angles = matrix(memory, 0, n_angles, n_columns)
        values = matrix(log_psi.reshape(log_psi.size), 0, n_planes, n_columns)
        # z^1 of the flipped configurations, set by set
        here = start
        while here < stop:
            there = here
            while there < stop and set_of[there] == set_of[here]:
                there += 1
            members = sites[offsets[set_of[here]] : offsets[set_of[here] + 1]]
            shifted_angles(net, spins, lookup, members, walker_of[here:there], angles, here - start)
            here = there
        evaluate(net, angles.reshape((n_angles // order, order * n_columns)), work, values)
        for column in range(n_columns):
            store_ratio(lookup, n_angles, walker_of[start + column], values, column, out[set_of[start + column]])


@kernel
def store_ratio(lookup: Floats, n_angles: int, walker: int, log_psi: Floats, column: int, out: Floats) -> None:
    """exp(ln psi' - ln psi) by planes into ``out``[walker], (L, P)."""
    growth = log_psi[0, column] - lookup[n_angles, walker]
    size = math.exp(min(growth, LARGEST_EXPONENT_ARGUMENT))
    out[walker, 0] = size
    if log_psi.shape[0] == 2:
        phase = log_psi[1, column] - lookup[n_angles + 1, walker]
        real, imaginary = math.cos(phase), math.sin(phase)
        out[walker, 0] = size * real if real != 0.0 else 0.0  # inf * 0 would be NaN
        out[walker, 1] = size * imaginary if imaginary != 0.0 else 0.0


@kernel
def metropolis(
    net: Net,
    spins: Spins,
    lookup: Floats,
    offsets: Integers,
    sites: Integers,
    conserving: Booleans,
    chosen: Integers,
    uniforms: Floats,
    accepted: Integers,
) -> None:
    """Metropolis steps; updates spins and lookup and counts ``accepted`` up.

    Args:
        net, spins, lookup, offsets, sites: as in :func:`ratios`.
        conserving: bool (n_flips,).
        chosen: int64 (n_steps,).
        uniforms: float64 (n_steps, L).
        accepted: int64 (L,).
    """
    n_angles, order, widest = net[0].shape[1], net[5], net[6]
    n_planes, width = len(lookup) - n_angles, spins.shape[1]
    memory, work = np.empty(n_angles * width), np.empty((2, widest * order * width))
    log_psi = np.empty(n_planes * width)
    pending, walkers = np.empty(width, dtype=np.bool_), np.empty(width, dtype=np.int64)
    columns = np.empty(width, dtype=np.int64)
    for t in range(len(chosen)):
        members = sites[offsets[chosen[t]] : offsets[chosen[t] + 1]]
        propose(spins, members, conserving[chosen[t]], pending)
        # The walkers that may flip X are the columns of the net.
        n_pending = 0
        for walker in range(width):
            if pending[walker]:
                walkers[n_pending] = walker
                n_pending += 1
        if n_pending == 0:
            continue
        angles = matrix(memory, 0, n_angles, n_pending)
        values = matrix(log_psi, 0, n_planes, n_pending)
        shifted_angles(net, spins, lookup, members, walkers[:n_pending], angles, 0)
        evaluate(net, angles.reshape((n_angles // order, order * n_pending)), work, values)
        # |psi(s')/psi(s)|^2 = exp(2 Re [ln psi(s') - ln psi(s)])
        n_accepted = 0
        for column in range(n_pending):
            walker = walkers[column]
            if accepts_change(uniforms[t, walker], values[0, column] - lookup[n_angles, walker]):
                columns[n_accepted] = column
                n_accepted += 1
        accept(spins, lookup, members, angles, values, walkers, columns[:n_accepted], accepted)


@kernel
def move(net: Net, spins: Spins, lookup: Floats, sites: Integers, walkers: Integers) -> None:
    """Flip the sites in the given walkers, whatever the ratio; updates spins and lookup.

    Args:
        net, spins, lookup: as in :func:`ratios`.
        sites: int64, the sites flipped.
        walkers: int64 (n,), distinct.
    """
    n_angles, order, widest = net[0].shape[1], net[5], net[6]
    n_planes, n_moved = len(lookup) - n_angles, len(walkers)
    angles, log_psi = np.empty((n_angles, n_moved)), np.empty((n_planes, n_moved))
    work = np.empty((2, widest * order * n_moved))
    shifted_angles(net, spins, lookup, sites, walkers, angles, 0)
    evaluate(net, angles.reshape((n_angles // order, order * n_moved)), work, log_psi)
    accept(spins, lookup, sites, angles, log_psi, walkers, np.arange(n_moved), np.zeros(spins.shape[1], np.int64))


@kernel
def accept(
    spins: Spins,
    lookup: Floats,
    sites: Integers,
    angles: Floats,
    log_psi: Floats,
    walkers: Integers,
    columns: Integers,
    accepted: Integers,
) -> None:
    """Carry out the moves of some columns: z^1 and ln psi become the look-up, the spins are flipped."""
    n_angles = len(angles)
    for q in range(n_angles):
        for column in columns:
            lookup[q, walkers[column]] = angles[q, column]
    for plane in range(len(log_psi)):
        for column in columns:
            lookup[n_angles + plane, walkers[column]] = log_psi[plane, column]
    for column in columns:
        accepted[walkers[column]] += 1
        flip(spins, sites, walkers[column])


# Backpropagation ------------------------------------------------------------------------------------------------------


@kernel
def multiply(n_planes: int, factor: Floats, values: Floats) -> None:
    """values *= factor, elementwise, both float64 (n_planes * M, B), complex by planes."""
    if n_planes == 1:
        for j in range(len(values)):
            for column in range(values.shape[1]):
                values[j, column] *= factor[j, column]
    else:
        half = len(values) // 2
        for j in range(half):
            a, b, x, y = factor[j], factor[half + j], values[j], values[half + j]
            for column in range(values.shape[1]):
                real = a[column] * x[column] - b[column] * y[column]
                y[column] = a[column] * y[column] + b[column] * x[column]
                x[column] = real
