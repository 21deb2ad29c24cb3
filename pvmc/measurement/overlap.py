"""The overlap of a state of few spins with the exact ground space, by enumeration."""

from __future__ import annotations

from dataclasses import dataclass

from pvmc.exact import Basis
from pvmc.exact.ground_space import ground_space
from pvmc.exact.sector import Symmetries
from pvmc.hamiltonians import Operator
from pvmc.measurement.dense import LogPsi, dense_vector


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
