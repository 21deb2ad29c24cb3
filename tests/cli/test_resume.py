"""Going on with runs from the command line: what is refused, what is changed, how runs stop, and what a kill leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import pvmc
from benchmarks.run_bits import bits_of, differences
from pvmc.cli import main
from pvmc.errors import PvmcError
from pvmc.io.checkpoint import latest_checkpoint, list_checkpoints
from pvmc.io.reader import open_run
from tests.designs import slow_but
from tests.helpers import mounted_disk
from tests.jobs import ring_text

ROOT = Path(pvmc.__file__).parents[1]
SHORT, LONGER, ENDLESS = 12, 20, 10**6
ENDS = ["parameters after 11", "parameters after 9"]
"""What a run in three parts has besides: the last parameters of each part are saved."""
RUN = f"iterations = {SHORT}\nsave_every = 5\ncheckpoint = {{ iterations = 5, minutes = 0, cost = 1.0 }}"
INPUT = ring_text(RUN)


@pytest.fixture(autouse=True)
def input_file(directory: Path) -> None:
    Path("chain.toml").write_text(INPUT)


def iterations(number: int) -> tuple[str, str]:
    return ("--set", f"run.iterations={number}")


def run(capsys: pytest.CaptureFixture[str], *options: str, config: str = "chain.toml") -> tuple[int, str, str]:
    """Exit code and output of `pvmc run`; the results are in runs/chain."""
    capsys.readouterr()
    code = main(["run", config, *options])
    return code, *capsys.readouterr()


def started(capsys: pytest.CaptureFixture[str], *options: str) -> None:
    """A run of SHORT iterations in two parts, with checkpoints before iterations 10 and 12."""
    assert run(capsys, *options, *iterations(10))[0] == 0
    assert run(capsys, "--resume", *options, *iterations(SHORT))[0] == 0
    assert [file.iteration for file in list_checkpoints("runs/chain")] == [12, 10]


@pytest.fixture
def straight(capsys: pytest.CaptureFixture[str]) -> dict[str, bytes]:
    """All numbers of a run of LONGER iterations that nothing disturbs."""
    assert run(capsys, *iterations(LONGER), "--output", "straight")[0] == 0
    return bits_of(Path("straight"))


# What is refused ------------------------------------------------------------------------------------------------------


def test_results_that_are_there_are_neither_replaced_nor_mixed(capsys: pytest.CaptureFixture[str]) -> None:
    started(capsys)
    before = bits_of(Path("runs/chain"))
    code, _, error = run(capsys)
    assert (code, error) == (
        2,
        "pvmc: error: runs/chain/run.h5 exists; go on with --resume, choose another --output or pass --overwrite\n",
    )
    assert bits_of(Path("runs/chain")) == before
    assert run(capsys, "--overwrite", "--set", "run.seed=2")[0] == 0
    assert open_run("runs/chain").config["run"]["seed"] == 2 and bits_of(Path("runs/chain")) != before


def test_nothing_to_go_on_with(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, error = run(capsys, "--resume")
    assert code == 2
    assert error.startswith("pvmc: error: runs/chain: holds no run to go on with (no run.h5); leave out --resume")
    assert not Path("runs/chain").exists()


def test_both_flags_are_one_too_many(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, error = run(capsys, "--resume", "--overwrite")
    assert (code, error.count("\n")) == (2, 1) and "give one of them" in error


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("ansatz.alpha=2", "ansatz.alpha = 1.0 there, 2.0 now"),
        ("sr.reject_rise=3.0", "sr.reject_rise = 5.0 there, 3.0 now"),
        ("sampler.samples=512", "sampler.samples = 256 there, 512 now"),
        ("run.seed=2", "run.seed = 1 there, 2 now"),
        ("run.reproducible=false", "run.reproducible = true there, false now"),
    ],
)
def test_another_input_is_refused_with_both_values(capsys: pytest.CaptureFixture[str], change: str, said: str) -> None:
    started(capsys)
    before = bits_of(Path("runs/chain"))
    code, _, error = run(capsys, "--resume", "--set", change)
    assert (code, error.count("\n")) == (2, 1)
    assert f"runs/chain cannot go on with another input: {said}. Undo the change" in error
    assert bits_of(Path("runs/chain")) == before


# What goes on ---------------------------------------------------------------------------------------------------------


def test_more_iterations_and_other_settings_that_change_none(
    capsys: pytest.CaptureFixture[str], straight: dict[str, bytes]
) -> None:
    started(capsys)
    free = ("--set", "run.checkpoint.minutes=7", "--set", "run.retries=1", "--set", "run.reference=-3.65")
    code, output, error = run(capsys, "--resume", *iterations(LONGER), *free)
    assert (code, error) == (0, "") and "going on from iteration 12" in output
    assert differences(bits_of(Path("runs/chain")), straight) == ENDS
    assert [session.first_iteration for session in open_run("runs/chain").sessions] == [0, 10, 12]


def test_the_directory_is_input_enough(capsys: pytest.CaptureFixture[str], straight: dict[str, bytes]) -> None:
    started(capsys)
    Path("chain.toml").unlink()
    code, output, _ = run(capsys, "--resume", *iterations(LONGER), config="runs/chain")
    assert code == 0 and "results in runs/chain/run.h5" in output
    assert differences(bits_of(Path("runs/chain")), straight) == ENDS
    assert open_run("runs/chain").attributes["config_source"] == INPUT


def test_a_finished_run_has_nothing_left_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    started(capsys)
    before = bits_of(Path("runs/chain"))
    code, output, error = run(capsys, "--resume")
    assert (code, error) == (0, "")
    assert "all 12 iterations are done; for more, --set run.iterations=N with N > 12" in output
    assert open_run("runs/chain").status() == "finished"
    assert bits_of(Path("runs/chain")) == before


def test_a_converged_run_is_finished(capsys: pytest.CaptureFixture[str]) -> None:
    stop = ("--set", "run.stop={window=16, variance=1e3}", *iterations(100))
    code, output, _ = run(capsys, *stop)
    assert code == 0 and "stopped: converged: variance/N" in output
    for _ in range(2):
        written = open_run("runs/chain")
        assert written.status() == "finished" and written.message.startswith("converged: variance/N")
        assert len(written.iteration) == 16
        assert run(capsys, "--resume", *stop)[0] == 0
    tighter = ("--set", "run.stop={window=16, variance=1e-30}", *iterations(LONGER))
    assert run(capsys, "--resume", *tighter)[0] == 0
    assert len(open_run("runs/chain").iteration) == LONGER


# Damage ---------------------------------------------------------------------------------------------------------------


def spoil(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(
    capsys: pytest.CaptureFixture[str], straight: dict[str, bytes]
) -> None:
    started(capsys)
    spoil(Path("runs/chain/checkpoint-00000012.h5"))
    code, output, error = run(capsys, "--resume", *iterations(LONGER))
    assert (code, error.count("\n")) == (0, 1) and "going on from iteration 10" in output
    assert error.startswith("pvmc: warning: runs/chain/checkpoint-00000012.h5 is damaged: its checksum is wrong")
    assert error.endswith("; the checkpoint before it is used\n")
    assert differences(bits_of(Path("runs/chain")), straight) == ENDS[1:]


def test_damaged_checkpoints_alone_are_no_start_from_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    started(capsys)
    for file in list_checkpoints("runs/chain"):
        spoil(file.path)
    before = Path("runs/chain/run.h5").read_bytes()
    code, _, error = run(capsys, "--resume", *iterations(LONGER))
    assert (code, error.count("\n")) == (4, 1)
    for number in (10, 12):
        assert f"checkpoint-000000{number}.h5 is damaged: its checksum is wrong" in error
    assert "start again with --overwrite" in error
    assert Path("runs/chain/run.h5").read_bytes() == before


def test_results_without_the_rows_of_the_checkpoint(capsys: pytest.CaptureFixture[str]) -> None:
    """The results file of another time: the checkpoint's rows are not there."""
    started(capsys, *iterations(SHORT))
    assert run(capsys, *iterations(3), "--output", "other")[0] == 0
    Path("other/run.h5").replace("runs/chain/run.h5")
    code, _, error = run(capsys, "--resume", *iterations(LONGER))
    assert (code, error.count("\n")) == (4, 1) and "lacks iteration 3" in error


@pytest.fixture
def small_disk(directory: Path) -> Iterator[Path]:
    """A file system of half a MB."""
    with mounted_disk(directory / "disk", "512k") as disk:
        yield disk


@pytest.mark.slow
def test_a_full_disk_leaves_the_last_checkpoint(capsys: pytest.CaptureFixture[str], small_disk: Path) -> None:
    """Then, with room again, the run goes on with the same bits."""
    many = ("--set", "ansatz.symmetry=none", "--set", "ansatz.alpha=2", "--set", "run.save_every=1")
    output = ("--output", str(small_disk / "run"))
    done = subprocess.run(
        [sys.executable, "-m", "pvmc", "run", "chain.toml", *many, *output, *iterations(ENDLESS)],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 4, done.stderr
    assert done.stderr.count("\n") == 1 and "No space left on device" in done.stderr
    checkpoint, passed_over = latest_checkpoint(small_disk / "run")
    assert checkpoint is not None and passed_over == []
    assert 0 < checkpoint.iteration <= len(open_run(small_disk / "run").iteration)
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    last = iterations(checkpoint.iteration + 8)
    assert run(capsys, *many, *output, *last, "--resume")[0] == 0
    assert run(capsys, *many, "--output", "straight", *last)[0] == 0
    assert differences(bits_of(small_disk / "run"), bits_of(Path("straight"))) == []


# Time limits ----------------------------------------------------------------------------------------------------------


def test_what_is_no_time_limit(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, error = run(capsys, "--time-limit", "soon")
    assert (code, error.count("\n")) == (2, 1)
    assert error.startswith('pvmc: error: --time-limit "soon": must be a length of time: "90" (minutes), ')
    assert not Path("runs").exists()


def test_a_run_out_of_time_stops_and_goes_on(capsys: pytest.CaptureFixture[str], straight: dict[str, bytes]) -> None:
    code, output, _ = run(capsys, "--time-limit", "0.001s", *iterations(LONGER))
    assert code == 75
    assert "stopped: out of time: 0.0 s left of the time limit of 0.001s, of which " in output
    assert output.count("go on with --resume") == 1
    assert len(open_run("runs/chain").iteration) == 1
    assert run(capsys, "--resume", "--time-limit", "1h", *iterations(LONGER))[0] == 0
    assert differences(bits_of(Path("runs/chain")), straight) == []


# Signals, kills and the lock ------------------------------------------------------------------------------------------


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    """A run without end in a process of its own, some iterations old."""
    yield from _running(*iterations(ENDLESS), rows=6)


def _running(*options: str, rows: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "pvmc", "run", "chain.toml", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        try:
            end = time.monotonic() + 60
            while _rows() < rows:
                assert started.poll() is None and time.monotonic() < end
                time.sleep(0.02)
            yield started
        finally:
            started.kill()


def _rows() -> int:
    """Iterations in the results file; -1 where there is none."""
    try:
        return len(open_run("runs/chain").iteration)
    except PvmcError:
        return -1


@pytest.mark.parametrize("number", slow_but([signal.SIGTERM], [signal.SIGUSR1, signal.SIGTERM, signal.SIGINT]))
def test_a_signal_stops_a_run_that_goes_on_with_the_same_bits(
    capsys: pytest.CaptureFixture[str], process: subprocess.Popen[str], number: signal.Signals
) -> None:
    process.send_signal(number)
    output, error = process.communicate(timeout=30)
    assert (process.returncode, error) == (75, "")
    assert output.endswith(f"stopped: {number.name}; go on with --resume\nresults in runs/chain/run.h5\n")
    stopped = open_run("runs/chain")
    assert (stopped.status(), stopped.message) == ("stopped", number.name)
    checkpoint, _ = latest_checkpoint("runs/chain")
    assert checkpoint is not None and checkpoint.iteration == len(stopped.iteration)
    last = iterations(checkpoint.iteration + 3)
    assert run(capsys, "--resume", *last)[0] == 0
    assert run(capsys, "--output", "straight", *last)[0] == 0
    assert differences(bits_of(Path("runs/chain")), bits_of(Path("straight"))) == []


def test_a_second_interrupt_does_not_wait_for_the_iteration() -> None:
    """Of a run whose first iteration takes very long: tempering is many short sweeps."""
    slow = ("--set", "sampler.tempering={replicas=2, smallest_beta=0.5}", "--set", "sampler.burn_in=100000000")
    for process in _running(*slow, rows=0):
        process.send_signal(signal.SIGINT)
        time.sleep(1.5)
        assert process.poll() is None, "the first one waits for the end of the iteration"
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=30)
        assert (process.returncode, error) == (130, "pvmc: interrupted\n")
    written = open_run("runs/chain")
    assert (written.status(), written.message) == ("failed", "KeyboardInterrupt")


def test_one_run_at_a_time_in_a_directory(capsys: pytest.CaptureFixture[str], process: subprocess.Popen[str]) -> None:
    """Whatever the second one wants; and a kill -9 takes the lock away with the process."""
    for option in ("--resume", "--overwrite"):
        code, _, error = run(capsys, option)
        assert (code, error.count("\n")) == (2, 1)
        assert error.startswith(f"pvmc: error: runs/chain is in use by process {process.pid} on {os.uname().nodename}")
    assert process.poll() is None
    process.kill()
    process.wait()
    assert open_run("runs/chain").status() == "dead"
    checkpoint, passed_over = latest_checkpoint("runs/chain")
    assert checkpoint is not None and passed_over == []
    last = iterations(checkpoint.iteration + 3)
    code, output, error = run(capsys, "--resume", *last)
    assert (code, error) == (0, "") and f"going on from iteration {checkpoint.iteration}" in output
    assert [session.outcome for session in open_run("runs/chain").sessions] == ["killed", "finished"]
    assert run(capsys, "--output", "straight", *last)[0] == 0
    assert differences(bits_of(Path("runs/chain")), bits_of(Path("straight"))) == []


@pytest.mark.slow
def test_random_kills(mpiexec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few of the kills of the whole campaign, on one and two ranks."""
    monkeypatch.delenv("PVMC_NO_MPI")
    command = [sys.executable, str(ROOT / "benchmarks" / "kills.py"), "--jobs", "3", "--ranks", "1"]
    command += ["--most-ranks", "2", "--iterations", "40", "--seed", "3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = dict(line.rsplit(maxsplit=1) for line in done.stdout.splitlines())
    assert (counts["job kills"], counts["rank kills"]) == ("3", "1")
    assert (counts["differing"], counts["unreadable"]) == ("0", "0")
    assert float(counts["slowest end"]) < 20.0
