"""A text that is shown again and again: in place on a terminal, in a pipe block by block, until Ctrl-C or its end."""

from __future__ import annotations

import io
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import pvmc
from pvmc.cli.output import Snapshot, watch


def frames(*texts: str) -> Iterator[Snapshot]:
    return (Snapshot(text, last=text == texts[-1]) for text in texts)


def test_blocks_in_a_pipe() -> None:
    stream, shown = io.StringIO(), frames("a\nb", "c\nd", "end")
    watch(lambda: next(shown), 0.0, stream)
    assert stream.getvalue() == "a\nb\n\nc\nd\n\nend\n"
    stream, shown = io.StringIO(), frames("1", "2")
    watch(lambda: next(shown), 0.0, stream, gap="")
    assert stream.getvalue() == "1\n2\n"


def test_errors_are_not_swallowed() -> None:
    def read() -> Snapshot:
        raise ValueError("no frame")

    with pytest.raises(ValueError, match="no frame"):
        watch(read, 0.0, io.StringIO())


ENDLESS = """
import itertools
from pvmc.cli.output import Snapshot, watch
numbers = itertools.count()
watch(lambda: Snapshot(f"number {next(numbers)}\\nbelow it {'x' * 200}", last=False), 0.05)
"""


def watched(stdout: int, terminal: str) -> subprocess.Popen[bytes]:
    environment = {name: text for name, text in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    environment |= {"PYTHONPATH": str(Path(pvmc.__file__).parents[1]), "TERM": terminal, "COLUMNS": "60"}
    return subprocess.Popen(
        [sys.executable, "-c", ENDLESS], stdout=stdout, stderr=subprocess.PIPE, env=environment, start_new_session=True
    )


def interrupted(process: subprocess.Popen[bytes], descriptor: int) -> str:
    """What it has shown until number 3, and after Ctrl-C; it ends quietly."""
    text, end = "", time.monotonic() + 60
    while "number 3" not in text and time.monotonic() < end:
        text += os.read(descriptor, 4096).decode()
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    assert process.stderr is not None and process.stderr.read() == b""
    process.stderr.close()
    return text


@pytest.mark.parametrize("terminal", ["xterm", "dumb"])
def test_on_a_terminal_in_place_until_ctrl_c(terminal: str) -> None:
    outer, inner = pty.openpty()
    process = watched(inner, terminal)
    text = interrupted(process, outer)
    os.close(inner)
    os.close(outer)
    assert ("\x1b[1A" in text) == (terminal == "xterm"), "up a line, and over what was there"
    if terminal == "xterm":
        plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
        assert max(len(line) for line in re.split(r"[\r\n]+", plain)) <= 60


def test_in_a_pipe_until_ctrl_c() -> None:
    reading, writing = os.pipe()
    process = watched(writing, "xterm")
    os.close(writing)
    text = interrupted(process, reading)
    os.close(reading)
    assert "\x1b" not in text
    assert re.findall(r"number (\d)", text)[:4] == ["0", "1", "2", "3"]
