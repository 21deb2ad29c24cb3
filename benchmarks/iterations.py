"""Times the iterations of an input for some seconds, one by one.

    mpiexec -n 2 python benchmarks/iterations.py case.toml times.json 2.0

Where others compute on the machine too, wall times say little.  So every row also has how often a rank lost its core in
the iteration, and the processor time that the ranks took: that of the busiest is what the iteration lasts on cores that
are free (a rank that waits sleeps).
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

from pvmc.config import read_input
from pvmc.mpi import MpiCommunicator, SerialCommunicator, limit_threads, node_of
from pvmc.vmc.job import job_of
from pvmc.vmc.loop import PHASES, iterate
from pvmc.vmc.start import compile_kernels, initial_state

WARM_UP, AT_LEAST = 2, 3


def main() -> None:
    """Collective. Iterate until the time is over; rank 0 writes a row for each iteration."""
    source, target, seconds = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
    comm = MpiCommunicator(MPI, MPI.COMM_WORLD) if MPI.COMM_WORLD.size > 1 else SerialCommunicator()
    raw = read_input(source, [])
    job = job_of(raw)
    limit_threads(1)
    state = initial_state(job, comm)
    compile_kernels(job, state, comm, node_of(comm))
    steps = iterate(state, job.ansatz, job.operator, job.sampler, job.solver, comm)
    rows: list[dict] = []
    for number in itertools.count():
        comm.barrier()
        switches, busy, start = lost_cores(), time.process_time(), time.perf_counter()
        found = next(steps).seconds
        times = [time.perf_counter() - start, time.process_time() - busy, *found.values()]
        wall, busiest, *phases = comm.max(np.array(times)).tolist()
        together = float(comm.sum(np.array([times[1]]))[0])
        lost = int(comm.sum(np.array([lost_cores() - switches], dtype=np.int64))[0])
        if number >= WARM_UP:
            row = {"seconds": wall, "busiest": busiest, "together": together, "lost": lost}
            rows.append(row | {"phases": dict(zip(PHASES, phases, strict=True))})
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
