"""Draws from |psi|^p and their statistics: on several ranks the same bits as on one."""

from __future__ import annotations

import numpy as np
import pytest

from pvmc.estimators import EnergyStatistics, local_energy
from pvmc.estimators.energy import block_sums, energy_statistics
from pvmc.hamiltonians import Operator
from pvmc.hamiltonians.ising import transverse_field_ising
from pvmc.lattice import chain
from pvmc.mpi import Communicator, SerialCommunicator, block_range
from pvmc.numerics.exact_sums import sum_of_blocks
from pvmc.sampler import Metropolis, Moves, MoveWeights, Samples, start
from pvmc.wavefunctions import WaveFunction
from tests.helpers import random_rbm

pytestmark = [pytest.mark.mpi, pytest.mark.ranks(1, 2, 3, 4)]

RING, N_BLOCKS, WIDTH = chain(6), 7, 8
OPERATOR = Operator.from_pauli_sum(transverse_field_ising(6, RING.bonds(), 1.0, 0.7), 6)


def statistics_on(comm: Communicator, sampler: Metropolis, psi: WaveFunction) -> EnergyStatistics:
    """Collective. Of one iteration; weights and mean by sums that are exact."""
    blocks = block_range(N_BLOCKS, comm.rank, comm.size)
    samples = Samples.of(sampler.walk(start("random", blocks, WIDTH, RING, None, 1), psi, 0))
    assert samples.log_weights is not None
    spins = np.ascontiguousarray(samples.spins.transpose(2, 1, 0, 3).reshape(6, -1))
    weights = np.exp(samples.log_weights.transpose(1, 0, 2).reshape(samples.n_draws, -1))
    energies = local_energy(OPERATOR, psi, spins, psi.lookup(spins)).reshape(weights.shape)
    planes = weights, weights * energies.real, weights * energies.imag
    partials = np.stack([block_sums(plane, len(blocks)) for plane in planes], axis=1)
    total, real, imaginary = sum_of_blocks(partials, comm, True).tolist()
    mean, scaled = complex(real, imaginary) / total, weights * (N_BLOCKS * WIDTH * samples.n_draws / total)
    counts = samples.accepted, samples.proposed
    return energy_statistics(energies - mean, mean, 6, 0.0, *counts, comm, n_blocks=len(blocks), weights=scaled)


@pytest.mark.parametrize("power", [1.0, 1.5])
def test_weighted_statistics_do_not_depend_on_the_ranks(comm: Communicator, power: float) -> None:
    rbm, theta = random_rbm(6, np.complex128)
    moves = Moves.build(MoveWeights(flip=1.0), RING)
    sampler = Metropolis(moves, 3, n_draws=6, sweep=6, burn_in=5, discard=1, power=power)
    together = statistics_on(comm, sampler, rbm.at(theta))
    assert together == statistics_on(SerialCommunicator(), sampler, rbm.at(theta))
    assert together.error > 0 and 1 < together.effective_samples < together.n_samples == N_BLOCKS * WIDTH * 6
