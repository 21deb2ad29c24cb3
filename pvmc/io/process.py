"""Whether a process of this host is still there."""

from __future__ import annotations

import os
from pathlib import Path

_CLOCK_SLACK = 60.0
_OVER = ("Z", "X")
"""States of a process that is over and that its parent has not asked for: a killed launcher leaves such ranks."""


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
    fields = _process_fields(pid)
    if fields and fields[0] in _OVER:
        return False
    started = _process_start(fields)
    return started is None or started <= since + _CLOCK_SLACK


def _process_fields(pid: int) -> list[str]:
    """What the system tells of a process, from its state on; empty where it does not."""
    try:
        # The command's name before the state is in brackets, and may contain anything.
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _process_start(fields: list[str]) -> float | None:
    """When a process began (seconds of Unix time); None where the system does not tell."""
    try:
        boot = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime"))
        return float(boot.split()[1]) + float(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, StopIteration):
        return None
