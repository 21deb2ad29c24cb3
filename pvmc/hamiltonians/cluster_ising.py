"""The cluster-Ising chain: a three-body cluster term against an Ising coupling, in units of sigma.sigma."""

from __future__ import annotations

from typing import Literal

import numpy as np

from pvmc.hamiltonians.couplings import energy_unit
from pvmc.hamiltonians.geometry import is_chain, is_ring
from pvmc.hamiltonians.pauli import PauliSum, X, Y, Z
from pvmc.hamiltonians.rotation import FieldModel, lattice_problem
from pvmc.lattice import Lattice


class ClusterIsingSpec(FieldModel):
    """H = -K sum_i sigma^z_{i-1} sigma^x_i sigma^z_{i+1} + lambda sum_i sigma^y_i sigma^y_{i+1} - h sum_i sigma^x_i.

    The model of Smacchia et al., Phys. Rev. A 84, 022304 (2011), with x and z exchanged: between the cluster state
    (lambda = 0) and an antiferromagnet along y there is a critical point at lambda = K, of free fermions.  On an open
    chain the sums keep the terms whose sites all exist.
    """

    model: Literal["cluster_ising"]
    """cluster-Ising chain with a three-body term"""
    coupling: float = 1.0
    """K, strength of the cluster term, energy unit"""
    ising: float = 0.0
    """lambda, coupling of the y components of neighbours; positive is antiferromagnetic"""
    field: float = 0.0
    """h, transverse field along x"""

    def written(self, lattice: Lattice) -> PauliSum:
        """The operator on a chain; raises KeyProblem on other lattices."""
        if not is_chain(lattice):
            raise lattice_problem(self.model, 'needs a chain: lattice kind "chain"')
        n_sites, closed = lattice.n_sites, is_ring(lattice)
        cells = np.array([[i, (i + 1) % n_sites, (i + 2) % n_sites] for i in range(n_sites)]).tolist()
        triples = cells if closed else cells[:-2]
        pairs = cells if closed else cells[:-1]
        return PauliSum.total(
            [-self.coupling * Z(i) * X(j) * Z(k) for i, j, k in triples]
            + [self.ising * Y(i) * Y(j) for i, j, _ in pairs]
            + [-self.field * X(i) for i in range(n_sites)]
        )

    @property
    def energy_unit(self) -> str:
        """Unit of the energies."""
        return energy_unit("K", self.coupling, "sigma.sigma")
