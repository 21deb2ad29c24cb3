"""Look-ups, ratios and Metropolis steps of any wave function that can give ln psi, and nothing else.

:class:`Batched` adds to a ``log_psi`` the rest of :class:`pvmc.wavefunctions.base.WaveFunction`: every ratio is a
difference of two ln psi from scratch, of many walkers and flips at once, in batches of bounded memory.
:class:`FormulaAnsatz` makes a whole :class:`pvmc.wavefunctions.base.Ansatz` of an object with ``n_parameters``,
``log_psi(theta, spins)`` and ``log_derivatives(theta, spins)``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from pvmc.errors import InputError
from pvmc.numerics.accept import accepting_change, propose
from pvmc.numerics.arrays import Booleans, Floats, Integers, Numbers, Spins, first_planes, joined_planes
from pvmc.spins.flips import FlipSets
from pvmc.wavefunctions.base import Blocks
from pvmc.wavefunctions.shared import FixedState, Proposals, gaussian, require_finite

BATCH = 4096
"""Configurations whose ln psi is asked for at once."""


def exponential(logarithm: Numbers) -> Numbers:
    """exp of real or complex numbers: inf where it leaves the range of float64, never NaN (NaN gives inf)."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        if not np.iscomplexobj(logarithm):
            return np.where(np.isnan(logarithm), np.inf, np.exp(logarithm))
        size = np.exp(logarithm.real)
        phase = np.where(np.isfinite(logarithm.imag), logarithm.imag, 0.0)
        parts = [np.where(part == 0.0, 0.0, size * part) for part in (np.cos(phase), np.sin(phase))]
        value = np.empty(np.shape(logarithm), dtype=np.complex128)
        value.real, value.imag = np.where(np.isnan(size), np.inf, parts[0]), np.where(np.isnan(size), 0.0, parts[1])
        return value


def log_ratio(after: Numbers, before: Numbers) -> Numbers:
    """ln psi' - ln psi; +inf where psi is zero (a walker on a node of psi leaves it at once), whatever psi' is."""
    with np.errstate(invalid="ignore"):
        change: Numbers = after - before
    return np.where(np.isneginf(np.real(before)), np.inf, change)


def flip_columns(spins: Spins, flips: FlipSets, rows: Integers, lanes: Integers) -> Spins:
    """The configurations ``spins[:, lanes[c]]`` with set ``rows[c]`` flipped, int8 (N, number of columns)."""
    flipped = np.ascontiguousarray(spins[:, lanes])
    lengths = np.diff(flips.offsets)[rows]
    columns = np.repeat(np.arange(len(rows)), lengths)
    within = np.arange(len(columns)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    sites = flips.sites[np.repeat(flips.offsets[rows], lengths) + within]
    flipped[sites, columns] *= -1
    return flipped


def flipped_log_psi(
    log_psi: Callable[[Spins], Numbers], spins: Spins, flips: FlipSets, rows: Integers, lanes: Integers, batch: int
) -> Numbers:
    """ln psi of walkers ``lanes[c]`` with set ``rows[c]`` flipped, (number of columns,), a batch at a time."""
    parts = [
        log_psi(flip_columns(spins, flips, rows[start : start + batch], lanes[start : start + batch]))
        for start in range(0, len(rows), batch)
    ]
    return np.concatenate(parts) if parts else np.zeros(0)


def may_flip(spins: Spins, sites: Integers, conserving: bool) -> Booleans:
    """Walkers that may flip the set: all, or those whose spins on it sum to zero; bool (L,)."""
    allowed = np.empty(spins.shape[1], dtype=np.bool_)
    propose(spins, sites, conserving, allowed)
    return allowed


class Batched(FixedState):
    """Base of wave functions that give only ``dtype``, ``log_psi`` and ``log_derivatives``.

    The look-up is ln psi: its real part, and for complex psi its imaginary part below, float64 (1 or 2, L).
    """

    batch: int = BATCH

    def log_psi(self, spins: Spins) -> Numbers:
        """ln psi(s), (L,) of ``dtype``; for the subclass to give."""
        raise NotImplementedError

    def lookup(self, spins: Spins) -> Floats:
        """ln psi(s) by planes."""
        return first_planes(np.asarray(self.log_psi(spins), dtype=self.dtype))

    def ratios(self, spins: Spins, lookup: Floats, flips: FlipSets, wanted: Booleans) -> Numbers:
        """psi(s')/psi(s), (n_flips, L), 0 where not wanted; inf beyond the range of float64, never NaN."""
        out = np.zeros(wanted.shape, dtype=self.dtype)
        rows, lanes = np.nonzero(wanted)
        after = flipped_log_psi(self.log_psi, spins, flips, rows, lanes, self.batch)
        out[rows, lanes] = exponential(log_ratio(after, joined_planes(lookup, len(lookup))[0, lanes]))
        return out

    def step(self, spins: Spins, lookup: Floats, proposals: Proposals, accepted: Integers) -> None:
        """Metropolis steps by ln psi from scratch of the walkers that may flip."""
        flips, conserving, chosen, uniforms = proposals
        for k, uniform in zip(chosen, uniforms, strict=True):
            lanes = np.flatnonzero(may_flip(spins, flips[k], bool(conserving[k])))
            after = flipped_log_psi(self.log_psi, spins, flips, np.full(len(lanes), k), lanes, self.batch)
            change = log_ratio(after, joined_planes(lookup, len(lookup))[0, lanes])
            accept = accepting_change(uniform[lanes], np.real(change))
            moved = lanes[accept]
            spins[np.ix_(flips[k], moved)] *= -1
            lookup[:, moved] = first_planes(after[accept].astype(self.dtype, copy=False))
            accepted[moved] += 1

    def move(self, spins: Spins, lookup: Floats, sites: Integers, accept: Booleans) -> None:
        """Flip the sites in the accepting walkers; spins and look-up are updated."""
        moved = np.flatnonzero(accept)
        spins[np.ix_(sites, moved)] *= -1
        lookup[:, moved] = self.lookup(np.ascontiguousarray(spins[:, moved]))


class Formula(Protocol):
    """A wave function as its author writes it down; all else follows from these three.

    Optional members: ``dtype`` (of theta; complex128 unless given), ``psi_dtype`` (of ln psi; that of theta unless
    given; float64 says that psi is positive), ``parameter_blocks``, ``initial_parameters(rng)`` (Gaussians of standard
    deviation 0.05 unless given) and ``symmetry_group`` (see :mod:`pvmc.wavefunctions.symmetry`).
    """

    n_parameters: int

    def log_psi(self, theta: Numbers, spins: Spins) -> Numbers:
        """ln psi_theta(s), (L,), of spins int8 (N, L)."""
        ...

    def log_derivatives(self, theta: Numbers, spins: Spins) -> Numbers:
        """d ln psi / d theta_k, (K, L)."""
        ...


class FormulaAnsatz:
    """A :class:`Formula` as an :class:`pvmc.wavefunctions.base.Ansatz`.

    Attributes:
        formula: what the author wrote.
    """

    table_bytes = 0
    init_scale = 0.05

    def __init__(self, formula: Formula, n_sites: int):
        """The ansatz of a formula on N sites.

        Raises:
            ValueError: a dtype is neither float64 nor complex128, or there is no parameter.
        """
        self.formula = formula
        self.n_sites = n_sites
        self.n_parameters = int(formula.n_parameters)
        self.dtype = np.dtype(getattr(formula, "dtype", np.complex128))
        self.psi_dtype = np.dtype(getattr(formula, "psi_dtype", self.dtype))
        for dtype in (self.dtype, self.psi_dtype):
            if dtype not in (np.dtype(np.float64), np.dtype(np.complex128)):
                raise ValueError(f"parameters and ln psi are float64 or complex128, not {dtype}")
        if self.n_parameters < 1:
            raise ValueError(f"n_parameters must be at least 1, got {self.n_parameters}")
        whole = {"theta": (slice(0, self.n_parameters), (self.n_parameters,))}
        self.parameter_blocks: Blocks = getattr(formula, "parameter_blocks", whole)
        self.symmetry_group = getattr(formula, "symmetry_group", None)

    @property
    def lookup_size(self) -> int:
        """Q: ln psi by planes."""
        return self.psi_dtype.itemsize // 8

    def initial_parameters(self, rng: np.random.Generator) -> Numbers:
        """The formula's own, else Gaussians of standard deviation 0.05, real and imaginary parts each; (K,)."""
        own = getattr(self.formula, "initial_parameters", None)
        if own is not None:
            return np.array(own(rng), dtype=self.dtype)
        return gaussian(rng, self.n_parameters, self.dtype, self.init_scale)

    def at(self, theta: Numbers) -> FormulaState:
        """The wave function at theta, (K,); raises NumericalError where theta is not finite."""
        require_finite(theta, self.n_parameters, self.dtype)
        return FormulaState(self, theta)


class FormulaState(Batched):
    """A :class:`Formula` at fixed parameters, as a :class:`pvmc.wavefunctions.base.WaveFunction`."""

    def __init__(self, ansatz: FormulaAnsatz, theta: Numbers):
        self.formula, self.dtype, self.n_parameters = ansatz.formula, ansatz.psi_dtype, ansatz.n_parameters
        self.theta = theta.copy()

    def log_psi(self, spins: Spins) -> Numbers:
        """ln psi(s), (L,)."""
        return self._checked("log_psi", self.formula.log_psi(self.theta, spins), (spins.shape[1],), "(L,)")

    def fill_derivatives(self, spins: Spins, lookup: Floats, out: Numbers) -> None:
        """O_k, (K, L)."""
        derivatives = self.formula.log_derivatives(self.theta, spins)
        out[:] = self._checked("log_derivatives", derivatives, out.shape, "(K, L)")

    def _checked(self, name: str, values: Any, shape: tuple[int, ...], meaning: str) -> Numbers:
        """The result of a method of the formula, of the dtype of ln psi; numpy would stretch another shape to fit."""
        found = np.asarray(values)
        if found.shape != shape:
            raise InputError(f"{name}(theta, spins) gives the shape {found.shape}, must be {meaning} = {shape}")
        if np.iscomplexobj(found) and self.dtype == np.float64:
            raise InputError(f"{name}(theta, spins) gives complex numbers; with psi_dtype float64 they must be real")
        return found.astype(self.dtype, copy=False)
