"""Mean, error, autocorrelation time and R-hat of the local energy over all walkers of all ranks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pvmc.parallel import Communicator


@dataclass(frozen=True)
class EnergyStatistics:
    """Statistics of the local energy over every configuration of every rank.

    Attributes:
        mean: total energy <E_loc>, complex; the imaginary part is zero within error for a Hermitian operator.
        error: standard error of the real part, from the scatter of the walkers' means (bins as long as a chain).
        variance: <|E_loc - mean|^2>, the variance of the Hamiltonian in psi.
        autocorrelation_time: tau = n_draws Var(walker mean) / Var(E_loc) = 1 + 2 sum_t rho(t), in draws; 1 for
            independent draws.  An estimate from chains no longer than an iteration: it cannot exceed n_draws.
        r_hat: split R-hat over all walkers (Gelman et al., Bayesian Data Analysis, 3rd ed., sec. 11.4); 1 when
            the chains agree, NaN with fewer than 4 draws per walker.
        v_score: N Var / (E - E_inf)^2 (Wu et al., Science 386, 296 (2024)).
        acceptance: accepted fraction of the proposals.
        n_samples: configurations over all ranks.
    """

    mean: complex
    error: float
    variance: float
    autocorrelation_time: float
    r_hat: float
    v_score: float
    acceptance: float
    n_samples: int


def walker_sums(centred: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Sums over this rank's walkers of what the errors are made of, float64 (6,).

    Args:
        centred: local energies less their global mean, (n_draws, n_walkers).

    Returns:
        [sum |e|^2, sum (Re e)^2, sum over walkers of (walker mean)^2, sum over half chains of (half mean)^2, sum of
        the half chains' unbiased variances, sum of half means], with e the centred local energies.
    """
    real = centred.real
    half = len(real) // 2
    halves = real[: 2 * half].reshape(2, half, -1) if half >= 2 else np.empty((2, 0, 0))
    half_means = halves.mean(axis=1) if half >= 2 else np.zeros(0)
    within = halves.var(axis=1, ddof=1).sum() if half >= 2 else 0.0
    return np.array(
        [
            np.sum(np.abs(centred) ** 2),
            np.sum(real**2),
            np.sum(real.mean(axis=0) ** 2),
            np.sum(half_means**2),
            within,
            np.sum(half_means),
        ]
    )


def energy_statistics(
    centred: npt.NDArray[Any],
    mean: complex,
    n_sites: int,
    infinite_temperature: float,
    accepted: int,
    proposed: int,
    comm: Communicator,
) -> EnergyStatistics:
    """Collective. Statistics of the local energy from every rank's centred values.

    Args:
        centred: local energies less ``mean``, (n_draws, n_walkers) of this rank; n_draws equal on all ranks.
        mean: mean local energy over all ranks.
        n_sites: N, for the V-score.
        infinite_temperature: E_inf = Tr H / dim, for the V-score.
        accepted: accepted proposals of this rank.
        proposed: proposals of this rank.
        comm: the ranks.
    """
    n_draws, n_local = centred.shape
    local = np.concatenate([walker_sums(centred), [n_local, accepted, proposed]])
    total_abs, total, walkers, halves, within, half_mean, n_walkers, all_accepted, all_proposed = comm.sum(local)
    n_samples = int(n_walkers) * n_draws
    walker_variance = walkers / (n_walkers - 1)
    return EnergyStatistics(
        mean=mean,
        error=float(np.sqrt(walker_variance / n_walkers)),
        variance=float(total_abs / n_samples),
        autocorrelation_time=_ratio(n_draws * walker_variance, total / n_samples),
        r_hat=_split_r_hat(halves, half_mean, within, 2 * int(n_walkers), n_draws // 2),
        v_score=_ratio(n_sites * total_abs / n_samples, (mean.real - infinite_temperature) ** 2),
        acceptance=_ratio(all_accepted, all_proposed),
        n_samples=n_samples,
    )


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
        v_score=_ratio(n_sites * variance, (mean.real - infinite_temperature) ** 2),
        acceptance=1.0,
        n_samples=n_samples,
    )


def _split_r_hat(squares: float, total: float, within_sum: float, n_chains: int, length: int) -> float:
    """sqrt(((n - 1)/n W + B/n) / W) with W the mean variance within and B/n the variance between half chains."""
    if length < 2:
        return float("nan")
    between = (squares - total**2 / n_chains) / (n_chains - 1)
    within = within_sum / n_chains
    return float(np.sqrt(_ratio((length - 1) / length * within + between, within)))


def _ratio(numerator: float, denominator: float) -> float:
    """The quotient, or 1 when both vanish (an eigenstate has no scatter at all)."""
    if denominator == 0:
        return 1.0 if numerator == 0 else float("inf")
    return float(numerator / denominator)
