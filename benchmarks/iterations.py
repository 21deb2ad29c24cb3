"""Times the iterations of an input for some seconds, one by one, with how often a rank lost its core in each.

    mpiexec -n 2 python benchmarks/iterations.py case.toml times.json 2.0

Where others compute on the machine too, the iterations in which no rank lost its core are those of a quiet one.
"""

from __future__ import annotations

import itertools
import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
from mpi4py import MPI

from pvmc.compilation import compile_kernels
from pvmc.config import read_input, validate
from pvmc.driver import PHASES, iterate
from pvmc.job import JobConfig, build_job
from pvmc.parallel import MpiCommunicator, SerialCommunicator, limit_threads, node_of
from pvmc.simulation import initial_state

WARM_UP, AT_LEAST = 2, 3


def main() -> None:
    """Collective. Iterate until the time is over; rank 0 writes a row for each iteration."""
    source, target, seconds = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
    comm = MpiCommunicator(MPI, MPI.COMM_WORLD) if MPI.COMM_WORLD.size > 1 else SerialCommunicator()
    raw = read_input(source, [])
    job = build_job(validate(JobConfig, raw), raw)
    limit_threads(1)
    state = initial_state(job, comm)
    compile_kernels(job, state, comm, node_of(comm))
    steps = iterate(state, job.ansatz, job.operator, job.sampler, job.solver, comm)
    rows: list[dict] = []
    for number in itertools.count():
        comm.barrier()
        switches, start = lost_cores(), time.perf_counter()
        found = next(steps).seconds
        times = [time.perf_counter() - start, *found.values()]
        all_times = comm.max(np.array(times)).tolist()
        lost = int(comm.sum(np.array([lost_cores() - switches], dtype=np.int64))[0])
        if number >= WARM_UP:
            rows.append(
                {"seconds": all_times[0], "lost": lost, "phases": dict(zip(PHASES, all_times[1:], strict=True))}
            )
        enough = len(rows) >= AT_LEAST and sum(row["seconds"] for row in rows) > seconds
        if comm.broadcast_object(enough):
            break
    if comm.rank == 0:
        target.write_text(json.dumps(rows), encoding="utf-8")


def lost_cores() -> int:
    """How often this process gave up its core without waiting for anything."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


if __name__ == "__main__":
    main()
