"""Sums of each walker over its draws, and the errors of what is made of them.

Walkers are independent of each other, so that the scatter of their means is the error of the mean of all.  Functions of
means have theirs by the jackknife: leaving out walker l of n changes the means m to m_(l), and f(m) has the standard
error sqrt((n - 1)/n sum_l (f(m_(l)) - mean of f(m_(l)))^2) (Efron, The Jackknife, the Bootstrap and Other Resampling
Plans, SIAM, 1982).  A walker's sum over its draws is left out as a whole, so that correlations along the chain count.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pvmc.errors import NumericalError, on_every_rank
from pvmc.estimators import EnergyStatistics
from pvmc.estimators.energy import ratio, v_score
from pvmc.mpi import Communicator
from pvmc.numerics.arrays import Floats, Integers, Numbers
from pvmc.numerics.exact_sums import sum_of_blocks
from pvmc.statistics.chains import r_hat
from pvmc.statistics.jackknife import leave_one_out_error
from pvmc.statistics.tails import BINS, Tail, count_squares, tail_of, unseen_variance
from pvmc.statistics.thresholds import NO_SCATTER, rounding_of


@dataclass
class WalkerSums:
    """Sums over the draws of each walker, block by block, of the energy and of the local values.

    Every number belongs to one walker and is added to in the order of its draws: neither the number of ranks nor a
    restart changes a bit of it.

    Attributes:
        draws: draws of each walker so far.
        sums: of the local values, float64 (n_blocks, n_values, L).
        squares: of the local values, summed over the walkers of a block too, float64 (n_blocks, n_values).
        energy: mean local energy, complex128 (n_blocks, L).
        scatter: sum over the draws of |E_loc - energy|^2, float64 (n_blocks, L), by Welford's recursion (Technometrics
            4, 419 (1962)), which loses no digits to the square of the energy.
        counts: accepted and proposed moves, int64 (2,).
        tails: numbers of local energies by their distance from the mean of their block so far, in units of the radius
            of H, int64 (n_blocks, BINS) (:func:`pvmc.statistics.tails.count_squares`).
    """

    draws: int
    sums: Floats
    squares: Floats
    energy: Numbers
    scatter: Floats
    counts: Integers
    tails: Integers

    @classmethod
    def empty(cls, n_blocks: int, n_values: int, width: int) -> WalkerSums:
        """Without draws."""
        lanes = (n_blocks, width)
        sums, squares = np.zeros((n_blocks, n_values, width)), np.zeros((n_blocks, n_values))
        tails = np.zeros((n_blocks, BINS), np.int64)
        return cls(0, sums, squares, np.zeros(lanes, np.complex128), np.zeros(lanes), np.zeros(2, np.int64), tails)

    def add(self, block: int, draw: int, values: Floats, energies: Numbers, radius: float = 1.0) -> None:
        """Add a draw of a block: its number from 0 in this batch, local values (n_values, L) and energies (L,)."""
        self.sums[block] += values
        self.squares[block] += np.einsum("vl,vl->v", values, values)
        before = energies - self.energy[block]
        self.energy[block] += before / (self.draws + draw + 1)
        after = energies - self.energy[block]
        self.scatter[block] += before.real * after.real + before.imag * after.imag
        self.tails[block] += count_squares(energies - self.energy[block].mean(), radius)

    def saved(self) -> dict[str, npt.NDArray[Any]]:
        """All numbers, by name, for a checkpoint."""
        return {**self._arrays(), "counts": self.counts, "draws": np.array(self.draws)}

    @classmethod
    def restored(cls, numbers: dict[str, npt.NDArray[Any]], blocks: range, first: bool) -> WalkerSums:
        """The sums of some blocks from what a checkpoint holds of all; the counts go to the first rank alone."""
        part = slice(blocks.start, blocks.stop)
        arrays = {name: numbers[name][part].copy() for name in ("sums", "squares", "energy", "scatter")}
        uncounted = np.zeros((len(numbers["energy"]), BINS))  # in checkpoints of earlier versions
        tails = np.array(numbers.get("tails", uncounted)[part], dtype=np.int64)
        counts = np.array(numbers["counts"], dtype=np.int64) * int(first)
        return cls(draws=int(numbers["draws"]), counts=counts, tails=tails, **arrays)

    def energies_of_all(self, comm: Communicator) -> WalkerSums | None:
        """Collective. The sums of all ranks on the root, without the sums of local values; None elsewhere."""
        return replace(self, sums=self.sums[:, :0], squares=self.squares[:, :0]).of_all(comm)

    def of_all(self, comm: Communicator) -> WalkerSums | None:
        """Collective. The sums of all ranks on the root, block by block; None elsewhere."""
        gathered = {name: comm.gather(array) for name, array in self._arrays().items()}
        counts = comm.sum(self.counts)
        arrays = {name: array for name, array in gathered.items() if array is not None}
        return WalkerSums(draws=self.draws, counts=counts, **arrays) if arrays else None

    def statistics_of_all(
        self, n_sites: int, infinite_temperature: float, radius: float, comm: Communicator
    ) -> EnergyStatistics:
        """Collective. Statistics of the local energy over the chains of all ranks, the same on every rank.

        Args:
            n_sites: N, for the V-score.
            infinite_temperature: E_inf = Tr H / dim, for the V-score.
            radius: of H, in whose rounding energies do not differ.
            comm: the ranks.

        Raises:
            NumericalError: they are not finite; on every rank.
        """
        everything = self.energies_of_all(comm)

        def statistics() -> EnergyStatistics:
            assert everything is not None, "the root has gathered them"
            return everything.energy_statistics(n_sites, infinite_temperature, radius)

        energy = comm.root_value(statistics)
        with on_every_rank():
            if not np.isfinite([energy.mean.real, energy.variance]).all():
                raise NumericalError("a local energy is not finite: psi may vanish on a walker")
        return energy

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        names = ("sums", "squares", "energy", "scatter", "tails")
        return {name: getattr(self, name) for name in names}

    @property
    def n_walkers(self) -> int:
        """Number of walkers."""
        return self.energy.size

    @property
    def n_samples(self) -> int:
        """Configurations measured."""
        return self.draws * self.n_walkers

    def means(self) -> tuple[Floats, Floats]:
        """Mean and standard error of each local value, float64 (n_values,) each.

        A walker's mean is one independent number, however long it remembers: the scatter of these means has the
        correlation within the chains in it.
        """
        walkers = self._walker_means()
        return walkers.mean(axis=1), walkers.std(axis=1, ddof=1) / np.sqrt(self.n_walkers)

    def r_hats(self) -> Floats:
        """R-hat of each local value, float64 (n_values,), that of whole chains; 1 where a value does not vary.

        A value that walkers hardly change, such as the sign of an order parameter, has a large one long before the
        energy has.  NaN for a single draw.
        """
        n, walkers = self.draws, self._walker_means()
        if n < 2:
            return np.full(len(walkers), np.nan)
        # W = <x^2> - <walker means squared>, unbiased; B/n the scatter of the walkers' means.
        mean_squares = (walkers**2).mean(axis=1)
        total = self.squares.sum(axis=0) / self.n_samples
        within = np.maximum(total - mean_squares, 0.0) * n / (n - 1)
        between = walkers.var(axis=1, ddof=1)
        return np.where(within + between > NO_SCATTER * total, r_hat(within, between, n), 1.0)

    def _walker_means(self) -> Floats:
        """Mean of each local value over the draws of each walker, float64 (n_values, n_walkers)."""
        return self.sums.transpose(1, 0, 2).reshape(self.sums.shape[1], self.n_walkers) / self.draws

    def energy_statistics(self, n_sites: int, infinite_temperature: float, radius: float) -> EnergyStatistics:
        """Statistics of the local energy; R-hat is that of whole chains.

        Gelman and Rubin, Stat. Sci. 7, 457 (1992).  Where all energies are equal up to rounding on the scale of H, as
        in an eigenstate, R-hat and tau are 1.

        Args:
            n_sites, infinite_temperature, radius: as of :meth:`statistics_of_all`.
        """
        energies, n = self.energy.ravel(), self.draws
        mean = complex(energies.mean())
        between = float(energies.real.var(ddof=1))
        total = float((self.scatter.ravel() / n + abs(energies - mean) ** 2).mean())
        within = float(self.scatter.sum()) / (self.n_walkers * max(1, n - 1))
        accepted, proposed = self.counts.tolist()
        constant = total <= rounding_of(abs(mean), radius) ** 2  # then R-hat and tau would be those of rounding errors
        return EnergyStatistics(
            mean=mean,
            error=float(np.sqrt(between / self.n_walkers)),
            variance=total,
            autocorrelation_time=1.0 if constant else ratio(n * between, total),
            r_hat=1.0 if constant and n > 1 else float(r_hat(within, between, n)),
            v_score=v_score(total, mean.real, n_sites, infinite_temperature),
            acceptance=ratio(accepted, proposed),
            n_samples=self.n_samples,
            effective_samples=float(self.n_samples),
        )

    def tail(self) -> Tail:
        """The tail of the local energy."""
        return tail_of(self.tails.sum(axis=0))

    def unseen_variance(self, radius: float) -> float:
        """The variance of configurations rarer than all draws, by the tail; ``radius`` is that of :meth:`add`."""
        return unseen_variance(self.tails.sum(axis=0), radius)

    def jackknife_errors(self, n_sites: int, infinite_temperature: float) -> tuple[float, float]:
        """Standard errors of the variance of the energy and of the V-score, by the jackknife over the walkers.

        Both are made anew from all walkers but one (Efron and Stein, Ann. Stat. 9, 586 (1981)).
        """
        energies, n_walkers = self.energy.ravel(), self.n_walkers
        mean = energies.mean()
        apart = energies - mean
        squares = self.scatter.ravel() / self.draws + abs(apart) ** 2
        others = n_walkers - 1
        # Without walker w the mean is mean - apart_w / others, and the squares are about that mean.
        variances = (squares.sum() - squares) / others - abs(apart / others) ** 2
        means = mean.real - apart.real / others
        with np.errstate(divide="ignore", invalid="ignore"):
            scores = n_sites * variances / (means - infinite_temperature) ** 2
            return float(leave_one_out_error(variances)), float(leave_one_out_error(scores))


Function = Callable[[Floats], Floats]
"""From means, float64 (q, ...), to numbers (...); may give NaN where it has none."""


class Totals:
    """Sums of q quantities and of weights over all blocks of all ranks.

    Attributes:
        sums: float64 (q,).
        weight: sum of the weights.
        n_units: number of what is summed over (walkers, or pairs of them).
    """

    def __init__(self, sums: Floats, weights: Floats, comm: Communicator):
        """Collective. The totals of sums, float64 (n_blocks, n, q), and weights, float64 (n_blocks, n)."""
        counts = np.full((len(sums), 1), float(weights.shape[1]))
        columns = np.concatenate([sums.sum(axis=1), weights.sum(axis=1, keepdims=True), counts], axis=1)
        total = sum_of_blocks(columns, comm, True)  # (n_blocks, q + 2) of each rank -> (q + 2,)
        self.sums, self.weight, self.n_units = total[:-2], float(total[-2]), int(total[-1])

    @property
    def means(self) -> Floats:
        """Sums over the weight, float64 (q,); NaN where nothing was added."""
        return quotient(self.sums, np.array(self.weight))

    def leave_one_out(self, sums: Floats, weights: Floats) -> Floats:
        """Means without one unit, float64 (q, n_blocks, n), for the sums (n_blocks, n, q) and weights of each."""
        return quotient(self.sums[:, None, None] - np.moveaxis(sums, -1, 0), self.weight - weights)


def quotient(numerators: Floats, denominators: Floats) -> Floats:
    """numerators / denominators without a warning: NaN where both are 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(numerators / denominators)


def jackknife_variance(left_out: Floats, whole: float, comm: Communicator, n_units: int) -> float:
    """Collective. (n - 1)/n sum_l (f_(l) - mean)^2 over the n units of all ranks.

    Args:
        left_out: f without each unit of this rank, float64 (n_blocks, units of a block).
        whole: f with all of them.
        comm: the ranks.
        n_units: n.

    Returns:
        The variance; NaN where a value is, or n < 2.
    """
    if n_units < 2:
        return float("nan")
    with np.errstate(invalid="ignore", over="ignore"):
        deviations = n_units * (left_out - whole)  # of the size of a unit's own scatter, whatever n
        partials = np.stack([deviations.sum(axis=1), (deviations**2).sum(axis=1)], axis=1)
    total, squares = sum_of_blocks(partials, comm, True).tolist()
    scatter = max(squares - total**2 / n_units, 0.0) if squares == squares else squares
    return float((n_units - 1) / n_units * scatter / n_units**2)


def standard_error(variance: float) -> float:
    """The root of a variance; inf where none could be estimated."""
    return float(np.sqrt(variance)) if variance == variance else float("inf")
