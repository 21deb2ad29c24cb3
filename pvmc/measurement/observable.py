"""Observables: their names, what they store, and the two ways to measure them.

An observable is one class.  Where its value is a mean over configurations of |psi|^2, the class derives from
:class:`LocalValues` and says what each configuration contributes: sums, errors, R-hat and checkpoints are made for it.
Where it is made of other sums (over pairs of walkers, over walkers of another state), it derives from :class:`Tally`
and keeps its own.  Help, documentation, stored layout and exports follow from the class once it is listed in
:data:`pvmc.measurement.registry.OBSERVABLES`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
import numpy.typing as npt

from pvmc.io.measurement import Estimate
from pvmc.io.schema import Coordinate
from pvmc.lattice import Lattice
from pvmc.measurement.frozen import FrozenState
from pvmc.mpi import Communicator, block_range
from pvmc.numerics.arrays import Floats, Spins
from pvmc.sampler import Draw
from pvmc.spins.configurations import Basis
from pvmc.vmc.job import Job
from pvmc.wavefunctions.base import WaveFunction

T = TypeVar("T")

Parities = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Dataset:
    """One dataset of an observable; its standard error is stored as NAME_error.

    Attributes:
        name: name of the dataset; capitals stand for what the user chooses.
        description: what it is, in one phrase.
        dims: names of its axes, () for a number.
        units: "1", or a power of "energy", which stands for the Hamiltonian's own unit.
    """

    name: str
    description: str
    dims: tuple[str, ...] = ()
    units: str = "1"


class Observable(ABC):
    """One name of ``pvmc measure --observables`` and its datasets.

    Attributes:
        name: the name.
        help: what it is, in one line of the documentation.
        argument: form of what may follow the name after a colon; "" where nothing may.
        examples: the name with such an argument, for the help.
        needs_argument: True where the name alone says nothing.
        always: True where it is measured in any case.
        datasets: what is stored.
        axes: what the places along the axes of the datasets are.
        figure: the ``--kind`` of ``pvmc plot`` that draws it; "" where none does.
        coordinates: the values of each of ``axes``, by name.
    """

    name: ClassVar[str]
    help: ClassVar[str]
    argument: ClassVar[str] = ""
    examples: ClassVar[tuple[str, ...]] = ()
    needs_argument: ClassVar[bool] = False
    always: ClassVar[bool] = False
    datasets: ClassVar[tuple[Dataset, ...]]
    axes: ClassVar[tuple[Coordinate, ...]] = ()
    figure: ClassVar[str] = ""
    coordinates: Mapping[str, npt.NDArray[Any]] = {}

    @classmethod
    def is_default(cls, job: Job) -> bool:
        """True where a job has the observable and it costs little: it is measured unless others are asked for."""
        return not cls.needs_argument

    @classmethod
    def arguments(cls, names: Sequence[str]) -> list[str]:
        """The texts after the colon in those of the names that mean this observable."""
        parts = [name.partition(":") for name in names]
        return [argument for name, _, argument in parts if name == cls.name]


# Means over configurations --------------------------------------------------------------------------------------------


class Shared:
    """Numbers that several observables need, made by the first that asks for them."""

    def __init__(self) -> None:
        self._made: dict[Callable[[Any], Any], Any] = {}

    def shared(self, make: Callable[[Self], T]) -> T:
        """``make(self)``, which is called once."""
        if make not in self._made:
            self._made[make] = make(self)
        found: T = self._made[make]
        return found


class Frame(Shared):
    """The spins of a job and the frame of its Hamiltonian.

    Where the Hamiltonian lives in a frame in which some spins are turned by pi about z (``marshall``, ``rotate``),
    psi = U^+ phi with the diagonal U: <phi|A|phi> = <psi|U^+ A U|psi>, in which sigma^x and sigma^y of the turned sites
    have changed their signs.

    Attributes:
        lattice: the lattice.
        n_sites: N.
        signs: -1 on the sites that are turned, else +1, float64 (N,).
        fixed: True where all configurations have one magnetisation: flips that lead out of it do not count.
    """

    def __init__(self, lattice: Lattice, signs: Floats, fixed: bool):
        super().__init__()
        self.lattice, self.n_sites, self.signs, self.fixed = lattice, lattice.n_sites, signs, fixed

    @classmethod
    def of(cls, job: Job) -> Frame:
        """The frame of a job."""
        return cls(job.lattice, frame_signs(job), job.sampler.magnetization is not None)


def frame_signs(job: Job) -> Floats:
    """-1 on the sites that the Hamiltonian's frame turns by pi about z (``marshall`` or ``rotate``), else +1; (N,)."""
    return job.config.hamiltonian.signs(job.lattice).astype(np.float64)


class Sample(Shared):
    """Configurations of |psi|^2: one draw of the L walkers of a block.

    Attributes:
        psi: the wave function, in the frame of the Hamiltonian.
        spins: int8 (N, L).
        lookup: of psi, float64 (Q, L).
    """

    def __init__(self, psi: WaveFunction, spins: Spins, lookup: Floats):
        super().__init__()
        self.psi, self.spins, self.lookup = psi, spins, lookup


class LocalValues(Observable):
    """An observable that is a mean over configurations: its local values on each of them are averaged over |psi|^2.

    Args:
        frame: the spins, and the frame of the Hamiltonian.

    Attributes:
        stored: the datasets of this object, of one axis or none; each has as many rows as its axis has places, one
            where it has none.
    """

    def __init__(self, frame: Frame):
        self.frame = frame
        self.stored: tuple[Dataset, ...] = self.datasets

    @classmethod
    def create(cls, arguments: Sequence[str], frame: Frame) -> Iterator[Self]:
        """The observables of the arguments on the command line ("" where the name stands alone).

        Raises:
            InputError: an argument that cannot be read, or a lattice without the observable.
        """
        yield cls(frame)

    @abstractmethod
    def values(self, sample: Sample) -> Floats:
        """Local values, float64 (rows, L): those of ``stored``, one dataset after the other."""

    def lengths(self) -> list[int]:
        """Number of rows of each of the datasets."""
        return [len(self.coordinates[one.dims[0]]) if one.dims else 1 for one in self.stored]

    def parities(self) -> Mapping[str, Parities]:
        """Of datasets that are one sum of Pauli strings: see :func:`pvmc.measurement.operators.odd`."""
        return {}


# Other sums -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Setup:
    """Job, state and random seed of the tallies of a measurement, the same on every rank.

    Attributes:
        job: the job, with the sampler of the measurement.
        psi: the wave function.
        seed: of the measurement.
        states: other states, by the observable that is compared with them.
        by_name: True where the observables were asked for by name.
        comm: the ranks.
    """

    job: Job
    psi: WaveFunction
    seed: int
    states: Mapping[str, FrozenState]
    by_name: bool
    comm: Communicator

    @property
    def blocks(self) -> range:
        """The blocks of walkers of this rank."""
        return block_range(self.job.sampler.n_blocks, self.comm.rank, self.comm.size)


@dataclass(frozen=True)
class Findings:
    """Estimates from the sums of a tally.

    Attributes:
        estimates: by name.
        doubts: why the error of an estimate cannot be trusted, by its name.
    """

    estimates: dict[str, Estimate]
    doubts: dict[str, str] = field(default_factory=dict)


class Tally(Observable):
    """An observable with sums of its own over the draws of a rank's walkers, which become estimates in the end.

    Every number belongs to one block of walkers, so that neither the ranks nor a restart changes a bit of it.

    Attributes:
        label: of its sums in checkpoints.
    """

    label: str

    @classmethod
    @abstractmethod
    def create(cls, arguments: Sequence[str], setup: Setup) -> Iterator[Self]:
        """Collective. The observables of the arguments on the command line ("" where the name stands alone).

        Nothing where the observable cannot be had and nobody asked for it by name.

        Raises:
            InputError: an argument that cannot be read, or a job without the observable.
        """

    @classmethod
    def bytes_of_block(cls, job: Job) -> int:
        """Bytes of the sums of one block of walkers, of what is measured by default."""
        return 0

    def compile(self) -> None:  # noqa: B027 (most tallies need none)
        """Run every kernel once that the measured wave function does not run itself."""

    def add(self, psi: WaveFunction, draw: Draw) -> None:  # noqa: B027 (most tallies need none)
        """Add a draw of one block from |psi|^2."""

    def end_batch(self, psi: WaveFunction, batch: int) -> None:  # noqa: B027 (most tallies need none)
        """Do what comes after a batch of draws; batches are numbered from 0."""

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """All sums, by blocks along the first axis of each array."""
        return {}

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:  # noqa: B027 (most tallies need none)
        """Go on from a state of this rank's blocks."""

    @abstractmethod
    def findings(self, comm: Communicator) -> Findings:
        """Collective. The estimates from the sums of all ranks, with their errors."""

    @abstractmethod
    def of_vector(self, vector: npt.NDArray[np.complex128], basis: Basis) -> dict[str, Estimate]:
        """The estimates without error, from psi itself, normalised on the configurations of a basis, (D,)."""


def saved_states(tallies: Sequence[Tally], comm: Communicator) -> dict[str, npt.NDArray[Any]]:
    """Collective. The states of all ranks for a checkpoint, on the root; empty elsewhere."""
    parts = {f"{tally.label}_{key}": comm.gather(array) for tally in tallies for key, array in tally.state().items()}
    return {name: array for name, array in parts.items() if array is not None}


def restore_states(tallies: Sequence[Tally], saved: Mapping[str, npt.NDArray[Any]], blocks: range) -> None:
    """Give the tallies of these blocks what a checkpoint holds of all."""
    part = slice(blocks.start, blocks.stop)
    for tally in tallies:
        tally.restore({key: saved[f"{tally.label}_{key}"][part] for key in tally.state()})


def exact_estimate(value: float | Floats, dims: tuple[str, ...] = ()) -> Estimate:
    """A number without unit that nothing was sampled for."""
    return Estimate(value, np.zeros_like(value) if dims else 0.0, "1", dims)
