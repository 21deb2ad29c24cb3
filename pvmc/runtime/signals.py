"""Signals that ask a run to stop: noted when they come, obeyed between two iterations."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any, Self

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
"""Signals that ask for a stop: Ctrl-C, what batch systems send before the end (TERM, or that of ``sbatch --signal``),
and what launchers pass on: MPICH's mpiexec TERM, INT and USR1, Open MPI's USR1 and USR2 (after TERM it kills soon)."""

ECHO_SECONDS = 1.0
"""A SIGINT so soon after the first is the same one: a terminal sends it to all, and a launcher passes it on."""


class Signals:
    """What this rank was asked by signals while the context is open; a context manager.

    The first signal of :data:`STOPPING` is noted in :attr:`received`, and the run goes on until it looks there.  A
    second SIGINT, over a second after the first, raises KeyboardInterrupt at once, wherever the program is.

    The handlers that were there before come back at the end.  Outside the main thread, where Python installs none,
    nothing is listened to.  SIGINT stays ignored where it was (a shell's background jobs); the others are heard even
    then, since job scripts ignore them to outlive them (``trap '' USR1``) and their children inherit that.

    Attributes:
        received: number of the first signal that came; 0 while there was none.
    """

    def __init__(self) -> None:
        self.received = 0
        self._interrupted: float | None = None
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in STOPPING:
                if number != signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            # None stands for a handler that Python did not install and cannot put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._previous.clear()

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
