"""Benchmarks of pvmc on this machine: a JSON file and the page docs/reports/benchmarks.md.  ``make bench``.

    python benchmarks/run.py --output benchmarks/results/machine.json [--peer peer.json]

Everything runs in processes of one thread.  Rates of kernels are shares of the same core's own matrix product, measured
in the same process around each of them, so that other work on the machine hardly matters.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np
from cases import ITERATION_CASES, KERNEL_CASES
from kernels import (
    FLOPS,
    Case,
    best_time,
    dgemm_rate,
    make_case,
    time_log_derivatives,
    time_lookup,
    time_metropolis,
    time_products,
    time_ratios,
    time_update,
)
from page import markdown
from threadpoolctl import threadpool_limits

from pvmc.config import RawInput, validate
from pvmc.estimators import local_energy
from pvmc.io import provenance
from pvmc.mpi import SerialCommunicator, describe_mpi
from pvmc.vmc.job import Job, build_job
from pvmc.vmc.spec import JobConfig

ROOT = Path(__file__).resolve().parents[1]
REPEATS = 9


def main() -> None:
    """Measure, write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    name = re.sub(r"\W+", "_", provenance.cpu_model()).strip("_").lower()
    results = ROOT / "benchmarks" / "results"
    parser.add_argument("--output", type=Path, default=results / f"{name}.json", help="the numbers")
    parser.add_argument("--peer-python", type=Path, help="Python with NetKet: compare with it, and do nothing else")
    parser.add_argument("--peer", type=Path, default=results / f"{name}_peer.json", help="numbers of that comparison")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "reports" / "benchmarks.md", help="the page")
    options = parser.parse_args()
    if options.peer_python:
        with threadpool_limits(1):
            compared = compare(options.peer_python)
        options.peer.write_text(json.dumps(compared, indent=2) + "\n", encoding="utf-8")
        print(f"wrote {options.peer}")
        return
    with threadpool_limits(1):
        numbers = {
            "date": date.today().isoformat(),
            "load": os.getloadavg()[0],
            "machine": provenance.collect(describe_mpi()["library"]) | {"cores": len(os.sched_getaffinity(0))},
            "kernels": kernel_table(),
            "rates": {case: rates(tables) for case, tables in KERNEL_CASES.items()},
            "start": start_seconds(),
            "iterations": {case: bench(tables, 1) for case, tables in ITERATION_CASES.items()},
            "two_ranks": {case: bench(tables, 2) for case, tables in ITERATION_CASES.items()},
        }
    for private in ("pid", "host", "command_line"):
        numbers["machine"].pop(private, None)
    options.output.parent.mkdir(exist_ok=True)
    options.output.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
    peer = json.loads(options.peer.read_text(encoding="utf-8")) if options.peer.is_file() else None
    options.page.write_text(markdown(numbers, peer), encoding="utf-8")
    print(f"wrote {options.output} and {options.page}")


def kernel_table() -> list[dict[str, object]]:
    """Nanoseconds per element of the RBM's kernels, and their share of the core's matrix product."""
    rows: list[dict[str, object]] = []
    for dtype in (np.complex128, np.float64):
        for pairs in (False, True):
            case = make_case(40, 160, 64, dtype, pairs)
            ratios, ratios_dgemm = beside_dgemm(time_ratios, case)
            product, product_dgemm = beside_dgemm(time_products, case)
            update, update_dgemm = beside_dgemm(time_update, case)
            rows.append(
                {
                    "dtype": np.dtype(dtype).name,
                    "flips": "bonds" if pairs else "sites",
                    "dgemm": max(ratios_dgemm, update_dgemm),
                    "ratios": 1e9 * ratios,
                    "ratios_share": 1e-9 * FLOPS["ratios", case.n_planes] / ratios / ratios_dgemm,
                    "products": 1e9 * product,
                    "products_share": 1e-9 * FLOPS["products", case.n_planes] / product / product_dgemm,
                    "update": 1e9 * update,
                    "update_share": 1e-9 * FLOPS["update", case.n_planes] / update / update_dgemm,
                    "sweep": 1e9 * time_metropolis(case, REPEATS)[0],
                    "lookup": 1e9 * time_lookup(case, REPEATS),
                    "derivatives": 1e9 * time_log_derivatives(case, REPEATS),
                }
            )
            print("kernels", rows[-1], flush=True)
    return rows


def beside_dgemm(timer: Callable[[Case, int], float], case: Case) -> tuple[float, float]:
    """Least seconds per element of a kernel, and largest rate of the matrix product, in turns."""
    turns = [(dgemm_rate(2), timer(case, 2)) for _ in range(REPEATS)]
    return min(seconds for _, seconds in turns), max(rate for rate, _ in turns)


def job_of(tables: dict) -> Job:
    """The job of a case."""
    raw = RawInput(tables, "case")
    return build_job(validate(JobConfig, raw), raw)


def rates(tables: dict) -> dict[str, float]:
    """Local energies and proposals per second of one core, one block of walkers."""
    job = job_of(tables)
    psi = job.ansatz.at(job.ansatz.initial_parameters(np.random.default_rng(1)))
    spins = job.sampler.start(range(1), SerialCommunicator()).spins[0]
    lookup = psi.lookup(spins)
    energies = best_time(lambda: local_energy(job.operator, psi, spins, lookup), REPEATS)
    rng = np.random.default_rng(2)
    n_steps, width = job.lattice.n_sites, spins.shape[1]
    moves = job.sampler.moves
    chosen, uniforms = moves.choose(rng, n_steps), rng.random((n_steps, width))
    sweep = best_time(lambda: psi.metropolis(spins, lookup, moves.flips, moves.conserving, chosen, uniforms), REPEATS)
    found = {"local energies": width / energies, "proposals": n_steps * width / sweep}
    print("rates", found, flush=True)
    return found


def compare(python: Path) -> dict[str, object]:
    """Every case in NetKet, and in pvmc just before and just after it, all on one core."""
    core = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    environment = os.environ | {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}
    found: dict[str, object] = {"date": date.today().isoformat(), "cpu": provenance.cpu_model(), "cases": {}}
    for case, tables in {**KERNEL_CASES, **ITERATION_CASES}.items():
        measure = rates if case in KERNEL_CASES else partial(bench, ranks=1)
        before = measure(tables)
        with tempfile.NamedTemporaryFile(suffix=".json") as file:
            command = [str(python), str(Path(__file__).with_name("peer.py")), "--case", case, "--output", file.name]
            subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
            theirs = json.loads(Path(file.name).read_text(encoding="utf-8"))
        ours = [before, measure(tables)]
        found["cases"][case] = {"pvmc": ours, "netket": theirs}  # type: ignore[index]
        found |= {"netket": theirs["netket"], "jax": theirs["jax"]}
        print(case, ratios_to(ours, theirs), flush=True)
    return found


def ratios_to(ours: list[dict], theirs: dict) -> dict[str, float]:
    """How many times faster pvmc is, by the mean of its two measurements; and its memory over NetKet's."""
    if "seconds" in theirs:
        seconds = sum(found["seconds"] for found in ours) / 2
        memory = max(found["memory"] for found in ours) / theirs["memory"]
        return {"iteration": theirs["seconds"] / seconds, "memory": memory}
    names = ("local energies", "proposals")
    return {name: sum(found[name] for found in ours) / 2 / theirs[name] for name in names}


def toml(tables: dict) -> str:
    """The case as an input file."""
    lines = []
    for section, keys in tables.items():
        lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items())]
    return "\n".join(lines)


def bench(tables: dict, ranks: int, iterations: int = 7) -> dict[str, object]:
    """What ``pvmc bench`` measures on a number of ranks."""
    with tempfile.TemporaryDirectory() as directory:
        config, result = Path(directory) / "case.toml", Path(directory) / "case.json"
        config.write_text(toml(tables), encoding="utf-8")
        arguments = ["bench", str(config), "--iterations", str(iterations), "--json", str(result)]
        subprocess.run([*launcher(ranks), *arguments], check=True, stdout=subprocess.DEVNULL)
        found = json.loads(result.read_text(encoding="utf-8"))
    found.pop("machine")
    print(f"{ranks} ranks: {found['job']}: {found['seconds']:.4f} s", flush=True)
    return found


def start_seconds(repeats: int = 5) -> dict[str, float]:
    """Seconds from starting 2 processes to their end after one iteration, kernels in the cache: wall and processor."""
    wall, used = [], []
    with tempfile.TemporaryDirectory() as directory:
        command = [*launcher(2), "run", str(ROOT / "configs" / "heisenberg_chain.toml"), "--set", "run.iterations=1"]
        for _ in range(repeats + 1):
            before, start = os.times(), time.perf_counter()
            output = ["--output", directory, "--overwrite"]
            subprocess.run([*command, *output], check=True, stdout=subprocess.DEVNULL)
            after = os.times()
            wall.append(time.perf_counter() - start)
            used.append(after.children_user - before.children_user + after.children_system - before.children_system)
    found = {"wall": min(wall[1:]), "processor": min(used[1:])}
    print("start", found, flush=True)
    return found


def launcher(ranks: int) -> list[str]:
    """The command that starts pvmc on a number of ranks."""
    program = [sys.executable, "-m", "pvmc"]
    if ranks == 1:
        return program
    beside = shutil.which("mpiexec", path=Path(sys.executable).parent) or "mpiexec"
    return [beside, "-n", str(ranks), *program]


if __name__ == "__main__":
    main()
