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

from pvmc.numerics.arrays import Booleans, Floats, Integers, Numbers, Spins, count_planes, first_planes
from pvmc.spins.flips import FlipSets
from pvmc.wavefunctions.initial_scales import SCATTER
from pvmc.wavefunctions.jastrow import changes
from pvmc.wavefunctions.shared import (
    AnsatzSection,
    FixedState,
    LatticeOfSites,
    NamedParameters,
    Proposals,
    require_finite,
    symmetry_permutations,
)
from pvmc.wavefunctions.symmetry import SymmetryGroup, orbit_sums, pair_orbits, site_orbits


class JastrowSpec(AnsatzSection):
    """Long-range Jastrow factor of all pairs of spins."""

    kind: Literal["jastrow"]
    """Jastrow factor."""
    symmetry: Literal["none", "translation", "space"] = "translation"
    """Pairs that a symmetry maps to each other share their parameter; none: every pair has its own."""
    weights: Literal["complex", "real"] = "complex"
    """Number field of the parameters; real ones make psi positive."""
    one_body: bool = False
    """Give ln psi also the term sum_i a_i s_i, one a per orbit of the sites."""
    init: Literal["normal", "zero"] = "normal"
    """Initial parameters: Gaussian random numbers, or all zero (every configuration as likely)."""
    init_scale: float | None = Field(default=None, gt=0)
    """Standard deviation of the Gaussian initial parameters (of the real and of the imaginary parts each); default:
    0.7/N for pairs, 0.5/sqrt(N) for sites"""

    def build(self, lattice: LatticeOfSites) -> Jastrow:
        """The Jastrow factor on a lattice."""
        return Jastrow(
            symmetry_permutations(self, lattice),
            dtype=np.complex128 if self.weights == "complex" else np.float64,
            one_body=self.one_body,
            init_scale=self.init_scale if self.init == "normal" else 0.0,
        )


class Jastrow(NamedParameters):
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
        init_scale: float | None = None,
    ):
        """A Jastrow factor with the symmetry group ``permutations``, int64 (|G|, N), N >= 2."""
        self.orbits, self.pair_orbits = site_orbits(permutations), pair_orbits(permutations)
        shapes: dict[str, tuple[int, ...]] = {"one_body": (int(self.orbits.max()) + 1,)} if one_body else {}
        shapes["pair"] = (int(self.pair_orbits.max()) + 1,)
        super().__init__(permutations.shape[1], dtype, shapes, init_scale)
        group = SymmetryGroup.of_permutations(permutations)
        self.symmetry_group = group if one_body else group.with_spin_flip()

    def automatic_scales(self) -> dict[str, float | Floats]:
        """Var ln psi = N sigma^2 of one-body terms, N (N - 1) sigma^2 / 2 of pairs, shared or not."""
        pairs = self.n_sites * (self.n_sites - 1) / 2
        scales: dict[str, float | Floats] = {"one_body": SCATTER / self.n_sites**0.5, "pair": SCATTER / pairs**0.5}
        return {name: scales[name] for name in self.parameter_blocks}

    @property
    def lookup_size(self) -> int:
        """Q: J_i of every site, by planes."""
        return self.n_sites * count_planes(self.dtype)

    @property
    def table_bytes(self) -> int:
        """Memory of v_ij, as numbers and as planes."""
        return 2 * self.n_sites**2 * self.dtype.itemsize

    def at(self, theta: Numbers) -> JastrowState:
        """The wave function at theta, (K,) of ``dtype``; raises NumericalError where theta is not finite."""
        require_finite(theta, self.n_parameters, self.dtype)
        return JastrowState(self, theta)


class JastrowState(FixedState):
    """A Jastrow factor at fixed parameters, as a :class:`pvmc.wavefunctions.base.WaveFunction`.

    Attributes:
        pairs: v, (N, N), symmetric with zero diagonal.
        fields: a, (N,), zero without a one-body term.
    """

    def __init__(self, ansatz: Jastrow, theta: Numbers):
        self.ansatz, self.dtype, self.n_parameters = ansatz, ansatz.dtype, ansatz.n_parameters
        strengths = np.append(ansatz.block(theta, "pair"), 0.0)  # the last one: of orbit -1
        self.pairs = np.ascontiguousarray(strengths[ansatz.pair_orbits])
        self.fields = np.zeros(ansatz.n_sites, dtype=self.dtype)
        if "one_body" in ansatz.parameter_blocks:
            self.fields = ansatz.block(theta, "one_body")[ansatz.orbits]
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

    def fill_ratios(self, spins: Spins, lookup: Floats, flips: FlipSets, wanted: Booleans, out: Floats) -> None:
        """psi(s')/psi(s) in O(|X|^2) operations."""
        changes.pair_ratios(self._pair_planes, lookup, spins, flips.offsets, flips.sites, wanted, out)

    def step(self, spins: Spins, lookup: Floats, proposals: Proposals, accepted: Integers) -> None:
        """Metropolis steps by the kernel."""
        changes.pair_metropolis(self._pair_planes, lookup, spins, *proposals.arrays, accepted)

    def move(self, spins: Spins, lookup: Floats, sites: Integers, accept: Booleans) -> None:
        """Flip the sites in the accepting walkers; spins and look-up are updated."""
        changes.pair_update(self._pair_planes, lookup, spins, sites, accept, np.empty(spins.shape[1]))

    def fill_derivatives(self, spins: Spins, lookup: Floats, out: Numbers) -> None:
        """O_a = sum of the orbit's spins, O_v = sum of s_i s_j over the orbit's pairs i < j."""
        ansatz = self.ansatz
        if "one_body" in ansatz.parameter_blocks:
            out[ansatz.parameter_blocks["one_body"][0]] = orbit_sums(ansatz.orbits, spins)
        part, (n_pairs,) = ansatz.parameter_blocks["pair"]
        sums = np.empty((n_pairs, spins.shape[1]))
        changes.pair_sums(ansatz.pair_orbits, spins, sums)
        out[part] = sums
