"""``pvmc measure`` from the command line, and what becomes of its results when the run goes on."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from pvmc import cli
from pvmc.errors import EXIT_RESUMABLE, InputError
from pvmc.exact import Basis
from pvmc.io.fit_file import open_fit
from pvmc.io.measurement import Estimate, Measurement, write_measurement
from pvmc.io.reader import open_run
from pvmc.io.storage import locked
from pvmc.measurement.renyi import renyi2_of_vector
from pvmc.vmc.job import load_job
from tests.helpers import compiled_matrix, configurations, energy_of, labels_of, state_vector

INPUT = """
lattice = { kind = "chain", length = 8 }
hamiltonian = { model = "heisenberg" }
ansatz = { kind = "rbm", alpha = 1, init_scale = 0.05 }
sampler = { walkers = 64, block_width = 16, samples = 256 }
sr = { learning_rate = 0.1 }
run = { iterations = 6, save_every = 2 }
fit = { target = "exact", epochs = 3 }
"""


def pvmc(*arguments: object) -> int:
    """The exit code; raises what a rank would report."""
    return cli._parsed([str(argument) for argument in arguments])()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("made")
    (directory / "in.toml").write_text(INPUT)
    assert pvmc("run", directory / "in.toml", "--output", directory / "run") == 0
    return directory


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "run", tmp_path / "run"))


def same(one: Measurement, other: Measurement) -> bool:
    estimates = one.estimates.keys() == other.estimates.keys() and all(
        np.array_equal(a.value, b.value) and np.array_equal(a.error, b.error) and (a.units, a.dims) == (b.units, b.dims)
        for a, b in ((one.estimates[name], other.estimates[name]) for name in one.estimates)
    )
    coordinates = one.coordinates.keys() == other.coordinates.keys() and all(
        np.array_equal(one.coordinates[name], other.coordinates[name]) for name in one.coordinates
    )
    return estimates and coordinates and (one.number, one.attributes) == (other.number, other.attributes)


def test_everything_is_stored(run: Path) -> None:
    before = open_run(run)
    assert pvmc("measure", run, "--samples", 512) == 0
    after = open_run(run)
    (found,) = after.measurements
    assert all(np.array_equal(before.series[name], after.series[name], equal_nan=True) for name in before.series)
    assert np.array_equal(before.parameters(), after.parameters()) and after.status() == "finished"
    scalars = {"energy", "variance", "v_score", "energy_smeared", "variance_smeared", "leak"}
    scalars |= {"staggered_magnetization_squared"}
    scalars |= {f"magnetization_{letter}" for letter in "xyz"}
    arrays = {f"{kind}_{letters}" for kind in ("correlation", "structure_factor") for letters in ("xx", "yy", "zz")}
    scalars |= {"renyi2", "overlap"}
    assert found.estimates.keys() == scalars | arrays
    needed = {"iteration", "n_samples", "seed", "status", "created", "command_line", "pvmc_version", "host"}
    assert needed <= found.attributes.keys()
    assert (found.attributes["iteration"], found.attributes["n_samples"]) == (5, 512)
    assert found.coordinates["displacement"].shape == (8, 1) and found.coordinates["distance"].tolist()[:3] == [0, 1, 2]
    assert found.estimates["energy"].units == "J (S.S)" and found.estimates["variance"].units == "J^2 (S.S)"
    with h5py.File(run / "run.h5") as file:
        group = file["measurements/0001"]
        axis = group["correlation_xx"].dims[0]
        assert axis.label == "displacement" and axis["displacement_number"][:].tolist() == list(range(8))
        assert group["displacement"].dims[0][0] == axis[0] and group["displacement"].dims[1][0] == group["component"]
        assert group["structure_factor_zz_error"].dims[0]["momentum_number"].shape == (8,)
        assert group["correlation_xx"].attrs["coordinates"] == "distance"


def test_other_parameters_are_measured(tmp_path: Path) -> None:
    """By enumeration: the energies of two saved vectors, from the matrix."""
    (tmp_path / "in.toml").write_text(INPUT.replace("walkers = 64, block_width = 16, samples = 256", 'kind = "exact"'))
    assert pvmc("run", tmp_path / "in.toml", "--output", tmp_path / "run") == 0
    job, spins = load_job(tmp_path / "in.toml"), configurations(8, 0)
    labels = labels_of(spins)
    matrix = compiled_matrix(job.operator)[labels][:, labels]
    expected = []
    for iteration in (0, 5):
        assert pvmc("measure", tmp_path / "run", "--iteration", iteration, "--observables", "energy") == 0
        psi = job.ansatz.at(open_run(tmp_path / "run").parameters(iteration))
        expected.append(energy_of(psi, matrix, spins))
    found = open_run(tmp_path / "run").measurements
    assert [one.attributes["iteration"] for one in found] == [0, 5]
    assert [one.estimates["energy"].value for one in found] == pytest.approx(expected, abs=1e-11)
    assert abs(expected[0] - expected[1]) > 1e-4
    sampled = ("--set", 'sampler.kind="metropolis"', "--set", "sampler.walkers=64", "--set", "sampler.samples=64")
    assert pvmc("measure", tmp_path / "run", "--observables", "energy", "--samples", 4096, *sampled) == 0
    estimate = open_run(tmp_path / "run").measurements[2].estimates["energy"]
    assert float(estimate.error) > 0 and abs(float(estimate.value) - expected[1]) < 5 * float(estimate.error)
    assert found[0].attributes["seed"] != found[1].attributes["seed"], "two measurements do not share random numbers"


def test_an_overlap_that_is_zero_by_symmetry_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in.toml").write_text(INPUT.replace("length = 8", "length = 9"))
    assert pvmc("run", tmp_path / "in.toml", "--output", tmp_path / "run") == 0
    capsys.readouterr()
    assert pvmc("measure", tmp_path / "run", "--observables", "energy", "--samples", 256) == 0
    assert "warning" not in capsys.readouterr().err
    assert pvmc("measure", tmp_path / "run", "--observables", "overlap", "--samples", 256) == 0
    assert float(open_run(tmp_path / "run").measurements[1].estimates["overlap"].value) < 1e-20
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "overlap" in line]
    assert 'warning: overlap: ansatz.symmetry = "translation" excludes the ground state (E = -3.797299784)' in line


def test_an_error_is_reached_and_no_batch_too_many(run: Path) -> None:
    limit = 0.003
    assert pvmc("measure", run, "--observables", "energy", "--until-error", limit, "--seed", 3) == 0
    (found,) = open_run(run).measurements
    assert float(found.estimates["energy"].error) / 8 <= limit
    fewer = found.attributes["n_samples"] - 256
    assert fewer >= 16 * 64, "not stopped by the fewest draws alone"
    assert pvmc("measure", run, "--observables", "energy", "--samples", fewer, "--seed", 3) == 0
    assert float(open_run(run).measurements[1].estimates["energy"].error) / 8 > limit


def test_an_error_out_of_reach_is_said(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--observables", "energy", "--until-error", 1e-9, "--samples", 2048)
    assert pvmc("measure", run, *arguments) == 0
    (found,) = open_run(run).measurements
    assert (found.attributes["n_samples"], found.attributes["status"]) == (2048, "finished")
    assert len([line for line in capsys.readouterr().out.splitlines() if "--until-error 1e-09" in line]) == 1


def test_a_stopped_measurement_ends_with_75_and_goes_on(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the file STOP and by --time-limit; each has one batch of three when it ends."""
    common = ("--observables", "energy, renyi2", "--samples", 768, "--seed", 3)
    assert pvmc("measure", run, *common) == 0
    for options, reason in (((), "STOP, and removed it"), (("--time-limit", "0.001s"), "the time limit of 0.001s")):
        if not options:
            (run / "STOP").touch()
        assert pvmc("measure", run, *common, *options) == EXIT_RESUMABLE
        printed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("stopped: ")]
        assert len(printed) == 1 and reason in printed[0] and printed[0].endswith("; go on with --resume")
        assert open_run(run).measurements[-1].attributes["n_samples"] == 256
        assert pvmc("measure", run, "--resume") == 0
        straight, *_, resumed = open_run(run).measurements
        for name, expected in straight.estimates.items():
            found = resumed.estimates[name]
            assert np.array_equal(found.value, expected.value) and np.array_equal(found.error, expected.error)


@pytest.mark.slow
def test_two_runs_are_compared(made: Path, run: Path, tmp_path: Path) -> None:
    """Sampled fidelities and entropies against sums over all configurations, the other run in another frame.

    Each within 5 of its standard errors (1e-5 of a normal distribution).
    """
    text = INPUT.replace('model = "heisenberg"', 'model = "heisenberg", marshall = false').replace(
        "alpha = 1", "alpha = 2"
    )
    (tmp_path / "in.toml").write_text(text.replace("iterations = 6", "iterations = 3, seed = 5"))
    assert pvmc("run", tmp_path / "in.toml", "--output", tmp_path / "other") == 0
    words = f"renyi2:lengths, fidelity:other={tmp_path / 'other'}, fidelity:{run}@0"
    assert pvmc("measure", run, "--observables", words, "--samples", 32768) == 0
    (found,) = open_run(run).measurements
    spins = configurations(8, 0)
    psi, first = (
        state_vector(load_job(made / "in.toml").ansatz.at(open_run(run).parameters(k)), spins) for k in (5, 0)
    )
    other = state_vector(load_job(tmp_path / "in.toml").ansatz.at(open_run(tmp_path / "other").parameters()), spins)
    turned = psi * spins[1::2].prod(axis=0)
    expected = {"fidelity": abs(np.vdot(first, psi)) ** 2, "fidelity_other": abs(np.vdot(other, turned)) ** 2}
    assert abs(expected["fidelity_other"] - abs(np.vdot(other, psi)) ** 2) > 0.1, "the frame matters"
    for name, value in expected.items():
        estimate = found.estimates[name]
        assert 0 < float(estimate.error) < 0.02 and abs(float(estimate.value) - value) < 5 * float(estimate.error)
    entropies = [renyi2_of_vector(psi, Basis.enumerate(8, 0), range(length)) for length in range(1, 5)]
    estimate = found.estimates["renyi2"]
    assert estimate.dims == ("region",) and found.coordinates["region_size"].tolist() == [1, 2, 3, 4]
    assert np.all(np.abs(estimate.value - entropies) < 5 * np.asarray(estimate.error))
    assert np.all(np.asarray(estimate.error) < 0.1) and found.attributes["unreliable"] == ""


def test_measurements_survive_the_run_going_on(run: Path) -> None:
    """At every resume the file is laid out anew; scales stay attached."""
    assert pvmc("measure", run, "--samples", 512) == 0
    assert pvmc("measure", run, "--samples", 256, "--observables", "operator:bond=Zi Zj, energy") == 0
    before = open_run(run).measurements
    for iterations in (8, 10):
        assert pvmc("run", run, "--resume", "--set", f"run.iterations={iterations}") == 0
        after = open_run(run)
        assert len(after.iteration) == iterations
        assert len(after.measurements) == 2 and all(map(same, before, after.measurements))
    with h5py.File(run / "run.h5") as file:
        axis = file["measurements/0001/correlation_yy"].dims[0]
        assert axis["displacement_number"].shape == (8,)
    assert pvmc("measure", run, "--samples", 256) == 0
    assert [one.number for one in open_run(run).measurements] == [1, 2, 3]


def test_a_fit_is_measured(made: Path, tmp_path: Path) -> None:
    assert pvmc("fit", made / "in.toml", "--output", tmp_path / "fit") == 0
    assert pvmc("measure", tmp_path / "fit", "--samples", 256, "--set", "sampler.walkers=32") == 0
    fit = open_fit(tmp_path / "fit")
    (found,) = fit.measurements
    assert found.attributes["iteration"] == 3 and found.attributes["n_samples"] == 256
    assert len(fit.series["epoch"]) == 4


def test_a_file_of_a_killed_run_takes_a_measurement(made: Path, tmp_path: Path) -> None:
    """One that its writer never closed: opened as it is, HDF5 would refuse to write to it."""
    with h5py.File(made / "run" / "run.h5", "r+", libver="latest") as file:
        file.swmr_mode = True
        file.flush()
        shutil.copy(made / "run" / "run.h5", tmp_path / "run.h5")
    with pytest.raises(OSError, match="consistency|already open"):
        h5py.File(tmp_path / "run.h5", "r+")
    written = Measurement(7, {"status": "finished"}, {"energy": Estimate(1.5, 0.5, "J")})
    write_measurement(tmp_path / "run.h5", written)
    (found,) = open_run(tmp_path / "run.h5").measurements
    assert same(found, written)
    assert len(open_run(tmp_path / "run.h5").iteration) == 6
    assert [path.name for path in tmp_path.iterdir()] == ["run.h5"], "no temporary is left"


BAD_OBSERVABLES = {
    "spin": "none of energy, magnetization",
    "operator:x": "must be operator:NAME=EXPRESSION",
    "operator:x=Z0 Q1": '"Q1" is not an operator',
    "operator:x=X0 Z0": "not Hermitian",
    "operator:x=Z8": "outside the lattice",
    "operator:x_error=Z1": "must be operator:NAME=EXPRESSION",
    "operator:x=Z1,operator:x=Z2": "another operator has this name",
    "renyi2:3-9": "numbered from 0 to 7",
    "renyi2:0-7": "1 to 7 sites, not 8",
    "renyi2:half": '"half" is no site and no range',
    "renyi2:1 0-2": "named twice",
    "fidelity:": "must be fidelity:",
    "fidelity:nowhere": "nowhere",
    "fidelity:.@0,fidelity:.@2": "two are stored as fidelity",
}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        *((("--observables", names), message) for names, message in BAD_OBSERVABLES.items()),
        (("--iteration", "3"), "no parameters of iteration 3"),
        (("--set", "ansatz.alpha=2"), "only keys of"),
        (("--set", "run.checkpoint={minutes=-1}"), "run.checkpoint.minutes = -1"),
        (("--set", "sampler.power=1.5"), "all weigh the same"),
        (("--set", "sampler.block_width=24"), "multiple of block_width"),
        (("--resume",), "holds no measurement to go on with"),
        (("--samples", "0"), "must be an integer >= 1"),
        (("--until-error", "0"), "must be a number > 0"),
    ],
)
def test_bad_input_gives_a_line_and_leaves_the_file(run: Path, arguments: tuple[str, ...], message: str) -> None:
    before = (run / "run.h5").read_bytes()
    with pytest.raises(InputError, match=message) as caught:
        pvmc("measure", run, *arguments)
    assert "\n" not in str(caught.value)
    assert (run / "run.h5").read_bytes() == before


def test_what_goes_on_keeps_its_settings(run: Path) -> None:
    assert pvmc("measure", run, "--samples", 256) == 0
    for argument in (("--seed", 3), ("--iteration", 2), ("--observables", "energy"), ("--set", "sampler.sweep=3")):
        with pytest.raises(InputError, match="goes on"):
            pvmc("measure", run, "--resume", *argument)


def test_a_directory_in_use_is_refused(run: Path) -> None:
    with locked(run), pytest.raises(InputError, match="in use"):
        pvmc("measure", run)


DEGENERATE = """
lattice = { kind = "chain", length = 12, periodic = false }
hamiltonian = { model = "terms", terms = [[-1.0, "Z0 Z1"]] }
ansatz = { kind = "rbm", alpha = 1, symmetry = "none" }
sampler = { magnetization = 0, walkers = 64, block_width = 16, samples = 256 }
run = { iterations = 4, save_every = 1 }
"""
"""420 of the 924 configurations have Z0 Z1 = 1: too many ground states for an overlap."""


def test_an_overlap_out_of_reach_is_left_out_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in.toml").write_text(DEGENERATE)
    directory = tmp_path / "run"
    assert pvmc("run", tmp_path / "in.toml", "--output", directory) == 0
    assert pvmc("measure", directory, "--samples", 512) == 0
    assert "--observables overlap: more than 64 states have the lowest energy; the other" in capsys.readouterr().err
    (found,) = open_run(directory).measurements
    assert {"energy", "magnetization_z", "renyi2"} <= found.estimates.keys() and "overlap" not in found.estimates
    assert "overlap" not in str(found.attributes["observables"])
    assert pvmc("measure", directory, "--resume", "--samples", 1024) == 0
    with pytest.raises(InputError, match="--observables overlap: more than 64 states"):
        pvmc("measure", directory, "--observables", "overlap", "--samples", 512)


def test_the_best_parameters_can_be_measured(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Six iterations, saved after 0, 2, 4 and 5; the last quarter is averaged, rows 4 and 5."""
    assert pvmc("measure", run, "--iteration", "best", "--observables", "energy", "--samples", 256) == 0
    assert "parameters of iteration 4 of" in capsys.readouterr().out
    assert open_run(run).measurements[-1].attributes["iteration"] == 4
