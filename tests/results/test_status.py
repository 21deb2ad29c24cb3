"""What ``pvmc status`` makes of the files of a run: its state, times, warnings, and the command that goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pvmc.errors import InputError
from pvmc.io.checkpoint import Checkpoint, write_checkpoint
from pvmc.io.layout import Session, launches_of
from pvmc.io.results import ResultsWriter
from pvmc.results.facts import RunFacts, as_json, read_facts
from pvmc.results.status import exit_code, read_all, shown, status_text
from tests.run_files import run_attributes

BLOCKS = {"weights": (slice(0, 3), (3,))}
GOOD = {"energy_error": 0.01, "variance": 0.1, "update_norm": 0.1, "r_hat": 1.01, "acceptance": 0.4, "seconds": 2.0}
Rows = Callable[[int], dict[str, float]]


def attributes(**changes: str | int) -> dict[str, str | int]:
    return run_attributes(**{"n_sites": 4, "n_parameters": 3, "n_iterations": 100, "ranks": 2} | changes)


def fill(results: ResultsWriter, first: int, last: int, **changes: float) -> None:
    for iteration in range(first, last):
        results.append(iteration, {"energy": -7.0 - 1e-3 * (iteration % 7), **GOOD, **changes})


def new(directory: Path, **changes: str | int) -> ResultsWriter:
    given = attributes(**changes)
    return ResultsWriter(directory, given, parameter_blocks=BLOCKS, parameter_dtype=np.float64, reference_energy=-7.003)


def resumed(directory: Path, iteration: int, **changes: str | int) -> ResultsWriter:
    given = attributes(**changes)
    return ResultsWriter.resume(directory, iteration, given, parameter_blocks=BLOCKS, parameter_dtype=np.float64)


def checkpoint(directory: Path, iteration: int, age: float = 0.0) -> None:
    path = write_checkpoint(directory, Checkpoint(iteration, np.zeros(3), np.ones((1, 4, 2), np.int8)))
    written = time.time() - age
    os.utime(path, (written, written))


def facts_of(directory: Path) -> RunFacts:
    facts = read_facts(directory)
    assert isinstance(facts, RunFacts)
    return facts


@pytest.fixture
def gone() -> int:
    """The number of a process that is over."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_running(tmp_path: Path) -> None:
    results = new(tmp_path / "a")
    fill(results, 0, 40)
    checkpoint(tmp_path / "a", 30, age=200.0)
    facts = facts_of(tmp_path / "a")
    assert (facts.state, facts.iteration, facts.iterations, facts.over) == ("running", 40, 100, False)
    assert facts.energy == pytest.approx(-7.003 / 4, abs=1e-3) and facts.averaged == 10  # too few to have settled
    assert facts.exact == -7.003 / 4
    assert facts.seconds_left == pytest.approx(2.0 * 60)
    assert facts.checkpoint == 30 and facts.checkpoint_age == pytest.approx(200.0, abs=20.0)
    assert facts.go_on == "" and facts.symptoms == ()
    text = status_text(facts)
    stop_file = tmp_path / "a" / "STOP"
    assert f"\nstop with        touch {stop_file}, or kill -USR1 of mpiexec (without it, of pvmc)\n" in text
    assert "\nlast checkpoint  iteration 30, 3m2" in text and "\ntime left        2m00s\n" in text
    assert "warning" not in text and "go on" not in text
    results.finish("finished")


def test_dead_with_the_command_that_goes_on(tmp_path: Path, gone: int) -> None:
    directory = tmp_path / "two words"
    fill(new(directory, pid=gone), 0, 40)
    checkpoint(directory, 30)
    facts = facts_of(directory)
    assert (facts.state, facts.over, facts.seconds_left) == ("dead", True, None)
    assert facts.message.startswith(f"process {gone} on ")
    assert facts.go_on == f"mpiexec -n 2 pvmc run '{directory}' --resume"
    assert f"go on with       {facts.go_on}\n" in status_text(facts)
    assert "last checkpoint  iteration 30, 0s ago" in status_text(facts)


@pytest.mark.parametrize(
    ("status", "message", "goes_on"),
    [("stopped", "SIGUSR1", True), ("failed", "the disk is full", True), ("finished", "converged", False)],
)
def test_over(tmp_path: Path, status: str, message: str, goes_on: bool) -> None:
    results = new(tmp_path, ranks=1)
    fill(results, 0, 40)
    results.finish(status, message)
    facts = facts_of(tmp_path)
    assert (facts.state, facts.message) == (status, message)
    assert f"state            {status}: {message}\n" in status_text(facts)
    assert facts.go_on == (f"pvmc run {tmp_path} --resume" if goes_on else "")
    assert ("last checkpoint  none" in status_text(facts)) == goes_on


def test_finished_needs_no_reason(tmp_path: Path) -> None:
    results = new(tmp_path)
    fill(results, 0, 100)
    results.finish("finished", "all 100 iterations are done")
    assert "\nstate            finished\n" in status_text(facts_of(tmp_path))


def test_a_copy_of_the_file_alone_has_no_command(tmp_path: Path) -> None:
    results = new(tmp_path / "a")
    results.finish("stopped", "SIGTERM")
    (tmp_path / "a" / "run.h5").rename(tmp_path / "a" / "other.h5")
    assert facts_of(tmp_path / "a" / "other.h5").go_on == ""


def test_time_left_is_that_of_the_last_start(tmp_path: Path) -> None:
    """It may have another number of ranks; its first iteration loads the kernels."""
    first = new(tmp_path)
    fill(first, 0, 40, seconds=9.0)
    first.finish("stopped", "SIGTERM")
    second = resumed(tmp_path, 40, pid=os.getppid())  # of another process
    second.append(40, {"energy": -7.0, **GOOD, "seconds": 500.0})
    assert facts_of(tmp_path).seconds_per_iteration == 9.0
    fill(second, 41, 50, seconds=3.0)
    facts = facts_of(tmp_path)
    assert facts.seconds_left == pytest.approx(3.0 * 50)
    assert facts.sessions == 2
    assert "sessions         2, " in status_text(facts)
    second.finish("finished")


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"r_hat": 1.06}, ["R-hat"]),
        ({"r_hat": 1.04}, []),
        ({"energy": np.nan, "r_hat": 2.0}, ["not finite", "R-hat"]),
        ({"r_hat": np.nan, "acceptance": np.nan}, []),  # not measured: all configurations are enumerated
    ],
)
def test_warnings(tmp_path: Path, changes: dict[str, float], names: list[str]) -> None:
    results = new(tmp_path)
    fill(results, 0, 10)
    fill(results, 10, 40, **changes)
    facts = facts_of(tmp_path)
    assert [symptom.name for symptom in facts.symptoms] == names
    assert status_text(facts).count("\nwarning ") == len(names)
    results.finish("finished")


def test_warnings_are_about_the_last_iterations(tmp_path: Path) -> None:
    results = new(tmp_path)
    fill(results, 0, 20, r_hat=1.5, variance=np.nan, acceptance=0.0)
    fill(results, 20, 41)
    results.append(41, {"energy": -7.0, **GOOD, "r_hat": 30.0})  # one alone says little
    assert facts_of(tmp_path).symptoms == ()
    results.finish("finished")


def test_a_run_without_iterations(tmp_path: Path) -> None:
    results = new(tmp_path)
    facts = facts_of(tmp_path)
    assert (facts.iteration, facts.energy, facts.seconds_left, facts.symptoms) == (0, None, None, ())
    assert json.loads(as_json(facts))["energy_per_site"] is None
    results.finish("finished")


def test_several_are_a_table_and_a_bad_one_hides_none(tmp_path: Path, gone: int) -> None:
    alive, dead = new(tmp_path / "alive"), new(tmp_path / "dead", pid=gone)
    fill(alive, 0, 40, r_hat=1.2)
    fill(dead, 0, 20)
    facts = read_all([tmp_path / name for name in ("alive", "dead", "nowhere")])
    head, first, second, third = shown(facts, json=False).splitlines()
    assert first.index(" running") == head.index(" state") == second.index(" dead") == third.index(" unreadable")
    assert "40/100" in first and "warning: R-hat" in first
    assert "nowhere does not exist" in third or "run.h5 does not exist" in third
    assert exit_code(facts) == 2 and exit_code(facts[:2]) == 0
    with pytest.raises(InputError, match="does not exist"):
        read_all([tmp_path / "nowhere"])
    alive.finish("finished")


def test_json_is_an_object_for_each(tmp_path: Path) -> None:
    results = new(tmp_path)
    fill(results, 0, 40, r_hat=1.2)
    lines = shown(read_all([tmp_path, tmp_path / "nowhere"]), json=True).splitlines()
    run, unreadable = (json.loads(line) for line in lines)
    assert (run["kind"], run["state"], run["iteration"], run["iterations"]) == ("run", "running", 40, 100)
    assert len(run["warnings"]) == 1 and run["warnings"][0].startswith("R-hat 1.2")
    assert (unreadable["kind"], unreadable["path"]) == ("unreadable", str(tmp_path / "nowhere"))
    results.finish("finished")


def session(started: str, seconds: float, pid: int = 7, **changes: object) -> Session:
    return Session(f"2026-03-14T{started}+00:00", 0, 2, 1, "host", pid, seconds, "stopped")


def test_sessions_of_one_process_are_one_start() -> None:
    """A run that goes back a few iterations lays its file out anew, with a row of its own."""
    first, again = session("10:00:00", 60.0), session("10:01:01", 30.0)
    assert [(start.started, start.seconds) for start in launches_of([first, again])] == [(first.started, 90.0)]
    third = session("10:01:32", 5.0)
    assert [start.seconds for start in launches_of([first, again, third])] == [95.0]
    assert len(launches_of([first, session("10:01:01", 30.0, pid=8)])) == 2
    assert len(launches_of([first, session("11:00:00", 30.0)])) == 2, "the same number of a later process"
    assert launches_of([]) == ()


def test_a_run_that_went_back_has_one_session(tmp_path: Path) -> None:
    first = new(tmp_path)
    fill(first, 0, 20)
    first.finish("stopped", "went back")
    again = resumed(tmp_path, 10)
    fill(again, 10, 20)
    facts = facts_of(tmp_path)
    assert (facts.sessions, facts.iteration, facts.state) == (1, 20, "running")
    again.finish("finished")


def test_the_energy_of_a_single_iteration_has_its_own_error(tmp_path: Path) -> None:
    """Of an imported state there is no more."""
    with new(tmp_path / "a", n_iterations=1) as results:
        fill(results, 0, 1)
    facts = facts_of(tmp_path / "a")
    assert (facts.energy, facts.energy_error, facts.averaged) == (-1.75, 0.0025, 1)
    assert (facts.variance, facts.acceptance, facts.drifting) == (0.025, 0.4, False)
    text = status_text(facts)
    assert "-1.7500000 +- 2.5e-03 J (one iteration, its own error)" in text
    assert "relative error   4.28e-04" in text
