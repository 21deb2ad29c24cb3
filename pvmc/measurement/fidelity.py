"""The fidelity F = |<phi|psi>|^2 / (<phi|phi> <psi|psi>) of two states, from samples of both.

    F = Re ( <phi/psi>_psi <psi/phi>_phi ) ,

where <.>_psi is a mean over |psi|^2.  The norms of psi and phi, and a phase of either, drop out.  With the second
moments of the same ratios, whose product <|phi/psi|^2>_psi <|psi/phi|^2>_phi is 1 where both states vanish on the same
configurations,

    F = Re ( <phi/psi>_psi <psi/phi>_phi ) - 1/2 ( <|phi/psi|^2>_psi <|psi/phi|^2>_phi - 1 )

has the same mean and, for psi close to phi, a far smaller error: what is linear in phi/psi - 1 cancels (Sinibaldi,
Giuliani, Carleo, Vicentini, Quantum 7, 1131 (2023)).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pvmc.measurement.leave_one_out import Function, Totals, jackknife_variance, standard_error
from pvmc.mpi import Communicator
from pvmc.numerics.arrays import Floats, Integers, Numbers, Spins
from pvmc.sampler import Draw
from pvmc.wavefunctions.fallback import exponential
from pvmc.wavefunctions.vectors import LogPsi, batched_log_psi

Combination = Callable[[Floats, Floats, float], Floats]
"""A function of the mean ratios of both sides, (3,) or (3, ...) each, and of the logarithm of their common scales."""


@dataclass(frozen=True)
class FidelityEstimate:
    """A fidelity from samples of both states.

    Attributes:
        value: F; its statistical error may carry it out of [0, 1].
        error: standard error, by the jackknife over the walkers of both.
        imaginary: Im <phi/psi> <psi/phi>, zero within error.
        imaginary_error: its standard error.
        norms: <|phi/psi|^2>_psi <|psi/phi|^2>_phi, 1 within error where both states vanish on the same configurations
            and the samples of each have seen where the other is large.  Well below 1 they have not (or the states live
            on different configurations): then the error is not to be trusted, and the control variate is wrong.
        norms_error: its standard error.
    """

    value: float
    error: float
    imaginary: float
    imaginary_error: float
    norms: float
    norms_error: float


@dataclass(frozen=True)
class Turned:
    """A state turned by pi about z on one sublattice, the way between a Hamiltonian with ``marshall`` and one without.

    psi'(s) = psi(s) prod_{i in B} s_i; the same turn leads back.  Neither |psi|^2 nor an entanglement entropy changes.

    Attributes:
        psi: the state.
        sublattices: +-1 of each site, (N,); those with -1 are B.
    """

    psi: LogPsi
    sublattices: Integers

    def log_psi(self, spins: Spins) -> Numbers:
        """ln psi'(s), complex128 (L,)."""
        down = np.count_nonzero(spins[self.sublattices < 0] < 0, axis=0)
        return np.asarray(self.psi.log_psi(spins) + 1j * np.pi * (down % 2))


class RatioSums:
    """Sums of phi(s)/psi(s) and of its squared modulus over samples s of |psi|^2, walker by walker of this rank.

    Each walker keeps the scale e^c of its largest ratio apart: ln phi - ln psi holds the unknown norms of both.

    Args:
        n_blocks: blocks of walkers on this rank.
        width: L, walkers in a block.
        magnetization: sum_i s_i of the sector that phi is restricted to, or None: configurations outside count 0.
    """

    def __init__(self, n_blocks: int, width: int, *, magnetization: int | None = None):
        self.magnetization = magnetization
        self._scales = np.full((n_blocks, width), -np.inf)
        self._sums = np.zeros((n_blocks, width, 3))
        self._weights = np.zeros((n_blocks, width))

    def add(self, psi: LogPsi, phi: LogPsi, draw: Draw, weights: Floats | None = None) -> None:
        """Add a draw of one block.

        Args:
            psi: the state that was sampled.
            phi: the other one.
            draw: configurations from |psi|^2.
            weights: of the walkers, float64 (L,), where they were drawn from another distribution; a common factor of
                all does not matter.  Walkers of weight 0 count nothing.
        """
        weights = np.ones(draw.spins.shape[1]) if weights is None else weights
        change = self._log_ratios(psi, phi, draw.spins)
        change[weights == 0] = -np.inf
        scales = self._scales[draw.block]
        largest = np.maximum(scales, change.real)
        shift = np.where(np.isfinite(largest), largest, 0.0)
        sums = self._sums[draw.block]
        with np.errstate(over="ignore", invalid="ignore"):  # psi = 0 at a sample leaves the sums NaN, or inf
            factor, ratio = np.exp(scales - shift), exponential(change - shift)
            terms = np.stack([ratio.real, ratio.imag, np.abs(ratio) ** 2], axis=1)
            sums *= np.stack([factor, factor, factor**2], axis=1)
            sums += weights[:, None] * terms
        self._scales[draw.block] = largest
        self._weights[draw.block] += weights

    def _log_ratios(self, psi: LogPsi, phi: LogPsi, spins: Spins) -> npt.NDArray[np.complex128]:
        """ln phi - ln psi, complex128 (L,); -inf outside the sector of phi."""
        change = np.full(spins.shape[1], -np.inf, dtype=np.complex128)
        inside = np.arange(spins.shape[1])
        if self.magnetization is not None:
            inside = np.flatnonzero(spins.sum(axis=0, dtype=np.int64) == self.magnetization)
        members = np.ascontiguousarray(spins[:, inside])
        with np.errstate(invalid="ignore"):
            change[inside] = batched_log_psi(phi, members) - batched_log_psi(psi, members)
        return change

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """What has been summed so far, by blocks along the first axis of each array."""
        return {"scales": self._scales.copy(), "sums": self._sums.copy(), "weights": self._weights.copy()}

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from a state of this rank's blocks.

        Raises:
            ValueError: it is that of other blocks.
        """
        own = {"scales": self._scales, "sums": self._sums, "weights": self._weights}
        for name, array in own.items():
            if state[name].shape != array.shape:
                raise ValueError(f"{name} of ratios are {array.shape}, not {state[name].shape}")
        for name, array in own.items():
            array[:] = state[name]

    def scaled(self, comm: Communicator) -> tuple[Floats, Floats, float]:
        """Collective.  The sums on one scale of all walkers of all ranks.

        Returns:
            Re, Im and squared modulus of ratios e^-c, float64 (n_blocks, L, 3); weights (n_blocks, L); and c.
        """
        largest = float(comm.max(np.array([self._scales.max(initial=-np.inf)]))[0])
        common = largest if np.isfinite(largest) else 0.0
        with np.errstate(over="ignore", invalid="ignore"):
            factor = np.exp(self._scales - common)
            return self._sums * np.stack([factor, factor, factor**2], axis=-1), self._weights, common


def fidelity(forward: RatioSums, backward: RatioSums, comm: Communicator, *, control: bool = False) -> FidelityEstimate:
    """Collective.  The fidelity of two states.

    Args:
        forward: sums of phi/psi over samples of psi.
        backward: sums of psi/phi over samples of phi, from chains independent of the first ones (other random
            numbers: of the same sampler, its walk with stage 1).
        comm: the ranks.
        control: use the second moments too, see above; only where both states vanish on the same configurations.
    """
    sides = [side.scaled(comm) for side in (forward, backward)]
    totals = [Totals(sums, weights, comm) for sums, weights, _ in sides]
    logarithm = sides[0][2] + sides[1][2]

    def estimate(function: Combination) -> tuple[float, float]:
        first, second = (total.means for total in totals)
        whole = float(function(first, second, logarithm))
        partly: tuple[Function, Function] = (
            lambda means: function(means, second, logarithm),
            lambda means: function(first, means, logarithm),
        )
        variance = 0.0
        for of_one, total, (sums, weights, _) in zip(partly, totals, sides, strict=True):
            left_out = of_one(total.leave_one_out(sums, weights))
            variance += jackknife_variance(left_out, whole, comm, total.n_units)
        return whole, standard_error(variance)

    value = estimate(_controlled if control else _real)
    return FidelityEstimate(*value, *estimate(_imaginary), *estimate(_norms))


def _scaled(product: Floats, logarithm: float) -> Floats:
    """A product times the exponential; inf or NaN, without a warning, beyond the range of float64."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(product * np.exp(logarithm))


def _real(first: Floats, second: Floats, logarithm: float) -> Floats:
    """Re of the product of mean ratios."""
    return _scaled(first[0] * second[0] - first[1] * second[1], logarithm)


def _imaginary(first: Floats, second: Floats, logarithm: float) -> Floats:
    """Im of the product of mean ratios."""
    return _scaled(first[0] * second[1] + first[1] * second[0], logarithm)


def _norms(first: Floats, second: Floats, logarithm: float) -> Floats:
    """The product of mean squared moduli."""
    return _scaled(first[2] * second[2], 2.0 * logarithm)


def _controlled(first: Floats, second: Floats, logarithm: float) -> Floats:
    """The real part with the control variate."""
    return np.asarray(_real(first, second, logarithm) - 0.5 * (_norms(first, second, logarithm) - 1.0))
