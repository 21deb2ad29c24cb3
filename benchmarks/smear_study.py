"""Smearing during the optimisation, for and against: the same runs with and without ``sampler.smear``.

    python benchmarks/smear_study.py [--seeds 1 2 3] [--smear 0.2]

Small systems, several seeds; each pair of runs differs in the key alone.  What is printed: the relative error of the
energy of the plateau (pvmc.results.plateau), the median and the worst of the seeds, and the processor time of an
iteration with smearing over that without.  Some minutes on one core.
"""

from __future__ import annotations

import argparse
import itertools
import time
from typing import Any

import numpy as np
from health import HIDDEN, chain
from page import table

from pvmc.config import RawInput
from pvmc.mpi import SerialCommunicator, limit_threads
from pvmc.results.plateau import plateau
from pvmc.vmc.job import Job, job_of
from pvmc.vmc.loop import iterate
from pvmc.vmc.sectors import find_job_reference
from pvmc.vmc.start import initial_state

SMALL = {"walkers": 128, "samples": 512}
SYSTEMS: dict[str, dict[str, Any]] = {
    "hidden region, 6 sites": HIDDEN,
    "Heisenberg ring of 10": chain(10, "heisenberg", alpha=1, sampler=SMALL),
    "Heisenberg ring of 10, no symmetry": chain(
        10, "heisenberg", alpha=1, sampler=SMALL, ansatz={"symmetry": "none"}, run={"iterations": 300}
    ),
    "J1-J2 ring of 10, J2 = 0.5": chain(10, "j1j2", alpha=1, sampler=SMALL, hamiltonian={"j2": 0.5}),
    "Ising ring of 10, h = 1": chain(10, "ising", alpha=1, sampler=SMALL),
    "XXZ ring of 10, anisotropy 2": chain(10, "xxz", alpha=1, sampler=SMALL, hamiltonian={"anisotropy": 2.0}),
}


def main() -> None:
    """Run all pairs and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="default: 1 2 3")
    parser.add_argument("--smear", type=float, default=0.2, help="sampler.smear of the second run; default: 0.2")
    options = parser.parse_args()
    limit_threads(1)
    rows = []
    for name, tables in SYSTEMS.items():
        found = np.array([[one(tables, seed, smear) for smear in (0.0, options.smear)] for seed in options.seeds])
        errors, ratio = found[:, :, 0], np.median(found[:, 1, 1] / found[:, 0, 1])
        cells = [f"{np.median(column):.1e} ({column.max():.1e})" for column in errors.T]
        rows.append([name, *cells, f"{ratio:.2f}"])
        print(" | ".join(rows[-1]), flush=True)
    print(table(("system", "without: median (worst)", f"smear = {options.smear:g}", "time of an iteration"), rows))


def one(tables: dict[str, Any], seed: int, smear: float) -> tuple[float, float]:
    """Relative error of the energy of a run, the mean of its plateau, and processor seconds of an iteration."""
    job, comm = _job(tables, seed, smear), SerialCommunicator()
    reference = find_job_reference(job)
    assert reference is not None, "these systems are small"
    state, count = initial_state(job, comm), job.config.run.iterations
    steps = iterate(state, job.ansatz, job.operator, job.sampler, job.solver, comm)
    energies = [next(steps).energy.mean.real]  # it loads the kernels
    start = time.process_time()
    energies += [step.energy.mean.real for step in itertools.islice(steps, count - 1)]
    seconds = (time.process_time() - start) / (count - 1)
    return (plateau(energies).value - reference.energy) / abs(reference.energy), seconds


def _job(tables: dict[str, Any], seed: int, smear: float) -> Job:
    changed = tables | {"run": tables["run"] | {"seed": seed}, "sampler": tables["sampler"] | {"smear": smear}}
    raw = RawInput(changed, "study", "study")
    return job_of(raw)


if __name__ == "__main__":
    main()
