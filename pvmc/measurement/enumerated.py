"""Expectation values of a small system from all configurations, without statistical error."""

from __future__ import annotations

import numpy as np

from pvmc.errors import NumericalError, on_every_rank
from pvmc.estimators import EnergyStatistics, local_energy
from pvmc.estimators.energy import exact_statistics
from pvmc.hamiltonians import Operator
from pvmc.measurement.registry import Observables
from pvmc.mpi import Communicator
from pvmc.numerics.arrays import Floats
from pvmc.numerics.exact_sums import sum_of_blocks
from pvmc.sampler import Enumeration, Walkers
from pvmc.wavefunctions.base import WaveFunction


def enumerated(
    sampler: Enumeration,
    walkers: Walkers,
    psi: WaveFunction,
    operator: Operator,
    observables: Observables,
    comm: Communicator,
) -> tuple[Floats, EnergyStatistics]:
    """Collective. Means of all local values, float64 (n_values,), and of the energy, weighted by |psi|^2.

    Raises:
        NumericalError: psi vanishes everywhere, or a value is not finite; on every rank.
    """
    walk = sampler.walk(walkers, psi, 0)
    logarithms = walk.log_weights
    assert logarithms is not None, "an enumeration has weights"
    largest = comm.max(np.array([logarithms.max(initial=-np.inf)]))[0]
    with on_every_rank():
        if not np.isfinite(largest):
            raise NumericalError("the wave function is zero, or not finite, on all configurations")
    weights = np.exp(logarithms[:, 0] - largest)
    energies = np.zeros(weights.shape, dtype=np.complex128)
    partials = np.zeros((walk.n_blocks, observables.size + 3))
    for block, _, spins, lookup in walk:
        alive = weights[block] > 0
        energies[block] = np.where(alive, local_energy(operator, psi, spins, lookup), 0.0)
        values = np.where(alive, observables.values(psi, spins, lookup), 0.0)
        rows = np.stack([np.ones(len(alive)), energies[block].real, energies[block].imag])
        partials[block] = np.concatenate([rows, values]) @ weights[block]
    total, real, imaginary, *sums = sum_of_blocks(partials, comm, True).tolist()
    mean = complex(real, imaginary) / total
    squares = np.sum(weights * abs(energies - mean) ** 2, axis=1)[:, np.newaxis]
    variance = float(sum_of_blocks(squares, comm, True)[0]) / total
    with on_every_rank():
        if not np.isfinite([mean.real, variance, *sums]).all():
            raise NumericalError("a local value is not finite")
    n_sites, n_samples = sampler.basis.spins.shape
    statistics = exact_statistics(mean, variance, n_samples, n_sites, operator.infinite_temperature_energy)
    return np.array(sums) / total, statistics
