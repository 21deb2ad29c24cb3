"""Speed of the RBM kernels on one core, next to the core's own matrix product.

    OPENBLAS_NUM_THREADS=1 python benchmarks/kernels.py --hidden 40 160 320 --width 16 32 64 128 256
    OPENBLAS_NUM_THREADS=1 python benchmarks/kernels.py --large --sites 100 --hidden 100 400

Prints, per block width and number of hidden units, the best of several runs in nanoseconds per element: one (flip,
hidden unit, walker) for ratios, their products alone, updates and Metropolis steps, one (hidden unit, walker) for the
look-up, and one (parameter, walker) for the log-derivatives.  GF/s counts multiplications, additions and divisions.

With ``--large`` it prints the processor seconds of 4096 samples (a sweep and all ratios for each) at weights of
standard deviation 0.05 and at others, 2.5, that saturate tanh and overflow products, and the quotient of the two.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from pvmc.numerics.kernels import kernel
from pvmc.spins.flips import FlipSets
from pvmc.wavefunctions import RBM
from pvmc.wavefunctions.rbm import RBMState, hidden_units

FLOPS = {("ratios", 1): 4, ("ratios", 2): 16, ("update", 1): 7, ("update", 2): 30}
FLOPS |= {("products", planes): FLOPS["ratios", planes] for planes in (1, 2)}


@dataclass(frozen=True)
class Case:
    """A wave function with one block of walkers."""

    state: RBMState
    spins: np.ndarray
    lookup: np.ndarray
    flips: FlipSets
    n_planes: int

    @property
    def n_hidden(self) -> int:
        """M."""
        return self.state.ansatz.n_hidden

    @property
    def width(self) -> int:
        """L."""
        return self.spins.shape[1]


def best_time(function: Callable[[], object], repeats: int) -> float:
    """Processor seconds of the fastest of ``repeats`` samples of about 10 ms."""
    function()
    start = time.process_time()
    function()
    calls = max(1, int(0.01 / max(time.process_time() - start, 1e-6)))
    samples = []
    for _ in range(repeats):
        start = time.process_time()
        for _ in range(calls):
            function()
        samples.append((time.process_time() - start) / calls)
    return min(samples)


def dgemm_rate(repeats: int, size: int = 512) -> float:
    """GF/s of a square float64 matrix product."""
    a, b = np.random.default_rng(0).normal(size=(2, size, size))
    out = np.empty((size, size))
    return 2e-9 * size**3 / best_time(lambda: np.matmul(a, b, out=out), repeats)


def make_case(n_sites: int, n_hidden: int, width: int, dtype: type, pairs: bool, scale: float = 0.05) -> Case:
    """A translation-invariant RBM on a ring, walkers at zero magnetisation, all single flips or bonds.

    Weights have the standard deviation ``scale``, their imaginary parts at most 0.05.
    """
    rng = np.random.default_rng(1)
    ring = np.array([np.roll(np.arange(n_sites), -g) for g in range(n_sites)])
    rbm = RBM(ring, n_hidden // n_sites, dtype=dtype, init_scale=0.05)
    theta = rbm.initial_parameters(rng)
    theta.real *= scale / 0.05
    state = rbm.at(theta)
    spins = rng.permuted(np.tile(np.array([1, -1], dtype=np.int8), (width, n_sites // 2)), axis=1).T.copy()
    sets = [[i, (i + 1) % n_sites] if pairs else [i] for i in range(n_sites)]
    return Case(state, spins, state.lookup(spins), FlipSets.from_lists(sets), 2 if dtype is np.complex128 else 1)


def time_ratios(case: Case, repeats: int) -> float:
    """Seconds per (flip, hidden unit, walker)."""
    wanted = np.ones((len(case.flips), case.width), dtype=bool)
    if case.flips.largest == 2:
        wanted = np.array([case.spins[case.flips[k]].sum(axis=0) == 0 for k in range(len(case.flips))])
    seconds = best_time(lambda: case.state.ratios(case.spins, case.lookup, case.flips, wanted), repeats)
    return seconds / (len(case.flips) * case.n_hidden * case.width)


def time_update(case: Case, repeats: int) -> float:
    """Seconds per (hidden unit, walker) of the update of T when all walkers accept."""
    shift = 0.01 * np.random.default_rng(2).normal(size=(case.n_planes, case.n_hidden))
    rows = hidden_units.new_pattern(case.n_planes, case.n_hidden)
    rows[1, :, : case.n_hidden] = shift
    rows[2] = -rows[1]
    tanh = hidden_units.new_walkers(case.width, case.n_planes, case.n_hidden)
    hidden_units.read_lookup(case.state.lookup(case.spins), tanh)
    return best_time(lambda: update_both_ways(rows, tanh), repeats) / (2 * case.n_hidden * case.width)


def time_products(case: Case, repeats: int) -> float:
    """Seconds per (hidden unit, walker) of the products over hidden units alone, the loop inside ratios."""
    rows = hidden_units.new_pattern(case.n_planes, case.n_hidden)
    rows[1] = 0.01
    tanh = hidden_units.new_walkers(case.width, case.n_planes, case.n_hidden)
    hidden_units.read_lookup(case.state.lookup(case.spins), tanh)
    return best_time(lambda: products(rows, tanh), repeats) / (20 * case.n_hidden * case.width)


@kernel
def products(rows: np.ndarray, tanh: np.ndarray) -> float:
    """Those of all walkers, 20 times."""
    total = 0.0
    for _ in range(20):
        for walker in range(0, len(tanh) - 1, 2):
            one, other = hidden_units.ratio_pair(rows, 1, tanh, walker, walker + 1)
            total += one[0] + other[0]
    return total


@kernel
def update_both_ways(rows: np.ndarray, tanh: np.ndarray) -> None:
    """Every walker there and back."""
    for way in (1, 2):
        for walker in range(len(tanh)):
            hidden_units.update(rows, way, tanh, walker)


def time_metropolis(case: Case, repeats: int) -> tuple[float, float]:
    """Seconds per (step, hidden unit, walker) of whole sweeps, and the acceptance."""
    rng = np.random.default_rng(3)
    n_steps = len(case.flips)
    conserving = np.full(n_steps, case.flips.largest == 2)
    chosen, uniforms = rng.integers(n_steps, size=n_steps), rng.random((n_steps, case.width))
    spins, lookup = case.spins.copy(), case.state.lookup(case.spins)
    counts = []

    def sweep() -> None:
        counts.append(case.state.metropolis(spins, lookup, case.flips, conserving, chosen, uniforms).mean())

    seconds = best_time(sweep, repeats)
    return seconds / (n_steps * case.n_hidden * case.width), float(np.mean(counts)) / n_steps


def time_lookup(case: Case, repeats: int) -> float:
    """Seconds per (hidden unit, walker)."""
    return best_time(lambda: case.state.lookup(case.spins), repeats) / (case.n_hidden * case.width)


def time_log_derivatives(case: Case, repeats: int) -> float:
    """Seconds per (parameter, walker)."""
    out = np.empty((case.state.ansatz.n_parameters, case.width), dtype=case.state.dtype)
    return best_time(lambda: case.state.log_derivatives(case.spins, case.lookup, out), repeats) / out.size


def report(case: Case, repeats: int) -> str:
    """One line of the table."""
    dgemm = dgemm_rate(repeats)
    cells = [f"{case.state.dtype.name:>10} {case.n_hidden:>5} {case.width:>5}"]
    for name, timer in (("ratios", time_ratios), ("products", time_products), ("update", time_update)):
        nanoseconds = 1e9 * timer(case, repeats)
        rate = FLOPS[name, case.n_planes] / nanoseconds
        cells.append(f"{nanoseconds:7.3f} {rate:5.1f} {100 * rate / dgemm:4.0f}%")
    metropolis, acceptance = time_metropolis(case, repeats)
    cells.append(f"{1e9 * metropolis:7.3f} ({acceptance:.2f})")
    cells.append(f"{1e9 * time_lookup(case, repeats):7.2f}")
    cells.append(f"{1e9 * time_log_derivatives(case, repeats):8.2f}")
    cells.append(f"{dgemm:6.1f}")
    return " | ".join(cells)


def sampling_seconds(case: Case, repeats: int) -> float:
    """Seconds of 4096 samples: a sweep of N proposals and the ratios of all sets for each."""
    elements = 4096 * len(case.flips) * case.n_hidden
    return elements * (time_ratios(case, repeats) + time_metropolis(case, repeats)[0])


def report_large(n_sites: int, n_hidden: int, width: int, pairs: bool, repeats: int) -> None:
    """Lines of the table of large weights, real and complex."""
    for dtype in (np.complex128, np.float64):
        cases = [make_case(n_sites, n_hidden, width, dtype, pairs, scale) for scale in (0.05, 2.5)]
        small, large = (sampling_seconds(case, repeats) for case in cases)
        cells = f"{cases[0].state.dtype.name:>10} {n_hidden:>5} {width:>5}", f"{small:8.3f}", f"{large:8.3f}"
        print(" | ".join([*cells, f"{large / small:5.1f}"]), flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sites", type=int, default=40, help="number of sites N of the ring (default 40)")
    parser.add_argument("--hidden", type=int, nargs="+", default=[160], help="hidden units M, multiples of N")
    parser.add_argument("--width", type=int, nargs="+", default=[64], help="walkers per block L")
    parser.add_argument("--pairs", action="store_true", help="bonds at fixed magnetisation instead of single flips")
    parser.add_argument("--large", action="store_true", help="compare large weights with small ones")
    parser.add_argument("--repeats", type=int, default=7, help="samples of which the best counts (default 7)")
    arguments = parser.parse_args()
    if arguments.large:
        print("     dtype     M     L | s small | s large | ratio")
        with threadpool_limits(1):
            for n_hidden in arguments.hidden:
                for width in arguments.width:
                    report_large(arguments.sites, n_hidden, width, arguments.pairs, arguments.repeats)
        return
    kernels = [f"{name:>7}  GF/s dgemm" for name in ("ratios", "product", "update")]
    heads = ["     dtype     M     L", *kernels, "sweep (accept)"]
    print(" | ".join([*heads, " lookup", "log-der.", " dgemm"]))
    with threadpool_limits(1):
        for dtype in (np.complex128, np.float64):
            for n_hidden in arguments.hidden:
                for width in arguments.width:
                    case = make_case(arguments.sites, n_hidden, width, dtype, arguments.pairs)
                    print(report(case, arguments.repeats), flush=True)


if __name__ == "__main__":
    main()
