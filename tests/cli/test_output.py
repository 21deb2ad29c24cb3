"""A reader that goes, a full disk, a stream that was closed: output is lost then, and nothing else."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pvmc.cli.output import LastingOutput, has_reader, lasting_output, nobody_reads, what_is_lost
from pvmc.io.reader import open_run
from tests.jobs import ring_text

ITERATIONS = 12
FIT = '[fit]\ntarget = "exact"\nepochs = 2\n'
INPUT = FIT + ring_text(
    f"iterations = {ITERATIONS}", length=6, ansatz='alpha = 1\nsymmetry = "none"', numbers="32, 16, 64"
)

LONG = [
    ["run", "ring.toml"],
    ["measure", "runs/ring", "--samples", "256"],
    ["fit", "ring.toml", "--output", "fit"],
    ["import-wf", "weights.npz", "ring.toml", "--set", "ansatz.alpha=2", "--output", "imported"],
]
SHORT = [["status", "runs/ring"], ["analyze", "runs/ring"], ["exact", "ring.toml"]]

ALL_COMMANDS = f"""\
import os, sys
import numpy as np
from pvmc.cli import main
from pvmc.io.weight_files import write_npz
from pvmc.io.rbm_weights import weights_of
from tests.helpers import random_rbm
write_npz("weights.npz", weights_of(*random_rbm(6, np.complex128, "translation", visible_bias=False, scale=0.1)))
codes = [main(command) for command in {LONG + SHORT!r}]
with open("codes", "w") as file:
    print(*codes, file=file)
"""


@pytest.fixture(autouse=True)
def input_file(directory: Path) -> None:
    Path("ring.toml").write_text(INPUT)


def end_without_reader() -> int:
    """The end for writing of a pipe that nobody reads."""
    read, write = os.pipe()
    os.close(read)
    return write


def codes() -> list[int]:
    return [int(code) for code in Path("codes").read_text().split()]


def require_finished(directory: str = "runs/ring") -> None:
    run = open_run(directory)
    assert run.status() == "finished" and len(run.series["energy"]) == ITERATIONS
    assert (Path(directory) / f"checkpoint-{ITERATIONS:08d}.h5").exists()


def test_a_reader_that_leaves_after_two_lines() -> None:
    """``pvmc run ring.toml | head -2``: the run goes on to its end, and ends with its own code."""
    command = [sys.executable, "-m", "pvmc", "run", "ring.toml"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline().startswith("heisenberg on chain, N = 6")
        assert process.stdout.readline() == "sector: magnetisation 0\n"
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == 0
    require_finished()


@pytest.mark.slow
def test_nobody_reads_at_all() -> None:
    """Both streams are pipes without a reader; every command ends as it would."""
    nowhere = end_without_reader()
    subprocess.run([sys.executable, "-c", ALL_COMMANDS], stdout=nowhere, stderr=nowhere, check=True)
    os.close(nowhere)
    assert codes() == 7 * [0]
    require_finished()
    assert open_run("imported").status() == "finished" and len(open_run("runs/ring").measurements) == 1
    assert Path("fit").is_dir()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full, a disk that is always full")
@pytest.mark.slow
def test_a_full_disk_under_the_output() -> None:
    """Runs are worth more than what they show and say so; what only answers a question has failed, code 4."""
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-c", ALL_COMMANDS]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=True)
    assert codes() == [0, 0, 0, 0, 4, 4, 4]
    lost = "cannot write to standard output: No space left on device"
    told = [line for line in done.stderr.splitlines() if lost in line]
    assert told == 4 * [f"pvmc: warning: {lost}; the results are in their files"] + 3 * [f"pvmc: error: {lost}"]
    require_finished()


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
@pytest.mark.slow
def test_streams_that_are_closed_at_the_start(closed: str) -> None:
    """No file of the run gets the number of a standard stream, into which others may write."""
    program = """\
import os
from pvmc.cli import main
code = main(["run", "ring.toml"])
with open("codes", "w") as file:
    print(code, int(file.fileno() > 2), int(os.readlink("/proc/self/fd/1") == os.devnull), file=file)
"""
    subprocess.run(["sh", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, program], check=True)
    assert codes() == [0, 1, 1]
    require_finished()


@pytest.mark.slow
def test_mpiexec_without_a_reader(mpiexec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A launcher that writes into a pipe without a reader dies, and its ranks with it: nothing is given to it then."""
    monkeypatch.delenv("PVMC_NO_MPI")
    nowhere = end_without_reader()
    command = [mpiexec, "-n", "2", sys.executable, "-m", "pvmc", "run", "ring.toml"]
    assert subprocess.run(command, stdout=nowhere, stderr=nowhere).returncode == 0
    os.close(nowhere)
    require_finished()


def test_watching_ends_with_its_reader(tmp_path: Path) -> None:
    """``pvmc status --watch | head -1`` does not go on for ever."""
    program = """\
import sys
from pvmc.cli.output import lasting_output
from pvmc.cli.output import Snapshot, watch
with lasting_output():
    watch(lambda: Snapshot("running", False), 0.01)
"""
    nowhere = end_without_reader()
    subprocess.run([sys.executable, "-c", program], stdout=nowhere, check=True, timeout=60)
    os.close(nowhere)


def test_a_pipe_that_is_full_and_does_not_block() -> None:
    """All arrives, in order, though the pipe takes a part at a time."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    data, received = os.urandom(100_000), bytearray()

    def drain() -> None:
        while part := os.read(read, 1000):
            received.extend(part)
            time.sleep(1e-4)

    reader = threading.Thread(target=drain)
    reader.start()
    raw = LastingOutput(write)
    rest = memoryview(data)
    while rest:
        rest = rest[raw.write(rest) :]
    os.close(write)
    reader.join()
    assert bytes(received) == data and raw.lost is None
    os.close(read)


def test_readers_of_a_pipe_elsewhere(tmp_path: Path) -> None:
    read, write = os.pipe()
    pipe = f"/proc/self/fd/{write}"
    assert has_reader(pipe)
    os.close(read)
    assert not has_reader(pipe)
    os.close(write)
    named = tmp_path / "pipe"
    os.mkfifo(named)
    assert not has_reader(str(named))
    reader = os.open(named, os.O_RDONLY | os.O_NONBLOCK)
    assert has_reader(str(named))
    os.close(reader)
    assert has_reader(str(tmp_path / "gone")), "nobody knows"


def test_streams_of_others_are_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.stdout, sys.stderr
    with lasting_output():
        assert (sys.stdout, sys.stderr) == before
        print("for pytest")
        assert what_is_lost(sys.stdout) is None and not nobody_reads(sys.stdout)
    assert capsys.readouterr().out == "for pytest\n"
