"""Measurements in a file: earlier layouts, full disks and kills."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from pvmc.errors import StorageError
from pvmc.io.measurement import (
    Estimate,
    Measurement,
    measurement_numbers,
    read_measurement,
    read_measurements,
    store_measurement,
    write_measurement,
)
from tests.helpers import mounted_disk
from tests.run_files import printed_by

WHAT = "a file of the test"


def test_the_earlier_layout_is_read(tmp_path: Path) -> None:
    """There the coordinates themselves, also those of two dimensions, were the scales of the axes."""
    displacement, values = np.array([[0, 0], [1, 0], [0, 1]]), np.array([1.0, -0.5, 0.25])
    with h5py.File(tmp_path / "run.h5", "w", libver="latest") as file:
        group = file.create_group("measurements/0001")
        group.attrs["iteration"] = 4
        scale = group.create_dataset("displacement", data=displacement)
        scale.make_scale("displacement")
        scale.dims[0].label, scale.dims[1].label = "displacement", "component"
        for name, numbers in (("correlation_zz", values), ("correlation_zz_error", values / 10)):
            dataset = group.create_dataset(name, data=numbers)
            dataset.attrs["units"] = "1"
            dataset.dims[0].label = "displacement"
            dataset.dims[0].attach_scale(scale)
    for _ in range(2):
        (found,) = read_measurements(tmp_path / "run.h5", WHAT)
        assert (found.number, found.attributes) == (1, {"iteration": 4})
        assert found.coordinates.keys() == {"displacement"} and found.estimates.keys() == {"correlation_zz"}
        np.testing.assert_array_equal(found.coordinates["displacement"], displacement)
        estimate = found.estimates["correlation_zz"]
        assert (estimate.dims, estimate.units) == (("displacement",), "1")
        np.testing.assert_array_equal([estimate.value, estimate.error], [values, values / 10])
        write_measurement(tmp_path / "run.h5", found)  # as a measurement that goes on does


def test_numbers_and_one_measurement_are_read_without_the_others(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    file_with_one(path)
    for number in (2, 11):
        write_measurement(path, Measurement(number, {}, {"energy": Estimate(-float(number), 0.1, "J")}))
    with h5py.File(path, "r+") as file:
        del file["measurements/0001/energy_error"], file["measurements/0002"]["energy"].attrs["units"]
    assert measurement_numbers(path, WHAT) == [1, 2, 11]
    assert read_measurement(path, 11, WHAT).estimates["energy"].value == -11.0
    with pytest.raises(StorageError):
        read_measurements(path, WHAT)


def test_a_coordinate_needs_axes(tmp_path: Path) -> None:
    found = Measurement(1, {}, {}, {"distance": np.ones(3)})
    with h5py.File(tmp_path / "run.h5", "w") as file, pytest.raises(ValueError, match="the axes of distance are not"):
        store_measurement(file.create_group("1"), found)


WRITING = """
import sys
import numpy as np
from pathlib import Path
from pvmc.errors import StorageError
from pvmc.io import measurement as module
from pvmc.io.measurement import (
    Estimate,
    Measurement,
    measurement_numbers,
    read_measurement,
    read_measurements,
    write_measurement,
)
path = Path(sys.argv[1])
def attempt(number, size=2000):
    values = np.full(size, float(number))
    found = Measurement(1, {"n": number}, {"a": Estimate(values, values, "1", ("site",))}, {})
    try:
        write_measurement(path, found)
    except StorageError as error:
        print(error)
def stored():
    (found,) = read_measurements(path, "a file")
    number = found.attributes["n"]
    assert (found.estimates["a"].value == number).all() and (found.estimates["a"].error == number).all()
    return number
"""


def file_with_one(path: Path) -> bytes:
    """A new file with a measurement, and its bytes."""
    with h5py.File(path, "w", libver="latest") as file:
        file["series"] = np.arange(1000.0)
    write_measurement(path, Measurement(1, {"n": 0}, {"energy": Estimate(-1.0, 0.1, "J")}))
    return path.read_bytes()


@pytest.fixture(params=["No space left on device", "File too large"])
def narrow(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, str, str]]:
    """A path where no file of 8 MB fits; what a process does first for that; what the system says then."""
    if request.param == "File too large":
        limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (8 << 20, 8 << 20))"
        yield tmp_path / "run.h5", limit, request.param
        return
    with mounted_disk(tmp_path / "disk", "8m") as disk:
        yield disk / "run.h5", "", request.param


def test_a_full_disk_leaves_the_file_as_it_was(narrow: tuple[Path, str, str]) -> None:
    path, first, says = narrow
    before = file_with_one(path)
    assert printed_by(f"{WRITING}\n{first}\nattempt(1, size=10**6)", path) == [f"cannot write {path}: {says}"]
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir() if entry.is_file()] == ["run.h5"], "no temporary is left"


KILLING = """
import os, random, signal, time, shutil
def killed_in(step, owner, name, after):
    original = getattr(owner, name)
    def dying(*arguments, **options):
        if after:
            original(*arguments, **options)
        os.kill(os.getpid(), signal.SIGKILL)
    setattr(owner, name, dying)
    attempt(step)
def in_child(work, *arguments):
    child = os.fork()
    if not child:
        work(*arguments)
        os._exit(1)
    return child
def forever(number, pipe):
    while True:
        number += 1
        attempt(number)
        os.write(pipe, b".")
begin = time.monotonic()
attempt(1)
duration = time.monotonic() - begin
steps = [(shutil, "copyfile"), (module, "mark_closed"), (module, "_reserve"), (module, "store_measurements")]
steps += [(os, "truncate"), (os, "fsync"), (os, "replace"), (module, "sync_directory")]
outcomes = []
for owner, name in steps:
    for after in (False, True):
        last = stored()
        child = in_child(killed_in, last + 1, owner, name, after)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
        outcomes.append(stored() - last)
print(outcomes)
random.seed(1)
for _ in range(6):
    last, (reading, writing) = stored(), os.pipe()
    child = in_child(forever, last, writing)
    os.read(reading, 1)
    time.sleep(random.uniform(0, duration))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert stored() > last
attempt(0)
print(stored(), [entry.name for entry in path.parent.iterdir()])
"""


def test_a_kill_at_any_moment_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    """Before and after each step of the writer, where the outcome is known, and at random moments."""
    file_with_one(tmp_path / "run.h5")
    printed = printed_by(WRITING + KILLING, tmp_path / "run.h5")
    assert printed[0] == str([0] * 13 + [1] * 3), "new from the renaming on"
    assert printed[1:] == ["0 ['run.h5']"]
