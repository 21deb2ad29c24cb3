"""Smeared draws: local energies and weights that are finite also at nodes of psi, and the leak test made of them.

For s drawn from q (:mod:`pvmc.sampler.smear`) every average is a ratio of sums of w(s) = |psi(s)|^2 / q(s) times what
is averaged, and with rho_X = psi(tau_X(s)) / psi(s), the ratios of the local energy,

    w(s) = 1 / (1 - eps + (eps / n_X) sum_X |rho_X|^2).

Where psi(s) is small or zero all amplitudes are taken from scratch, relative to the largest of psi(s) and the
psi(tau_X(s)): one of these is the configuration before the move, so that q(s) > 0.  There w |E_loc|^2 = |(H psi)(s)|^2
/ q and w O_k* E_loc = (d_k psi)* (H psi) / q stay finite while w goes to zero.  A psi(s) below NODE sqrt(q) counts as
NODE sqrt(q): w = NODE^2, E_loc = (H psi)(s) / (NODE sqrt(q)), O_k = d_k psi(s) / (NODE sqrt(q)).  All products that
averages are made of are then what they are at psi(s) = 0, but for terms smaller by NODE = 1e-100.

The leak test compares the variance of H in psi, hidden part and all, with the one that |psi|^2 shows.  Where psi is
(nearly) zero but H psi is not, no walker comes: the mean local energy is right, its variance is too small.  Smeared
draws come to those configurations, and

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

from pvmc.hamiltonians import Operator
from pvmc.mpi import Communicator
from pvmc.numerics.arrays import Floats, Integers, Numbers, Spins
from pvmc.numerics.exact_sums import sum_of_blocks
from pvmc.numerics.random import Stream, generator
from pvmc.sampler import Metropolis, Sampler, Smear, Walkers
from pvmc.wavefunctions.base import WaveFunction
from pvmc.wavefunctions.fallback import BATCH, exponential, flipped_log_psi

NODE = 1e-100
"""|psi| / sqrt(q) below which psi counts as zero: its square, and the square of its inverse, are still numbers."""

SMALL = 1e-12
"""Weight below which amplitudes are taken from scratch: ratios to so small a psi have lost some of their digits."""


@dataclass(frozen=True)
class Hidden:
    """Configurations of a draw where psi vanishes.

    Attributes:
        lanes: which, int64 (n,).
        log_scale: ln of the modulus that psi counts as there, float64 (n,).
    """

    lanes: Integers
    log_scale: Floats

    def derivatives(self, psi: WaveFunction, spins: Spins, known: Numbers) -> Numbers:
        """O_k = d_k psi / exp(log_scale), (K, n).

        A wave function that can vanish gives d_k psi by an ``amplitude_derivatives(spins, log_scale)`` of its own.
        Otherwise it is psi O_k, and 0 where psi is exactly zero or O_k is no number: such a configuration has no part
        in the gradient.

        Args:
            psi: the wave function.
            spins: the configurations of the whole draw, int8 (N, L).
            known: O_k by ``log_derivatives`` of the hidden ones, (K, n).
        """
        own = np.ascontiguousarray(spins[:, self.lanes])
        if hasattr(psi, "amplitude_derivatives"):
            found: Numbers = psi.amplitude_derivatives(own, self.log_scale)
            return found
        with np.errstate(all="ignore"):
            found = known * exponential(psi.log_psi(own) - self.log_scale)
        return np.where(np.isfinite(found), found, 0.0)


@dataclass(frozen=True)
class SmearedValues:
    """Local energies and weights of the configurations of a draw.

    Attributes:
        energies: E_loc, float64 or complex128 (L,).
        weights: w = |psi|^2 / q, float64 (L,), with mean 1 over q; 0 where neither psi nor q is known to be above 0.
        hidden: where psi vanishes; None where it does nowhere.
    """

    energies: Numbers
    weights: Floats
    hidden: Hidden | None


def smeared_values(smear: Smear, psi: WaveFunction, spins: Spins, lookup: Floats) -> SmearedValues:
    """Local energies and weights of configurations (N, L) from q.  The energy is in units of the Hamiltonian."""
    operator, eps = smear.operator, smear.part
    amplitudes, diagonal = operator.amplitudes(spins), operator.diagonal(spins)
    allowed = smear.allowed(spins, amplitudes)
    ratios = psi.ratios(spins, lookup, operator.flips, allowed)
    with np.errstate(all="ignore"):
        energies = diagonal + np.einsum("kl,kl->l", amplitudes, ratios)
        weights = 1.0 / (1.0 - eps + eps * _mean_square(np.abs(ratios), allowed, np.ones(spins.shape[1])))
    doubtful = np.flatnonzero(~np.isfinite(energies) | ~(weights >= SMALL))
    if not len(doubtful):
        return SmearedValues(energies, weights, None)
    own = np.ascontiguousarray(spins[:, doubtful])
    found = _from_scratch(smear, psi, own, diagonal[doubtful], amplitudes[:, doubtful], allowed[:, doubtful])
    energies[doubtful], weights[doubtful] = found.energies, found.weights
    hidden = found.hidden and Hidden(doubtful[found.hidden.lanes], found.hidden.log_scale)
    return SmearedValues(energies, weights, hidden)


def _mean_square(neighbours: Floats, allowed: Numbers, here: Floats) -> Floats:
    """Mean over X of |psi(tau_X(s))|^2, float64 (L,), from |psi| of the flipped (n_X, L), 0 where not allowed, and of
    s itself, (L,); without flips |psi(s)|^2."""
    n_flips = len(neighbours)
    if n_flips == 0:
        return here**2
    staying = n_flips - np.count_nonzero(allowed, axis=0)
    total: Floats = np.einsum("kl,kl->l", neighbours, neighbours) + staying * here**2
    return total / n_flips


def _from_scratch(
    smear: Smear, psi: WaveFunction, spins: Spins, diagonal: Floats, amplitudes: Numbers, allowed: Numbers
) -> SmearedValues:
    """The same from amplitudes relative to the largest one of each configuration."""
    n_lanes, eps = spins.shape[1], smear.part
    rows, lanes = np.nonzero(allowed)
    before = psi.log_psi(spins)
    after = flipped_log_psi(psi.log_psi, spins, smear.operator.flips, rows, lanes, BATCH)
    reference = before.real.copy()
    np.maximum.at(reference, lanes, after.real)
    alive = np.isfinite(reference)
    safe = np.where(alive, reference, 0.0)
    here = np.where(alive, exponential(before - safe), 0.0)
    neighbours = np.zeros(allowed.shape, dtype=np.result_type(psi.dtype))
    neighbours[rows, lanes] = exponential(after - safe[lanes])
    images = diagonal * here + np.einsum("kl,kl->l", amplitudes, neighbours)  # H psi
    sizes = np.abs(here)
    root_q = np.sqrt((1.0 - eps) * sizes**2 + eps * _mean_square(np.abs(neighbours), allowed, sizes))
    hidden = alive & (sizes < NODE * root_q)
    with np.errstate(all="ignore"):
        energies = np.where(alive & ~hidden, images / np.where(sizes > 0, here, 1.0), 0.0)
        energies = np.where(hidden, images / (NODE * np.where(root_q > 0, root_q, 1.0)), energies)
        weights = np.where(alive, np.where(hidden, NODE, sizes / np.where(root_q > 0, root_q, 1.0)) ** 2, 0.0)
    if not hidden.any():
        return SmearedValues(energies, weights, None)
    which = np.flatnonzero(hidden)
    log_scale = safe[which] + np.log(NODE * root_q[which])
    assert energies.shape == (n_lanes,)
    return SmearedValues(energies, weights, Hidden(which, log_scale))


# The leak test --------------------------------------------------------------------------------------------------------

EPSILON = 0.5
"""eps of the leak test: half of the configurations are moved, as what is tested is where moves lead."""


@dataclass(frozen=True)
class Leak:
    """The energy and the variance of H by smeared draws, and how much of the variance the walkers do not see.

    Attributes:
        energy: by smeared draws, real part.
        energy_error: its standard error.
        variance: of H, by smeared draws, in units of energy^2.
        variance_error: its standard error.
        leak: that less the variance by the local energies of the same walkers.
        error: standard error of the leak.
    """

    energy: float
    energy_error: float
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
        """True where an iteration, counted from 0, ends with a test."""
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
    """Sums over the walkers of a block at one time.

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
        mean = complex(real, imaginary) / alive * unit
        shift = mean - centres
        seen, whole = _about(sums[:, :4], shift), _about(sums[:, 4:], shift)
        unit = _unit(np.maximum(seen, whole), comm)
        seen, whole, weight = seen / unit, whole / unit, sums[:, 4]
        total, every, seen_sum = sum_of_blocks(np.stack([weight, whole, seen]).sum(axis=2).T, comm, exact=True)
        variance, sampled = every / total, seen_sum / alive
        energy, energy_error = _smeared_energy(sums, shift, mean.real, n, total, comm)
        # The linear parts of variance and variance - sampled, times n: of the size of one walker's scatter.
        linear = n * (whole - variance * weight) / total
        of_leak = linear - n * (seen - sampled * sums[:, 0]) / alive
        squares = sum_of_blocks(np.stack([linear**2, of_leak**2]).sum(axis=2).T, comm, exact=True)
        errors = np.sqrt(squares / (n * (n - 1))) if n > 1 else np.full(2, np.nan)
    of_variance = (float(value) * unit for value in (variance, errors[0], variance - sampled, errors[1]))
    return Leak(energy, energy_error, *of_variance)


def _smeared_energy(
    sums: Floats, shift: Numbers, mean: float, n: float, total: float, comm: Communicator
) -> tuple[float, float]:
    """Collective. <w E> / <w> over smeared draws, real part, and its standard error by the delta method.

    Args:
        sums: see :func:`leak_of`.
        shift: ``mean`` less the centre of each block, complex128 (n_blocks,).
        mean: real part of the mean local energy of the walkers.
        n: number of walkers.
        total: sum of their weights w.
        comm: the ranks.
    """
    apart = sums[:, 5] - shift.real[:, None] * sums[:, 4]  # w (E - mean), (n_blocks, L)
    unit = _unit(np.abs(apart), comm)
    difference = float(sum_of_blocks(apart.sum(axis=1)[:, None] / unit, comm, exact=True)[0]) / total
    linear = n * (apart / unit - difference * sums[:, 4]) / total
    squares = float(sum_of_blocks((linear**2).sum(axis=1)[:, None], comm, exact=True)[0])
    error = np.sqrt(squares / (n * (n - 1))) if n > 1 else np.nan
    return mean + difference * unit, float(error) * unit


def _unit(sizes: Floats, comm: Communicator) -> float:
    """Collective. A power of 2 next to the largest of all, so that sums have the same digits in any units."""
    largest = float(comm.max(np.array([np.max(sizes, initial=0.0)]))[0])
    return float(np.ldexp(1.0, int(np.frexp(largest)[1]))) if np.isfinite(largest) and largest > 0 else 1.0
