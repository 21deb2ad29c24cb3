"""Rows of ``/sessions`` and ``/starts``, and an empty ``run.h5``: all that has to be there before the file grows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import h5py
import numpy as np
from numpy.typing import DTypeLike

from pvmc.io.measurement import Measurement, store_measurements
from pvmc.io.schema import (
    FILE_NAME,
    ITERATION,
    ROOT_ATTRIBUTES,
    SERIES,
    SERIES_CHUNK,
    SESSIONS,
    STARTS,
    STATE,
    THETA_CHUNK_BYTES,
    Quantity,
)

_INDICES_BYTES, _INDEX_BYTES = 1 << 16, 64
"""Bytes of HDF5's indices of chunks: to begin with, and for each chunk."""

ParameterBlocks = Mapping[str, tuple[slice, tuple[int, ...]]]
"""Named parts of the flat parameter vector: name -> (slice, shape)."""

_SEAM = 10.0
"""Largest gap in seconds between two sessions of one process: the file is laid out anew in between."""

RETRIED = "retried"
"""Outcome of a session that ended with a numerical failure: the run went back some iterations and tried again."""

REDRAWN = "redrawn"
"""Begin of the outcome of a session whose first parameters were bad; the number of the next draw follows."""


@dataclass(frozen=True)
class Session:
    """A row of ``/sessions`` (the meaning of each is in :data:`pvmc.io.schema.SESSIONS`)."""

    started: str
    first_iteration: int
    ranks: int
    threads: int
    host: str
    pid: int
    seconds: float = 0.0
    outcome: str = "running"

    @property
    def core_seconds(self) -> float:
        """Wall time, times the cores that were held."""
        return self.seconds * self.ranks * self.threads

    def over(self) -> Session:
        """The session as its successor sees it: one that did not say how it ended was killed."""
        return replace(self, outcome="killed") if self.outcome == "running" else self

    def continues(self, former: Session) -> bool:
        """True where it is of the same process as the one before it: a run that went back a few iterations has two."""
        same = (self.host, self.pid, self.ranks) == (former.host, former.pid, former.ranks)
        gap = (datetime.fromisoformat(self.started) - datetime.fromisoformat(former.started)).total_seconds()
        return same and abs(gap - former.seconds) < _SEAM


def launches_of(sessions: Iterable[Session]) -> tuple[Session, ...]:
    """The launches of a run, oldest first: sessions of one process, which went back some iterations, are one."""
    launches: list[Session] = []
    last: Session | None = None
    for session in sessions:
        if last is not None and session.continues(last):
            launches[-1] = replace(
                launches[-1], seconds=launches[-1].seconds + session.seconds, outcome=session.outcome
            )
        else:
            launches.append(session)
        last = session
    return tuple(launches)


@dataclass(frozen=True)
class StartTrial:
    """A row of ``/starts`` (the meaning of each is in :data:`pvmc.io.schema.STARTS`)."""

    seed: int
    iterations: int = 0
    energy: float = math.nan
    energy_error: float = math.nan

    @property
    def over(self) -> bool:
        """True where its energy is known, if only as infinite."""
        return not math.isnan(self.energy)

    @property
    def bad(self) -> bool:
        """True where it ended with a numerical failure."""
        return self.energy == math.inf

    def per_site(self, n_sites: int) -> StartTrial:
        """The same with energies per site."""
        return replace(self, energy=self.energy / n_sites, energy_error=self.energy_error / n_sites)

    def describe(self) -> str:
        """Its seed, energy and error in words."""
        return f"seed {self.seed} " + ("bad" if self.bad else f"{self.energy:.8g} +-{self.energy_error:.1e}")

    def again(self) -> StartTrial:
        """The trial as a run that goes on sees it: one that is not over begins anew."""
        return self if self.over else StartTrial(self.seed)


def best_trial(trials: Sequence[StartTrial]) -> StartTrial | None:
    """The trial of lowest energy, the first of several; None before all are over, and where all went bad."""
    if not trials or not all(trial.over for trial in trials):
        return None
    best = min(trials, key=lambda trial: trial.energy)
    return None if best.bad else best


# The file -------------------------------------------------------------------------------------------------------------


def laid_out(
    attributes: Mapping[str, str | int],
    blocks: ParameterBlocks,
    dtype: np.dtype[Any],
    reference: Mapping[str, float | str],
    sessions: Sequence[Session],
    trials: Sequence[StartTrial] = (),
    measurements: Sequence[Measurement] = (),
) -> bytes:
    """The bytes of a results file without rows.

    Args:
        attributes: all root attributes of the schema.
        blocks: named parts of the parameters.
        dtype: type of the parameters, float64 or complex128.
        reference: attributes of ``/reference``.
        sessions: the launches of the run so far, this one last.
        trials: of a run of several starts, those over and those to come.
        measurements: those that are kept of the run's earlier file.

    Raises:
        ValueError: another type of parameters.

    It is made in memory: HDF5 crashes where it cannot write the first pieces of a file (a full disk or quota), while
    plain bytes are written with a plain error.
    """
    with h5py.File(FILE_NAME, "w", libver="latest", driver="core", backing_store=False) as file:
        file.attrs.update(attributes)
        _create_series(file.create_group("series"), str(attributes["energy_units"]))
        _create_parameters(file.create_group("parameters"), blocks, dtype, int(attributes["n_parameters"]))
        _create_state(file.create_group("state"))
        _create_sessions(file.create_group("sessions"), sessions)
        if trials:
            _create_starts(file.create_group("starts"), trials, str(attributes["energy_units"]))
        file.create_group("reference").attrs.update(reference)
        if measurements:
            store_measurements(file, measurements)
        file.flush()
        return bytes(file.id.get_file_image())


def space(rows: int, saved: int, n_parameters: int, dtype: np.dtype[Any]) -> int:
    """Bytes that so many rows and saved parameters add to an empty file, at most (its indices of chunks included)."""
    per_chunk = _theta_rows(n_parameters, dtype)
    columns = -(-rows // SERIES_CHUNK) * (len(SERIES) + 1) * (8 * SERIES_CHUNK + _INDEX_BYTES)
    saved_rows = -(-saved // SERIES_CHUNK) * (8 * SERIES_CHUNK + _INDEX_BYTES)
    vectors = -(-saved // per_chunk) * (per_chunk * n_parameters * dtype.itemsize + _INDEX_BYTES)
    return _INDICES_BYTES + columns + saved_rows + vectors


def _theta_rows(n_parameters: int, dtype: np.dtype[Any]) -> int:
    """Saved vectors in a chunk."""
    return max(1, THETA_CHUNK_BYTES // max(1, n_parameters * dtype.itemsize))


def _create_series(group: h5py.Group, energy_units: str) -> None:
    scale = _growing(group, ITERATION, energy_units)
    scale.make_scale(ITERATION.name)
    for quantity in SERIES:
        axis = _growing(group, quantity, energy_units).dims[0]
        axis.label = ITERATION.name
        axis.attach_scale(scale)


def _create_parameters(group: h5py.Group, blocks: ParameterBlocks, dtype: np.dtype[Any], n_parameters: int) -> None:
    if dtype not in (np.dtype(np.float64), np.dtype(np.complex128)):
        raise ValueError(f"parameters of type {dtype}, expected float64 or complex128")
    saved = _growing(group, ITERATION, "")
    saved.attrs["description"] = "SR iteration after which the row of theta was saved"
    position = group.create_dataset("parameter", data=np.arange(n_parameters))
    position.attrs.update(units="1", description="position in the flat parameter vector")
    chunk = (_theta_rows(n_parameters, dtype), n_parameters)
    theta = group.create_dataset("theta", (0, n_parameters), dtype, maxshape=(None, n_parameters), chunks=chunk)
    theta.attrs.update(units="1", description="flat vector of the variational parameters")
    for axis, scale, label in zip(theta.dims, (saved, position), ("iteration", "parameter"), strict=True):
        scale.make_scale(label)  # an axis has the name of its scale to the libraries of netCDF
        axis.label = label
        axis.attach_scale(scale)
    store_blocks(theta, blocks)


def store_blocks(theta: h5py.Dataset, blocks: ParameterBlocks) -> None:
    """Write the named parts of the parameters as attributes of their dataset."""
    theta.attrs["block_names"] = list(blocks)
    for name, (part, shape) in blocks.items():
        theta.attrs[f"{name}_slice"] = np.array([part.start, part.stop], dtype=np.int64)
        theta.attrs[f"{name}_shape"] = np.array(shape, dtype=np.int64)


def _create_state(group: h5py.Group) -> None:
    initial = {"status": b"running", "message": b"", "ended": b"", "iterations_done": 0}
    for field in STATE:
        # With its value, so that its place in the file is given: in SWMR mode only the content may change.
        dataset = group.create_dataset(field.name, (), _storage_dtype(field.dtype), data=initial[field.name])
        dataset.attrs["description"] = field.description


def _create_sessions(group: h5py.Group, sessions: Sequence[Session]) -> None:
    scale = _numbers(group, "session", len(sessions), "number of the launch of the run, from 0")
    for field in SESSIONS:
        values = [getattr(session, field.name) for session in sessions]
        kind = _storage_dtype(field.dtype)
        rows = np.array([stored(value, field.dtype) for value in values], dtype=kind)
        dataset = group.create_dataset(field.name, data=rows, dtype=kind)
        dataset.attrs["description"] = field.description
        _attach(dataset, scale, "session")


def _create_starts(group: h5py.Group, trials: Sequence[StartTrial], energy_units: str) -> None:
    scale = _numbers(group, "start", len(trials), "number of the trial, from 0")
    for quantity in STARTS:
        values = [getattr(trial, quantity.name) for trial in trials]
        # With its values, so that their place in the file is given, as in /state.
        dataset = group.create_dataset(quantity.name, data=np.array(values, dtype=quantity.dtype))
        dataset.attrs.update(units=quantity.units_in(energy_units), description=quantity.description)
        _attach(dataset, scale, "start")


def _numbers(group: h5py.Group, name: str, count: int, description: str) -> h5py.Dataset:
    """A dimension scale 0, 1, ..., without which xarray has no name for an axis."""
    scale = group.create_dataset(name, data=np.arange(count))
    scale.attrs.update(units="1", description=description)
    scale.make_scale(name)
    return scale


def _attach(dataset: h5py.Dataset, scale: h5py.Dataset, label: str) -> None:
    dataset.dims[0].label = label
    dataset.dims[0].attach_scale(scale)


def _growing(group: h5py.Group, quantity: Quantity, energy_units: str) -> h5py.Dataset:
    """A new dataset (0,) that grows along its axis."""
    dataset = group.create_dataset(
        quantity.name, (0,), quantity.dtype, maxshape=(None,), chunks=(SERIES_CHUNK,), fillvalue=quantity.fill
    )
    dataset.attrs.update(units=quantity.units_in(energy_units), description=quantity.description)
    return dataset


def _storage_dtype(name: str) -> DTypeLike:
    return h5py.string_dtype("utf-8", int(name[1:])) if name.startswith("S") else name


def stored(value: str | float, dtype: str) -> bytes | float:
    """A value of ``/state`` or ``/sessions`` as the file takes it: text as UTF-8, cut at a whole character."""
    if not isinstance(value, str):
        return value
    return value.encode(errors="replace")[: int(dtype[1:])].decode(errors="ignore").encode()


def require_schema(attributes: Mapping[str, str | int]) -> None:
    """Raises ValueError unless exactly the attributes of the schema are there, each of its type."""
    types = {attribute.name: attribute.type for attribute in ROOT_ATTRIBUTES}
    if missing := sorted(types.keys() - attributes.keys()):
        raise ValueError(f"attributes missing: {', '.join(missing)}")
    if unknown := sorted(attributes.keys() - types.keys()):
        raise ValueError(f"attributes that are not in the schema: {', '.join(unknown)}")
    for name, value in attributes.items():
        if not isinstance(value, types[name] if types[name] is str else (int, np.integer)):
            raise ValueError(f"attribute {name} = {value!r}, expected {types[name].__name__}")


def stored_blocks(theta: h5py.Dataset) -> dict[str, tuple[slice, tuple[int, ...]]]:
    """The named parts of the parameters, from the attributes of their dataset."""
    return {
        str(name): (slice(*theta.attrs[f"{name}_slice"].tolist()), tuple(theta.attrs[f"{name}_shape"].tolist()))
        for name in theta.attrs["block_names"]
    }
