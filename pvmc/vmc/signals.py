"""Signals that ask a run to stop: noted when they come, obeyed between two iterations."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any, Self

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)
"""Signals that ask for a stop: Ctrl-C, what batch systems send before the end (TERM, or that of ``sbatch --signal``), a
terminal that goes (HUP), and what launchers pass on: MPICH's mpiexec TERM, INT and USR1, Open MPI's USR1 and USR2.
Asked to end by TERM or INT, Open MPI's mpiexec sends CONT, TERM after 0.25 s (before version 5: 1 s), and KILL after as
long again."""

WARNING = signal.SIGCONT
"""Signal that may come before the end: also where a batch system ends a job, but as well where one that was suspended
goes on.  So it stops nothing."""

IGNORABLE = (signal.SIGINT, signal.SIGHUP)
"""Signals that stay ignored where they were: of a shell's background jobs, under ``nohup``."""

ECHO_SECONDS = 1.0
"""A SIGINT so soon after the first is the same one: a terminal sends it to all, and a launcher passes it on."""


class Signals:
    """What this rank was asked by signals while the context is open; a context manager.

    The first signal of :data:`STOPPING` is noted in :attr:`received`, and the run goes on until it looks there.  A
    second SIGINT, over a second after the first, raises KeyboardInterrupt at once, wherever the program is.

    The handlers that were there before come back at the end.  Outside the main thread, where Python installs none,
    nothing is listened to.  Those of :data:`IGNORABLE` stay ignored where they were; the others are heard even then,
    since job scripts ignore them to outlive them (``trap '' USR1``) and their children inherit that.

    Attributes:
        received: number of the first signal that came; 0 while there was none.
        warned: whether :data:`WARNING` came; whoever heeds it sets it back.
    """

    def __init__(self) -> None:
        self.received = 0
        self.warned = False
        self._interrupted: float | None = None
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in STOPPING:
                if number not in IGNORABLE or signal.getsignal(number) != signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, self._note)
            self._previous[WARNING] = signal.signal(WARNING, self._warn)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            # None stands for a handler that Python did not install and cannot put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._previous.clear()

    def _warn(self, number: int, frame: FrameType | None) -> None:
        self.warned = True

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = self.received or number
        if number != signal.SIGINT:
            return
        now = time.monotonic()
        if self._interrupted is None:
            self._interrupted = now
        elif now - self._interrupted > ECHO_SECONDS:
            raise KeyboardInterrupt


def signal_name(number: int) -> str:
    """The name of a signal, such as "SIGTERM"."""
    with contextlib.suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"
