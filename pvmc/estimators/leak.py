"""The leak test: the variance of H in psi, hidden part and all, against the one that |psi|^2 shows.

Where psi is (nearly) zero but H psi is not, no walker looks: the mean local energy is right, its variance is too small.
Draws from the smeared distribution q (:mod:`pvmc.sampler.smear`) see those configurations, and

    <psi|(H - c)^2|psi> / <psi|psi> = <|(H psi - c psi)(s)|^2 / q(s)>_q / <w(s)>_q,        w = |psi|^2 / q,

is all of the variance, c being the mean energy.  Each walker gives two configurations, where it is and where one tau_X
takes it, with the weights 1 - eps and eps in place of a choice between them; the same walkers give the sampled variance
<|E_loc - c|^2>, so that most of the noise of the difference cancels.  Walkers are independent: the error of the
difference is that of its linear part (the delta method, to leading order the jackknife over walkers).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pvmc.estimators.smeared import smeared_values
from pvmc.hamiltonians import Operator
from pvmc.mpi import Communicator
from pvmc.numerics.arrays import Floats, Numbers, Spins
from pvmc.numerics.exact_sums import sum_of_blocks
from pvmc.numerics.random import Stream, generator
from pvmc.sampler import Metropolis, Sampler, Smear, Walkers
from pvmc.wavefunctions.base import WaveFunction

EPSILON = 0.5
"""eps of the leak test: half of the configurations are moved, for all that is looked for is where moves lead."""


@dataclass(frozen=True)
class Leak:
    """The variance of H by smeared draws, and how much of it the walkers do not see.

    Attributes:
        variance: of H, by smeared draws, in units of energy^2.
        variance_error: its standard error.
        leak: that less the variance by the local energies of the same walkers.
        error: standard error of the leak.
    """

    variance: float
    variance_error: float
    leak: float
    error: float


QUANTITIES = 8
"""Numbers that :func:`look` gives of each walker."""


@dataclass(frozen=True)
class LeakTest:
    """A leak test every so many iterations.

    Attributes:
        smear: the smeared distribution.
        power: walkers are drawn from |psi|^power.
        seed: of the random numbers, a function of (seed, block, iteration) like those of all others.
        width: walkers in a block, replicas not counted.
        interval: iterations from one test to the next.
    """

    smear: Smear
    power: float
    seed: int
    width: int
    interval: int

    @classmethod
    def of(cls, sampler: Sampler, operator: Operator, interval: int) -> LeakTest | None:
        """The test of a job; None with an interval of 0, or where all configurations are counted."""
        if not interval or not isinstance(sampler, Metropolis):
            return None
        return cls(smear_of(sampler, operator), sampler.power, sampler.seed, sampler.width, interval)

    def is_due(self, iteration: int) -> bool:
        """Whether an iteration, counted from 0, ends with a test."""
        return (iteration + 1) % self.interval == 0

    def __call__(self, walkers: Walkers, psi: WaveFunction, iteration: int, comm: Communicator) -> Leak:
        """Collective. The leak by the walkers of all ranks, the same bits at any number of ranks.  They stay."""
        looks, logarithms = [], []
        for block, spins in enumerate(walkers.spins):
            own = np.ascontiguousarray(spins[:, : self.width])
            number = walkers.first_block + block
            rng = generator(self.seed, Stream.LEAK, block=number, iteration=iteration)
            looks.append(look(self.smear, psi, own, psi.lookup(own), rng))
            if self.power != 2:
                logarithms.append((2.0 - self.power) * psi.log_psi(own).real)
        sums, centres = np.stack([one.sums for one in looks]), np.array([one.centre for one in looks])
        if logarithms:
            largest = comm.max(np.array([np.max(logarithms)]))[0]
            sums = sums * np.exp(np.array(logarithms) - largest)[:, None]
        return leak_of(sums, centres, comm)


def smear_of(sampler: Sampler, operator: Operator) -> Smear:
    """The smeared distribution of a leak test."""
    return Smear(operator, EPSILON, sampler.magnetization is not None)


@dataclass(frozen=True)
class Look:
    """What the walkers of a block show at one time.

    Attributes:
        sums: of each walker, float64 (QUANTITIES, L): 1, real and imaginary part of E - c, and |E - c|^2 where it is;
            the means of w, of real and imaginary part of w (E - c), and of w |E - c|^2 over both configurations.  All 0
            for a walker on a node of psi, where none can be.
        centre: c, a number next to the mean energy.
    """

    sums: Floats
    centre: complex


def look(
    smear: Smear,
    psi: WaveFunction,
    spins: Spins,
    lookup: Floats,
    rng: np.random.Generator,
    centre: complex | None = None,
) -> Look:
    """Look at walkers that follow |psi|^2 and at where moves of H lead from there.

    Args:
        smear: the smeared distribution.
        psi: the wave function.
        spins: walkers of a block, int8 (N, L).
        lookup: of them, (Q, L).
        rng: for the moves.
        centre: c; the mean local energy of these walkers unless given.
    """
    here = smeared_values(smear, psi, spins, lookup)
    moved, changed = smear.moved(spins, rng, 1.0)
    energies, weights = here.energies.astype(np.complex128), here.weights
    there_energies, there_weights = energies.copy(), weights.copy()
    if changed.any():
        own = np.ascontiguousarray(moved[:, changed])
        there = smeared_values(smear, psi, own, psi.lookup(own))
        there_energies[changed], there_weights[changed] = there.energies, there.weights
    alive = np.ones(spins.shape[1], dtype=np.bool_)
    if here.hidden is not None:
        alive[here.hidden.lanes] = False
    alive &= weights > 0
    if centre is None:
        centre = complex(energies[alive].mean()) if alive.any() else 0j
    eps = smear.part
    sums = np.zeros((QUANTITIES, len(alive)))
    sums[:4] = _moments(np.ones(len(alive)), energies - centre)
    sums[4:] = (1.0 - eps) * _moments(weights, energies - centre)
    sums[4:] += eps * _moments(there_weights, there_energies - centre)
    return Look(np.where(alive, sums, 0.0), centre)


def _moments(weights: Floats, apart: Numbers) -> Floats:
    """w, Re w e, Im w e and w |e|^2, float64 (4, L)."""
    with np.errstate(over="ignore", invalid="ignore"):
        squares = apart.real**2 + apart.imag**2
        return np.stack([weights, weights * apart.real, weights * apart.imag, weights * squares])


def _about(moments: Floats, shift: npt.NDArray[np.complex128]) -> Floats:
    """w |e - d|^2 from :func:`_moments` about another centre, (n_blocks, 4, L), and d of each block; (n_blocks, L)."""
    real, imaginary = shift.real[:, None], shift.imag[:, None]
    weight, first_real, first_imaginary, second = np.moveaxis(moments, 1, 0)
    return np.asarray(
        second - 2.0 * (real * first_real + imaginary * first_imaginary) + (real**2 + imaginary**2) * weight
    )


def leak_of(sums: Floats, centres: npt.NDArray[np.complex128], comm: Communicator) -> Leak:
    """Collective. The leak by all walkers of all ranks; NaN where it is no number.

    Args:
        sums: of each walker over its looks, float64 (n_blocks, QUANTITIES, L).
        centres: c of each block, complex128 (n_blocks,).
        comm: the ranks.
    """
    with np.errstate(all="ignore"):
        unit = _unit(np.abs(centres), comm)
        plain = sums[:, 1] + 1j * sums[:, 2] + centres[:, None] * sums[:, 0]
        partials = np.stack([np.ones(sums[:, 0].shape), sums[:, 0], plain.real / unit, plain.imag / unit]).sum(axis=2)
        n, alive, real, imaginary = sum_of_blocks(partials.T, comm, exact=True)
        shift = complex(real, imaginary) / alive * unit - centres
        seen, whole = _about(sums[:, :4], shift), _about(sums[:, 4:], shift)
        unit = _unit(np.maximum(seen, whole), comm)
        seen, whole, weight = seen / unit, whole / unit, sums[:, 4]
        total, every, seen_sum = sum_of_blocks(np.stack([weight, whole, seen]).sum(axis=2).T, comm, exact=True)
        variance, sampled = every / total, seen_sum / alive
        # The linear parts of variance and variance - sampled, times n: of the size of one walker's scatter.
        linear = n * (whole - variance * weight) / total
        of_leak = linear - n * (seen - sampled * sums[:, 0]) / alive
        squares = sum_of_blocks(np.stack([linear**2, of_leak**2]).sum(axis=2).T, comm, exact=True)
        errors = np.sqrt(squares / (n * (n - 1))) if n > 1 else np.full(2, np.nan)
    return Leak(*(float(value) * unit for value in (variance, errors[0], variance - sampled, errors[1])))


def _unit(sizes: Floats, comm: Communicator) -> float:
    """Collective. A power of 2 next to the largest of all, so that sums have the same digits in any units."""
    largest = float(comm.max(np.array([np.max(sizes, initial=0.0)]))[0])
    return float(np.ldexp(1.0, int(np.frexp(largest)[1]))) if np.isfinite(largest) and largest > 0 else 1.0
