"""The transverse-field Ising model, in units of sigma.sigma."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from pvmc.config import Section
from pvmc.hamiltonians.pauli import PauliSum, X, Z
from pvmc.lattice import Lattice


def transverse_field_ising(n_sites: int, bonds: npt.NDArray[np.int64], coupling: float, field: float) -> PauliSum:
    """H = -J sum_<ij> sigma^z_i sigma^z_j - h sum_i sigma^x_i.

    Args:
        n_sites: number of spins.
        bonds: int64 (n_bonds, 2).
        coupling: J, positive for a ferromagnet.
        field: h, the transverse field.
    """
    pairs = PauliSum.total(-coupling * Z(int(i)) * Z(int(j)) for i, j in bonds)
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
        return transverse_field_ising(lattice.n_sites, lattice.bonds(), self.coupling, self.field)

    @property
    def energy_unit(self) -> str:
        """Unit of the energies."""
        return "J (sigma.sigma)"
