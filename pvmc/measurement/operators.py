"""Local values: what an operator is worth on one configuration, so that their mean over |psi|^2 is its expectation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pvmc.hamiltonians import Operator
from pvmc.measurement.spin_correlations import Linear, PairOrbits, add_to_orbits, products
from pvmc.numerics.arrays import Booleans, Floats, Integers, Spins
from pvmc.spins.flips import FlipSets
from pvmc.wavefunctions.base import WaveFunction

PAIRS_AT_ONCE = 2048
"""Pairs whose ratios are made in one go, so that memory does not grow with the square of the sites."""


@dataclass(frozen=True)
class SiteValues:
    """Means over the sites of sigma^x, sigma^y and sigma^z (3 rows).

    Attributes:
        n_sites: N.
        signs: float64 (N,): -1 where the Hamiltonian's frame is turned by pi about z, else +1.
        fixed: whether all configurations have one magnetisation, out of which no single flip leads back.
    """

    n_sites: int
    signs: Floats
    fixed: bool
    size = 3

    @cached_property
    def _flips(self) -> FlipSets:
        return FlipSets.from_lists([[site] for site in range(self.n_sites)])

    def __call__(self, psi: WaveFunction, spins: Spins, lookup: Floats) -> Floats:
        """float64 (3, L): <s|sigma^x|-s> = 1 and <s|sigma^y|-s> = -i s, times psi(-s) / psi(s)."""
        values = np.zeros((3, spins.shape[1]))
        if not self.fixed:
            ratios = psi.ratios(spins, lookup, self._flips, np.ones(spins.shape, dtype=np.bool_))
            values[0] = (self.signs @ ratios.real) / self.n_sites
            values[1] = (self.signs @ (spins * ratios.imag)) / self.n_sites
        values[2] = spins.sum(axis=0, dtype=np.int64) / self.n_sites
        return values


@dataclass(frozen=True)
class PairValues:
    """Linear functions of <sigma^a_i sigma^a_j>: the rows of each for xx, yy and zz, or of their sum.

    Attributes:
        orbits: the pairs.
        functions: what is made of them: for each of the letters in turn, then the next function.
        total: what is made of the sum over the letters.
        signs: as of :class:`SiteValues`.
        fixed: as well; only antiparallel pairs are flipped then.
    """

    orbits: PairOrbits
    functions: tuple[Linear, ...]
    total: tuple[Linear, ...]
    signs: Floats
    fixed: bool

    @property
    def size(self) -> int:
        """Number of rows."""
        return sum(3 * len(one.constants) for one in self.functions) + sum(len(one.constants) for one in self.total)

    @cached_property
    def _pieces(self) -> list[tuple[Integers, Integers, FlipSets, Floats]]:
        """Pairs, their orbits, flips and signs, so many at a time."""
        pieces = []
        for start in range(0, len(self.orbits.pairs), PAIRS_AT_ONCE):
            part = slice(start, start + PAIRS_AT_ONCE)
            pairs = self.orbits.pairs[part]
            signs = self.signs[pairs[:, 0]] * self.signs[pairs[:, 1]]
            pieces.append((pairs, self.orbits.orbit[part], FlipSets.from_lists(pairs.tolist()), signs[:, np.newaxis]))
        return pieces

    def orbit_sums(self, psi: WaveFunction, spins: Spins, lookup: Floats) -> Floats:
        """Local values of sigma^a_i sigma^a_j summed over each orbit, float64 (3, n_orbits, L) for xx, yy, zz.

        With r = psi(s with i and j flipped) / psi(s) they are r, -s_i s_j r and s_i s_j.
        """
        sums = np.zeros((3, len(self.orbits.sizes), spins.shape[1]))
        for pairs, orbit, flips, signs in self._pieces:
            both = products(spins, pairs)
            wanted: Booleans = both < 0 if self.fixed else np.ones(both.shape, dtype=np.bool_)
            along_x = psi.ratios(spins, lookup, flips, wanted).real * signs
            add_to_orbits(along_x, orbit, sums[0])
            add_to_orbits(-both * along_x, orbit, sums[1])
            add_to_orbits(both.astype(np.float64), orbit, sums[2])
        return sums

    def __call__(self, psi: WaveFunction, spins: Spins, lookup: Floats) -> Floats:
        """float64 (size, L)."""
        sums = self.orbit_sums(psi, spins, lookup)
        rows = [function.of(letter) for function in self.functions for letter in sums]
        # The constant of a site with itself counts once for each letter.
        rows += [sum((function.of(letter) for letter in sums[1:]), function.of(sums[0])) for function in self.total]
        return np.concatenate(rows)


@dataclass(frozen=True)
class OperatorValues:
    """Real parts of the local values of an operator (1 row).

    Attributes:
        operator: the operator, in the frame of the Hamiltonian.
        fixed: whether all configurations have one magnetisation: flips that lead out of it do not count.
    """

    operator: Operator
    fixed: bool
    size = 1

    def __call__(self, psi: WaveFunction, spins: Spins, lookup: Floats) -> Floats:
        """float64 (1, L)."""
        operator = self.operator
        values = operator.diagonal(spins)
        if len(operator.flips):
            amplitudes = operator.amplitudes(spins)
            wanted = amplitudes != 0
            if self.fixed:
                flips = operator.flips
                wanted &= np.add.reduceat(spins[flips.sites].astype(np.int64), flips.offsets[:-1], axis=0) == 0
            ratios = psi.ratios(spins, lookup, operator.flips, wanted)
            values = values + np.einsum("kl,kl->l", amplitudes, ratios).real
        return np.asarray(values[np.newaxis], dtype=np.float64)
