"""The J1-J2-J3 Heisenberg model: couplings on the first three neighbour shells, in units of S.S (S = sigma / 2)."""

from __future__ import annotations

from typing import Literal

from pvmc.config import KeyProblem
from pvmc.hamiltonians.couplings import SiteField, energy_unit
from pvmc.hamiltonians.heisenberg import xxz, zeeman
from pvmc.hamiltonians.pauli import PauliSum
from pvmc.hamiltonians.rotation import MarshallModel
from pvmc.lattice import Lattice, LatticeError


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
