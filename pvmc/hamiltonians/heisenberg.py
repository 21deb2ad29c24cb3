"""Heisenberg and XXZ models of spins S = 1/2, in units of S.S (S = sigma / 2)."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from pvmc.config import Section
from pvmc.hamiltonians.pauli import PauliSum, X, Y, Z
from pvmc.lattice import Lattice


def xxz(
    bonds: npt.NDArray[np.int64],
    coupling: float | npt.NDArray[np.float64],
    anisotropy: float,
    sublattices: npt.NDArray[np.int8] | None = None,
) -> PauliSum:
    """H = J sum_<ij> [ S^x_i S^x_j + S^y_i S^y_j + Delta S^z_i S^z_j ].

    Args:
        bonds: int64 (n_bonds, 2).
        coupling: J, positive for an antiferromagnet; one number or one for each bond.
        anisotropy: Delta.
        sublattices: +-1 per site applies the Marshall sign rotation (a turn by pi about z on one sublattice): the
            in-plane terms between the sublattices change sign, the spectrum stays, and for J > 0 the ground state
            becomes positive (Marshall, Proc. R. Soc. A 232, 48 (1955)).
    """

    def bond(i: int, j: int, strength: float) -> PauliSum:
        sign = 1.0 if sublattices is None else float(sublattices[i] * sublattices[j])
        return 0.25 * strength * (sign * (X(i) * X(j) + Y(i) * Y(j)) + anisotropy * Z(i) * Z(j))

    strengths = np.broadcast_to(coupling, len(bonds)).tolist()
    return PauliSum.total(bond(i, j, strength) for (i, j), strength in zip(bonds.tolist(), strengths, strict=True))


class HeisenbergSpec(Section):
    """H = J sum_<ij> S_i . S_j over nearest neighbours, in units of J (S.S)."""

    model: Literal["heisenberg"]
    """Heisenberg model of spins 1/2"""
    coupling: float = Field(default=1.0)
    """J, energy unit; positive is antiferromagnetic"""
    marshall: bool = True
    """rotate one sublattice by pi about z (Marshall sign rule); needs a bipartite lattice"""

    def build(self, lattice: Lattice) -> PauliSum:
        """The operator on a lattice; raises LatticeError where a Marshall rotation does not exist."""
        couplings = self.coupling * lattice.couplings()
        return xxz(lattice.bonds(), couplings, 1.0, lattice.sublattices() if self.marshall else None)

    @property
    def energy_unit(self) -> str:
        """Unit of the energies."""
        return "J (S.S)"


class XXZSpec(Section):
    """H = J sum_<ij> [ S^x_i S^x_j + S^y_i S^y_j + Delta S^z_i S^z_j ] over nearest neighbours."""

    model: Literal["xxz"]
    """XXZ model of spins 1/2"""
    coupling: float = 1.0
    """J, energy unit; positive is antiferromagnetic"""
    anisotropy: float = 1.0
    """Delta, strength of the S^z S^z term relative to the in-plane terms"""
    marshall: bool = True
    """rotate one sublattice by pi about z (Marshall sign rule); needs a bipartite lattice"""

    def build(self, lattice: Lattice) -> PauliSum:
        """The operator on a lattice; raises LatticeError where a Marshall rotation does not exist."""
        couplings = self.coupling * lattice.couplings()
        return xxz(lattice.bonds(), couplings, self.anisotropy, lattice.sublattices() if self.marshall else None)

    @property
    def energy_unit(self) -> str:
        """Unit of the energies."""
        return "J (S.S)"
