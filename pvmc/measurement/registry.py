"""The observables of ``pvmc measure``: the list of all, and those that a measurement is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from pvmc.errors import InputError
from pvmc.io.measurement import Estimate
from pvmc.io.schema import Coordinate
from pvmc.measurement.fidelity import Fidelity
from pvmc.measurement.observable import Dataset, Frame, LocalValues, Observable, Parities, Sample, Setup, Tally
from pvmc.measurement.operators import Magnetization, OwnOperator
from pvmc.measurement.overlap import GroundSpaceOverlap
from pvmc.measurement.renyi import Entropies
from pvmc.measurement.smeared_variance import Energy
from pvmc.measurement.spin_correlations import Correlations, StaggeredMagnetization, StructureFactor
from pvmc.numerics.arrays import Floats, Spins
from pvmc.vmc.job import Job
from pvmc.wavefunctions.base import WaveFunction

OBSERVABLES: tuple[type[Observable], ...] = (
    Energy,
    Magnetization,
    Correlations,
    StructureFactor,
    StaggeredMagnetization,
    Entropies,
    OwnOperator,
    Fidelity,
    GroundSpaceOverlap,
)
"""The registry: a new observable is a class, added to this list.  The order is that of what is printed."""

NAMES = tuple(one.name for one in OBSERVABLES if not one.needs_argument)
"""Names that stand alone on the command line."""


@dataclass(frozen=True)
class Observables:
    """All that a measurement is asked for.

    Attributes:
        local: means over configurations; the rows of their local values come one after the other.
        tallies: what keeps sums of its own.
    """

    local: tuple[LocalValues, ...]
    tallies: tuple[Tally, ...] = ()

    @property
    def parts(self) -> list[tuple[Dataset, slice]]:
        """The datasets of the local values, and which rows are theirs."""
        found, start = [], 0
        for one in self.local:
            for dataset, length in zip(one.stored, one.lengths(), strict=True):
                found.append((dataset, slice(start, start + length)))
                start += length
        return found

    @property
    def size(self) -> int:
        """Number of rows of local values."""
        return sum(sum(one.lengths()) for one in self.local)

    @property
    def coordinates(self) -> dict[str, npt.NDArray[Any]]:
        """Arrays along the axes of the estimates."""
        return {name: array for one in (*self.local, *self.tallies) for name, array in one.coordinates.items()}

    @property
    def axes(self) -> dict[str, Coordinate]:
        """Axes and units of these arrays."""
        return {axis.name: axis for one in (*self.local, *self.tallies) for axis in one.axes}

    @property
    def parities(self) -> dict[str, Parities]:
        """Of the datasets that are one sum of Pauli strings: the symmetries under which the strings are odd."""
        return {name: array for one in self.local for name, array in one.parities().items()}

    def kept(self, names: Sequence[str]) -> list[str]:
        """Those of the names that are measured, without what could not be had and nobody asked for."""
        missing = {one.name for one in OBSERVABLES} - {one.name for one in (*self.local, *self.tallies)}
        return [name for name in names if name.partition(":")[0] not in missing]

    def values(self, psi: WaveFunction, spins: Spins, lookup: Floats) -> Floats:
        """Local values, float64 (size, L), of configurations (N, L)."""
        sample = Sample(psi, spins, lookup)
        return np.concatenate([np.zeros((0, spins.shape[1])), *(one.values(sample) for one in self.local)])

    def estimates(self, means: Floats, errors: Floats) -> dict[str, Estimate]:
        """The estimates by name, from means and errors of all rows, float64 (size,) each."""
        return {
            one.name: Estimate(means[rows], errors[rows], one.units, one.dims)
            if one.dims
            else Estimate(float(means[rows][0]), float(errors[rows][0]), one.units)
            for one, rows in self.parts
        }

    def largest(self, rows: Floats) -> dict[str, float]:
        """The largest entry among the rows of each dataset, by its name, of rows float64 (size,)."""
        return {one.name: float(rows[mine].max()) for one, mine in self.parts}


def names_of(words: Sequence[str], job: Job) -> list[str]:
    """The observables of a command line, each once; without words all that the job has by default.

    Args:
        words: texts with commas between the observables.
        job: the job.

    Raises:
        InputError: an unknown name.
    """
    names = [name.strip() for word in words for name in word.split(",") if name.strip()]
    for text in names:
        name, colon, _ = text.partition(":")
        if not any(one.name == name and (one.argument if colon else not one.needs_argument) for one in OBSERVABLES):
            forms = [f"{one.name}:{one.argument}" for one in OBSERVABLES if one.argument]
            known = ", ".join((*NAMES, *forms[:-1]))
            raise InputError(f'--observables: "{text}" is none of {known} and {forms[-1]}')
    return list(dict.fromkeys(names)) or [one.name for one in OBSERVABLES if one.is_default(job)]


def local_values(names: Sequence[str], job: Job) -> Observables:
    """Those of the observables of these names that are means over configurations.

    Raises:
        InputError: an expression that cannot be read, or a lattice without two sublattices.
    """
    frame = Frame.of(job)
    found: list[LocalValues] = []
    for one in OBSERVABLES:
        if issubclass(one, LocalValues) and (arguments := one.arguments(names)):
            found += one.create(arguments, frame)
    return Observables(tuple(found))


def choose(names: Sequence[str], setup: Setup) -> Observables:
    """Collective. The observables of these names, and those that are measured in any case, before the first draw.

    Raises:
        InputError: an argument that cannot be read, or a job without an observable.
    """
    tallies: list[Tally] = []
    for one in OBSERVABLES:
        if issubclass(one, Tally) and ((arguments := one.arguments(names)) or one.always):
            tallies += one.create(arguments, setup)
    return Observables(local_values(names, setup.job).local, tuple(tallies))


# For help and documentation -------------------------------------------------------------------------------------------


def command_line_help() -> str:
    """The help of ``pvmc measure --observables``."""
    forms = [" or ".join(f'"{example}"' for example in one.examples) for one in OBSERVABLES if one.argument]
    costly = " and ".join(one.name for one in OBSERVABLES if one.needs_argument)
    return (
        f"some of {', '.join(NAMES)}; with an argument, such as {', '.join(forms)}; with commas between them; default: "
        f"all that the system has but {costly}"
    )


def observable_rows() -> list[tuple[str, str, str]]:
    """Name on the command line, meaning, and figure of each observable."""
    rows = []
    for one in OBSERVABLES:
        forms = [one.name] * (not one.needs_argument) + [f"{one.name}:{one.argument}"] * bool(one.argument)
        figure = f"`pvmc plot --kind {one.figure}`" if one.figure else ""
        rows.append((", ".join(f"`{form}`" for form in forms), one.help, figure))
    return rows


def dataset_rows() -> list[tuple[str, tuple[str, ...], str, str, str]]:
    """Name, axes, units, observable and meaning of what is stored; datasets that mean the same are in one row."""
    rows = []
    for one in OBSERVABLES:
        for (description, dims, units), group in groupby(
            one.datasets, lambda data: (data.description, data.dims, data.units)
        ):
            first, *others = [data.name for data in group]
            stem = first.rpartition("_")[0]
            names = ", ".join([first, *(name.removeprefix(stem) for name in others)])
            rows.append((names, dims, units, one.name, description))
    return rows


def coordinates() -> list[Coordinate]:
    """The coordinates along the axes of all observables."""
    return [axis for one in OBSERVABLES for axis in one.axes]
