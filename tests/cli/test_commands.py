"""The commands end to end on a tiny job: what they print, what they write, and how they end, also under mpiexec."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

import pvmc
from pvmc.cli import main
from pvmc.io.reader import open_run
from pvmc.tasks.bench import PHASES
from tests.jobs import ring_text, with_mpi

ITERATIONS = 12
INPUT = "# a tiny job\n" + ring_text(f"iterations = {ITERATIONS}\nsave_every = 5")
EXACT = -3.651093408937176
"""Ground-state energy of the Heisenberg ring of 8 spins, by full diagonalisation, in units of J."""
LEAK = ("variance_smeared", "leak", "leak_error", "tail_exponent")
"""Series that a leak test fills, every tenth iteration by default."""


@pytest.fixture(autouse=True)
def input_file(directory: Path) -> None:
    (directory / "chain.toml").write_text(INPUT)


def output_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command prints when all goes well."""
    capsys.readouterr()
    code = main(arguments)
    output = capsys.readouterr()
    assert (code, output.err) == (0, "")
    return output.out


def table(text: str) -> dict[str, str]:
    """The lines "name   value" of a text, names of one or more words."""
    rows = (re.split(r"\s{2,}", line, maxsplit=1) for line in text.splitlines())
    return {row[0]: row[1] for row in rows if len(row) == 2}


def test_run_writes_all_that_happened(capsys: pytest.CaptureFixture[str]) -> None:
    output_of(capsys, "run", "chain.toml")
    names = sorted(path.name for path in Path("runs/chain").iterdir())
    assert names == [f"checkpoint-{ITERATIONS:08d}.h5", "run.h5"]
    run = open_run("runs/chain")
    assert run.status() == "finished"
    np.testing.assert_array_equal(run.iteration, np.arange(ITERATIONS))
    np.testing.assert_array_equal(run.saved_iterations(), [0, 5, 10, 11])
    assert run.attributes["config_source"] == INPUT
    assert run.config["sampler"]["sweep"] == 8, "the stored input has the automatic choices"
    assert run.attributes["ranks"] == 1
    assert run.reference_energy == pytest.approx(EXACT, rel=1e-10)
    assert run.parameters().shape == (run.attributes["n_parameters"],)
    with h5py.File("runs/chain/run.h5") as file:
        for name, series in file["series"].items():
            assert series.shape == (ITERATIONS,), name
            measured = np.arange(ITERATIONS) % 10 == 9 if name in LEAK else np.ones(ITERATIONS, dtype=bool)
            np.testing.assert_array_equal(np.isfinite(series[:]), measured, err_msg=name)
    assert (run.series["n_samples"] == 256).all()
    assert (run.series["variance"] > 0).all()
    bound = run.series["energy"] + 6 * run.series["energy_error"]
    assert (bound > EXACT).all(), "variational"


def test_run_reports_in_lines_of_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    text = output_of(capsys, "run", "chain.toml")
    lines = text.splitlines()
    head = next(i for i, line in enumerate(lines) if line.lstrip().startswith("iteration"))
    rows = lines[head + 1 : head + 1 + ITERATIONS]
    assert [row.split()[0] for row in rows] == [f"{i}/{ITERATIONS}" for i in range(1, ITERATIONS + 1)]
    assert {len(row) for row in rows} == {len(lines[head])}, "aligned"
    assert len(lines[head]) <= 80
    assert "\x1b" not in text
    assert "\r" not in text
    assert "exact E/N = -0.45638" in text
    assert lines[-1] == "results in runs/chain/run.h5"


def test_status(capsys: pytest.CaptureFixture[str]) -> None:
    output_of(capsys, "run", "chain.toml")
    status = table(output_of(capsys, "status", "runs/chain"))
    run = open_run("runs/chain")
    assert status["run"] == "runs/chain/run.h5"
    assert status["state"] == "finished"
    assert status["iteration"] == f"{ITERATIONS}/{ITERATIONS} (100 %)"
    energy = run.energy_per_site[-ITERATIONS // 4 :].mean()  # no longer part has settled
    assert float(status["E/N"].split()[0]) == pytest.approx(energy, abs=1e-8)
    assert "(last 3 iterations" in status["E/N"]
    assert float(status["exact E/N"].split()[0]) == pytest.approx(EXACT / 8, abs=1e-8)
    assert float(status["relative error"].split()[0]) == pytest.approx((energy - EXACT / 8) / abs(EXACT / 8), rel=1e-2)
    assert float(status["variance/N"]) == pytest.approx(run.series["variance"][-3:].mean() / 8, rel=1e-2)
    assert 0 < float(status["acceptance"]) < 1
    assert float(status["R-hat"].split()[0]) > 0.9
    assert status["where"].startswith("1 rank, rank 0 on ")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", status["started"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", status["ended"])
    assert "time left" not in status
    output_of(capsys, "run", "chain.toml", "--set", "run.reference=none", "--output", "other")
    assert table(output_of(capsys, "status", "other")).keys().isdisjoint({"exact E/N", "relative error"})


@pytest.mark.slow
def test_plot(capsys: pytest.CaptureFixture[str]) -> None:
    output_of(capsys, "run", "chain.toml", "--output", "a")
    output_of(capsys, "plot", "a", "a", "--output", "figure")
    assert Path("figure.png").read_bytes().startswith(b"\x89PNG")
    assert Path("figure.pdf").read_bytes().startswith(b"%PDF")
    assert "wrote a/convergence.png" in output_of(capsys, "plot", "a")


def test_validate_predicts_and_runs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    text = output_of(capsys, "validate", "chain.toml", "--set", "ansatz.alpha=2", "--ranks", "2")
    assert "alpha = 2.0" in text
    assert "heisenberg on chain, N = 8" in text
    assert re.search(r"^#\s+2\s+\S+ [kM]?B", text, flags=re.MULTILINE)
    assert [path.name for path in Path().iterdir()] == ["chain.toml"]
    assert main(["validate", "chain.toml", "--ranks", "5"]) == 2, "4 blocks of walkers"
    assert "--ranks 5: this job has 4 blocks" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("overrides", "energy", "method"),
    [
        ([], EXACT, "Bethe ansatz"),
        (["lattice.periodic=false"], -3.3749325986878910, "Lanczos"),
        (["hamiltonian={model='ising'}"], -2 / np.sin(np.pi / 16), "free fermions"),  # N = 8, h = J
    ],
)
def test_exact(capsys: pytest.CaptureFixture[str], overrides: list[str], energy: float, method: str) -> None:
    text = output_of(capsys, "exact", "chain.toml", *(word for key in overrides for word in ("--set", key)))
    found = re.fullmatch(r"E   = (\S+) .*\((.*)\)\nE/N = (\S+)\n(ground state: .*\n)?", text)
    assert found
    assert float(found[1]) == pytest.approx(energy, rel=1e-9)
    assert float(found[3]) == pytest.approx(energy / 8, rel=1e-9)
    assert found[2] == method


def test_exact_says_when_there_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["exact", "chain.toml", "--set", "lattice={kind='rectangle', size=[6, 6]}"]) == 2
    assert "36 sites are more than the 20 that can be diagonalised" in capsys.readouterr().err


def test_info(capsys: pytest.CaptureFixture[str]) -> None:
    facts = table(output_of(capsys, "info"))
    assert facts["numpy version"] == np.__version__
    assert facts["ranks"] == "1"
    assert facts["python version"] == sys.version.split()[0]


def test_new_then_run(capsys: pytest.CaptureFixture[str]) -> None:
    output_of(capsys, "new", "ising.toml", "--model", "ising")
    output_of(capsys, "run", "ising.toml", "--set", "lattice.length=4", "--set", "run.iterations=2")
    run = open_run("runs/ising")
    assert run.reference_energy == pytest.approx(-2 / np.sin(np.pi / 8), rel=1e-10)  # N = 4, h = J


# As processes ---------------------------------------------------------------------------------------------------------


def process(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=with_mpi())


def test_python_m_pvmc() -> None:
    done = process(sys.executable, "-m", "pvmc", "--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("pvmc ")


@pytest.mark.parametrize(
    ("ranks", "arguments", "message"),
    [
        (2, "run chain.toml --set ansatz.alpha=0", "--set: ansatz.alpha = 0: must be a number > 0"),
        (3, "run chain.toml --output full", "full exists and is not a pvmc run; "),
        pytest.param(2, "run chain.toml --set sampler.block_width=64", "2 ranks, but 1 block", marks=pytest.mark.slow),
        pytest.param(3, "run", "the following arguments are required: CONFIG ", marks=pytest.mark.slow),
    ],
)
def test_bad_input_is_said_once_by_all_ranks(
    directory: Path, mpiexec: str, ranks: int, arguments: str, message: str
) -> None:
    (directory / "full").mkdir()
    (directory / "full" / "thesis.txt").write_text("all of it")
    done = process(mpiexec, "-n", str(ranks), sys.executable, "-m", "pvmc", *arguments.split())
    assert done.returncode == 2
    said = [line for line in done.stderr.splitlines() if "pvmc" in line]
    assert len(said) == 1, done.stderr
    assert said[0].startswith("pvmc: error: ")
    assert message in said[0]
    assert "Traceback" not in done.stderr
    assert {path.name for path in directory.rglob("*")} == {"chain.toml", "full", "thesis.txt"}


def test_a_run_on_several_ranks(mpiexec: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The same walkers as on one rank; energies of the first iteration differ by rounding alone."""
    done = process(mpiexec, "-n", "3", sys.executable, "-m", "pvmc", "run", "chain.toml", "--output", "three")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("results in three/run.h5") == 1
    assert "on 3 ranks" in done.stdout
    output_of(capsys, "run", "chain.toml", "--output", "one")
    three, one = open_run("three"), open_run("one")
    assert three.attributes["ranks"] == 3
    np.testing.assert_allclose(three.series["energy"][0], one.series["energy"][0], rtol=1e-11)
    status = table(output_of(capsys, "status", "three"))
    assert status["where"].startswith("3 ranks, rank 0 on ")


def test_bench_times_every_phase_and_writes_nothing(capsys: pytest.CaptureFixture[str], directory: Path) -> None:
    before = sorted(directory.rglob("*"))
    text = output_of(capsys, "bench", "chain.toml", "--iterations", "2")
    assert sorted(directory.rglob("*")) == before
    for phase in (*PHASES, "iteration"):
        assert re.search(rf"^{phase} +\d+\.\d+ s", text, re.MULTILINE), phase
    assert "core-hours" in text and f"{ITERATIONS} iterations in" in text


def test_bench_json_agrees_with_the_input(capsys: pytest.CaptureFixture[str]) -> None:
    output_of(capsys, "bench", "chain.toml", "--iterations", "2", "--json", "bench.json")
    numbers = json.loads(Path("bench.json").read_text())
    assert numbers["samples"] == 256
    assert numbers["proposals"] == 64 * 8 * (1 + 4), "walkers, sweep, discarded and drawn sweeps"
    assert numbers["rates"]["samples"] == pytest.approx(256 / numbers["seconds"])
    assert numbers["projected_seconds"] == pytest.approx(ITERATIONS * numbers["seconds"])
    assert numbers["core_hours"] == pytest.approx(numbers["projected_seconds"] / 3600)
    assert numbers["seconds"] > 0 and numbers["memory"] > numbers["expected_memory"] > 0
    assert numbers["machine"]["pvmc_version"] == pvmc.__version__
