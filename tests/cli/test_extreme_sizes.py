"""Sizes at the edge of what is valid: each gives a result, which every command reads, or a refusal of one answer."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest

from pvmc.cli import main
from pvmc.io.reader import open_run

MODELS = {"ising": 'model = "ising"', "heisenberg": 'model = "heisenberg"'}
ANSAETZE = {"K = 1": 'kind = "mean_field"\nweights = "real"', "rbm": 'kind = "rbm"\nalpha = 0.5\nsymmetry = "none"'}


def carried_out(
    capsys: pytest.CaptureFixture[str], sites: int, model: str, ansatz: str, sampler: str, more: str = ""
) -> bool:
    """Whether a run of one iteration has a result; else it is refused in whole lines, and nothing is written."""
    lattice = f'kind = "chain"\nlength = {sites}\nperiodic = false'
    text = f"[lattice]\n{lattice}\n[hamiltonian]\n{MODELS[model]}\n[ansatz]\n{ANSAETZE[ansatz]}\n"
    Path("in.toml").write_text(f"{text}[sampler]\n{sampler}\n[run]\niterations = 1\n{more}")
    code = main(["run", "in.toml", "--output", "out", "--overwrite"])
    said = capsys.readouterr()
    if code == 2:
        assert said.out == "" and all(line.startswith("pvmc: error: ") for line in said.err.splitlines())
        assert not Path("out").exists()
        return False
    assert code == 0, said.err
    assert "Traceback" not in said.err
    run = open_run("out")
    assert run.iteration.tolist() == [0]
    assert np.isfinite(run.series["energy"]).all()
    return True


@pytest.mark.parametrize("ansatz", ANSAETZE)
def test_products_of_the_smallest_sizes(capsys: pytest.CaptureFixture[str], ansatz: str) -> None:
    good = set()
    for sites, walkers, samples, width in itertools.product((1, 2), (1, 2), (1, 2, 4), (1, 2)):
        model = "ising" if (samples // 2 + width) % 2 else "heisenberg"
        sampler = f"walkers = {walkers}\nsamples = {samples}\nblock_width = {width}"
        if carried_out(capsys, sites, model, ansatz, sampler):
            good.add((sites, walkers, samples, width))
            shutil.rmtree("out")
    assert good == {(2, 2, samples, width) for samples in (2, 4) for width in (1, 2)}, "two walkers are the fewest"


@pytest.mark.parametrize("solver", ["dense", "minsr", "krylov"])
def test_solvers_of_one_parameter_and_two_samples(capsys: pytest.CaptureFixture[str], solver: str) -> None:
    sampler = "walkers = 2\nsamples = 2\nblock_width = 1"
    assert carried_out(capsys, 2, "ising", "K = 1", sampler, f'[sr]\nsolver = "{solver}"\n')


def test_commands_read_the_smallest_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert carried_out(capsys, 2, "ising", "K = 1", "walkers = 2\nsamples = 4\nblock_width = 1")
    runs = ("status", "analyze", "analyze --varbench", "export", "report", "plot", "measure --samples 8")
    inputs = ("validate", "exact")
    for words in [*(f"{command} out" for command in runs), *(f"{command} in.toml" for command in inputs)]:
        code = main(words.split())
        said = capsys.readouterr()
        assert code in (0, 2), said.err
        assert "Traceback" not in said.err


def test_enumeration_of_two_configurations(capsys: pytest.CaptureFixture[str]) -> None:
    assert carried_out(capsys, 2, "heisenberg", "rbm", 'kind = "exact"\nblock_width = 1')
    assert carried_out(capsys, 2, "ising", "K = 1", 'kind = "exact"\nblock_width = 1')
