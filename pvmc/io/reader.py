"""Reading ``run.h5``, of a run that is over, still going on, or was killed.  No MPI, no plotting."""

from __future__ import annotations

import os
import socket
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from pvmc.errors import InputError, StorageError
from pvmc.io.checkpoint import CheckpointFile, list_checkpoints
from pvmc.io.hdf5 import read_hdf5
from pvmc.io.layout import REDRAWN, RETRIED, Session, StartTrial, launches_of, stored_blocks
from pvmc.io.measurement import Measurement, read_measurements
from pvmc.io.schema import FILE_NAME, ITERATION, ROOT_ATTRIBUTES, SCHEMA_VERSION, SERIES, SESSIONS, STARTS
from pvmc.io.storage import process_alive
from pvmc.statistics.thresholds import QUIET_ITERATIONS, QUIET_SECONDS, error_scale

RESULTS = "a results file of pvmc"
"""Name of the kind of file, in messages."""

_NEEDED = {"pvmc_version", "created", "config", "host", "pid", "ranks", "n_sites", "n_parameters", "n_iterations"}
_NEEDED |= {"energy_units"}


@dataclass(frozen=True)
class Run:
    """The results of a run up to the moment of reading.

    Attributes:
        path: the results file.
        attributes: root attributes of the file (see docs/hdf5.md).
        series: name -> (n,) array, one entry per SR iteration, all of equal length; energies are totals.
        reference_energy: exact total energy in ``energy_units``; None when unknown.
        reference_method: where the reference comes from.
        radius: bound on half the width of the spectrum of H, a total energy; 0 in files of versions that had none.
        sector: quantum numbers that the states of the run have; empty where none is fixed, and in files of earlier
            versions.
        product_energy: lower total energy of the states of all spins up and all down, where the run keeps another
            magnetisation that H conserves; else None.
        elsewhere: why the ground state is not among these states, and the key to change; empty where it is, or where
            that is not known.
        message: why the run stopped or failed; else empty.
        ended: when it ended (ISO 8601, UTC); empty for one that had not.
        sessions: the launches of the run, this or the last one last; empty in files of versions that had none.
        trials: the seeds that a run of several starts tries, and how far it is; empty for a run of one.
    """

    path: Path
    attributes: dict[str, str | int]
    series: dict[str, NDArray[Any]]
    reference_energy: float | None
    reference_method: str
    message: str
    ended: str
    sessions: tuple[Session, ...] = ()
    trials: tuple[StartTrial, ...] = ()
    radius: float = 0.0
    sector: str = ""
    product_energy: float | None = None
    elsewhere: str = ""

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
        """The input as nested dictionaries.

        Raises:
            StorageError: the text in the file is not TOML.
        """
        try:
            return tomllib.loads(self.config_text)
        except tomllib.TOMLDecodeError as error:
            raise StorageError(f"{self.path} is damaged: its input is not TOML: {error}") from error

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

    @property
    def error_scale(self) -> float | None:
        """Scale of relative errors of the total energy, :func:`pvmc.statistics.error_scale`; None where no exact
        energy is known, or no scale."""
        return None if self.reference_energy is None else error_scale(self.reference_energy, self.radius) or None

    @property
    def error_scale_per_site(self) -> float | None:
        """The same for errors of the energy per site."""
        return None if self.error_scale is None else self.error_scale / self.n_sites

    @property
    def launches(self) -> tuple[Session, ...]:
        """The sessions, with those of one process, which went back some iterations, as one."""
        return launches_of(self.sessions)

    @property
    def retries(self) -> int:
        """Number of times that the run went back after a numerical failure; 0 in files of versions that did not say."""
        return sum(session.outcome == RETRIED for session in self.sessions)

    @property
    def draw(self) -> int:
        """Number of the draw that the first parameters are of; 0 for the first one."""
        draws = [session.outcome.split() for session in self.sessions if session.outcome.startswith(REDRAWN)]
        return int(draws[-1][1]) if draws else 0

    def saved_iterations(self) -> NDArray[np.int64]:
        """Iterations after which the parameters were saved, (n_saved,)."""
        return read_hdf5(self.path, _saved_iterations, RESULTS)

    def parameters(self, iteration: int = -1) -> NDArray[Any]:
        """The flat parameter vector (K,), float64 or complex128, as saved after ``iteration`` (-1: the last saved).

        Raises:
            InputError: nothing was saved then.
        """

        def read(file: h5py.File) -> NDArray[Any]:
            saved = _saved_iterations(file)
            if not saved.size:
                raise InputError(f"{self.path} holds no saved parameters yet")
            rows = np.flatnonzero(saved == (saved[-1] if iteration == -1 else iteration))
            if not rows.size:
                raise InputError(f"{self.path} has no parameters of iteration {iteration}; saved are {_listed(saved)}")
            theta: NDArray[Any] = file["parameters/theta"][rows[-1]]
            return theta

        return read_hdf5(self.path, read, RESULTS)

    def parameter_blocks(self) -> dict[str, tuple[slice, tuple[int, ...]]]:
        """The named parts of the flat vector: name -> (slice, shape)."""
        return read_hdf5(self.path, lambda file: stored_blocks(file["parameters/theta"]), RESULTS)

    def parameter_dtype(self) -> np.dtype[Any]:
        """Type of the parameters, float64 or complex128."""
        return read_hdf5(self.path, lambda file: np.dtype(file["parameters/theta"].dtype), RESULTS)

    @property
    def measurements(self) -> list[Measurement]:
        """The results of ``pvmc measure`` at parameters of this run, by number; read from the file at each access."""
        return read_measurements(self.path, RESULTS)

    def last_checkpoint(self) -> CheckpointFile | None:
        """The newest checkpoint beside the results, by its name (it is not opened); None where there is none.

        Raises:
            StorageError: the directory cannot be read.
        """
        found = list_checkpoints(self.path.parent)
        return found[0] if found else None

    def status(self) -> str:
        """The status of the run now: "running", "finished", "stopped", "failed" or "dead".

        Dead is a run that says running, but whose process is gone.  On this host the process is looked up; on
        another one, the run counts as dead when the file has not changed for 5 minutes and 10 of its iterations.
        """
        alive = self._alive()
        # Read after the look-up: a run that ended in between has said so in the file.
        stored = read_hdf5(self.path, lambda file: _text(file["state/status"][()]), RESULTS)
        return stored if stored != "running" or alive else "dead"

    def _alive(self) -> bool:
        if self.attributes["host"] == socket.gethostname():
            started = self.sessions[-1].started if self.sessions else str(self.attributes["created"])
            return process_alive(int(self.attributes["pid"]), _seconds(started))
        seconds = self.series["seconds"]
        longest = float(np.nanmax(seconds)) if np.isfinite(seconds).any() else 0.0
        quiet = time.time() - self.path.stat().st_mtime
        return quiet < max(QUIET_SECONDS, QUIET_ITERATIONS * longest)


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
    return read_hdf5(file_path, lambda file: _run(file, file_path), RESULTS)


def _run(file: h5py.File, path: Path) -> Run:
    _require_ours(file, path)
    attributes = _attributes(file)
    if not all(isinstance(file[name], h5py.Group) for name in ("reference", "series", "state")):
        raise ValueError("a group is something else")
    reference = file["reference"].attrs
    energy = reference.get("energy")
    return Run(
        path=path,
        attributes=attributes,
        series=_read_series(file, path),
        reference_energy=None if energy is None else float(energy),
        reference_method=_text(reference.get("method", "")),
        message=_text(file["state/message"][()]),
        ended=_text(file["state/ended"][()]),
        sessions=_sessions(file),
        trials=_trials(file),
        radius=float(reference.get("radius", 0.0)),
        sector=_text(reference.get("sector", "")),
        product_energy=None if (energy_up := reference.get("product_energy")) is None else float(energy_up),
        elsewhere=_text(reference.get("elsewhere", "")),
    )


def _require_ours(file: h5py.File, path: Path) -> None:
    version = file.attrs.get("schema_version")
    if "pvmc_version" not in file.attrs or not isinstance(version, np.integer):
        raise InputError(f"{path} is not a results file of pvmc")
    if version > SCHEMA_VERSION:
        raise InputError(
            f"{path} has layout {version}, written by pvmc {file.attrs['pvmc_version']}; "
            f"this version reads layouts up to {SCHEMA_VERSION}: update pvmc"
        )


def _attributes(file: h5py.File) -> dict[str, str | int]:
    """Attributes of the root; ValueError unless what this module and its users count on is there."""
    values = dict(file.attrs.items())
    types: dict[type, tuple[type, ...]] = {int: (np.integer,), str: (str, bytes)}
    for needed in ROOT_ATTRIBUTES:
        if needed.name in _NEEDED and not isinstance(values.get(needed.name), types[needed.type]):
            trouble = "of another type" if needed.name in values else "missing"
            raise ValueError(f"attribute {needed.name} is {trouble}")
    if min(values[name] for name in ("n_sites", "n_parameters", "n_iterations", "ranks", "pid")) < 0:
        raise ValueError("an attribute that counts something is negative")
    _seconds(_text(values["created"]))
    return {name: _plain(value) for name, value in values.items()}


def _read_series(file: h5py.File, path: Path) -> dict[str, NDArray[Any]]:
    """All series, cut to the rows that are complete."""
    # The count before the rows: of a growing file, later reads can only hold more.
    done = int(file["state/iterations_done"][()])
    group = file["series"]
    known = [quantity for quantity in (ITERATION, *SERIES) if quantity.name in group]
    for quantity in known:
        if group[quantity.name].ndim != 1 or group[quantity.name].dtype != quantity.dtype:
            raise ValueError(f"series/{quantity.name} is not a column of {quantity.dtype}")
    rows = min([done, *(group[quantity.name].shape[0] for quantity in known)])
    if rows < 0 or not {ITERATION.name, "energy", "seconds"} <= {quantity.name for quantity in known}:
        raise ValueError("its series are not complete")
    series = {quantity.name: group[quantity.name][:rows] for quantity in known}
    if (np.diff(series[ITERATION.name]) <= 0).any():
        raise StorageError(f"{path} is damaged: its iterations are out of order (an incomplete copy?)")
    # What an earlier version did not record counts as not measured.
    return {quantity.name: series.get(quantity.name, np.full(rows, quantity.fill)) for quantity in (ITERATION, *SERIES)}


def _sessions(file: h5py.File) -> tuple[Session, ...]:
    """The launches of the run; none in files of an earlier version."""
    if "sessions" not in file:
        return ()
    columns = [file[f"sessions/{field.name}"][:].tolist() for field in SESSIONS]
    kinds: dict[str, Callable[[Any], Any]] = {"S": _text, "i": int, "f": float}
    rows = [
        Session(**{field.name: kinds[field.dtype[0]](value) for field, value in zip(SESSIONS, row, strict=True)})
        for row in zip(*columns, strict=True)
    ]
    for session in rows:
        _seconds(session.started)
    return tuple(rows)


def _trials(file: h5py.File) -> tuple[StartTrial, ...]:
    """The trials of a run of several starts; none in the file of any other."""
    if "starts" not in file:
        return ()
    # The energies first: a row whose energy is a number is complete, also in what is read after it.
    energies = file["starts/energy"][:].tolist()
    columns = {quantity.name: file[f"starts/{quantity.name}"][:].tolist() for quantity in STARTS} | {"energy": energies}
    kinds: dict[str, Callable[[Any], Any]] = {"int64": int, "float64": float}
    return tuple(
        StartTrial(**{field.name: kinds[field.dtype](value) for field, value in zip(STARTS, row, strict=True)})
        for row in zip(*(columns[quantity.name] for quantity in STARTS), strict=True)
    )


def _saved_iterations(file: h5py.File) -> NDArray[np.int64]:
    saved: NDArray[np.int64] = file["parameters/iteration"][:]
    return saved[saved >= 0]  # a kill can leave a last row that was made but still holds the fill value, -1


def _seconds(moment: str) -> float:
    """An ISO 8601 time in seconds of Unix time; ValueError where it is none."""
    return datetime.fromisoformat(moment).timestamp()


def _plain(value: Any) -> str | int:
    return int(value) if isinstance(value, np.integer) else _text(value)


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _listed(saved: NDArray[np.int64]) -> str:
    shown = [str(iteration) for iteration in saved]
    return ", ".join(shown if len(shown) <= 8 else [*shown[:3], "...", *shown[-3:]])
