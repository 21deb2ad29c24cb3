"""The SR problem of a plain complex RBM solved by pvmc and by NetKet, the very same samples: times, memory, a table.

    python benchmarks/solvers.py --peer-python .venv-peer/bin/python --problems DIR --output FILE.json [--only-peer]
    python benchmarks/solvers.py --table FILE.json [--page docs/reports/solvers.md] [--again]
    python benchmarks/solvers.py --solver NAME --load FILE.npz [--shift 1e-3] [--tolerance 1e-8]

The first measures every comparison, both sides one after the other on one core, each in a process of its own; the
second prints the table of numbers measured before, or writes the page (--again: pvmc's side is measured anew); the
third is one measurement of pvmc, one JSON line like that of solvers_peer.py. Problems are the .npz files of
solver_problem.py; the first command makes those that it does not find.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np
from page import table
from solver_problem import Complex, Problem
from threadpoolctl import threadpool_limits

from pvmc.estimators import Moments, Rows
from pvmc.estimators.derivatives import Derivatives, Factored, Stored
from pvmc.estimators.energy import exact_statistics
from pvmc.estimators.moment_matrix import Chunk, collect
from pvmc.mpi import SerialCommunicator
from pvmc.sr import Reconfiguration, Schedule, SRSpec
from pvmc.sr.krylov import KrylovSpec
from pvmc.wavefunctions import RBM, WaveFunction

SAMPLES = 1024
REPEATS = 5
WIDTH = 256
"""Configurations in a chunk: four draws of a block of 64 walkers."""

SOLVERS = ("dense", "minsr", "minsr-rows", "cg", "numpy")
"""pvmc's, and the reference: the formula of minSR in numpy."""


@dataclass(frozen=True)
class Comparison:
    """One solver of pvmc beside one of NetKet; the tolerance is that of conjugate gradients."""

    n_sites: int
    ours: str
    theirs: str
    shift: float = 1e-3
    tolerance: float = 1e-5

    @property
    def is_iterative(self) -> bool:
        """Whether it has a tolerance."""
        return self.theirs.startswith("cg")


def lazy(n_sites: int) -> list[Comparison]:
    """S never made, nor its factors: at jax's own tolerance and at a small one, for two shifts."""
    return [
        Comparison(n_sites, "cg", "cg-fly", shift, tolerance) for shift in (1e-2, 1e-3) for tolerance in (1e-5, 1e-8)
    ]


COMPARISONS = [
    Comparison(40, "dense", "cholesky"),
    Comparison(40, "minsr", "minsr"),
    Comparison(40, "minsr-rows", "minsr"),
    Comparison(40, "minsr", "minsr-fly"),
    *lazy(40),
    Comparison(40, "cg", "cg-dense"),
    Comparison(80, "minsr", "minsr"),
    Comparison(80, "minsr-rows", "minsr"),
    Comparison(80, "minsr", "minsr-fly"),
    *lazy(80),
    Comparison(80, "cg", "cg-dense"),
]
"""S of the ring of 80 sites, 26000 parameters, takes 11 GB: no dense solver there."""


def main() -> None:
    """One of the three commands."""
    options = arguments()
    if options.table:
        found = json.loads(options.table.read_text(encoding="utf-8"))
        if options.again:
            measure_again(found, options)
        if options.page:
            options.page.write_text(PAGE.format(date=found["date"], table=markdown(found)), encoding="utf-8")
        else:
            print(markdown(found), end="")
    elif options.solver:
        with threadpool_limits(1):
            print(json.dumps(measure(options)))
    else:
        compare(options)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command = parser.add_mutually_exclusive_group(required=True)
    command.add_argument("--peer-python", type=Path, help="Python with NetKet: compare with it")
    command.add_argument("--table", type=Path, help="print the table of these numbers")
    command.add_argument("--solver", choices=SOLVERS, help="measure one solver of pvmc")
    parser.add_argument("--problems", type=Path, default=Path("runs/solvers"), help="directory of the problems")
    parser.add_argument("--output", type=Path, default=Path("runs/solvers/numbers.json"), help="the numbers")
    parser.add_argument("--only-peer", action="store_true", help="leave pvmc out")
    parser.add_argument("--page", type=Path, help="with --table: write the page")
    parser.add_argument("--again", action="store_true", help="with --table: measure pvmc's side anew")
    parser.add_argument("--load", type=Path, help="the problem, with --solver")
    parser.add_argument("--shift", type=float, default=1e-3, help="added to the diagonal of S")
    parser.add_argument("--tolerance", type=float, default=1e-5, help="of conjugate gradients")
    options = parser.parse_args()
    if options.solver and not options.load:
        parser.error("--solver needs --load")
    return options


# --- pvmc's side ---------------------------------------------------------------------------------------------------


def pvmc_solution(problem: Problem, solver: str, shift: float, tolerance: float) -> Callable[[], Complex]:
    """What makes x in pvmc from samples and local energies, to be called again and again and timed.

    Log-derivatives, rows and the solution are made in the call; tables of psi, which sampling needs anyway, are not.
    F is that of ``problem.energies`` as they are, in units of sigma.sigma, and the shift is absolute.

    Args:
        problem: spins int8 (N, n_s), parameters complex128 (K,) and local energies complex128 (n_s,).
        solver: "dense", "minsr", "minsr-rows" (without factors) or "cg".
        shift: added to every S_kk.
        tolerance: |(S + shift) x - F| / |F| at which "cg" stops, in the scaling of a unit diagonal.

    Returns:
        A function without arguments that returns x, complex128 (K,).
    """
    n_sites, n_samples = problem.spins.shape
    rbm = RBM(np.arange(n_sites)[None], _hidden(n_sites, len(problem.theta)), dtype=np.complex128, visible_bias=True)
    psi = rbm.at(problem.theta)
    nothing, offset = Schedule(initial=0.0), Schedule(initial=shift)
    spec = SRSpec(shift=nothing, floor=nothing, offset=offset, krylov=KrylovSpec(tolerance=tolerance))
    linear = {"cg": "krylov", "minsr-rows": "minsr"}.get(solver, solver)
    comm, weights = SerialCommunicator(), np.full(n_samples, 1.0 / n_samples)
    blocks = [np.ascontiguousarray(problem.spins[:, i : i + WIDTH]) for i in range(0, n_samples, WIDTH)]
    centred = problem.energies - problem.energies.mean()
    statistics = exact_statistics(complex(problem.energies.mean()), 0.0, n_samples, n_sites, 0.0)

    def derivatives(spins: np.ndarray) -> Derivatives:
        lookup = psi.lookup(spins)
        if solver in ("cg", "minsr"):
            return Factored(psi.derivative_factors(spins, lookup))
        return Stored(psi.log_derivatives(spins, lookup))

    def solution() -> Complex:
        if solver == "dense":
            matrix = collect(partial(_chunks, psi, blocks, problem.energies), comm, **_whole(len(blocks), n_samples))
            mean, force, tensor = matrix.covariances(comm)
            moments = Moments(statistics, mean, force, tensor, len(mean), force.dtype)
        else:
            rows = Rows([derivatives(spins) for spins in blocks], centred, weights, comm, real=False)
            nowhere = np.empty(0), np.empty(0), np.empty((0, 0))
            moments = Moments(statistics, *nowhere, rows.n_parameters, rows.dtype, rows=rows)
        return Reconfiguration(spec, linear).solve(moments, 0, comm).direction

    return solution


def _hidden(n_sites: int, n_parameters: int) -> int:
    """M of a plain RBM with visible biases, K = N + M + M N."""
    return (n_parameters - n_sites) // (n_sites + 1)


def _whole(n_chunks: int, n_samples: int) -> dict[str, object]:
    return {"n_chunks": n_chunks, "n_samples": n_samples, "is_complex": True, "real_parameters": False}


def _chunks(psi: WaveFunction, blocks: list[np.ndarray], energies: Complex) -> Iterator[Chunk]:
    """What the dense solver sums."""
    for i, spins in enumerate(blocks):
        derivatives = psi.log_derivatives(spins, psi.lookup(spins))
        part = energies[i * WIDTH : i * WIDTH + spins.shape[1]]
        yield Chunk(np.concatenate([np.ones((1, len(part))), derivatives, part[None]]), i, slice(0, 1))


def measure(options: argparse.Namespace) -> dict[str, object]:
    """Times, memory and errors of one solver of pvmc, or of the reference."""
    problem = Problem.read(options.load)
    if options.solver == "numpy":
        solve = partial(problem.solution, options.shift)
    else:
        solve = pvmc_solution(problem, options.solver, options.shift, options.tolerance)
    before = largest_memory()
    x = solve()
    memory = largest_memory() - before
    reference = x if options.solver == "numpy" else problem.solution(options.shift)
    return {
        "case": len(problem.spins),
        "samples": problem.spins.shape[1],
        "parameters": len(problem.theta),
        "solver": options.solver,
        "shift": options.shift,
        "load": os.getloadavg()[0],
        "memory": memory,
        **times(solve),
        "residual": problem.residual(x, options.shift),
        "difference": float(np.linalg.norm(x - reference) / np.linalg.norm(reference)),
    }


def largest_memory() -> int:
    """Largest resident memory of this process so far, bytes."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def times(solve: Callable[[], object]) -> dict[str, float]:
    """Median and least seconds of a call, by the clock and of the processor."""
    wall, used = [], []
    for _ in range(REPEATS):
        start, start_used = time.perf_counter(), time.process_time()
        solve()
        wall.append(time.perf_counter() - start)
        used.append(time.process_time() - start_used)
    return {
        "seconds": float(np.median(wall)),
        "least_seconds": min(wall),
        "cpu_seconds": float(np.median(used)),
        "least_cpu_seconds": min(used),
    }


# --- both sides ----------------------------------------------------------------------------------------------------


def compare(options: argparse.Namespace) -> None:
    """Measure every comparison, one side after the other, and write the numbers; the file grows as they come."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    options.problems.mkdir(parents=True, exist_ok=True)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    found: dict[str, object] = {"date": date.today().isoformat(), "rows": []}
    for comparison in COMPARISONS:
        problem = problem_file(options, comparison.n_sites)
        row = {"ours": comparison.ours, "iterative": comparison.is_iterative}
        row["netket"] = line_of([*peer_command(options), *solver_arguments(comparison.theirs, comparison, problem)])
        if not options.only_peer:
            ours = [sys.executable, __file__, *solver_arguments(comparison.ours, comparison, problem)]
            row["pvmc"] = line_of(ours)
        found["rows"].append(row)  # type: ignore[attr-defined]
        options.output.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        print(json.dumps(row), flush=True)
    print(markdown(found), end="")


def measure_again(found: dict, options: argparse.Namespace) -> None:
    """pvmc's side of numbers measured before, on the same problems."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    for row in found["rows"]:
        theirs = row["netket"]
        tolerance = theirs.get("tolerance") or 1e-5
        comparison = Comparison(theirs["case"], row["ours"], theirs["solver"], theirs["shift"], tolerance)
        problem = problem_file(options, comparison.n_sites)
        row["pvmc"] = line_of([sys.executable, __file__, *solver_arguments(row["ours"], comparison, problem)])
        options.table.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


PAGE = """\
# The linear problem of an iteration: time and memory of its solvers

Written by `python benchmarks/solvers.py --table benchmarks/results/solvers.json --page docs/reports/solvers.md` from
numbers of {date}. How the solvers work is in [physics.md](../physics.md), which one a run takes, and why, in the
output of `pvmc validate`.

Both programs solve the very same problem: plain complex RBMs with alpha = 4 on Heisenberg rings of 40 and 80 sites,
1024 samples drawn by NetKet 3.23, its local energies, an absolute shift of the diagonal of S. One core, one thread;
seconds of the processor, the median of 3 to 5 solutions after one that compiles; memory is what the first solution
adds to the process. `minsr` makes the kernel from the factors of the log-derivatives, `minsr-rows` from the
log-derivatives themselves (what a shift relative to S_kk, or an ansatz without factors, needs); `cg` is `sr.solver
= "krylov"`. NetKet's processor was shared with others while it was measured, which seconds of the processor hide
for the most part.

{table}
S of the ring of 80 sites would take 10.8 GB: no dense solver there. The dense solver factorises large matrices in
single precision and refines the solution until it no longer improves; it works near the rate of the core's matrix
product (4 n K^2 + 4/3 K^3 operations). The residuals are those of S x + shift x = F relative to |F|.

Run in full, `configs/heisenberg_chain_plain.toml` (80 sites, K = 25 920, 1024 samples) takes 0.2 - 0.3 s per
iteration on one core and 344 MB on one rank, 310 MB on each of two, of which 200 MB are Python and its libraries
(`pvmc bench`). With rows in place of factors it takes 831 MB and 595 MB: the rows, 425 MB, are shared out.
"""


def problem_file(options: argparse.Namespace, n_sites: int) -> Path:
    """The problem of a ring, made by NetKet where it is not there yet."""
    path: Path = options.problems / f"ring{n_sites}.npz"
    if not path.is_file():
        new = ["--case", str(n_sites), "--samples", str(SAMPLES), "--solver", "minsr", "--save", str(path)]
        line_of([*peer_command(options), *new])
    return path


def peer_command(options: argparse.Namespace) -> list[str]:
    """solvers_peer.py in NetKet's environment."""
    return [str(options.peer_python), str(Path(__file__).with_name("solvers_peer.py"))]


def solver_arguments(solver: str, comparison: Comparison, problem: Path) -> list[str]:
    """What both scripts take."""
    numbers = ["--shift", str(comparison.shift), "--tolerance", str(comparison.tolerance)]
    return ["--solver", solver, "--load", str(problem), *numbers]


def line_of(command: list[str]) -> dict:
    """The JSON line that a command prints; raises SystemExit where it fails."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{Path(command[1]).name} failed")
    return json.loads(done.stdout)


def markdown(found: dict) -> str:
    """The table: seconds of the processor, medians; memory is what the first solution added to the process."""
    head = [
        *("ring", "parameters", "shift", "pvmc", "NetKet", "pvmc/s", "NetKet/s", "ratio"),
        *("pvmc/MB", "NetKet/MB", "NetKet's iterations", "pvmc's residual", "NetKet's residual"),
    ]
    return table(head, (_row(row) for row in found["rows"]))


def _row(row: dict) -> list[str]:
    theirs, ours = row["netket"], row.get("pvmc")
    name = f"{theirs['solver']} to {theirs['tolerance']:g}" if row["iterative"] else theirs["solver"]
    return [
        str(theirs["case"]),
        str(theirs["parameters"]),
        f"{theirs['shift']:g}",
        row["ours"],
        name,
        f"{ours['cpu_seconds']:.3g}" if ours else "-",
        f"{theirs['cpu_seconds']:.3g}",
        f"{theirs['cpu_seconds'] / ours['cpu_seconds']:.3g}" if ours else "-",
        f"{ours['memory'] / 1e6:.0f}" if ours else "-",
        f"{theirs['memory'] / 1e6:.0f}",
        str(theirs["iterations"]) if row["iterative"] else "-",
        f"{ours['residual']:.1e}" if ours else "-",
        f"{theirs['residual']:.1e}",
    ]


if __name__ == "__main__":
    main()
