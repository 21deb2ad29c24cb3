"""What is refused before anything is computed or written: numbers out of range, sizes beyond memory, named files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from pvmc import mpi as parallel
from pvmc.cli import main
from pvmc.errors import InputError, OutOfMemory
from pvmc.io.reader import open_run
from pvmc.mpi import SerialCommunicator, run_main
from pvmc.mpi.node import usable_memory
from pvmc.tasks import memory as resources
from pvmc.vmc.job import load_job
from tests.jobs import ring_text


@pytest.fixture(autouse=True)
def input_file(directory: Path) -> None:
    text = ring_text(
        "iterations = 2", length=6, ansatz='alpha = 1\nsymmetry = "none"\nweights = "complex"', numbers="8, 8, 16"
    )
    Path("in.toml").write_text(text)


def stored() -> dict[Path, int]:
    """The files and directories, and when each file was last changed."""
    return {path: path.stat().st_mtime_ns if path.is_file() else 0 for path in Path().rglob("*")}


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a refused command says; it has left everything as it was."""
    before = stored()
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert stored() == before
    return said.err.removeprefix("pvmc: error: ").rstrip("\n")


RANGE = "must be 0 or of modulus 1e-60 to 1e+60"


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("hamiltonian.coupling=1e-320", f"--set: hamiltonian.coupling = 1e-320: {RANGE}"),
        ("hamiltonian.coupling=-1e308", f"--set: hamiltonian.coupling = -1e+308: {RANGE}"),
        ("hamiltonian.field=[0, 0, 1e-70, 0, 0, 1e-70]", f"--set: hamiltonian.field = 1e-70: {RANGE}"),
        ("hamiltonian.field={seed=1, width=1e90}", f"--set: hamiltonian.field.width = 1e+90: {RANGE}"),
        (
            'hamiltonian={model="terms", terms=[["1e-320", "Z0 Z1"]]}',
            '--set: hamiltonian.model = "terms": the largest coefficient, of Z0 Z1, is 9.99989e-321; couplings, those '
            "of lattice.edges and lines of files must be 0 or of modulus 1e-60 to 1e+60",
        ),
        (
            'lattice={kind="graph", edges=[[0, 1, 1e80], [1, 2]]}',
            'in.toml: hamiltonian.model = "heisenberg": the largest coefficient, of X0 X1, is 2.5e+79; couplings, ...',
        ),
    ],
)
def test_couplings_out_of_range(capsys: pytest.CaptureFixture[str], override: str, expected: str) -> None:
    said = answer(capsys, "run", "in.toml", "--set", override, "--set", "hamiltonian.marshall=false")
    assert said.startswith(expected.removesuffix("...")) or said == expected
    assert "\n" not in said


def test_the_far_tail_of_a_power_law_may_be_tiny() -> None:
    job = load_job(Path("in.toml"), ['hamiltonian={model="long_range_ising", exponent=200}', "lattice.length=9"])
    assert 0 < min(abs(c) for c in job.config.hamiltonian.build(job.lattice).terms.values()) < 1e-60


def test_parameters_beyond_the_memory(capsys: pytest.CaptureFixture[str]) -> None:
    """72 GB are 8 bytes of b and W each for 6 x 10^9 hidden units ... whatever this machine has, it is not 3.5 TB."""
    for command in ("validate", "run", "bench", "exact"):
        said = answer(capsys, command, "in.toml", "--set", "ansatz.alpha=1e9")
        assert said.startswith(
            "--set: ansatz.alpha = 1000000000.0: 42000000000 parameters and their tables take 2.4 TB"
        )
        assert "; this machine has " in said


def test_memory_of_an_iteration_beyond_that_of_the_machine(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """K = 42 000: S and its copies take 5 K^2 / 2 numbers of 16 bytes, 70.6 GB."""
    monkeypatch.setattr("pvmc.mpi.node.usable_memory", lambda: 32 * 10**9)
    monkeypatch.setattr(resources, "usable_memory", lambda: 32 * 10**9)
    overrides = ["--set", "ansatz.alpha=1000", "--set", "sr.solver=dense"]
    expected = "in.toml: needs 70.6 GB of memory (K = 42000 parameters, solver dense; most of it: S, 70.6 GB) for "
    assert answer(capsys, "run", "in.toml", *overrides).startswith(
        f"{expected}1 rank on a machine of 32 GB; take fewer"
    )
    assert answer(capsys, "bench", "in.toml", *overrides).startswith(f"{expected}1 rank on a machine of 32 GB; take")
    assert answer(capsys, "validate", "in.toml", *overrides).startswith(f"{expected}a rank on a machine of 32 GB; take")


def test_ranks_of_a_node_need_memory_together(monkeypatch: pytest.MonkeyPatch) -> None:
    job = load_job(Path("in.toml"), ["sampler.walkers=16", "sampler.samples=16"])
    memory = resources.memory_per_rank(job, 2)
    rest = memory.samples + memory.tables + memory.states + memory.linear.derivatives

    def judged(there: int) -> None:
        node = parallel.Node(0, 2, 2, there)
        monkeypatch.setattr(resources, "node_of", lambda _: node)
        monkeypatch.setattr(resources, "memory_per_rank", lambda *_: memory)
        resources.require_memory(job, SerialCommunicator(), "in.toml")

    judged(memory.total + min(rest, memory.total))
    with pytest.raises(InputError, match="for 2 ranks on a machine of"):
        judged(memory.total + min(rest, memory.total) - 1)


def test_memory_of_control_groups(tmp_path: Path) -> None:
    total, own, root = tmp_path / "meminfo", tmp_path / "own", tmp_path / "fs"
    total.write_text("MemFree: 3 kB\nMemTotal:       1000 kB\n")
    assert usable_memory(root, own, total) == 1_024_000
    own.write_text("0::/batch/job_7\n")
    (root / "batch" / "job_7").mkdir(parents=True)
    (root / "batch" / "job_7" / "memory.max").write_text("max\n")
    assert usable_memory(root, own, total) == 1_024_000
    (root / "batch" / "memory.max").write_text("5000\n")
    assert usable_memory(root, own, total) == 5000
    (root / "memory").mkdir()
    (root / "memory" / "memory.limit_in_bytes").write_text("4000\n")
    assert usable_memory(root, own, total) == 4000
    assert usable_memory(tmp_path / "none", tmp_path / "none", tmp_path / "none") is None


def test_memory_that_runs_out_is_no_bug(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> int:
        raise MemoryError("Unable to allocate 8. GiB for an array")

    expected = "pvmc: error: out of memory: Unable to allocate 8. GiB for an array; pvmc validate predicts"
    assert run_main(fail) == OutOfMemory.exit_code == 1
    assert capsys.readouterr().err.startswith(expected)
    assert run_main(lambda: SerialCommunicator().root_value(fail)) == 1
    said = capsys.readouterr().err
    assert said.startswith(expected) and said.count("\n") == 1


# Files that the input names -------------------------------------------------------------------------------------------


def write_damaged() -> None:
    """Files of the wrong kind or shape."""
    Path("empty.txt").write_text("")
    for name, spins in (("short", np.ones((3, 5))), ("values", np.full((3, 6), 2.0)), ("up", np.ones((3, 6)))):
        np.savetxt(f"{name}.txt", spins)
    with h5py.File("other.h5", "w") as file:
        file["x"] = 1


FILES: list[tuple[str, str, str]] = [
    ("ansatz.start_from", "nothing", "nothing does not exist"),
    ("ansatz.start_from", "empty.txt", "empty.txt is not a results file of pvmc"),
    ("ansatz.start_from", "other.h5", "other.h5 is not a results file of pvmc"),
    ("sampler.start_file", "nothing", "no such file"),
    ("sampler.start_file", "empty.txt", "must have one row of 6 spins per configuration, has shape (0, 1)"),
    ("sampler.start_file", "short.txt", "must have one row of 6 spins per configuration, has shape (3, 5)"),
    ("sampler.start_file", "values.txt", "spins are +1 or -1; row 0 has others"),
    (
        "sampler.start_file",
        "up.txt",
        "row 0 sums to 6, but the magnetisation 0 is kept; set sampler.magnetization = 6",
    ),
    ("fit.source", "nothing", "no such file"),
    ("fit.source", "up.txt", "needs arrays spins and amplitudes, or text with 6 spins and the amplitude in each row"),
    ("hamiltonian.file", "nothing", "cannot be read: No such file or directory"),
    ("hamiltonian.file", "values.txt", 'line 1, "2.000000000000000000e+00 2.00...'),
    ("lattice.edges", "nothing", "cannot be read: No such file or directory"),
]
BESIDE = {
    "sampler.start_file": ['sampler.start="file"'],
    "fit.source": ['fit.target="file"'],
    "hamiltonian.file": ['hamiltonian={model="terms"}'],
    "lattice.edges": ['lattice={kind="graph"}'],
}


@pytest.mark.parametrize("command", ["validate", "run", "bench", "fit", "submit"])
def test_named_files_are_checked_first(capsys: pytest.CaptureFixture[str], command: str) -> None:
    write_damaged()
    more = ["--ntasks", "1", "--time", "1h"] if command == "submit" else []
    for key, name, expected in FILES:
        beside = [word for override in BESIDE.get(key, []) for word in ("--set", override)]
        said = answer(capsys, command, "in.toml", *more, *beside, "--set", f'{key}="{name}"')
        start = f'--set: {key} = "{name}": {expected}'
        assert said.startswith(start.removesuffix("...")), said
        assert "\n" not in said


def test_a_corrected_start_is_not_in_the_way(capsys: pytest.CaptureFixture[str]) -> None:
    start = ["run", "in.toml", "--output", "second", "--set", "run.iterations=1", "--set"]
    expected = '--set: ansatz.start_from = "first": first does not exist'
    assert answer(capsys, *start, "ansatz.start_from=first") == expected
    assert main(["run", "in.toml", "--output", "first", "--set", "run.iterations=1"]) == 0
    capsys.readouterr()
    other = [*start, "ansatz.start_from=first", "--set", "ansatz.alpha=2"]
    expected = (
        '--set: ansatz.start_from = "first": first/run.h5 holds 42 complex128 parameters (hidden_bias 6, features 6x6)'
        "; this ansatz has 84 complex128 parameters (hidden_bias 12, features 12x6)"
    )
    assert answer(capsys, *other) == expected
    assert main([*start, "ansatz.start_from=first"]) == 0
    assert open_run("second").iteration.tolist() == [0]


def test_files_are_not_asked_of_a_run_that_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    one = ["run", "in.toml", "--set", "run.iterations=1", "--set"]
    assert main([*one[:2], "--output", "first", *one[2:4]]) == 0
    assert main([*one, "ansatz.start_from=first", "--output", "second"]) == 0
    Path("first").rename("moved")
    capsys.readouterr()
    assert main(["run", "second", "--resume", "--set", "run.iterations=2"]) == 0
    assert open_run("second").iteration.tolist() == [0, 1]


def test_an_input_that_is_refused_late_leaves_no_results(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(*_: Any) -> None:
        raise InputError("found late")

    monkeypatch.setattr("pvmc.vmc.run.initial_state", late)
    assert main(["run", "in.toml", "--output", "out"]) == 2
    assert not Path("out").exists()


def test_fewer_iterations_than_are_done(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "in.toml", "--output", "out"]) == 0
    capsys.readouterr()
    before = Path("out/run.h5").read_bytes()
    said = answer(capsys, "run", "out", "--resume", "--set", "run.iterations=1")
    assert said == (
        "run.iterations = 1: out has 2 iterations already; to go on with it: --set run.iterations=N with N > 2"
    )
    assert Path("out/run.h5").read_bytes() == before


def test_problems_of_files_and_sections_are_told_together(capsys: pytest.CaptureFixture[str]) -> None:
    overrides = ["ansatz.start_from=nothing", "sampler.samples=17", "run.iterations=0", "sr.snr=2"]
    said = answer(capsys, "run", "in.toml", *(word for override in overrides for word in ("--set", override)))
    lines = f"pvmc: error: {said}".splitlines()
    keys = ["ansatz.start_from", "sampler.samples", "run.iterations", "sr.snr"]
    assert [line.partition(" = ")[0].removeprefix("pvmc: error: --set: ") for line in lines] == keys
