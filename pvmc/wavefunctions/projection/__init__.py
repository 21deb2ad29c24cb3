"""Projection of any wave function on quantum numbers, as a sum over a symmetry group.

    psi_P(s) = 1/|G| sum_g chi(g)* psi(g s),        so that  psi_P(h s) = chi(h) psi_P(s).

Symmetries that the inner ansatz has already are not summed over again: one term per coset is left.  With weights
w_g = chi(g)* psi(g s)/sum_g' chi(g')* psi(g' s), which sum to one,

    psi_P(s')/psi_P(s) = sum_g w_g psi(g s')/psi(g s),        O_k(s) = sum_g w_g O_k^inner(g s).

Mizusaki & Imada, Phys. Rev. B 69, 125110 (2004); for neural states Choo et al., Phys. Rev. Lett. 121, 167204 (2018).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from pvmc.config import KeyProblem, inside_key
from pvmc.numerics.arrays import (
    Booleans,
    Floats,
    Integers,
    Numbers,
    Spins,
    count_planes,
    first_planes,
    plane_view,
    stacked_planes,
)
from pvmc.numerics.special import sum_log_two_cosh
from pvmc.spins.flips import FlipSets
from pvmc.wavefunctions.base import Ansatz, Blocks
from pvmc.wavefunctions.composite import Composite, Part
from pvmc.wavefunctions.fallback import BATCH, Batched, exponential
from pvmc.wavefunctions.log_derivatives import bias_derivatives, feature_derivatives
from pvmc.wavefunctions.projection import images
from pvmc.wavefunctions.projection.image_products import LARGEST, REACH, Images
from pvmc.wavefunctions.projection.quantum_numbers import QuantumNumberError, QuantumNumbers
from pvmc.wavefunctions.rbm import RBM, RBMState
from pvmc.wavefunctions.rbm.hidden_units import filled_up
from pvmc.wavefunctions.shared import AnsatzSection, LatticeOfSites, Proposals, refuse_start
from pvmc.wavefunctions.symmetry import NoRepresentation, SymmetryGroup, claimed_symmetry, inverted, orbit_sums

if TYPE_CHECKING:
    from pvmc.wavefunctions import AnsatzSpec


CANCELLATION = 1e-13
"""A sum over symmetries is zero when it is this small relative to the sum of its terms' moduli."""


class ProjectedSpec(AnsatzSection):
    """Projection of another wave function on quantum numbers."""

    kind: Literal["projected"]
    """Projection on quantum numbers."""
    momentum: int | list[int] | None = None
    """Momentum in units of 2 pi/L, an integer (or a list of one per periodic direction); default: not projected."""
    parity: Literal[1, -1] | None = None
    """Eigenvalue of the mirror of the first coordinate about the centre of the lattice; default: not projected."""
    irrep: Literal["trivial", "sign", "A1", "A2", "B1", "B2"] | None = None
    """Representation of the point group about the centre; trivial is A1, sign is A2; default: not projected."""
    spin_flip: Literal[1, -1] | None = None
    """Eigenvalue of the flip of all spins; default: not projected."""
    inner: AnsatzSpec
    """The wave function that is projected, a table like this one; with symmetry = "none" as a rule"""

    def build(self, lattice: LatticeOfSites) -> Projected:
        """The projection on a lattice.

        Raises:
            KeyProblem: no quantum number is given, the lattice does not have one, or they contradict each other or the
                inner ansatz.
        """
        momentum = [self.momentum] if isinstance(self.momentum, int) else self.momentum
        numbers = QuantumNumbers(momentum, self.parity, self.irrep, self.spin_flip)
        if numbers == QuantumNumbers():
            raise KeyProblem("ansatz.kind", self.kind, "needs a momentum, a parity, an irrep or a spin_flip")
        with inside_key("ansatz", "ansatz.inner"):
            refuse_start(self.inner, "ansatz")
            inner = self.inner.build(lattice)
        try:
            return Projected(inner, numbers.group(lattice))
        except QuantumNumberError as error:
            raise KeyProblem(f"ansatz.{error.name}", getattr(self, error.name), str(error)) from None
        except NoRepresentation as error:
            raise KeyProblem("ansatz.inner", self.inner.kind, f'{error}; give it symmetry = "none"') from None


class Projected:
    """A projected ansatz as an :class:`pvmc.wavefunctions.base.Ansatz`; theta is that of the inner one.

    Attributes:
        inner: the ansatz that is projected.
        symmetry_group: the group summed over, with its characters.
        cosets: int64, the elements of it that are summed over.
    """

    def __init__(self, inner: Ansatz, group: SymmetryGroup):
        """The projection of an ansatz.

        Raises:
            NoRepresentation: the inner ansatz has a symmetry with another character; the sum would be zero.
        """
        self.inner, self.symmetry_group = inner, group
        own = claimed_symmetry(inner)
        self.cosets = np.arange(len(group)) if own is None else group.cosets(own)
        self.n_sites, self.n_parameters, self.dtype = inner.n_sites, inner.n_parameters, inner.dtype

    @property
    def parameter_blocks(self) -> Blocks:
        """Those of the inner ansatz."""
        return self.inner.parameter_blocks

    @cached_property
    def views(self) -> Integers:
        """The terms that share an inner look-up, int64 (V, P), numbers of ``cosets``.

        One term each; of an RBM without visible bias the two terms g s and -g s, where the group has both of all.
        """
        group, n_terms = self.symmetry_group, len(self.cosets)
        alone = np.arange(n_terms)[:, None]
        if not isinstance(self.inner, RBM) or "visible_bias" in self.inner.parameter_blocks:
            return alone
        places: dict[bytes, dict[int, int]] = {}
        for term, g in enumerate(self.cosets):
            places.setdefault(group.permutations[g].tobytes(), {})[int(group.signs[g])] = term
        if any(len(both) == 1 for both in places.values()):
            return alone
        return np.array([[both[1], both[-1]] for both in places.values()])

    @property
    def lookup_size(self) -> int:
        """Q: the inner look-up of every view, and per term ln psi, its real and imaginary part."""
        return len(self.views) * self.inner.lookup_size + 2 * len(self.cosets)

    @property
    def table_bytes(self) -> int:
        """Memory of the tables of the inner wave function."""
        return self.inner.table_bytes

    def initial_parameters(self, rng: np.random.Generator) -> Numbers:
        """Those of the inner ansatz; (K,)."""
        return self.inner.initial_parameters(rng)

    def at(self, theta: Numbers) -> ProjectedState:
        """The wave function at theta, (K,) of ``dtype``; raises NumericalError where the inner ansatz does."""
        return ProjectedRBMState(self, theta) if isinstance(self.inner, RBM) else ProjectedState(self, theta)


class ProjectedState(Composite):
    """A projected wave function at fixed parameters, as a :class:`pvmc.wavefunctions.base.WaveFunction`.

    The look-up holds, for every term g, the inner look-up of g s; below them Re ln psi(g s), then Im ln psi(g s), each
    with ln chi(g)* added.
    """

    def __init__(self, ansatz: Projected, theta: Numbers):
        self.ansatz, self.n_parameters = ansatz, ansatz.n_parameters
        self.inner = ansatz.inner.at(theta)
        group, size = ansatz.symmetry_group, ansatz.inner.lookup_size
        self.n_terms = len(ansatz.cosets)
        self.log_characters = np.log(group.characters[ansatz.cosets].conj())
        positive = np.all(group.characters == 1.0) and self.inner.dtype == np.dtype(np.float64)
        self.dtype = np.dtype(np.float64 if positive else np.complex128)
        self.parts = [
            Part(self.inner, slice(k * size, (k + 1) * size), group.permutations[g], int(group.signs[g]))
            for k, g in enumerate(ansatz.cosets)
        ]

    def _terms(self, spins: Spins) -> Numbers:
        """ln [chi(g)* psi(g s)] of every term, complex128 (n_terms, L)."""
        rows = [self.inner.log_psi(part.spins(spins)) for part in self.parts]
        return np.array(rows, dtype=np.complex128) + self.log_characters[:, None]

    def log_psi(self, spins: Spins) -> Numbers:
        """ln psi_P(s), (L,); -inf where the sum vanishes exactly."""
        terms = self._terms(spins)
        largest, total = _scaled_sum(terms)
        with np.errstate(divide="ignore"):
            value = largest + np.log(total) - np.log(self.n_terms)
        return np.ascontiguousarray(value.real) if self.dtype == np.float64 else value

    def nodes(self, spins: Spins) -> Booleans:
        """True where the terms cancel up to rounding, or all vanish; bool (L,)."""
        terms = self._terms(spins)
        _, total = _scaled_sum(terms)
        _, sizes = _scaled_sum(terms.real.astype(np.complex128))
        return np.asarray(np.abs(total) <= CANCELLATION * np.abs(sizes))

    def lookup(self, spins: Spins) -> Floats:
        """The inner look-ups and ln of every term, float64 (Q, L)."""
        terms = self._terms(spins)
        return np.concatenate([super().lookup(spins), terms.real, terms.imag])

    def _weights(self, lookup: Floats) -> Numbers:
        """w_g, complex128 (n_terms, L), which sum to one; all inf on a node of psi."""
        terms = np.empty((self.n_terms, lookup.shape[1]), dtype=np.complex128)
        terms.real, terms.imag = lookup[-2 * self.n_terms : -self.n_terms], lookup[-self.n_terms :]
        largest, total = _scaled_sum(terms)
        with np.errstate(all="ignore"):
            weights: Numbers = exponential(terms - largest) / total
        return weights

    def combined(self, ratios: Sequence[Numbers], lookup: Floats) -> Numbers:
        """sum_g w_g psi(g s')/psi(g s)."""
        total = sum((weight * ratio for weight, ratio in zip(self._weights(lookup), ratios, strict=True)), 0.0j)
        return np.real(total) if self.dtype == np.float64 else np.asarray(total)

    def follow(self, spins: Spins, lookup: Floats, ratios: Sequence[Numbers], accept: Booleans) -> None:
        """ln psi(g s') = ln psi(g s) + ln of its ratio; from scratch for walkers where that is out of range."""
        with np.errstate(all="ignore"):
            change = np.log(np.array(ratios, dtype=np.complex128)[:, accept])
        moved = np.flatnonzero(accept)
        safe = np.isfinite(change).all(axis=0)
        real, imaginary = lookup[-2 * self.n_terms : -self.n_terms], lookup[-self.n_terms :]
        real[:, moved[safe]] += change.real[:, safe]
        imaginary[:, moved[safe]] += change.imag[:, safe]
        if not safe.all():
            terms = self._terms(np.ascontiguousarray(spins[:, moved[~safe]]))
            real[:, moved[~safe]], imaginary[:, moved[~safe]] = terms.real, terms.imag

    def fill_derivatives(self, spins: Spins, lookup: Floats, out: Numbers) -> None:
        """O_k = sum_g w_g O_k(g s)."""
        out[:] = 0.0
        for part, weight in zip(self.parts, self._weights(lookup), strict=True):
            own = self.inner.log_derivatives(part.spins(spins), lookup[part.rows])
            out += own * (weight.real if self.dtype == np.float64 else weight)


class ProjectedRBMState(ProjectedState):
    """A projected RBM at fixed parameters, by compiled kernels (:mod:`pvmc.wavefunctions.projection.images`).

    The look-up holds, for every view, X = exp(2 theta) of the inner hidden units by planes; below them Re and Im of ln
    of every term, as in :class:`ProjectedState`.  What leaves the range of products is made from ln psi.
    """

    inner: RBMState

    def __init__(self, ansatz: Projected, theta: Numbers):
        super().__init__(ansatz, theta)
        inner, slots, group = self.inner, ansatz.views, ansatz.symmetry_group
        elements = ansatz.cosets[slots[:, 0]]
        n_hidden, n_planes = len(inner.hidden_biases), count_planes(inner.dtype)
        size = int(filled_up(n_hidden + 1))
        # exp(-4 s W) of each site, spin and unit, and the change of the prefactor: (N, 2, size)
        table = np.ones((ansatz.n_sites, 2, size), dtype=inner.dtype)
        with np.errstate(over="ignore"):
            for row, spin in enumerate((1.0, -1.0)):
                table[:, row, :n_hidden] = np.exp(-4.0 * spin * inner.weights.T)
                table[:, row, n_hidden] = np.exp(2.0 * spin * (inner.weights.sum(axis=0) - inner.visible_biases))
            beta = np.ones((slots.shape[1], size), dtype=inner.dtype)
            beta[1:, :n_hidden] = np.exp(4.0 * inner.hidden_biases)
        beta[:, n_hidden] = 0.0
        self._images = Images(
            np.ascontiguousarray(np.moveaxis(plane_view(table), -1, 2)).ravel(),
            np.ascontiguousarray(np.moveaxis(plane_view(beta), -1, 1)).ravel(),
            slots,
            inverted(group.permutations[elements]),
            group.signs[elements].astype(np.int64),
            n_hidden,
            n_planes,
            size,
        )
        self._permutations = group.permutations[elements]
        sizes = np.abs(beta[:, :n_hidden])
        reach = np.abs(inner.weights.real).sum(axis=1) + np.abs(inner.hidden_biases.real)
        self._in_range = bool(np.all(sizes < LARGEST) and np.all(sizes * LARGEST > 1.0) and reach.max() < REACH)

    def _parts(self, lookup: Floats) -> tuple[Floats, Floats]:
        """X of the views, (V, n_planes, M, L), and ln of the terms, (2, T, L), of a look-up."""
        n_logs, tables = 2 * self.n_terms, self._images
        shape = len(tables.slots), tables.n_planes, tables.n_hidden, lookup.shape[1]
        return lookup[:-n_logs].reshape(shape), lookup[-n_logs:].reshape(2, self.n_terms, -1)

    def _view_angles(self, spins: Spins, first: int, last: int) -> tuple[Floats, Floats]:
        """theta of some views, (n_planes M, V' L), and their spins, (N, V' L)."""
        tables, inner = self._images, self.inner
        seen = spins[self._permutations[first:last].T] * tables.signs[first:last, None]  # (N, V', L)
        flat = seen.reshape(len(spins), -1).astype(np.float64)
        return stacked_planes(inner.weights) @ flat + stacked_planes(inner.hidden_biases)[:, None], flat

    def _fill(self, spins: Spins, x: Floats | None) -> Numbers:
        """ln of every term, complex128 (T, L), and X of the views into ``x`` where it is given."""
        tables, inner, width = self._images, self.inner, spins.shape[1]
        terms = np.empty((self.n_terms, width), dtype=np.complex128)
        step = max(1, BATCH // max(1, width))
        for first in range(0, len(tables.slots), step):
            slots = tables.slots[first : first + step]
            theta, seen = self._view_angles(spins, first, first + step)
            terms[slots[:, 0]] = (sum_log_two_cosh(theta, tables.n_planes) + inner.visible_biases @ seen).reshape(
                len(slots), width
            )
            if slots.shape[1] == 2:
                # theta of -g s is 2 b - theta
                other = 2.0 * stacked_planes(inner.hidden_biases)[:, None] - theta
                terms[slots[:, 1]] = sum_log_two_cosh(other, tables.n_planes).reshape(len(slots), width)
            if x is not None:
                images.exponentials(theta, tables.n_planes)
                shape = tables.n_planes, tables.n_hidden, len(slots), width
                x[first : first + step] = theta.reshape(shape).transpose(2, 0, 1, 3)
        return terms + self.log_characters[:, None]

    def _terms(self, spins: Spins) -> Numbers:
        """ln [chi(g)* psi(g s)] of every term, complex128 (n_terms, L)."""
        return self._fill(spins, None)

    def lookup(self, spins: Spins) -> Floats:
        """X of the views and ln of every term, float64 (Q, L)."""
        lookup = np.empty((self.ansatz.lookup_size, spins.shape[1]))
        x, logs = self._parts(lookup)
        logs[:] = first_planes(self._fill(spins, x))
        return lookup

    def ratios(self, spins: Spins, lookup: Floats, flips: FlipSets, wanted: Booleans) -> Numbers:
        """psi(s')/psi(s), (n_flips, L), 0 where not wanted; inf beyond the range of float64, never NaN."""
        out = np.zeros(wanted.shape, dtype=self.dtype)
        sets = flips.offsets, flips.sites
        if not (
            self._in_range and images.ratios(self._images, spins, *self._parts(lookup), *sets, wanted, plane_view(out))
        ):
            rows, lanes = np.nonzero(wanted)
            out[:] = 0.0
            out[rows, lanes] = self._from_scratch(spins, flips, rows, lanes)
        return out

    def step(self, spins: Spins, lookup: Floats, proposals: Proposals, accepted: Integers) -> None:
        """Metropolis steps by the kernel; from ln psi for walkers that leave its range."""
        done = np.zeros(spins.shape[1], dtype=np.int64)
        if self._in_range:
            images.metropolis(self._images, spins, *self._parts(lookup), *proposals.arrays, accepted, done)
        for start in np.unique(done[done < len(proposals.chosen)]):
            lanes = np.flatnonzero(done == start)
            rest = proposals.after(int(start))
            rest = rest._replace(uniforms=np.ascontiguousarray(rest.uniforms[:, lanes]))
            own, counts = np.ascontiguousarray(spins[:, lanes]), np.zeros(len(lanes), dtype=np.int64)
            plain = _FromLogPsi(self)
            plain.step(own, plain.lookup(own), rest, counts)
            spins[:, lanes], lookup[:, lanes] = own, self.lookup(own)
            accepted[lanes] += counts

    def move(self, spins: Spins, lookup: Floats, sites: Integers, accept: Booleans) -> None:
        """Flip the sites in the accepting walkers; spins and look-up are updated."""
        moved = np.flatnonzero(accept)
        spins[np.ix_(sites, moved)] *= -1
        lookup[:, moved] = self.lookup(np.ascontiguousarray(spins[:, moved]))

    def fill_derivatives(self, spins: Spins, lookup: Floats, out: Numbers) -> None:
        """O_k = sum_g w_g O_k(g s), by T = (X - 1)/(X + 1)."""
        if not self._in_range:
            logs = lookup[-2 * self.n_terms :]
            super().fill_derivatives(spins, np.concatenate([Composite.lookup(self, spins), logs]), out)
            return
        tables, inner, width = self._images, self.inner.ansatz, spins.shape[1]
        x, _ = self._parts(lookup)
        weights, signs = first_planes(self._weights(lookup)), self.ansatz.symmetry_group.signs[self.ansatz.cosets]
        n_planes, order = count_planes(self.dtype), len(inner.permutations)
        sums = np.empty((n_planes, tables.n_hidden, width))
        signed = np.empty((n_planes, tables.n_hidden, len(tables.slots), width))
        images.weighted_tanh(tables, x, weights, signs.astype(np.float64), sums, signed)
        values = spins.astype(np.float64)
        # units (f, h) of the inner group, seen by view v: (v, h) is one image of the spins
        both = np.take(self._permutations, inner.permutations, axis=1).reshape(-1, len(spins))
        rows = signed.reshape(n_planes, -1, order, len(tables.slots), width).swapaxes(2, 3).reshape(-1, width)
        for name, (part, _) in inner.parameter_blocks.items():
            if name == "visible_bias":
                own = np.empty((len(spins), width, n_planes))
                shares = (weights[:n_planes] * signs[:, None]).reshape(-1, width)
                feature_derivatives(shares, values, self._permutations, own)
                for plane in range(n_planes):
                    plane_view(out[part])[..., plane] = orbit_sums(inner.orbits, own[..., plane])
            elif name == "hidden_bias":
                bias_derivatives(sums.reshape(n_planes, -1, order, width), plane_view(out[part]))
            else:
                feature_derivatives(rows, values, both, plane_view(out[part]))


class _FromLogPsi(Batched):
    """The steps of a wave function by its ln psi alone."""

    def __init__(self, psi: ProjectedState):
        self._psi, self.dtype = psi, psi.dtype

    def log_psi(self, spins: Spins) -> Numbers:
        return self._psi.log_psi(spins)


def _scaled_sum(terms: Numbers) -> tuple[Floats, Numbers]:
    """The largest real part of each column's logarithms, (L,), and the sum of the terms over its exponential."""
    largest = terms.real.max(axis=0)
    largest = np.where(np.isfinite(largest), largest, 0.0)
    return largest, exponential(terms - largest).sum(axis=0)
