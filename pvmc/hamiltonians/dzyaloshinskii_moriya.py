"""The XXZ model with a Dzyaloshinskii-Moriya interaction, in units of S.S (S = sigma / 2)."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from pvmc.hamiltonians.couplings import SiteField, energy_unit
from pvmc.hamiltonians.geometry import oriented_bonds
from pvmc.hamiltonians.heisenberg import Vector, xxz, zeeman
from pvmc.hamiltonians.pauli import PauliSum, pair_sum
from pvmc.hamiltonians.rotation import MarshallModel, lattice_problem
from pvmc.lattice import Lattice, LatticeError


def dzyaloshinskii_moriya(
    bonds: npt.NDArray[np.int64], vector: tuple[float, float, float], strengths: npt.ArrayLike = 1.0
) -> PauliSum:
    """sum_{i -> j} c_ij D . (S_i x S_j) over oriented bonds; turning a bond round changes its sign.

    Args:
        bonds: int64 (n_bonds, 2).
        vector: D.
        strengths: c_ij, one number or one for each bond.
    """
    x, y, z = (component / 4 * np.asarray(strengths, dtype=np.float64) for component in vector)
    return PauliSum.total(
        pair_sum(letters, bonds, strength)
        for letters, strength in (("YZ", x), ("ZY", -x), ("ZX", y), ("XZ", -y), ("XY", z), ("YX", -z))
    )


class DzyaloshinskiiMoriyaSpec(MarshallModel):
    """H = sum_{i -> j} [ J (S^x_i S^x_j + S^y_i S^y_j + Delta S^z_i S^z_j) + D . (S_i x S_j) ] - sum_i h_i S^z_i.

    The sum runs over nearest neighbours, each bond turned along the positive axes: on a ring from i to i + 1 all the
    way round, on a rectangle to the right and upwards, elsewhere so that the first component of the displacement
    that is not zero is positive.  Dzyaloshinsky, J. Phys. Chem. Solids 4, 241 (1958); Moriya, Phys. Rev. 120, 91
    (1960).  The matrix is complex, but for D along y.
    """

    model: Literal["dzyaloshinskii_moriya"]
    """XXZ model of spins 1/2 with a Dzyaloshinskii-Moriya interaction"""
    coupling: float = 1.0
    """J, energy unit; positive is antiferromagnetic"""
    anisotropy: float = 1.0
    """Delta, strength of the S^z S^z term relative to the in-plane terms"""
    dm: float | Vector = 0.1
    """D, in the unit of J: a number (along z), or the vector [Dx, Dy, Dz]"""
    field: SiteField = 0.0
    """h, field along z: uniform, site by site, or random"""

    def written(self, lattice: Lattice) -> PauliSum:
        """The operator on a lattice; raises KeyProblem where bonds have no orientation."""
        try:
            bonds = oriented_bonds(lattice)
        except LatticeError as error:
            raise lattice_problem(self.model, error) from None
        vector = self.dm if isinstance(self.dm, tuple) else (0.0, 0.0, self.dm)
        couplings = lattice.couplings()
        terms = xxz(bonds, self.coupling * couplings, self.anisotropy)
        terms += dzyaloshinskii_moriya(bonds, vector, couplings)
        terms += zeeman("Z", self.field, lattice.n_sites, "hamiltonian.field")
        return terms

    @property
    def energy_unit(self) -> str:
        """Unit of the energies."""
        return energy_unit("J", self.coupling, "S.S")
