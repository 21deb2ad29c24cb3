"""Entropies and fidelities on several ranks: the same bits as on one, also where ranks change in between."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pvmc.lattice import chain
from pvmc.measurement.fidelity import FidelityEstimate, RatioSums, fidelity
from pvmc.measurement.renyi import Renyi2, Renyi2Estimate
from pvmc.mpi import Communicator, SerialCommunicator, block_range
from pvmc.sampler import Metropolis, Moves, MoveWeights, start
from pvmc.wavefunctions import WaveFunction
from tests.helpers import random_rbm

pytestmark = [pytest.mark.mpi, pytest.mark.ranks(1, 2, 3, 4)]

RING, N_BLOCKS, WIDTH = chain(6), 7, 8
SAMPLER = Metropolis(Moves.build(MoveWeights(flip=1.0), RING), 3, n_draws=5, sweep=6, burn_in=5, discard=1)


def walk(comm: Communicator, psi: WaveFunction, stage: int = 0) -> Any:
    blocks = block_range(N_BLOCKS, comm.rank, comm.size)
    return SAMPLER.walk(start("random", blocks, WIDTH, RING, None, 1), psi, 0, stage=stage)


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
