"""Per-configuration estimators on one rank: local energies and log-derivatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pvmc.ansatz.base import WaveFunction
from pvmc.hamiltonians import Operator
from pvmc.sampler import Samples


@dataclass(frozen=True)
class Batch:
    """What one rank measured on its configurations in one iteration.

    Attributes:
        energies: local energies, float64 or complex128 (n_draws, n_walkers); a column is a Markov chain.
        derivatives: O_k = d ln psi / d theta_k, float64 or complex128 (K, n), n = n_draws * n_walkers.
        accepted: accepted proposals.
        proposed: proposals.
        log_weights: float64 (n_draws, n_walkers), see :class:`pvmc.sampler.Samples`; None where all weigh the same.
    """

    energies: npt.NDArray[Any]
    derivatives: npt.NDArray[Any]
    accepted: int
    proposed: int
    log_weights: npt.NDArray[np.float64] | None = None

    @property
    def columns(self) -> npt.NDArray[Any]:
        """Local energies in the order of the columns of ``derivatives``, shape (n,)."""
        return self.energies.reshape(-1)


def local_energy(
    operator: Operator, psi: WaveFunction, spins: npt.NDArray[np.int8], lookup: npt.NDArray[np.float64]
) -> npt.NDArray[Any]:
    """E_loc(s) = sum_{s'} H_{s s'} psi(s') / psi(s), shape (L,), for configurations (N, L).

    float64 when both the Hamiltonian and psi are real, complex128 otherwise; units of the Hamiltonian.
    Carleo & Troyer, Science 355, 602 (2017), supplementary text.
    """
    amplitudes = operator.amplitudes(spins)
    ratios = psi.ratios(spins, lookup, operator.flips, amplitudes != 0)
    return operator.diagonal(spins) + np.einsum("kl,kl->l", amplitudes, ratios)


def estimate(samples: Samples, operator: Operator, psi: WaveFunction, n_parameters: int) -> Batch:
    """Local energies and log-derivatives of all configurations of this rank.

    Args:
        samples: configurations and their look-ups.
        operator: the Hamiltonian.
        psi: the wave function that the samples were drawn from.
        n_parameters: K.
    """
    n_blocks, n_draws, _, width = samples.spins.shape
    derivatives = np.empty((n_parameters, n_draws, n_blocks, width), dtype=psi.dtype)
    energies = np.empty((n_draws, n_blocks, width), dtype=np.result_type(psi.dtype, operator.dtype))
    for block in range(n_blocks):
        for draw in range(n_draws):
            spins, lookup = samples.spins[block, draw], samples.lookup[block, draw]
            energies[draw, block] = local_energy(operator, psi, spins, lookup)
            psi.log_derivatives(spins, lookup, out=derivatives[:, draw, block, :])
    n_walkers = n_blocks * width
    return Batch(
        energies.reshape(n_draws, n_walkers),
        derivatives.reshape(n_parameters, n_draws * n_walkers),
        samples.accepted,
        samples.proposed,
        None if samples.log_weights is None else _by_draw(samples.log_weights),
    )


def _by_draw(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(n_blocks, n_draws, L) as (n_draws, n_walkers), in the order of the energies."""
    return values.transpose(1, 0, 2).reshape(values.shape[1], -1)
