"""Several starts on the command line: killed, looked at, resumed; their cost; commands that know nothing of them."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.run_bits import bits_of, differences
from pvmc.cli import main
from pvmc.errors import PvmcError
from pvmc.io.reader import open_run
from tests.jobs import ring_text

INPUT = ring_text("seed = 3\niterations = 10\nstarts = 2\nstart_iterations = 200")
SECONDS = 60.0
"""A long time for what should take a few seconds."""


@pytest.fixture(autouse=True)
def input_file(directory: Path) -> None:
    Path("chain.toml").write_text(INPUT)


def wait_for_second_trial(process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            trials = open_run("r").trials
            if trials[0].over and trials[1].iterations:
                return
        except PvmcError:  # it has not begun
            pass
        time.sleep(0.02)
    raise AssertionError(f"no second trial: {process.communicate()[0] if process.poll() is not None else ''}")


@pytest.mark.slow
def test_killed_in_its_second_trial(capsys: pytest.CaptureFixture[str]) -> None:
    """It goes on with the second, from the directory alone, to the bits of a plain run of the seed that is kept."""
    command = [sys.executable, "-m", "pvmc", "run", "chain.toml", "--output", "r"]
    process = subprocess.Popen(
        [*command, "--set", "run.start_iterations=500"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        wait_for_second_trial(process)
    finally:
        process.kill()
        process.communicate()
    assert main(["status", "r"]) == 0
    text = capsys.readouterr().out
    assert re.search(
        r"^starts +trying 2 of 2, seed 4, iteration \d+/500; best so far: seed 3 -0\.45", text, re.MULTILINE
    )
    assert re.search(r"^state +dead", text, re.MULTILINE)
    assert main(["run", "r", "--resume"]) == 0
    text = capsys.readouterr().out
    assert "start 2 of 2: seed 4\n" in text and "start 1 of 2" not in text
    seed = min(open_run("r").trials, key=lambda trial: trial.energy).seed
    assert main(["run", "chain.toml", "--output", "plain", "--set", "run.starts=1", "--set", f"run.seed={seed}"]) == 0
    assert differences(bits_of(Path("r")), bits_of(Path("plain"))) == []
    assert main(["status", "r"]) == 0
    assert f"best of 2: seed {seed} -0.45" in capsys.readouterr().out


def test_validate_says_what_they_cost(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "chain.toml"]) == 0
    words = "# 2 starts of 200 iterations each: 400 iterations before the 10 of the run (4000% more time)\n"
    assert words in capsys.readouterr().out
    assert main(["validate", "chain.toml", "--set", "run.starts=1"]) == 0
    assert "iterations before" not in capsys.readouterr().out


def test_bench_measures_iterations_of_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "chain.toml", "--iterations", "2"]) == 0
    text = capsys.readouterr().out
    assert "median of 2 iterations" in text and "10 iterations in" in text and "start" not in text


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("run.starts=0", "run.starts = 0: must be an integer >= 1 and <= 1000"),
        ("run.start_iterations=7", "run.start_iterations = 7: must be an integer >= 8"),
        (
            "run.seed=9223372036854775807",
            "run.starts = 2: must be <= 1, as seeds from run.seed = 9223372036854775807 on are < 2^63",
        ),
    ],
)
def test_bad_input_is_one_line(capsys: pytest.CaptureFixture[str], override: str, message: str) -> None:
    assert main(["run", "chain.toml", "--output", "r", "--set", override]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
