"""The file of a fit, its figure, the command, and runs that start from saved parameters."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from pvmc.cli import main
from pvmc.errors import InputError
from pvmc.exact import Basis, sparse_matrix
from pvmc.figures.convergence_plot import fit_figure
from pvmc.io.earlier import read_parameters
from pvmc.io.fit_file import FitWriter, open_fit
from pvmc.io.reader import open_run
from pvmc.mpi import SerialCommunicator
from pvmc.tasks import fit as fitting
from pvmc.vmc import run as simulation
from pvmc.vmc.job import Job
from pvmc.vmc.loop import iterate
from pvmc.vmc.sectors import find_job_reference
from tests.helpers import energy_of
from tests.jobs import job_of

COMM = SerialCommunicator()
BLOCKS = {"hidden_bias": (slice(0, 1), (1,)), "features": (slice(1, 4), (1, 3))}


def make_job(length: int = 8, **sections: dict[str, Any]) -> Job:
    tables: dict[str, Any] = {
        "lattice": {"kind": "chain", "length": length},
        "hamiltonian": {"model": "heisenberg"},
        "ansatz": {"kind": "rbm", "alpha": 2} | sections.get("ansatz", {}),
        "sampler": {"kind": "exact"},
        "run": {"iterations": 3} | sections.get("run", {}),
        "fit": {"epochs": 150, "learning_rate": 0.03} | sections.get("fit", {}),
    }
    return job_of(tables)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a fit to the ground state of 8 sites."""
    directory = tmp_path_factory.mktemp("runs") / "fit"
    fitting.fit(fitting.FitRequest(make_job(), "", directory), COMM)
    return directory


def test_rows_and_parameters_come_back(tmp_path: Path) -> None:
    with FitWriter(tmp_path / "fit", {"seed": 3}, BLOCKS, np.complex128) as writer:
        with pytest.raises(InputError, match="no epoch yet"):
            open_fit(tmp_path / "fit")
        for epoch in range(3):
            theta = np.arange(4) * (1 + epoch * 1j)
            writer.append({"epoch": epoch, "cost": 0.5**epoch, "infidelity": 0.1, "seconds": 1.0}, theta)
            fit = open_fit(tmp_path / "fit")  # while it is written
            np.testing.assert_array_equal(fit.theta, theta)
            np.testing.assert_array_equal(fit.series["cost"], 0.5 ** np.arange(epoch + 1))
    fit = open_fit(tmp_path / "fit" / "fit.h5")
    assert fit.blocks == BLOCKS and fit.attributes["seed"] == 3 and fit.name == "fit"
    with pytest.raises(InputError, match="pass --overwrite"):
        FitWriter(tmp_path / "fit", {}, BLOCKS, np.float64)
    FitWriter(tmp_path / "fit", {}, BLOCKS, np.float64, overwrite=True).__exit__(None, None, None)


def test_every_axis_of_the_file_has_its_scale(tmp_path: Path) -> None:
    with FitWriter(tmp_path, {}, BLOCKS, np.complex128) as writer:
        for epoch in range(3):
            writer.append({"epoch": epoch, "cost": 1.0, "infidelity": 0.1, "seconds": 1.0}, np.arange(4) * 1j)
    with h5py.File(tmp_path / "fit.h5") as file:
        axes = []
        file.visititems(lambda _, item: axes.append(item) if isinstance(item, h5py.Dataset) else None)
        assert len(axes) == 6
        for item in axes:
            scale = item if item.is_scale else item.dims[0][0]
            assert item.is_scale or (len(item.dims[0]), item.dims[0].label) == (1, scale.name.rpartition("/")[2])
            assert {"units", "description"} <= set(item.attrs)
            np.testing.assert_array_equal(scale, np.arange(len(item)))


def test_a_fit_by_xarray(tmp_path: Path) -> None:
    """Of a fit that is over, and as it lies on the disk while it is written."""
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    growing = tmp_path / "growing.h5"
    with FitWriter(tmp_path, {}, BLOCKS, np.complex128, overwrite=True) as writer:
        for epoch in range(3):
            writer.append({"epoch": epoch, "cost": 0.5**epoch, "infidelity": 0.1, "seconds": 1.0}, np.arange(4) * 1j)
        shutil.copy(tmp_path / "fit.h5", growing)
    for path, keywords in ((tmp_path / "fit.h5", {}), (growing, {"driver_kwds": {"swmr": True}})):
        with xarray.open_dataset(path, engine="h5netcdf", group="series", **keywords) as series:
            assert series.cost.sel(epoch=2) == 0.25
            assert {values.dims for values in series.values()} == {("epoch",)}
        with xarray.open_dataset(path, engine="h5netcdf", group="parameters", **keywords) as parameters:
            assert parameters.theta.dims == ("parameter",)
            np.testing.assert_array_equal(parameters.theta, np.arange(4) * 1j)
    with pytest.raises(OSError, match="already open for write"):
        xarray.open_dataset(growing, engine="h5netcdf", group="series")


def test_what_is_no_fit(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        open_fit(tmp_path)
    (tmp_path / "fit.h5").write_text("text")
    with pytest.raises(InputError, match="not a fit of pvmc"):
        open_fit(tmp_path)
    with h5py.File(tmp_path / "fit.h5", "w"):
        pass
    with pytest.raises(InputError, match="not a fit of pvmc"):
        open_fit(tmp_path)


def test_figure_has_cost_and_infidelity_on_logarithmic_axes(fitted: Path) -> None:
    fit = open_fit(fitted)
    figure = fit_figure([fit])
    for axis, name in zip(figure.axes, ("cost", "infidelity"), strict=True):
        assert axis.get_xscale() == axis.get_yscale() == "log"
        np.testing.assert_array_equal(axis.get_lines()[0].get_ydata(), fit.series[name])
    with pytest.raises(InputError):
        fit_figure([])


def test_a_run_starts_from_a_fit_at_the_fitted_energy(fitted: Path, tmp_path: Path) -> None:
    """The energy of iteration 0 is <psi|H|psi> of the fitted psi, close to the ground state."""
    job = make_job(ansatz={"start_from": str(fitted)})
    state = simulation.initial_state(job, COMM)
    theta = open_fit(fitted).theta
    np.testing.assert_array_equal(state.theta, theta)
    first = next(iterate(state, job.ansatz, job.operator, job.sampler, job.solver, COMM))
    basis = Basis.enumerate(8, 0)
    expected = energy_of(job.ansatz.at(theta), sparse_matrix(job.operator, basis), basis.spins)
    assert first.energy.mean.real == pytest.approx(expected, abs=1e-12)
    exact = find_job_reference(job)
    assert exact is not None and abs(expected / exact.energy - 1) < 1e-3


def test_a_run_starts_from_a_run(fitted: Path, tmp_path: Path) -> None:
    job = make_job(ansatz={"start_from": str(fitted)})
    simulation.run(simulation.RunRequest(job, "", tmp_path / "first"), COMM)
    again = make_job(ansatz={"start_from": str(tmp_path / "first")})
    theta = simulation.initial_state(again, COMM).theta
    np.testing.assert_array_equal(theta, open_run(tmp_path / "first").parameters())
    assert not np.array_equal(theta, open_fit(fitted).theta)


@pytest.mark.parametrize(
    ("ansatz", "length", "words"),
    [
        ({"alpha": 1}, 8, "this ansatz has 9 complex128 parameters"),
        ({"weights": "real"}, 8, "this ansatz has 18 float64 parameters"),
        ({"visible_bias": True}, 8, "this ansatz has 19 complex128 parameters"),
        ({}, 10, "this ansatz has 22 complex128 parameters"),
    ],
)
def test_parameters_of_another_ansatz_are_refused(
    fitted: Path, ansatz: dict[str, Any], length: int, words: str
) -> None:
    job = make_job(length, ansatz={"start_from": str(fitted), **ansatz})
    with pytest.raises(InputError) as caught:
        simulation.initial_state(job, COMM)
    assert str(caught.value).startswith(
        f'ansatz.start_from = "{fitted}": {fitted}/fit.h5 holds 18 complex128 parameters'
    )
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_no_run_to_start_from(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"run\.h5 does not exist"):
        read_parameters(tmp_path)


def test_another_run_as_target(fitted: Path, tmp_path: Path) -> None:
    """The wave function of the fit, fitted by a larger ansatz."""
    job = make_job(ansatz={"alpha": 3}, fit={"target": "run", "source": str(fitted)})
    data = fitting.make_data(job)
    theta = open_fit(fitted).theta
    np.testing.assert_allclose(data.log_target, make_job().ansatz.at(theta).log_psi(data.spins), atol=1e-12)
    with pytest.raises(InputError, match="8 sites, not 10"):
        fitting.make_data(make_job(10, fit={"target": "run", "source": str(fitted)}))


CONFIG = """
[lattice]
kind = "chain"
length = 6
[hamiltonian]
model = "heisenberg"
[ansatz]
kind = "rbm"
alpha = 1
"""


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PVMC_NO_MPI", "1")
    config = tmp_path / "in.toml"
    config.write_text(CONFIG + "[fit]\nepochs = 5\n")
    assert main(["fit", str(config), "--output", str(tmp_path / "out")]) == 0
    assert "fit to exact: 20 configurations on 1 rank" in capsys.readouterr().out
    assert len(open_fit(tmp_path / "out").series["cost"]) == 6
    assert main(["plot", str(tmp_path / "out"), "--output", str(tmp_path / "figure")]) == 0
    assert (tmp_path / "figure.png").stat().st_size > 1000
    assert main(["fit", str(config), "--output", str(tmp_path / "out")]) == 2
    assert "pass --overwrite" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("", "[fit]: section missing"),
        ('[fit]\ntarget = "run"\n', 'fit.source = "": goes with target = "file" or "run"'),
        ('[fit]\nsource = "x"\n', 'fit.source = "x": goes with target'),
        ('[fit]\noptimizer = "adan"\n', 'fit.optimizer = "adan": must be "sgd", "momentum" or "adam", did you mean'),
        ("[fit]\nlearning_rate = -1\n", "fit.learning_rate"),
    ],
)
def test_command_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, section: str, words: str
) -> None:
    monkeypatch.setenv("PVMC_NO_MPI", "1")
    (tmp_path / "in.toml").write_text(CONFIG + section)
    assert main(["fit", str(tmp_path / "in.toml"), "--output", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert words in error and len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()
