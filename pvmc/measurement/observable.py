"""What is counted over the draws of a measurement beside local values: estimates that are no plain means."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pvmc.exact import Basis
from pvmc.io.measurement import Estimate
from pvmc.mpi import Communicator
from pvmc.numerics.arrays import Floats
from pvmc.sampler import Draw
from pvmc.wavefunctions.base import WaveFunction


@dataclass(frozen=True)
class Findings:
    """What a tally comes to.

    Attributes:
        estimates: by name.
        doubts: why the error of an estimate cannot be trusted, by its name.
    """

    estimates: dict[str, Estimate]
    doubts: dict[str, str] = field(default_factory=dict)


class Tally(ABC):
    """Sums over the draws of a rank's walkers, which become estimates in the end.

    Every number belongs to one block of walkers, so that neither the ranks nor a restart changes a bit of it.

    Attributes:
        name: of the tally in checkpoints.
        coordinates: arrays along the axes of its estimates.
    """

    name: str
    coordinates: Mapping[str, npt.NDArray[Any]] = {}

    def compile(self) -> None:  # noqa: B027 (most tallies need none)
        """Run every kernel once that the measured wave function does not run itself."""

    def add(self, psi: WaveFunction, draw: Draw) -> None:  # noqa: B027 (most tallies need none)
        """Add a draw of one block from |psi|^2."""

    def end_batch(self, psi: WaveFunction, batch: int) -> None:  # noqa: B027 (most tallies need none)
        """A batch of draws is over, of this number from 0."""

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """All sums, by blocks along the first axis of each array."""
        return {}

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:  # noqa: B027 (most tallies need none)
        """Go on from a state of this rank's blocks."""

    @abstractmethod
    def findings(self, comm: Communicator) -> Findings:
        """Collective.  The estimates from the sums of all ranks, with their errors."""

    @abstractmethod
    def of_vector(self, vector: npt.NDArray[np.complex128], basis: Basis) -> dict[str, Estimate]:
        """The estimates without error, from psi itself, normalised on the configurations of a basis, (D,)."""


def saved_states(tallies: tuple[Tally, ...], comm: Communicator) -> dict[str, npt.NDArray[Any]]:
    """Collective.  The states of all ranks for a checkpoint, on the root; empty elsewhere."""
    parts = {f"{tally.name}_{key}": comm.gather(array) for tally in tallies for key, array in tally.state().items()}
    return {name: array for name, array in parts.items() if array is not None}


def restore_states(tallies: tuple[Tally, ...], saved: Mapping[str, npt.NDArray[Any]], blocks: range) -> None:
    """Gives the tallies of these blocks what a checkpoint holds of all."""
    part = slice(blocks.start, blocks.stop)
    for tally in tallies:
        tally.restore({key: saved[f"{tally.name}_{key}"][part] for key in tally.state()})


def exact_estimate(value: float | Floats, dims: tuple[str, ...] = ()) -> Estimate:
    """A number without unit that nothing was sampled for."""
    return Estimate(value, np.zeros_like(value) if dims else 0.0, "1", dims)
