"""The overlap of a state of few spins with the exact ground space, by enumeration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from pvmc.errors import InputError
from pvmc.exact.characters import Symmetries
from pvmc.exact.ground_space import ground_space
from pvmc.exact.reference import AUTOMATIC_DIMENSION, LANCZOS_SITES, dimension
from pvmc.hamiltonians import Operator
from pvmc.io.measurement import Estimate
from pvmc.measurement.observable import Dataset, Findings, Setup, Tally, exact_estimate
from pvmc.mpi import Communicator
from pvmc.spins.configurations import Basis
from pvmc.vmc.display import warn
from pvmc.vmc.job import Job
from pvmc.vmc.sectors import sector_of
from pvmc.wavefunctions import Projected
from pvmc.wavefunctions.vectors import LogPsi, dense_vector


@dataclass(frozen=True)
class Overlap:
    """The part of a state that is ground state.

    Attributes:
        value: <psi|P|psi> with the projector P on the ground space: |<psi_0|psi>|^2 where there is one ground state.
        energy: the ground-state energy, in the operator's unit.
        degeneracy: dimension of the ground space.
        error: 0, for nothing is sampled.
    """

    value: float
    energy: float
    degeneracy: int
    error: float = 0.0


def exact_overlap(psi: LogPsi, operator: Operator, basis: Basis, symmetries: Symmetries | None = None) -> Overlap:
    """The overlap of psi, normalised on a basis, with the lowest level of an operator on the same basis.

    Work of one rank, without communication: D ln psi and one or more Lanczos runs, 16 D (g + 20) bytes or so.

    Args:
        psi: the state, in the frame of the operator (rotated, if the Hamiltonian is).
        operator: the Hamiltonian.
        basis: all configurations, or those of the magnetisation that is sampled: psi counts as restricted to them.
        symmetries: quantum numbers of the sector whose lowest level is meant, or None for that of the basis.

    Raises:
        InputError: the operator does not act within the basis, or the sector holds no state.
        NumericalError: psi vanishes on the basis or is not finite, or Lanczos did not converge.
    """
    space = ground_space(operator, basis, symmetries)
    return Overlap(space.weight_of(dense_vector(psi, basis)), space.energy, space.degeneracy)


class GroundSpaceOverlap(Tally):
    """The overlap with the ground space: found by the root before the first draw, and nothing is added to it.

    Args:
        value: see :class:`Overlap`.
    """

    name = "overlap"
    label = name
    help = (
        "<psi|P|psi> with P on the space of lowest energy (of the quantum numbers of a projected ansatz), by exact "
        "diagonalisation: up to 20 sites and 200 000 configurations"
    )
    datasets = (Dataset(name, "<psi|P|psi> with the projector P on the space of lowest energy"),)

    def __init__(self, value: float):
        self._value = value

    @classmethod
    def is_default(cls, job: Job) -> bool:
        """True where the exact ground state is within reach in seconds."""
        n_sites = job.lattice.n_sites
        return n_sites <= LANCZOS_SITES and dimension(n_sites, job.sampler.magnetization) <= AUTOMATIC_DIMENSION

    @classmethod
    def create(cls, arguments: Sequence[str], setup: Setup) -> Iterator[Self]:
        """Collective. The overlap; nothing, with a warning, where it cannot be had and nobody asked for it by name.

        Warns where the ground state is not among the states of the job.

        Raises:
            InputError: too many configurations, or see :func:`exact_overlap`.
            NumericalError: see there.
        """
        try:
            yield cls(cls._value_of(setup))
        except InputError as error:
            text = str(error) if cls.name in str(error) else f"--observables {cls.name}: {error}"
            if setup.by_name:
                error.args = (text,)
                raise
            if setup.comm.rank == 0:
                warn(f"{text}; the other observables are measured")

    @classmethod
    def _value_of(cls, setup: Setup) -> float:
        """Collective. The overlap of a job's state with the lowest level of its sector, found by the root."""
        job = setup.job
        if not cls.is_default(job):
            raise InputError(
                f"--observables {cls.name}: needs exact diagonalisation, of {LANCZOS_SITES} sites and "
                f"{AUTOMATIC_DIMENSION} configurations at most"
            )

        def find() -> float:
            basis = Basis.enumerate(job.lattice.n_sites, job.sampler.magnetization)
            symmetries = job.ansatz.symmetry_group if isinstance(job.ansatz, Projected) else None
            value = exact_overlap(setup.psi, job.operator, basis, symmetries).value
            if elsewhere := sector_of(job).elsewhere:
                warn(f"{cls.name}: {elsewhere}")
            return value

        return setup.comm.root_value(find)

    def findings(self, comm: Communicator) -> Findings:
        """Collective. The overlap, without error."""
        return Findings({self.name: exact_estimate(self._value)})

    def of_vector(self, vector: npt.NDArray[np.complex128], basis: Basis) -> dict[str, Estimate]:
        """The same: it came from a vector in the first place."""
        return {self.name: exact_estimate(self._value)}
