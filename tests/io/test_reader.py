"""Reading runs: values, status, and one-line errors for what is not a run."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from pvmc.errors import InputError, StorageError
from pvmc.io import schema
from pvmc.io.checkpoint import Checkpoint, write_checkpoint
from pvmc.io.hdf5 import lookup3
from pvmc.io.layout import StartTrial
from pvmc.io.reader import open_run
from pvmc.io.results import ResultsWriter
from tests.run_files import run_attributes

BLOCKS = {"bias": (slice(0, 1), (1,)), "weights": (slice(1, 5), (2, 2)), "scale": (slice(5, 6), ())}


RUN = {"n_sites": 4, "n_parameters": 6, "config": '[ansatz]\nkind = "rbm"\nalpha = 2\n'}


def writer(directory: Path, reference: float | None = None, **changes: str | int) -> ResultsWriter:
    attributes = run_attributes(**RUN | changes)
    return ResultsWriter(
        directory,
        attributes,
        parameter_blocks=BLOCKS,
        parameter_dtype=np.float64,
        reference_energy=reference,
        trials=[StartTrial(7), StartTrial(8)],
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
def test_process_that_is_over_and_not_asked_for_means_dead(tmp_path: Path) -> None:
    """Killed ranks stay like this where nobody takes over what their launcher has left."""
    over = subprocess.Popen([sys.executable, "-c", ""])
    results = writer(tmp_path / "run", pid=over.pid)
    end = time.monotonic() + 20
    while open_run(tmp_path / "run").status() == "running" and time.monotonic() < end:
        time.sleep(0.05)
    assert open_run(tmp_path / "run").status() == "dead"
    over.wait()
    results.finish("finished")


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
    growing = writer(directory / "killed")
    growing.append(0, {"energy": -1.0})
    (directory / "killed" / "cut.h5").write_bytes((directory / "killed" / "run.h5").read_bytes()[:60_000])
    with pytest.raises(StorageError, match=r"cannot read .*cut\.h5: "):
        open_run(directory / "killed" / "cut.h5")
    growing.finish("finished")
    path.write_bytes(whole)
    with h5py.File(path, "r+") as file:
        file["series/iteration"][5] = 0
    with pytest.raises(StorageError, match="iterations are out of order"):
        open_run(directory)
    with h5py.File(path, "r+") as file:
        del file["state"]
    with pytest.raises(StorageError, match=r"run\.h5 is damaged: "):
        open_run(directory)


READING = """
import sys
from pvmc.errors import InputError, StorageError
from pvmc.io.reader import open_run
for path in sys.argv[1:]:
    print(path, end=" ", flush=True)  # first: a crash is then known by its file
    said = []
    try:
        run = open_run(path)
        for read in (run.status, run.saved_iterations, run.parameter_blocks, run.parameters, lambda: run.config):
            try:
                read()
            except (InputError, StorageError) as error:
                said.append(str(error))
    except (InputError, StorageError) as error:
        said.append(str(error))
    print("refused" if said else "read", "in several lines" * any("\\n" in line for line in said), flush=True)
"""


def damaged(whole: bytes, rng: np.random.Generator) -> bytes:
    """A file cut short, or with 1 to 64 bytes changed, most of them where there is something other than zeros."""
    if rng.random() < 0.2:
        return whole[: int(rng.integers(len(whole)))]
    content = bytearray(whole)
    written = np.flatnonzero(np.frombuffer(whole, np.uint8))
    for _ in range(int(rng.choice([1, 1, 2, 8, 64]))):
        position = int(rng.choice(written) if rng.random() < 0.8 else rng.integers(len(whole)))
        content[position] = int(rng.integers(256))
    return bytes(content)


@pytest.mark.parametrize("killed", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_damaged_files_neither_crash_nor_hang(directory: Path, tmp_path: Path, killed: bool) -> None:
    """Read in another process, as HDF5 may crash; one that a kill has left used to hang for minutes in HDF5."""
    if killed:
        growing = writer(tmp_path / "growing")
        for iteration in range(12):
            growing.append(iteration, {"energy": -7.0})
            growing.save_parameters(iteration, np.full(6, iteration))
        whole = (tmp_path / "growing" / "run.h5").read_bytes()
        growing.finish("finished")
        assert whole[11] != 0  # not closed
    else:
        whole = (directory / "run.h5").read_bytes()
    rng = np.random.default_rng(20170210 + killed)
    paths = [tmp_path / f"{number}.h5" for number in range(100)]
    for path in paths:
        path.write_bytes(damaged(whole, rng))
    command = [sys.executable, "-c", READING, *(str(path) for path in paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, ""), lines[-1]
    outcomes = [line.split(" ", 1)[1].strip() for line in lines]
    assert len(outcomes) == 100 and set(outcomes) == {"read", "refused"}
    assert outcomes.count("refused") > 40


@pytest.mark.parametrize("header", [bytes(16), b"\1" + bytes(7) + b"\xff" * 8, bytes(8) + b"\xff" * 8])
def test_damaged_heap_of_texts_does_not_hang(directory: Path, header: bytes) -> None:
    """HDF5 has no checksum there, and takes a step of length zero again and again."""
    path = directory / "run.h5"
    content = path.read_bytes()
    first = content.index(b"GCOL") + 16  # the header of the first text
    path.write_bytes(content[:first] + header + content[first + 16 :])
    command = [sys.executable, "-c", READING, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, f"{path} refused", "")
    with pytest.raises(StorageError, match=r"run\.h5: the heap of texts at byte \d+ is damaged"):
        open_run(path)


def change(path: Path, name: str, value: Any) -> None:
    with h5py.File(path, "r+") as file:
        place, key = (file.attrs, name[1:]) if name.startswith("@") else (file, name)
        del place[key]
        if value is not None:
            place[key] = value


WRONG: list[tuple[str, Any]] = [
    ("series/energy", np.zeros((12, 2))),
    ("series/energy", ["text"] * 12),
    ("series/energy", None),
    ("series/iteration", np.zeros(12)),
    ("series", np.zeros(3)),
    ("series", None),
    ("state/iterations_done", -3),
    ("state/iterations_done", "many"),
    ("state/iterations_done", np.zeros(3)),
    ("state", 3),
    ("reference", 3),
    ("starts", 3),
    ("starts/seed", None),
    ("starts/seed", np.zeros(5)),
    ("starts/energy", "low"),
    ("sessions", 3),
    ("sessions/ranks", None),
    ("sessions/ranks", ["two"]),
    ("sessions/ranks", np.zeros(5)),
    ("sessions/started", [b"yesterday"]),
    ("@n_sites", None),
    ("@n_sites", "four"),
    ("@n_sites", -4),
    ("@config", 3),
    ("@created", "yesterday"),
    ("@host", np.zeros(3)),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_wrong_types_are_one_line(directory: Path, name: str, value: Any) -> None:
    change(directory / "run.h5", name, value)
    missing = "attribute n_sites is missing" if (name, value) == ("@n_sites", None) else ""
    with pytest.raises(StorageError, match=rf"run\.h5 is damaged: {missing}") as caught:
        open_run(directory)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("parameters/theta", np.zeros(12)), ("parameters/iteration", "text"), ("parameters", 1), ("@config", "= 3")],
)
def test_wrong_types_met_later_are_one_line(directory: Path, name: str, value: Any) -> None:
    change(directory / "run.h5", name, value)
    run = open_run(directory)
    with pytest.raises(StorageError, match=r"run\.h5 is damaged: "):
        run.parameter_blocks()
        run.parameters()
        _ = run.config


def test_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "run.h5")
    with pytest.raises(InputError, match="is not a results file of pvmc"):
        open_run(tmp_path)


def test_checksum_is_that_of_hdf5(directory: Path) -> None:
    superblock = (directory / "run.h5").read_bytes()[:48]
    assert lookup3(superblock[:-4]) == int.from_bytes(superblock[-4:], "little")
    # Test values of the author of the hash.
    assert lookup3(b"") == 0xDEADBEEF
    assert lookup3(b"Four score and seven years ago") == 0x17770551


def test_sessions_and_last_checkpoint(directory: Path) -> None:
    run = open_run(directory)
    assert run.last_checkpoint() is None
    (session,) = run.sessions
    assert (session.pid, session.first_iteration, session.outcome) == (os.getpid(), 0, "finished")
    assert session.started == run.attributes["created"]
    for iteration in (7, 12):
        path = write_checkpoint(directory, Checkpoint(iteration, np.zeros(6), np.ones((1, 4, 2), np.int8)))
    path.write_text("not even looked at")
    last = run.last_checkpoint()
    assert last is not None and (last.path, last.iteration) == (path, 12)
    assert abs(datetime.now(UTC) - last.written) < timedelta(minutes=1)


def test_run_that_was_resumed_is_alive_though_it_began_before_its_process(tmp_path: Path) -> None:
    writer(tmp_path / "run", created="2001-02-03T04:05:06+00:00").finish("stopped")
    results = ResultsWriter.resume(
        tmp_path / "run", 0, run_attributes(**RUN), parameter_blocks=BLOCKS, parameter_dtype=np.float64
    )
    assert open_run(tmp_path / "run").status() == "running"
    results.finish("finished")


def test_reading_needs_neither_mpi_nor_matplotlib() -> None:
    check = "import sys, pvmc.io.reader, pvmc.io.results; print({'mpi4py', 'matplotlib'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", check], capture_output=True, text=True).stdout == "set()\n"
