"""Lengths of time, the end of a run's time, and signals."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import pvmc
from pvmc.errors import InputError
from pvmc.io.checkpoint import latest_checkpoint
from pvmc.vmc import interruptions
from pvmc.vmc.interruptions import (
    IGNORABLE,
    STOPPING,
    Signals,
    TimeLimit,
    TimeSpec,
    find_time_limit,
    in_words,
    parse_duration,
    signal_name,
    slurm_seconds_left,
)

JOB = {"SLURM_JOB_ID": "17"}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90 * 60),
        ("5:30", 5 * 60 + 30),
        ("24:00:00", 86400),
        ("1-12", 36 * 3600),
        ("1-12:30", 36.5 * 3600),
        ("1-12:00:05", 36 * 3600 + 5),
        ("30s", 30),
        ("45m", 2700),
        ("2h", 7200),
        ("1.5h", 5400),
        ("1d", 86400),
        ("1h30m", 5400),
        (" 2H ", 7200),
    ],
)
def test_lengths_of_time(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "x", "0", "0s", "-5", "1:2:3:4", "1-", "-1:00", "30m1h", "1e3", "h", "5 m", "9" * 40]
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(InputError, match=r'^--time-limit ".*": must be a length of time: "90" \(minutes\), ') as caught:
        parse_duration(text)
    assert "\n" not in str(caught.value)


class TestReserve:
    def test_margin_slow_iterations_and_checkpoints(self) -> None:
        limit = TimeLimit(end=1000.0, source="a test", margin=60.0)
        assert not limit.due(939.9) and limit.due(940.0)
        for seconds in (2.0, 5.0, 1.0):
            limit.iterated(seconds)
        limit.saved(4.0)
        assert limit.reserve == 60.0 + 3 * 5.0 + 2 * 4.0
        assert not limit.due(916.9) and limit.due(917.0)

    def test_an_old_slow_iteration_is_forgotten(self) -> None:
        limit = TimeLimit(end=1000.0, source="a test", margin=0.0)
        limit.iterated(100.0)
        for _ in range(interruptions.RECENT):
            limit.iterated(1.0)
        assert limit.reserve == 3.0

    def test_words(self) -> None:
        limit = TimeLimit(end=100.0, source="SLURM job 17", margin=60.0)
        assert limit.describe(41.0) == "0:00:59 left of SLURM job 17, of which 0:01:00 are kept"
        assert [in_words(s) for s in (0.0, 2.54, 90.0, 93600.0)] == ["0.0 s", "2.5 s", "0:01:30", "1 day, 2:00:00"]


def answers(**texts: str) -> tuple[list[Sequence[str]], object]:
    """SLURM's commands played, and what was asked."""
    asked: list[Sequence[str]] = []

    def ask(command: Sequence[str]) -> str:
        asked.append(command)
        return texts.get(command[0], "")

    return asked, ask


class TestSlurm:
    def test_end_from_the_environment(self) -> None:
        asked, ask = answers()
        end = int(time.time()) + 1000
        left, warning = slurm_seconds_left(JOB | {"SLURM_JOB_END_TIME": str(end)}, ask)
        assert 900 < left <= 1000 and warning == "" and asked == []

    @pytest.mark.parametrize(
        ("squeue", "scontrol", "seconds"),
        [
            ("1-02:03:04\n", "", 86400 + 2 * 3600 + 3 * 60 + 4),
            ("9:30\n", "", 570),
            ("UNLIMITED\n", "", math.inf),
            ("INVALID\n", "JobId=17 RunTime=00:01:05 TimeLimit=00:10:00 TimeMin=N/A", 535),
            ("", "JobId=17 RunTime=00:01:05 TimeLimit=UNLIMITED TimeMin=N/A", math.inf),
        ],
    )
    def test_time_left_as_slurm_answers(self, squeue: str, scontrol: str, seconds: float) -> None:
        asked, ask = answers(squeue=squeue, scontrol=scontrol)
        assert slurm_seconds_left(JOB, ask) == (seconds, "")
        assert all("17" in command for command in asked)

    @pytest.mark.parametrize("scontrol", ["", "slurm_load_jobs error", "TimeLimit=Partition_Limit", "RunTime=00:01:05"])
    def test_no_answer_is_no_limit_and_a_warning(self, scontrol: str) -> None:
        left, warning = slurm_seconds_left(JOB, answers(scontrol=scontrol)[1])
        assert left == math.inf
        assert warning.startswith("the end of SLURM job 17 cannot be found out") and "--time-limit" in warning

    def test_commands_that_are_not_there_or_hang(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(interruptions, "ASK_SECONDS", 0.2)
        assert interruptions._answer(["no-such-command-of-slurm"]) == ""
        assert interruptions._answer(["sleep", "60"]) == ""
        assert interruptions._answer(["false"]) == ""
        assert interruptions._answer(["echo", "5:00"]) == "5:00\n"


class TestFindTimeLimit:
    def test_none_without_wishes_or_slurm(self) -> None:
        found = find_time_limit(TimeSpec(), 0.0, {})
        assert found.limit is None and found.warning == ""

    def test_the_users_counts_from_the_start_of_the_program(self) -> None:
        limit = find_time_limit(TimeSpec(limit="2h"), 100.0, {}).limit
        assert limit is not None and (limit.end, limit.margin) == (7300.0, 0.0)
        assert limit.source == "the time limit of 2h"

    def test_slurms_has_a_margin_unless_the_input_has_one_and_may_be_left_out(self) -> None:
        asked, ask = answers(squeue="10:00")
        assert find_time_limit(TimeSpec(slurm=False), 0.0, JOB, ask).limit is None and asked == []
        for margin, kept in ((None, 60.0), (5.0, 5.0)):
            limit = find_time_limit(TimeSpec(margin=margin), 0.0, JOB, ask).limit
            assert limit is not None and limit.margin == kept and limit.source == "SLURM job 17"
            assert limit.end == pytest.approx(time.monotonic() + 600, abs=30)

    def test_the_earlier_one_counts(self) -> None:
        ask = answers(squeue="10:00")[1]
        now = time.monotonic()
        for text, source in (("5m", "the time limit of 5m"), ("15m", "SLURM job 17")):
            limit = find_time_limit(TimeSpec(limit=text), now, JOB, ask).limit
            assert limit is not None and limit.source == source

    def test_a_warning_does_not_cost_the_users_limit(self) -> None:
        found = find_time_limit(TimeSpec(limit="2h"), 0.0, JOB, answers()[1])
        assert found.limit is not None and found.warning


# Signals --------------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _handlers_survive() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in STOPPING}
    yield
    after = {number: signal.getsignal(number) for number in STOPPING}
    for number, handler in before.items():
        signal.signal(number, handler)
    assert after == before


def send(number: int) -> None:
    """A signal to this process; its handler has run when this returns."""
    os.kill(os.getpid(), number)
    time.sleep(0.01)


@pytest.mark.parametrize(
    ("sent", "echo_seconds"),
    [
        *(([number], 0.0) for number in STOPPING),
        ([signal.SIGUSR1, signal.SIGTERM], 0.0),
        ([signal.SIGTERM, signal.SIGINT], 0.0),  # an interrupt after another signal is the first interrupt
        ([signal.SIGINT, signal.SIGINT], 3600.0),  # an echo
    ],
)
def test_the_first_one_is_noted_and_nothing_else_happens(
    monkeypatch: pytest.MonkeyPatch, sent: list[int], echo_seconds: float
) -> None:
    monkeypatch.setattr(interruptions, "ECHO_SECONDS", echo_seconds)
    with Signals() as heard:
        assert heard.received == 0
        for number in sent:
            send(number)
        assert heard.received == sent[0]


def test_a_warning_is_noted_and_stops_nothing() -> None:
    before = signal.getsignal(signal.SIGCONT)
    with Signals() as heard:
        assert not heard.warned
        send(signal.SIGCONT)
        assert heard.warned and heard.received == 0
    assert signal.getsignal(signal.SIGCONT) == before


@pytest.mark.parametrize("number", IGNORABLE)
def test_what_was_ignored_stays_ignored_and_others_are_heard(number: signal.Signals) -> None:
    """As under nohup."""
    before = {each: signal.signal(each, signal.SIG_IGN) for each in (number, signal.SIGUSR1)}
    try:
        with Signals() as heard:
            send(number)
            assert heard.received == 0
            send(signal.SIGUSR1)
            assert heard.received == signal.SIGUSR1
        assert signal.getsignal(signal.SIGUSR1) == signal.SIG_IGN
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def test_a_second_interrupt_interrupts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interruptions, "ECHO_SECONDS", 0.0)
    with Signals() as heard:
        send(signal.SIGINT)
        assert heard.received == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)


def test_handlers_come_back_after_an_error() -> None:
    called: list[int] = []

    def own(number: int, frame: FrameType | None) -> None:
        called.append(number)

    before = signal.signal(signal.SIGUSR1, own)
    try:
        with pytest.raises(RuntimeError), Signals() as heard:
            send(signal.SIGUSR1)
            raise RuntimeError
        assert heard.received == signal.SIGUSR1 and called == []
        send(signal.SIGUSR1)
        assert called == [signal.SIGUSR1]
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_outside_the_main_thread_nothing_is_installed() -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen: list[object] = []

    def work() -> None:
        with Signals() as heard:
            seen.extend([heard.received, signal.getsignal(signal.SIGTERM)])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [0, before]


SCRIPT = """
import signal, sys, time
import pvmc
from pvmc.vmc.stop import StopWatcher

decide = StopWatcher.decide

def struck(self, iteration, *others):
    if iteration == 2:
        signal.raise_signal(int(sys.argv[1]))
    return decide(self, iteration, *others)

StopWatcher.decide = struck
if len(sys.argv) > 2:
    signal.signal(int(sys.argv[1]), lambda number, frame: print("handled", number))
job = pvmc.job({
    "lattice": {"kind": "chain", "length": 4},
    "hamiltonian": {"model": "heisenberg"},
    "ansatz": {"kind": "mean_field"},
    "sampler": {"walkers": 32, "block_width": 16, "samples": 64},
    "run": {"iterations": 5},
})
print("went on", pvmc.run(job, "r").status())
"""


@pytest.mark.parametrize(
    ("arguments", "code", "last"),
    [
        ([signal.SIGTERM], -signal.SIGTERM, "results in r/run.h5"),
        ([signal.SIGTERM, "handled"], 0, "went on stopped"),
        ([signal.SIGUSR1], 0, "went on stopped"),
        ([signal.SIGINT], -signal.SIGINT, "results in r/run.h5"),
    ],
    ids=["SIGTERM", "SIGTERM, handled", "SIGUSR1", "SIGINT"],
)
def test_a_script_ends_with_its_run_unless_it_handles_the_signal(
    tmp_path: Path, arguments: list[Any], code: int, last: str
) -> None:
    """Not before the checkpoint is written, though."""
    command = [sys.executable, "-c", SCRIPT, *(str(int(word)) if isinstance(word, int) else word for word in arguments)]
    environment = os.environ | {"PYTHONPATH": str(Path(pvmc.__file__).parents[1]), "PVMC_NO_MPI": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (code, last), done.stderr
    assert ("KeyboardInterrupt" in done.stderr) == (arguments == [signal.SIGINT])
    assert (f"handled {int(signal.SIGTERM)}\n" in done.stdout) == (arguments[1:] == ["handled"])
    found = pvmc.open_run(tmp_path / "r")
    assert found.status() == "stopped" and len(found.iteration) == 3
    assert latest_checkpoint(tmp_path / "r")[0] is not None


PROGRAM = """
import os, signal
from pathlib import Path
from pvmc.mpi import SerialCommunicator
from pvmc.vmc.recorder import RunRequest
from pvmc.vmc.run import run
from pvmc.vmc.stop import StopWatcher
from tests.jobs import job_of, ring

def test_that_is_struck(tmp_path, monkeypatch):
    decide = StopWatcher.decide
    monkeypatch.setattr(StopWatcher, "decide", lambda *words: os.kill(os.getpid(), signal.SIGTERM) or decide(*words))
    run(RunRequest(job_of(ring()), "", tmp_path / "run"), SerialCommunicator())

def test_that_never_runs():
    print("on it goes")
"""


def test_pytest_ends_at_once_within_a_run(tmp_path: Path) -> None:
    root = Path(pvmc.__file__).parents[1]
    (tmp_path / "test_struck.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "pytest", "-s", "-p", "no:cacheprovider", str(tmp_path / "test_struck.py")]
    environment = os.environ | {"PYTHONPATH": str(root), "PVMC_NO_MPI": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == -signal.SIGTERM and "on it goes" not in done.stdout, done.stdout


def test_names() -> None:
    assert signal_name(signal.SIGTERM) == "SIGTERM"
    assert signal_name(63) == "signal 63"
