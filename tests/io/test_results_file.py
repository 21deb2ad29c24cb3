"""The results file: laid out as the schema says, readable while it grows, intact after kill -9 and on a full disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from pvmc.errors import InputError, StorageError
from pvmc.io import provenance, schema
from pvmc.io.reader import open_run
from pvmc.io.results import ResultsWriter
from tests.designs import slow_but
from tests.run_files import BLOCKS, N_PARAMETERS, OPTIONS, four_sites, printed_by


def attributes(**changes: str | int) -> dict[str, str | int]:
    run = {"energy_units": "J (S.S)", "seed": 7, "config": "[ansatz]\nalpha = 2\n", "mpi_library": "MPICH 4.2"}
    return four_sites(**run | changes)


def writer(directory: Path, *, overwrite: bool = False, **changes: Any) -> ResultsWriter:
    return ResultsWriter(
        directory,
        attributes(**changes),
        **OPTIONS,
        reference_energy=-8.0,
        reference_method="exact diagonalisation",
        overwrite=overwrite,
    )


APPENDING = f"""
import sys
import numpy as np
from pvmc.io.results import ResultsWriter
writer = ResultsWriter(sys.argv[1], {attributes()!r} | {{"pid": __import__("os").getpid()}},
                       parameter_blocks={BLOCKS!r}, parameter_dtype=np.complex128)
for iteration in range(1, 100000):
    writer.append(iteration, {{"energy": -1.0 / iteration, "n_samples": 3 * iteration}})
    if iteration % 10 == 0:
        writer.save_parameters(iteration, np.full({N_PARAMETERS}, iteration + 1j))
    print(iteration, flush=True)
"""


def assert_rows_are_true(run_file: Path, at_least: int) -> int:
    """Every row that the writer had acknowledged is there, and every row that is there is right."""
    run = open_run(run_file)
    rows = run.iteration.size
    assert rows >= at_least
    expected = np.arange(1, rows + 1)
    np.testing.assert_array_equal(run.iteration, expected)
    np.testing.assert_array_equal(run.series["energy"], -1.0 / expected)
    np.testing.assert_array_equal(run.series["n_samples"], 3 * expected)
    saved = run.saved_iterations()
    assert saved.size >= at_least // 10
    for iteration in saved[-2:]:
        np.testing.assert_array_equal(run.parameters(int(iteration)), np.full(N_PARAMETERS, iteration + 1j))
    return rows


def test_file_holds_what_the_schema_declares(tmp_path: Path) -> None:
    with writer(tmp_path / "run") as results:
        results.append(1, {"energy": -7.0, "variance": 0.5, "n_samples": 100})
        results.append(2, {"energy": -7.5})
        results.save_parameters(2, np.arange(N_PARAMETERS) * (1 + 2j))
    with h5py.File(tmp_path / "run" / "run.h5") as file:
        assert set(file) == {"series", "parameters", "state", "sessions", "reference"}
        assert set(file.attrs) == {item.name for item in schema.ROOT_ATTRIBUTES}
        assert set(file["series"]) == {"iteration"} | {item.name for item in schema.SERIES}
        assert set(file["state"]) == {item.name for item in schema.STATE}
        assert file["series/iteration"].is_scale
        for item in schema.SERIES:
            dataset = file["series"][item.name]
            assert dataset.dtype == item.dtype
            assert dataset.shape == (2,)
            assert dataset.dims[0].label == "iteration"
            assert dataset.dims[0][0].name == "/series/iteration"
            assert dataset.attrs["description"] == item.description
        assert file["series/energy"].attrs["units"] == "J (S.S)"
        assert file["series/variance"].attrs["units"] == "J^2 (S.S)"
        assert file["series/seconds"].attrs["units"] == "s"
        assert file["series/energy"][:].tolist() == [-7.0, -7.5]
        assert np.isnan(file["series/variance"][1])
        assert file["series/n_samples"][:].tolist() == [100, -1]
        theta = file["parameters/theta"]
        assert theta.dtype == np.complex128
        assert [axis.label for axis in theta.dims] == ["iteration", "parameter"]
        assert [axis[0].name for axis in theta.dims] == ["/parameters/iteration", "/parameters/parameter"]
        assert list(theta.attrs["block_names"]) == ["bias", "weights"]
        assert theta.attrs["weights_slice"].tolist() == [2, 6]
        assert theta.attrs["weights_shape"].tolist() == [2, 2]
        assert dict(file["reference"].attrs) == {"energy": -8.0, "method": "exact diagonalisation"}
        assert file.attrs["schema_version"] == schema.SCHEMA_VERSION
        assert file["state/status"][()] == b"finished"
        assert file["state/ended"][()] != b""
        assert file["state/iterations_done"][()] == 2


@pytest.mark.slow
def test_a_thousand_iterations_make_a_small_file(tmp_path: Path) -> None:
    with writer(tmp_path, config="x" * 100_000) as results:
        for iteration in range(1, 1001):
            results.append(iteration, {"energy": -1.0})
    assert len(open_run(tmp_path).config_text) == 100_000
    assert (tmp_path / "run.h5").stat().st_size < 400_000
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.h5"]


def test_markdown_names_everything_in_the_schema() -> None:
    page = schema.schema_markdown((), ())
    for item in (schema.ITERATION, *schema.SERIES, *schema.STATE, *schema.ROOT_ATTRIBUTES):
        assert f"| `{item.name}` |" in page
        assert item.description.replace("|", "\\|") in page


@pytest.mark.parametrize("seed", slow_but([0], range(6)))
def test_kill_leaves_every_acknowledged_row(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    stop_at = int(rng.choice([1, 9, 100, 511, 512, 530])) if seed else 1
    with subprocess.Popen(
        [sys.executable, "-c", APPENDING, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        acknowledged = 0
        while acknowledged < stop_at:
            acknowledged = int(process.stdout.readline())
        time.sleep(rng.uniform(0, 0.005))  # so that the kill falls anywhere in the writing of a row
        process.send_signal(signal.SIGKILL)
        acknowledged = max([acknowledged, *(int(line) for line in process.stdout if line.endswith("\n"))])
    assert process.returncode == -signal.SIGKILL
    assert_rows_are_true(tmp_path / "run", acknowledged)
    assert open_run(tmp_path / "run").status() == "dead"


@pytest.mark.slow
def test_reading_while_it_is_written(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", APPENDING, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        seen = [assert_rows_are_true(tmp_path / "run", 1) for _ in range(40)]
        assert open_run(tmp_path / "run").status() == "running"
        process.kill()
    assert seen == sorted(seen)
    assert seen[-1] > seen[0]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk_is_one_error_and_a_clean_exit(tmp_path: Path) -> None:
    script = APPENDING.replace(
        "for iteration in range(1, 100000):",
        """
import os
from pathlib import Path
from pvmc.errors import StorageError
def fill_disk():
    descriptor, = [int(link.name) for link in Path("/proc/self/fd").iterdir() if str(link.resolve()).endswith("run.h5")]
    os.dup2(os.open("/dev/full", os.O_RDWR), descriptor)
for iteration in range(1, 100000):
    if iteration == 26:
        fill_disk()
        try:
            writer.append(iteration, {})
        except StorageError as error:
            print(error)
            break
""",
    )
    assert (
        printed_by(script, tmp_path / "run")[-1]
        == f"cannot write {tmp_path / 'run' / 'run.h5'}: No space left on device"
    )
    assert assert_rows_are_true(tmp_path / "run", 25) == 25


def test_full_disk_at_the_start_leaves_nothing(tmp_path: Path) -> None:
    script = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))\n"
    script += APPENDING.replace("writer = ", "from pvmc.errors import StorageError\ntry:\n  writer = ")
    script = script.replace("for iteration", "except StorageError as error: print(error); sys.exit()\nfor iteration")
    assert printed_by(script, tmp_path / "run") == [f"cannot write {tmp_path / 'run' / 'run.h5'}: File too large"]
    assert list((tmp_path / "run").iterdir()) == []


def test_existing_results_are_refused_unless_overwritten(tmp_path: Path) -> None:
    with writer(tmp_path / "run") as results:
        results.append(1, {"energy": -1.0})
    before = (tmp_path / "run" / "run.h5").read_bytes()
    with pytest.raises(InputError, match=r"run\.h5 exists; go on with --resume, choose another"):
        writer(tmp_path / "run")
    assert (tmp_path / "run" / "run.h5").read_bytes() == before
    with writer(tmp_path / "run", overwrite=True) as results:
        results.append(1, {"energy": -2.0})
    assert open_run(tmp_path / "run").series["energy"].tolist() == [-2.0]


def test_directory_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(InputError, match="exists and is not a pvmc run"):
        writer(tmp_path)
    writer(tmp_path, overwrite=True).finish("stopped")
    assert (tmp_path / "thesis.tex").read_text() == "precious"
    with pytest.raises(InputError, match="cannot hold a run"):
        writer(tmp_path / "thesis.tex", overwrite=True)


def test_storage_error_names_path_and_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"cannot write .*file/sub/run\.h5: Not a directory"):
        writer(tmp_path / "file" / "sub")


def test_failed_start_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="parameters of type float32"):
        ResultsWriter(tmp_path, attributes(), parameter_blocks=BLOCKS, parameter_dtype=np.float32)
    assert list(tmp_path.iterdir()) == []


def test_how_a_run_ended_is_recorded(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), writer(tmp_path / "a"):
        raise RuntimeError("the energy is NaN")
    run = open_run(tmp_path / "a")
    assert (run.status(), run.message) == ("failed", "the energy is NaN")
    with writer(tmp_path / "b") as results:
        results.finish("stopped", "é" * 3000)
    run = open_run(tmp_path / "b")
    assert (run.status(), run.message) == ("stopped", "é" * 512)


def test_misuse_is_refused(tmp_path: Path) -> None:
    with writer(tmp_path) as results:
        results.append(3, {})
        with pytest.raises(ValueError, match="iteration 3 after 3"):
            results.append(3, {})
        with pytest.raises(ValueError, match="no such series: enregy"):
            results.append(4, {"enregy": 1.0})
        with pytest.raises(ValueError, match=r"shape \(7,\), expected \(6,\)"):
            results.save_parameters(3, np.zeros(7))
        with pytest.raises(ValueError, match="status 'done'"):
            results.finish("done")
    with pytest.raises(ValueError, match="is closed"):
        results.append(5, {})
    assert open_run(tmp_path).iteration.tolist() == [3]


@pytest.mark.parametrize(
    ("changes", "message"), [({"colour": "red"}, "not in the schema: colour"), ({"seed": "x"}, "seed = 'x'")]
)
def test_attributes_must_match_the_schema(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        writer(tmp_path, **changes)
    with pytest.raises(ValueError, match="attributes missing: blas"):
        ResultsWriter(tmp_path, {"pvmc_version": ""}, parameter_blocks=BLOCKS, parameter_dtype=np.float64)


def test_provenance_names_versions_and_machine() -> None:
    found = provenance.collect("Open MPI\n  v5.0\0")
    assert found["numpy_version"] == np.__version__
    assert found["pid"] == os.getpid()
    assert found["mpi_library"] == "Open MPI v5.0"
    assert found["cpu_model"] != ""
    known = {item.name for item in schema.ROOT_ATTRIBUTES}
    assert set(found) <= known


def test_provenance_does_without_git_and_cpuinfo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert provenance.cpu_model(tmp_path / "missing") != ""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.git_revision(tmp_path) == ""


def test_git_revision_is_that_of_the_package_only(tmp_path: Path) -> None:
    package = tmp_path / "pvmc"
    package.mkdir()
    (package / "a.py").write_text("1\n")

    def git(*command: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
        return subprocess.run(
            ["git", "-C", str(tmp_path), *identity, *command], check=True, capture_output=True, text=True
        ).stdout.strip()

    git("init", "--quiet")
    assert provenance.git_revision(package) == ""  # nothing committed
    git("add", ".")
    git("commit", "--quiet", "-m", "x")
    commit = git("rev-parse", "HEAD")
    assert provenance.git_revision(package) == commit
    (package / "a.py").write_text("2\n")
    assert provenance.git_revision(package) == f"{commit}-dirty"
    installed = tmp_path / "venv" / "pvmc"
    installed.mkdir(parents=True)
    assert provenance.git_revision(installed) == ""  # lies in the repository of another project


def test_rows_that_wait_are_written_in_time_and_at_the_end(tmp_path: Path) -> None:
    """With patience, rows wait in memory; the first one past it takes the others along, and the end takes the rest."""
    with ResultsWriter(tmp_path / "run", attributes(), **OPTIONS, patience=3600.0) as results:
        for iteration in range(3):
            results.append(iteration, {"energy": -float(iteration)})
        assert len(open_run(tmp_path / "run").iteration) == 0
        results._written -= 3601.0  # an hour later
        results.append(3, {"energy": -3.0})
        assert open_run(tmp_path / "run").series["energy"].tolist() == [0.0, -1.0, -2.0, -3.0]
        results.append(4, {"energy": -4.0})
    assert open_run(tmp_path / "run").iteration.tolist() == [0, 1, 2, 3, 4]
