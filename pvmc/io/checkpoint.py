"""Checkpoints: all that the next iteration needs, in files that are whole or refused.

A checkpoint is an HDF5 file with a text header (HDF5's "user block") that holds a digest of all that follows.  HDF5 can
crash on damaged files, so the digest is compared before HDF5 sees a byte.  Layout: :mod:`pvmc.io.schema`.
Nothing here knows of MPI: rank 0 writes and reads.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import h5py
import numpy as np
from numpy.typing import NDArray

from pvmc.errors import StorageError
from pvmc.io.schema import CHECKPOINT_HEADER, CHECKPOINT_LAYOUT
from pvmc.io.storage import reason, remove_leftovers, sync_directory, temporary_path

KEPT = 2
"""Checkpoints that are kept: the last one, and one before it should the last be damaged."""

LASTING, RECENT = "checkpoint", "recent"
"""Beginnings of the names of checkpoints that are forced to the disk, and of one that is left to the system to write:
it survives the end of the process, however sudden, but not that of the machine."""

_MAGIC = b"pvmc checkpoint\n"
_HEADER = re.compile(rb"(pvmc checkpoint\nlayout (\d{1,9})\nlength (\d{1,18})\n)blake2b ([0-9a-f]{64})\n *\Z")
_NAME = re.compile(rf"({LASTING}|{RECENT})-(\d{{8,}})\.h5\Z")
_OWN = ("iteration", "checkpoint_layout")
_GROWTH = 1 << 20


Part: TypeAlias = "Mapping[str, NDArray[Any] | Part]"
"""The saved state of one part of a run: arrays of numbers by name, and parts within it; an HDF5 group."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """All that the next iteration needs.

    Attributes:
        iteration: number of the next iteration.
        theta: parameters, (K,), float64 or complex128, finite.
        spins: walkers of all ranks in the order of their blocks, int8 (n_blocks, N, lanes), +-1.
        parts: saved states of the parts of a run or a measurement, by their names; each part writes and reads its own.
        config: the whole input of the run (TOML).
        attributes: seed, versions, machine and the like.
    """

    iteration: int
    theta: NDArray[Any]
    spins: NDArray[np.int8]
    parts: Mapping[str, Part] = field(default_factory=dict)
    config: str = ""
    attributes: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True)
class CheckpointFile:
    """A checkpoint as its directory shows it.

    Attributes:
        path: the file.
        iteration: number of the next iteration, by the file's name.
        written: when it was written, UTC.
        lasting: whether it was forced to the disk.
    """

    path: Path
    iteration: int
    written: datetime
    lasting: bool = True


def write_checkpoint(directory: str | os.PathLike[str], checkpoint: Checkpoint, lasting: bool = True) -> Path:
    """Writes ``checkpoint-<iteration>.h5``, whole or not at all, and returns its path once it is safe on the disk.

    Then the older ones go, except the last; and those of later iterations, which the run has not reached any more.
    Not ``lasting``, it is ``recent-<iteration>.h5``, not forced to the disk: a tenth of the time, and safe if this
    process is killed.  One of them is kept, and none that is older than a lasting one.

    Raises:
        StorageError: the file cannot be written (a full disk, say); the checkpoints before it are as they were.
        ValueError: ``checkpoint`` is not what its class says.
    """
    if trouble := _trouble(checkpoint):
        raise ValueError(f"not a checkpoint: {trouble}")
    path = Path(directory) / f"{LASTING if lasting else RECENT}-{checkpoint.iteration:08d}.h5"
    temporary = temporary_path(path)
    image = _image(checkpoint)
    try:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if lasting:
                for name in (LASTING, RECENT):
                    remove_leftovers(path.parent, f"{name}-*.h5")
            _write(temporary, image, lasting)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        if lasting:
            sync_directory(path.parent)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {reason(error)}") from error
    _prune(path.parent, checkpoint.iteration)
    return path


def read_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """A checkpoint, checked as a whole.

    Raises:
        StorageError: no such file, cut short, damaged, not a checkpoint, or of a newer version; says which.
    """
    location = Path(path)
    try:
        if not location.is_file():
            raise StorageError(f"{location} {'is not a file' if location.exists() else 'does not exist'}")
        content = location.read_bytes()
    except OSError as error:
        raise StorageError(f"cannot read {location}: {reason(error)}") from error
    if trouble := _damage(content):
        raise StorageError(f"{location} {trouble}")
    try:
        checkpoint = _parsed(content)
    except (OSError, RuntimeError, ValueError, TypeError, AttributeError, LookupError, MemoryError) as error:
        raise StorageError(f"{location} is not a checkpoint of pvmc: {reason(error)}") from error
    if trouble := _trouble(checkpoint):
        raise StorageError(f"{location} cannot be used: {trouble}")
    return checkpoint


def latest_checkpoint(directory: str | os.PathLike[str]) -> tuple[Checkpoint | None, list[str]]:
    """The newest good checkpoint of a run, and one line for each newer one that is not good.

    None where there are no checkpoint files at all.

    Raises:
        StorageError: there are files, but none is good; or the directory cannot be read.
    """
    passed_over: list[str] = []
    for file in list_checkpoints(directory):
        try:
            return read_checkpoint(file.path), passed_over
        except StorageError as error:
            passed_over.append(str(error))
    if passed_over:
        raise StorageError(
            f"no checkpoint in {directory} can be used: {'; '.join(passed_over)}; "
            "put back a good one, or start again with --overwrite"
        )
    return None, []


def list_checkpoints(directory: str | os.PathLike[str]) -> list[CheckpointFile]:
    """The checkpoint files of a run, newest first, by their names; none is opened.

    Raises:
        StorageError: the directory cannot be read.
    """
    found = []
    try:
        for entry in Path(directory).iterdir() if Path(directory).is_dir() else ():
            if name := _NAME.match(entry.name):
                with contextlib.suppress(FileNotFoundError):  # an older one, removed by its run just now
                    written = datetime.fromtimestamp(entry.stat().st_mtime, UTC)
                    found.append(CheckpointFile(entry, int(name[2]), written, name[1] == LASTING))
    except OSError as error:
        raise StorageError(f"cannot read {directory}: {reason(error)}") from error
    return sorted(found, key=lambda file: (file.iteration, file.lasting), reverse=True)


def remove_checkpoints(directory: str | os.PathLike[str]) -> None:
    """Removes all checkpoints of a run that is to be overwritten.

    Raises:
        StorageError: one of them cannot be removed.
    """
    for file in list_checkpoints(directory):
        try:
            file.path.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"cannot remove {file.path}: {reason(error)}") from error


def _image(checkpoint: Checkpoint) -> bytes:
    """The bytes of the file.  Made in memory: HDF5 crashes where it cannot write (a full disk), plain bytes do not."""
    with h5py.File(
        "checkpoint", "w", driver="core", backing_store=False, block_size=_GROWTH, userblock_size=CHECKPOINT_HEADER
    ) as file:
        attributes = {**checkpoint.attributes, "iteration": checkpoint.iteration}
        file.attrs.update({**attributes, "checkpoint_layout": CHECKPOINT_LAYOUT})
        file["theta"] = checkpoint.theta
        spins = file.create_dataset("spins", data=checkpoint.spins)
        for axis, label in zip(spins.dims, ("block", "site", "lane"), strict=True):
            axis.label = label
        file["config"] = checkpoint.config
        _write_part(file.create_group("parts"), checkpoint.parts)
        file.flush()
        body = memoryview(file.id.get_file_image())  # without the user block
        return b"".join((_header(body), body))


def _header(body: memoryview) -> bytes:
    text = _MAGIC + f"layout {CHECKPOINT_LAYOUT}\nlength {len(body)}\n".encode()
    return (text + f"blake2b {_digest(text, body)}\n".encode()).ljust(CHECKPOINT_HEADER)


def _digest(*parts: bytes | memoryview) -> str:
    """256 bits, in hexadecimal."""
    total = hashlib.blake2b(digest_size=32)
    for part in parts:
        total.update(part)
    return total.hexdigest()


def _write(path: Path, content: bytes, lasting: bool) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        if lasting:
            os.fsync(file.fileno())


def _prune(directory: Path, newest: int) -> None:
    """Removes what the new checkpoint makes superfluous; what cannot be removed stays, as it does no harm."""
    with contextlib.suppress(OSError, StorageError):
        files = list_checkpoints(directory)
        valid = [file for file in files if file.iteration <= newest]
        lasting = [file for file in valid if file.lasting]
        kept = lasting[:KEPT] + ([] if valid[0].lasting else valid[:1])
        for file in files:
            if file not in kept:
                file.path.unlink(missing_ok=True)


def _damage(content: bytes) -> str:
    """The damage of the bytes of a file, in words, before HDF5 reads them; empty if there is none."""
    if not content.startswith(_MAGIC[: len(content)]) or not content:
        return "is empty" if not content else "is not a checkpoint of pvmc"
    if len(content) < CHECKPOINT_HEADER:
        return f"is cut short: {len(content)} bytes, not even its header of {CHECKPOINT_HEADER}"
    header = _HEADER.match(content[:CHECKPOINT_HEADER])
    if not header:
        return "is damaged: its header is not as it was written"
    length, present = int(header[3]), len(content) - CHECKPOINT_HEADER
    if present < length:
        return f"is cut short: {present} of {length} bytes after the header"
    if present > length:
        return f"is damaged: {present} bytes after the header, {length} were written"
    if _digest(header[1], memoryview(content)[CHECKPOINT_HEADER:]) != header[4].decode():
        return "is damaged: its checksum is wrong"
    if int(header[2]) > CHECKPOINT_LAYOUT:
        return f"has layout {int(header[2])}; this version reads layouts up to {CHECKPOINT_LAYOUT}: update pvmc"
    return ""


def _parsed(content: bytes) -> Checkpoint:
    with h5py.File(io.BytesIO(content), "r") as file:
        attributes = {name: _plain(value) for name, value in file.attrs.items() if name not in _OWN}
        return Checkpoint(
            iteration=int(file.attrs["iteration"]),
            theta=file["theta"][:],
            spins=file["spins"][:],
            parts=_read_part(file["parts"]) if "parts" in file else _parts_of_layout_1(_read_part(file["solver"])),
            config=file["config"].asstr()[()],
            attributes=attributes,
        )


def _write_part(group: h5py.Group, part: Part) -> None:
    for name, values in part.items():
        if isinstance(values, Mapping):
            _write_part(group.create_group(name), values)
        else:
            group[name] = values


def _read_part(group: h5py.Group) -> dict[str, Any]:
    return {name: _read_part(item) if isinstance(item, h5py.Group) else item[()] for name, item in group.items()}


def _parts_of_layout_1(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Part]:
    """The parts of a checkpoint of layout 1, which told the parts apart by the beginnings of the arrays' names."""
    if "retry" not in arrays:
        return {"measurement": arrays} if arrays else {}
    rollback: dict[str, Any] = {name: arrays[name] for name in ("retry", "rejections", "last") if name in arrays}
    if "before_theta" in arrays:
        before = {"theta": arrays["before_theta"], "spins": arrays["before_spins"]}
        rollback["before"] = {**before, "memory": _without("before_memory_", arrays)}
    return {"memory": _without("memory_", arrays), "rollback": rollback}


def _without(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The arrays whose names begin with the prefix, by the rest of their names."""
    return {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}


def _plain(value: Any) -> str | int:
    return int(value) if isinstance(value, np.integer) else str(value)


def _trouble(checkpoint: Checkpoint) -> str:
    """The fault of the contents in words; empty if there is none."""
    theta, spins = checkpoint.theta, checkpoint.spins
    if checkpoint.iteration < 0:
        return f"iteration {checkpoint.iteration}"
    if theta.dtype not in (np.dtype(np.float64), np.dtype(np.complex128)) or theta.ndim != 1 or not theta.size:
        return f"parameters of type {theta.dtype} and shape {theta.shape}, expected (K,) float64 or complex128"
    if not np.isfinite(theta).all():
        return "parameters that are not finite"
    if spins.dtype != np.int8 or spins.ndim != 3 or not spins.size:
        return f"walkers of type {spins.dtype} and shape {spins.shape}, expected (n_blocks, N, lanes) int8"
    if not (np.abs(spins) == 1).all():
        return "walkers with spins other than +-1"
    if trouble := _trouble_of_part("parts", checkpoint.parts):
        return trouble
    if taken := set(_OWN) & set(checkpoint.attributes):
        return f"attributes of its own: {', '.join(sorted(taken))}"
    return ""


def _trouble_of_part(path: str, part: Part) -> str:
    for name, values in part.items():
        if not name.isidentifier():
            return f"an array of {path} named {name!r}"
        if isinstance(values, Mapping):
            if trouble := _trouble_of_part(f"{path}/{name}", values):
                return trouble
        elif not isinstance(values, np.ndarray | np.generic) or values.dtype.kind not in "biufc":
            return f"{path}/{name}, which is no array of numbers"
    return ""
