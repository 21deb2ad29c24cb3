"""Wave functions made of others: what products and projections share.

A **part** is a wave function of transformed configurations, psi_p(g_p s) with (g s)_i = sign s[perm[i]].  Its look-up
is a range of rows of the whole look-up; flipping the set X of s flips the set of the sites i with perm[i] in X of g s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from pvmc.numerics.arrays import Booleans, Floats, Integers, Numbers, Spins
from pvmc.spins.flips import FlipSets
from pvmc.wavefunctions.base import WaveFunction
from pvmc.wavefunctions.fallback import BATCH, exponential, flipped_log_psi, log_ratio, may_flip


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
    own_spins, own_lookup = np.ascontiguousarray(spins[:, lanes]), np.ascontiguousarray(lookup[:, lanes])
    free, always = np.zeros(len(flips), dtype=np.bool_), np.full((1, len(lanes)), -1.0)
    psi.metropolis(own_spins, own_lookup, flips, free, np.array([k], dtype=np.int64), always)
    spins[:, lanes], lookup[:, lanes] = own_spins, own_lookup


def nodes(psi: Any, spins: Spins) -> Booleans:
    """Where psi(s) vanishes, exactly or, in a sum over symmetries, up to rounding; bool (L,), of any wave function."""
    if isinstance(psi, Composite):
        return psi.nodes(spins)
    return np.asarray(np.isneginf(np.real(psi.log_psi(spins))))


class Composite:
    """Base of wave functions made of parts; a subclass says how the parts' ratios combine.

    Attributes:
        parts: the parts.
        dtype: of ln psi.
    """

    parts: Sequence[Part]
    dtype: np.dtype[Any]

    def log_psi(self, spins: Spins) -> Numbers:
        """ln psi(s), (L,) of ``dtype``."""
        raise NotImplementedError

    def nodes(self, spins: Spins) -> Booleans:
        """Where a part vanishes, bool (L,); see :func:`nodes`."""
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
        seen = [part.spins(spins).copy() for part in self.parts]
        sets = [part.flips(flips) for part in self.parts]
        for k, uniform in zip(chosen, uniforms, strict=True):
            allowed = may_flip(spins, flips[k], bool(conserving[k]))
            if not allowed.any():
                continue
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
        return accepted

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
            accept: Booleans = allowed & (uniform < np.abs(ratio) ** 2)
        return accept
