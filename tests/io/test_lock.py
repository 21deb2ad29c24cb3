"""The lock on a run's directory: one holder, named to the others; gone with its process."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pvmc.errors import InputError, StorageError
from pvmc.io.storage import locked

HOST = os.uname().nodename

HOLDING = """
import sys
from pvmc.io.storage import locked
with locked(sys.argv[1]) as warning:
    print(repr(warning), flush=True)
    sys.stdin.read()
"""


def holder(directory: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "''\n"
    return process


def test_second_run_is_refused_and_told_by_whom(tmp_path: Path) -> None:
    with holder(tmp_path / "run") as process:
        with pytest.raises(InputError) as caught, locked(tmp_path / "run"):
            pass
        process.communicate()
    assert str(caught.value) == (
        f"{tmp_path / 'run'} is in use by process {process.pid} on {HOST}: "
        "wait until that run ends, stop it, or choose another --output"
    )
    assert not (tmp_path / "run").exists()  # made by the holder, who had nothing to put there
    with locked(tmp_path / "run") as warning:
        assert warning == ""


def test_killed_process_holds_nothing(tmp_path: Path) -> None:
    with holder(tmp_path / "run") as process:
        process.send_signal(signal.SIGKILL)
    assert (tmp_path / "run" / ".lock").read_text().startswith(f"{HOST} {process.pid} ")
    with locked(tmp_path / "run"):
        assert (tmp_path / "run" / ".lock").read_text().startswith(f"{HOST} {os.getpid()} ")


def test_same_process_is_refused_too(tmp_path: Path) -> None:
    with locked(tmp_path):
        with pytest.raises(InputError, match=f"in use by process {os.getpid()} on {HOST}"), locked(tmp_path):
            pass
        with pytest.raises(InputError), locked(tmp_path):  # the attempt has not released it
            pass
        (tmp_path / "run.h5").write_text("")
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.h5"]


def test_directory_with_results_stays(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "run.h5").write_text("")
        raise ZeroDivisionError
    assert [entry.name for entry in (tmp_path / "a" / "b").iterdir()] == ["run.h5"]


def test_file_in_place_of_the_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file cannot hold a run: choose another --output"), locked(tmp_path / "file"):
        pass
    with pytest.raises(StorageError, match=r"cannot write .*\.lock: Not a directory"), locked(tmp_path / "file" / "x"):
        pass


def test_file_removed_by_the_last_holder_is_not_taken_for_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    flock, removed = fcntl.flock, []

    def late(descriptor: int, how: int) -> None:
        if not removed:  # between our opening of the file and its locking, its holder ends
            (tmp_path / ".lock").unlink()
            removed.append(True)
        flock(descriptor, how)

    monkeypatch.setattr("fcntl.flock", late)
    with locked(tmp_path):
        assert (tmp_path / ".lock").exists()
        with pytest.raises(InputError), locked(tmp_path):
            pass


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_file_system_without_locks_gives_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def flock(descriptor: int, how: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", flock)
    with locked(tmp_path) as warning:
        reason = os.strerror(number)
        assert warning == f"{tmp_path} cannot be locked ({reason}): make sure that no other run writes there"
    assert list(tmp_path.iterdir()) == []
    (tmp_path / ".lock").write_text(f"{HOST} {os.getppid()} 2026-01-01T00:00:00+00:00\n")
    with pytest.raises(InputError, match=f"in use by process {os.getppid()} on {HOST}"), locked(tmp_path):
        pass
    (tmp_path / ".lock").write_text("elsewhere 1 2026-01-01T00:00:00+00:00\n")
    with locked(tmp_path) as warning:
        assert warning


def test_other_trouble_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(descriptor: int, how: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("fcntl.flock", flock)
    with pytest.raises(StorageError, match=r"cannot write .*\.lock: Input/output error"), locked(tmp_path):
        pass
