"""When a run stops, in one process; how ranks agree is seen in tests/mpi/test_stop.py and from outside below."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pvmc.errors import EXIT_RESUMABLE
from pvmc.estimators import EnergyStatistics
from pvmc.io.storage import STOP_FILE
from pvmc.mpi import SerialCommunicator
from pvmc.sampler import Walkers
from pvmc.sr import Step
from pvmc.vmc.interruptions import Signals, TimeLimit
from pvmc.vmc.loop import State, StepRecord
from pvmc.vmc.pieces import Decision, Round
from pvmc.vmc.spec import ConvergenceSpec
from pvmc.vmc.stop import Convergence, StopWatcher
from tests.designs import slow_but

COMM = SerialCommunicator()


def step(iteration: int) -> StepRecord:
    energy = EnergyStatistics(-1.0 + 0j, 0.1, 0.01, 1.0, 1.0, 1e-3, 0.5, 100, 100.0)
    state = State(iteration + 1, np.zeros(1), Walkers(np.ones((1, 2, 4), np.int8), 0))
    return StepRecord(iteration, energy, Step(np.zeros(1), 0.1, 0.0, 0.0, 0, 0.0, 0.0), state, None, {})


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


def first_stop(watcher: StopWatcher, clock: Clock | None = None, seconds: float = 1.0, n: int = 100) -> tuple[int, Any]:
    """The iteration at which a run ends, and why; its iterations last so many seconds."""
    for iteration in range(n):
        if clock is not None:
            clock.now += seconds
        decision = watcher.decide(iteration, COMM)
        if decision.stop:
            assert decision.checkpoint
            return iteration, decision.stop
    return n, None


def test_a_run_goes_on_to_its_last_iteration() -> None:
    iteration, reason = first_stop(StopWatcher(7, Signals()))
    assert (iteration, reason.kind, reason.finished, reason.exit_code) == (6, "iterations", True, 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_signal(number: int) -> None:
    signals = Signals()
    watcher = StopWatcher(7, signals)
    assert watcher.decide(0, COMM) == Decision(None, False)
    signals.received = number
    reason = watcher.decide(1, COMM).stop
    assert reason is not None and (reason.kind, reason.finished) == ("signal", False)
    assert reason.message == signal.Signals(number).name
    assert reason.exit_code == EXIT_RESUMABLE == 75


def test_a_warning_has_a_state_written_once() -> None:
    signals = Signals()
    watcher = StopWatcher(7, signals)
    signals.warned = True
    assert watcher.decide(0, COMM) == Decision(None, checkpoint=False, recent=True)
    assert watcher.decide(1, COMM) == Decision(None, checkpoint=False)
    signals.warned, signals.received = True, signal.SIGTERM
    decision = watcher.decide(2, COMM)
    assert decision.stop is not None and decision.checkpoint and decision.recent, "first what is quick"


def test_a_finished_run_is_finished_whatever_else_asks_for_a_stop() -> None:
    signals, clock = Signals(), Clock()
    signals.received = signal.SIGTERM
    watcher = StopWatcher(1, signals, limit=TimeLimit(0.0, "a test", 0.0), clock=clock)
    reason = watcher.decide(0, COMM).stop
    assert reason is not None and reason.kind == "iterations" and reason.finished


def test_time_counts_the_slowest_iteration_and_the_checkpoint() -> None:
    clock = Clock(0.0)
    iteration, reason = first_stop(
        StopWatcher(99, Signals(), limit=TimeLimit(50.0, "a test", 10.0), clock=clock), clock, 2.0
    )
    assert clock.now == 34.0  # 50 - 10 - 3 x 2
    assert (iteration, reason.kind, reason.finished, reason.exit_code) == (16, "time", False, 75)
    assert reason.message == "out of time: 0:00:16 left of a test, of which 0:00:16 are kept"


def test_the_time_of_saving_is_none_of_an_iteration() -> None:
    clock = Clock(0.0)
    limit = TimeLimit(1000.0, "a test", 0.0)
    watcher = StopWatcher(99, Signals(), limit=limit, clock=clock)
    for iteration in range(3):
        clock.now += 1.0
        watcher.decide(iteration, COMM)
        clock.now += 5.0
        watcher.saved(iteration, 5.0)
    assert limit.reserve == 3 * 1.0 + 2 * 5.0


class TestStopFile:
    def test_it_stops_the_run_and_is_gone(self, tmp_path: Path) -> None:
        clock = Clock()
        watcher = StopWatcher(99, Signals(), directory=tmp_path, clock=clock)
        assert first_stop(watcher, clock, n=3) == (3, None)
        (tmp_path / STOP_FILE).touch()
        _, reason = first_stop(watcher, clock)
        assert (reason.kind, reason.finished) == ("stop file", False)
        assert reason.message == f"found {tmp_path / STOP_FILE}, and removed it"
        assert not (tmp_path / STOP_FILE).exists()

    def test_it_is_looked_for_once_a_second(self, tmp_path: Path) -> None:
        clock = Clock()
        watcher = StopWatcher(99, Signals(), directory=tmp_path, clock=clock)
        watcher.decide(0, COMM)
        (tmp_path / STOP_FILE).touch()
        assert first_stop(watcher, clock, seconds=0.3)[0] == 3

    def test_one_that_cannot_be_removed_stops_the_run_and_says_so(self, tmp_path: Path) -> None:
        (tmp_path / STOP_FILE).mkdir()
        _, reason = first_stop(StopWatcher(99, Signals(), directory=tmp_path))
        assert reason.kind == "stop file"
        assert re.search(r"which cannot be removed \(.+\): remove it to resume$", reason.message)

    def test_a_directory_that_is_gone_stops_nothing(self, tmp_path: Path) -> None:
        assert first_stop(StopWatcher(99, Signals(), directory=tmp_path / "gone"), n=3) == (3, None)


def test_convergence() -> None:
    """The criteria come to the decision by the round; a run that has reached its last iteration is over by that."""
    pieces = [Convergence(ConvergenceSpec(window=16, variance=0.02), n_sites=1), StopWatcher(20, Signals())]
    reasons = {}
    for iteration in range(20):
        done = Round(step(iteration))
        for piece in pieces:
            piece.after(done, COMM)
        reasons[iteration] = done.decision.stop
    assert all(reasons[iteration] is None for iteration in range(15))
    reason = reasons[15]
    assert reason is not None and (reason.kind, reason.finished, reason.exit_code) == ("converged", True, 0)
    assert reason.message == "converged: variance/N 0.01 <= 0.02 over the last 16 iterations"
    assert reasons[19] is not None and reasons[19].kind == "iterations"


def test_no_criteria_are_never_met() -> None:
    convergence = Convergence(None, n_sites=1)
    for iteration in range(3):
        convergence.observe(iteration, -1.0, 0.0, 0.0)
    assert convergence.reached() == ""


RUN = """
import os, time
from pvmc.mpi import run_main, world
from pvmc.vmc.interruptions import Signals
from pvmc.vmc.stop import StopWatcher

def main():
    comm = world()
    with Signals() as signals:
        watcher = StopWatcher(10**6, signals)
        print(f"rank {comm.rank} pid {os.getpid()}", flush=True)
        for iteration in range(10**6):
            time.sleep(0.002 * (1 + comm.rank))
            decision = watcher.decide(iteration, comm)
            if decision.stop:
                print(f"rank {comm.rank} stops at {iteration}: {decision.stop.message}", flush=True)
                return decision.stop.exit_code

raise SystemExit(run_main(main))
"""


SENT = [(signal.SIGTERM, "rank 1"), (signal.SIGUSR2, "rank 1"), (signal.SIGUSR1, "mpiexec")]


@pytest.mark.parametrize(("number", "to"), slow_but(SENT[:1], SENT, several=True))
def test_a_job_stops_together_when_a_signal_comes_from_outside(
    mpiexec: str, tmp_path: Path, number: signal.Signals, to: str
) -> None:
    """To one rank alone, as SLURM may send it; or to mpiexec, which passes it on."""
    job = subprocess.Popen(
        [mpiexec, "-n", "2", sys.executable, "-c", textwrap.dedent(RUN)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    try:
        assert job.stdout is not None
        started = "".join(job.stdout.readline() for _ in range(2))
        pids = {rank: int(pid) for rank, pid in re.findall(r"(rank \d) pid (\d+)", started)}
        os.kill(pids.get(to, job.pid), number)
        output, _ = job.communicate(timeout=60)
    finally:
        job.kill()
    stops = re.findall(r"rank (\d) stops at (\d+): (\w+) on rank (\d)", output)
    assert {rank for rank, _, _, _ in stops} == {"0", "1"}, output
    assert len({(iteration, name, where) for _, iteration, name, where in stops}) == 1, output
    assert stops[0][2] == number.name and (to == "mpiexec" or stops[0][3] == "1")
    assert job.returncode == EXIT_RESUMABLE


# Convergence ----------------------------------------------------------------------------------------------------------


N_SITES = 10
Series = dict[str, NDArray[np.float64]]


def descent(n: int = 400, noise: float = 1e-3, seed: int = 4) -> Series:
    """A run that falls to E/N = -1 within about 100 iterations; totals, as in a results file."""
    rng = np.random.default_rng(seed)
    falling = np.exp(-np.arange(n) / 10.0)
    return {
        "iteration": np.arange(n),
        "energy": N_SITES * (-1.0 + falling + noise * rng.normal(size=n)),
        "variance": N_SITES * (1e-3 + falling),
        "v_score": 1e-4 + falling,
    }


def stops_at(convergence: Convergence, series: Series, first: int = 0) -> int | None:
    """The iteration at which a run with these numbers ends."""
    rows = list(zip(*(series[name].tolist() for name in ("iteration", "energy", "variance", "v_score")), strict=True))
    for row in rows[first:]:
        convergence.observe(*row)
        if convergence.reached():
            return int(row[0])
    return None


def head(series: Series, n: int) -> Series:
    return {name: values[:n] for name, values in series.items()}


def test_variance_per_site_and_v_score_are_means_over_the_window() -> None:
    series = descent()
    windows = {name: np.convolve(series[name], np.ones(50) / 50, "valid") for name in ("variance", "v_score")}
    for name, bound, scale in (("variance", 2e-3, N_SITES), ("v_score", 2e-4, 1)):
        expected = int(np.flatnonzero(windows[name] / scale <= bound)[0]) + 49
        spec = ConvergenceSpec.model_validate({"window": 50, name: bound})
        assert stops_at(Convergence(spec, N_SITES), series) == expected
        assert 60 < expected < 200


@pytest.mark.parametrize(
    ("spec", "energy_per_site", "stops"),
    [
        # 1e-3 of noise over 100 iterations is an error of 1e-4, once the fall is over.
        ({"error": 2e-4}, None, True),
        ({"error": 5e-5}, None, False),
        # All criteria must hold.
        ({"error": 2e-4, "variance": 1e-9}, None, False),
        ({"error": 2e-4, "v_score": 1e-9}, None, False),
        # An energy that drifts has not converged, however small its scatter is; an eigenstate's differ by rounding.
        ({"error": 1e-2}, -1.0 - 1e-6 * np.arange(400), False),
        ({"error": 1e-3}, -1.0 + 1e-9 * np.arange(200), False),
        ({"error": 1e-3}, -1.0 + 1e-16 * np.arange(200), True),
    ],
)
def test_error_of_the_energy_per_site(
    spec: dict[str, float], energy_per_site: NDArray[np.float64] | None, stops: bool
) -> None:
    series = descent() if energy_per_site is None else descent(n=len(energy_per_site))
    if energy_per_site is not None:
        series["energy"] = N_SITES * energy_per_site
    stopped = stops_at(Convergence(ConvergenceSpec.model_validate(spec), N_SITES), series)
    assert (stopped is not None) == stops
    if energy_per_site is None and stops:
        assert stopped is not None and 120 < stopped < 300


@pytest.mark.parametrize("resumed_at", [1, 57, 82, 100])
def test_a_resumed_run_stops_where_an_uninterrupted_one_does(resumed_at: int) -> None:
    series = descent()
    series["energy"][80] = np.nan
    spec = ConvergenceSpec(window=50, error=4e-4, variance=2e-3)
    straight = stops_at(Convergence(spec, N_SITES), series)
    assert straight is not None and straight > 100
    resumed = Convergence(spec, N_SITES)
    resumed.replay(head(series, resumed_at))
    assert not resumed.reached()
    assert stops_at(resumed, series, first=resumed_at) == straight


def test_a_run_that_went_back_is_judged_by_what_came_last() -> None:
    series = descent()
    spec = ConvergenceSpec(window=50, variance=2e-3)
    straight = stops_at(Convergence(spec, N_SITES), series)
    assert straight is not None
    back = Convergence(spec, N_SITES)
    assert stops_at(back, head(series, straight)) is None
    for iteration in range(straight - 5, straight):
        back.observe(iteration, 0.0, 1e9, 1e9)
    assert stops_at(back, series, first=straight - 5) == straight


def test_the_message_has_the_numbers() -> None:
    convergence = Convergence(ConvergenceSpec(error=2e-4, variance=2e-3, v_score=3e-4), N_SITES)
    assert stops_at(convergence, descent()) is not None
    text = convergence.reached()
    for part in (
        "error of E/N ",
        " <= 0.0002",
        "variance/N 0.001",
        " <= 0.002",
        "V-score ",
        "over the last 100 iterations",
    ):
        assert part in text
