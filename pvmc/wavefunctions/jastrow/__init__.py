"""The long-range Jastrow factor: every pair of spins is correlated on its own.

    ln psi(s) = 1/2 sum_{i != j} v_ij s_i s_j + sum_i a_i s_i,        v_ij = v_ji,

one v per pair, or per orbit of the pairs under the symmetry group (on a ring: per distance); the one-body term is
optional.  Jastrow, Phys. Rev. 98, 1479 (1955); for spins Huse & Elser, Phys. Rev. Lett. 60, 2531 (1988).

The look-up J_i = a_i + sum_j v_ij s_j gives ratios in O(|X|^2) operations for a set X of flipped spins.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from pvmc.numerics.arrays import Booleans, Floats, Integers, Numbers, Spins, first_planes, plane_view
from pvmc.spins.flips import FlipSets
from pvmc.wavefunctions.base import Blocks
from pvmc.wavefunctions.fallback import gaussian, require_finite
from pvmc.wavefunctions.jastrow import changes
from pvmc.wavefunctions.section import AnsatzSection, Lattice, symmetry_permutations
from pvmc.wavefunctions.symmetry import SymmetryGroup


def site_orbits(permutations: Integers) -> Integers:
    """The index of every site's orbit under a group of permutations (|G|, N); int64 (N,)."""
    _, orbits = np.unique(permutations.min(axis=0), return_inverse=True)
    return orbits.astype(np.int64)


def pair_orbits(permutations: Integers) -> Integers:
    """The index of the orbit of every unordered pair of distinct sites; int64 (N, N), symmetric, -1 on the diagonal."""
    n_sites = permutations.shape[1]
    lowest = np.full((n_sites, n_sites), n_sites**2, dtype=np.int64)
    for permutation in permutations:
        image = permutation[:, None] * n_sites + permutation
        np.minimum(lowest, np.minimum(image, image.T), out=lowest)
    distinct = ~np.eye(n_sites, dtype=np.bool_)
    orbits = np.full((n_sites, n_sites), -1, dtype=np.int64)
    _, orbits[distinct] = np.unique(lowest[distinct], return_inverse=True)
    return orbits


def orbit_sums(orbits: Integers, spins: Spins) -> Floats:
    """The sum of the spins of every orbit of sites, (n_orbits, L)."""
    members = orbits == np.arange(orbits.max() + 1)[:, None]
    return members.astype(np.float64) @ spins.astype(np.float64)


class JastrowSpec(AnsatzSection):
    """Long-range Jastrow factor of all pairs of spins."""

    kind: Literal["jastrow"]
    """Jastrow factor."""
    symmetry: Literal["none", "translation", "space"] = "translation"
    """Pairs that a symmetry maps to each other share their parameter; none: every pair has its own."""
    weights: Literal["complex", "real"] = "complex"
    """Number field of the parameters; real ones make psi positive."""
    one_body: bool = False
    """Whether ln psi also has the term sum_i a_i s_i, one a per orbit of the sites."""
    init: Literal["normal", "zero"] = "normal"
    """Initial parameters: Gaussian random numbers, or all zero (every configuration as likely)."""
    init_scale: float = Field(default=0.05, gt=0)
    """Standard deviation of the Gaussian initial parameters (of the real and of the imaginary parts each)."""

    def build(self, lattice: Lattice) -> Jastrow:
        """The Jastrow factor on a lattice."""
        return Jastrow(
            symmetry_permutations(self, lattice),
            dtype=np.complex128 if self.weights == "complex" else np.float64,
            one_body=self.one_body,
            init_scale=self.init_scale if self.init == "normal" else 0.0,
        )


class Jastrow:
    """The Jastrow factor as an :class:`pvmc.wavefunctions.base.Ansatz`; theta is [a (if there is a one-body term), v].

    Attributes:
        orbits: int64 (N,), the index of every site's orbit.
        pair_orbits: int64 (N, N), the index of every pair's orbit; -1 on the diagonal.
        symmetry_group: the symmetries that psi has exactly; without a one-body term spin flip is one of them.
    """

    def __init__(
        self,
        permutations: npt.NDArray[np.int64],
        *,
        dtype: npt.DTypeLike,
        one_body: bool = False,
        init_scale: float = 0.05,
    ):
        """A Jastrow factor with the symmetry group ``permutations``, int64 (|G|, N), N >= 2."""
        self.dtype = np.dtype(dtype)
        self.n_sites = permutations.shape[1]
        self.orbits, self.pair_orbits = site_orbits(permutations), pair_orbits(permutations)
        n_fields, n_pairs = int(self.orbits.max()) + 1 if one_body else 0, int(self.pair_orbits.max()) + 1
        blocks: dict[str, tuple[slice, tuple[int, ...]]] = {}
        if one_body:
            blocks["one_body"] = (slice(0, n_fields), (n_fields,))
        blocks["pair"] = (slice(n_fields, n_fields + n_pairs), (n_pairs,))
        self.parameter_blocks: Blocks = blocks
        self.n_parameters = n_fields + n_pairs
        self.init_scale = init_scale
        group = SymmetryGroup.of_permutations(permutations)
        self.symmetry_group = group if one_body else group.with_spin_flip()

    @property
    def lookup_size(self) -> int:
        """Q: J_i of every site, by planes."""
        return self.n_sites * self.dtype.itemsize // 8

    @property
    def table_bytes(self) -> int:
        """Memory of v_ij, as numbers and as planes."""
        return 2 * self.n_sites**2 * self.dtype.itemsize

    def initial_parameters(self, rng: np.random.Generator) -> Numbers:
        """Independent Gaussians of standard deviation ``init_scale`` (0: psi = 1); (K,)."""
        return gaussian(rng, self.n_parameters, self.dtype, self.init_scale)

    def at(self, theta: Numbers) -> JastrowState:
        """The wave function at theta, (K,) of ``dtype``; raises NumericalError where theta is not finite."""
        require_finite(theta, self.n_parameters, self.dtype)
        return JastrowState(self, theta)


class JastrowState:
    """A Jastrow factor at fixed parameters, as a :class:`pvmc.wavefunctions.base.WaveFunction`.

    Attributes:
        pairs: v, (N, N), symmetric with zero diagonal.
        fields: a, (N,), zero without a one-body term.
    """

    def __init__(self, ansatz: Jastrow, theta: Numbers):
        self.ansatz, self.dtype = ansatz, ansatz.dtype
        strengths = np.append(theta[ansatz.parameter_blocks["pair"][0]], 0.0)  # the last one: of orbit -1
        self.pairs = np.ascontiguousarray(strengths[ansatz.pair_orbits])
        self.fields = np.zeros(ansatz.n_sites, dtype=self.dtype)
        if "one_body" in ansatz.parameter_blocks:
            self.fields = theta[ansatz.parameter_blocks["one_body"][0]][ansatz.orbits]
        self._pair_planes = first_planes(self.pairs)
        self._field_planes = first_planes(self.fields)

    def log_psi(self, spins: Spins) -> Numbers:
        """ln psi(s), (L,)."""
        values = spins.astype(np.float64)
        total: Numbers = ((0.5 * (self.pairs @ values) + self.fields[:, None]) * values).sum(axis=0)
        return total

    def lookup(self, spins: Spins) -> Floats:
        """J_i = a_i + sum_j v_ij s_j by planes, float64 (n_planes * N, L)."""
        value = np.matmul(self._pair_planes, spins.astype(np.float64)) + self._field_planes[:, :, None]
        return value.reshape(-1, spins.shape[1])

    def ratios(self, spins: Spins, lookup: Floats, flips: FlipSets, wanted: Booleans) -> Numbers:
        """psi(s')/psi(s), (n_flips, L), 0 where not wanted; inf beyond the range of float64, never NaN."""
        out = np.empty(wanted.shape, dtype=self.dtype)
        view = plane_view(out)
        changes.pair_ratios(self._pair_planes, lookup, spins, flips.offsets, flips.sites, wanted, view)
        return out

    def metropolis(
        self,
        spins: Spins,
        lookup: Floats,
        flips: FlipSets,
        conserving: Booleans,
        chosen: Integers,
        uniforms: Floats,
    ) -> Integers:
        """Metropolis steps on all walkers, see :meth:`pvmc.wavefunctions.base.WaveFunction.metropolis`."""
        accepted = np.zeros(spins.shape[1], dtype=np.int64)
        changes.pair_metropolis(
            self._pair_planes, lookup, spins, flips.offsets, flips.sites, conserving, chosen, uniforms, accepted
        )
        return accepted

    def move(self, spins: Spins, lookup: Floats, sites: Integers, accept: Booleans) -> None:
        """Flip the sites in the accepting walkers; spins and look-up are updated."""
        changes.pair_update(self._pair_planes, lookup, spins, sites, accept, np.empty(spins.shape[1]))

    def log_derivatives(self, spins: Spins, lookup: Floats, out: Numbers | None = None) -> Numbers:
        """O_k, (K, L): O_a = sum of the orbit's spins, O_v = sum of s_i s_j over the orbit's pairs i < j."""
        ansatz = self.ansatz
        if out is None:
            out = np.empty((ansatz.n_parameters, spins.shape[1]), dtype=self.dtype)
        if "one_body" in ansatz.parameter_blocks:
            out[ansatz.parameter_blocks["one_body"][0]] = orbit_sums(ansatz.orbits, spins)
        part, (n_pairs,) = ansatz.parameter_blocks["pair"]
        sums = np.empty((n_pairs, spins.shape[1]))
        changes.pair_sums(ansatz.pair_orbits, spins, sums)
        out[part] = sums
        return out
