"""Entropies, fidelities and weighted statistics on several ranks: the same bits as on one, also where ranks change in
between."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pvmc.estimators import EnergyStatistics, local_energy
from pvmc.estimators.energy import block_sums, energy_statistics
from pvmc.hamiltonians import Operator
from pvmc.hamiltonians.ising import transverse_field_ising
from pvmc.lattice import chain
from pvmc.measurement.fidelity import FidelityEstimate, RatioSums, fidelity
from pvmc.measurement.renyi import Renyi2, Renyi2Estimate
from pvmc.mpi import Communicator, SerialCommunicator, block_range
from pvmc.numerics.exact_sums import sum_of_blocks
from pvmc.sampler import Metropolis, Moves, MoveWeights, Samples, start
from pvmc.wavefunctions import WaveFunction
from tests.helpers import random_rbm

pytestmark = [pytest.mark.mpi, pytest.mark.ranks(1, 2, 3, 4)]

RING, N_BLOCKS, WIDTH = chain(6), 7, 8
SAMPLER = Metropolis(Moves.build(MoveWeights(flip=1.0), RING), 3, n_draws=5, sweep=6, burn_in=5, discard=1)


def walk(comm: Communicator, psi: WaveFunction, stage: int = 0, sampler: Metropolis = SAMPLER) -> Any:
    blocks = block_range(N_BLOCKS, comm.rank, comm.size)
    return sampler.walk(start("random", blocks, WIDTH, RING, None, 1), psi, 0, stage=stage)


def entropy_sums(comm: Communicator, psi: WaveFunction) -> Renyi2:
    blocks = block_range(N_BLOCKS, comm.rank, comm.size)
    sums = Renyi2(len(blocks), WIDTH, 6, [0, 1, 2], n_shifts=3)
    for draw in walk(comm, psi):
        sums.add(psi, draw)
    return sums


def entropy_on(comm: Communicator, psi: WaveFunction) -> Renyi2Estimate:
    return entropy_sums(comm, psi).estimate(comm)


def fidelity_on(comm: Communicator, psi: WaveFunction, phi: WaveFunction) -> FidelityEstimate:
    blocks = block_range(N_BLOCKS, comm.rank, comm.size)
    forward, backward = RatioSums(len(blocks), WIDTH), RatioSums(len(blocks), WIDTH)
    for draw in walk(comm, psi):
        forward.add(psi, phi, draw)
    for draw in walk(comm, phi, stage=1):
        backward.add(phi, psi, draw)
    return fidelity(forward, backward, comm, control=True)


def test_entropy_does_not_depend_on_the_ranks(comm: Communicator) -> None:
    rbm, theta = random_rbm(6, np.complex128)
    psi = rbm.at(theta)
    together = entropy_on(comm, psi)
    assert together == entropy_on(SerialCommunicator(), psi)
    assert together.error > 0 and together.n_pairs == N_BLOCKS * WIDTH * 5 // 2


def test_sums_of_all_ranks_go_on_on_one(comm: Communicator) -> None:
    """Sums of blocks, one rank's after another's, are those of a single rank."""
    rbm, theta = random_rbm(6, np.complex128)
    psi = rbm.at(theta)
    gathered: dict[str, npt.NDArray[Any]] = {}
    for name, array in entropy_sums(comm, psi).state().items():
        whole = comm.gather(array)
        if whole is not None:
            gathered[name] = whole
    if comm.rank == 0:
        sums = Renyi2(N_BLOCKS, WIDTH, 6, [0, 1, 2], n_shifts=3)
        sums.restore(gathered)
        assert sums.estimate(SerialCommunicator()) == entropy_on(SerialCommunicator(), psi)


def test_fidelity_does_not_depend_on_the_ranks(comm: Communicator) -> None:
    (first, theta), (second, other) = (random_rbm(6, dtype, seed=4) for dtype in (np.complex128, np.float64))
    psi, phi = first.at(theta), second.at(other)
    together = fidelity_on(comm, psi, phi)
    assert together == fidelity_on(SerialCommunicator(), psi, phi)
    assert 0 < together.error < 1 and together.imaginary_error > 0


# Draws from |psi|^p ---------------------------------------------------------------------------------------------------

OPERATOR = Operator.from_pauli_sum(transverse_field_ising(6, RING.bonds(), 1.0, 0.7), 6)


def statistics_on(comm: Communicator, sampler: Metropolis, psi: WaveFunction) -> EnergyStatistics:
    """Collective. Of one iteration; weights and mean by sums that are exact."""
    blocks = block_range(N_BLOCKS, comm.rank, comm.size)
    samples = Samples.of(walk(comm, psi, sampler=sampler))
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
    sampler = replace(SAMPLER, n_draws=6, power=power)
    together = statistics_on(comm, sampler, rbm.at(theta))
    assert together == statistics_on(SerialCommunicator(), sampler, rbm.at(theta))
    assert together.error > 0 and 1 < together.effective_samples < together.n_samples == N_BLOCKS * WIDTH * 6
