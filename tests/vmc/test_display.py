"""What a run shows: aligned lines in a log, and on a terminal of any width a bar below them."""

from __future__ import annotations

import concurrent.futures
import io
import math
import os
import pty
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pvmc.results.digits import duration
from pvmc.vmc import display

N_SITES = 10


def record(iteration: int, energy: float = -4.5, r_hat: float = 1.01) -> Any:
    statistics = SimpleNamespace(
        mean=complex(energy, 1e-9), error=0.01, variance=0.2, acceptance=0.5, r_hat=r_hat, autocorrelation_time=1.25
    )
    return SimpleNamespace(iteration=iteration, energy=statistics)


def log(iterations: Iterable[int], exact: float | None = None, n: int | None = None, **numbers: float) -> list[str]:
    """The lines of a run of n iterations that has made these."""
    stream, done = io.StringIO(), list(iterations)
    reporter = display.reporter(n or len(done), N_SITES, exact, stream, first=done[0])
    for iteration in done:
        reporter.show(record(iteration, **numbers))
    reporter.close()
    return stream.getvalue().splitlines()


def test_a_line_says_it_all() -> None:
    head, first, *_ = log(range(20), exact=-5.0)
    assert " ".join(head.split()) == "iteration E/N +- error rel. error var/N accept R-hat tau left"
    assert " ".join(first.split()) == "1/20 -0.4500000 +-1.0e-03 1.00e-01 2.00e-02 0.500 1.010 1.2 -"


@pytest.mark.parametrize("exact", [None, 0.0, -5.0])
@pytest.mark.parametrize("n_iterations", [1, 20, 9999])
def test_lines_are_aligned_and_short(n_iterations: int, exact: float | None) -> None:
    lines = log(range(n_iterations), exact)
    assert len({len(line) for line in lines}) == 1
    assert len(lines[0]) <= 79


@pytest.mark.parametrize("r_hat", [0.986, 99.999, 100.5, 1013.2, 123456.7, 1e9, 1e200, math.inf, math.nan])
@pytest.mark.parametrize("energy", [-4.5, 45.0, 0.0, -999.0, -9999.0, -12345678.0, 1e-5, -1e90])
def test_columns_stay_apart_whatever_the_numbers_are(energy: float, r_hat: float) -> None:
    head, line = log([0], energy=energy, r_hat=r_hat)
    assert len(line) == len(head)
    assert float(line.split()[1]) == pytest.approx(energy / N_SITES, rel=1e-4, abs=1e-12)
    assert line.split()[-4] == "0.500"
    assert float(line.split()[-3]) == pytest.approx(r_hat, rel=0.5, nan_ok=True)


def test_an_exact_energy_of_zero_is_compared_on_the_scale_of_h() -> None:
    for exact, radius, error in [(0.0, 3.0, "-1.50e+00"), (1.7e-16, 3.0, "-1.50e+00"), (-5.0, 30.0, "1.00e-01")]:
        stream = io.StringIO()
        display.reporter(1, N_SITES, exact, stream, radius=radius).show(record(0))
        assert stream.getvalue().splitlines()[1].split()[3] == error


@pytest.mark.parametrize("n_iterations", [1, 7, 50, 51, 99, 1000])
def test_a_log_has_few_lines_with_the_first_and_the_last(n_iterations: int) -> None:
    numbers = numbers_of(log(range(n_iterations)))
    assert len(numbers) <= display.LINES_PER_RUN + 2
    assert numbers == sorted(set(numbers))
    assert (numbers[0], numbers[-1]) == (1, n_iterations)


def numbers_of(lines: list[str]) -> list[int]:
    """The iterations below the head."""
    return [int(line.split("/")[0]) for line in lines[1:]]


def test_a_slow_run_is_not_silent_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 100_000, 20))  # seconds at each look; there are a few looks per iteration
    monkeypatch.setattr(display.time, "monotonic", lambda: float(next(clock)))
    assert len(log(range(1000))) > 401


@pytest.mark.parametrize(
    ("iterations", "left"),
    [
        ([(7, 1000.0), (8, 1002.0), (9, 1004.0)], [math.nan, 2.0 * 11, 2.0 * 10]),
        # A run that goes back does its iterations again: they are measured from there, whatever was done before.
        ([(0, 1000.0), (1, 1002.0), (0, 1100.0), (1, 1103.0)], [math.nan, 2.0 * 18, math.nan, 3.0 * 18]),
    ],
)
def test_time_left_leaves_the_first_iteration_out(
    monkeypatch: pytest.MonkeyPatch, iterations: Iterable[tuple[int, float]], left: list[float]
) -> None:
    """Of 20 iterations; each with the moment of its end."""
    clock, found = display._Clock(20), []
    for iteration, now in iterations:
        monkeypatch.setattr(display.time, "monotonic", lambda now=now: now)
        found.append(clock.left(iteration))
    assert found == pytest.approx(left, nan_ok=True)


def test_a_run_that_goes_back_or_on_shows_where_it_is() -> None:
    assert numbers_of(log((0, 1, 2, 0, 1, 2, 2, 3), n=1000)) == [1, 1, 3]
    resumed = log(range(503, 523), n=1000)
    assert numbers_of(resumed) == [504, 520]
    assert resumed[1].split()[-1] == "-" and resumed[2].split()[-1] != "-", "the time left"


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
def test_a_terminal_of_open_mpi_is_one_if_that_of_the_launcher_is() -> None:
    """It gives each rank a terminal, also where its own output goes into a file."""
    outer, inner = pty.openpty()
    code = "import sys; from pvmc.mpi import on_terminal; sys.stderr.write(str(on_terminal(sys.stdout)))"
    # The shell stands for the launcher: python's parent, with the output that is its own.
    inside = f"(exec {shlex.quote(sys.executable)} -c {shlex.quote(code)} >{os.ttyname(inner)}); true"
    for variables, launchers, expected in (
        ({}, subprocess.DEVNULL, "True"),
        ({"OMPI_COMM_WORLD_RANK": "0"}, subprocess.DEVNULL, "False"),
        ({"OMPI_COMM_WORLD_RANK": "0"}, inner, "True"),
    ):
        done = subprocess.run(
            ["sh", "-c", inside],
            stdout=launchers,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | variables | {"PYTHONPATH": str(Path(display.__file__).parents[2])},
            check=True,
        )
        assert done.stderr == expected
    os.close(inner)
    os.close(outer)


def shown_on_terminal(columns: int, kind: str, n_iterations: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a run writes to a terminal of this width."""
    for name in ("NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", kind)
    monkeypatch.setenv("COLUMNS", str(columns))  # else that of pytest's own terminal counts
    outer, inner = pty.openpty()
    with concurrent.futures.ThreadPoolExecutor() as pool, os.fdopen(inner, "w", encoding="utf-8") as terminal:
        shown = pool.submit(read_all, outer)
        reporter = display.reporter(n_iterations, N_SITES, -5.0, terminal)
        for iteration in range(n_iterations):
            reporter.show(record(iteration))
        reporter.close()
        terminal.close()
        text = shown.result(timeout=10)
    os.close(outer)
    return text


def read_all(descriptor: int) -> str:
    pieces = []
    while True:
        try:
            pieces.append(os.read(descriptor, 4096))
        except OSError:  # the other end is closed
            return b"".join(pieces).decode()


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_a_terminal_gets_a_bar_that_fits(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = shown_on_terminal(columns, "xterm", 5, monkeypatch)
    assert "━" in shown, "a bar"
    assert "5/5  -0.4500000" in shown, "the bar says where the run is"
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    lines = [line for line in re.split(r"[\r\n]+", plain) if line.strip()]
    assert max(len(line) for line in lines) <= columns
    rows = [line.split()[0] for line in lines if re.match(r" +\d/5 ", line)]
    assert rows == ["1/5", "2/5", "3/5", "4/5", "5/5"], "the lines of the log stay"


def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = shown_on_terminal(80, "dumb", 3, monkeypatch)
    assert "\x1b" not in shown
    assert len(shown.splitlines()) == 4


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (59.4, "59s"),
        (59.6, "1m00s"),
        (200, "3m20s"),
        (3599.6, "1h00m"),
        (18240, "5h04m"),
        (200_000, "2d07h"),
        (math.nan, "-"),
        (math.inf, "-"),
        (-1, "-"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text
