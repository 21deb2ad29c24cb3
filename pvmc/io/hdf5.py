"""Reading HDF5 files that may still be growing, were killed, or are damaged: a result or one line, never a hang.

HDF5's own way to read a growing file (SWMR) reads metadata with a wrong checksum again and again, for minutes, in the
hope that the writer completes it; of a damaged file it never will.  So a file that a writer has not closed is shown to
HDF5 with a superblock that says that it has: wrong checksums are then errors at once, and what a writer may be
completing is read again by us, a few times.  The one part of the metadata without a checksum, in which a wrong byte can
make HDF5 loop for ever, is the heap of texts: it is looked through on the way.
"""

from __future__ import annotations

import io
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import h5py

from pvmc.errors import InputError, PvmcError, StorageError
from pvmc.io.storage import reason

T = TypeVar("T")

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_SUPERBLOCK = struct.Struct("<8sBBBBQQQQI")  # versions 2 and 3, with 8-byte addresses
_HEAP = b"GCOL\x01\0\0\0"  # begins a heap; then its size, 8 bytes
_HEAP_OBJECT = struct.Struct("<H6xQ")  # before each object of a heap: number, size
_FLAGS, _LENGTH = 4, 7  # fields of the superblock
_TRIES = 4
_PAUSE = 0.02
_PATIENCE = 2.0


def read_hdf5(path: Path, extract: Callable[[h5py.File], T], what: str) -> T:
    """Read with ``extract`` from an HDF5 file, which another process may be writing in SWMR mode.

    Args:
        path: the file.
        extract: called with the open file, perhaps several times; returns nothing that needs it open.
        what: what the file should be, for messages: "a results file of pvmc".

    Raises:
        InputError: no such file, or not HDF5.
        StorageError: the file cannot be read, or its contents are not what ``extract`` expects.
    """
    end = time.monotonic() + _PATIENCE
    for attempt in range(1, 1000):
        before = _stamp(path)
        try:
            return _read(path, extract, what)
        except StorageError:
            changing = attempt < _TRIES or _stamp(path) != before
            if not _is_open_for_writing(path) or not changing or time.monotonic() > end:
                raise
        time.sleep(_PAUSE)
    raise StorageError(f"{path} changes too fast to be read")


def _read(path: Path, extract: Callable[[h5py.File], T], what: str) -> T:
    if not path.exists():
        beside = Path("runs") / path
        hint = f", did you mean {beside}?" if not path.is_absolute() and beside.exists() else ""
        raise InputError(f"{path} does not exist{hint}")
    if not path.is_file():
        raise InputError(f"{path} is not {what}")
    try:
        with path.open("rb", buffering=0) as plain:
            contents = _Contents(plain)
            if not contents.is_hdf5():
                raise InputError(f"{path} is not {what}")
            with h5py.File(contents, "r") as file:
                return extract(file)
    except PvmcError:
        raise
    except KeyError as error:
        raise StorageError(f"{path} is damaged: {_line(*error.args[:1])}") from error  # str() would put it in quotes
    except (OSError, RuntimeError) as error:
        raise StorageError(f"cannot read {path}: {reason(error)}") from error
    except (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, MemoryError) as error:
        raise StorageError(f"{path} is damaged: {_line(error)}") from error


def stored_length(path: Path) -> int:
    """Length of a closed file (superblock of version 2 or 3) by its own account; more on the disk is spare.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return int(_SUPERBLOCK.unpack(file.read(_SUPERBLOCK.size))[_LENGTH])


def mark_closed(path: Path) -> None:
    """Makes the superblock of a file that a killed writer left behind say that it was closed; others stay as they are.

    Raises:
        OSError: the file cannot be read or written.
    """
    with path.open("r+b") as file:
        head = file.read(_SUPERBLOCK.size)
        closed = _as_closed(head, os.fstat(file.fileno()).st_size)
        if closed != head:
            file.seek(0)
            file.write(closed)


class _Contents(io.RawIOBase):
    """The bytes of a file, read-only, as h5py takes them; with a superblock as of a file that was closed."""

    def __init__(self, file: io.FileIO):
        self._file = file
        self._head = _as_closed(file.read(_SUPERBLOCK.size), os.fstat(file.fileno()).st_size)

    def is_hdf5(self) -> bool:
        return self._head.startswith(_SIGNATURE)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        start, done = self._file.tell(), 0
        while done < len(view):  # one call of the system may give less
            count = self._file.readinto(view[done:]) or 0
            if not count:
                view[done:] = bytes(len(view) - done)
                break
            done += count
        if bytes(view[: len(_HEAP)]) == _HEAP:
            self._require_sound_heap(start)
        if start < len(self._head):
            part = self._head[start : start + done]
            view[: len(part)] = part
        return done

    def _require_sound_heap(self, start: int) -> None:
        """Raises OSError unless the objects of a heap lie one after the other, as far as it goes."""
        self._file.seek(start + len(_HEAP))
        size = int.from_bytes(self._file.read(8), "little")
        length = os.fstat(self._file.fileno()).st_size - start
        heap = os.pread(self._file.fileno(), min(size, length), start)
        place = len(_HEAP) + 8
        while place + _HEAP_OBJECT.size <= len(heap):
            number, used = _HEAP_OBJECT.unpack_from(heap, place)
            # Number 0 is the room that is left, its header included.
            place += used if number == 0 else _HEAP_OBJECT.size + -(-used // 8) * 8
            if number == 0 and used < _HEAP_OBJECT.size:
                break
        if place > len(heap) or size != len(heap) or len(heap) - place >= _HEAP_OBJECT.size:
            raise OSError(f"the heap of texts at byte {start} is damaged")


def _as_closed(head: bytes, length: int) -> bytes:
    """The superblock with its flags cleared and its length set; unchanged where it is of a closed file, or damaged."""
    if not _flagged(head) or len(head) < _SUPERBLOCK.size:
        return head
    *fields, checksum = _SUPERBLOCK.unpack(head)
    if lookup3(head[:-4]) != checksum:
        return head
    fields[_FLAGS], fields[_LENGTH] = 0, length
    body = _SUPERBLOCK.pack(*fields, 0)[:-4]
    return body + struct.pack("<I", lookup3(body))


def _flagged(head: bytes) -> bool:
    """True where a superblock (version 2 or 3) says that a writer has not closed the file."""
    return len(head) >= 12 and head[8] in (2, 3) and head[11] != 0


def _is_open_for_writing(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return _flagged(file.read(12))
    except OSError:
        return False


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()
    except OSError:
        return ()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _line(error: object = "a name is missing") -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def lookup3(data: bytes) -> int:
    """Bob Jenkins' hash "lookup3" (hashlittle, from 0): the checksum of HDF5's metadata; for short data."""
    a = b = c = (0xDEADBEEF + len(data)) & _MASK
    whole = max(0, (len(data) - 1) // 12 * 12)
    for start in range(0, whole, 12):
        x, y, z = struct.unpack_from("<III", data, start)
        a, b, c = _mixed((a + x) & _MASK, (b + y) & _MASK, (c + z) & _MASK)
    if not data:
        return c
    x, y, z = struct.unpack("<III", data[whole:].ljust(12, b"\0"))
    return _final((a + x) & _MASK, (b + y) & _MASK, (c + z) & _MASK)


_MASK = 0xFFFFFFFF


def _rotated(value: int, bits: int) -> int:
    return (value << bits | value >> (32 - bits)) & _MASK


def _mixed(a: int, b: int, c: int) -> tuple[int, int, int]:
    for bits in (4, 6, 8, 16, 19, 4):
        a = (a - c & _MASK) ^ _rotated(c, bits)
        c = (c + b) & _MASK
        a, b, c = b, c, a
    return a, b, c


def _final(a: int, b: int, c: int) -> int:
    for bits in (14, 11, 25, 16, 4, 14, 24):
        c = ((c ^ b) - _rotated(b, bits)) & _MASK
        a, b, c = b, c, a
    return b
