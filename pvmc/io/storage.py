"""Files of a run on disk: why one could not be used, temporaries, space, the processes and the lock of a directory.

One run at a time writes in a directory: it holds an advisory lock on the file ``.lock``, which says who holds it and
which the system releases when its process is gone.  A file that a kill leaves behind locks nothing.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pvmc.errors import InputError, StorageError

STOP_FILE = "STOP"
"""A file of this name in the run's directory stops the run (``touch runs/mine/STOP``)."""

_FOREIGN_SECONDS = 600.0
"""A temporary file of a process on another host counts as left behind when it has not changed for so long."""

LOCK_FILE = ".lock"
"""Name of the lock file in a run's directory."""

_HELD = {errno.EWOULDBLOCK, errno.EACCES}
_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}
_NO_RESERVING = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}  # a file system that cannot

_CLOCK_SLACK = 60.0
_OVER = ("Z", "X")
"""States of a process that is over and that its parent has not asked for: a killed launcher leaves such ranks."""


def reason(error: Exception) -> str:
    """One line for a failure of the file system; h5py hides the system's error number in a long message."""
    number = getattr(error, "errno", None)
    if number is None and (found := re.search(r"errno = (\d+)", str(error))):
        number = int(found.group(1))
    return os.strerror(number) if number else (str(error).splitlines() or [type(error).__name__])[0]


def temporary_path(path: Path) -> Path:
    """The path where this process prepares the file ``path``: hidden, beside it, so that a rename puts it in place."""
    return path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}")


def require_new(path: Path) -> None:
    """Refuse a file that exists, or whose directory does not.

    Raises:
        InputError: it does, or it does not.
    """
    if os.path.lexists(path):
        raise InputError(f"{path}: exists; choose another name")
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no directory {path.parent}")


def write_new(path: Path, text: str) -> None:
    """Write a text file that does not exist yet.

    Raises:
        InputError: it exists.
        StorageError: it cannot be written.
    """
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise InputError(f"{path}: exists; choose another name") from None
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror}") from None


def remove_leftovers(directory: Path, pattern: str) -> None:
    """Removes temporaries of files named like ``pattern`` whose processes are gone; what cannot be removed stays."""
    for entry in directory.glob(f".{pattern}.*.*"):
        host, _, pid = entry.name.removeprefix(".").partition(".h5.")[2].rpartition(".")
        if not pid.isdecimal():
            continue
        with contextlib.suppress(OSError):
            changed = entry.stat().st_mtime
            here = host == socket.gethostname()
            in_use = process_alive(int(pid), changed) if here else time.time() - changed < _FOREIGN_SECONDS
            if not in_use:
                entry.unlink()


def sync_directory(directory: Path) -> None:
    """Makes the names in a directory survive a crash of the machine, on file systems that can do that."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def reserve(descriptor: int, start: int, size: int) -> None:
    """Take the disk space of ``size`` bytes from ``start`` on, before HDF5 wants to write there.

    HDF5 crashes, if only when the process ends, where it cannot write a new chunk or its index (a full disk or quota;
    seen with 2.0); a system call that cannot have the space is a plain error.

    Raises:
        OSError: there is no space.  File systems that cannot reserve any count as if they had.
    """
    try:
        os.posix_fallocate(descriptor, start, size)
    except OSError as error:
        if error.errno not in _NO_RESERVING:
            raise


# Processes ------------------------------------------------------------------------------------------------------------


def process_alive(pid: int, since: float) -> bool:
    """True where the process that had this number at a moment still exists; a later one with the number is not it.

    Args:
        pid: its number.
        since: a moment at which it ran, in seconds of Unix time.
    """
    if not 0 < pid < 2**31:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it exists and is another user's
    fields = _process_fields(pid)
    if fields and fields[0] in _OVER:
        return False
    started = _process_start(fields)
    return started is None or started <= since + _CLOCK_SLACK


def _process_fields(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the state on; empty where there are none."""
    try:
        # The command's name before the state is in brackets, and may contain anything.
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _process_start(fields: list[str]) -> float | None:
    """The time at which a process began (seconds of Unix time); None where the system does not tell."""
    try:
        boot = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime"))
        return float(boot.split()[1]) + float(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, StopIteration):
        return None


# The lock of a directory ----------------------------------------------------------------------------------------------


@contextmanager
def locked(directory: str | os.PathLike[str]) -> Iterator[str]:
    """Holds the lock on a run's directory, which is made if missing, until the context is left or the process ends.

    A context manager; its value is a warning in one line where the file system has no locks (some network file
    systems), else empty.  On leaving, the lock file goes, and the directory too if it was made here and is empty.

    Raises:
        InputError: another run holds the lock, or ``directory`` is a file.
        StorageError: the lock file cannot be made.
    """
    path = Path(directory) / LOCK_FILE
    try:
        made = _made(path.parent)
        descriptor, warning = _acquired(path)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {reason(error)}") from error
    try:
        yield warning
    finally:
        # While it is still locked, so that nobody locks a file that is about to lose its name.
        with contextlib.suppress(OSError):
            path.unlink()
        os.close(descriptor)
        if made:
            with contextlib.suppress(OSError):
                path.parent.rmdir()


def _made(directory: Path) -> bool:
    """Make the directory; True where it was missing."""
    try:
        directory.mkdir(parents=True)
    except FileExistsError:
        if not directory.is_dir():
            raise InputError(f"{directory} cannot hold a run: choose another --output") from None
        return False
    return True


def _acquired(path: Path) -> tuple[int, str]:
    """The descriptor that holds the lock, and a warning where there is none to hold."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            warning = _lock(descriptor, path)
            if warning or _still_named(descriptor, path):
                _write_holder(descriptor)
                return descriptor, warning
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # the holder before us has removed the file between our two calls: try its successor


def _lock(descriptor: int, path: Path) -> str:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            raise _in_use(path.parent, _holder(descriptor)) from None
        if error.errno not in _UNSUPPORTED:
            raise
        return _without_lock(descriptor, path, error)
    return ""


def _without_lock(descriptor: int, path: Path, error: OSError) -> str:
    """The warning where locks do not work; the name in the file still tells of a run on the same host."""
    holder = _holder(descriptor)
    if holder is not None:
        host, pid = holder
        changed = path.stat().st_mtime
        if host == socket.gethostname() and pid != os.getpid() and process_alive(pid, changed):
            raise _in_use(path.parent, holder)
    return f"{path.parent} cannot be locked ({reason(error)}): make sure that no other run writes there"


def _in_use(directory: Path, holder: tuple[str, int] | None) -> InputError:
    who = "another process" if holder is None else f"process {holder[1]} on {holder[0]}"
    return InputError(f"{directory} is in use by {who}: wait until that run ends, stop it, or choose another --output")


def _holder(descriptor: int) -> tuple[str, int] | None:
    """Host and pid in the lock file; None while they are not written yet."""
    try:
        host, pid, *_ = os.pread(descriptor, 1024, 0).decode(errors="replace").split()
        return host, int(pid)
    except ValueError:
        return None


def _write_holder(descriptor: int) -> None:
    moment = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{socket.gethostname()} {os.getpid()} {moment}\n".encode(), 0)


def _still_named(descriptor: int, path: Path) -> bool:
    """True where the open file is the one that has the name now."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
