"""An empty ``run.h5``, as the schema says: all that has to be there before the file grows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from pvmc.io.session import Session
from pvmc.io.trial import Trial

_INDICES_BYTES, _INDEX_BYTES = 1 << 16, 64
"""Of HDF5's indices of chunks: to begin with, and for each chunk."""

ParameterBlocks = Mapping[str, tuple[slice, tuple[int, ...]]]


def laid_out(
    attributes: Mapping[str, str | int],
    blocks: ParameterBlocks,
    dtype: np.dtype[Any],
    reference: Mapping[str, float | str],
    sessions: Sequence[Session],
    trials: Sequence[Trial] = (),
    measurements: Sequence[Measurement] = (),
) -> bytes:
    """The bytes of a results file without rows.

    Args:
        attributes: all root attributes of the schema.
        blocks: named parts of the parameters.
        dtype: type of the parameters, float64 or complex128.
        reference: attributes of ``/reference``.
        sessions: the starts of the run so far, this one last.
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
    scale = _numbers(group, "session", len(sessions), "number of the start of the run, from 0")
    for field in SESSIONS:
        values = [getattr(session, field.name) for session in sessions]
        kind = _storage_dtype(field.dtype)
        rows = np.array([stored(value, field.dtype) for value in values], dtype=kind)
        dataset = group.create_dataset(field.name, data=rows, dtype=kind)
        dataset.attrs["description"] = field.description
        _attach(dataset, scale, "session")


def _create_starts(group: h5py.Group, trials: Sequence[Trial], energy_units: str) -> None:
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
