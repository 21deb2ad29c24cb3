"""A text that is shown again and again: on a terminal in place, elsewhere as one block after another."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TextIO

from pvmc.cli.output import nobody_reads

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Frame:
    """What is shown at a time.

    Attributes:
        text: one or more lines, without the last line break.
        last: whether nothing more will come.
    """

    text: str
    last: bool


class _Screen(Protocol):
    """Where frames are shown.  A context manager."""

    def show(self, text: str) -> None: ...


def watch(read: Callable[[], Frame], seconds: float, stream: TextIO | None = None, gap: str = "\n") -> None:
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
