"""The study of the optimiser: its variants are valid inputs, its numbers follow from series, and a short one runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import study_curves
from benchmarks.study_variants import SMOKE, SYSTEMS, VARIANTS, chosen, settings
from pvmc.vmc.job import load_job
from pvmc.vmc.spec import JobConfig

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", [*SYSTEMS, *SMOKE])
def test_variants_are_valid_and_differ(name: str) -> None:
    system = (SYSTEMS | SMOKE)[name]
    configs = {variant.name: load_job(system.config, settings(system, variant)).config for variant in chosen(name)}
    assert len(configs) > 30
    first: dict[JobConfig, str] = {}
    for variant, config in configs.items():
        assert first.setdefault(config, variant) == variant, "the same input as another variant"


def test_names_are_unique_and_patterns_choose() -> None:
    assert len({variant.name for variant in VARIANTS}) == len(VARIANTS)
    assert [variant.name for variant in chosen("smoke", "default,spring_0.9*")] == [
        *("default", "spring_0.9", "spring_0.95", "spring_0.99", "spring_0.99_slow"),
        *("spring_0.9_floor", "spring_0.95_floor", "spring_0.99_floor", "spring_0.95_1e-2"),
    ]
    assert not any(variant.name.startswith("eigen") for variant in chosen("j1j2_plain"))


def test_smoothed_error_is_that_of_the_window() -> None:
    """Against means over the window written out, at iterations before, in and after its shortest length."""
    rng = np.random.default_rng(1)
    energies, errors, exact = -18.0 + rng.exponential(size=500), rng.uniform(0.1, 3.0, 500), -18.5
    found = study_curves.smoothed_error(energies, errors, exact)
    for i, width in ((0, 1), (7, 8), (19, 20), (100, 20), (299, 30), (499, 50)):
        part = slice(i + 1 - width, i + 1)
        deviation = abs(energies[part].mean() - exact)
        noise = np.sqrt(np.sum(errors[part] ** 2)) / width
        assert found[i] == pytest.approx(max(deviation, noise) / 18.5, rel=1e-10)


def test_chance_does_not_reach_a_threshold() -> None:
    """Energies that lie on the exact one, but are known to 1e-2 only: 20 of them to 1e-2 / sqrt(20)."""
    error = study_curves.smoothed_error(np.full(40, -1.0), np.full(40, 1e-2), -1.0)
    time = np.arange(1.0, 41.0)
    assert study_curves.reached(time, error, 1.0001e-2 / np.sqrt(20)) == 20.0
    assert study_curves.reached(time, error, 0.9999e-2 / np.sqrt(20)) is None


def test_times_leave_out_the_first_iteration_and_what_others_took() -> None:
    seconds = np.array([40.0, 2.0, 2.0, 4.0])
    assert study_curves.times(seconds, 0.5).tolist() == [1.0, 2.0, 3.0, 5.0]


def test_median_counts_what_is_not_reached_as_late() -> None:
    assert study_curves.median([3.0, None, 1.0]) == 3.0
    assert study_curves.median([None, 1.0]) is None
    assert study_curves.median([None, 1.0, None]) is None


@pytest.mark.slow
def test_a_short_study_runs_and_goes_on(tmp_path: Path) -> None:
    """Two variants: both reach 1 %, the figure and the page are there, and a second call runs nothing anew."""
    command = [sys.executable, str(ROOT / "benchmarks" / "study.py"), "--system", "smoke", "--seconds", "1.5"]
    command += ["--only", "default,adam_1e-2", "--runs", str(tmp_path / "runs"), "--figures", str(tmp_path)]
    command += ["--results", str(tmp_path / "study.json"), "--page", str(tmp_path / "study.md")]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PVMC_NO_MPI": "1"}

    def study() -> dict[str, dict]:
        subprocess.run(command, env=environment, check=True, capture_output=True)
        found: dict[str, dict] = json.loads((tmp_path / "study.json").read_text())
        return found

    found = study()
    assert set(found) == {"smoke/default/1", "smoke/adam_1e-2/1"}
    for row in found.values():
        assert row["status"] == "stopped"
        assert 0.0 < row["reached"]["1e-02"] <= row["curve"]["seconds"][-1] * 1.01
        assert abs(row["error"]) < 1e-2
    page = (tmp_path / "study.md").read_text()
    assert "| default | 1 |" in page and "| Adam 1e-2 | 1 |" in page
    assert "(study_smoke.png)" in page and (tmp_path / "study_smoke.png").stat().st_size > 10000
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("run.h5")}
    assert study() == found
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("run.h5")} == files
