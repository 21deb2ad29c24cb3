"""Kernels of nets that are sums over many images: one walker at a time, whose images are the columns of the layers.

Where the group is large, the images of one configuration fill vectors and caches: what is proposed to a walker goes
through the layers by itself, and z^1 of all walkers lies walker by walker, (L, Q1).  Bits depend neither on the width
of the block nor on a walker's place in it.  The last hidden layer, where its activation is ln cosh, is summed over the
images as the logarithm of a product,

    sum_g ln cosh z_g = sum_g [+-z_g - ln 2] + ln prod_g (1 + exp(-+2 z_g)),        Re(+-z_g) >= 0,

one for each unit in place of one for each image.  A factor is in the right half-plane, so that the product shows by its
imaginary part when it has turned past the negative axis: the sum of the principal logarithms is known, not only modulo
2 pi i.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pvmc.numerics.accept import accepts_change, flip, may_flip
from pvmc.numerics.arrays import Booleans, Floats, Integers, Spins
from pvmc.numerics.kernels import inlined, kernel
from pvmc.numerics.simd import (
    LANES,
    counted_exponents,
    inverse_power,
    lane_sum,
    lanes_below,
    less,
    load,
    magnitude,
    select,
    splat,
    store,
    total_count,
    without,
)
from pvmc.numerics.special import EXPONENT_BIAS, LN2, RUN, SATURATED, expm1, sine_cosine_products
from pvmc.wavefunctions.feedforward.activations import LNCOSH, activate, angle_right, log_positive
from pvmc.wavefunctions.feedforward.layers import Net, matrix, store_ratio
from pvmc.wavefunctions.rbm.hidden_units import transpose

FEWEST = 16
"""Images from which on walkers go one by one."""


@kernel
def flipped_angles(
    first: Floats, spins: Spins, walker: int, sites: Integers, start: int, stop: int, own: Floats, angles: Floats
) -> None:
    """z^1 - 2 sum_i s_i W^1_i over the sites start ... stop - 1 of a list, of one walker, (Q1,)."""
    row, factor = first[sites[start]], 2.0 * spins[sites[start], walker]
    if stop - start == 2:
        second, other = first[sites[start + 1]], 2.0 * spins[sites[start + 1], walker]
        for q in range(len(angles)):
            angles[q] = (own[q] - factor * row[q]) - other * second[q]
        return
    for q in range(len(angles)):
        angles[q] = own[q] - factor * row[q]
    for m in range(start + 1, stop):
        row, factor = first[sites[m]], 2.0 * spins[sites[m], walker]
        for q in range(len(angles)):
            angles[q] -= factor * row[q]


@kernel
def factors(x: Floats, y: Floats, u: Floats, v: Floats, phases: Floats) -> None:
    """u + iv = 1 + exp(-+2 z) and Im(+-z) of many z = x + iy, with the sign that makes Re(+-z) >= 0; flat arrays."""
    for k in range(len(x)):
        size = abs(x[k])
        fall = expm1(-2.0 * (size if size < SATURATED else SATURATED))
        product, square = sine_cosine_products(y[k])
        twice = 2.0 + 2.0 * fall
        u[k] = twice * square - fall
        height = twice * product
        v[k] = height if x[k] < 0.0 else -height
        phases[k] = -y[k] if x[k] < 0.0 else y[k]


@kernel
def real_factors(x: Floats, u: Floats) -> None:
    """As :func:`factors`, of real z."""
    for k in range(len(x)):
        size = abs(x[k])
        u[k] = 2.0 + expm1(-2.0 * (size if size < SATURATED else SATURATED))


@inlined
def winding(before: Any, after: Any, height: Any) -> Any:
    """+1, -1 or 0 where a product passes the negative axis: imaginary parts before and after, and of the factor."""
    zero, one = splat(0.0), splat(1.0)
    up = select(without(less(after, zero), less(before, zero)), one, zero)
    down = select(without(less(before, zero), less(after, zero)), one, zero)
    return select(less(zero, height), up, zero) - select(less(height, zero), down, zero)


@kernel
def product_of_images(u: Floats, v: Floats, start: int, n: int, lanes: Floats, place: int) -> tuple[float, float]:
    """The product of n factors: what is left in lanes by planes, flat (2, ...), its power of two and its turns."""
    real, imaginary, turns, counts = splat(1.0), splat(0.0), splat(0.0), splat(0.0)
    n_scalings, every, whole = 0, lanes_below(LANES), n - n % LANES
    for begin in range(0, n, RUN * LANES):
        for k in range(begin, min(begin + RUN * LANES, whole), LANES):
            a, b = load(u, start + k, every), load(v, start + k, every)
            before = imaginary
            real, imaginary = real * a - imaginary * b, real * b + imaginary * a
            turns = turns + winding(before, imaginary, b)
        if whole < min(begin + RUN * LANES, n):
            inside = lanes_below(n - whole)
            a, b = select(inside, load(u, start + whole, inside), splat(1.0)), load(v, start + whole, inside)
            before = imaginary
            real, imaginary = real * a - imaginary * b, real * b + imaginary * a
            turns = turns + winding(before, imaginary, b)
        size = magnitude(real) + magnitude(imaginary)
        counts = counted_exponents(counts, size)
        scale = inverse_power(size)
        real, imaginary = real * scale, imaginary * scale
        n_scalings += 1
    store(lanes, place, real, lanes_below(LANES))
    store(lanes, len(lanes) // 2 + place, imaginary, lanes_below(LANES))
    return float(total_count(counts) - n_scalings * LANES * EXPONENT_BIAS), lane_sum(turns)


@kernel
def total(values: Floats, start: int, n: int) -> float:
    """The sum of n numbers of a flat array."""
    partial, every, whole = splat(0.0), lanes_below(LANES), n - n % LANES
    for k in range(0, whole, LANES):
        partial = partial + load(values, start + k, every)
    partial = partial + load(values, start + whole, lanes_below(n - whole))
    return lane_sum(partial)


@kernel
def total_size(values: Floats, start: int, n: int) -> float:
    """The sum of the moduli of n numbers of a flat array."""
    partial, every, whole = splat(0.0), lanes_below(LANES), n - n % LANES
    for k in range(0, whole, LANES):
        partial = partial + magnitude(load(values, start + k, every))
    return lane_sum(partial + magnitude(load(values, start + whole, lanes_below(n - whole))))


@kernel
def log_cosh_sums(n_planes: int, z: Floats, u: Floats, v: Floats, phases: Floats, out: Floats) -> None:
    """sum_g ln cosh z_g of each unit.

    Args:
        n_planes: 1 for real units, 2 for complex ones.
        z: float64 (n_planes M, G).
        u, v, phases: float64 (M G,) or longer, overwritten.
        out: float64 (n_planes * M,), written.
    """
    n_images, n_units = z.shape[1], len(z) // n_planes
    size = n_units * n_images
    flat = z.reshape(z.size)
    if n_planes == 1:
        real_factors(flat, u)
        v[:size] = 0.0
    else:
        factors(flat[:size], flat[size:], u, v, phases)
    lanes = np.empty(2 * n_units * LANES)
    for j in range(n_units):
        exponent, turns = product_of_images(u, v, j * n_images, n_images, lanes, j * LANES)
        out[j] = total_size(flat, j * n_images, n_images) + (exponent - n_images) * LN2
        if n_planes == 2:
            out[n_units + j] = total(phases, j * n_images, n_images) + 2.0 * np.pi * turns
    # ln of what is left in lanes
    real, imaginary = lanes[: n_units * LANES], lanes[n_units * LANES :]
    for k in range(n_units * LANES):
        x, y = real[k], imaginary[k]
        angle = angle_right(abs(x), y)
        flat_angle = np.pi if y >= 0.0 else -np.pi
        real[k] = 0.5 * log_positive(x * x + y * y)
        imaginary[k] = angle if x >= 0.0 else flat_angle - angle
    for j in range(n_units):
        out[j] += total(real, j * LANES, LANES)
        if n_planes == 2:
            out[n_units + j] += total(imaginary, j * LANES, LANES)


@inlined
def row_products(weights: Floats, biases: Floats, values: Floats, j: int, k: int, mask: Any, out: Floats) -> None:
    """Rows j ... j + 3 of W a + b, of 2 LANES columns from k on, of which the second LANES are those of the mask."""
    columns, n, every = len(values), values.shape[1], lanes_below(LANES)
    a0, a1, a2, a3 = splat(biases[j]), splat(biases[j + 1]), splat(biases[j + 2]), splat(biases[j + 3])
    b0, b1, b2, b3 = a0, a1, a2, a3
    for i in range(columns):
        x, y = load(values, i * n + k, every), load(values, i * n + k + LANES, mask)
        w = splat(weights[j * columns + i])
        a0, b0 = a0 + w * x, b0 + w * y
        w = splat(weights[(j + 1) * columns + i])
        a1, b1 = a1 + w * x, b1 + w * y
        w = splat(weights[(j + 2) * columns + i])
        a2, b2 = a2 + w * x, b2 + w * y
        w = splat(weights[(j + 3) * columns + i])
        a3, b3 = a3 + w * x, b3 + w * y
    store(out, j * n + k, a0, every)
    store(out, (j + 1) * n + k, a1, every)
    store(out, (j + 2) * n + k, a2, every)
    store(out, (j + 3) * n + k, a3, every)
    store(out, j * n + k + LANES, b0, mask)
    store(out, (j + 1) * n + k + LANES, b1, mask)
    store(out, (j + 2) * n + k + LANES, b2, mask)
    store(out, (j + 3) * n + k + LANES, b3, mask)


@kernel
def dense(weights: Floats, biases: Floats, values: Floats, out: Floats) -> None:
    """out = W a + b: W flat (rows, columns), b (rows,), a (columns, G), out (rows, G)."""
    columns, n, rows = len(values), values.shape[1], len(out)
    blocked, wide = rows - rows % 4, n - n % LANES
    for k in range(0, wide, 2 * LANES):
        mask = lanes_below(LANES if k + LANES < wide else 0)
        for j in range(0, blocked, 4):
            row_products(weights, biases, values, j, k, mask, out)
    for j in range(rows):
        for k in range(wide if j < blocked else 0, n, LANES):
            inside, total_here = lanes_below(n - k), splat(biases[j])
            for i in range(columns):
                total_here = total_here + splat(weights[j * columns + i]) * load(values, i * n + k, inside)
            store(out, j * n + k, total_here, inside)


@kernel
def evaluate_one(net: Net, angles: Floats, work: Floats, log_psi: Floats) -> None:
    """ln psi of one configuration, (P, 1), from z^1 of its images, (n_planes * M_1, G); work: (5, widest G or more)."""
    _, layers, weights, biases, n_planes, order, _ = net
    product = angles
    for layer in range(len(layers)):
        code, rows, columns, start, start_bias = layers[layer]
        last = layer == len(layers) - 1
        if last:
            # sum_g z^L = W^L sum_g a^{L-1} + G b^L
            sums = np.empty(columns)
            if code == LNCOSH:
                log_cosh_sums(n_planes, product, work[2], work[3], work[4], sums)
            else:
                values = matrix(work[0], 0, columns, order)
                activate(code, n_planes, product, values)
                flat = values.reshape(values.size)
                for j in range(columns):
                    sums[j] = total(flat, j * order, order)
            for plane in range(len(log_psi)):
                value = order * biases[start_bias + plane]
                for j in range(columns):
                    value += weights[start + plane * columns + j] * sums[j]
                log_psi[plane, 0] = value
        else:
            values = matrix(work[0], 0, columns, order)
            activate(code, n_planes, product, values)
            product = matrix(work[1], 0, rows, order)
            dense(weights[start : start + rows * columns], biases[start_bias : start_bias + rows], values, product)


@kernel
def ratios(
    net: Net, spins: Spins, lookup: Floats, offsets: Integers, sites: Integers, wanted: Booleans, out: Floats
) -> None:
    """As :func:`pvmc.wavefunctions.feedforward.layers.ratios`."""
    n_angles, order, widest, width = net[0].shape[1], net[5], net[6], spins.shape[1]
    own, angles, work = np.empty((width, n_angles)), np.empty(n_angles), np.empty((5, widest * order))
    log_psi = np.empty((out.shape[2], 1))
    transpose(lookup, 0, width, n_angles, width, own, 0, n_angles)
    out[:] = 0.0
    for walker in range(width):
        for k in range(len(out)):
            if wanted[k, walker]:
                flipped_angles(net[0], spins, walker, sites, offsets[k], offsets[k + 1], own[walker], angles)
                evaluate_one(net, angles.reshape((n_angles // order, order)), work, log_psi)
                store_ratio(lookup, n_angles, walker, log_psi, 0, out[k])


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
    """As :func:`pvmc.wavefunctions.feedforward.layers.metropolis`."""
    n_angles, order, widest, width = net[0].shape[1], net[5], net[6], spins.shape[1]
    own, angles, work = np.empty((width, n_angles)), np.empty(n_angles), np.empty((5, widest * order))
    log_psi = np.empty((len(lookup) - n_angles, 1))
    transpose(lookup, 0, width, n_angles, width, own, 0, n_angles)
    for walker in range(width):
        mine = own[walker]
        for t in range(len(chosen)):
            start, stop = offsets[chosen[t]], offsets[chosen[t] + 1]
            if not may_flip(spins, sites[start:stop], conserving[chosen[t]], walker):
                continue
            flipped_angles(net[0], spins, walker, sites, start, stop, mine, angles)
            evaluate_one(net, angles.reshape((n_angles // order, order)), work, log_psi)
            # |psi(s')/psi(s)|^2 = exp(2 Re [ln psi(s') - ln psi(s)])
            if accepts_change(uniforms[t, walker], log_psi[0, 0] - lookup[n_angles, walker]):
                mine[:] = angles
                for plane in range(len(log_psi)):
                    lookup[n_angles + plane, walker] = log_psi[plane, 0]
                flip(spins, sites[start:stop], walker)
                accepted[walker] += 1
    transpose(own, 0, n_angles, width, n_angles, lookup, 0, width)
