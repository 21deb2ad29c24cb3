"""A job of several processes that can be killed: mpiexec, its helpers and its ranks, found by a mark they inherit."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

MARK = "PVMC_CAMPAIGN_JOB"
"""Environment variable that tells the processes of one job from all others of the machine."""

POLL = 0.005
"""Seconds between two looks for processes that are to go."""


class Job:
    """``mpiexec -n RANKS python -m pvmc ARGUMENTS``, started.

    Args:
        ranks: number of ranks.
        arguments: of ``pvmc``.
        log: file that gets what it prints, after what is there.
        launcher: the mpiexec.
    """

    def __init__(self, ranks: int, arguments: Sequence[str], log: Path, launcher: str):
        self._mark = f"{MARK}={uuid.uuid4().hex}".encode()
        name, value = self._mark.decode().split("=")
        command = [launcher, "-n", str(ranks), sys.executable, "-m", "pvmc", *arguments]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, name: value},
                start_new_session=True,
            )

    def wait(self, seconds: float) -> int | None:
        """The exit code, once the job has ended; None where it is still there after so many seconds."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        self._wait_gone(seconds=60.0)
        return code

    def kill(self) -> None:
        """End all of it at once, by SIGKILL; returns when nothing is left."""
        while pids := self._pids():
            for pid in pids:
                _kill(pid)
            time.sleep(POLL)
        self._process.wait()

    def kill_rank(self, number: int) -> float | None:
        """SIGKILL to one rank; the seconds until nothing is left of the job.

        Args:
            number: which of the ranks there are, modulo their number.

        Returns:
            None where the job ended by itself before.

        Raises:
            TimeoutError: something is left after a minute.
        """
        while not (ranks := self._ranks()):
            if self._process.poll() is not None:
                return None
            time.sleep(POLL)
        start = time.monotonic()
        _kill(ranks[number % len(ranks)])
        self._wait_gone(seconds=60.0)
        self._process.wait()
        return time.monotonic() - start

    def _wait_gone(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while pids := self._pids():
            if time.monotonic() > end:
                self.kill()
                raise TimeoutError(f"processes {pids} are still there after {seconds:g} s")
            time.sleep(POLL)

    def _pids(self) -> list[int]:
        """All processes of the job that are alive."""
        self._process.poll()  # so that a launcher that has ended is gone
        return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal() and self._has(entry)]

    def _has(self, entry: Path) -> bool:
        try:
            # Of a process that has ended and waits to be reaped, the environment is empty.
            return self._mark in (entry / "environ").read_bytes().split(b"\0")
        except OSError:  # gone, or another user's
            return False

    def _ranks(self) -> list[int]:
        return [pid for pid in self._pids() if _arguments(pid)[1:3] == [b"-m", b"pvmc"]]


def _arguments(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
