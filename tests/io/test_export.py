"""Results for other programs: CSV, .npz and netCDF hold the run's numbers; xarray reads run.h5 as it is."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from pvmc.errors import InputError
from pvmc.io import export as module
from pvmc.io import schema
from pvmc.io.export import export
from pvmc.io.layout import StartTrial
from pvmc.io.measurement import Estimate, Measurement, write_measurement
from pvmc.io.results import ResultsWriter
from pvmc.measurement.registry import coordinates
from tests.run_files import run_attributes

K = 3
BLOCKS = {"hidden_bias": (slice(0, 1), (1,)), "features": (slice(1, 3), (1, 2))}
THETA = np.array([[0.1, 0.2 + 1j, -0.3], [1.0, 2.0, 3.0 - 1e-17j]])
SAVED = [0, 2]
DISPLACEMENT = np.array([[0, 0], [1, 0], [0, 1]])
MEASUREMENT = Measurement(
    1,
    {"iteration": 2, "n_samples": 64, "status": "finished"},
    {
        "energy": Estimate(-7.25, 0.01, "J (S.S)"),
        "structure_factor_zz": Estimate(np.array([0.5, 2.0, 1.0]), np.full(3, 0.1), "1", ("momentum",)),
        "correlation_zz": Estimate(np.array([1.0, -0.5, 0.25]), np.array([0.0, 0.1, 0.2]), "1", ("displacement",)),
        "renyi2": Estimate(np.array([0.5, 0.75]), np.array([0.01, 0.02]), "1", ("region",)),
    },
    {
        "displacement": DISPLACEMENT,
        "distance": np.array([0.0, 1.0, 1.0]),
        "momentum": np.eye(3)[:, :2],
        "region_size": np.array([1, 2]),
        "region_sites": np.array([[1, 0, 0, 0], [0, 1, 0, 1]], np.int8),
    },
    {axis.name: axis for axis in coordinates()},
)

FACTS = {"energy_units": "J (S.S)", "n_sites": 4, "n_parameters": K}
COORDINATES = set(MEASUREMENT.coordinates)
OWN_NAMES = {"region", "site", "component"}


@pytest.fixture(params=[np.float64, np.complex128])
def theta(request: pytest.FixtureRequest) -> np.ndarray:
    return THETA if request.param is np.complex128 else THETA.real.copy()


@pytest.fixture
def run(tmp_path: Path, theta: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> Path:
    with ResultsWriter(
        tmp_path / "run",
        run_attributes(**FACTS, config="a = 1\n", seed=7),
        parameter_blocks=BLOCKS,
        parameter_dtype=theta.dtype,
        reference_energy=-8.0,
        reference_method="exact diagonalisation",
        trials=[StartTrial(7), StartTrial(8)],
    ) as results:
        for iteration in range(3):
            results.append(iteration, {"energy": -7.0 - iteration / 3, "n_samples": 64})
        for iteration, vector in zip(SAVED, theta, strict=True):
            results.save_parameters(iteration, vector)
    monkeypatch.setattr(module, "_measurements", lambda run: [MEASUREMENT])
    return tmp_path / "run"


ENERGY = -7.0 - np.arange(3) / 3


def test_csv(run: Path, theta: np.ndarray) -> None:
    """Every number is the same to the last bit."""
    directory = export(run, "csv")
    assert directory == run / "export"
    tables = {}
    for name in ("series", "parameters", "measurements"):
        with (directory / f"{name}.csv").open(newline="") as file:
            tables[name] = list(csv.DictReader(file))
    assert [float(row["energy"]) for row in tables["series"]] == ENERGY.tolist()
    assert [row["variance"] for row in tables["series"]] == ["nan"] * 3
    assert set(tables["series"][0]) == {"iteration"} | {item.name for item in schema.SERIES}
    rows = tables["parameters"]
    values = [complex(float(row["real"]), float(row["imaginary"])) for row in rows]
    np.testing.assert_array_equal(np.reshape(values, (2, K)), theta)
    assert [row["block"] for row in rows[:K]] == ["hidden_bias", "features", "features"]
    assert [int(row["iteration"]) for row in rows] == [0] * K + [2] * K
    energy, *rows = tables["measurements"]
    correlation = [row for row in rows if row["name"] == "correlation_zz"]
    assert (energy["name"], float(energy["value"]), float(energy["error"])) == ("energy", -7.25, 0.01)
    assert [row["coordinates"] for row in rows if row["name"] == "renyi2"] == ["0", "1 3"], "the sites of the region"
    assert [(row["coordinates"], float(row["value"])) for row in correlation] == [
        ("0 0", 1.0),
        ("1 0", -0.5),
        ("0 1", 0.25),
    ]


def test_npz(run: Path, theta: np.ndarray) -> None:
    with np.load(export(run, "npz")) as file:
        np.testing.assert_array_equal(file["series/energy"], ENERGY)
        np.testing.assert_array_equal(file["parameters/theta"], theta)
        assert file["parameters/theta"].dtype == theta.dtype
        assert file["parameters/iteration"].tolist() == SAVED
        assert json.loads(str(file["parameters/blocks"]))["features"] == [1, 3, [1, 2]]
        assert json.loads(str(file["attributes"]))["reference_energy"] == -8.0
        np.testing.assert_array_equal(file["measurements/0001/displacement"], DISPLACEMENT)
        assert file["measurements/0001/correlation_zz_error"].tolist() == [0.0, 0.1, 0.2]


def test_netcdf_as_hdf5(run: Path, theta: np.ndarray) -> None:
    with h5py.File(export(run, "netcdf", run / "out.nc")) as file:
        assert file["energy"].dims[0][0].name == "/iteration"
        assert file["energy"].attrs["units"] == "J (S.S)"
        if np.iscomplexobj(theta):
            found = file["parameters/theta_real"][:] + 1j * file["parameters/theta_imaginary"][:]
        else:
            found = file["parameters/theta"][:]
        np.testing.assert_array_equal(found, theta)
        assert not any(np.iscomplexobj(dataset) for dataset in file["parameters"].values()), "netCDF has no complex"
        zz = file["measurements/0001/correlation_zz"]
        assert zz.dims[0][0].name == "/measurements/0001/displacement_number"
        assert file["measurements/0001"].attrs["n_samples"] == 64


def check_measurement(measured: Any) -> None:
    """MEASUREMENT as xarray has it: numbered axes, and what lies along them as coordinates."""
    assert set(measured.indexes) == {f"{axis}_number" for axis in ("displacement", "momentum")} | OWN_NAMES
    assert all(measured[axis].values.tolist() == list(range(size)) for axis, size in measured.sizes.items())
    assert measured.correlation_zz.dims == measured.distance.dims == ("displacement_number",)
    assert measured.displacement.dims == ("displacement_number", "component")
    assert measured.region_sites.dims == ("region", "site") and measured.region_sites.dtype == np.int8
    assert set(measured.coords) == set(measured.indexes) | COORDINATES
    assert measured.structure_factor_zz[measured.momentum[:, 1] == 1].values.tolist() == [2.0]
    assert measured.correlation_zz[measured.displacement[:, 1] == 1].values.tolist() == [0.25]
    assert measured.correlation_zz.to_dataframe()["distance"].tolist() == [0.0, 1.0, 1.0]
    assert measured.renyi2[measured.region_size == 2].values.tolist() == [0.75]
    assert float(measured.energy) == -7.25 and measured.energy.attrs["units"] == "J (S.S)"


@pytest.mark.parametrize("engine", ["h5netcdf", "netcdf4"])
def test_netcdf_by_xarray(run: Path, theta: np.ndarray, engine: str) -> None:
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf" if engine == "h5netcdf" else "netCDF4")
    path = export(run, "netcdf")
    with xarray.open_dataset(path, engine=engine) as series:
        np.testing.assert_array_equal(series.energy.sel(iteration=1), ENERGY[1])
        assert series.attrs["reference_method"] == "exact diagonalisation"
    with xarray.open_dataset(path, engine=engine, group="parameters") as parameters:
        name = "theta_real" if np.iscomplexobj(theta) else "theta"
        assert parameters[name].dims == ("iteration", "parameter")
        np.testing.assert_array_equal(parameters[name].sel(iteration=2), theta[1].real)
    with xarray.open_dataset(path, engine=engine, group="measurements/0001") as measured:
        check_measurement(measured)


def test_results_file_by_xarray(run: Path, theta: np.ndarray) -> None:
    """Every group of run.h5 opens without an argument more, and every axis has its coordinate."""
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    write_measurement(run / "run.h5", MEASUREMENT)

    def group(name: str) -> Any:
        return xarray.open_dataset(run / "run.h5", engine="h5netcdf", group=name)

    with group("series") as series:
        assert series.energy.dims == ("iteration",)
        np.testing.assert_array_equal(series.energy, ENERGY)
        assert series.n_samples.dtype == np.int64
        assert series.seconds.dtype == np.float64, "units of s are no calendar"
        np.testing.assert_array_equal(series.to_dataframe()["energy"].loc[2], ENERGY[2])
    with group("parameters") as parameters:
        assert parameters.theta.dtype == theta.dtype
        np.testing.assert_array_equal(parameters.theta.sel(iteration=2), theta[1])
    with group("sessions") as sessions:
        assert sessions.started.dims == ("session",)
        assert sessions.session.values.tolist() == [0]
    with group("starts") as starts:
        assert starts.seed.dims == ("start",)
        assert starts.seed.values.tolist() == [7, 8]
    with group("state") as state:
        assert state.status.item() == b"finished"
    with group("reference") as reference:
        assert reference.attrs["energy"] == -8.0
    with group("measurements/0001") as measured:
        check_measurement(measured)
    with group("/") as root:
        assert root.attrs["n_parameters"] == K


def test_a_growing_results_file_by_xarray(tmp_path: Path) -> None:
    """As it lies on the disk between two iterations: only with the keyword that h5py has for such files."""
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    attributes = run_attributes(**FACTS)
    growing = tmp_path / "growing.h5"
    with ResultsWriter(tmp_path / "run", attributes, parameter_blocks=BLOCKS, parameter_dtype=np.float64) as results:
        for iteration in range(3):
            results.append(iteration, {"energy": -7.0 - iteration / 3, "n_samples": 64})
        shutil.copy(tmp_path / "run" / "run.h5", growing)
    keywords = {"engine": "h5netcdf", "group": "series"}
    with xarray.open_dataset(growing, **keywords, driver_kwds={"swmr": True}) as series:
        np.testing.assert_array_equal(series.energy, ENERGY)
        np.testing.assert_array_equal(series.iteration, [0, 1, 2])
    with pytest.raises(OSError, match="already open for write"):
        xarray.open_dataset(growing, **keywords)


def test_exports_are_replaced_but_nothing_else(run: Path) -> None:
    for kind in ("csv", "npz", "netcdf"):
        assert export(run, kind) == export(run, kind)
    assert sorted(entry.name for entry in run.iterdir()) == ["export", "export.nc", "export.npz", "run.h5"]
    with pytest.raises(InputError, match="holds other files"):
        export(run, "csv", run)
    with pytest.raises(InputError, match="is a file: --format csv writes a directory"):
        export(run, "csv", run / "export.npz")
    with pytest.raises(InputError, match="is the run itself"):
        export(run, "npz", run / "run.h5")
    with pytest.raises(InputError, match="is a directory: --output is a file"):
        export(run, "npz", run)
    with pytest.raises(InputError, match="does not exist"):
        export(run / "no", "npz")


def test_run_that_has_saved_nothing(tmp_path: Path, run: Path, theta: np.ndarray) -> None:
    with h5py.File(run / "run.h5", "r+") as file:
        file["parameters/iteration"][:] = -1
    with np.load(export(run, "npz")) as file:
        assert file["parameters/theta"].shape == (0, K)
