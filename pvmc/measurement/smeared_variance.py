"""The energy of a measurement, with its variance by the walkers and by smeared draws, and the leak between the two."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from pvmc.estimators import EnergyStatistics
from pvmc.estimators.smeared import QUANTITIES, Leak, leak_of, look, smear_of
from pvmc.io.measurement import Estimate
from pvmc.io.schema import Quantity
from pvmc.measurement.observable import Dataset, Findings, Setup, Tally
from pvmc.mpi import Communicator
from pvmc.numerics.random import Stream, generator
from pvmc.sampler import Draw
from pvmc.spins.configurations import Basis
from pvmc.statistics.tails import missed_variance, variance_error_with_missed
from pvmc.vmc.job import Job
from pvmc.wavefunctions.base import WaveFunction


class Energy(Tally):
    """Energy, variance and V-score by the local energies, and a leak test at the last draw of each batch.

    The local energies are summed by :class:`pvmc.measurement.walker_sums.WalkerSums`; here are the sums of the leak
    test (:mod:`pvmc.estimators.smeared`), of each walker.

    Args:
        job: the job, with the sampler of the measurement.
        seed: of the measurement.
        blocks: those of this rank.
    """

    name = "energy"
    label = "leak"
    help = (
        "energy, variance and V-score, energy and variance by smeared draws, and the leak between the variances "
        "([statistics.md](statistics.md)); in any case"
    )
    always = True
    datasets = (
        Dataset("energy", "mean local energy, of all sites", units="energy"),
        Dataset("energy_smeared", "energy by smeared draws, whose tail is light", units="energy"),
        Dataset("variance", "variance of the local energy", units="energy^2"),
        Dataset(
            "variance_smeared",
            "variance of H by smeared draws, also where psi vanishes and H psi does not",
            units="energy^2",
        ),
        Dataset("leak", "that less the variance by the local energies of the same walkers", units="energy^2"),
        Dataset("v_score", "n_sites * variance / (energy - E_inf)^2, E_inf = Tr H / 2^N"),
    )

    def __init__(self, job: Job, seed: int, blocks: range):
        sampler = job.sampler
        self._operator, self._smear = job.operator, smear_of(sampler, job.operator)
        self._seed, self._first_block, self._last = seed, blocks.start, sampler.n_draws - 1
        self._unit = job.config.hamiltonian.energy_unit
        self._sums = np.zeros((len(blocks), QUANTITIES, sampler.width))
        self._centres = np.zeros(len(blocks), dtype=np.complex128)
        self._looks = np.zeros(len(blocks), dtype=np.int64)

    @classmethod
    def create(cls, arguments: Sequence[str], setup: Setup) -> Iterator[Self]:
        """One."""
        yield cls(setup.job, setup.seed, setup.blocks)

    @classmethod
    def bytes_of_block(cls, job: Job) -> int:
        """Bytes of the leak test."""
        return 8 * QUANTITIES * job.sampler.width

    def add(self, psi: WaveFunction, draw: Draw) -> None:
        """A look at the walkers of a block, at the last draw of a batch."""
        if draw.draw != self._last:
            return
        block = draw.block
        n_looks = int(self._looks[block])
        rng = generator(self._seed, Stream.MEASURED_LEAK, block=self._first_block + block, iteration=n_looks)
        centre = complex(self._centres[block]) if n_looks else None
        found = look(self._smear, psi, draw.spins, draw.lookup, rng, centre)
        self._sums[block] += found.sums
        self._centres[block] = found.centre
        self._looks[block] += 1

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Sums of each walker, their centres, and the numbers of looks."""
        return {"sums": self._sums, "centres": self._centres, "looks": self._looks}

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from a state of this rank's blocks."""
        self._sums, self._centres = state["sums"].copy(), state["centres"].copy()
        self._looks = state["looks"].astype(np.int64)

    def findings(self, comm: Communicator) -> Findings:
        """Collective. Variance and leak with their errors, from the walkers of all ranks."""
        found = self.leak(comm)
        energy, variance = (found.energy, found.energy_error), (found.variance, found.variance_error)
        return Findings(self._estimates(energy, variance, (found.leak, found.error)))

    def leak(self, comm: Communicator) -> Leak:
        """Collective. The leak test by the walkers of all ranks so far."""
        return leak_of(self._sums, self._centres, comm)

    def of_vector(self, vector: npt.NDArray[np.complex128], basis: Basis) -> dict[str, Estimate]:
        """All of the variance, and the part of it at configurations where psi is exactly zero."""
        image = self._operator.diagonal(basis.spins) * vector
        amplitudes = self._operator.amplitudes(basis.spins)
        allowed = self._smear.allowed(basis.spins, amplitudes)
        for k in range(len(self._operator.flips)):
            flipped = basis.spins.copy()
            flipped[self._operator.flips[k]] *= -1
            places = np.where(allowed[k], basis.index(basis.labels_of(flipped)), 0)
            image += np.where(allowed[k], amplitudes[k] * vector[places], 0.0)
        energy = float(np.vdot(vector, image).real)
        squares = np.abs(image - energy * vector) ** 2
        return self._estimates((energy, 0.0), (float(squares.sum()), 0.0), (float(squares[vector == 0].sum()), 0.0))

    def _estimates(self, *of_energy_variance_leak: tuple[float, float]) -> dict[str, Estimate]:
        energy, variance, leak = of_energy_variance_leak
        squared = energy_squared(self._unit)
        return {
            "energy_smeared": Estimate(*energy, self._unit),
            "variance_smeared": Estimate(*variance, squared),
            "leak": Estimate(*leak, squared),
        }


def energy_estimates(energy: EnergyStatistics, errors: tuple[float, float], units: str) -> dict[str, Estimate]:
    """Energy, variance and V-score with the errors of the last two, in the Hamiltonian's unit."""
    return {
        "energy": Estimate(energy.mean.real, energy.error, units),
        "variance": Estimate(energy.variance, errors[0], energy_squared(units)),
        "v_score": Estimate(energy.v_score, errors[1]),
    }


def errors_with_missed(
    energy: EnergyStatistics, errors: tuple[float, float], unseen: float, smeared: Estimate
) -> tuple[float, float]:
    """Standard errors of variance and V-score, also of the part of the variance that the draws have missed.

    Args:
        energy: statistics of all draws.
        errors: of variance and V-score, by what the draws show.
        unseen: variance of configurations rarer than all draws, were they independent.
        smeared: the variance by smeared draws.
    """
    whole, whole_error = float(smeared.value), float(smeared.error)
    missed = missed_variance(energy.variance, whole, whole_error)
    by_draws = math.hypot(errors[0], unseen * max(1.0, energy.autocorrelation_time))
    of_variance = variance_error_with_missed(by_draws, missed, whole_error)
    if of_variance == errors[0] or energy.variance == 0:
        return of_variance, errors[1]
    return of_variance, max(errors[1], of_variance * energy.v_score / energy.variance)


def energy_squared(units: str) -> str:
    """The unit of a variance, from that of the energy."""
    return Quantity("variance", "float64", "energy^2", "").units_in(units)
