"""Wave functions made of others: the product of some of them, and the base of products and projections.

    ln psi = sum of the factors' ln psi,

such as an RBM times a Jastrow factor.  Parameters are those of the factors one after the other, all complex or all
real; look-ups are stacked.

A **part** is a wave function of transformed configurations, psi_p(g_p s) with (g s)_i = sign s[perm[i]].  Its look-up
is a range of rows of the whole look-up; flipping the set X of s flips the set of the sites i with perm[i] in X of g s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from pydantic import Field

from pvmc.config import KeyProblem, inside_key
from pvmc.numerics.accept import accepting
from pvmc.numerics.arrays import Booleans, Floats, Integers, Numbers, Spins
from pvmc.spins.flips import FlipSets
from pvmc.wavefunctions.base import Ansatz, Blocks, Factors, WaveFunction
from pvmc.wavefunctions.fallback import BATCH, exponential, flipped_log_psi, log_ratio, may_flip
from pvmc.wavefunctions.log_derivatives import factor_rows_of, factors_of
from pvmc.wavefunctions.shared import AnsatzSection, FixedState, LatticeOfSites, Proposals, refuse_start, require_finite
from pvmc.wavefunctions.symmetry import SymmetryGroup, claimed_symmetry

if TYPE_CHECKING:
    from pvmc.wavefunctions import AnsatzSpec


@dataclass(frozen=True, eq=False)
class Part:
    """One wave function within another.

    Attributes:
        psi: the wave function.
        rows: its rows of the look-up.
        permutation: int64 (N,), or None for the identity.
        sign: -1 where all spins are flipped, else +1.
    """

    psi: WaveFunction
    rows: slice
    permutation: Integers | None = None
    sign: int = 1

    def spins(self, spins: Spins) -> Spins:
        """The configurations that the part sees, int8 (N, L), C-contiguous."""
        if self.permutation is None:
            return spins
        return np.multiply(spins[self.permutation], np.int8(self.sign), dtype=np.int8)

    def flips(self, flips: FlipSets) -> FlipSets:
        """The sets that the part sees flipped."""
        if self.permutation is None:
            return flips
        inverse = np.argsort(self.permutation)
        n_sites, lengths = len(inverse), np.diff(flips.offsets)
        keys = np.repeat(np.arange(len(lengths)), lengths) * n_sites + inverse[flips.sites]
        return FlipSets(flips.offsets, np.sort(keys) % n_sites)  # ascending within each set


class Movable(Protocol):
    """A wave function that can be told which walkers move."""

    def move(self, spins: Spins, lookup: Floats, sites: Integers, accept: Booleans) -> None:
        """Flip the sites in the accepting walkers; spins and look-up are updated."""
        ...


def move(psi: Any, spins: Spins, lookup: Floats, flips: FlipSets, k: int, accept: Booleans) -> None:
    """Flip set k in the accepting walkers, spins and look-up updated, of any wave function.

    Where it has no ``move`` of its own it makes Metropolis steps that no ratio can reject, with the accepting walkers.
    """
    if hasattr(psi, "move"):
        psi.move(spins, lookup, flips[k], accept)
        return
    lanes = np.flatnonzero(accept)
    if not len(lanes):
        return
    own_spins, own_lookup = np.ascontiguousarray(spins[:, lanes]), np.ascontiguousarray(lookup[:, lanes])
    free, always = np.zeros(len(flips), dtype=np.bool_), np.full((1, len(lanes)), -1.0)
    psi.metropolis(own_spins, own_lookup, flips, free, np.array([k], dtype=np.int64), always)
    spins[:, lanes], lookup[:, lanes] = own_spins, own_lookup


def nodes(psi: Any, spins: Spins) -> Booleans:
    """True where psi(s) of any wave function vanishes, exactly or, in a sum over symmetries, up to rounding; (L,)."""
    if isinstance(psi, Composite):
        return psi.nodes(spins)
    return np.asarray(np.isneginf(np.real(psi.log_psi(spins))))


class Composite(FixedState):
    """Base of wave functions made of parts; a subclass says how the parts' ratios combine.

    Attributes:
        parts: the parts.
    """

    parts: Sequence[Part]

    def log_psi(self, spins: Spins) -> Numbers:
        """ln psi(s), (L,) of ``dtype``."""
        raise NotImplementedError

    def nodes(self, spins: Spins) -> Booleans:
        """True where a part vanishes, bool (L,); see :func:`nodes`."""
        return np.any([nodes(part.psi, part.spins(spins)) for part in self.parts], axis=0)

    def combined(self, ratios: Sequence[Numbers], lookup: Floats) -> Numbers:
        """The ratio psi(s')/psi(s) from those of the parts, each (..., L); may be inf or NaN where they overflow."""
        raise NotImplementedError

    def follow(self, spins: Spins, lookup: Floats, ratios: Sequence[Numbers], accept: Booleans) -> None:
        """Update what the look-up holds besides those of the parts, from the parts' ratios (L,) and the new spins."""

    def lookup(self, spins: Spins) -> Floats:
        """The look-ups of the parts, one below the other."""
        return np.concatenate([part.psi.lookup(part.spins(spins)) for part in self.parts])

    def ratios(self, spins: Spins, lookup: Floats, flips: FlipSets, wanted: Booleans) -> Numbers:
        """psi(s')/psi(s), (n_flips, L), 0 where not wanted; inf beyond the range of float64, never NaN."""
        found = [
            part.psi.ratios(part.spins(spins), lookup[part.rows], part.flips(flips), wanted) for part in self.parts
        ]
        with np.errstate(all="ignore"):
            out = np.where(wanted, self.combined(found, lookup), 0.0).astype(self.dtype, copy=False)
        rows, lanes = np.nonzero(~np.isfinite(out))
        if len(rows):
            out[rows, lanes] = self._from_scratch(spins, flips, rows, lanes)
        return out

    def _from_scratch(self, spins: Spins, flips: FlipSets, rows: Integers, lanes: Integers) -> Numbers:
        """Ratios whose parts left the range of float64, although the whole may not."""
        before = self.log_psi(spins)[lanes]
        return exponential(log_ratio(flipped_log_psi(self.log_psi, spins, flips, rows, lanes, BATCH), before))

    def step(self, spins: Spins, lookup: Floats, proposals: Proposals, accepted: Integers) -> None:
        """Metropolis steps by the parts' ratios; the parts that accept move along."""
        flips, conserving, chosen, uniforms = proposals
        seen = [part.spins(spins).copy() for part in self.parts]
        sets = [part.flips(flips) for part in self.parts]
        for k, uniform in zip(chosen, uniforms, strict=True):
            allowed = may_flip(spins, flips[k], bool(conserving[k]))
            if not allowed.any():
                continue
            # psi_p(g_p s')/psi_p(g_p s) of every part, each (L,)
            found = []
            for part, own, own_sets in zip(self.parts, seen, sets, strict=True):
                single = FlipSets(np.array([0, len(flips[k])], dtype=np.int64), own_sets[k])
                found.append(part.psi.ratios(own, lookup[part.rows], single, allowed[None])[0])
            accept = self._accept(spins, lookup, flips, k, allowed, found, uniform)
            if accept.any():
                for part, own, own_sets in zip(self.parts, seen, sets, strict=True):
                    move(part.psi, own, lookup[part.rows], own_sets, k, accept)
                spins[np.ix_(flips[k], np.flatnonzero(accept))] *= -1
                self.follow(spins, lookup, found, accept)
                accepted += accept

    def _accept(
        self,
        spins: Spins,
        lookup: Floats,
        flips: FlipSets,
        k: int,
        allowed: Booleans,
        found: Sequence[Numbers],
        uniform: Floats,
    ) -> Booleans:
        """The walkers that accept to flip set k, from the parts' ratios."""
        with np.errstate(all="ignore"):
            ratio = np.where(allowed, self.combined(found, lookup), 0.0)
            bad = np.flatnonzero(~np.isfinite(ratio))
            if len(bad):
                ratio[bad] = self._from_scratch(spins, flips, np.full(len(bad), k), bad)
            weights = np.abs(ratio) ** 2
        return np.asarray(allowed & accepting(uniform, weights))


# Products -------------------------------------------------------------------------------------------------------------


class ProductSpec(AnsatzSection):
    """Product of other wave functions."""

    kind: Literal["product"]
    """Product."""
    factors: list[AnsatzSpec] = Field(min_length=2)
    """The factors, each a table like this one; all with complex or all with real parameters."""

    def build(self, lattice: LatticeOfSites) -> Product:
        """The product on a lattice.

        Raises:
            KeyProblem: a factor cannot be built, or real and complex parameters are mixed.
        """
        built: list[Ansatz] = []
        for i, factor in enumerate(self.factors):
            with inside_key("ansatz", f"ansatz.factors[{i}]"):
                refuse_start(factor, "ansatz")
                built.append(factor.build(lattice))
        try:
            return Product(built)
        except ValueError as error:
            raise KeyProblem("ansatz.factors", [factor.kind for factor in self.factors], str(error)) from None


class Product:
    """The product of ansaetze as an :class:`pvmc.wavefunctions.base.Ansatz`.

    Attributes:
        factors: the ansaetze multiplied.
        parameter_blocks: those of factor i as "i.name".
        symmetry_group: the symmetries that all factors have; None where one claims none.
    """

    def __init__(self, factors: Sequence[Ansatz]):
        """The product of two or more ansaetze on the same sites.

        Raises:
            ValueError: fewer than two factors, different numbers of sites, or real beside complex parameters.
        """
        if len(factors) < 2 or len({factor.n_sites for factor in factors}) != 1:
            raise ValueError("a product needs two or more factors, all on the same number of sites")
        if len({np.dtype(factor.dtype) for factor in factors}) != 1:
            raise ValueError("a product needs factors with parameters of one kind, all complex or all real")
        self.factors = list(factors)
        self.n_sites = factors[0].n_sites
        self.dtype = np.dtype(factors[0].dtype)
        ends = np.cumsum([factor.n_parameters for factor in factors]).tolist()
        starts = [0, *ends[:-1]]
        self.slices = [slice(start, end) for start, end in zip(starts, ends, strict=True)]
        self.n_parameters = int(ends[-1])
        self.parameter_blocks: Blocks = {
            f"{i}.{name}": (slice(start + part.start, start + part.stop), shape)
            for i, (factor, start) in enumerate(zip(factors, starts, strict=True))
            for name, (part, shape) in factor.parameter_blocks.items()
        }
        groups = [claimed_symmetry(factor) for factor in factors]
        known = [group for group in groups if group is not None]
        self.symmetry_group = reduce(SymmetryGroup.shared, known) if len(known) == len(groups) else None

    @property
    def lookup_size(self) -> int:
        """Q: the look-ups of the factors."""
        return sum(factor.lookup_size for factor in self.factors)

    @property
    def table_bytes(self) -> int:
        """Memory of the tables of the factors."""
        return sum(factor.table_bytes for factor in self.factors)

    @property
    def factor_rows(self) -> int | None:
        """Rows of the factored log-derivatives, where one factor at least counts its own; else None."""
        rows = [factor_rows_of(factor) for factor in self.factors]
        if all(own is None for own in rows):
            return None
        return sum(factor.n_parameters if own is None else own for factor, own in zip(self.factors, rows, strict=True))

    def initial_parameters(self, rng: np.random.Generator) -> Numbers:
        """Those of the factors, drawn one after the other; (K,)."""
        return np.concatenate([factor.initial_parameters(rng) for factor in self.factors])

    def at(self, theta: Numbers) -> ProductWaveFunction:
        """The wave function at theta, (K,) of ``dtype``; raises NumericalError where a factor does."""
        require_finite(theta, self.n_parameters, self.dtype)
        return ProductWaveFunction(self, theta)


class ProductWaveFunction(Composite):
    """A product at fixed parameters, as a :class:`pvmc.wavefunctions.base.WaveFunction`."""

    def __init__(self, ansatz: Product, theta: Numbers):
        self.ansatz, self.n_parameters = ansatz, ansatz.n_parameters
        states = [factor.at(theta[part]) for factor, part in zip(ansatz.factors, ansatz.slices, strict=True)]
        self.dtype = np.result_type(*(state.dtype for state in states))
        ends = np.cumsum([factor.lookup_size for factor in ansatz.factors]).tolist()
        self.parts = [
            Part(state, slice(end - factor.lookup_size, end))
            for state, factor, end in zip(states, ansatz.factors, ends, strict=True)
        ]

    def log_psi(self, spins: Spins) -> Numbers:
        """ln psi(s), (L,): the sum over the factors."""
        total: Numbers = sum((part.psi.log_psi(spins) for part in self.parts), np.zeros(spins.shape[1], self.dtype))
        return total

    def combined(self, ratios: Sequence[Numbers], lookup: Floats) -> Numbers:
        """The product of the factors' ratios."""
        return reduce(np.multiply, ratios)

    def fill_derivatives(self, spins: Spins, lookup: Floats, out: Numbers) -> None:
        """O_k, (K, L): those of the factors, one below the other."""
        for part, own in zip(self.parts, self.ansatz.slices, strict=True):
            if part.psi.dtype == self.dtype:
                part.psi.log_derivatives(spins, lookup[part.rows], out=out[own])
            else:
                out[own] = part.psi.log_derivatives(spins, lookup[part.rows])

    @property
    def has_factors(self) -> bool:
        """True where the log-derivatives of a part are shorter as factors."""
        return self.ansatz.factor_rows is not None

    def derivative_factors(self, spins: Spins, lookup: Floats) -> Factors:
        """Those of the parts one after the other; plain rows of a part that does not count any (``factor_rows``)."""
        factors: list[tuple[Numbers, ...]] = []
        for part, factor in zip(self.parts, self.ansatz.factors, strict=True):
            own = factors_of(part.psi) if factor_rows_of(factor) is not None else None
            if own is None:
                rows = np.empty((factor.n_parameters, spins.shape[1]), dtype=part.psi.dtype)
                factors.append((part.psi.log_derivatives(spins, lookup[part.rows], out=rows),))
            else:
                factors.extend(own(spins, lookup[part.rows]))
        return factors
