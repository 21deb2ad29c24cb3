"""Standard output and error that outlast their reader: a run is worth more than what it shows.

A pipe whose reader has gone, a full disk, a stream that was closed at the start: what is written there is lost, without
an error, and the program goes on.  All output of ``pvmc`` goes through :func:`lasting_output`.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import stat
import sys
import time
from collections.abc import Iterator
from typing import Any, TextIO

STDOUT, STDERR = 1, 2

SETTLE_SECONDS = 0.02
"""Shortest time between two writes that a launcher passes on: a reader such as ``head`` that leaves after the first is
gone before the second."""

_LAUNCHERS = ("hydra", "mpiexec", "mpirun", "prte", "orte", "pmix")
"""Beginnings of the names of processes that stand between a rank and the reader of its output."""


class LastingOutput(io.FileIO):
    """A file descriptor for writing, whose writes never fail; it stays open when the object goes.

    Attributes:
        lost: why the last thing that could not be written was not; None while all was.
    """

    def __init__(self, descriptor: int):
        super().__init__(descriptor, "w", closefd=False)
        self.lost: OSError | None = None
        self._beyond = launcher_pipe(descriptor)
        self._written = -SETTLE_SECONDS

    def write(self, data: Any, /) -> int:
        """Write some of the bytes, or lose all of them; the number of those that are not to be written again."""
        try:
            if self._beyond:
                self._wait_for_launcher()
            while (written := super().write(data)) is None:  # the pipe is full, and somebody made it non-blocking
                select.select([], [self], [])
        except OSError as error:
            self.lost = error
            return len(data)
        return written

    def _wait_for_launcher(self) -> None:
        """Let the launcher pass on what was written before.

        Raises:
            BrokenPipeError: nobody reads what the launcher writes; to write there would end it, and the job.
        """
        time.sleep(max(0.0, self._written + SETTLE_SECONDS - time.monotonic()))
        if not has_reader(self._beyond):
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        self._written = time.monotonic()


@contextlib.contextmanager
def lasting_output() -> Iterator[None]:
    """Replace ``sys.stdout`` and ``sys.stderr`` by streams whose writes never fail; put them back in the end.

    Streams that somebody else has put in their place are left alone.  Descriptors that were closed at the start
    (``>&-``) are occupied first: else the next file that is opened, such as the results, would get their numbers.
    """
    for descriptor in (0, STDOUT, STDERR):
        with contextlib.suppress(OSError):
            _occupy(descriptor)
    before = sys.stdout, sys.stderr
    if sys.stdout is sys.__stdout__:
        sys.stdout = _lasting(sys.stdout, STDOUT)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _lasting(sys.stderr, STDERR)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        sys.stdout, sys.stderr = before


def what_is_lost(stream: TextIO) -> OSError | None:
    """Why output to a stream of :func:`lasting_output` was lost; None where all was written, and of other streams."""
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    return raw.lost if isinstance(raw, LastingOutput) else None


def nobody_reads(stream: TextIO) -> bool:
    """Whether the reader of a stream of :func:`lasting_output` has gone."""
    return isinstance(what_is_lost(stream), BrokenPipeError)


def _lasting(stream: TextIO | None, descriptor: int) -> TextIO:
    """A stream as Python makes them for this descriptor, with writes that never fail."""
    encoding = stream.encoding if stream is not None else "utf-8"
    errors = "backslashreplace" if descriptor == STDERR or stream is None else stream.errors
    at_once = descriptor == STDERR or (stream is not None and stream.isatty())
    if stream is not None:
        with contextlib.suppress(OSError):
            stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(LastingOutput(descriptor)), encoding, errors, newline="\n", line_buffering=at_once
    )


def _occupy(descriptor: int) -> None:
    """Let a descriptor that is closed lead nowhere."""
    try:
        os.fstat(descriptor)
    except OSError:
        nowhere = os.open(os.devnull, os.O_RDWR)
        if nowhere != descriptor:
            os.dup2(nowhere, descriptor)
            os.close(nowhere)
        os.set_inheritable(descriptor, True)


def launcher_pipe(descriptor: int) -> str:
    """The pipe that a launcher above this process, such as mpiexec, writes our output into, as a path; "" without one.

    A launcher that writes to a pipe without a reader ends, and its ranks with it.
    """
    path, process = "", os.getppid()
    with contextlib.suppress(OSError, ValueError, IndexError):
        while True:
            with open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as file:
                name, _, rest = file.read().partition("(")[2].rpartition(")")
            if not name.startswith(_LAUNCHERS):
                break
            path, process = f"/proc/{process}/fd/{descriptor}", int(rest.split()[1])
    try:
        return path if path and stat.S_ISFIFO(os.stat(path).st_mode) else ""
    except OSError:
        return ""


def has_reader(pipe: str) -> bool:
    """Whether a pipe may have a reader: false where it certainly has none any more."""
    try:
        end = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        return error.errno != errno.ENXIO  # of a pipe with a name
    try:
        poll = select.poll()
        poll.register(end, 0)
        return not any(event & select.POLLERR for _, event in poll.poll(0))
    finally:
        os.close(end)
