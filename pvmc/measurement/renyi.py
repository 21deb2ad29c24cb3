"""The Renyi-2 entanglement entropy S_2 = -ln Tr rho_A^2 of a region A, from pairs of walkers or from a vector.

Two independent configurations s, s' of |psi|^2 exchange their spins in A, and

    Tr rho_A^2 = < Swap > ,     Swap(s, s') = psi(s'_A s_B) psi(s_A s'_B) / (psi(s) psi(s'))

(Hastings, Gonzalez, Kallin, Melko, PRL 104, 157201 (2010)).  Its mean is real and positive; single values may be
complex, or negative.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pvmc.errors import InputError
from pvmc.exact import Basis
from pvmc.measurement.leave_one_out import Function, Totals, jackknife_variance, standard_error
from pvmc.mpi import Communicator
from pvmc.numerics.arrays import Floats, Integers, Numbers, Spins
from pvmc.sampler import Draw
from pvmc.statistics.thresholds import LARGEST_SWAP_ERROR
from pvmc.wavefunctions.fallback import exponential
from pvmc.wavefunctions.vectors import LogPsi, amplitude_matrix, batched_log_psi


@dataclass(frozen=True)
class Renyi2Estimate:
    """An entropy from samples.

    Attributes:
        value: S_2 = -ln Re <Swap>, in nats; inf or NaN where <Swap> is not positive.
        error: its standard error, by the jackknife over walkers; inf where it cannot be estimated.
        swap: Re <Swap> = Tr rho_A^2, the purity of A.
        swap_error: its standard error.
        imaginary: Im <Swap>, zero within error.
        imaginary_error: its standard error.
        n_pairs: pairs of walkers, over all ranks.
        reliable: whether the relative error of <Swap> is at most LARGEST_SWAP_ERROR.  Beyond, few pairs carry the
            mean: the value is biased upwards, and the error itself uncertain.
    """

    value: float
    error: float
    swap: float
    swap_error: float
    imaginary: float
    imaginary_error: float
    n_pairs: int
    reliable: bool


def region(sites: Sequence[int], n_sites: int) -> Integers:
    """The sites of a region in ascending order, int64 (n,).

    Raises:
        InputError: a site does not exist, or is named twice.
    """
    ordered = np.array(sorted(sites), dtype=np.int64)
    if len(ordered) and not 0 <= ordered[0] <= ordered[-1] < n_sites:
        raise InputError(f"region {list(sites)}: sites are numbered from 0 to {n_sites - 1}")
    if np.any(np.diff(ordered) == 0):
        raise InputError(f"region {list(sites)}: a site is named twice")
    return ordered


def renyi2_of_vector(vector: npt.NDArray[Any], basis: Basis, sites: Sequence[int]) -> float:
    """S_2 in nats of a region of a normalised state, (D,), on the configurations of a basis; exact.

    Raises:
        InputError: the region is none of this lattice.
    """
    matrix = amplitude_matrix(vector.astype(np.complex128), basis, region(sites, basis.n_sites))
    if matrix.shape[0] > matrix.shape[1]:
        matrix = matrix.T  # the entropies of A and of the rest are the same
    reduced = matrix @ matrix.conj().T
    return max(0.0, -float(np.log(np.sum(np.abs(reduced) ** 2))))


def swapped(spins: Spins, others: Spins, sites: Integers) -> tuple[Spins, Spins]:
    """The configurations (s'_A s_B) and (s_A s'_B) of pairs s, s', int8 (N, L) each."""
    first, second = spins.copy(), others.copy()
    first[sites], second[sites] = others[sites], spins[sites]
    return first, second


def swap_values(
    psi: LogPsi,
    spins: Spins,
    others: Spins,
    sites: Integers,
    *,
    magnetization: int | None = None,
    before: Numbers | None = None,
) -> Numbers:
    """Swap(s, s') of pairs of configurations.

    Args:
        psi: the wave function.
        spins: s, int8 (N, L).
        others: s', int8 (N, L).
        sites: the region A, int64 (n,).
        magnetization: sum_i s_i of the sector that is sampled, or None for all configurations.  The state is the one
            restricted to the sector: a pair that leaves it by the exchange counts 0, whatever psi is outside.
        before: ln psi(s) + ln psi(s'), (L,), where it is known.

    Returns:
        (L,), complex128 where psi is, else float64; 0 where psi vanishes after the exchange, inf where it vanished
        before.
    """
    if before is None:
        before = batched_log_psi(psi, spins) + batched_log_psi(psi, others)
    first, second = swapped(spins, others, sites)
    values = np.zeros(spins.shape[1], dtype=before.dtype)
    inside = np.arange(spins.shape[1])
    if magnetization is not None:  # both leave the sector, or neither: the sum of all spins stays
        inside = np.flatnonzero(first.sum(axis=0, dtype=np.int64) == magnetization)
    both = batched_log_psi(psi, np.concatenate([first[:, inside], second[:, inside]], axis=1))
    after = both[: len(inside)] + both[len(inside) :]
    with np.errstate(invalid="ignore"):
        values[inside] = exponential(after - before[inside])
    return values


def walker_pairs(width: int, n_shifts: int = 1) -> tuple[Integers, Integers]:
    """Which walkers of a block are paired: l with (l + k) modulo the width, for shifts k from half the width down.

    Walkers of a block are independent chains.  With one shift and an even width every walker is in one pair; every
    further shift puts each walker into two more.

    Returns:
        The first and the second walker of each pair, int64 (n_pairs,) each; no pair twice.

    Raises:
        InputError: fewer than 2 walkers in a block, or more shifts than it has.
    """
    largest = width // 2
    if not 1 <= n_shifts <= largest:
        raise InputError(f"pairs of walkers in blocks of {width}: needs 1 to {largest} shifts, not {n_shifts}")
    first, second = [], []
    for shift in range(largest, largest - n_shifts, -1):
        walkers = np.arange(shift if 2 * shift == width else width)
        first.append(walkers)
        second.append((walkers + shift) % width)
    return np.concatenate(first), np.concatenate(second)


class Renyi2:
    """Sums of Swap over the draws of each pair of walkers of this rank's blocks.

    Args:
        n_blocks: blocks of walkers on this rank.
        width: L, walkers in a block.
        n_sites: N.
        sites: the region A.
        n_shifts: see :func:`walker_pairs`; more of them lower the error, at the cost of 2 ln psi per pair.
        magnetization: sum_i s_i of the sector that is sampled, or None; see :func:`swap_values`.

    Raises:
        InputError: the region is none of this lattice, or blocks are too narrow for so many pairs.
    """

    def __init__(
        self,
        n_blocks: int,
        width: int,
        n_sites: int,
        sites: Sequence[int],
        *,
        n_shifts: int = 1,
        magnetization: int | None = None,
    ):
        self.sites = region(sites, n_sites)
        self.magnetization = magnetization
        self._width = width
        self._first, self._second = walker_pairs(width, n_shifts)
        self._sums = np.zeros((n_blocks, len(self._first), 2))
        self._weights = np.zeros((n_blocks, len(self._first)))

    def add(self, psi: LogPsi, draw: Draw, weights: Floats | None = None, *, log_psi: Numbers | None = None) -> None:
        """Add a draw of one block.

        Args:
            psi: the wave function, always the same.
            draw: the configurations.
            weights: of the walkers, float64 (L,), where they were not drawn from |psi|^2; a common factor of all
                blocks and draws of all ranks does not matter.  Walkers of weight 0 count nothing.
            log_psi: ln psi of the configurations, (L,), where it is known.
        """
        if log_psi is None:
            log_psi = batched_log_psi(psi, draw.spins)
        pair_weights = np.ones(len(self._first))
        if weights is not None:
            pair_weights = weights[self._first] * weights[self._second]
        kept = np.flatnonzero(pair_weights > 0)
        first, second = self._first[kept], self._second[kept]
        values = swap_values(
            psi,
            draw.spins[:, first],
            draw.spins[:, second],
            self.sites,
            magnetization=self.magnetization,
            before=log_psi[first] + log_psi[second],
        )
        self._sums[draw.block, kept, 0] += pair_weights[kept] * values.real
        self._sums[draw.block, kept, 1] += pair_weights[kept] * values.imag
        self._weights[draw.block] += pair_weights

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """What has been summed so far, by blocks along the first axis of each array."""
        return {"sums": self._sums.copy(), "weights": self._weights.copy()}

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from a state of this rank's blocks.

        Raises:
            ValueError: it is that of other blocks, or of other pairs.
        """
        if state["sums"].shape != self._sums.shape or state["weights"].shape != self._weights.shape:
            raise ValueError(f"sums over pairs are {self._sums.shape}, not {state['sums'].shape}")
        self._sums[:], self._weights[:] = state["sums"], state["weights"]

    def estimate(self, comm: Communicator) -> Renyi2Estimate:
        """Collective.  The entropy and its error from the pairs of all ranks."""
        totals = Totals(self._sums, self._weights, comm)
        swap, imaginary = totals.means.tolist()
        value = float(entropy(totals.means))
        error = self._error(entropy, totals, comm)
        swap_error, imaginary_error = (self._error(part, totals, comm) for part in (real_part, imaginary_part))
        reliable = swap > 0 and swap_error <= LARGEST_SWAP_ERROR * swap
        return Renyi2Estimate(value, error, swap, swap_error, imaginary, imaginary_error, totals.n_units, reliable)

    def _error(self, function: Function, totals: Totals, comm: Communicator) -> float:
        """Collective.  Standard error of a function of the means.

        Pairs that share a walker are correlated.  The jackknife over walkers counts these covariances, and what is a
        pair's own twice, once for each of its walkers; the jackknife over pairs counts the latter once.  The
        difference is the variance (that of dyadic data: Fafchamps, Gubert, J. Dev. Econ. 83, 326 (2007)).  Where
        no two pairs share a walker it is that of independent pairs.
        """
        whole = float(function(totals.means))
        pairs = function(totals.leave_one_out(self._sums, self._weights))
        walkers = function(totals.leave_one_out(self._of_walkers(self._sums), self._of_walkers(self._weights)))
        n_walkers = totals.n_units * self._width // len(self._first)
        of_walkers = jackknife_variance(walkers, whole, comm, n_walkers)
        of_pairs = jackknife_variance(pairs, whole, comm, totals.n_units)
        # Walkers cannot be anticorrelated: what is less than the pairs' own part is noise of the estimate.
        return standard_error(max(of_walkers - of_pairs, of_pairs) if of_walkers == of_walkers else of_walkers)

    def _of_walkers(self, pairs: Floats) -> Floats:
        """Sums over all pairs that a walker is in, (n_blocks, L, ...)."""
        walkers = np.zeros((pairs.shape[0], self._width, *pairs.shape[2:]))
        for ends in (self._first, self._second):
            np.add.at(np.moveaxis(walkers, 1, 0), ends, np.moveaxis(pairs, 1, 0))
        return walkers


def entropy(means: Floats) -> Floats:
    """-ln of the first of the means; NaN where it is negative."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(-np.log(means[0]))


def real_part(means: Floats) -> Floats:
    """The first of the means."""
    return means[0]


def imaginary_part(means: Floats) -> Floats:
    """The second of the means."""
    return means[1]
