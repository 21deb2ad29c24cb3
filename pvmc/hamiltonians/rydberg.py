"""Rydberg atoms: two-level atoms driven by a laser, with van der Waals repulsion between excited ones."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from pvmc.hamiltonians.couplings import SiteField, energy_unit, site_values
from pvmc.hamiltonians.geometry import all_pairs, distances
from pvmc.hamiltonians.pauli import PauliSum, pair_sum, site_sum
from pvmc.hamiltonians.rotation import FieldModel, lattice_problem
from pvmc.lattice import Lattice, LatticeError


class RydbergSpec(FieldModel):
    """H = (Omega / 2) sum_i sigma^x_i - sum_i delta_i n_i + sum_{i<j} V r_ij^-6 n_i n_j,  n = (1 + sigma^z) / 2.

    s = +1 is the excited state.  Distances are to the nearest image, in units of the nearest-neighbour distance, so
    that V = Omega R_b^6 for a blockade radius R_b.  Bernien et al., Nature 551, 579 (2017).
    """

    needs_bonds = False

    model: Literal["rydberg"]
    """Rydberg atoms with van der Waals repulsion"""
    rabi: float = 1.0
    """Omega, Rabi frequency, energy unit (hbar = 1)"""
    detuning: SiteField = 0.0
    """delta, detuning, in the unit of Omega: uniform, site by site, or random; positive favours excited atoms"""
    interaction: float = 1.0
    """V, repulsion at distance 1, in the unit of Omega"""
    cutoff: float | None = Field(default=None, gt=0.0)
    """largest distance at which atoms interact; all do when it is left out"""

    def written(self, lattice: Lattice) -> PauliSum:
        """The operator on a lattice; raises KeyProblem for detunings of another number than N, or atoms nowhere."""
        n_sites, pairs = lattice.n_sites, all_pairs(lattice)
        try:
            distance = distances(lattice, pairs)
        except LatticeError as error:
            raise lattice_problem(self.model, error) from None
        repulsion = self.interaction * distance**-6.0
        if self.cutoff is not None:
            repulsion[distance > self.cutoff * (1 + 1e-12)] = 0.0
        detuning = site_values(self.detuning, n_sites, "hamiltonian.detuning")
        # n_i n_j = (1 + Z_i + Z_j + Z_i Z_j) / 4: half of every pair's repulsion adds to the fields of both its sites
        fields = np.bincount(pairs.ravel(), weights=np.repeat(repulsion, 2), minlength=n_sites) / 4 - detuning / 2
        constant = float(repulsion.sum() / 4 - detuning.sum() / 2)
        terms = constant + pair_sum("ZZ", pairs, repulsion / 4) + site_sum("Z", fields)
        return terms + site_sum("X", np.full(n_sites, 0.5 * self.rabi))

    @property
    def energy_unit(self) -> str:
        """Unit of the energies."""
        return energy_unit("Omega", self.rabi)
