"""A run's series, saved parameters and measurements as CSV, NumPy's .npz or netCDF-4.

The netCDF file is written by HDF5 itself: netCDF-4 is HDF5 with dimension scales.  It knows no complex numbers, so that
a complex array becomes two, NAME_real and NAME_imaginary; so does CSV, with two columns.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from pvmc.errors import InputError, StorageError
from pvmc.io.measurement import Measurement, store_measurement
from pvmc.io.reader import Run, open_run
from pvmc.io.schema import ITERATION, SERIES
from pvmc.io.storage import reason

Array = NDArray[Any]

ENDINGS = {"csv": "", "npz": ".npz", "netcdf": ".nc"}
"""Ending of the name of an export in each format; CSV makes a directory of tables."""

TABLES = ("series.csv", "parameters.csv", "measurements.csv")
"""Names in the directory of CSV tables."""


def export(run_path: str | os.PathLike[str], kind: str, output: str | os.PathLike[str] | None = None) -> Path:
    """Writes what a run holds up to this moment; an export of the same name is replaced.

    Args:
        run_path: the run's directory or file.
        kind: "csv", "npz" or "netcdf".
        output: the file, or the directory of CSV tables; default: ``export`` and the format's ending, beside the run's
            file.

    Returns:
        What was written.

    Raises:
        InputError: no such run, or the output is something else that exists.
        StorageError: the run cannot be read or the output not written.
    """
    run = open_run(run_path)
    target = Path(output) if output is not None else run.path.parent / f"export{ENDINGS[kind]}"
    _require_free(target, is_table=kind == "csv", run=run)
    write: dict[str, Callable[[Run, Path], None]] = {"csv": _csv, "npz": _npz, "netcdf": _netcdf}
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as own:
            temporary = Path(own) / target.name
            write[kind](run, temporary)
            if target.is_dir():
                shutil.rmtree(target)
            os.replace(temporary, target)
    except (OSError, RuntimeError) as error:
        raise StorageError(f"cannot write {target}: {reason(error)}") from error
    return target


def _require_free(target: Path, *, is_table: bool, run: Run) -> None:
    """Refuses to replace what no export has made."""
    if target.resolve() == run.path.resolve():
        raise InputError(f"{target} is the run itself: choose another --output")
    if is_table and target.exists() and not target.is_dir():
        raise InputError(f"{target} is a file: --format csv writes a directory of tables")
    if is_table and target.is_dir() and {entry.name for entry in target.iterdir()} - set(TABLES):
        raise InputError(f"{target} holds other files: choose another --output")
    if not is_table and target.is_dir():
        raise InputError(f"{target} is a directory: --output is a file")


def _saved(run: Run) -> tuple[Array, Array]:
    """Iterations and vectors of the saved parameters, (n_saved,) and (n_saved, K)."""
    iterations = run.saved_iterations()
    if not iterations.size:
        return iterations, np.empty((0, int(run.attributes["n_parameters"])), dtype=run.parameter_dtype())
    return iterations, np.stack([run.parameters(int(iteration)) for iteration in iterations])


def _measurements(run: Run) -> list[Measurement]:
    return list(getattr(run, "measurements", ()))


# CSV ------------------------------------------------------------------------------------------------------------------


def _csv(run: Run, directory: Path) -> None:
    directory.mkdir()
    columns = [values.tolist() for values in run.series.values()]
    _table(directory / TABLES[0], list(run.series), zip(*columns, strict=True))
    names = ["iteration", "parameter", "block", "real", "imaginary"]
    _table(directory / TABLES[1], names, _parameter_rows(run))
    names = ["measurement", "iteration", "name", "axes", "coordinates", "value", "error", "units"]
    _table(directory / TABLES[2], names, (row for one in _measurements(run) for row in _measurement_rows(one)))


def _table(path: Path, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(rows)


def _parameter_rows(run: Run) -> Iterable[Sequence[Any]]:
    """One row for each parameter and iteration."""
    blocks = [""] * int(run.attributes["n_parameters"])
    for name, (part, _) in run.parameter_blocks().items():
        blocks[part] = [name] * (part.stop - part.start)
    for iteration, theta in zip(*_saved(run), strict=True):
        for number, (block, value) in enumerate(zip(blocks, theta.tolist(), strict=True)):
            yield int(iteration), number, block, value.real, value.imag


def _measurement_rows(measurement: Measurement) -> Iterable[Sequence[Any]]:
    """One row for each number of each estimate; its coordinates say where on its axes it belongs."""
    iteration = measurement.attributes.get("iteration", "")
    for name, estimate in measurement.estimates.items():
        values, errors = np.asarray(estimate.value), np.asarray(estimate.error)
        for index in np.ndindex(values.shape):
            places = [_place(measurement, dim, i) for dim, i in zip(estimate.dims, index, strict=True)]
            row = measurement.number, iteration, name, " ".join(estimate.dims), "; ".join(places)
            yield *row, values[index].item(), errors[index].item(), estimate.units


def _place(measurement: Measurement, dim: str, index: int) -> str:
    """Place of a number on an axis: the components of a vector, the members of a set, or else its index."""
    for name, one in measurement.axes.items():
        if one.axes[0] == dim and one.dtype == "int8":
            return " ".join(map(str, np.flatnonzero(measurement.coordinates[name][index])))
    if dim not in measurement.coordinates:
        return str(index)
    return " ".join(f"{number:.15g}" for number in np.atleast_1d(measurement.coordinates[dim][index]).tolist())


# NumPy ----------------------------------------------------------------------------------------------------------------


def _npz(run: Run, path: Path) -> None:
    iterations, theta = _saved(run)
    arrays: dict[str, Any] = {f"series/{name}": values for name, values in run.series.items()}
    arrays |= {"parameters/iteration": iterations, "parameters/theta": theta}
    blocks = {name: [part.start, part.stop, list(shape)] for name, (part, shape) in run.parameter_blocks().items()}
    arrays["parameters/blocks"] = json.dumps(blocks)
    arrays["attributes"] = json.dumps(_attributes(run))
    for one in _measurements(run):
        group = f"measurements/{one.number:04d}"
        arrays |= {f"{group}/{name}": values for name, values in one.coordinates.items()}
        for name, estimate in one.estimates.items():
            arrays |= {f"{group}/{name}": estimate.value, f"{group}/{name}_error": estimate.error}
        arrays[f"{group}/attributes"] = json.dumps(one.attributes)
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)


def _attributes(run: Run) -> dict[str, str | int | float]:
    attributes: dict[str, str | int | float] = dict(run.attributes)
    if run.reference_energy is not None:
        attributes |= {"reference_energy": run.reference_energy, "reference_method": run.reference_method}
    return attributes


# netCDF ---------------------------------------------------------------------------------------------------------------


def _netcdf(run: Run, path: Path) -> None:
    units = {quantity.name: quantity.units_in(run.energy_units) for quantity in (ITERATION, *SERIES)}
    meanings = {quantity.name: quantity.description for quantity in (ITERATION, *SERIES)}
    with h5py.File(path, "w", track_order=True) as file:
        file.attrs.update(_attributes(run))
        scales = {ITERATION.name: _scale(file, ITERATION.name, run.iteration)}
        for name, values in run.series.items():
            if name != ITERATION.name:
                _variable(file, name, values, scales)
            file[name].attrs.update(units=units[name], long_name=meanings[name])
        iterations, theta = _saved(run)
        group = file.create_group("parameters", track_order=True)
        scales = {"iteration": _scale(group, "iteration", iterations)}
        scales["parameter"] = _scale(group, "parameter", np.arange(theta.shape[1]))
        _variable(group, "theta", theta, scales)
        for one in _measurements(run):
            store_measurement(file.create_group(f"measurements/{one.number:04d}", track_order=True), one)


def _scale(group: h5py.Group, name: str, values: Array) -> h5py.Dataset:
    scale = group.create_dataset(name, data=values)
    scale.make_scale(name)
    return scale


def _variable(group: h5py.Group, name: str, values: Array, scales: Mapping[str, h5py.Dataset]) -> list[h5py.Dataset]:
    """A variable along axes with these scales, in their order; two of a complex one."""
    if np.iscomplexobj(values):
        parts = {"real": values.real, "imaginary": values.imag}
        return [_variable(group, f"{name}_{part}", of, scales)[0] for part, of in parts.items()]
    dataset = group.create_dataset(name, data=values)
    for axis, scale in zip(dataset.dims, scales.values(), strict=True):
        axis.attach_scale(scale)
    return [dataset]
