"""A run that goes on: no row missing, none doubled, wherever it was killed; the file is the old one or the new one."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from pvmc.errors import InputError, StorageError
from pvmc.io.checkpoint import latest_checkpoint
from pvmc.io.reader import open_run
from pvmc.io.results import ResultsWriter
from tests.designs import slow_but
from tests.run_files import BLOCKS, N_PARAMETERS, OPTIONS, four_sites, printed_by


def new(directory: Path, **options: Any) -> ResultsWriter:
    attributes = four_sites(created="2026-01-02T03:04:05+00:00")
    return ResultsWriter(directory, attributes, **OPTIONS, **{"reference_energy": -8.0} | options)


def resumed(directory: Path, iteration: int, changes: dict[str, str | int] | None = None, **options: Any) -> Any:
    return ResultsWriter.resume(directory, iteration, four_sites(**(changes or {})), **OPTIONS | options)


def fill(results: ResultsWriter, first: int, last: int) -> None:
    for iteration in range(first, last):
        results.append(iteration, {"energy": -1.0 / (iteration + 1), "n_samples": 3 * iteration})
        if iteration % 3 == 0:
            results.save_parameters(iteration, np.full(N_PARAMETERS, iteration + 1j))


def assert_straight(directory: Path, rows: int) -> None:
    """The file is that of a run of so many iterations that was never interrupted."""
    run = open_run(directory)
    iterations = np.arange(rows)
    np.testing.assert_array_equal(run.iteration, iterations)
    np.testing.assert_array_equal(run.series["energy"], -1.0 / (iterations + 1))
    np.testing.assert_array_equal(run.series["n_samples"], 3 * iterations)
    np.testing.assert_array_equal(run.saved_iterations(), iterations[::3])
    for iteration in iterations[::3]:
        np.testing.assert_array_equal(run.parameters(int(iteration)), np.full(N_PARAMETERS, iteration + 1j))


@pytest.mark.parametrize("status", ["finished", "stopped", "failed"])
def test_rows_from_the_checkpoint_on_are_written_again(tmp_path: Path, status: str) -> None:
    results = new(tmp_path)
    fill(results, 0, 17)
    results.finish(status, "so it is")
    with resumed(tmp_path, 10, {"n_iterations": 40, "ranks": 3, "config": "[new]\n"}, threads=2) as results:
        run = open_run(tmp_path)
        assert (run.status(), run.message, run.ended) == ("running", "", "")
        assert_straight(tmp_path, 10)
        fill(results, 10, 20)
    assert_straight(tmp_path, 20)
    run = open_run(tmp_path)
    assert run.status() == "finished"
    assert run.attributes["created"] == "2026-01-02T03:04:05+00:00"
    assert (run.attributes["n_iterations"], run.attributes["ranks"], run.config) == (40, 3, {"new": {}})
    assert run.reference_energy == -8.0
    first, second = run.sessions
    assert (first.first_iteration, first.ranks, first.threads, first.outcome) == (0, 2, 1, status)
    assert (second.first_iteration, second.ranks, second.threads, second.outcome) == (10, 3, 2, "finished")
    assert first.started == run.attributes["created"] < second.started
    assert 0 < second.seconds < 60 and second.core_seconds == 6 * second.seconds
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.h5"]


def test_retries_are_counted_and_steps_taken_back_are_not(tmp_path: Path) -> None:
    """They stay in the file, however often it is laid out anew; an ordinary stop is none."""
    results = new(tmp_path)
    fill(results, 0, 17)
    for outcome, first in (("retried", 16), ("", 15), ("retried", 12)):
        results.finish("stopped", "so it is", outcome=outcome)
        results = resumed(tmp_path, first, {})
        fill(results, first, 17)
    assert (open_run(tmp_path).retries, open_run(tmp_path).status()) == (2, "running")
    results.finish("finished")
    run = open_run(tmp_path)
    assert [session.outcome for session in run.sessions] == ["retried", "stopped", "retried", "finished"]
    assert (run.retries, run.status(), run.message) == (2, "finished", "")


def test_layout_is_that_of_a_new_file(tmp_path: Path) -> None:
    def listed(path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        with h5py.File(path) as file:
            file.visititems(lambda name, item: found.update({name: (sorted(item.attrs), getattr(item, "dtype", ""))}))
            found["/"] = sorted(file.attrs)
        return found

    with new(tmp_path) as results:
        fill(results, 0, 5)
    before = listed(tmp_path / "run.h5")
    resumed(tmp_path, 5).finish("finished")
    assert listed(tmp_path / "run.h5") == before


def test_beginning_again_from_iteration_0(tmp_path: Path) -> None:
    with new(tmp_path) as results:
        fill(results, 0, 5)
    with resumed(tmp_path, 0, reference_energy=-9.0) as results:
        fill(results, 0, 4)
    assert_straight(tmp_path, 4)
    assert open_run(tmp_path).reference_energy == -9.0


def test_iterations_go_on_increasing(tmp_path: Path) -> None:
    with new(tmp_path) as results:
        fill(results, 0, 5)
    with resumed(tmp_path, 5) as results, pytest.raises(ValueError, match="iteration 4 after 4"):
        results.append(4, {})
    assert_straight(tmp_path, 5)


def test_many_parameters_are_copied_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with new(tmp_path) as results:
        fill(results, 0, 20)
    monkeypatch.setattr("pvmc.io.earlier._BATCH_BYTES", 2 * 16 * N_PARAMETERS)
    resumed(tmp_path, 20).finish("finished")
    assert_straight(tmp_path, 20)


@pytest.mark.parametrize(("rows", "gap"), [(range(7), 7), ([0, 1, 3, 4, 5, 6, 7, 8, 9, 10], 2), ([], 0)])
def test_missing_rows_are_refused(tmp_path: Path, rows: Any, gap: int) -> None:
    with new(tmp_path) as results:
        for iteration in rows:
            results.append(iteration, {})
    before = (tmp_path / "run.h5").read_bytes()
    with pytest.raises(StorageError, match=rf"lacks iteration {gap}, but the run is to go on from iteration 10: put"):
        resumed(tmp_path, 10)
    assert (tmp_path / "run.h5").read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.h5"]


def test_what_cannot_go_on_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"run\.h5 does not exist"):
        resumed(tmp_path, 1)
    with new(tmp_path) as results:
        fill(results, 0, 5)
    message = (
        r"complex128 parameters bias 2, weights 2x2, but this input has float64 parameters x 6: a run goes on only"
    )
    with pytest.raises(InputError, match=message):
        resumed(tmp_path, 3, parameter_blocks={"x": (slice(0, 6), (6,))}, parameter_dtype=np.float64)
    path = tmp_path / "run.h5"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StorageError, match="cannot read"):
        resumed(tmp_path, 3)


def test_file_of_a_version_without_sessions_goes_on(tmp_path: Path) -> None:
    with new(tmp_path) as results:
        fill(results, 0, 5)
    with h5py.File(tmp_path / "run.h5", "r+") as file:
        del file["sessions"], file["series/shift"]
    run = open_run(tmp_path)
    assert run.sessions == () and run.status() == "finished"
    assert np.isnan(run.series["shift"]).all()
    resumed(tmp_path, 4).finish("finished")
    assert_straight(tmp_path, 4)
    assert [session.first_iteration for session in open_run(tmp_path).sessions] == [4]


def test_rows_in_memory_are_forced_out_before_a_checkpoint(tmp_path: Path) -> None:
    with new(tmp_path, patience=1000.0) as results:
        fill(results, 0, 7)
        assert open_run(tmp_path).iteration.size == 0
        results.flush()
        assert_straight(tmp_path, 7)
        assert open_run(tmp_path).sessions[-1].seconds > 0


def test_real_parameters_for_a_complex_file(tmp_path: Path) -> None:
    with new(tmp_path) as results:
        results.save_parameters(0, np.arange(6.0))
    assert open_run(tmp_path).parameters().tolist() == list(range(6))


GOING_ON = f"""
import json, os, signal, sys, time
import numpy as np
from pathlib import Path
from pvmc.io.checkpoint import Checkpoint, latest_checkpoint, write_checkpoint
from pvmc.io.storage import locked
from pvmc.io.results import ResultsWriter

directory, seed, kills = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])

def run(iterations):
    given = {four_sites()!r} | {{"pid": os.getpid()}}
    options = dict(parameter_blocks={BLOCKS!r}, parameter_dtype=np.complex128, patience=0.002)
    with locked(directory):
        checkpoint, passed_over = latest_checkpoint(directory)
        assert not passed_over
        first = checkpoint.iteration if checkpoint else 0
        if (directory / "run.h5").exists():
            results = ResultsWriter.resume(directory, first, given, **options)
        else:
            results = ResultsWriter(directory, given, **options)
        with results:
            for iteration in range(first, iterations):
                results.append(iteration, {{"energy": -1.0 / (iteration + 1), "n_samples": 3 * iteration}})
                if iteration % 3 == 0:
                    results.save_parameters(iteration, np.full({N_PARAMETERS}, iteration + 1j))
                if iteration % 4 == 3:
                    results.flush()
                    theta = np.full({N_PARAMETERS}, iteration + 1j)
                    write_checkpoint(directory, Checkpoint(iteration + 1, theta, np.ones((1, 2, 4), np.int8)))
        return iteration + 1

rng = np.random.default_rng(seed)
killed, reached, longest = 0, [], 0.25
for _ in range(kills):
    child = os.fork()
    if not child:
        run(10**9)
    time.sleep(rng.uniform(0, longest))
    os.kill(child, signal.SIGKILL)
    killed += os.waitpid(child, 0)[1] == signal.SIGKILL
    checkpoint, _ = latest_checkpoint(directory)
    reached.append(checkpoint.iteration if checkpoint else 0)
    if len(set(reached)) == 1 and longest < 2.0:  # a machine under load: none has got anywhere yet
        longest *= 1.3
print(json.dumps([killed, reached, run(reached[-1] + 10)]))
"""


@pytest.mark.slow
def test_killed_at_random_moments_it_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    """At start-up, within the copying of the old rows, a row, or a checkpoint: wherever 24 kills fall."""
    (line,) = printed_by(GOING_ON, tmp_path, 11, 24)
    killed, reached, rows = json.loads(line)
    assert killed == 24
    assert reached == sorted(reached) and len(set(reached)) > 1  # it got on between kills
    assert_straight(tmp_path, rows)
    sessions = open_run(tmp_path).sessions
    assert {session.outcome for session in sessions[:-1]} == {"killed"} and sessions[-1].outcome == "finished"
    assert sessions[-1].first_iteration == reached[-1]
    latest, passed_over = latest_checkpoint(tmp_path)
    assert latest is not None and not passed_over
    assert sorted(entry.suffix for entry in tmp_path.iterdir()) == [".h5"] * 3  # no lock, no temporary


FULL = f"""
import resource, sys
import numpy as np
from pathlib import Path
from pvmc.errors import StorageError
from pvmc.io.results import ResultsWriter
directory, limit = Path(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
given = dict(parameter_blocks={BLOCKS!r}, parameter_dtype=np.complex128)
try:
    if len(sys.argv) > 3:
        results = ResultsWriter(directory, {four_sites()!r}, **given, patience=1000.0)
        for iteration in range(10**6):
            results.append(iteration, {{"energy": -1.0 / (iteration + 1), "n_samples": 3 * iteration}})
            if iteration % 64 == 0:
                results.flush()
            if iteration % 3 == 0:
                results.save_parameters(iteration, np.full({N_PARAMETERS}, iteration + 1j))
    else:
        ResultsWriter.resume(directory, 17, {four_sites()!r}, **given)
except StorageError as error:
    print(error)
"""


@pytest.mark.parametrize("limit", slow_but([50_000], [20_000, 50_000, 190_000]))
def test_full_disk_leaves_the_old_file(tmp_path: Path, limit: int) -> None:
    """The limit bites in the laying-out, or later in the copying of rows."""
    with new(tmp_path) as results:
        fill(results, 0, 17)
    before = (tmp_path / "run.h5").read_bytes()
    assert printed_by(FULL, tmp_path, limit) == [f"cannot write {tmp_path / 'run.h5'}: File too large"]
    assert (tmp_path / "run.h5").read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.h5"]


FILLED = [(310_000, 449), (50_000, 0), (620_000, 961)]


@pytest.mark.parametrize(("limit", "least"), slow_but(FILLED[:1], FILLED, several=True))
def test_disk_that_fills_keeps_the_rows_before(tmp_path: Path, limit: int, least: int) -> None:
    """At the first row, where the first chunks are to be written, or at a later one."""
    path = tmp_path / "run" / "run.h5"
    assert printed_by(FULL, path.parent, limit, "new") == [f"cannot write {path}: File too large"]
    rows = open_run(path).iteration.size
    assert rows >= least
    run = open_run(path)
    np.testing.assert_array_equal(run.series["energy"], -1.0 / (np.arange(rows) + 1))
    saved = run.saved_iterations()
    np.testing.assert_array_equal(saved, 3 * np.arange(saved.size))
    with resumed(path.parent, rows) as results:
        fill(results, rows, rows + 5)
    assert open_run(path).iteration.tolist() == list(range(rows + 5))


def test_no_more_space_is_written_than_was_reserved(tmp_path: Path) -> None:
    with new(tmp_path, patience=1000.0) as results:
        sizes = []
        for iteration in range(1500):
            results.append(iteration, {})
            if iteration % 100 == 0:
                results.save_parameters(iteration, np.zeros(N_PARAMETERS))
                results.flush()
                sizes.append((tmp_path / "run.h5").stat().st_size)
        results.flush()
        reserved = results._reserved
        assert (tmp_path / "run.h5").stat().st_size == reserved
    assert len(set(sizes)) == 3  # it grows with the chunks
    assert 0 <= reserved - (tmp_path / "run.h5").stat().st_size < 100_000


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EINVAL])
def test_file_system_that_cannot_reserve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(descriptor: int, offset: int, length: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("os.posix_fallocate", refuse)
    with new(tmp_path) as results:
        fill(results, 0, 5)
    assert_straight(tmp_path, 5)
