"""Job scripts of `pvmc submit` under a real SLURM: to the end, round the queue, as arrays; and which ends mean what."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import pvmc
from pvmc.cli import main
from pvmc.errors import PvmcError
from pvmc.io.reader import Run, open_run
from pvmc.mpi import mpi_library
from pvmc.vmc.loop import PHASES
from tests.jobs import ring_text
from tests.slurm.cluster import Cluster, wait_for

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
STAND_IN = Path(__file__).with_name("stand_in.py")
SHORT, LONG = 12, 400
"""Iterations of a run, and of one that lasts long enough to be stopped on its way."""


@pytest.fixture(autouse=True)
def input_file(directory: Path, cluster: Cluster, mpiexec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small input, and this pvmc for the processes that are started."""
    Path("chain.toml").write_text(ring_text(length=20))
    monkeypatch.setenv("PYTHONPATH", str(Path(pvmc.__file__).parents[1]))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("MPIR_CVAR_ENABLE_HEAVY_YIELD", "1")  # more ranks than cores: MPICH's would wait busily
    monkeypatch.setenv("SLURM_CONF", cluster.environment["SLURM_CONF"])  # of the commands that pvmc itself calls


@pytest.fixture(scope="session")
def launchers() -> list[str]:
    """What can start ranks here; jobs of all are submitted together, as most of a test is waiting."""
    return ["mpiexec", "srun-pmi2"] if mpi_library().startswith("MPICH") else ["mpiexec"]


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs run the stand-in in pvmc's place."""
    monkeypatch.setenv("PVMC", str(STAND_IN))


def write(capsys: pytest.CaptureFixture[str], *options: str, output: str = "out") -> str:
    """What `pvmc submit` prints of a job of two tasks; its script is OUTPUT.sbatch."""
    capsys.readouterr()
    arguments = ["chain.toml", "--ntasks", "2", "--time", "30", "--output", output, "--write", f"{output}.sbatch"]
    code = main(["submit", *arguments, *options])
    printed = capsys.readouterr()
    assert code == 0, printed.err
    return printed.out


def submit(capsys: pytest.CaptureFixture[str], *options: str, output: str = "out") -> str:
    """The job that `pvmc submit --go` submits."""
    return write(capsys, "--go", *options, output=output).split()[-1]


def log_of(job: str) -> str:
    return Path(f"chain-{job}.log").read_text()


def calls(directory: str = "out") -> list[str]:
    """What the stand-in was called with, one line for each time that the job ran."""
    return Path(directory, "calls").read_text().splitlines()


def wait_ready(directory: str = "out") -> None:
    ready = [Path(directory, f"ready{rank}") for rank in range(2)]
    wait_for(lambda: all(path.exists() for path in ready), 30, "the ranks of the stand-in")


# pvmc itself ----------------------------------------------------------------------------------------------------------


def test_a_run_gets_to_its_end(cluster: Cluster, capsys: pytest.CaptureFixture[str], launchers: list[str]) -> None:
    # On two nodes with mpiexec only: SLURM 22.05's srun --mpi=pmi2 now and then loses a message of MPICH's there.
    nodes = {each: "2" if each == "mpiexec" else "1" for each in launchers}
    options = ("--set", f"run.iterations={SHORT}")
    jobs = {
        each: submit(capsys, "--launcher", each, "--nodes", nodes[each], *options, output=each) for each in launchers
    }
    for launcher, job in jobs.items():
        assert cluster.wait_ended(job) == "COMPLETED", log_of(job)
        run = open_run(launcher)
        assert (run.status(), run.attributes["ranks"]) == ("finished", 2)
        assert cluster.facts(job)["Restarts"] == "0"


def test_bad_input_is_not_tried_again(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    write(capsys)
    job = cluster.submit("out.sbatch", "--set", "ansatz.alpa=3")
    assert cluster.wait_ended(job) == "FAILED"
    assert (cluster.exit_code(job), cluster.facts(job)["Restarts"]) == (2, "0")
    assert log_of(job).count("unknown key, did you mean 'ansatz.alpha'?") == 1, "all ranks, one line"


def test_an_array_over_alpha(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    job = submit(capsys, "--array-alpha", "1,2", "--set", f"run.iterations={SHORT}")
    parameters = {}
    for alpha in (1, 2):
        log = Path(f"chain-{job}-alpha{alpha}.log")
        assert cluster.wait_ended(f"{job}_{alpha}") == "COMPLETED", log.read_text()
        run = open_run(f"out-alpha{alpha}")
        assert run.status() == "finished"
        parameters[alpha] = int(run.attributes["n_parameters"])
    assert parameters[2] > parameters[1]


def test_the_scaling_study(cluster: Cluster) -> None:
    Path("benchmarks").symlink_to(ROOT / "benchmarks")  # the script runs in the directory of the repository
    job = cluster.submit("--ntasks=2", "--time=5", ROOT / "jobs" / "scaling.sbatch", "chain.toml")
    log = Path(f"pvmc-scaling-{job}.log")
    assert cluster.wait_ended(job) == "COMPLETED", log.read_text()
    strong, weak = log.read_text().split("\nstrong scaling: ")[1].split("\nweak scaling: ")
    for table, columns in ((strong, 4 + len(PHASES)), (weak, 3 + len(PHASES))):
        rows = [line for line in table.splitlines() if line.startswith(("| 1 |", "| 2 |"))]
        assert [row.count("|") - 1 for row in rows] == [columns, columns]


def test_a_run_that_was_stopped_ends_at_the_same_numbers(
    cluster: Cluster, capsys: pytest.CaptureFixture[str], launchers: list[str]
) -> None:
    iterations = ("--set", f"run.iterations={LONG}")
    jobs = {}
    for launcher in launchers:
        jobs[launcher] = submit(capsys, "--launcher", launcher, *iterations, output=launcher)
        wait_for(partial(_has_begun, launcher), 60, "the first iterations")
        cluster.signal(jobs[launcher])
    straight = submit(capsys, *iterations, output="straight")
    for job in (*jobs.values(), straight):
        assert cluster.wait_ended(job) == "COMPLETED", log_of(job)
    for launcher, job in jobs.items():
        assert cluster.facts(job)["Restarts"] == "1"
        assert "exit code 75" in log_of(job)
        assert _numbers(open_run(launcher)) == _numbers(open_run("straight"))


def _has_begun(directory: str) -> bool:
    try:
        return len(open_run(directory).iteration) >= 5
    except PvmcError:  # not there yet
        return False


def _numbers(run: Run) -> dict[str, bytes]:
    """Every number of a run but its times, bit by bit."""
    assert run.status() == "finished"
    np.testing.assert_array_equal(run.iteration, np.arange(LONG))
    series = {name: values.tobytes() for name, values in run.series.items() if "seconds" not in name}
    return series | {"saved": run.saved_iterations().tobytes(), "parameters": run.parameters().tobytes()}


# The loop round the queue, with the stand-in --------------------------------------------------------------------------


@pytest.mark.usefixtures("stand_in")
def test_75_goes_back_into_the_queue_and_goes_on(
    cluster: Cluster, capsys: pytest.CaptureFixture[str], launchers: list[str]
) -> None:
    jobs = {}
    for launcher in launchers:
        jobs[launcher] = submit(capsys, "--launcher", launcher, "--set", "run.seed=7", output=launcher)
        wait_ready(launcher)
        cluster.signal(jobs[launcher])
    for launcher, job in jobs.items():
        assert cluster.wait_ended(job) == "COMPLETED", log_of(job)
        assert cluster.facts(job)["Restarts"] == "1"
        start = f"run chain.toml --set run.seed=7 --output {launcher}"
        assert calls(launcher) == [start, f"{start} --resume"]
        assert Path(launcher, "signals").read_text() == "SIGUSR1"
        assert "exit code 75" in log_of(job) and "exit code 0" in log_of(job), "one log of both"


@pytest.mark.usefixtures("stand_in")
def test_a_start_after_a_kill_does_not_stumble_on_what_is_left(
    cluster: Cluster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, launchers: list[str]
) -> None:
    """On the same node, with the same number, MPICH under srun would find its old shared memory and give up."""
    monkeypatch.setenv("STAND_IN_KILLED", "1")
    jobs = [submit(capsys, "--launcher", each, output=each) for each in launchers]
    for job in jobs:
        assert cluster.wait_ended(job) == "COMPLETED", log_of(job)
        assert cluster.facts(job)["Restarts"] == "1"


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize("code", [2, 3])
def test_other_codes_stay_away(
    cluster: Cluster,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    launchers: list[str],
) -> None:
    monkeypatch.setenv("STAND_IN_CODE", str(code))
    jobs = {each: submit(capsys, "--launcher", each, output=each) for each in launchers}
    for launcher, job in jobs.items():
        assert cluster.wait_ended(job) == "FAILED"
        assert (cluster.exit_code(job), cluster.facts(job)["Restarts"], len(calls(launcher))) == (code, "0", 1)


@pytest.mark.usefixtures("stand_in")
def test_a_cancelled_job_saves_and_stays_away(
    cluster: Cluster, capsys: pytest.CaptureFixture[str], launchers: list[str]
) -> None:
    for launcher in launchers:
        job = submit(capsys, "--launcher", launcher, output=launcher)
        wait_ready(launcher)
        cluster.output("scancel", job)
        assert cluster.wait_ended(job) == "CANCELLED"
        wait_for(partial(_said, job, "cancelled, with its state saved"), 10, "the script's last word")
        assert (cluster.facts(job)["Restarts"], Path(launcher, "run.h5").exists()) == ("0", True)


def _said(job: str, words: str) -> bool:
    return words in log_of(job)


@pytest.mark.usefixtures("stand_in")
def test_restarts_come_to_an_end(
    cluster: Cluster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PVMC_MAX_RESTARTS", "0")
    job = submit(capsys)
    wait_ready()
    cluster.signal(job)
    assert cluster.wait_ended(job) == "FAILED"
    assert (cluster.exit_code(job), cluster.facts(job)["Restarts"]) == (75, "0")
    assert "to go on: sbatch out.sbatch" in log_of(job)


@pytest.mark.usefixtures("stand_in")
def test_one_element_of_an_array_goes_round_alone(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    """The last element to start has the number of the array: requeueing that number would start them all again."""
    job = submit(capsys, "--array-seeds", "1-2")
    for seed in (1, 2):
        wait_ready(f"out-seed{seed}")
    stays, goes = sorted(("1", "2"), key=lambda k: cluster.facts(f"{job}_{k}")["JobId"] == job)
    assert cluster.facts(f"{job}_{goes}")["JobId"] == job
    cluster.signal(f"{job}_{goes}")
    assert cluster.wait_ended(f"{job}_{goes}") == "COMPLETED"
    assert cluster.facts(f"{job}_{goes}")["Restarts"] == "1"
    assert (cluster.state(f"{job}_{stays}"), cluster.facts(f"{job}_{stays}")["Restarts"]) == ("RUNNING", "0")
    assert len(calls(f"out-seed{goes}")) == 2 and len(calls(f"out-seed{stays}")) == 1
    cluster.output("scancel", job)
