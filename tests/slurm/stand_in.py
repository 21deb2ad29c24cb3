#!/usr/bin/env python3
"""Stands in for pvmc in a job script: does nothing, and leaves as ``pvmc run`` promises to.

The first run waits for SIGUSR1 or SIGTERM, saves a "checkpoint" and leaves with 75; a run with ``--resume`` finishes.
STAND_IN_CODE=N leaves at once with N instead; with STAND_IN_KILLED=1 the first run is killed after it has noted that it
may go on, and leaves the traces of a killed MPI program.  What it was called with stands in DIR/calls, a line for each
run.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

RANKS = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK")
RANK = int(next((os.environ[name] for name in RANKS if name in os.environ), "0"))
STOPPED = 75
STEP, LONGEST = 0.02, 60.0


def outcome(directory: Path, received: list[int]) -> int:
    """The exit code of a rank, after it has been told to stop or there is nothing to do."""
    if "STAND_IN_CODE" in os.environ:
        return int(os.environ["STAND_IN_CODE"])
    if "STAND_IN_KILLED" in os.environ:
        from mpi4py import MPI

        MPI.COMM_WORLD.Barrier()
        if "--resume" not in sys.argv:
            leave_word(directory, STOPPED, [])
            MPI.COMM_WORLD.Barrier()
            os.kill(os.getpid(), signal.SIGKILL)
    if "--resume" in sys.argv:
        return 0
    (directory / f"ready{RANK}").touch()
    for _ in range(int(LONGEST / STEP)):
        if received:
            return STOPPED
        time.sleep(STEP)
    return 1


def leave_word(directory: Path, code: int, received: list[int]) -> None:
    """What the first rank leaves behind: the checkpoint, and its exit code for the job script."""
    if RANK != 0:
        return
    if code == STOPPED:
        (directory / "run.h5").write_text("checkpoint")
        (directory / "signals").write_text(" ".join(signal.Signals(number).name for number in received))
    Path(os.environ["PVMC_EXIT_FILE"]).write_text(f"{code}\n")


def main() -> int:
    received: list[int] = []
    for number in (signal.SIGUSR1, signal.SIGTERM):
        signal.signal(number, lambda number, _: received.append(number))
    directory = Path(sys.argv[sys.argv.index("--output") + 1])
    directory.mkdir(parents=True, exist_ok=True)
    if RANK == 0:
        with open(directory / "calls", "a") as file:
            print(*sys.argv[1:], file=file)
    code = outcome(directory, received)
    leave_word(directory, code, received)
    time.sleep(0.3 * RANK)  # the ranks of a real run leave at different times, too
    return code


if __name__ == "__main__":
    sys.exit(main())
