"""Heisenberg, XXZ, XYZ and J1-J2-J3 models of spins S = 1/2, in units of S.S (S = sigma / 2)."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from pvmc.config import KeyProblem
from pvmc.hamiltonians.couplings import SiteField, energy_unit, site_values
from pvmc.hamiltonians.pauli import PauliSum, pair_sum, site_sum
from pvmc.hamiltonians.rotation import MarshallModel
from pvmc.lattice import Lattice, LatticeError

Vector = Annotated[tuple[float, float, float], Field(strict=False)]  # not strict: TOML has lists, not tuples


def xyz(
    bonds: npt.NDArray[np.int64], couplings: tuple[float, float, float], strengths: npt.ArrayLike = 1.0
) -> PauliSum:
    """sum_<ij> c_ij [ Jx S^x_i S^x_j + Jy S^y_i S^y_j + Jz S^z_i S^z_j ].

    Args:
        bonds: int64 (n_bonds, 2).
        couplings: (Jx, Jy, Jz).
        strengths: c_ij, one number or one for each bond.
    """
    c = np.asarray(strengths, dtype=np.float64) / 4
    return PauliSum.total(pair_sum(p + p, bonds, j * c) for p, j in zip("XYZ", couplings, strict=True))


def xxz(
    bonds: npt.NDArray[np.int64],
    coupling: npt.ArrayLike,
    anisotropy: float,
    sublattices: npt.NDArray[np.int8] | None = None,
) -> PauliSum:
    """H = J sum_<ij> [ S^x_i S^x_j + S^y_i S^y_j + Delta S^z_i S^z_j ].

    Args:
        bonds: int64 (n_bonds, 2).
        coupling: J, positive for an antiferromagnet; one number or one for each bond.
        anisotropy: Delta.
        sublattices: +-1 per site applies the Marshall sign rotation (:meth:`PauliSum.turned_about_z`).
    """
    terms = xyz(bonds, (1.0, 1.0, anisotropy), coupling)
    return terms if sublattices is None else terms.turned_about_z(sublattices.tolist())


def zeeman(letter: str, field: SiteField, n_sites: int, key: str) -> PauliSum:
    """-sum_i h_i S^letter_i: a positive field favours spins along +letter.

    Raises:
        KeyProblem: a list of fields of another length than N, at this key.
    """
    return site_sum(letter, -0.5 * site_values(field, n_sites, key))


class HeisenbergSpec(MarshallModel):
    """H = J sum_<ij> S_i . S_j - sum_i h_i S^z_i over nearest neighbours, in units of J (S.S).

    With a random field on a chain this is the model of many-body localisation (Luitz, Laflorencie and Alet,
    Phys. Rev. B 91, 081103 (2015)).
    """

    model: Literal["heisenberg"]
    """Heisenberg model of spins 1/2"""
    coupling: float = Field(default=1.0)
    """J, energy unit; positive is antiferromagnetic"""
    field: SiteField = 0.0
    """h, field along z, in the unit of J: uniform, site by site, or random"""

    def written(self, lattice: Lattice) -> PauliSum:
        """The operator on a lattice; raises KeyProblem for a list of fields not of length N."""
        terms = xxz(lattice.bonds(), self.coupling * lattice.couplings(), 1.0)
        terms += zeeman("Z", self.field, lattice.n_sites, "hamiltonian.field")
        return terms

    @property
    def energy_unit(self) -> str:
        """Unit of the energies."""
        return energy_unit("J", self.coupling, "S.S")


class XXZSpec(MarshallModel):
    """H = J sum_<ij> [ S^x_i S^x_j + S^y_i S^y_j + Delta S^z_i S^z_j ] - sum_i h_i S^z_i over nearest neighbours."""

    model: Literal["xxz"]
    """XXZ model of spins 1/2"""
    coupling: float = 1.0
    """J, energy unit; positive is antiferromagnetic"""
    anisotropy: float = 1.0
    """Delta, strength of the S^z S^z term relative to the in-plane terms"""
    field: SiteField = 0.0
    """h, field along z, in the unit of J: uniform, site by site, or random"""

    def written(self, lattice: Lattice) -> PauliSum:
        """The operator on a lattice; raises KeyProblem for a list of fields not of length N."""
        terms = xxz(lattice.bonds(), self.coupling * lattice.couplings(), self.anisotropy)
        terms += zeeman("Z", self.field, lattice.n_sites, "hamiltonian.field")
        return terms

    @property
    def energy_unit(self) -> str:
        """Unit of the energies."""
        return energy_unit("J", self.coupling, "S.S")


class XYZSpec(MarshallModel):
    """H = sum_<ij> [ Jx S^x_i S^x_j + Jy S^y_i S^y_j + Jz S^z_i S^z_j ] - sum_i h_i . S_i over nearest neighbours.

    Without a field the chain is solved by Baxter, Ann. Phys. 70, 323 (1972).
    """

    model: Literal["xyz"]
    """XYZ model of spins 1/2"""
    couplings: Vector = (1.0, 1.0, 1.0)
    """[Jx, Jy, Jz], energy unit; positive is antiferromagnetic"""
    field_x: SiteField = 0.0
    """field along x: uniform, site by site, or random"""
    field_y: SiteField = 0.0
    """field along y: uniform, site by site, or random (makes the Hamiltonian complex)"""
    field_z: SiteField = 0.0
    """field along z: uniform, site by site, or random"""

    def written(self, lattice: Lattice) -> PauliSum:
        """The operator on a lattice; raises KeyProblem for a list of fields not of length N."""
        terms = xyz(lattice.bonds(), self.couplings, lattice.couplings())
        for letter, field in (("X", self.field_x), ("Y", self.field_y), ("Z", self.field_z)):
            terms += zeeman(letter, field, lattice.n_sites, f"hamiltonian.field_{letter.lower()}")
        return terms

    @property
    def energy_unit(self) -> str:
        """Unit of the energies."""
        return "J (S.S)"


class J1J2Spec(MarshallModel):
    """H = J1 sum_<ij> S_i . S_j + J2 sum_<<ij>> S_i . S_j + J3 sum_<<<ij>>> S_i . S_j - sum_i h_i S^z_i.

    The shells are those of the lattice, by ascending distance.  On the chain with J2 = J1/2 the ground state is a
    product of singlets (Majumdar and Ghosh, J. Math. Phys. 10, 1388 (1969)); on the square lattice the model is
    strongly frustrated near J2 = J1/2.
    """

    model: Literal["j1j2"]
    """Heisenberg model of spins 1/2 on three neighbour shells"""
    j1: float = 1.0
    """J1, nearest neighbours, energy unit; positive is antiferromagnetic"""
    j2: float = 0.0
    """J2, second neighbours"""
    j3: float = 0.0
    """J3, third neighbours"""
    field: SiteField = 0.0
    """h, field along z: uniform, site by site, or random"""

    def written(self, lattice: Lattice) -> PauliSum:
        """The operator on a lattice; raises KeyProblem where a shell does not exist."""
        shells = [self._shell(lattice, shell) for shell in (1, 2, 3)]
        terms = PauliSum.total(shells) + zeeman("Z", self.field, lattice.n_sites, "hamiltonian.field")
        return terms

    def _shell(self, lattice: Lattice, shell: int) -> PauliSum:
        coupling = (self.j1, self.j2, self.j3)[shell - 1]
        if coupling == 0:
            return PauliSum()
        try:
            return xxz(lattice.bonds(shell), coupling * lattice.couplings(shell), 1.0)
        except LatticeError as error:
            raise KeyProblem(f"hamiltonian.j{shell}", coupling, f"must be 0: {error}") from None

    @property
    def energy_unit(self) -> str:
        """Unit of the energies."""
        return energy_unit("J", self.j1, "S.S")
