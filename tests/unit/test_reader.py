"""Reading runs: values, status, and one-line errors for what is not a run."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import h5py
import numpy as np
import pytest

from pvmc.errors import InputError, StorageError
from pvmc.io import provenance, schema
from pvmc.io.reader import open_run
from pvmc.io.results import ResultsWriter

BLOCKS = {"bias": (slice(0, 1), (1,)), "weights": (slice(1, 5), (2, 2)), "scale": (slice(5, 6), ())}


def writer(directory: Path, reference: float | None = None, **changes: str | int) -> ResultsWriter:
    own = {"schema_version", "created"}
    blank = {item.name: item.type() for item in schema.ROOT_ATTRIBUTES if item.name not in own}
    run: dict[str, str | int] = {
        "energy_units": "J",
        "n_sites": 4,
        "n_parameters": 6,
        "config": '[ansatz]\nkind = "rbm"\nalpha = 2\n',
    }
    attributes = {**blank, **provenance.collect(), **run, **changes}
    return ResultsWriter(
        directory, attributes, parameter_blocks=BLOCKS, parameter_dtype=np.float64, reference_energy=reference
    )


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    with writer(tmp_path / "chain", reference=-8.0) as results:
        for iteration in range(1, 13):
            results.append(iteration, {"energy": -7.0 - 0.01 * iteration, "energy_error": 0.2})
            results.save_parameters(iteration, np.full(6, iteration))
    return tmp_path / "chain"


def test_run_from_directory_and_from_file(directory: Path) -> None:
    for path in (directory, directory / "run.h5", str(directory)):
        run = open_run(path)
        assert run.name == "chain"
        assert run.status() == "finished"
        assert run.iteration.tolist() == list(range(1, 13))
        assert set(run.series) == {"iteration"} | {item.name for item in schema.SERIES}
        np.testing.assert_allclose(run.energy_per_site, (-7.0 - 0.01 * np.arange(1, 13)) / 4, rtol=1e-15)
        np.testing.assert_allclose(run.energy_error_per_site, 0.05, rtol=1e-15)
        assert run.reference_energy == -8.0
        assert run.reference_energy_per_site == -2.0
        assert run.config == {"ansatz": {"kind": "rbm", "alpha": 2}}
        assert run.attributes["pid"] == os.getpid()
        assert run.energy_units == "J"


def test_parameters_of_an_iteration(directory: Path) -> None:
    run = open_run(directory)
    assert run.parameters().tolist() == [12.0] * 6
    assert run.parameters(5).tolist() == [5.0] * 6
    assert run.saved_iterations().tolist() == list(range(1, 13))
    assert run.parameter_blocks() == BLOCKS
    with pytest.raises(InputError, match=r"no parameters of iteration 99; saved are 1, 2, 3, \.\.\., 10, 11, 12"):
        run.parameters(99)


def test_run_that_has_just_begun(tmp_path: Path) -> None:
    with writer(tmp_path / "run") as results:
        run = open_run(tmp_path / "run")
        assert run.status() == "running"
        assert run.ended == ""
        assert run.iteration.size == 0
        assert run.reference_energy is None
        assert run.reference_energy_per_site is None
        with pytest.raises(InputError, match="no saved parameters yet"):
            run.parameters()
        results.finish("stopped", "time limit")
        assert run.status() == "stopped"  # asked anew, not remembered
    age = datetime.now(UTC) - datetime.fromisoformat(open_run(tmp_path / "run").ended)
    assert timedelta(0) <= age < timedelta(hours=1)


def test_series_of_unequal_length_are_cut_to_the_shortest(directory: Path) -> None:
    with h5py.File(directory / "run.h5", "r+") as file:
        file["series/seconds"].resize(9, axis=0)
    assert {series.size for series in open_run(directory).series.values()} == {9}
    with h5py.File(directory / "run.h5", "r+") as file:
        file["state/iterations_done"][()] = 7
        file["parameters/iteration"][-1] = -1
    run = open_run(directory)
    assert {series.size for series in run.series.values()} == {7}
    assert run.parameters().tolist() == [11.0] * 6


def test_process_that_is_gone_means_dead(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    results = writer(tmp_path / "run", pid=gone.pid)
    assert open_run(tmp_path / "run").status() == "dead"
    results.finish("finished")
    assert open_run(tmp_path / "run").status() == "finished"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_other_process_with_the_same_number_means_dead(tmp_path: Path) -> None:
    with writer(tmp_path / "run", created="2001-02-03T04:05:06+00:00"):
        assert open_run(tmp_path / "run").status() == "dead"


def test_on_another_host_the_age_of_the_file_decides(tmp_path: Path) -> None:
    with writer(tmp_path / "run", host="elsewhere") as results:
        run = open_run(tmp_path / "run")
        assert run.status() == "running"
        hour_ago = time.time() - 3600
        os.utime(run.path, (hour_ago, hour_ago))
        assert run.status() == "dead"
        results.append(1, {"seconds": 1000.0})  # iterations this long may well be silent for an hour
        os.utime(run.path, (hour_ago, hour_ago))
        assert open_run(tmp_path / "run").status() == "running"


def test_file_in_another_format_opens_plainly(directory: Path, tmp_path: Path) -> None:
    with h5py.File(directory / "run.h5") as file, h5py.File(tmp_path / "copy.h5", "w", libver="earliest") as copy:
        for name in file:
            file.copy(name, copy)
        copy.attrs.update(file.attrs)
    run = open_run(tmp_path / "copy.h5")
    assert run.name == "copy"
    assert run.iteration.size == 12


def test_what_is_not_a_run_is_refused_in_one_line(directory: Path, tmp_path: Path) -> None:
    (tmp_path / "text.h5").write_text("not HDF5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with h5py.File(directory / "run.h5", "r+") as file:
        file.attrs["schema_version"] = schema.SCHEMA_VERSION + 1
    cases = {
        tmp_path / "nowhere": "nowhere does not exist",
        tmp_path: r"run\.h5 does not exist",
        tmp_path / "text.h5": "is not a results file of pvmc",
        tmp_path / "other.h5": "is not a results file of pvmc",
        directory: "has layout 2, written by pvmc .*: update pvmc",
    }
    for path, message in cases.items():
        with pytest.raises(InputError, match=message) as caught:
            open_run(path)
        assert "\n" not in str(caught.value)


def test_damaged_files_are_one_line(directory: Path) -> None:
    path = directory / "run.h5"
    whole = path.read_bytes()
    for length in (100, len(whole) // 3, len(whole) - 1):  # in SWMR mode the middle one would read as zeros
        path.write_bytes(whole[:length])
        with pytest.raises(StorageError, match=r"cannot read .*run\.h5: ") as caught:
            open_run(directory)
        assert "\n" not in str(caught.value)
    path.write_bytes(whole)
    with h5py.File(path, "r+") as file:
        file["series/iteration"][5] = 0
    with pytest.raises(StorageError, match="iterations are out of order"):
        open_run(directory)
    with h5py.File(path, "r+") as file:
        del file["state"]
    with pytest.raises(StorageError, match=r"run\.h5 is damaged: "):
        open_run(directory)


def test_reading_needs_neither_mpi_nor_matplotlib() -> None:
    check = "import sys, pvmc.io.reader, pvmc.io.results; print({'mpi4py', 'matplotlib'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", check], capture_output=True, text=True).stdout == "set()\n"
