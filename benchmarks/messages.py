"""Seconds of messages between two ranks: raw, and through the communicator.

mpiexec -n 2 python benchmarks/messages.py messages.json
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from mpi4py import MPI

from pvmc.mpi import Communicator, MpiCommunicator

SIZES = [8, 64, 512, 4096, 32768, 222_000, 2_000_000, 16_000_000, 32_000_000]
"""Bytes; 222 kB are the moments of 164 complex parameters, 32 MB those of 2000."""


def main() -> None:
    """Collective. Measure, and write the file on rank 0."""
    comm = MpiCommunicator(MPI, MPI.COMM_WORLD)
    found = {
        "n_bytes": SIZES,
        "ping_pong": [ping_pong(n) for n in SIZES],
        "allreduce": [timed(comm, comm.sum, n) for n in SIZES[:6]],
        "reduce": [timed(comm, comm.sum_to_root, n) for n in SIZES],
        "broadcast": [timed(comm, comm.broadcast, n) for n in SIZES[:6]],
    }
    if comm.rank == 0:
        Path(sys.argv[1]).write_text(json.dumps(found), encoding="utf-8")


def repeats(n_bytes: int) -> int:
    """Enough for a median, and fewer of what takes longer."""
    return 400 if n_bytes < 1e5 else 60 if n_bytes < 1e7 else 12


def ping_pong(n_bytes: int) -> float:
    """Seconds one way, the median of many there and back."""
    world, message, times = MPI.COMM_WORLD, np.zeros(n_bytes, dtype=np.uint8), []
    for _ in range(repeats(n_bytes)):
        wait(world.Ibarrier())
        start = time.perf_counter()
        for sender in (0, 1):
            wait(world.Isend(message, 1 - sender) if world.rank == sender else world.Irecv(message, sender))
        times.append((time.perf_counter() - start) / 2)
    return statistics.median(times)


def wait(request: MPI.Request) -> None:
    """Look for the end of a message as the communicator does; a blocking call may sleep."""
    while not request.Test():
        os.sched_yield()


def timed(comm: Communicator, collective: Callable[[np.ndarray], object], n_bytes: int) -> float:
    """Collective. Seconds of a collective of int64 numbers on the slower rank, the median."""
    array, times = np.ones(n_bytes // 8, dtype=np.int64), []
    for _ in range(repeats(n_bytes)):
        comm.barrier()
        start = time.perf_counter()
        collective(array)
        times.append(time.perf_counter() - start)
    return float(np.median(np.array(MPI.COMM_WORLD.allgather(times)).max(axis=0)))


if __name__ == "__main__":
    main()
