"""Whether a process of this host is still there."""

from __future__ import annotations

import os
from pathlib import Path

_CLOCK_SLACK = 60.0


def process_alive(pid: int, since: float) -> bool:
    """Whether the process that had this number at a moment is still there; a later one with the same number is not it.

    Args:
        pid: its number.
        since: a moment at which it ran, in seconds of Unix time.
    """
    if not 0 < pid < 2**31:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it exists and is another user's
    started = _process_start(pid)
    return started is None or started <= since + _CLOCK_SLACK


def _process_start(pid: int) -> float | None:
    """When a process began (seconds of Unix time); None where the system does not tell."""
    try:
        # Fields after the command's name, which is in brackets and may contain anything; the start is field 22.
        ticks = float(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
        boot = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime"))
        return float(boot.split()[1]) + ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, StopIteration):
        return None
