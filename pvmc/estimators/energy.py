"""Mean, error, autocorrelation time and R-hat of the local energy over all walkers of all ranks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pvmc.mpi import Communicator
from pvmc.numerics.arrays import Floats, Numbers
from pvmc.numerics.exact_sums import sum_of_blocks
from pvmc.numerics.kernels import kernel
from pvmc.statistics.chains import r_hat


@dataclass(frozen=True)
class EnergyStatistics:
    """Statistics of the local energy over every configuration of every rank.

    Attributes:
        mean: total energy <E_loc>, complex; the imaginary part is zero within error for a Hermitian operator.
        error: standard error of the real part, from the scatter of the walkers' means (bins as long as a chain).  With
            weights w of mean 1, <w E_loc> / <w> is a ratio of means, and its error that of w (E_loc - mean), to leading
            order (the delta method); tau and R-hat are those of the same series.
        variance: <|E_loc - mean|^2>, the variance of the Hamiltonian in psi.
        autocorrelation_time: tau = n_draws Var(walker mean) / Var(E_loc) = 1 + 2 sum_t rho(t), in draws; 1 for
            independent draws.  An estimate from chains no longer than an iteration: it cannot exceed n_draws.
        r_hat: split R-hat over all walkers (Gelman et al., Bayesian Data Analysis, 3rd ed., sec. 11.4); 1 when
            the chains agree, NaN with fewer than 4 draws per walker.
        v_score: N Var / (E - E_inf)^2 (Wu et al., Science 386, 296 (2024)).
        acceptance: accepted fraction of the proposals.
        n_samples: configurations over all ranks.
        effective_samples: (sum w)^2 / sum w^2 (Kish, Survey Sampling, 1965): so many equally weighted configurations
            would have the same error, were they independent and their energy unrelated to w; n_samples where all weigh
            the same, or where the weights have no statistical error.
    """

    mean: complex
    error: float
    variance: float
    autocorrelation_time: float
    r_hat: float
    v_score: float
    acceptance: float
    n_samples: int
    effective_samples: float


@kernel
def block_sums(values: Floats, n_blocks: int) -> Floats:
    """Sums over the walkers and draws of each block, float64 (n_blocks,), of values (n_draws, n_walkers)."""
    n_draws, n_walkers = values.shape
    width = n_walkers // n_blocks
    sums = np.zeros(n_blocks)
    for block in range(n_blocks):
        for draw in range(n_draws):
            for walker in range(block * width, (block + 1) * width):
                sums[block] += values[draw, walker]
    return sums


@kernel
def walker_sums(real: Floats, imaginary: Floats, n_blocks: int) -> Floats:
    """Sums over the walkers of each block of what the errors are made of, float64 (n_blocks, 6).

    Args:
        real: local energies less their global mean, or with their weights, float64 (n_draws, n_walkers).
        imaginary: their imaginary parts.
        n_blocks: blocks of walkers, next to each other.

    Returns:
        Rows [sum |e|^2, sum (Re e)^2, sum over walkers of (walker mean)^2, sum over half chains of (half mean)^2, sum
        of the half chains' unbiased variances, sum of half means], with e the centred local energies.  The last three
        are 0 with fewer than 4 draws.
    """
    n_draws, n_walkers = real.shape
    width, half = n_walkers // n_blocks, n_draws // 2
    sums = np.zeros((n_blocks, 6))
    for walker in range(n_walkers):
        row = sums[walker // width]
        total = 0.0
        for draw in range(n_draws):
            value = real[draw, walker]
            row[0] += value * value + imaginary[draw, walker] * imaginary[draw, walker]
            row[1] += value * value
            total += value
        row[2] += (total / n_draws) ** 2
        if half < 2:
            continue
        for start in (0, half):
            mean = 0.0
            for draw in range(start, start + half):
                mean += real[draw, walker] / half
            squares = 0.0
            for draw in range(start, start + half):
                squares += (real[draw, walker] - mean) ** 2
            row[3] += mean * mean
            row[4] += squares / (half - 1)
            row[5] += mean
    return sums


def energy_statistics(
    centred: Numbers,
    mean: complex,
    n_sites: int,
    infinite_temperature: float,
    accepted: int,
    proposed: int,
    comm: Communicator,
    *,
    n_blocks: int = 1,
    exact_sums: bool = True,
    weights: Floats | None = None,
) -> EnergyStatistics:
    """Collective. Statistics of the local energy from every rank's centred values.

    Args:
        centred: local energies less ``mean``, (n_draws, n_walkers) of this rank; n_draws equal on all ranks.
        mean: mean local energy over all ranks, with the weights.
        n_sites: N, for the V-score.
        infinite_temperature: E_inf = Tr H / dim, for the V-score.
        accepted: accepted proposals of this rank.
        proposed: proposals of this rank.
        comm: the ranks.
        n_blocks: blocks of walkers on this rank, next to each other.
        exact_sums: the same bits at any number of ranks.
        weights: of statistical samples, float64 (n_draws, n_walkers); their sum over all ranks is the number of
            configurations that do not weigh 0, whose energy may be NaN.  None where all weigh the same.
    """
    n_draws, n_local = centred.shape
    partials = np.zeros((n_blocks, 9 if weights is None else 11))
    if weights is None:
        partials[:, :6] = walker_sums(*(np.ascontiguousarray(part) for part in (centred.real, centred.imag)), n_blocks)
    else:
        partials[:, :6], partials[:, 9:] = _weighted_sums(centred, weights, n_blocks)
    partials[0, 6:9] = n_local, accepted, proposed
    sums = sum_of_blocks(partials, comm, exact_sums).tolist()
    total_abs, total, walkers, halves, within, half_mean, n_walkers, all_accepted, all_proposed, *of_weights = sums
    n_samples = int(n_walkers) * n_draws
    weight, weight_squares = of_weights or (float(n_samples), float(n_samples))
    walker_variance = walkers / (n_walkers - 1) if n_walkers > 1 else float("nan")  # of one walker there is no error
    return EnergyStatistics(
        mean=mean,
        error=float(np.sqrt(walker_variance / n_walkers)) * (n_samples / weight),
        variance=float(total_abs / weight),
        autocorrelation_time=ratio(n_draws * walker_variance, total / n_samples),
        r_hat=_split_r_hat(halves, half_mean, within, 2 * int(n_walkers), n_draws // 2),
        v_score=v_score(total_abs / weight, mean.real, n_sites, infinite_temperature),
        acceptance=ratio(all_accepted, all_proposed),
        n_samples=n_samples,
        effective_samples=weight * weight / weight_squares,
    )


def _weighted_sums(centred: Numbers, weights: Floats, n_blocks: int) -> tuple[Floats, Floats]:
    """Sums of each block: :func:`walker_sums` of w e, but with sum w |e|^2 in its first column, float64 (n_blocks, 6);
    and sum w and sum w^2, (n_blocks, 2)."""
    counted = np.where(weights > 0, centred, 0.0)
    scaled = np.ascontiguousarray(counted.real * weights)
    sums = walker_sums(scaled, np.zeros_like(scaled), n_blocks)
    sums[:, 0] = block_sums(weights * (counted.real**2 + counted.imag**2), n_blocks)
    return sums, np.stack([block_sums(weights, n_blocks), block_sums(weights**2, n_blocks)], axis=1)


def exact_statistics(
    mean: complex, variance: float, n_samples: int, n_sites: int, infinite_temperature: float
) -> EnergyStatistics:
    """Statistics where every configuration is counted with its weight: no error, and what judges chains is 1."""
    return EnergyStatistics(
        mean=mean,
        error=0.0,
        variance=variance,
        autocorrelation_time=1.0,
        r_hat=1.0,
        v_score=v_score(variance, mean.real, n_sites, infinite_temperature),
        acceptance=1.0,
        n_samples=n_samples,
        effective_samples=float(n_samples),
    )


def _split_r_hat(squares: float, total: float, within_sum: float, n_chains: int, length: int) -> float:
    """R-hat of half chains of n = ``length`` draws from sums over them.

    Args:
        squares, total: sums of the squared means and of the means.
        within_sum: sum of the variances within them.
        n_chains: number of half chains.
        length: n.
    """
    if length < 2:
        return float("nan")
    between = (squares - total * total / n_chains) / (n_chains - 1)  # x**2 of a float raises where x * x is inf
    return float(r_hat(within_sum / n_chains, between, length))


def v_score(variance: float, energy: float, n_sites: int, infinite_temperature: float) -> float:
    """N Var / (E - E_inf)^2 (Wu et al., Science 386, 296 (2024)); 1 where both vanish, as of H = 0.

    Args:
        variance: Var, of all sites.
        energy: E, of all sites, in the same units.
        n_sites: N.
        infinite_temperature: E_inf = Tr H / 2^N, the mean of all levels.
    """
    distance = energy - infinite_temperature
    return ratio(n_sites * variance, distance * distance)


def ratio(numerator: float, denominator: float) -> float:
    """The quotient, or 1 when both vanish (an eigenstate has no scatter at all)."""
    if denominator == 0:
        return 1.0 if numerator == 0 else float("inf")
    return float(numerator / denominator)
