"""Standard output and error that outlast their reader, and a text that is shown again and again."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TextIO

if TYPE_CHECKING:
    from rich.console import Console

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
    """True where the reader of a stream of :func:`lasting_output` has gone."""
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
    """True where a pipe may have a reader: false where it certainly has none any more."""
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


@dataclass(frozen=True)
class Snapshot:
    """A text that is shown at a time.

    Attributes:
        text: one or more lines, without the last line break.
        last: whether nothing more will come.
    """

    text: str
    last: bool


class _Screen(Protocol):
    """Where frames are shown.  A context manager."""

    def show(self, text: str) -> None: ...


def watch(read: Callable[[], Snapshot], seconds: float, stream: TextIO | None = None, gap: str = "\n") -> None:
    """Show frames until the last one, or until the user has seen enough (Ctrl-C, or the reader of a pipe goes).

    Args:
        read: the frame now.
        seconds: time between two of them.
        stream: where to show them; standard output unless given.
        gap: what stands between two blocks.
    """
    stream = stream or sys.stdout
    with contextlib.suppress(KeyboardInterrupt), _screen(stream, gap) as screen, _until_ctrl_c() as sleep:
        while not (frame := read()).last:
            screen.show(frame.text)
            if nobody_reads(stream) or not sleep(seconds):
                return
        screen.show(frame.text)


@contextlib.contextmanager
def _until_ctrl_c() -> Iterator[Callable[[float], bool]]:
    """A sleep that says whether to go on: not after Ctrl-C, which ends it at once.

    Pressed while a frame is made or written, it counts at the next sleep: an exception in the middle of a write would
    leave the text in the buffer, to be written a second time.
    """
    pressed = sleeping = False

    def note(*_: object) -> None:
        nonlocal pressed
        pressed = True
        if sleeping:
            raise KeyboardInterrupt

    def sleep(seconds: float) -> bool:
        nonlocal sleeping
        with contextlib.suppress(KeyboardInterrupt):
            sleeping = True
            if not pressed:
                time.sleep(seconds)
        sleeping = False
        return not pressed

    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN or threading.current_thread() is not threading.main_thread():
        yield sleep
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield sleep
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _screen(stream: TextIO, gap: str) -> Iterator[_Screen]:
    if not stream.isatty():
        yield _Blocks(stream, gap)
        return
    from rich.console import Console  # a pipe starts without it

    console = Console(file=stream, highlight=False)
    if console.is_dumb_terminal:
        yield _Blocks(stream, gap)
        return
    with _Redrawn(console) as screen:
        yield screen


class _Blocks:
    """One block after another, each written out at once."""

    def __init__(self, stream: TextIO, gap: str):
        self._stream, self._gap = stream, gap
        self._before = ""

    def show(self, text: str) -> None:
        print(f"{self._before}{text}", file=self._stream, flush=True)
        self._before = self._gap


class _Redrawn:
    """Frames that replace each other, cut to the terminal; the last one stays."""

    def __init__(self, console: Console):
        from rich.live import Live

        self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")

    def __enter__(self) -> _Redrawn:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, text: str) -> None:
        from rich.text import Text

        self._live.update(Text(text, no_wrap=True, overflow="ellipsis"), refresh=True)
