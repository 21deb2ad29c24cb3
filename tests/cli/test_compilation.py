"""Compiling ahead of a job and once for all ranks: what is in the cache says who compiled."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from pvmc.estimators import Moments
from pvmc.sr import Step
from pvmc.vmc.start import warm_up
from tests.jobs import job_of, ring_text

INPUT = ring_text("iterations = 1", length=6, numbers="32, 8, 64").replace('"rbm"\nalpha = 1', '"mean_field"')


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Processes in an empty directory with an empty cache."""
    (tmp_path / "chain.toml").write_text(INPUT)
    return {**os.environ, "PVMC_CACHE_DIR": str(tmp_path / "kernels")}


def compiled(directory: Path) -> dict[str, int]:
    """The compiled kernels in a cache, with the time at which each was written."""
    return {path.name: path.stat().st_mtime_ns for path in directory.rglob("*.nbc")}


@pytest.mark.slow
def test_warmup_compiles_all_that_a_run_needs(tmp_path: Path, environment: dict[str, str]) -> None:
    def pvmc_command(*arguments: str) -> str:
        command = [sys.executable, "-m", "pvmc", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        return done.stdout

    output = pvmc_command("warmup", "chain.toml")
    assert "chain.toml" in output and "kernels are compiled" in output
    kernels = compiled(tmp_path / "kernels")
    assert len(kernels) >= 4
    pvmc_command("run", "chain.toml")
    assert compiled(tmp_path / "kernels") == kernels, "the run found every kernel"


@pytest.mark.parametrize(
    "section",
    [{"solver": "krylov"}, {"solver": "minsr"}, {"factorisation": "eigen", "snr": 2.0}]
    + [{"method": "adam"}, {"line_search": True}, {"integrator": "heun"}],
    ids=lambda section: "-".join(section),
)
def test_every_solver_gets_what_it_asks_for(section: dict[str, object]) -> None:
    """The rows, or the configurations, where the solver says so; its step is then made of them."""
    tables = tomllib.loads(INPUT) | {"sr": section}
    job = job_of(tables)
    asked = []

    class Watched(type(job.solver)):  # type: ignore[misc]
        def solve(self, moments: Moments, *arguments: object, **keywords: object) -> Step:
            asked.append((moments.rows is not None, moments.reweighting is not None))
            step: Step = super().solve(moments, *arguments, **keywords)
            return step

    solver = Watched(**vars(job.solver))
    warm_up(replace(job, solver=solver))
    assert asked == 2 * [(solver.keeps_rows, solver.keeps_spins)], "once for one draw, once for two"


@pytest.mark.slow
def test_one_rank_compiles_for_all(tmp_path: Path, environment: dict[str, str], mpiexec: str) -> None:
    """The compiler, told to say what it does, reports each kernel once over all ranks."""
    environment["NUMBA_DEBUG_CACHE"] = "1"
    del environment["PVMC_NO_MPI"]
    command = [mpiexec, "-n", "4", sys.executable, "-m", "pvmc", "run", "chain.toml"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    kernels = compiled(tmp_path / "kernels")
    assert len(kernels) >= 4
    assert done.stdout.count("data saved to") == len(kernels)
    loaded = done.stdout.count("data loaded from")
    assert loaded >= 3 and loaded % 3 == 0, "the three others load those that they call"


@pytest.mark.slow
def test_cache_that_cannot_be_written_is_replaced(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "kernels").write_text("a file where the directory should be")
    command = [sys.executable, "-m", "pvmc", "run", "chain.toml"]
    subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=True)
