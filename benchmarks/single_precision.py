"""What sampling in single precision could gain: the ratio and the update of an RBM in float32, against float64.

    python benchmarks/single_precision.py

The kernels of pvmc/wavefunctions/rbm/hidden_units.py beside copies of them in float32, on one core, 64 walkers; and the
gain of a whole iteration, by the share that these kernels have in it.  pvmc has no such option: this says whether it
should."""

from __future__ import annotations

import itertools
import json
import statistics
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from cases import SINGLE_CASES
from kernels import best_time, make_case, time_metropolis
from run import bench
from simd32 import (
    LANES,
    all_above,
    first_lane,
    larger,
    load,
    magnitude,
    smaller,
    splat,
    store,
    turned_1,
    turned_2,
    turned_4,
    turned_8,
    zero_outside,
)
from threadpoolctl import threadpool_limits

from pvmc.numerics.kernels import kernel
from pvmc.numerics.special import aligned_empty
from pvmc.wavefunctions.rbm import hidden_units

WIDTH = 64
HIDDEN = (160, 320)
TURNS = 9

WORTH_IT = 1.4
"""Gain of a whole iteration from which on the option would be offered."""

GAP, DIVISOR = 1e-5, 1e-30
"""In place of those of float64: distance from saturation, smallest divisor."""

inlined: Any = numba.njit(fastmath={"contract", "nsz", "arcp"}, error_model="numpy", forceinline=True)
"""As ``kernel``, and never a call: one of a short loop costs as much as the loop."""


@inlined
def complex_product(x: Any, y: Any) -> Any:
    """As in hidden_units, whose own is not called: code that it caches would need the vectors of this directory."""
    return x[0] * y[0] - x[1] * y[1], x[0] * y[1] + x[1] * y[0]


@inlined
def real_total(product: Any) -> float:
    """The product of all lanes."""
    if LANES == 16:
        product = product * turned_8(product)
    product = product * turned_4(product)
    product = product * turned_2(product)
    product = product * turned_1(product)
    return first_lane(product)


@inlined
def real_pair(rows: Any, way: int, tanh: Any, a: int, b: int) -> tuple[float, float]:
    """As in hidden_units."""
    size = rows.shape[2]
    first, second, third, fourth = splat(1.0), splat(1.0), splat(1.0), splat(1.0)
    paired = size - size % (2 * LANES)
    for j in range(0, paired, 2 * LANES):
        c, s = load(rows, j), load(rows, way * size + j)
        first = first * (c - load(tanh, a * size + j) * s)
        second = second * (c - load(tanh, b * size + j) * s)
        c, s = load(rows, j + LANES), load(rows, way * size + j + LANES)
        third = third * (c - load(tanh, a * size + j + LANES) * s)
        fourth = fourth * (c - load(tanh, b * size + j + LANES) * s)
    for j in range(paired, size, LANES):
        c, s = load(rows, j), load(rows, way * size + j)
        first = first * (c - load(tanh, a * size + j) * s)
        second = second * (c - load(tanh, b * size + j) * s)
    return real_total(first * third), real_total(second * fourth)


@inlined
def complex_total(product: Any) -> tuple[float, float]:
    """As :func:`real_total`."""
    if LANES == 16:
        product = complex_product(product, (turned_8(product[0]), turned_8(product[1])))
    product = complex_product(product, (turned_4(product[0]), turned_4(product[1])))
    product = complex_product(product, (turned_2(product[0]), turned_2(product[1])))
    product = complex_product(product, (turned_1(product[0]), turned_1(product[1])))
    return first_lane(product[0]), first_lane(product[1])


@inlined
def complex_pair(rows: Any, way: int, tanh: Any, a: int, b: int) -> Any:
    """As in hidden_units."""
    size = rows.shape[2]
    first, second = (splat(1.0), splat(0.0)), (splat(1.0), splat(0.0))
    for j in range(0, size, LANES):
        c, d = load(rows, j), load(rows, size + j)
        s, t = load(rows, 2 * way * size + j), load(rows, (2 * way + 1) * size + j)
        x, y = load(tanh, 2 * a * size + j), load(tanh, (2 * a + 1) * size + j)
        first = complex_product(first, (c - x * s + y * t, d - x * t - y * s))
        x, y = load(tanh, 2 * b * size + j), load(tanh, (2 * b + 1) * size + j)
        second = complex_product(second, (c - x * s + y * t, d - x * t - y * s))
    return complex_total(first), complex_total(second)


@inlined
def ratio_pair(rows: Any, way: int, tanh: Any, a: int, b: int) -> Any:
    """As in hidden_units."""
    if tanh.shape[1] == 1:
        first, second = real_pair(rows, way, tanh, a, b)
        return (first, 0.0), (second, 0.0)
    return complex_pair(rows, way, tanh, a, b)


@kernel
def trusted(distance: Any, divisor: Any) -> Any:
    """As in hidden_units."""
    return zero_outside(distance, magnitude(divisor), splat(DIVISOR), splat(1.0 / DIVISOR))


@inlined
def update(rows: Any, way: int, tanh: Any, walker: int) -> bool:
    """As in hidden_units."""
    size, one, nearest = rows.shape[2], splat(1.0), splat(1.0)
    start = tanh.shape[1] * walker * size
    for j in range(0, size, LANES):
        if tanh.shape[1] == 1:
            c, s, t = load(rows, j), load(rows, way * size + j), load(tanh, start + j)
            below = c - t * s
            moved = (c * t - s) / below
            store(tanh, start + j, moved)
            nearest = smaller(nearest, trusted(magnitude(one - magnitude(moved)), below))
        else:
            x, y = load(tanh, start + j), load(tanh, start + size + j)
            c, d = load(rows, j), load(rows, size + j)
            s, t = load(rows, 2 * way * size + j), load(rows, (2 * way + 1) * size + j)
            p, q = c - x * s + y * t, d - x * t - y * s
            u, v = c * x - d * y - s, c * y + d * x - t
            below = p * p + q * q
            inverse = one / below
            real, imaginary = (u * p + v * q) * inverse, (v * p - u * q) * inverse
            store(tanh, start + j, real)
            store(tanh, start + size + j, imaginary)
            distance = larger(magnitude(one - magnitude(real)), magnitude(imaginary))
            nearest = smaller(nearest, trusted(distance, below))
    return all_above(nearest, splat(GAP))


@kernel
def ratios_64(rows: Any, tanh: Any) -> float:
    """Both ratios of every walker, summed."""
    total = 0.0
    for way in (1, 2):
        for walker in range(0, len(tanh), 2):
            one, other = hidden_units.ratio_pair(rows, way, tanh, walker, walker + 1)
            total += one[0] + other[0]
    return total


@kernel
def ratios_32(rows: Any, tanh: Any) -> float:
    """As :func:`ratios_64`."""
    total = 0.0
    for way in (1, 2):
        for walker in range(0, len(tanh), 2):
            one, other = ratio_pair(rows, way, tanh, walker, walker + 1)
            total += one[0] + other[0]
    return total


@kernel
def updates_64(rows: Any, tanh: Any) -> int:
    """Every walker there and back; how many times T stayed away from saturation."""
    total = 0
    for way in (1, 2):
        for walker in range(len(tanh)):
            total += hidden_units.update(rows, way, tanh, walker)
    return total


@kernel
def updates_32(rows: Any, tanh: Any) -> int:
    """As :func:`updates_64`."""
    total = 0
    for way in (1, 2):
        for walker in range(len(tanh)):
            total += update(rows, way, tanh, walker)
    return total


def main() -> None:
    """Measure and print."""
    with threadpool_limits(1):
        print(json.dumps(measure(), indent=1))


def measure(wait: Callable[[], None] = lambda: None) -> dict:
    """Times of the kernels, their gains, and the gain of whole iterations; ``wait`` waits for a quiet machine."""
    kernels = []
    for n_planes, n_hidden in itertools.product((1, 2), HIDDEN):
        wait()
        kernels.append(compare(n_planes, n_hidden))
    return {"lanes": LANES, "kernels": kernels, "iterations": iterations(kernels, wait), "worth_it": WORTH_IT}


def compare(n_planes: int, n_hidden: int) -> dict[str, float]:
    """Nanoseconds per (hidden unit, walker) in both precisions, in turns; the gain is the median of their ratios."""
    rng = np.random.default_rng(1)
    rows = hidden_units.new_pattern(n_planes, n_hidden)
    d = 0.05 * rng.normal(size=(n_planes, n_hidden))
    angle = d[0] if n_planes == 1 else d[0] + 1j * d[1]
    for k, value in enumerate((np.cosh(angle), np.sinh(angle), -np.sinh(angle))):
        rows[k, :, :n_hidden] = [value] if n_planes == 1 else [value.real, value.imag]
    tanh = hidden_units.new_walkers(WIDTH, n_planes, n_hidden)
    tanh[:, :, :n_hidden] = 0.3 * rng.normal(size=(WIDTH, n_planes, n_hidden)).clip(-2, 2)
    rows_32, tanh_32 = in_single(rows), in_single(tanh)
    if abs(ratios_32(rows_32, tanh_32) / ratios_64(rows, tanh) - 1) > 1e-3:
        raise RuntimeError("the ratios of the two precisions differ")
    if not updates_32(rows_32, tanh_32) == updates_64(rows, tanh) == 2 * WIDTH:
        raise RuntimeError("an update failed")
    if np.abs(tanh_32 - tanh).max() > 1e-4:
        raise RuntimeError("the updates of the two precisions differ")
    found: dict[str, float] = {"planes": n_planes, "hidden": n_hidden}
    for name, double, single in (("ratio", ratios_64, ratios_32), ("update", updates_64, updates_32)):
        found |= in_turns(name, lambda f=double: f(rows, tanh), lambda f=single: f(rows_32, tanh_32), n_hidden)
    return found


def in_single(array: np.ndarray) -> np.ndarray:
    """A copy in float32 that starts on a cache line, as that in float64 does."""
    copy = aligned_empty(((array.size + 1) // 2,)).view(np.float32)[: array.size].reshape(array.shape)
    copy[:] = array
    return copy


def in_turns(name: str, double: Callable[[], object], single: Callable[[], object], n_hidden: int) -> dict[str, float]:
    """Nanoseconds per element of both, and the gain."""
    turns = [(best_time(double, 2), best_time(single, 2)) for _ in range(TURNS)]
    scale = 1e9 / (2 * WIDTH * n_hidden)
    return {
        f"{name}_64": scale * min(pair[0] for pair in turns),
        f"{name}_32": scale * min(pair[1] for pair in turns),
        f"{name}_gain": statistics.median(pair[0] / pair[1] for pair in turns),
    }


def iterations(kernels: list[dict[str, float]], wait: Callable[[], None]) -> dict[str, dict[str, float]]:
    """By case: shares of sampling and of the kernels in it, and the gain of a whole iteration.

    ``gain`` is that of an iteration whose sampling kernels are faster; ``bound`` if all of sampling were as much faster
    as the better of the kernels is; ``all_bound`` if the local energies were so too.
    """
    inside = {n_planes: kernel_share(n_planes, _row(kernels, n_planes)) for n_planes in (1, 2)}
    found = {}
    for name, tables in SINGLE_CASES.items():
        wait()
        timing: Any = bench(tables, 1, iterations=5)
        n_planes = 1 if tables["ansatz"]["weights"] == "real" else 2
        row, share = _row(kernels, n_planes), timing["phases"]["sampling"] / timing["seconds"]
        energies = timing["phases"]["local_energies"] / timing["seconds"]
        best = max(row["ratio_gain"], row["update_gain"])
        saved = sum(inside[n_planes][kind] * (1 - 1 / row[f"{kind}_gain"]) for kind in ("ratio", "update"))
        found[name] = {
            "share": share,
            "kernels": sum(inside[n_planes].values()),
            "gain": 1 / (1 - share * saved),
            "bound": amdahl(share, best),
            "all_bound": amdahl(share + energies, best),
        }
    return found


def amdahl(share: float, gain: float) -> float:
    """Gain of the whole where this share of it gains so much."""
    return 1 / (1 - share + share / gain)


def _row(kernels: list[dict[str, float]], n_planes: int) -> dict[str, float]:
    return next(row for row in kernels if row["planes"] == n_planes and row["hidden"] == HIDDEN[0])


def kernel_share(n_planes: int, row: dict[str, float]) -> dict[str, float]:
    """Shares of ratios and of updates in a sweep of exchanges on a ring of 40 sites with 160 hidden units."""
    case = make_case(40, HIDDEN[0], WIDTH, np.complex128 if n_planes == 2 else np.float64, True)
    seconds, acceptance = time_metropolis(case, TURNS)
    proposed = float(np.mean([case.spins[case.flips[k]].sum(axis=0) == 0 for k in range(len(case.flips))]))
    found = {"ratio": proposed * row["ratio_64"], "update": acceptance * row["update_64"]}
    whole = max(1e9 * seconds, sum(found.values()))  # timed one after the other, so that noise may say more than all
    return {kind: part / whole for kind, part in found.items()}


if __name__ == "__main__":
    main()
