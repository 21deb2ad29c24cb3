"""The Renyi-2 entanglement entropy S_2 = -ln Tr rho_A^2 of regions A, from pairs of walkers or from a vector.

Two independent configurations s, s' of |psi|^2 exchange their spins in A, and

    Tr rho_A^2 = < Swap > ,     Swap(s, s') = psi(s'_A s_B) psi(s_A s'_B) / (psi(s) psi(s'))

(Hastings, Gonzalez, Kallin, Melko, PRL 104, 157201 (2010)).  Its mean is real and positive; single values may be
complex, or negative.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from pvmc.errors import InputError
from pvmc.io.measurement import Estimate
from pvmc.io.schema import Coordinate
from pvmc.measurement.observable import Dataset, Findings, Setup, Tally, exact_estimate
from pvmc.measurement.walker_sums import Function, Totals, jackknife_variance, standard_error
from pvmc.mpi import Communicator
from pvmc.numerics.arrays import Floats, Integers, Numbers, Spins
from pvmc.sampler import Draw
from pvmc.spins.configurations import Basis
from pvmc.statistics.thresholds import LARGEST_SWAP_ERROR
from pvmc.vmc.job import Job
from pvmc.wavefunctions.base import WaveFunction
from pvmc.wavefunctions.fallback import exponential
from pvmc.wavefunctions.vectors import LogPsi, batched_log_psi

LENGTHS = "lengths"
"""Stands for the first 1, 2, ..., N/2 sites, one region after the other."""

MOST_IN_WORDS = 4
"""Regions that a warning names one by one."""

_RANGE = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?\Z", re.ASCII)


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


def amplitude_matrix(vector: npt.NDArray[np.complex128], basis: Basis, sites: Integers) -> npt.NDArray[np.complex128]:
    """The amplitudes with the configurations of a region A as rows and those of the rest as columns.

    Args:
        vector: psi(s), (D,), on the configurations of the basis; 0 on others.
        basis: the configurations.
        sites: A, int64 (n,).

    Returns:
        complex128 (2^n, 2^(N - n)); its singular values are the Schmidt coefficients.
    """
    rest = np.setdiff1d(np.arange(basis.n_sites), sites)
    matrix = np.zeros((2 ** len(sites), 2 ** len(rest)), dtype=np.complex128)
    matrix[_number(basis.labels, sites), _number(basis.labels, rest)] = vector
    return matrix


def _number(labels: Integers, sites: Integers) -> Integers:
    """The bits of these sites as a number of their own, int64 (D,)."""
    number = np.zeros_like(labels)
    for position, site in enumerate(sites.tolist()):
        number |= ((labels >> site) & 1) << position
    return number


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
        """The sums so far, by blocks along the first axis of each array."""
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
        """Collective. The entropy and its error from the pairs of all ranks."""
        totals = Totals(self._sums, self._weights, comm)
        swap, imaginary = totals.means.tolist()
        value = float(entropy(totals.means))
        error = self._error(entropy, totals, comm)
        swap_error, imaginary_error = (self._error(part, totals, comm) for part in (real_part, imaginary_part))
        reliable = swap > 0 and swap_error <= LARGEST_SWAP_ERROR * swap
        return Renyi2Estimate(value, error, swap, swap_error, imaginary, imaginary_error, totals.n_units, reliable)

    def _error(self, function: Function, totals: Totals, comm: Communicator) -> float:
        """Collective. Standard error of a function of the means.

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


def parse_regions(text: str, n_sites: int) -> list[Integers]:
    """The regions of an observable ``renyi2``, each the ascending numbers of its sites, int64 (n,).

    Args:
        text: nothing for the first half of the sites, ``lengths``, or sites and ranges with spaces, such as "0-3 8".
        n_sites: N.

    Raises:
        InputError: what is no region, is empty, or is the whole lattice, whose entropy is 0.
    """
    text = text.strip()
    if not text or text == LENGTHS:
        half = n_sites // 2
        if not half:
            raise InputError("one site alone has no entanglement")
        return [np.arange(length) for length in (range(1, half + 1) if text else [half])]
    sites: list[int] = []
    for word in text.split():
        numbers = _RANGE.match(word)
        if not numbers:
            raise InputError(f'"{word}" is no site and no range of sites: must be such as 0-3 8, or {LENGTHS}')
        first, last = int(numbers[1]), int(numbers[2] or numbers[1])
        if not first <= last < n_sites:
            raise InputError(f'"{word}": sites are numbered from 0 to {n_sites - 1}, ranges from low to high')
        sites += range(first, last + 1)
    found = region(sites, n_sites)
    if not 0 < len(found) < n_sites:
        raise InputError(f"a region has 1 to {n_sites - 1} sites, not {len(found)}")
    return [found]


class Entropies(Tally):
    """S_2 of some regions, from the same pairs of walkers.

    Args:
        regions: sites of each region.
        n_sites: N.
        n_blocks: blocks of walkers on this rank.
        width: L, walkers in a block.
        magnetization: sum_i s_i that is sampled, or None.

    Raises:
        InputError: blocks of one walker, which has no other to be paired with.
    """

    name = "renyi2"
    label = name
    help = (
        "Renyi-2 entropy -ln Tr rho_A^2, in nats, of A = the first half of the sites; with a REGION of others: sites "
        "and ranges with blanks (`renyi2:0-3 8`), or `renyi2:lengths` for the first 1, 2, ..., N/2 sites; may be given "
        "several times"
    )
    argument = "REGION"
    examples = ("renyi2:0-3 8", "renyi2:lengths")
    datasets = (Dataset(name, "Renyi-2 entropy -ln Tr rho_A^2 of each region A, in nats", ("region",)),)
    axes = (
        Coordinate("region_size", ("region",), "int64", "1", "number of sites of region A"),
        Coordinate("region_sites", ("region", "site"), "int8", "1", "1 for the sites of A, else 0"),
    )
    figure = "entanglement"

    def __init__(self, regions: Sequence[Integers], n_sites: int, n_blocks: int, width: int, magnetization: int | None):
        self.regions = list(regions)
        mask = np.zeros((len(self.regions), n_sites), dtype=np.int8)
        for row, sites in zip(mask, self.regions, strict=True):
            row[sites] = 1
        self.coordinates = {"region_size": mask.sum(axis=1, dtype=np.int64), "region_sites": mask}
        self._sums = [
            Renyi2(n_blocks, width, n_sites, sites.tolist(), magnetization=magnetization) for sites in self.regions
        ]

    @classmethod
    def is_default(cls, job: Job) -> bool:
        """True where there are two sites, and two walkers in a block."""
        return job.lattice.n_sites > 1 and job.sampler.width > 1

    @classmethod
    def create(cls, arguments: Sequence[str], setup: Setup) -> Iterator[Self]:
        """One, of all regions.

        Raises:
            InputError: what is no region, or blocks of one walker.
        """
        sampler, n_sites = setup.job.sampler, setup.job.lattice.n_sites
        try:
            regions = [sites for argument in arguments for sites in parse_regions(argument, n_sites)]
            yield cls(regions, n_sites, len(setup.blocks), sampler.width, sampler.magnetization)
        except InputError as error:
            raise InputError(f"--observables {cls.name}: {error}") from None

    @classmethod
    def bytes_of_block(cls, job: Job) -> int:
        """Bytes of Swap of the pairs of walkers, of one region."""
        return 24 * (job.sampler.width // 2)

    def add(self, psi: WaveFunction, draw: Draw) -> None:
        """Add a draw of one block; ln psi of its configurations serves all regions."""
        log_psi = psi.log_psi(draw.spins)
        for sums in self._sums:
            sums.add(psi, draw, log_psi=log_psi)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """The sums of all regions, along the second axis: one array of each kind, so that few have to be gathered."""
        states = [sums.state() for sums in self._sums]
        return {key: np.stack([one[key] for one in states], axis=1) for key in states[0]}

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from a state of this rank's blocks."""
        for number, sums in enumerate(self._sums):
            sums.restore({key: array[:, number] for key, array in state.items()})

    def findings(self, comm: Communicator) -> Findings:
        """Collective. The entropies in nats, (n_regions,)."""
        found = [sums.estimate(comm) for sums in self._sums]
        values, errors = (np.array([getattr(one, name) for one in found]) for name in ("value", "error"))
        doubtful = [sites for one, sites in zip(found, self.regions, strict=True) if not one.reliable]
        return Findings(
            {self.name: Estimate(values, errors, "1", ("region",))}, {self.name: _doubt(doubtful)} if doubtful else {}
        )

    def of_vector(self, vector: npt.NDArray[np.complex128], basis: Basis) -> dict[str, Estimate]:
        """The entropies of a state of few spins."""
        values = np.array([renyi2_of_vector(vector, basis, sites.tolist()) for sites in self.regions])
        return {self.name: exact_estimate(values, ("region",))}


def _doubt(regions: Sequence[Integers]) -> str:
    several = ", ".join(str(len(sites)) for sites in regions[:MOST_IN_WORDS])
    more = ", ..." if len(regions) > MOST_IN_WORDS else ""
    return (
        f"the purity of regions of {several}{more} sites is known to no better than {LARGEST_SWAP_ERROR:.0%}: their "
        "entropies are too large, and so uncertain as to be of no use; measure longer"
    )
