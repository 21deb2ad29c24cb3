"""The Ising model in transverse and longitudinal fields, in units of sigma.sigma."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from pvmc.hamiltonians.couplings import SiteField, energy_unit, site_values
from pvmc.hamiltonians.pauli import PauliSum, pair_sum, site_sum
from pvmc.hamiltonians.rotation import FieldModel
from pvmc.lattice import Lattice


def transverse_field_ising(
    n_sites: int, bonds: npt.NDArray[np.int64], coupling: npt.ArrayLike, field: npt.ArrayLike
) -> PauliSum:
    """H = -sum_<ij> J_ij sigma^z_i sigma^z_j - sum_i h_i sigma^x_i.

    Args:
        n_sites: number of spins.
        bonds: int64 (n_bonds, 2).
        coupling: J, positive for a ferromagnet; one number or one for each bond.
        field: h, the transverse field; one number or one for each site.
    """
    fields = np.broadcast_to(np.asarray(field, dtype=np.float64), n_sites)
    return pair_sum("ZZ", bonds, -np.asarray(coupling, dtype=np.float64)) + site_sum("X", -fields)


class IsingSpec(FieldModel):
    """H = -J sum_<ij> sigma^z_i sigma^z_j - sum_i h_i sigma^x_i - sum_i g_i sigma^z_i over nearest neighbours.

    Pfeuty, Ann. Phys. 57, 79 (1970) solves the chain without g.  For h >= 0 no off-diagonal element is positive, so
    that the ground state is positive for any J and g.
    """

    model: Literal["ising"]
    """Ising model in a transverse and a longitudinal field"""
    coupling: float = 1.0
    """J, energy unit; positive is ferromagnetic"""
    field: SiteField = 1.0
    """h, transverse field, in the same unit as J: uniform, site by site, or random"""
    longitudinal: SiteField = 0.0
    """g, longitudinal field, in the same unit as J: uniform, site by site, or random"""

    def written(self, lattice: Lattice) -> PauliSum:
        """The operator on a lattice; raises KeyProblem when a list of fields has another length than N."""
        transverse = site_values(self.field, lattice.n_sites, "hamiltonian.field")
        longitudinal = site_values(self.longitudinal, lattice.n_sites, "hamiltonian.longitudinal")
        couplings = self.coupling * lattice.couplings()
        terms = transverse_field_ising(lattice.n_sites, lattice.bonds(), couplings, transverse)
        return terms + site_sum("Z", -longitudinal)

    @property
    def energy_unit(self) -> str:
        """Unit of the energies."""
        return energy_unit("J", self.coupling, "sigma.sigma")
