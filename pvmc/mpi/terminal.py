"""Whether output goes to a terminal, where a launcher may stand in between."""

from __future__ import annotations

import contextlib
import os
from typing import TextIO

_TERMINALS = ("/dev/pts/", "/dev/tty")


def on_terminal(stream: TextIO) -> bool:
    """Whether what a process writes to a stream of its own ends on a terminal.

    Open MPI gives each rank a terminal of its own, also where all of them go to a file: then that of the launcher, the
    parent process, counts.  Where it cannot be seen, as on another node, there is none.
    """
    if not stream.isatty() or "OMPI_COMM_WORLD_RANK" not in os.environ:
        return stream.isatty()
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/{os.getppid()}/fd/1").startswith(_TERMINALS)
    return False
