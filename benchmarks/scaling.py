"""How pvmc scales: measurements on this machine, the cost model fitted to them, and what it says of 1 to 4096 ranks.

    python benchmarks/scaling.py [--parts messages checks]

``make scaling``.  Writes the numbers, docs/reports/scaling.md and docs/figures/scaling.png; with ``--parts`` only those
named are measured, and the others are those of the file; none for the page and the figure alone.  Runs alternate, and
times are processor times where others compute on the machine too, see iterations.py.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import numpy as np
import single_precision
from cases import CHECKS, LAYOUTS, ROOT_CASES, SCALING_CASES, SCALING_SAMPLES, cut
from cost_model import fit_link, fit_root, invert_reduce
from run import ROOT, job_of, launcher, toml
from scaling_figure import draw
from scaling_page import markdown
from threadpoolctl import threadpool_limits

from pvmc.io import provenance
from pvmc.mpi import SerialCommunicator, describe_mpi
from pvmc.vmc.loop import StepRecord, iterate
from pvmc.vmc.start import initial_state

QUIET = 0.1
"""Share of the cores that others may take when a measurement begins."""

PARTS = ("single_precision", "messages", "root", "cases", "checks")
"""What is measured."""

RUN_SECONDS = 1.5
"""For how long iterations are timed in one run."""

WORK = ("sampling", "local_energies", "derivatives", "products")
"""Phases of a rank's own blocks."""


def main() -> None:
    """Measure, write."""
    name = re.sub(r"\W+", "_", provenance.cpu_model()).strip("_").lower()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    results = ROOT / "benchmarks" / "results" / f"scaling_{name}.json"
    parser.add_argument("--output", type=Path, default=results, help="the numbers")
    parser.add_argument("--parts", nargs="*", default=PARTS, choices=PARTS, help="what to measure; default: all")
    parser.add_argument("--patience", type=float, default=20.0, help="seconds to wait in all for a quiet machine")
    options = parser.parse_args()
    numbers = json.loads(options.output.read_text(encoding="utf-8")) if options.output.is_file() else {}
    if options.parts:
        measure(numbers, options.parts, Patience(options.patience))
        options.output.write_text(text(numbers), encoding="utf-8")
    page, figure = ROOT / "docs" / "reports" / "scaling.md", ROOT / "docs" / "figures" / "scaling.png"
    page.write_text(markdown(numbers), encoding="utf-8")
    draw(numbers, figure)
    print(f"wrote {page} and {figure}")


def text(numbers: dict) -> str:
    """The numbers as JSON, an iteration to a line, with four digits."""
    rounded = json.loads(json.dumps(numbers), parse_float=lambda word: float(f"{float(word):.4g}"))
    pretty = json.dumps(rounded, indent=1)
    one_line = re.sub(r'\{\s+"seconds": [^{}]*"phases": \{[^{}]*\}\s+\}', lambda row: " ".join(row[0].split()), pretty)
    return one_line + "\n"


@dataclass
class Patience:
    """How long to wait, in all, for moments in which other processes leave the cores alone."""

    left: float

    def wait(self) -> None:
        """Wait for such a moment, or until there is no patience left."""
        while self.left > 0:
            before, start = processor_seconds(), time.perf_counter()
            time.sleep(0.3)
            waited = time.perf_counter() - start
            if processor_seconds() - before < QUIET * waited * (os.cpu_count() or 1):
                return
            self.left -= waited


def measure(numbers: dict, parts: Sequence[str], patience: Patience) -> None:
    """Put the numbers of the parts into the table."""
    start = time.perf_counter()
    numbers |= {"date": date.today().isoformat(), "load": os.getloadavg()[0]}
    numbers["machine"] = provenance.collect(describe_mpi()["library"]) | {"cores": len(os.sched_getaffinity(0))}
    for private in ("pid", "host", "command_line"):
        numbers["machine"].pop(private, None)
    measures: dict[str, Callable[[], dict]] = {
        "single_precision": lambda: single_precision.measure(patience.wait),
        "messages": lambda: messages(patience),
        "root": lambda: root_seconds(patience),
        "cases": lambda: {name: layouts(name, patience) for name in SCALING_CASES},
        "checks": lambda: {name: check(name, patience) for name in CHECKS},
    }
    for part in parts:
        with threadpool_limits(1):
            numbers[part] = step(part, measures[part])
    numbers["seconds"] = time.perf_counter() - start


def step(name: str, function: Callable[[], dict]) -> dict:
    """A part of the measurement, announced."""
    start = time.perf_counter()
    found = function()
    print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)
    return found


def messages(patience: Patience) -> dict:
    """Messages between two ranks, and the model's constants from them."""
    patience.wait()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "messages.json"
        mpiexec = launcher(2)[0]
        command = [mpiexec, "-n", "2", sys.executable, str(Path(__file__).with_name("messages.py")), str(path)]
        subprocess.run(command, check=True)
        found = json.loads(path.read_text(encoding="utf-8"))
    link = fit_link(found["n_bytes"], found["ping_pong"])
    small = statistics.median(found["allreduce"][:3] + found["reduce"][:3] + found["broadcast"][:3])
    call = max(0.0, small - link.latency)
    each = [
        (n, invert_reduce(n, seconds, link, call) / n)
        for n, seconds in zip(found["n_bytes"], found["reduce"], strict=True)
        if n >= 32768
    ]
    return found | {"link": asdict(link), "call": call, "adding": each}


@dataclass
class Timed:
    """Seconds of the phases of the iterations of a job on one rank, after two that warm up."""

    steps: Iterator[StepRecord]
    rows: list[dict[str, float]]

    @classmethod
    def of(cls, tables: dict) -> Timed:
        job, comm = job_of(tables), SerialCommunicator()
        steps = iterate(initial_state(job, comm), job.ansatz, job.operator, job.sampler, job.solver, comm)
        for _ in range(2):
            next(steps)
        return cls(steps, [])

    def add(self) -> None:
        """One more iteration: phases as long as they were in processor time, when others took the core now and then."""
        busy, start = time.process_time(), time.perf_counter()
        seconds = next(self.steps).seconds
        share = min(1.0, (time.process_time() - busy) / (time.perf_counter() - start))
        self.rows.append({phase: share * spent for phase, spent in seconds.items()})

    def work(self) -> list[float]:
        """Of a rank's own blocks, and of what it does besides."""
        return [sum(row[phase] for phase in WORK) for row in self.rows]

    def root(self) -> float:
        """Of what is rank 0's alone."""
        return statistics.median(row["reducing"] + row["solving"] for row in self.rows)


def root_seconds(patience: Patience) -> dict:
    """Seconds of rank 0 alone for numbers of parameters, and the fit."""
    found = {}
    for n_parameters, tables in ROOT_CASES.items():
        timed = Timed.of(cut(tables, 64, 1, 1))
        patience.wait()
        for _ in range(15 if int(n_parameters) < 500 else 4):
            timed.add()
        found[n_parameters] = timed.root()
    return {"seconds": found, "fit": asdict(fit_root([int(k) for k in found], list(found.values())))}


def layouts(name: str, patience: Patience) -> dict:
    """Blocks of all layouts of a case, and those of its checks."""
    wanted = [(width, draws, SCALING_SAMPLES // (width * draws)) for width, draws in LAYOUTS[name]]
    wanted += [(width, draws, blocks) for case, width, draws, blocks, *_ in CHECKS.values() if case == name]
    found: dict[tuple[int, int], dict] = {}
    for width, draws, _ in wanted:
        if (width, draws) not in found:
            found[width, draws] = block(SCALING_CASES[name], width, draws, patience)
    job = job_of(SCALING_CASES[name])
    return {
        "n_parameters": job.ansatz.n_parameters,
        "is_complex": bool(np.issubdtype(job.ansatz.dtype, np.complexfloating)),
        "blocks": [{"width": width, "draws": draws} | row for (width, draws), row in found.items()],
    }


def block(tables: dict, width: int, draws: int, patience: Patience) -> dict[str, float]:
    """Seconds of a block, their spread, and seconds of a rank besides its blocks."""
    few, many = 1, 3
    pair = [Timed.of(cut(tables, width, draws, blocks)) for blocks in (few, many)]
    patience.wait()
    start = time.perf_counter()
    while len(pair[0].rows) < 5 or (len(pair[0].rows) < 25 and time.perf_counter() - start < 1.0):
        for timed in pair:
            timed.add()
    one, three = (timed.work() for timed in pair)
    seconds = (statistics.median(three) - statistics.median(one)) / (many - few)
    low, high = np.quantile(one, [0.25, 0.75])
    return {
        "seconds": seconds,
        "spread": float(high - low) / 1.349,  # of a normal distribution; the tails have other causes
        "rank": max(0.0, statistics.median(one) - seconds),
        "root": pair[0].root(),
    }


def check(name: str, patience: Patience) -> dict:
    """The same work on one and two ranks, on one rank twice at the same time, and on four ranks, in turns."""
    case, width, draws, blocks, repeats = CHECKS[name]
    tables = cut(SCALING_CASES[case], width, draws, blocks)
    kinds = {"1": (1, 1), "2": (2, 1), "twins": (1, 2), "4": (4, 1)}
    found: dict[str, list] = {kind: [] for kind in kinds}
    for turn in range(repeats):
        for kind, (ranks, copies) in kinds.items():
            if kind == "4" and turn % 2:
                continue
            patience.wait()
            found[kind] += timed_iterations(tables, ranks, copies)
    return {"case": case, "width": width, "draws": draws, "blocks": blocks, "iterations": found}


def timed_iterations(tables: dict, ranks: int, copies: int) -> list[dict]:
    """Iterations of processes started at the same time, see iterations.py."""
    with tempfile.TemporaryDirectory() as directory:
        config = Path(directory) / "case.toml"
        config.write_text(toml(tables), encoding="utf-8")
        outputs = [Path(directory) / f"{copy}.json" for copy in range(copies)]
        command = [*python(ranks), str(Path(__file__).with_name("iterations.py")), str(config)]
        started = [subprocess.Popen([*command, str(output), str(RUN_SECONDS)]) for output in outputs]
        if any([process.wait() for process in started]):
            raise RuntimeError(f"iterations.py failed on {ranks} ranks")
        return [row for output in outputs for row in json.loads(output.read_text(encoding="utf-8"))]


def python(ranks: int) -> list[str]:
    """The command that starts Python on a number of ranks."""
    return [word for word in launcher(ranks) if word not in ("-m", "pvmc")]


def processor_seconds() -> float:
    """Of this machine since it started, time taken by a hypervisor included, less that of this process and its own."""
    words = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()
    user, nice, system, _, _, irq, soft_irq, steal = (int(word) for word in words[1:9])
    busy = (user + nice + system + irq + soft_irq + steal) / os.sysconf("SC_CLK_TCK")
    return busy - sum(os.times()[:4])


if __name__ == "__main__":
    main()
