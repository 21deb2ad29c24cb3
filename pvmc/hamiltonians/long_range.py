"""Couplings that fall off with a power of the distance, and the Haldane-Shastry chain."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from pvmc.hamiltonians.couplings import SiteField, energy_unit, site_values
from pvmc.hamiltonians.geometry import all_pairs, distances, images, is_ring, nearest_images
from pvmc.hamiltonians.heisenberg import xyz, zeeman
from pvmc.hamiltonians.ising import transverse_field_ising
from pvmc.hamiltonians.pauli import PauliSum, site_sum
from pvmc.hamiltonians.rotation import FieldModel, MarshallModel, lattice_problem
from pvmc.lattice import Lattice, LatticeError


def power_law(lattice: Lattice, exponent: float, n_images: int = 0) -> npt.NDArray[np.float64]:
    """Coupling of every pair i < j in lexicographic order, float64 (N (N - 1) / 2,).

    J_ij = mean over v of sum over T of |v + T|^-alpha, where v are the vectors from i to the nearest image of j
    (several are equally near on half a period) and T the sums of periods within n_images of them, see
    :func:`pvmc.hamiltonians.geometry.images`.  This is the truncated sum over the periodic continuation of the cluster,
    about the nearest image, so that it has all symmetries of the lattice; it converges for alpha above the dimension.
    With n_images = 0, and on an open lattice, it is r^-alpha at the distance r of the nearest image.

    Args:
        lattice: sites and periods; distances are in units of the nearest-neighbour distance.
        exponent: alpha.
        n_images: images along each period, in both senses.

    Raises:
        LatticeError: sites lie nowhere, or two on the same point.
    """
    pairs = all_pairs(lattice)
    nearest = distances(lattice, pairs)
    if n_images == 0:
        return nearest**-exponent
    vectors, rows = nearest_images(lattice, pairs)
    sums = np.zeros(len(vectors))
    for image in images(lattice, n_images):  # one at a time: there may be thousands
        sums += np.linalg.norm(vectors + image, axis=1) ** -exponent
    return np.bincount(rows, weights=sums) / np.bincount(rows)


def _couplings(lattice: Lattice, model: str, exponent: float, n_images: int) -> npt.NDArray[np.float64]:
    """:func:`power_law`; raises KeyProblem where distances are not known."""
    try:
        return power_law(lattice, exponent, n_images)
    except LatticeError as error:
        raise lattice_problem(model, error) from None


class LongRangeIsingSpec(FieldModel):
    """H = -J sum_{i<j} r_ij^-alpha sigma^z_i sigma^z_j - sum_i h_i sigma^x_i - sum_i g_i sigma^z_i.

    Trapped ions realise J < 0 with alpha from 0 to 3 (Britton et al., Nature 484, 489 (2012)).  Distances r are to
    the nearest image, in units of the nearest-neighbour distance; see ``images``.
    """

    needs_bonds = False

    model: Literal["long_range_ising"]
    """Ising model with power-law couplings in a transverse field"""
    coupling: float = 1.0
    """J at distance 1, energy unit; positive is ferromagnetic"""
    exponent: float = Field(default=3.0, ge=0.0)
    """alpha, power of the distance"""
    images: int = Field(default=0, ge=0, le=1000)
    """periodic lattices: 0 couples the nearest images alone, n > 0 sums all images within n periods of the nearest"""
    field: SiteField = 1.0
    """h, transverse field: uniform, site by site, or random"""
    longitudinal: SiteField = 0.0
    """g, longitudinal field: uniform, site by site, or random"""

    def written(self, lattice: Lattice) -> PauliSum:
        """The operator on a lattice; raises KeyProblem for a list of fields not of length N, or no positions."""
        transverse = site_values(self.field, lattice.n_sites, "hamiltonian.field")
        longitudinal = site_values(self.longitudinal, lattice.n_sites, "hamiltonian.longitudinal")
        couplings = self.coupling * _couplings(lattice, self.model, self.exponent, self.images)
        terms = transverse_field_ising(lattice.n_sites, all_pairs(lattice), couplings, transverse)
        return terms + site_sum("Z", -longitudinal)

    @property
    def energy_unit(self) -> str:
        """Unit of the energies."""
        return energy_unit("J", self.coupling, "sigma.sigma")


class LongRangeXXZSpec(MarshallModel):
    """H = J sum_{i<j} r_ij^-alpha [ S^x_i S^x_j + S^y_i S^y_j + Delta S^z_i S^z_j ] - sum_i h_i S^z_i.

    Distances r are to the nearest image, in units of the nearest-neighbour distance; see ``images``.  Maghrebi, Gong
    and Gorshkov, Phys. Rev. Lett. 119, 023001 (2017).
    """

    needs_bonds = False

    model: Literal["long_range_xxz"]
    """XXZ model of spins 1/2 with power-law couplings"""
    coupling: float = 1.0
    """J at distance 1, energy unit; positive is antiferromagnetic"""
    anisotropy: float = 1.0
    """Delta, strength of the S^z S^z term relative to the in-plane terms"""
    exponent: float = Field(default=3.0, ge=0.0)
    """alpha, power of the distance"""
    images: int = Field(default=0, ge=0, le=1000)
    """periodic lattices: 0 couples the nearest images alone, n > 0 sums all images within n periods of the nearest"""
    field: SiteField = 0.0
    """h, field along z: uniform, site by site, or random"""

    def written(self, lattice: Lattice) -> PauliSum:
        """The operator on a lattice; raises KeyProblem where sites lie nowhere."""
        couplings = self.coupling * _couplings(lattice, self.model, self.exponent, self.images)
        terms = xyz(all_pairs(lattice), (1.0, 1.0, self.anisotropy), couplings)
        terms += zeeman("Z", self.field, lattice.n_sites, "hamiltonian.field")
        return terms

    @property
    def energy_unit(self) -> str:
        """Unit of the energies."""
        return energy_unit("J", self.coupling, "S.S")


class HaldaneShastrySpec(MarshallModel):
    """H = J sum_{i<j} d_ij^-2 S_i . S_j on a ring, with the chord d = (N / pi) sin(pi (i - j) / N).

    Haldane, Phys. Rev. Lett. 60, 635 (1988); Shastry, Phys. Rev. Lett. 60, 639 (1988): for even N the ground state is
    the Gutzwiller projection of free fermions, with energy -J (pi^2 / 24) (N + 5 / N); it obeys the Marshall rule.
    """

    model: Literal["haldane_shastry"]
    """Haldane-Shastry chain of spins 1/2"""
    coupling: float = 1.0
    """J, energy unit; positive is antiferromagnetic"""

    def written(self, lattice: Lattice) -> PauliSum:
        """The operator on a ring; raises KeyProblem on other lattices."""
        if not is_ring(lattice):
            raise lattice_problem(self.model, 'needs a ring: lattice kind "chain", periodic = true')
        pairs = all_pairs(lattice)
        chords = lattice.n_sites / np.pi * np.sin(np.pi * (pairs[:, 1] - pairs[:, 0]) / lattice.n_sites)
        terms = xyz(pairs, (1.0, 1.0, 1.0), self.coupling / chords**2)
        return terms

    @property
    def energy_unit(self) -> str:
        """Unit of the energies."""
        return energy_unit("J", self.coupling, "S.S")
