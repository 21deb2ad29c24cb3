"""Interface between variational wave functions and the rest of pvmc.

An :class:`Ansatz` is a family of wave functions psi_theta(s); :meth:`Ansatz.at` picks one member.  An ansatz knows
spins and sets of flipped spins, never a Hamiltonian, a sampler or a communicator.

Arrays have the walkers in the last, contiguous axis (length L): spins are int8 (N, L) of +-1, C-contiguous.

A wave function may offer more, which is no part of the protocols below and is asked for by name:

- ``move(spins, lookup, sites, accept)``: flip the sites in the accepting walkers (:mod:`pvmc.wavefunctions.composite`).
- ``derivative_factors(spins, lookup) -> Factors``: the numbers of ``log_derivatives``, in the same order, as outer
  products where weights form dense matrices.  It is offered where that is shorter; a property ``has_factors`` that is
  False takes the offer back.  The ansatz then has ``factor_rows``, the number of rows of all B and A together, by which
  memory is predicted before there are configurations; None where nothing is offered
  (:mod:`pvmc.wavefunctions.log_derivatives`).
- ``amplitude_derivatives(spins, log_scale) -> (K, L)``: d psi / d theta_k /
  exp(log_scale), log_scale float64 (L,), of configurations where psi vanishes exactly, and O_k is no number.  Smeared
  draws (:mod:`pvmc.estimators.smeared`) reach them; a wave function without it has no gradient there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np

from pvmc.numerics.arrays import Booleans, Floats, Integers, Numbers, Spins
from pvmc.spins.flips import FlipSets

Blocks: TypeAlias = Mapping[str, tuple[slice, tuple[int, ...]]]
Factors: TypeAlias = Sequence[tuple[Numbers, ...]]
"""Log-derivatives of L configurations in short: one entry per consecutive block of theta, in its order, covering it.

``(B,)`` where the block's log-derivatives are the rows B, (k, L), themselves; ``(B, A)`` where
O[j * p + i] = B[j] * A[i] with B (q, L) and A (p, L): q p parameters from q + p numbers per configuration.  B and A are
float64 or complex128 each (all float64 where psi is), C-contiguous, and made anew, no two of them sharing memory: the
caller may keep and change them.
"""


class WaveFunction(Protocol):
    """An ansatz at fixed parameters."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of log psi, ratios and log-derivatives: float64 when psi is real and positive, else complex128."""
        ...

    def log_psi(self, spins: Spins) -> Numbers:
        """ln psi(s) of every walker, not normalised; the imaginary part is a phase, known modulo 2 pi.

        Args:
            spins: int8 (N, L).

        Returns:
            (L,) of ``dtype``.
        """
        ...

    def lookup(self, spins: Spins) -> Floats:
        """Numbers kept per walker so that a flip costs far less than psi from scratch.

        Args:
            spins: int8 (N, L).

        Returns:
            float64 (Q, L), C-contiguous, a pure function of the spins; Q belongs to the ansatz.
        """
        ...

    def ratios(self, spins: Spins, lookup: Floats, flips: FlipSets, wanted: Booleans) -> Numbers:
        """psi(s with the spins of a set flipped) / psi(s), for every set and walker.

        Args:
            spins: int8 (N, L).
            lookup: float64 (Q, L), belonging to ``spins``.
            flips: the sets, of any size.
            wanted: bool (n_flips, L).

        Returns:
            (n_flips, L) of ``dtype``; 0 where not wanted.  A ratio beyond the range of float64 is inf, never NaN.
        """
        ...

    def metropolis(
        self,
        spins: Spins,
        lookup: Floats,
        flips: FlipSets,
        conserving: Booleans,
        chosen: Integers,
        uniforms: Floats,
    ) -> Integers:
        """Metropolis steps: step t proposes to every walker to flip the set ``chosen[t]``.

        A walker accepts when ``uniforms[t]`` < |psi(s')/psi(s)|^2.  Where ``conserving`` is true for the set, walkers
        whose spins on it do not sum to zero reject, so that the magnetisation stays.

        Args:
            spins: int8 (N, L); updated in place.
            lookup: float64 (Q, L), belonging to ``spins``; updated in place.  Rounding errors add up slowly over the
                accepted moves: make it anew from the spins every few sweeps.
            flips: the sets, of any size.
            conserving: bool (n_flips,).
            chosen: int64 (n_steps,), indices of sets.
            uniforms: float64 (n_steps, L), in [0, 1); a number below 0 accepts whatever the ratio, which is how
                :mod:`pvmc.wavefunctions.composite` moves a part that has no ``move``, and inf accepts none.

        Returns:
            int64 (L,): accepted moves per walker.
        """
        ...

    def log_derivatives(self, spins: Spins, lookup: Floats, out: Numbers | None = None) -> Numbers:
        """O_k(s) = d ln psi(s) / d theta_k, holomorphic where the parameters are complex.

        Args:
            spins: int8 (N, L).
            lookup: float64 (Q, L), belonging to ``spins``.
            out: where to write, (K, L) of ``dtype`` with its last axis contiguous (a column block of a larger array
                will do); new if None.

        Returns:
            (K, L) of ``dtype``; ``out`` itself when given.
        """
        ...


class Ansatz(Protocol):
    """A parametrised family of wave functions of N spins."""

    @property
    def n_sites(self) -> int:
        """N."""
        ...

    @property
    def n_parameters(self) -> int:
        """K, the length of theta."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of theta: float64 or complex128."""
        ...

    @property
    def parameter_blocks(self) -> Blocks:
        """Named parts of theta: name -> (slice of theta, shape that it takes), in the order of theta."""
        ...

    @property
    def lookup_size(self) -> int:
        """Q, numbers kept per walker."""
        ...

    @property
    def table_bytes(self) -> int:
        """Memory of the tables of one wave function."""
        ...

    def initial_parameters(self, rng: np.random.Generator) -> Numbers:
        """Random starting parameters, (K,) of ``dtype``; a pure function of the generator's state."""
        ...

    def at(self, theta: Numbers) -> WaveFunction:
        """The wave function at the parameters ``theta``, (K,) of ``dtype``.

        Makes the tables that the kernels need: meant to be called once per iteration.  Does not keep ``theta`` itself.

        Raises:
            NumericalError: the parameters are not finite, or so large that ratios of psi leave the range of float64.
        """
        ...
