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

from pvmc.numerics.arrays import Booleans, Floats, Integers, Numbers, Spins, first_planes
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
from pvmc.wavefunctions.symmetry import SymmetryGroup, orbit_sums, site_orbits


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
    init_scale: float | None = Field(default=None, gt=0)
    """Standard deviation of the Gaussian initial parameters (of the real and of the imaginary parts each); default:
    0.5/sqrt(N)"""

    def build(self, lattice: LatticeOfSites) -> MeanField:
        """The mean field on a lattice."""
        dtype = np.complex128 if self.weights == "complex" else np.float64
        scale = self.init_scale if self.init == "normal" else 0.0
        return MeanField(symmetry_permutations(self, lattice), dtype=dtype, init_scale=scale)


class MeanField(NamedParameters):
    """The mean field as an :class:`pvmc.wavefunctions.base.Ansatz`; theta is [a], one per orbit of the sites.

    Attributes:
        orbits: int64 (N,), the index of every site's orbit.
        symmetry_group: the symmetries that psi has exactly.
    """

    lookup_size = 0

    def __init__(self, permutations: npt.NDArray[np.int64], *, dtype: npt.DTypeLike, init_scale: float | None = None):
        """A mean field with the symmetry group ``permutations``, int64 (|G|, N)."""
        self.orbits = site_orbits(permutations)
        super().__init__(permutations.shape[1], dtype, {"one_body": (int(self.orbits.max()) + 1,)}, init_scale)
        self.symmetry_group = SymmetryGroup.of_permutations(permutations)

    def automatic_scales(self) -> dict[str, float | Floats]:
        """Var ln psi = N sigma^2 over random configurations."""
        return {"one_body": SCATTER / self.n_sites**0.5}

    @property
    def table_bytes(self) -> int:
        """Memory of a_i."""
        return self.n_sites * self.dtype.itemsize

    def at(self, theta: Numbers) -> MeanFieldState:
        """The wave function at theta, (K,) of ``dtype``; raises NumericalError where theta is not finite."""
        require_finite(theta, self.n_parameters, self.dtype)
        return MeanFieldState(self, theta)


class MeanFieldState(FixedState):
    """A mean field at fixed parameters: a :class:`pvmc.wavefunctions.base.WaveFunction` without look-up, Q = 0."""

    def __init__(self, ansatz: MeanField, theta: Numbers):
        self.ansatz, self.dtype, self.n_parameters = ansatz, ansatz.dtype, ansatz.n_parameters
        self.fields = theta[ansatz.orbits]
        self._planes = first_planes(self.fields)

    def log_psi(self, spins: Spins) -> Numbers:
        """ln psi(s) = sum_i a_i s_i, (L,)."""
        value: Numbers = self.fields @ spins.astype(np.float64)
        return value

    def lookup(self, spins: Spins) -> Floats:
        """Nothing, (0, L)."""
        return np.empty((0, spins.shape[1]))

    def fill_ratios(self, spins: Spins, lookup: Floats, flips: FlipSets, wanted: Booleans, out: Floats) -> None:
        """psi(s')/psi(s) = exp(-2 sum_{i in X} a_i s_i)."""
        changes.field_ratios(self._planes, spins, flips.offsets, flips.sites, wanted, out)

    def step(self, spins: Spins, lookup: Floats, proposals: Proposals, accepted: Integers) -> None:
        """Metropolis steps by the kernel."""
        changes.field_metropolis(self._planes[0], spins, *proposals.arrays, accepted)

    def move(self, spins: Spins, lookup: Floats, sites: Integers, accept: Booleans) -> None:
        """Flip the sites in the accepting walkers."""
        spins[np.ix_(sites, np.flatnonzero(accept))] *= -1

    def fill_derivatives(self, spins: Spins, lookup: Floats, out: Numbers) -> None:
        """O_a = sum of the orbit's spins."""
        out[:] = orbit_sums(self.ansatz.orbits, spins)
