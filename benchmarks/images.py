#!/usr/bin/env python3
"""Processor seconds of an iteration, by phase, of wave functions that are sums over many images of a configuration.

The Heisenberg model on the torus of 6 x 6 sites, default samples: a plain RBM (alpha = 1) projected on momentum zero,
A1 and even spin flips, and a feed-forward net of two layers of 8 units symmetrised by the space group.  The first
iteration has the burn-in of the walkers and is not counted.  Phases are wall times: on a core that others use too they
are longer than the processor time of the iteration, "cpu".  Example:

    python benchmarks/images.py --iterations 3
"""

from __future__ import annotations

import argparse
import time

import pvmc

SQUARE = {"lattice": {"kind": "rectangle", "size": [6, 6]}, "hamiltonian": {"model": "heisenberg"}}
CASES = {
    f"{kind}, {weights}": SQUARE | {"ansatz": ansatz | extra, "sampler": {"samples": 4096}}
    for weights in ("complex", "real")
    for kind, ansatz, extra in (
        (
            "projected RBM",
            {"kind": "projected", "momentum": [0, 0], "irrep": "A1", "spin_flip": 1},
            {"inner": {"kind": "rbm", "alpha": 1, "symmetry": "none", "weights": weights}},
        ),
        ("symmetrised net", {"kind": "feedforward", "widths": [8, 8], "symmetry": "space"}, {"weights": weights}),
    )
}
PHASES = ("sampling", "local_energies", "derivatives", "products", "solving")


def report(name: str, iterations: int) -> str:
    """One line of the table."""
    steps, rows = pvmc.iterate(pvmc.job(CASES[name])), []
    for number in range(iterations + 1):
        start = time.process_time()
        seconds = next(steps).seconds
        if number > 0:
            rows.append((time.process_time() - start, *(seconds[phase] for phase in PHASES)))
    return f"{name:>26} | " + " | ".join(f"{value:14.3f}" for value in min(rows))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--iterations", type=int, default=3, help="iterations of which the best counts (default 3)")
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES), help="default: all")
    arguments = parser.parse_args()
    print(" | ".join([" " * 26, *(f"{head:>14}" for head in ("cpu", *PHASES))]))
    for name in arguments.cases:
        print(report(name, arguments.iterations), flush=True)


if __name__ == "__main__":
    main()
