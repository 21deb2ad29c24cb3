"""Real against complex weights where the ground state is positive: the study behind the default of ``weights``.

    python benchmarks/weights.py [--seconds 8] [--seeds 1 2 3 4] [--case "Heisenberg ring, N = 40"]

Each case is a translation-symmetric or plain RBM at default settings, on one rank in this process.  Complex and real
weights have the same alpha and the same seeds, and each run the same processor time, counted from its first iteration
on with kernels compiled.  An error is that of the mean energy of the plateau (pvmc.results.plateau), relative to the
exact energy: after as many iterations as the slower kind of a seed made in the time ("iterations"), and after the time
("time").  Prints the table of docs/reports/study.md, medians over the seeds with the least and the largest.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pvmc.config import RawInput, validate
from pvmc.mpi import SerialCommunicator, limit_threads, node_of
from pvmc.results.plateau import plateau
from pvmc.vmc.job import Job, build_job
from pvmc.vmc.loop import iterate
from pvmc.vmc.sectors import find_job_reference
from pvmc.vmc.spec import JobConfig
from pvmc.vmc.start import compile_kernels, initial_state

RBM = {"kind": "rbm", "alpha": 2}
CASES: dict[str, dict[str, Any]] = {
    "Heisenberg ring, N = 40": {
        "lattice": {"kind": "chain", "length": 40},
        "hamiltonian": {"model": "heisenberg", "marshall": True},
        "ansatz": RBM,
    },
    "Heisenberg 4 x 4": {
        "lattice": {"kind": "rectangle", "size": [4, 4]},
        "hamiltonian": {"model": "heisenberg", "marshall": True},
        "ansatz": RBM,
    },
    "XXZ chain, open, N = 12, Delta = 0.5": {
        "lattice": {"kind": "chain", "length": 12, "periodic": False},
        "hamiltonian": {"model": "xxz", "anisotropy": 0.5, "marshall": True},
        "ansatz": RBM | {"symmetry": "none"},
    },
    "Ising ring, N = 40, h = J": {
        "lattice": {"kind": "chain", "length": 40},
        "hamiltonian": {"model": "ising"},
        "ansatz": RBM,
    },
}
KINDS = ("complex", "real")


@dataclass(frozen=True)
class Course:
    """One run: the energy and the processor time of each iteration."""

    energies: npt.NDArray[np.float64]
    exact: float

    def error(self, n_iterations: int) -> float:
        """Relative error of the mean energy of the plateau of the first iterations."""
        return abs(plateau(self.energies[:n_iterations]).value - self.exact) / abs(self.exact)


def main() -> None:
    """Run all cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8.0, help="processor time of a run")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--case", choices=CASES, help="one system alone")
    options = parser.parse_args()
    limit_threads(1)
    print("| system | weights | iterations | error after as many iterations | error after as much time |")
    print("| --- | --- | --- | --- | --- |")
    for name, tables in CASES.items():
        if options.case not in (None, name):
            continue
        courses: dict[str, list[Course]] = {kind: [] for kind in KINDS}
        for seed in options.seeds:
            for kind in KINDS:  # in turn, so that what else the machine does meets both
                courses[kind].append(course(tables, kind, seed, options.seconds))
        common = [min(len(courses[kind][k].energies) for kind in KINDS) for k in range(len(options.seeds))]
        for kind in KINDS:
            runs = courses[kind]
            lengths = [len(run.energies) for run in runs]
            equal = [run.error(n) for run, n in zip(runs, common, strict=True)]
            final = [run.error(len(run.energies)) for run in runs]
            print(f"| {name} | {kind} | {int(np.median(lengths))} | {spread(equal)} | {spread(final)} |", flush=True)


def course(tables: dict[str, Any], kind: str, seed: int, seconds: float) -> Course:
    """A run of so much processor time."""
    job = job_of(tables, kind, seed)
    comm = SerialCommunicator()
    state = initial_state(job, comm)
    compile_kernels(job, state, comm, node_of(comm))
    reference = find_job_reference(job)
    assert reference is not None, "the systems of the study are solved exactly"
    steps = iterate(state, job.ansatz, job.operator, job.sampler, job.solver, comm)
    return Course(np.array(list(timed(steps, seconds))), reference.energy)


def timed(steps: Iterator[Any], seconds: float) -> Iterator[float]:
    """The energies of the iterations until the processor time is used up."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        yield next(steps).energy.mean.real


def job_of(tables: dict[str, Any], kind: str, seed: int) -> Job:
    """The job of a case."""
    ansatz, run = tables["ansatz"] | {"weights": kind}, {"seed": seed}
    raw = RawInput({**tables, "ansatz": ansatz, "run": run}, "the study of weights")
    return build_job(validate(JobConfig, raw), raw)


def spread(values: list[float]) -> str:
    """Median, least and largest."""
    return f"{np.median(values):.1e} ({min(values):.1e} to {max(values):.1e})"


if __name__ == "__main__":
    main()
