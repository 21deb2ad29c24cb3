"""The restricted Boltzmann machine (RBM), plain or symmetric.

Carleo & Troyer, Science 355, 602 (2017).  For F features and a group G of site permutations g, (g s)_i = s[perm[g, i]]:

    theta_fg(s) = b_f + sum_i w_fi s[perm[g, i]]
    ln psi(s)   = sum_i a_orbit(i) s_i + sum_fg ln 2cosh theta_fg(s)

so that psi(g s) = psi(s).  The trivial group gives the plain RBM.  M = F |G| hidden units (f, g), f major.
"""

from __future__ import annotations

from functools import cached_property
from math import ceil, floor
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from pvmc.config import KeyProblem
from pvmc.errors import NumericalError
from pvmc.numerics.arrays import (
    Booleans,
    Floats,
    Integers,
    Numbers,
    Spins,
    count_planes,
    joined_planes,
    plane_view,
    stacked_planes,
)
from pvmc.numerics.special import LARGEST_IMAGINARY_PART, aligned_empty, sum_log_two_cosh, tanh_in_place
from pvmc.spins.flips import FlipSets
from pvmc.wavefunctions.base import Factors
from pvmc.wavefunctions.initial_scales import (
    LARGEST_LOCAL_WEIGHT,
    LOCAL_BIAS,
    SCATTER,
    attached_sites,
    local_profiles,
    pair_weight,
)
from pvmc.wavefunctions.log_derivatives import bias_derivatives, feature_derivatives, is_shorter, outer
from pvmc.wavefunctions.rbm import extended, patterns
from pvmc.wavefunctions.shared import (
    AnsatzSection,
    FixedState,
    LatticeOfSites,
    NamedParameters,
    Proposals,
    require_finite,
    symmetry_permutations,
)
from pvmc.wavefunctions.symmetry import checked, inverted, orbit_sums, site_orbits

LARGEST_NUMBER = 1e18
"""Of hidden units: beyond it their number is no integer of 64 bits."""


class RBMSpec(AnsatzSection):
    """Restricted Boltzmann machine."""

    kind: Literal["rbm"]
    """Restricted Boltzmann machine."""
    alpha: float | None = Field(default=None, gt=0)
    """Density of hidden units M/N; M must be a multiple of the order of the symmetry group; default: about 4, on more
    than 64 sites 2."""
    symmetry: Literal["none", "translation", "space"] | None = None
    """Lattice symmetries that psi has exactly: none, translations, or translations with the point group; default:
    translations where lattice and Hamiltonian have them, the point group of an open lattice of up to 64 sites where the
    ground state is positive, else none.  Within another wave function: translation."""
    weights: Literal["complex", "real"] | None = None
    """Number field of the parameters; real ones make psi positive, at a quarter of the cost; default: complex, but real
    where the ground state is positive and there are no translations, nor a fit."""
    shared_filters: bool | None = None
    """Without symmetry: hidden units at all sites share their filters, a weight for each displacement, until the
    second refinement of the run; default: where the Hamiltonian is the same everywhere but for open boundaries."""
    visible_bias: bool = False
    """Give ln psi the term sum_i a_i s_i, one a per orbit of the sites."""
    init_scale: float | None = Field(default=None, gt=0)
    """Standard deviation of the random initial parameters (of the real and of the imaginary parts each); default:
    by the sizes of lattice, layer and symmetry group, and of each hidden unit's weights by the distance from a site"""

    def build(self, lattice: LatticeOfSites) -> RBM:
        """The RBM on a lattice.

        Raises:
            KeyProblem: alpha does not give a whole number of features.
        """
        permutations = symmetry_permutations(self, lattice)
        order, n_sites = permutations.shape
        if self.alpha is None:
            raise KeyProblem("ansatz.alpha", "", "missing; must be a number > 0 of hidden units per site, such as 2")
        if self.alpha * n_sites > LARGEST_NUMBER:
            raise KeyProblem("ansatz.alpha", self.alpha, "more hidden units than any memory holds; 1 to 10 are usual")
        n_features = round(self.alpha * n_sites / order)
        if n_features < 1 or abs(n_features * order - self.alpha * n_sites) > 1e-9 * n_sites:
            sets = self.alpha * n_sites / order
            near = [f"{n * order / n_sites:.12g}" for n in sorted({max(1, floor(sets)), max(1, ceil(sets))})]
            raise KeyProblem(
                "ansatz.alpha",
                self.alpha,
                f"must be a positive multiple of {order / n_sites:.6g}, such as {' or '.join(near)}: hidden units "
                f"come in sets of {order}, the order of the group '{self.symmetry or 'translation'}' of this lattice "
                f"of {n_sites} sites",
            )
        return RBM(
            permutations,
            n_features,
            dtype=np.float64 if self.weights == "real" else np.complex128,
            visible_bias=self.visible_bias,
            init_scale=self.init_scale,
            bonds=lattice.bonds(),
        )


class RBM(NamedParameters):
    """The RBM as an :class:`pvmc.wavefunctions.base.Ansatz`.

    theta is [a (if there is a visible bias), b, w (F rows of N)]; see ``parameter_blocks``.

    Attributes:
        permutations: int64 (|G|, N), a group.
        orbits: int64 (N,), the index of every site's orbit under the group.
    """

    def __init__(
        self,
        permutations: npt.NDArray[np.int64],
        n_features: int,
        *,
        dtype: npt.DTypeLike,
        visible_bias: bool = False,
        init_scale: float | None = None,
        bonds: Integers | None = None,
    ):
        """An RBM with ``n_features`` features for every element of the group ``permutations``, int64 (|G|, N).

        Nearest neighbours, ``bonds`` (n_bonds, 2), are what the automatic first weights are local by.

        Raises:
            ValueError: the dtype is neither float64 nor complex128, there is no feature, or a row is no permutation.
        """
        if np.dtype(dtype) not in (np.dtype(np.float64), np.dtype(np.complex128)):
            raise ValueError(f"parameters are float64 or complex128, not {np.dtype(dtype)}")
        self.permutations = checked(permutations)
        order, n_sites = self.permutations.shape
        if n_features < 1:
            raise ValueError(f"an RBM needs at least one feature, got {n_features}")
        self.n_features, self.bonds = n_features, bonds
        self.n_hidden = n_features * order
        self.orbits = site_orbits(self.permutations)
        shapes: dict[str, tuple[int, ...]] = {"visible_bias": (int(self.orbits.max()) + 1,)} if visible_bias else {}
        shapes |= {"hidden_bias": (n_features,), "features": (n_features, n_sites)}
        super().__init__(n_sites, dtype, shapes, init_scale)

    @cached_property
    def inverses(self) -> npt.NDArray[np.int64]:
        """The inverse permutations, int64 (|G|, N)."""
        return inverted(self.permutations)

    def automatic_scales(self) -> dict[str, float | Floats]:
        """Standard deviations by which ln |psi| scatters by 0.5; local ones where the nearest neighbours are known.

        For small angles ln psi = sum_fg theta_fg^2 / 2, hence Var = n sigma^4 |G| / 2 sum_f C_f with n = 1 for real and
        2 for complex parameters; see :mod:`pvmc.wavefunctions.initial_scales`.
        """
        order, n_sites = self.permutations.shape
        shape = self.parameter_blocks["features"][1]
        largest, bias, profiles = np.inf, 1.0, np.ones(shape)
        centres = np.zeros(self.n_features, dtype=np.int64)
        if self.bonds is not None and len(self.bonds):
            _, representatives = np.unique(self.orbits, return_index=True)
            centres = attached_sites(self.n_features, representatives)
            largest, bias, profiles = LARGEST_LOCAL_WEIGHT, LOCAL_BIAS, local_profiles(self.bonds, n_sites, centres)
        _, first, counts = np.unique(centres, return_index=True, return_counts=True)
        weights = [pair_weight(self.permutations, profiles[f] ** 2) for f in first]
        variance = 0.5 * count_planes(self.dtype) * order * float(counts @ weights)
        sigma = min(largest, (SCATTER**2 / variance) ** 0.25)
        scales = {"visible_bias": SCATTER / n_sites**0.5, "hidden_bias": sigma * bias, "features": sigma * profiles}
        return {name: scales[name] for name in self.parameter_blocks}

    @property
    def lookup_size(self) -> int:
        """Q: tanh theta of every hidden unit, by planes."""
        return self.n_hidden * count_planes(self.dtype)

    @property
    def table_bytes(self) -> int:
        """Memory of W and of exp(+-2 W)."""
        return 3 * self.n_hidden * self.n_sites * self.dtype.itemsize

    @property
    def factor_rows(self) -> int | None:
        """Rows of the factors of the log-derivatives; None where units share weights, or where they are not fewer."""
        if len(self.permutations) > 1 or not is_shorter(self.n_hidden, self.n_sites):
            return None
        biases = self.n_parameters - self.n_hidden * self.n_sites
        return biases + self.n_hidden + self.n_sites

    def at(self, theta: Numbers) -> RBMState:
        """The wave function at theta, (K,) of ``dtype``.

        Raises:
            NumericalError: theta is not finite, or |theta_fg| can leave the range of the patterns.
        """
        return RBMState(self, theta)


class RBMState(FixedState):
    """An RBM at fixed parameters, as a :class:`pvmc.wavefunctions.base.WaveFunction`.

    The look-up is T = tanh theta: (M, L) for real weights; for complex ones the real plane on the imaginary plane,
    (2M, L).  Ratios and Metropolis steps are products over hidden units (:mod:`pvmc.wavefunctions.rbm.patterns`);
    walkers or flips for which these would lose digits or overflow go to :mod:`pvmc.wavefunctions.rbm.extended`.

    Attributes:
        weights: W, (M, N); W[(f, g), i] = w_f,inverse_g(i).
        hidden_biases: (M,).
        visible_biases: (N,), zero if the ansatz has none.
    """

    def __init__(self, ansatz: RBM, theta: Numbers):
        require_finite(theta, ansatz.n_parameters, ansatz.dtype, "RBM")
        self.ansatz, self.dtype, self.n_parameters = ansatz, ansatz.dtype, ansatz.n_parameters
        features = ansatz.block(theta, "features")
        order = len(ansatz.permutations)
        self.weights = np.ascontiguousarray(features[:, ansatz.inverses].reshape(-1, ansatz.n_sites))
        self.hidden_biases = np.repeat(ansatz.block(theta, "hidden_bias"), order)
        self.visible_biases = np.zeros(ansatz.n_sites, dtype=self.dtype)
        if "visible_bias" in ansatz.parameter_blocks:
            self.visible_biases = ansatz.block(theta, "visible_bias")[ansatz.orbits]
        angles = self._require_representable()
        self._n_planes = count_planes(self.dtype)
        self._weight_planes = stacked_planes(self.weights)
        self._bias_planes = stacked_planes(self.hidden_biases[:, None])
        self._visible_planes = np.ascontiguousarray(stacked_planes(2.0 * self.visible_biases[None]).T)
        self._table = self._exponential_table(features)
        self._growth = 2.0 * (np.abs(self.weights.real).sum(axis=0) + np.abs(self.visible_biases.real))
        # Whatever is flipped, ln |psi| of a walker changes by no more than this.
        total = angles.sum() + 2.0 * np.abs(self.visible_biases.real).sum()
        self._largest_growth = np.inf if total <= patterns.LARGEST_LOG_RATIO else patterns.LARGEST_LOG_RATIO

    def _require_representable(self) -> Floats:
        """Bounds on |Re theta_j| over all configurations, (M,); NumericalError when they are too large."""
        parts = [(part(self.weights), part(self.hidden_biases)) for part in (np.real, np.imag)]
        real, imaginary = (np.abs(weights).sum(axis=1) + np.abs(biases) for weights, biases in parts)
        limits = ((real, extended.LARGEST_REAL_PART, "Re"), (imaginary, LARGEST_IMAGINARY_PART, "Im"))
        for bounds, limit, name in limits:
            if bounds.max() > limit:
                raise NumericalError(
                    f"the weights of the RBM are too large: |{name} theta| of hidden unit {bounds.argmax()} can reach "
                    f"{bounds.max():.4g}, the limit is {limit:.4g}; use smaller steps (or a smaller ansatz.init_scale)"
                )
        return np.asarray(real)

    def _exponential_table(self, features: Numbers) -> Floats:
        """exp(+-2 W_i) by planes, (N, 2, n_planes, M): exponentials of the features, put in place by the group."""
        table = np.empty((self.ansatz.n_sites, 2, self._n_planes, self.ansatz.n_hidden))
        for row, sign in enumerate((2.0, -2.0)):
            values = np.exp(sign * features)[:, self.ansatz.inverses].reshape(-1, self.ansatz.n_sites).T
            table[:, row, 0] = values.real
            if self._n_planes == 2:
                table[:, row, 1] = values.imag
        return table

    def _angle_planes(self, spins: Spins) -> Floats:
        """theta by planes, (n_planes * M, L)."""
        theta = aligned_empty((len(self._weight_planes), spins.shape[1]))
        np.matmul(self._weight_planes, spins.astype(np.float64), out=theta)
        theta += self._bias_planes
        return theta

    def log_psi(self, spins: Spins) -> Numbers:
        """ln psi(s), (L,), finite; the phase modulo 2 pi."""
        return self._log_psi(spins, self._angle_planes(spins))

    def _log_psi(self, spins: Spins, theta: Floats) -> Numbers:
        """ln psi of configurations whose angles are known, (L,)."""
        return sum_log_two_cosh(theta, self._n_planes) + self.visible_biases @ spins

    def lookup(self, spins: Spins) -> Floats:
        """T = tanh theta by planes, float64 (n_planes * M, L)."""
        theta = self._angle_planes(spins)
        tanh_in_place(theta, self._n_planes)
        return theta

    def log_psi_and_lookup(self, spins: Spins) -> tuple[Numbers, Floats]:
        """The results of ``log_psi`` and ``lookup``, the same bits, from angles that are made once."""
        theta = self._angle_planes(spins)
        value = self._log_psi(spins, theta)
        tanh_in_place(theta, self._n_planes)
        return value, theta

    def fill_ratios(self, spins: Spins, lookup: Floats, flips: FlipSets, wanted: Booleans, out: Floats) -> None:
        """Products over hidden units; all of them anew where some leave the range of plain products."""
        sets = flips.offsets, flips.sites
        if not patterns.ratios(*self.kernel_tables, spins, lookup, *sets, wanted, out):
            extended.ratios(*self._extended_arguments(spins), *sets, wanted, out)

    def _extended_arguments(self, spins: Spins) -> tuple[Floats, Floats, Floats, Spins, Floats]:
        planes = extended.probabilities(self._angle_planes(spins), self._n_planes)
        return self._table, self._visible_planes, self._reach, spins, planes

    @cached_property
    def _reach(self) -> Floats:
        """The largest 2 |Re W| of each site, (N,)."""
        return np.asarray(2.0 * np.abs(self.weights.real).max(axis=0))

    def step(self, spins: Spins, lookup: Floats, proposals: Proposals, accepted: Integers) -> None:
        """Metropolis steps by plain products, and by the extended ones from where these cannot be trusted."""
        done, fine = patterns.metropolis(*self.kernel_tables, spins, lookup, *proposals.arrays, accepted)
        if done < len(proposals.chosen):
            extended.metropolis(*self._extended_arguments(spins), *proposals.after(done).arrays, accepted)
        if done < len(proposals.chosen) or not fine:
            lookup[:] = self.lookup(spins)

    @property
    def kernel_tables(self) -> tuple[Floats, Floats, Floats, float]:
        """The first four arguments of the kernels: exponentials, visible biases, bounds on growth."""
        return self._table, self._visible_planes, self._growth, self._largest_growth

    def move(self, spins: Spins, lookup: Floats, sites: Integers, accept: Booleans) -> None:
        """Flip the sites in the accepting walkers; spins and look-up are updated."""
        fine = patterns.move(self._table, spins, lookup, sites, accept)
        if not fine or not np.all(np.isfinite(lookup)):
            lookup[:] = self.lookup(spins)

    def fill_derivatives(self, spins: Spins, lookup: Floats, out: Numbers) -> None:
        """O_a = sum of the orbit's spins, O_b = sum_g T_fg, O_w = sum_g T_fg s[perm[g, i]]."""
        ansatz, width = self.ansatz, spins.shape[1]
        tanh = lookup.reshape(self._n_planes, ansatz.n_features, -1, width)  # (n_planes, F, |G|, L)
        for name, (part, _) in ansatz.parameter_blocks.items():
            if name == "visible_bias":
                out[part] = orbit_sums(ansatz.orbits, spins)
            elif name == "hidden_bias":
                bias_derivatives(tanh, plane_view(out[part]))
            elif len(ansatz.permutations) == 1:
                # (M, 1, L) x (1, N, L) -> (M, N, L)
                target = out[part].reshape(ansatz.n_hidden, ansatz.n_sites, width)
                images = spins.astype(np.float64)[ansatz.permutations[0]]
                np.multiply(joined_planes(lookup, self._n_planes)[:, None], images, out=target)
            else:
                feature_derivatives(lookup, spins.astype(np.float64), ansatz.permutations, plane_view(out[part]))

    @property
    def has_factors(self) -> bool:
        """True where the log-derivatives are shorter as factors."""
        return self.ansatz.factor_rows is not None

    def derivative_factors(self, spins: Spins, lookup: Floats) -> Factors:
        """O_a = s and O_b = T as they are, O_W = T outer s, of the plain RBM; see :mod:`pvmc.wavefunctions.base`.

        Raises:
            ValueError: the RBM has symmetries, by which hidden units share weights.
        """
        ansatz = self.ansatz
        if len(ansatz.permutations) > 1:
            raise ValueError("the log-derivatives of an RBM with symmetries are no outer products")
        values = spins.astype(np.float64)
        factors: list[tuple[Numbers, ...]] = [(values.copy(),)] if "visible_bias" in ansatz.parameter_blocks else []
        factors.append((self._tanh(lookup),))
        factors.append(outer(self._tanh(lookup), values[ansatz.permutations[0]]))
        return factors

    def _tanh(self, lookup: Floats) -> Numbers:
        """T of the look-up, a new array (M, L) of ``dtype``."""
        return joined_planes(lookup, self._n_planes) if self._n_planes == 2 else lookup.copy()
