"""The overlap of a state of few spins with the exact ground space, by enumeration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pvmc.errors import InputError
from pvmc.exact import Basis
from pvmc.exact.characters import Symmetries
from pvmc.exact.ground_space import ground_space
from pvmc.exact.reference import AUTOMATIC_DIMENSION, LANCZOS_SITES, dimension
from pvmc.hamiltonians import Operator
from pvmc.io.measurement import Estimate
from pvmc.measurement.observable import Findings, Tally, exact_estimate
from pvmc.mpi import Communicator
from pvmc.vmc.job import Job
from pvmc.vmc.recorder import warn
from pvmc.vmc.sectors import sector_of
from pvmc.wavefunctions import Projected
from pvmc.wavefunctions.base import WaveFunction
from pvmc.wavefunctions.vectors import LogPsi, dense_vector

OVERLAP = "overlap"
"""The observable on the command line; name of the estimate."""


@dataclass(frozen=True)
class Overlap:
    """What part of a state is ground state.

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


class ExactOverlap(Tally):
    """The overlap with the ground space as a tally: nothing is added to it.

    Args:
        value: see :class:`Overlap`.
    """

    name = OVERLAP

    def __init__(self, value: float):
        self._value = value

    def findings(self, comm: Communicator) -> Findings:
        """Collective.  The overlap, without error."""
        return Findings({OVERLAP: exact_estimate(self._value)})

    def of_vector(self, vector: npt.NDArray[np.complex128], basis: Basis) -> dict[str, Estimate]:
        """The same: it came from a vector in the first place."""
        return {OVERLAP: exact_estimate(self._value)}


def is_small(job: Job) -> bool:
    """Whether the exact ground state of a job is within reach in seconds."""
    n_sites = job.lattice.n_sites
    return n_sites <= LANCZOS_SITES and dimension(n_sites, job.sampler.magnetization) <= AUTOMATIC_DIMENSION


def overlap_of(job: Job, psi: WaveFunction, comm: Communicator) -> ExactOverlap:
    """Collective.  The overlap of a job's state with the lowest level of its sector, found by the root.

    Warns where the ground state is not among the states of the job.

    Raises:
        InputError: too many configurations, or see :func:`exact_overlap`.
        NumericalError: see there.
    """
    if not is_small(job):
        raise InputError(
            f"--observables {OVERLAP}: needs exact diagonalisation, of {LANCZOS_SITES} sites and {AUTOMATIC_DIMENSION} "
            "configurations at most"
        )

    def find() -> float:
        basis = Basis.enumerate(job.lattice.n_sites, job.sampler.magnetization)
        symmetries = job.ansatz.symmetry_group if isinstance(job.ansatz, Projected) else None
        value = exact_overlap(psi, job.operator, basis, symmetries).value
        if elsewhere := sector_of(job).elsewhere:
            warn(f"{OVERLAP}: {elsewhere}")
        return value

    return ExactOverlap(comm.root_value(find))
