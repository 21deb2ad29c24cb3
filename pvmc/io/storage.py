"""What all files of ours share: why one could not be used, names of temporaries, what a disk has safely."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import time
from pathlib import Path

from pvmc.io.process import process_alive

STOP_FILE = "STOP"
"""A file of this name in the run's directory stops the run (``touch runs/mine/STOP``)."""

_FOREIGN_SECONDS = 600.0
"""A temporary file of a process on another host counts as left behind when it has not changed for so long."""


def reason(error: Exception) -> str:
    """One line for a failure of the file system; h5py hides the system's error number in a long message."""
    number = getattr(error, "errno", None)
    if number is None and (found := re.search(r"errno = (\d+)", str(error))):
        number = int(found.group(1))
    return os.strerror(number) if number else (str(error).splitlines() or [type(error).__name__])[0]


def temporary_path(path: Path) -> Path:
    """Where this process prepares the file ``path``: hidden, beside it, so that a rename puts it in place."""
    return path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}")


def remove_leftovers(directory: Path, pattern: str) -> None:
    """Removes temporaries of files named like ``pattern`` whose processes are gone; what cannot be removed stays."""
    for entry in directory.glob(f".{pattern}.*.*"):
        host, _, pid = entry.name.removeprefix(".").partition(".h5.")[2].rpartition(".")
        if not pid.isdecimal():
            continue
        with contextlib.suppress(OSError):
            changed = entry.stat().st_mtime
            here = host == socket.gethostname()
            in_use = process_alive(int(pid), changed) if here else time.time() - changed < _FOREIGN_SECONDS
            if not in_use:
                entry.unlink()


def sync_directory(directory: Path) -> None:
    """Makes the names in a directory survive a crash of the machine, on file systems that can do that."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
