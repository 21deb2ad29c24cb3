"""The example inputs, what ``pvmc new`` writes, the examples in the help texts, and the pages made from the source."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from pvmc.cli import _parser, main
from pvmc.config import RawInput, validate
from pvmc.mpi import SerialCommunicator
from pvmc.vmc.job import load_job
from pvmc.vmc.loop import iterate
from pvmc.vmc.spec import JobConfig
from pvmc.vmc.start import initial_state

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted((ROOT / "configs").glob("*.toml"))
MODELS = ("heisenberg", "ising", "xxz")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_examples_load_and_run(path: Path) -> None:
    """Two iterations on fewer walkers; the energy lies above the exact one."""
    smaller = ["sampler.walkers=64", "sampler.block_width=64", "sampler.samples=256", "sampler.burn_in=2"]
    if tomllib.loads(path.read_text()).get("sampler", {}).get("kind") == "exact":
        smaller = []
    job = load_job(path, smaller)
    comm = SerialCommunicator()
    steps = iterate(initial_state(job, comm), job.ansatz, job.operator, job.sampler, job.solver, comm)
    for record in (next(steps), next(steps)):
        assert np.isfinite(record.state.theta).all()
        assert record.energy.n_samples == (256 if smaller else 2**job.lattice.n_sites)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_examples_are_short_and_commented(path: Path) -> None:
    text = path.read_text()
    assert text.startswith("# ")
    assert f"configs/{path.name}" in text, "says how to run it"
    assert len(text.splitlines()) <= 50
    for name in tomllib.loads(text):
        assert name in JobConfig.model_fields


@pytest.mark.parametrize("model", MODELS)
def test_a_new_input_loads_and_is_commented(tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "new.toml"
    assert main(["new", str(path), "--model", model]) == 0
    assert str(path) in capsys.readouterr().out
    text = path.read_text()
    assert load_job(path).config.hamiltonian.model == model
    for name, table in tomllib.loads(text).items():
        for key in table:
            if key not in ("kind", "model"):  # explained by the line of the section
                assert re.search(rf"^# .+\n{key} = ", text, flags=re.MULTILINE), f"{name}.{key} has no comment"
    for key in ("moves", "sweep"):
        assert re.search(rf"^# .+\n# {key} = \.\.\.$", text, flags=re.MULTILINE), "keys without a value are named too"


def test_what_validate_prints_is_the_same_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = ROOT / "configs" / "heisenberg_chain.toml"
    assert main(["validate", str(path), "--ranks", "2"]) == 0
    printed = capsys.readouterr().out
    again = validate(JobConfig, RawInput(tomllib.loads(printed), "printed"))
    assert again == load_job(path).config
    assert again.sampler.moves is not None
    assert again.sampler.sweep == 40, "automatic choices are written out"


# The help texts -------------------------------------------------------------------------------------------------------


def subcommands() -> dict[str, argparse.ArgumentParser]:
    actions = [action for action in _parser()._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(actions[0].choices)


def command_lines(text: str) -> list[list[str]]:
    """The arguments of each "pvmc ..." in a text, without an mpirun before it."""
    found = re.findall(rf"\bpvmc ((?:{'|'.join(subcommands())})\b[^;\n]*)", text)
    return [shlex.split(line) for line in found]


@pytest.mark.parametrize("name", subcommands())
def test_every_command_has_an_example_that_is_right(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([name, "--help"])
    assert left.value.code == 0
    printed = capsys.readouterr().out
    _, _, example = printed.partition("example:\n")
    lines = command_lines(example)
    assert [line[0] for line in lines] == [name]
    options = _parser().parse_args(lines[0])
    for word in lines[0]:
        if word.startswith("configs/"):
            load_job(ROOT / word, options.set)


def test_the_first_steps_in_the_help_are_right(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    lines = command_lines(" ".join(capsys.readouterr().out.split("Start with:")[1].split()))
    assert [line[0] for line in lines] == ["new", "run", "plot"]
    for line in lines:
        _parser().parse_args(line)


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"]])
def test_help_loads_no_heavy_library(arguments: list[str]) -> None:
    program = (
        "import sys\nfrom pvmc.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit as left:\n    assert left.code == 0\n"
        "print([name for name in sys.modules if '.' not in name], file=sys.stderr)\n"
    )
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert "'argparse'" in (loaded := done.stderr), "the list is a list of modules"
    for library in ("numpy", "scipy", "numba", "mpi4py", "matplotlib", "h5py", "pydantic", "rich"):
        assert f"'{library}'" not in loaded
    assert "pvmc" in done.stdout


# The pages made from the source ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "docs")
        return importlib.import_module("generate")


def test_the_pages_are_up_to_date(generate: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    code = generate.main(["--check"])
    assert code == 0, capsys.readouterr().out


def test_a_page_that_is_out_of_date_is_found_and_written(
    generate: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "DOCS", tmp_path)
    monkeypatch.setattr(generate, "JOBS", tmp_path)
    assert generate.main(["--check"]) == 1
    assert list(tmp_path.iterdir()) == []
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0
    (tmp_path / "config.md").write_text("old")
    capsys.readouterr()
    assert generate.main(["--check"]) == 1
    assert capsys.readouterr().out == f"{tmp_path.name}/config.md: out of date; run python docs/generate.py\n"


def test_the_page_of_the_input_has_every_key(generate: ModuleType) -> None:
    page = generate.config_markdown()
    for line in (
        "- `length` (an integer >= 2; required): Number of sites",
        "- `decay` (a number > 0 and <= 1; default: `1.0`): factor per iteration",
        '### kind = "rectangle"',
        "### `sr.learning_rate`, `sr.shift`",
    ):
        assert line in page
    for name in ("lattice", "hamiltonian", "ansatz", "sampler", "sr", "run"):
        assert f"## [{name}]" in page
    assert "None" not in page, "every key has a description"
