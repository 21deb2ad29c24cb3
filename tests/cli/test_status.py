"""``pvmc status`` and ``pvmc plot`` beside real runs: going on, stopped, killed and resumed, on one rank and two."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from pvmc.cli import main
from pvmc.errors import PvmcError
from pvmc.io.reader import open_run
from tests.designs import slow_but
from tests.jobs import ring_text, with_mpi

INPUT = ring_text("iterations = 100000\ncheckpoint = { iterations = 20 }", length=16)
PVMC = [sys.executable, "-m", "pvmc"]
SECONDS = 60
"""A long time for what should take a few seconds."""


@pytest.fixture(autouse=True)
def input_file(directory: Path) -> None:
    Path("chain.toml").write_text(INPUT)


@contextlib.contextmanager
def running(*command: str, rows: int = 30) -> Iterator[subprocess.Popen[str]]:
    """A run that has done some iterations and has a checkpoint; it ends with the context."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True, env=with_mpi()
    )
    try:
        wait_for(rows, process)
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_for(rows: int, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            run = open_run("r")
            if len(run.iteration) >= rows and run.status() == "running" and run.last_checkpoint():
                return
        except PvmcError:  # it has not begun
            pass
        time.sleep(0.05)
    raise AssertionError(f"no {rows} iterations: {process.communicate()[0] if process.poll() is not None else ''}")


def facts(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    capsys.readouterr()
    assert main(["status", "r", "--json"]) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def plotted(name: str) -> None:
    assert main(["plot", "r", "--output", name]) == 0
    assert Path(f"{name}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_run_that_is_killed_and_resumed_and_stopped(capsys: pytest.CaptureFixture[str]) -> None:
    with running(*PVMC, "run", "chain.toml", "--output", "r") as run:
        found = facts(capsys)
        assert found["state"] == "running" and found["seconds_left"] and found["sessions"] == 1
        plotted("running")
        run.kill()
        run.wait()
    found = facts(capsys)
    assert found["state"] == "dead" and found["checkpoint"] and found["go_on"] == "pvmc run r --resume"
    plotted("dead")
    with running(*PVMC, "run", "r", "--resume", rows=int(str(found["checkpoint"])) + 30) as run:
        again = facts(capsys)
        assert (again["state"], again["sessions"]) == ("running", 2)
        run.send_signal(signal.SIGUSR1)
        text = run.communicate(timeout=SECONDS)[0]
        assert run.returncode == 75, text
    numbers = [int(number) for number in re.findall(r"^ +(\d+)/100000 ", text, re.MULTILINE)]
    assert numbers[0] == int(str(found["checkpoint"])) + 1, "the first row of the resumed run is shown"
    found = facts(capsys)
    assert found["state"] == "stopped" and found["message"] == "SIGUSR1" and found["go_on"] == "pvmc run r --resume"
    plotted("stopped")
    done = found["checkpoint"]
    assert main(["run", "r", "--resume", "--set", f"run.iterations={int(str(done)) + 2}"]) == 0
    found = facts(capsys)
    assert (found["state"], found["sessions"], found["go_on"]) == ("finished", 3, "")
    plotted("finished")


@pytest.mark.slow
def test_watch_ends_with_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    with running(*PVMC, "run", "chain.toml", "--output", "r") as run:
        watching = subprocess.Popen([*PVMC, "status", "r", "--watch", "0.1"], stdout=subprocess.PIPE, text=True)
        assert watching.stdout is not None
        assert re.fullmatch(r"[\d-]+ [\d:]+ UTC\n", watching.stdout.readline())
        run.send_signal(signal.SIGTERM)
        text = watching.stdout.read()
        watching.stdout.close()
        assert watching.wait(SECONDS) == 0
        assert run.wait(SECONDS) == 75
    first, *_, last = text.split("\n\n")
    assert "\nstate            running\n" in first and "\ntime left " in first
    assert "\nstate            stopped: SIGTERM\n" in last and "\ngo on with       pvmc run r --resume\n" in last


@pytest.mark.slow
def test_watch_is_left_by_ctrl_c_and_the_run_goes_on() -> None:
    with running(*PVMC, "run", "chain.toml", "--output", "r") as run:
        watching = subprocess.Popen(
            [*PVMC, "status", "r", "--watch=30", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert watching.stdout is not None
        assert json.loads(watching.stdout.readline())["state"] == "running"
        watching.send_signal(signal.SIGINT)
        rest, errors = watching.communicate(timeout=SECONDS)
        assert (watching.returncode, rest, errors) == (0, "", "")
        assert run.poll() is None


def test_a_run_before_watch_or_a_number_after_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--watch", "r"]) == 2
    assert "argument --watch: must be a number > 0, not 'r'; runs come before --watch" in capsys.readouterr().err
    assert main(["status", "r", "--watch"]) == 2
    assert capsys.readouterr().err == "pvmc: error: r does not exist\n"


# Several ranks --------------------------------------------------------------------------------------------------------


def ranks_of(launcher: int) -> list[int]:
    """Processes of pvmc below a launcher, by number."""
    parents, programs = {}, {}
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended just now
            parents[int(directory.name)] = int((directory / "stat").read_text().rpartition(")")[2].split()[1])
            programs[int(directory.name)] = (directory / "cmdline").read_text().split("\0")[:3]

    def below(process: int) -> bool:
        return process == launcher or (process in parents and below(parents[process]))

    return [process for process, words in programs.items() if words == PVMC and below(process)]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize(("ranks", "root"), slow_but([(3, False)], product([2, 3], [True, False]), several=True))
def test_a_rank_that_is_killed_ends_the_run(
    mpiexec: str, capsys: pytest.CaptureFixture[str], ranks: int, root: bool
) -> None:
    with running(mpiexec, "-n", str(ranks), *PVMC, "run", "chain.toml", "--output", "r") as run:
        (writer,) = {session.pid for session in open_run("r").sessions}
        processes = ranks_of(run.pid)
        assert len(processes) == ranks and writer in processes
        victim = writer if root else next(pid for pid in processes if pid != writer)
        begin = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        run.communicate(timeout=SECONDS)
        assert time.monotonic() - begin < 20, "others wait for it inside MPI"
        assert run.returncode not in (0, 75)
    found = facts(capsys)
    assert found["state"] == "dead" and found["go_on"] == f"mpiexec -n {ranks} pvmc run r --resume"
    more = int(str(found["checkpoint"])) + 2
    assert main(["run", "r", "--resume", "--set", f"run.iterations={more}"]) == 0
    assert facts(capsys)["state"] == "finished"


FAILING = """
import sys
from pvmc.vmc import loop
from pvmc.cli import main
from pvmc.mpi import world

steps = loop.iterate

def failing(*arguments, **options):
    for step in steps(*arguments, **options):
        if step.iteration == 5 and world().rank == int(sys.argv[1]):
            raise RuntimeError("a broken sampler")
        yield step

import pvmc.vmc.rollback
pvmc.vmc.rollback.iterate = failing
sys.exit(main(["run", "chain.toml", "--output", "r"]))
"""


@pytest.mark.parametrize(("ranks", "struck"), slow_but([(2, 1)], [(2, 0), (2, 1), (3, 2)], several=True))
def test_an_exception_on_one_rank_ends_the_run(
    mpiexec: str, capsys: pytest.CaptureFixture[str], ranks: int, struck: int
) -> None:
    command = [mpiexec, "-n", str(ranks), sys.executable, "-c", FAILING, str(struck)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, env=with_mpi())  # no hang
    assert done.returncode == 1, done.stderr
    assert f"[rank {struck}] Traceback" in done.stderr
    assert done.stderr.count("RuntimeError: a broken sampler (a bug: please report it)") == 1
    state = "failed" if struck == 0 else "dead"  # the other ranks are ended before rank 0 can say why
    until = time.monotonic() + 10.0  # mpiexec may be gone some time before the last of its ranks
    while (found := facts(capsys)["state"]) == "running" and time.monotonic() < until:
        time.sleep(0.1)
    assert found == state
