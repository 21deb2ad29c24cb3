"""``pvmc import-wf``: a state from a file becomes a run that other commands read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pvmc.cli import main
from pvmc.errors import InputError
from pvmc.io.rbm_weights import RBMWeights, weights_of
from pvmc.io.reader import open_run
from pvmc.io.weight_files import write_npz, write_wf
from pvmc.lattice import chain
from pvmc.vmc.job import load_job
from pvmc.wavefunctions import RBM
from tests.helpers import configurations, energy_of, kronecker_sum, random_rbm
from tests.jobs import ring_text

N = 8
INPUT = ring_text("iterations = 3", ansatz='alpha = 2\nsymmetry = "none"\nweights = "complex"', numbers="64, 16, 1024")


@pytest.fixture(autouse=True)
def input_file(directory: Path) -> None:
    Path("ring.toml").write_text(INPUT)


def state() -> RBMWeights:
    return weights_of(*random_rbm(N, np.complex128, "translation", visible_bias=False, scale=0.1))


def energy() -> float:
    """<H> of the state, by its vector and the matrix of H at zero magnetisation."""
    job = load_job(Path("ring.toml"))
    rbm, theta = random_rbm(N, np.complex128, "translation", visible_bias=False, scale=0.1)
    spins = configurations(N, 0)
    basis = (1 << np.arange(N)) @ (spins < 0)
    matrix = kronecker_sum(job.config.hamiltonian.build(job.lattice), N)[np.ix_(basis, basis)]
    return energy_of(rbm.at(theta), matrix, spins)


def test_a_run_with_the_energy_of_the_state(capsys: pytest.CaptureFixture[str]) -> None:
    write_wf("state.wf", state())
    assert main(["import-wf", "state.wf", "ring.toml"]) == 0
    told = capsys.readouterr().out
    assert "translation-symmetric RBM with 2 filters" in told
    assert '--set ansatz.symmetry="translation" the run has 18 parameters in place of 144' in told
    run = open_run("runs/state")
    assert run.status() == "finished"
    assert run.iteration.tolist() == [0]
    assert run.series["n_samples"].tolist() == [6 * 1024]
    error = float(run.series["energy_error"][0])
    assert 0 < error < 0.1
    assert abs(run.series["energy"][0] - energy()) < 5 * error, "5 sigma: p = 6e-7"
    spins = configurations(N)
    rbm, theta = random_rbm(N, np.complex128, "translation", visible_bias=False, scale=0.1)
    found = RBM(chain(N).group("none"), 16, dtype=np.complex128).at(run.parameters()).log_psi(spins)
    ratio = np.exp(found - rbm.at(theta).log_psi(spins))
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-10)


def test_without_noise(capsys: pytest.CaptureFixture[str]) -> None:
    """All configurations in place of samples give the exact mean, by the symmetric parameters too."""
    write_npz("state.npz", state())
    symmetric = ["--set", 'ansatz.symmetry="translation"']
    assert main(["import-wf", "state.npz", "ring.toml", "--set", 'sampler={kind="exact"}', *symmetric]) == 0
    assert "in place of" not in capsys.readouterr().out
    run = open_run("runs/state")
    assert run.attributes["n_parameters"] == 18
    assert run.series["energy"][0] == pytest.approx(energy(), rel=1e-10)
    assert run.series["energy_error"][0] == 0.0


def test_weights_of_a_file_are_complex_unless_the_input_says_else() -> None:
    Path("ring.toml").write_text(INPUT.replace('weights = "complex"\n', ""))
    write_wf("state.wf", state())
    assert main(["import-wf", "state.wf", "ring.toml"]) == 0


def test_other_commands_read_it(capsys: pytest.CaptureFixture[str]) -> None:
    write_wf("state.wf", state())
    assert main(["import-wf", "state.wf", "ring.toml", "--output", "published"]) == 0
    assert main(["status", "published"]) == 0
    assert main(["analyze", "published", "--format", "json"]) == 0
    assert main(["plot", "published", "--output", "figure"]) == 0
    assert Path("figure.png").exists()
    assert main(["export", "published", "--format", "npz", "--output", "published.npz"]) == 0
    assert "wrote published.npz" in capsys.readouterr().out
    with np.load("published.npz") as file:
        np.testing.assert_array_equal(file["parameters/theta"][0], open_run("published").parameters())
    assert main(["run", "ring.toml", "--set", 'ansatz.start_from="published"', "--output", "r"]) == 0
    first = open_run("r")
    assert abs(first.series["energy"][0] - energy()) < 5 * first.series["energy_error"][0]
    assert main(["import-wf", "state.wf", "ring.toml", "--output", "published", "--overwrite"]) == 0


@pytest.mark.parametrize("sampler", ["metropolis", "exact"])
def test_going_on_with_it_starts_from_the_state(sampler: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Not from random parameters: iteration 1 has the energy of the state, and its step changes the parameters."""
    write_wf("state.wf", state())
    exact = ["--set", 'sampler={kind="exact"}'] if sampler == "exact" else []
    assert main(["import-wf", "state.wf", "ring.toml", *exact]) == 0
    imported = open_run("runs/state").parameters()
    assert main(["run", "runs/state", "--resume"]) == 0
    assert "all 1 iterations are done" in capsys.readouterr().out
    np.testing.assert_array_equal(open_run("runs/state").parameters(), imported)
    assert main(["run", "runs/state", "--resume", "--set", "run.iterations=3"]) == 0
    run = open_run("runs/state")
    assert run.iteration.tolist() == [0, 1, 2]
    assert abs(run.series["energy"][1] - energy()) <= 5 * run.series["energy_error"][1] + 1e-9
    np.testing.assert_array_equal(run.parameters(0), imported)
    assert np.any(run.parameters() != imported)


@pytest.mark.parametrize(
    ("apart", "warning", "reported"),
    [
        (
            4,
            "4 of 64 walkers are stuck in a mode of their own, at energy 1 against -2 of the others",
            "up to 4 walkers",
        ),
        (32, "the walkers do not agree, and neither the energy nor its error is to be trusted", "R-hat above 1.5 in 1"),
    ],
)
@pytest.mark.slow
def test_walkers_in_a_spurious_mode_are_reported(
    apart: int, warning: str, reported: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two modes, the Neel state of energy -2 J and two domains of energy J.

    For each pattern p, ln psi holds ln cosh(4 p.s + 16) + ln cosh(4 p.s - 16): level for |p.s| <= 4, and 32 higher at
    8; every move leads down from there.  Where half of the walkers are in either mode, none is an outlier, and R-hat
    tells.
    """
    neel, domains = np.resize([1, -1], N), np.repeat([1, -1], N // 2)
    kernel, bias = np.zeros((N, 16)), np.zeros(16)
    kernel[:, :4] = 4.0 * np.array([neel, neel, domains, domains]).T
    bias[:4] = 16.0, -16.0, 16.0, -16.0
    write_wf("trap.wf", RBMWeights(np.zeros(N), bias, kernel))
    np.savetxt("walkers.txt", [domains] * apart + [neel] * (64 - apart), fmt="%d")
    start = ["--set", 'sampler.start="file"', "--set", 'sampler.start_file="walkers.txt"']
    assert main(["import-wf", "trap.wf", "ring.toml", *start]) == 0
    output = capsys.readouterr()
    assert warning in output.err
    assert "the weights have no translation symmetry" in output.out
    assert main(["report", "runs/trap", "--output", "report.html"]) == 0
    assert reported in Path("report.html").read_text()
    assert main(["measure", "runs/trap", "--observables", "energy", "--samples", "4096"]) == 0
    assert "R-hat of energy is inf: the walkers disagree" in capsys.readouterr().err
    assert main(["analyze", "runs/trap"]) == 0
    told = capsys.readouterr()
    assert reported in told.out + told.err and "measurement 1: R-hat inf" in told.out + told.err


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["ansatz.alpha=1"], "state.wf: the weights have 16 hidden units, this input has 8: set ansatz.alpha = 2"),
        (["lattice.length=6"], "state.wf: the weights have 8 spins, this input has 6"),
        (['ansatz.weights="real"'], 'state.wf: the weights are complex: set ansatz.weights = "complex"'),
        (['ansatz={kind="jastrow"}'], 'state.wf: weights of an RBM need ansatz.kind = "rbm"'),
    ],
)
def test_refusals_write_nothing(keys: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    write_wf("state.wf", state())
    code = main(["import-wf", "state.wf", "ring.toml", *(word for key in keys for word in ("--set", key))])
    assert code == InputError.exit_code
    assert capsys.readouterr().err.strip().endswith(message)
    assert not Path("runs").exists()
