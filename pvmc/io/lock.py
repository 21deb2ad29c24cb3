"""One run at a time in a directory: an advisory lock that the system releases when its process is gone.

The lock is on the file ``.lock``, which says who holds it.  A file that a kill leaves behind locks nothing.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pvmc.errors import InputError, StorageError
from pvmc.io.process import process_alive
from pvmc.io.storage import reason

FILE_NAME = ".lock"
"""Name of the lock file in a run's directory."""

_HELD = {errno.EWOULDBLOCK, errno.EACCES}
_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}


@contextmanager
def locked(directory: str | os.PathLike[str]) -> Iterator[str]:
    """Holds the lock on a run's directory, which is made if missing, until the context is left or the process ends.

    A context manager; its value is a warning in one line where the file system has no locks (some network file
    systems), else empty.  On leaving, the lock file goes, and the directory too if it was made here and is empty.

    Raises:
        InputError: another run holds the lock, or ``directory`` is a file.
        StorageError: the lock file cannot be made.
    """
    path = Path(directory) / FILE_NAME
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
    """Makes the directory; whether it was missing."""
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
    """What to say where locks do not work; the name in the file still tells of a run on the same host."""
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
    """Whether the open file is the one that has the name now."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
