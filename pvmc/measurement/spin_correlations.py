"""Correlations of pairs of spins, structure factors, and the square of the staggered magnetisation.

All are linear in sums of sigma^a_i sigma^a_j over the orbits of pairs under the lattice's translations, which are made
once for all three.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt

from pvmc.errors import InputError
from pvmc.io.schema import Coordinate
from pvmc.lattice import Lattice, LatticeError
from pvmc.lattice.unit_cell import minimum_image
from pvmc.measurement.observable import Dataset, Frame, LocalValues, Sample
from pvmc.numerics.arrays import Booleans, Floats, Integers
from pvmc.numerics.kernels import kernel
from pvmc.spins.flips import FlipSets
from pvmc.vmc.job import Job

LETTERS = ("xx", "yy", "zz")

PAIRS_AT_ONCE = 2048
"""Pairs whose ratios are made in one go, so that memory does not grow with the square of the sites."""


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
        """(n, n_orbits) x (n_orbits, L) -> float64 (n, L)."""
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

    def means(self, values: Floats) -> Floats:
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


@dataclass(frozen=True, eq=False)
class PairSums:
    """Local values of sigma^a_i sigma^a_j, summed over the orbits of pairs.

    Attributes:
        orbits: the pairs.
        signs: see :class:`pvmc.measurement.observable.Frame`.
        fixed: see there; only antiparallel pairs are flipped then.
    """

    orbits: PairOrbits
    signs: Floats
    fixed: bool

    @classmethod
    def of(cls, frame: Frame) -> PairSums:
        """Those of a frame."""
        return cls(PairOrbits.of(frame.lattice), frame.signs, frame.fixed)

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

    def __call__(self, sample: Sample) -> Floats:
        """float64 (3, n_orbits, L) for xx, yy and zz.

        With r = psi(s with i and j flipped) / psi(s) the local values are r, -s_i s_j r and s_i s_j.
        """
        spins = sample.spins
        sums = np.zeros((3, len(self.orbits.sizes), spins.shape[1]))
        for pairs, orbit, flips, signs in self._pieces:
            both = products(spins, pairs)
            wanted: Booleans = both < 0 if self.fixed else np.ones(both.shape, dtype=np.bool_)
            along_x = sample.psi.ratios(spins, sample.lookup, flips, wanted).real * signs
            add_to_orbits(along_x, orbit, sums[0])
            add_to_orbits(-both * along_x, orbit, sums[1])
            add_to_orbits(both.astype(np.float64), orbit, sums[2])
        return sums


class PairObservable(LocalValues):
    """An observable that is linear in the sums over the orbits of pairs."""

    @abstractmethod
    def linear_in(self, orbits: PairOrbits) -> Linear:
        """The rows of one letter in terms of the sums over orbits."""

    @cached_property
    def linear(self) -> Linear:
        """The rows of one letter, made at the first draw."""
        return self.linear_in(self.frame.shared(PairSums.of).orbits)

    def sums(self, sample: Sample) -> Floats:
        """float64 (3, n_orbits, L), made once for all observables of a draw."""
        return sample.shared(self.frame.shared(PairSums.of))

    def values(self, sample: Sample) -> Floats:
        """float64 (3 n, L): the n rows of xx, then those of yy and zz."""
        return np.concatenate([self.linear.of(letter) for letter in self.sums(sample)])


class Correlations(PairObservable):
    """C(r) = <sigma_0 sigma_r> for every site r."""

    name = "correlations"
    help = "<sigma_0 sigma_r> for xx, yy and zz, averaged over the lattice's translations"
    datasets = tuple(
        Dataset(
            f"correlation_{letters}", "<sigma_0 sigma_r>, averaged over the lattice's translations", ("displacement",)
        )
        for letters in LETTERS
    )
    axes = (
        Coordinate(
            "displacement", ("displacement", "component"), "float64", "a", "shortest vector from site 0 to site r"
        ),
        Coordinate("distance", ("displacement",), "float64", "a", "its length"),
    )
    figure = "correlations"

    def __init__(self, frame: Frame):
        super().__init__(frame)
        displacements = from_site_0(frame.lattice)
        self.coordinates = {"displacement": displacements, "distance": np.linalg.norm(displacements, axis=1)}

    def linear_in(self, orbits: PairOrbits) -> Linear:
        """The mean over the orbit of the pair (0, r), for every site r, N rows; 1 for r = 0."""
        n_sites = orbits.lattice.n_sites
        factors = np.zeros((n_sites, len(orbits.sizes)))
        from_zero = orbits.orbit[: n_sites - 1]  # the pairs (0, 1), (0, 2), ... come first
        factors[np.arange(1, n_sites), from_zero] = 1.0 / orbits.sizes[from_zero]
        constants = np.zeros(n_sites)
        constants[0] = 1.0
        return Linear(factors, constants)


class StructureFactor(PairObservable):
    """S(q) for every momentum of the lattice."""

    name = "structure_factor"
    help = "S(q) = 1/N sum_ij exp(i q (r_i - r_j)) <sigma_i sigma_j> for xx, yy and zz, of all pairs of sites"
    datasets = tuple(
        Dataset(f"structure_factor_{letters}", "1/N sum_ij exp(i q (r_i - r_j)) <sigma_i sigma_j>", ("momentum",))
        for letters in LETTERS
    )
    axes = (
        Coordinate(
            "momentum", ("momentum", "component"), "float64", "1/a", "wave vectors that periodic directions allow"
        ),
    )
    figure = "structure-factor"

    def __init__(self, frame: Frame):
        super().__init__(frame)
        self.coordinates = {"momentum": frame.lattice.momenta()}

    def linear_in(self, orbits: PairOrbits) -> Linear:
        """1 + 2/N sum_{i<j} cos(q (r_i - r_j)) <sigma_i sigma_j>, one row for each momentum."""
        positions, momenta = orbits.lattice.positions, orbits.lattice.momenta()
        first, second = orbits.pairs.T
        separations = positions[first] - positions[second]
        factors = np.zeros((len(momenta), len(orbits.sizes)))
        for row, momentum in zip(factors, momenta, strict=True):
            row[:] = orbits.means(np.cos(separations @ momentum)) * (2.0 / orbits.lattice.n_sites)
        return Linear(factors, np.ones(len(momenta)))


class StaggeredMagnetization(PairObservable):
    """The square of the staggered magnetisation."""

    name = "staggered"
    help = "1/N^2 sum_ij e_i e_j <sigma_i . sigma_j>, e = +1, -1 on the two sublattices; the sum over x, y and z"
    datasets = (
        Dataset("staggered_magnetization_squared", "1/N^2 sum_ij e_i e_j <sigma_i . sigma_j>, e = +-1 on A and B"),
    )

    @classmethod
    def is_default(cls, job: Job) -> bool:
        """True on a lattice of two sublattices."""
        return _is_bipartite(job.lattice)

    @classmethod
    def create(cls, arguments: Sequence[str], frame: Frame) -> Iterator[Self]:
        """One, on a lattice of two sublattices.

        Raises:
            InputError: the lattice has none.
        """
        try:
            frame.lattice.sublattices()
        except LatticeError as error:
            raise InputError(f"--observables {cls.name}: needs a bipartite lattice: {error}") from None
        yield cls(frame)

    def linear_in(self, orbits: PairOrbits) -> Linear:
        """1/N + 2/N^2 sum_{i<j} e_i e_j <sigma_i sigma_j> of one letter, 1 row."""
        signs, n_sites = orbits.lattice.sublattices().astype(np.float64), orbits.lattice.n_sites
        alternating = signs[orbits.pairs[:, 0]] * signs[orbits.pairs[:, 1]]
        return Linear(orbits.means(alternating)[np.newaxis] * (2.0 / n_sites**2), np.array([1.0 / n_sites]))

    def values(self, sample: Sample) -> Floats:
        """float64 (1, L); the constant of a site with itself counts once for each letter."""
        first, *others = self.sums(sample)
        return sum((self.linear.of(letter) for letter in others), self.linear.of(first))


def from_site_0(lattice: Lattice) -> Floats:
    """The shortest vectors from site 0 to every site, float64 (N, d), in units of the nearest distance."""
    return minimum_image(lattice.positions - lattice.positions[0], lattice.periods)


def _is_bipartite(lattice: Lattice) -> bool:
    try:
        lattice.sublattices()
    except LatticeError:
        return False
    return True
