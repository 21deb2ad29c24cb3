"""Projection of any wave function on quantum numbers, as a sum over a symmetry group.

    psi_P(s) = 1/|G| sum_g chi(g)* psi(g s),        so that  psi_P(h s) = chi(h) psi_P(s).

Symmetries that the inner ansatz has already are not summed over again: one term per coset is left.  With weights
w_g = chi(g)* psi(g s)/sum_g' chi(g')* psi(g' s), which sum to one,

    psi_P(s')/psi_P(s) = sum_g w_g psi(g s')/psi(g s),        O_k(s) = sum_g w_g O_k^inner(g s).

Mizusaki & Imada, Phys. Rev. B 69, 125110 (2004); for neural states Choo et al., Phys. Rev. Lett. 121, 167204 (2018).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from pvmc.config import KeyProblem, inside_key
from pvmc.numerics.arrays import Booleans, Floats, Integers, Numbers, Spins
from pvmc.wavefunctions.base import Ansatz, Blocks
from pvmc.wavefunctions.composite import Composite, Part
from pvmc.wavefunctions.fallback import exponential
from pvmc.wavefunctions.projection import images
from pvmc.wavefunctions.projection.quantum_numbers import QuantumNumberError, QuantumNumbers
from pvmc.wavefunctions.rbm import RBMState
from pvmc.wavefunctions.shared import AnsatzSection, LatticeOfSites, Proposals, refuse_start
from pvmc.wavefunctions.symmetry import NoRepresentation, SymmetryGroup, claimed_symmetry

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

    @property
    def lookup_size(self) -> int:
        """Q: per term the inner look-up and ln psi, its real and imaginary part."""
        return len(self.cosets) * (self.inner.lookup_size + 2)

    @property
    def table_bytes(self) -> int:
        """Memory of the tables of the inner wave function."""
        return self.inner.table_bytes

    def initial_parameters(self, rng: np.random.Generator) -> Numbers:
        """Those of the inner ansatz; (K,)."""
        return self.inner.initial_parameters(rng)

    def at(self, theta: Numbers) -> ProjectedState:
        """The wave function at theta, (K,) of ``dtype``; raises NumericalError where the inner ansatz does."""
        return ProjectedState(self, theta)


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

    def step(self, spins: Spins, lookup: Floats, proposals: Proposals, accepted: Integers) -> None:
        """Metropolis steps; compiled as a whole where the inner wave function is an RBM."""
        done = 0
        if isinstance(self.inner, RBMState):
            flips = proposals.flips
            done, fine = images.metropolis(
                *self.inner.kernel_tables,
                spins,
                np.array([part.spins(spins) for part in self.parts]),
                lookup[: -2 * self.n_terms].reshape(self.n_terms, -1, spins.shape[1]),
                lookup[-2 * self.n_terms :].reshape(2, self.n_terms, -1),
                flips.offsets,
                flips.sites,
                np.array([part.flips(flips).sites for part in self.parts]),
                *proposals.arrays[2:],
                accepted,
            )
            if done < len(proposals.chosen) or not fine:  # out of the range of plain products
                lookup[:] = self.lookup(spins)
        if done < len(proposals.chosen):
            super().step(spins, lookup, proposals.after(done), accepted)

    def fill_derivatives(self, spins: Spins, lookup: Floats, out: Numbers) -> None:
        """O_k = sum_g w_g O_k(g s)."""
        out[:] = 0.0
        for part, weight in zip(self.parts, self._weights(lookup), strict=True):
            own = self.inner.log_derivatives(part.spins(spins), lookup[part.rows])
            out += own * (weight.real if self.dtype == np.float64 else weight)


def _scaled_sum(terms: Numbers) -> tuple[Floats, Numbers]:
    """The largest real part of each column's logarithms, (L,), and the sum of the terms over its exponential."""
    largest = terms.real.max(axis=0)
    largest = np.where(np.isfinite(largest), largest, 0.0)
    return largest, exponential(terms - largest).sum(axis=0)
