"""Reading ``run.h5``, of a run that is over, still going on, or was killed.  No MPI, no plotting."""

from __future__ import annotations

import os
import socket
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from pvmc.errors import InputError, StorageError
from pvmc.io.schema import FILE_NAME, ITERATION, SCHEMA_VERSION, SERIES
from pvmc.io.storage import reason

_QUIET_SECONDS = 300.0
_QUIET_ITERATIONS = 10
_CLOCK_SLACK = 60.0


@dataclass(frozen=True)
class Run:
    """What a run has written up to the moment of reading.

    Attributes:
        path: the results file.
        attributes: root attributes of the file (see docs/hdf5.md).
        series: name -> (n,) array, one entry per SR iteration, all of equal length; energies are totals.
        reference_energy: exact total energy in ``energy_units``; None when unknown.
        reference_method: where the reference comes from.
        message: why the run stopped or failed; else empty.
        ended: when it ended (ISO 8601, UTC); empty for one that had not.
    """

    path: Path
    attributes: dict[str, str | int]
    series: dict[str, NDArray[Any]]
    reference_energy: float | None
    reference_method: str
    message: str
    ended: str

    @property
    def name(self) -> str:
        """The run's directory name; the file's own where it has been renamed."""
        return self.path.resolve().parent.name if self.path.name == FILE_NAME else self.path.stem

    @property
    def n_sites(self) -> int:
        return int(self.attributes["n_sites"])

    @property
    def energy_units(self) -> str:
        return str(self.attributes["energy_units"])

    @property
    def config_text(self) -> str:
        """The whole input as it was used (TOML)."""
        return str(self.attributes["config"])

    @property
    def config(self) -> dict[str, Any]:
        """The input as nested dictionaries."""
        return tomllib.loads(self.config_text)

    @property
    def iteration(self) -> NDArray[np.int64]:
        return self.series[ITERATION.name]

    @property
    def energy_per_site(self) -> NDArray[np.float64]:
        return self.series["energy"] / self.n_sites

    @property
    def energy_error_per_site(self) -> NDArray[np.float64]:
        return self.series["energy_error"] / self.n_sites

    @property
    def reference_energy_per_site(self) -> float | None:
        return None if self.reference_energy is None else self.reference_energy / self.n_sites

    def saved_iterations(self) -> NDArray[np.int64]:
        """Iterations after which the parameters were saved, (n_saved,)."""
        with _opened(self.path) as file:
            return _saved_iterations(file)

    def parameters(self, iteration: int = -1) -> NDArray[Any]:
        """The flat parameter vector (K,), float64 or complex128, as saved after ``iteration`` (-1: the last saved).

        Raises:
            InputError: nothing was saved then.
        """
        with _opened(self.path) as file:
            saved = _saved_iterations(file)
            if not saved.size:
                raise InputError(f"{self.path} holds no saved parameters yet")
            rows = np.flatnonzero(saved == (saved[-1] if iteration == -1 else iteration))
            if not rows.size:
                raise InputError(f"{self.path} has no parameters of iteration {iteration}; saved are {_listed(saved)}")
            theta: NDArray[Any] = file["parameters/theta"][rows[-1]]
            return theta

    def parameter_blocks(self) -> dict[str, tuple[slice, tuple[int, ...]]]:
        """The named parts of the flat vector: name -> (slice, shape)."""
        with _opened(self.path) as file:
            attributes = dict(file["parameters/theta"].attrs)
        return {
            str(name): (slice(*attributes[f"{name}_slice"].tolist()), tuple(attributes[f"{name}_shape"].tolist()))
            for name in attributes["block_names"]
        }

    def status(self) -> str:
        """How the run is doing now: "running", "finished", "stopped", "failed" or "dead".

        Dead is a run that says running, but whose process is gone.  On this host the process is looked up; on
        another one, the run counts as dead when the file has not changed for 5 minutes and 10 of its iterations.
        """
        alive = self._alive()
        # Read after the look-up: a run that ended in between has said so in the file.
        with _opened(self.path) as file:
            stored = _text(file["state/status"][()])
        return stored if stored != "running" or alive else "dead"

    def _alive(self) -> bool:
        if self.attributes["host"] == socket.gethostname():
            return _process_alive(int(self.attributes["pid"]), str(self.attributes["created"]))
        seconds = self.series["seconds"]
        longest = float(np.nanmax(seconds)) if np.isfinite(seconds).any() else 0.0
        quiet = time.time() - self.path.stat().st_mtime
        return quiet < max(_QUIET_SECONDS, _QUIET_ITERATIONS * longest)


def open_run(path: str | os.PathLike[str]) -> Run:
    """Reads the results of a run; one that is still being written, or was killed, up to its last complete row.

    Args:
        path: the run's directory or its .h5 file.

    Raises:
        InputError: no such file, not a file of pvmc, or one of a newer version.
        StorageError: the file is there but cannot be read.
    """
    location = Path(path)
    file_path = location / FILE_NAME if location.is_dir() else location
    with _opened(file_path) as file:
        _require_ours(file, file_path)
        reference = file["reference"].attrs
        energy = reference.get("energy")
        return Run(
            path=file_path,
            attributes={name: _plain(value) for name, value in file.attrs.items()},
            series=_read_series(file),
            reference_energy=None if energy is None else float(energy),
            reference_method=str(reference.get("method", "")),
            message=_text(file["state/message"][()]),
            ended=_text(file["state/ended"][()]),
        )


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    """The file, open for reading; errors of the file system and of HDF5 in one line."""
    if not path.exists():
        raise InputError(f"{path} does not exist")
    try:
        if not h5py.is_hdf5(path):
            with path.open("rb"):  # not HDF5, or not readable?
                raise InputError(f"{path} is not a results file of pvmc")
        with _open_hdf5(path) as file:
            yield file
    except KeyError as error:
        raise StorageError(f"{path} is damaged: {error.args[0]}") from error
    except (OSError, RuntimeError) as error:
        raise StorageError(f"cannot read {path}: {reason(error)}") from error


def _open_hdf5(path: Path) -> h5py.File:
    # A growing or killed file opens only in SWMR mode, which skips HDF5's check for a file that is cut short (an
    # incomplete copy) and may read zeros from it: so that mode is for those files alone.
    return h5py.File(path, "r", swmr=_marked_as_being_written(path), locking="best-effort")


def _marked_as_being_written(path: Path) -> bool:
    """Whether the HDF5 superblock (format version 2 or 3) says that a writer has not closed the file."""
    with path.open("rb") as file:
        superblock = file.read(12)
    version, flags = superblock[8], superblock[11]
    return version >= 2 and flags != 0


def _require_ours(file: h5py.File, path: Path) -> None:
    version = file.attrs.get("schema_version")
    if "pvmc_version" not in file.attrs or not isinstance(version, np.integer):
        raise InputError(f"{path} is not a results file of pvmc")
    if version > SCHEMA_VERSION:
        raise InputError(
            f"{path} has layout {version}, written by pvmc {file.attrs['pvmc_version']}; "
            f"this version reads layouts up to {SCHEMA_VERSION}: update pvmc"
        )


def _read_series(file: h5py.File) -> dict[str, NDArray[Any]]:
    """All series, cut to the rows that are complete."""
    # The count before the rows: of a growing file, later reads can only hold more.
    done = int(file["state/iterations_done"][()])
    group = file["series"]
    names = [quantity.name for quantity in (ITERATION, *SERIES) if quantity.name in group]
    rows = min([done, *(group[name].shape[0] for name in names)])
    series = {name: group[name][:rows] for name in names}
    if (np.diff(series[ITERATION.name]) <= 0).any():
        raise StorageError(f"{file.filename} is damaged: its iterations are out of order (an incomplete copy?)")
    return series


def _saved_iterations(file: h5py.File) -> NDArray[np.int64]:
    saved: NDArray[np.int64] = file["parameters/iteration"][:]
    return saved[saved >= 0]  # a kill can leave a last row that was made but still holds the fill value, -1


def _process_alive(pid: int, created: str) -> bool:
    """Whether the process that created the file is still there; a later one with the same number is not it."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it exists and is another user's
    started = _process_start(pid)
    return started is None or started <= datetime.fromisoformat(created).timestamp() + _CLOCK_SLACK


def _process_start(pid: int) -> float | None:
    """When a process began (seconds of Unix time); None where the system does not tell."""
    try:
        # Fields after the command's name, which is in brackets and may contain anything; the start is field 22.
        ticks = float(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
        boot = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime"))
        return float(boot.split()[1]) + ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, StopIteration):
        return None


def _plain(value: Any) -> str | int:
    return int(value) if isinstance(value, np.integer) else _text(value)


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _listed(saved: NDArray[np.int64]) -> str:
    shown = [str(iteration) for iteration in saved]
    return ", ".join(shown if len(shown) <= 8 else [*shown[:3], "...", *shown[-3:]])
