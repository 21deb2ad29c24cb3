"""How far runs come whose input names lattice, Hamiltonian and kind of wave function, and nothing else.

    python benchmarks/convergence.py run [CASE ...] [--seeds 1,2,3] [--json FILE]
    python benchmarks/convergence.py why [--seconds 40]         # one change at a time of the open chain of 100 sites
    python benchmarks/convergence.py --page docs/reports/convergence.md

A run is ``pvmc run`` on one rank and one thread, with the time limit of its case; its energy is that of its plateau, as
``pvmc status`` gives it.  Exact energies are totals, in the units of the models, by DMRG or exact diagonalisation in
independent programs unless said otherwise.  Results are kept in benchmarks/results/convergence.json.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from page import table, wrapped

import pvmc
from pvmc.io.reader import open_run
from pvmc.mpi import SerialCommunicator, node_of
from pvmc.results.plateau import plateau_of
from pvmc.vmc.start import compile_kernels, initial_state

RESULTS = Path(__file__).resolve().parent / "results" / "convergence.json"


@dataclass(frozen=True)
class Case:
    """A model, its exact total energy, what has to be reached, and how many minutes it has."""

    lattice: dict[str, Any]
    hamiltonian: dict[str, Any]
    exact: float
    goal: float
    minutes: float
    ansatz: dict[str, Any] = field(default_factory=lambda: {"kind": "rbm"})


def chain(length: int, *, periodic: bool = False) -> dict[str, Any]:
    return {"kind": "chain", "length": length, "periodic": periodic}


def rectangle(*size: int, periodic: bool = False) -> dict[str, Any]:
    return {"kind": "rectangle", "size": list(size), "periodic": periodic}


RYDBERG = {"model": "rydberg", "rabi": 1.0, "detuning": 1.5, "interaction": 4.0}
RING = -17.74652278788
"""The ring of 40 sites, Bethe ansatz."""

CASES: dict[str, Case] = {
    "heisenberg 100": Case(chain(100), {"model": "heisenberg"}, -44.1277398926, 1e-3, 20),
    "xxz 100": Case(chain(100), {"model": "xxz", "anisotropy": 2.0}, -61.3228599662, 1e-3, 20),
    "ising 100": Case(chain(100), {"model": "ising", "field": 1.0}, -126.9618767397, 1e-4, 10),
    "j1j2 100": Case(chain(100), {"model": "j1j2", "j2": 0.6}, -38.0653227807, 1e-2, 20),
    "rydberg 5x5": Case(rectangle(5, 5), RYDBERG, -16.3114854076, 1e-4, 5),
    "kagome 18": Case({"kind": "kagome", "size": [3, 2]}, {"model": "heisenberg"}, -8.0482707735, 1e-2, 20),
    "triangular 18": Case({"kind": "triangular", "size": [6, 3]}, {"model": "heisenberg"}, -10.45993563577, 1e-2, 20),
    "j1j2 4x4": Case(rectangle(4, 4, periodic=True), {"model": "j1j2", "j2": 0.5}, -8.457923351395, 1e-3, 5),
    "heisenberg 6x6": Case(rectangle(6, 6), {"model": "heisenberg"}, -21.7261780011, 2e-4, 10),
    **{
        f"ring 40, alpha {alpha}": Case(
            chain(40, periodic=True), {"model": "heisenberg"}, RING, goal, 5, {"kind": "rbm", "alpha": alpha}
        )
        for alpha, goal in ((1, 7e-5), (2, 5e-6), (4, 5e-7))
    },
    "ising 0": Case(chain(6, periodic=True), {"model": "ising", "field": 0.0}, -6.0, 1e-6, 1),
    "ising 1e-9": Case(chain(6, periodic=True), {"model": "ising", "field": 1e-9}, -6.0, 1e-6, 1),
    "ising 1e-3": Case(chain(6, periodic=True), {"model": "ising", "field": 1e-3}, -6.0 - 6 * 1e-6 / 4, 1e-6, 1),
}


def run(case: Case, seed: int) -> dict[str, Any]:
    """A run of a case; relative error, its own error, seconds of processor time, iterations and how it ended."""
    tables = {"lattice": case.lattice, "hamiltonian": case.hamiltonian, "ansatz": case.ansatz}
    with tempfile.TemporaryDirectory() as directory:
        config = Path(directory) / "case.toml"
        lines = [
            f"[{name}]\n" + "".join(f"{k} = {_toml(v)}\n" for k, v in part.items()) for name, part in tables.items()
        ]
        config.write_text("\n".join(lines))
        output = Path(directory) / "run"
        limit = f"{case.minutes * 60:.0f}s"
        options = ("--set", f"run.seed={seed}", "--set", "run.reference=none", "--time-limit", limit)
        begun, before = time.perf_counter(), os.times()
        command = [sys.executable, "-m", "pvmc", "run", str(config), "--output", str(output), *options]
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
        after = os.times()
        found: dict[str, Any] = {
            "seed": seed,
            "code": done.returncode,
            "seconds": after.children_user + after.children_system - before.children_user - before.children_system,
            "wall": time.perf_counter() - begun,
        }
        if not (output / "run.h5").exists():
            return found | {"message": done.stderr.strip().splitlines()[-1:]}
        result = open_run(output)
        mean = plateau_of(result)
        exact = case.exact / result.n_sites
        return found | {
            "relative": (mean.value - exact) / abs(exact),
            "error": mean.error / abs(exact),
            "iterations": len(result.iteration),
            "ended": result.message,
        }


def _toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else json.dumps(value)


# Why 100 sites without symmetry failed --------------------------------------------------------------------------------

BEFORE = {
    "ansatz.alpha": 1,
    "ansatz.shared_filters": "false",
    "ansatz.init_scale": 0.05,
    "sampler.samples": 1024,
    "sampler.walkers": 256,
    "sr.learning_rate": 0.1,
    "run.refine": None,
}
MOMENTUM = {
    "sr.solver": '"minsr"',
    "sr.learning_rate": 0.02,
    "sr.shift": 0,
    "sr.floor": 1e-2,
    "sr.momentum": "{mu=0.9}",
}
LOCAL = {"ansatz.init_scale": None}
EXPERIMENTS: dict[str, dict[str, Any]] = {
    "the input of before": {},
    "eight times the samples": {"sampler.samples": 8192},
    "a tenth of the initial scale": {"ansatz.init_scale": 0.005},
    "no decay of the shift: 1e-3 from the start": {"sr.shift": 1e-3},
    "a large shift: 0.3": {"sr.shift": 0.3},
    "four times the sweeps (mixing)": {"sampler.sweep": 400},
    "a fifth of the learning rate": {"sr.learning_rate": 0.02, "sr.shift": 1e-3},
    "the same with momentum 0.9 and an even shift (SPRING)": MOMENTUM,
    "a local start alone": LOCAL | {"sr.shift": 1e-3},
    "a local start, momentum": LOCAL | MOMENTUM,
    "shared filters, alpha = 1": {key: None for key in BEFORE} | {"ansatz.alpha": 1},
    "shared filters, alpha = 2 (automatic)": {key: None for key in BEFORE},
}


def experiment(changes: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Relative error after some processor time, as the mean of the last tenth of the iterations."""
    case, keys = CASES["heisenberg 100"], BEFORE | changes
    overrides = [f"{key}={value}" for key, value in keys.items() if value is not None]
    job = pvmc.job({"lattice": case.lattice, "hamiltonian": case.hamiltonian, "ansatz": {"kind": "rbm"}}, overrides)
    comm = SerialCommunicator()
    compile_kernels(job, initial_state(job, comm), comm, node_of(comm))
    energies, begun, last = [], time.process_time(), None
    for record in islice(pvmc.iterate(job, comm), 10**6):
        energies.append(record.energy.mean.real)
        last = record
        if time.process_time() - begun > seconds or not math.isfinite(energies[-1]):
            break
    assert last is not None
    tail = energies[-max(1, len(energies) // 10) :]
    return {
        "relative": (sum(tail) / len(tail) - case.exact) / abs(case.exact),
        "iterations": len(energies),
        "variance": last.energy.variance / 100,
        "angle": last.step.angle,
        "acceptance": last.energy.acceptance,
    }


# The page -------------------------------------------------------------------------------------------------------------


def page(results: dict[str, Any]) -> str:
    """docs/reports/convergence.md."""
    rows = []
    for name, case in CASES.items():
        runs = [
            results["runs"][f"{name}, seed {seed}"]
            for seed in range(1, 100)
            if f"{name}, seed {seed}" in results["runs"]
        ]
        if not runs:
            continue
        errors = ", ".join(f"{r['relative']:.1e}" if "relative" in r else f"code {r['code']}" for r in runs)
        seconds = ", ".join(f"{r['seconds']:.0f}" for r in runs)
        reached = sum(abs(r.get("relative", math.inf)) <= case.goal for r in runs)
        rows.append((name, f"{case.goal:g}", errors, f"{reached} of {len(runs)}", seconds, f"{60 * case.minutes:.0f}"))
    why = [
        (
            name,
            f"{r['relative']:.1e}",
            r["iterations"],
            f"{r['variance']:.1e}",
            f"{r['angle']:.3f}",
            f"{r['acceptance']:.2f}",
        )
        for name, r in results.get("why", {}).items()
    ]
    return wrapped(
        TEXT.format(
            cases=table(("case", "goal", "relative error of each seed", "reached", "processor s", "allowed s"), rows),
            why=table(("change", "relative error", "iterations", "variance/N", "angle of a step", "acceptance"), why),
            seconds=f"{results.get('why_seconds', 0):.0f}",
        )
    )


TEXT = """# Convergence of runs whose input names next to nothing

Written by `python benchmarks/convergence.py --page docs/reports/convergence.md`; the numbers are in
`benchmarks/results/convergence.json`, made by `run` and `why` of the same program. One rank, one thread.

## What is chosen

`pvmc validate` shows it, the run stores it. With a `sr.learning_rate` of your own none of the keys of [sr]
below is changed.

- **Wave function** (RBM): translations where lattice and Hamiltonian have them; the point group of open
  lattices of two or three dimensions with up to 64 sites where the ground state is positive; else no symmetry.
  4 hidden units per site, 2 on more than 64 sites. Real weights where the ground state is positive and there
  are no translations.
- **Shared filters**: without symmetry, but with couplings that are the same everywhere, hidden units at all
  sites have the same filter, a weight for each displacement, until the second level of refinement; then all
  weights are free.
- **Steps**: the learning rate is 0.025 over the largest off-diagonal coefficient of a Pauli string (or 1/8 of
  the largest diagonal one), the shift max(0.9^p, 1e-4), the floor 1e-5. Where there are fewer samples than
  parameters, the rate is a fifth of that, with momentum 0.9 and an even shift of 1e-2: a step that fits the
  noise of all samples turns the state by gamma times the standard deviation of the local energy, in a direction
  that other samples do not confirm. Longer steps than 0.2 radians get a larger shift, steps after which the
  energy rose by 5 errors are taken back.
- **Starts**: 4 seeds of 100 iterations each on up to 64 sites with up to 1000 parameters, of which the lowest goes on.
- **Refinement**: wherever the mean energy of 80 iterations is not below that of the 80 before by more than its
  noise, the learning rate is halved and the samples are doubled (1024 or 2048 at first, up to 8 times; twice
  for many parameters). After the fourth level the run ends as converged, and says how much the energy still
  fell. With `run.iterations` of your own
  the rate stays, and the run goes on to its end.

## How far it comes

{cases}
These rows, and those below, were measured while the automatic shift ended at 1e-3 and the floor was 1e-4.

The energy is that of the run's plateau.  kagome 18 and triangular 18 have signs that an RBM does not learn.

## Why 100 sites without symmetry failed

The open Heisenberg chain of 100 sites after {seconds} s of processor time, one change at a time from the input
of before (alpha = 1, real, learning rate 0.1, lambda = 100 0.9^p, initial scale 0.05, 1024 samples).

{why}
Neither the number of samples, nor the shift, nor the sweeps are the cause: all units begin alike and learn the
same mean field, a plateau at 16 %, and steps that fit the noise of 1024 samples with 10 100 parameters move the
state at random.  A start in which units have places, and steps that are averaged, take the energy to a few
percent in the same time; what makes it 1e-3 is that a filter is the same at all sites, so that there are 100
times fewer parameters until they are known.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=("run", "why"))
    parser.add_argument("cases", nargs="*", help="; ".join(CASES))
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--json", type=Path, default=RESULTS)
    parser.add_argument("--page", type=Path)
    options = parser.parse_args()
    results = json.loads(options.json.read_text()) if options.json.exists() else {"runs": {}, "why": {}}
    if options.what == "why":
        results["why_seconds"] = options.seconds
        for name, changes in EXPERIMENTS.items():
            if not options.cases or name in options.cases:
                results["why"][name] = experiment(changes, options.seconds)
                print(name, results["why"][name], flush=True)
    if options.what == "run":
        for name in options.cases or CASES:
            for seed in map(int, options.seeds.split(",")):
                results["runs"][f"{name}, seed {seed}"] = found = run(CASES[name], seed)
                print(name, found, flush=True)
                options.json.write_text(json.dumps(results, indent=1) + "\n")
    options.json.write_text(json.dumps(results, indent=1) + "\n")
    if options.page:
        options.page.write_text(page(results))


if __name__ == "__main__":
    main()
