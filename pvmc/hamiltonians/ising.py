"""The transverse-field Ising model, in units of sigma.sigma."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from pvmc.config import Section
from pvmc.hamiltonians.pauli import PauliSum, X, Z
from pvmc.lattice import Lattice


def transverse_field_ising(
    n_sites: int, bonds: npt.NDArray[np.int64], coupling: float | npt.NDArray[np.float64], field: float
) -> PauliSum:
    """H = -J sum_<ij> sigma^z_i sigma^z_j - h sum_i sigma^x_i.

    Args:
        n_sites: number of spins.
        bonds: int64 (n_bonds, 2).
        coupling: J, positive for a ferromagnet; one number or one for each bond.
        field: h, the transverse field.
    """
    strengths = np.broadcast_to(coupling, len(bonds)).tolist()
    pairs = PauliSum.total(-strength * Z(i) * Z(j) for (i, j), strength in zip(bonds.tolist(), strengths, strict=True))
    return pairs + PauliSum.total(-field * X(i) for i in range(n_sites))


class IsingSpec(Section):
    """H = -J sum_<ij> sigma^z_i sigma^z_j - h sum_i sigma^x_i over nearest neighbours."""

    model: Literal["ising"]
    """Ising model in a transverse field"""
    coupling: float = 1.0
    """J, energy unit; positive is ferromagnetic"""
    field: float = 1.0
    """h, transverse field, in the same unit as J"""

    def build(self, lattice: Lattice) -> PauliSum:
        """The operator on a lattice."""
        return transverse_field_ising(lattice.n_sites, lattice.bonds(), self.coupling * lattice.couplings(), self.field)

    @property
    def energy_unit(self) -> str:
        """Unit of the energies."""
        return "J (sigma.sigma)"
