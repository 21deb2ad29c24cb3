#!/usr/bin/env python3
"""Speed of the feed-forward kernels: ns per (walker, flip) of ratios and Metropolis steps, against dgemm.

Columns: "layers" is the share of the time that the matrix products of the later layers alone would take at the rate of
dgemm measured beside it (a large square product): the bound of any implementation that runs these layers anew.  "units"
is the time per evaluated activation of all layers, in ns.  Example:

    python benchmarks/feedforward.py --sites 20 --widths 6 6
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from kernels import best_time, dgemm_rate
from threadpoolctl import threadpool_limits

from pvmc.lattice import chain
from pvmc.spins.flips import FlipSets
from pvmc.wavefunctions.feedforward import FeedForward, FeedForwardState


@dataclass
class Case:
    """A net, a block of walkers, and all single flips."""

    ansatz: FeedForward
    state: FeedForwardState
    spins: npt.NDArray[np.int8]
    lookup: npt.NDArray[np.float64]
    flips: FlipSets

    @property
    def n_units(self) -> int:
        """Activations per configuration."""
        return sum(self.ansatz.widths[1:-1]) * len(self.ansatz.permutations)

    @property
    def flops(self) -> int:
        """Floating-point operations of the later layers per configuration."""
        widths = self.ansatz.widths[1:]
        products = sum(below * above for below, above in zip(widths, widths[1:], strict=False))
        return 2 * products * self.ansatz.n_unit_planes**2 * len(self.ansatz.permutations)


def make_case(arguments: argparse.Namespace, weights: str, symmetry: str) -> Case:
    """A net on a ring with random walkers."""
    rng = np.random.default_rng(1)
    names = arguments.activation * (len(arguments.widths) if len(arguments.activation) == 1 else 1)
    group = chain(arguments.sites).group(symmetry)
    ansatz = FeedForward(group, arguments.widths, names, weights=weights)  # type: ignore[arg-type]
    state = ansatz.at(ansatz.initial_parameters(rng))
    spins = rng.choice(np.array([-1, 1], dtype=np.int8), size=(arguments.sites, arguments.width))
    return Case(ansatz, state, spins, state.lookup(spins), FlipSets.from_lists([[i] for i in range(arguments.sites)]))


def time_ratios(case: Case, repeats: int) -> float:
    """Seconds per (walker, flip)."""
    wanted = np.ones((len(case.flips), case.spins.shape[1]), dtype=bool)
    return best_time(lambda: case.state.ratios(case.spins, case.lookup, case.flips, wanted), repeats) / wanted.size


def time_metropolis(case: Case, repeats: int) -> float:
    """Seconds per (walker, step) of whole sweeps."""
    rng = np.random.default_rng(3)
    n_steps, width = len(case.flips), case.spins.shape[1]
    chosen, uniforms = rng.integers(n_steps, size=n_steps), rng.random((n_steps, width))
    spins, lookup, free = case.spins.copy(), case.lookup.copy(), np.zeros(n_steps, dtype=bool)
    seconds = best_time(lambda: case.state.metropolis(spins, lookup, case.flips, free, chosen, uniforms), repeats)
    return seconds / uniforms.size


def time_log_derivatives(case: Case, repeats: int) -> float:
    """Seconds per (parameter, walker)."""
    out = np.empty((case.ansatz.n_parameters, case.spins.shape[1]), dtype=case.state.dtype)
    return best_time(lambda: case.state.log_derivatives(case.spins, case.lookup, out), repeats) / out.size


def report(case: Case, weights: str, symmetry: str, repeats: int) -> str:
    """One line of the table."""
    dgemm = dgemm_rate(repeats)
    cells = [f"{weights:>15} {symmetry:>11}"]
    for timer in (time_ratios, time_metropolis):
        nanoseconds = 1e9 * timer(case, repeats)
        bound = case.flops / dgemm
        cells.append(f"{nanoseconds:9.1f} {nanoseconds / case.n_units:6.2f} {100 * bound / nanoseconds:5.1f}%")
    cells.append(f"{1e9 * time_log_derivatives(case, repeats):8.2f}")
    cells.append(f"{dgemm:6.1f}")
    return " | ".join(cells)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sites", type=int, default=20, help="number of sites N of the ring (default 20)")
    parser.add_argument("--widths", type=int, nargs="+", default=[40, 20], help="units of the hidden layers")
    parser.add_argument("--activation", nargs="+", default=["lncosh"], help="one for all layers, or one each")
    parser.add_argument("--symmetry", nargs="+", default=["none", "translation"], help="groups to time")
    parser.add_argument("--width", type=int, default=64, help="walkers per block L (default 64)")
    parser.add_argument("--repeats", type=int, default=7, help="samples of which the best counts (default 7)")
    arguments = parser.parse_args()
    columns = ["ns/flip   units layers".rjust(22), "ns/step   units layers".rjust(22)]
    print(" | ".join(["weights         symmetry".rjust(27), *columns, "O_k ns", " GF/s"]))
    with threadpool_limits(1):
        for symmetry in arguments.symmetry:
            for weights in ("real", "amplitude_phase", "complex"):
                case = make_case(arguments, weights, symmetry)
                print(report(case, weights, symmetry, arguments.repeats), flush=True)


if __name__ == "__main__":
    main()
