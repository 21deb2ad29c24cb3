"""The mean-field wave function: a product of single spins.

    ln psi(s) = sum_i ln phi_i(s_i),        ln phi_i(s) = a_i s,

one a per orbit of the sites under the symmetry group (a single one where all sites are alike), or per site.  A complex
a reaches every state of a spin up to norm and phase, tan(vartheta/2) exp(i varphi) = exp(-2a) on the Bloch sphere; a
real one those with positive amplitudes.
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
from pvmc.wavefunctions.jastrow import changes, orbit_sums, site_orbits
from pvmc.wavefunctions.section import AnsatzSection, Lattice, symmetry_permutations
from pvmc.wavefunctions.symmetry import SymmetryGroup


class MeanFieldSpec(AnsatzSection):
    """Mean field: a product of single-spin states."""

    kind: Literal["mean_field"]
    """Mean field."""
    symmetry: Literal["none", "translation", "space"] = "translation"
    """Sites that a symmetry maps to each other share their spin state; none: every site has its own."""
    weights: Literal["complex", "real"] = "complex"
    """Number field of the parameters; real ones make psi positive."""
    init: Literal["normal", "zero"] = "normal"
    """Initial parameters: Gaussian random numbers, or all zero (every spin along +x)."""
    init_scale: float = Field(default=0.05, gt=0)
    """Standard deviation of the Gaussian initial parameters (of the real and of the imaginary parts each)."""

    def build(self, lattice: Lattice) -> MeanField:
        """The mean field on a lattice."""
        dtype = np.complex128 if self.weights == "complex" else np.float64
        scale = self.init_scale if self.init == "normal" else 0.0
        return MeanField(symmetry_permutations(self, lattice), dtype=dtype, init_scale=scale)


class MeanField:
    """The mean field as an :class:`pvmc.wavefunctions.base.Ansatz`; theta is [a], one per orbit of the sites.

    Attributes:
        orbits: int64 (N,), the index of every site's orbit.
        symmetry_group: the symmetries that psi has exactly.
    """

    lookup_size = 0

    def __init__(self, permutations: npt.NDArray[np.int64], *, dtype: npt.DTypeLike, init_scale: float = 0.05):
        """A mean field with the symmetry group ``permutations``, int64 (|G|, N)."""
        self.dtype = np.dtype(dtype)
        self.n_sites = permutations.shape[1]
        self.symmetry_group = SymmetryGroup.of_permutations(permutations)
        self.orbits = site_orbits(permutations)
        self.n_parameters = int(self.orbits.max()) + 1
        self.init_scale = init_scale

    @property
    def parameter_blocks(self) -> Blocks:
        """One block: "one_body"."""
        return {"one_body": (slice(0, self.n_parameters), (self.n_parameters,))}

    @property
    def table_bytes(self) -> int:
        """Memory of a_i."""
        return self.n_sites * self.dtype.itemsize

    def initial_parameters(self, rng: np.random.Generator) -> Numbers:
        """Independent Gaussians of standard deviation ``init_scale`` (0: all spins along +x); (K,)."""
        return gaussian(rng, self.n_parameters, self.dtype, self.init_scale)

    def at(self, theta: Numbers) -> MeanFieldState:
        """The wave function at theta, (K,) of ``dtype``; raises NumericalError where theta is not finite."""
        require_finite(theta, self.n_parameters, self.dtype)
        return MeanFieldState(self, theta)


class MeanFieldState:
    """A mean field at fixed parameters: a :class:`pvmc.wavefunctions.base.WaveFunction` without look-up, Q = 0."""

    def __init__(self, ansatz: MeanField, theta: Numbers):
        self.ansatz, self.dtype = ansatz, ansatz.dtype
        self.fields = theta[ansatz.orbits]
        self._planes = first_planes(self.fields)

    def log_psi(self, spins: Spins) -> Numbers:
        """ln psi(s) = sum_i a_i s_i, (L,)."""
        value: Numbers = self.fields @ spins.astype(np.float64)
        return value

    def lookup(self, spins: Spins) -> Floats:
        """Nothing, (0, L)."""
        return np.empty((0, spins.shape[1]))

    def ratios(self, spins: Spins, lookup: Floats, flips: FlipSets, wanted: Booleans) -> Numbers:
        """psi(s')/psi(s) = exp(-2 sum_{i in X} a_i s_i), (n_flips, L), 0 where not wanted."""
        out = np.empty(wanted.shape, dtype=self.dtype)
        view = plane_view(out)
        changes.field_ratios(self._planes, spins, flips.offsets, flips.sites, wanted, view)
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
        changes.field_metropolis(
            self._planes[0], spins, flips.offsets, flips.sites, conserving, chosen, uniforms, accepted
        )
        return accepted

    def move(self, spins: Spins, lookup: Floats, sites: Integers, accept: Booleans) -> None:
        """Flip the sites in the accepting walkers."""
        spins[np.ix_(sites, np.flatnonzero(accept))] *= -1

    def log_derivatives(self, spins: Spins, lookup: Floats, out: Numbers | None = None) -> Numbers:
        """O_a = sum of the orbit's spins, (K, L)."""
        if out is None:
            out = np.empty((self.ansatz.n_parameters, spins.shape[1]), dtype=self.dtype)
        out[:] = orbit_sums(self.ansatz.orbits, spins)
        return out
