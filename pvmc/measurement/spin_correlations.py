"""Pairs of sites put together by translations, and what correlations and structure factors are in terms of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pvmc.lattice import Lattice
from pvmc.lattice.unit_cell import minimum_image
from pvmc.numerics.arrays import Floats, Integers
from pvmc.numerics.kernels import kernel


@dataclass(frozen=True)
class Linear:
    """Numbers that are linear in the sums over the orbits of pairs.

    Attributes:
        factors: float64 (n, n_orbits).
        constants: float64 (n,), the part of pairs of a site with itself.
    """

    factors: Floats
    constants: Floats

    def of(self, sums: Floats) -> Floats:
        """float64 (n, L) of the sums (n_orbits, L)."""
        return np.asarray(self.factors @ sums + self.constants[:, np.newaxis])


@dataclass(frozen=True)
class PairOrbits:
    """All pairs i < j of sites, and which of them the translations of the lattice take into each other.

    Attributes:
        lattice: the lattice.
        pairs: int64 (n_pairs, 2).
        orbit: int64 (n_pairs,), number of the orbit of each pair.
        sizes: int64 (n_orbits,), pairs in each orbit.
    """

    lattice: Lattice
    pairs: Integers
    orbit: Integers
    sizes: Integers

    @classmethod
    def of(cls, lattice: Lattice) -> PairOrbits:
        """The pairs of a lattice; each is an orbit of its own where there are no translations."""
        n_sites = lattice.n_sites
        first, second = np.triu_indices(n_sites, k=1)
        label = np.full(len(first), n_sites**2, dtype=np.int64)
        for image in lattice.group("translation" if "translation" in lattice.generators else "none"):
            a, b = image[first], image[second]
            label = np.minimum(label, np.minimum(a, b) * n_sites + np.maximum(a, b))
        _, orbit, sizes = np.unique(label, return_inverse=True, return_counts=True)
        pairs = np.stack([first, second], axis=1).astype(np.int64)
        return cls(lattice, pairs, orbit.astype(np.int64), sizes.astype(np.int64))

    def displacements(self) -> Floats:
        """The shortest vectors from site 0 to every site, float64 (N, d), in units of the nearest distance."""
        positions = self.lattice.positions
        return minimum_image(positions - positions[0], self.lattice.periods)

    def correlation(self) -> Linear:
        """C(r) = <sigma_0 sigma_r>, the mean over the orbit of the pair, for every site r (N rows)."""
        n_sites = self.lattice.n_sites
        factors = np.zeros((n_sites, len(self.sizes)))
        from_zero = self.orbit[: n_sites - 1]  # the pairs (0, 1), (0, 2), ... come first
        factors[np.arange(1, n_sites), from_zero] = 1.0 / self.sizes[from_zero]
        constants = np.zeros(n_sites)
        constants[0] = 1.0
        return Linear(factors, constants)

    def structure_factor(self) -> Linear:
        """S(q) = 1/N sum_ij exp(i q (r_i - r_j)) <sigma_i sigma_j>, for every momentum of the lattice."""
        first, second = self.pairs.T
        separations = self.lattice.positions[first] - self.lattice.positions[second]
        momenta = self.lattice.momenta()
        factors = np.zeros((len(momenta), len(self.sizes)))
        for row, momentum in zip(factors, momenta, strict=True):
            row[:] = self._means(np.cos(separations @ momentum)) * (2.0 / self.lattice.n_sites)
        return Linear(factors, np.ones(len(momenta)))

    def staggered(self) -> Linear:
        """1/N^2 sum_ij e_i e_j <sigma_i sigma_j> with e = +-1 on the two sublattices (1 row).

        Raises:
            LatticeError: the lattice has no two sublattices.
        """
        signs = self.lattice.sublattices().astype(np.float64)
        n_sites = self.lattice.n_sites
        products = signs[self.pairs[:, 0]] * signs[self.pairs[:, 1]]
        return Linear(self._means(products)[np.newaxis] * (2.0 / n_sites**2), np.array([1.0 / n_sites]))

    def _means(self, values: Floats) -> Floats:
        """Means over the pairs of each orbit, on which the values are the same up to rounding."""
        return np.bincount(self.orbit, weights=values, minlength=len(self.sizes)) / self.sizes


@kernel
def add_to_orbits(values: Floats, orbit: Integers, sums: Floats) -> None:
    """Add the rows of values, float64 (n, L), to the rows of sums that ``orbit``, int64 (n,), names."""
    for pair in range(values.shape[0]):
        row = orbit[pair]
        for lane in range(values.shape[1]):
            sums[row, lane] += values[pair, lane]


def products(spins: npt.NDArray[np.int8], pairs: Integers) -> npt.NDArray[np.int8]:
    """s_i s_j, int8 (n, L), of configurations (N, L)."""
    return np.asarray(spins[pairs[:, 0]] * spins[pairs[:, 1]])
