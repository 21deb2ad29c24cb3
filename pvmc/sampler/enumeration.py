"""All configurations of a small system with their weights, in place of samples: variational calculus without noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pvmc.mpi import Communicator
from pvmc.sampler.base import Draw, Walk, Walkers
from pvmc.spins.configurations import Basis
from pvmc.wavefunctions.base import WaveFunction


@dataclass(frozen=True)
class Enumeration:
    """Every configuration (of one magnetisation) once, weighted by |psi|^2.

    Attributes:
        basis: the configurations.
        width: L, configurations in a block; the last block is filled up with copies of weight zero.
        magnetization: the sum of s_i that all have, or None for all 2^N.
    """

    basis: Basis
    width: int
    magnetization: int | None

    n_draws = most_draws = 1
    growth = None

    @property
    def n_blocks(self) -> int:
        """Blocks over all ranks."""
        return -(-len(self.basis) // self.width)

    def start(self, blocks: range, comm: Communicator) -> Walkers:
        """The configurations of these blocks, in the order of the basis."""
        position = np.minimum(np.arange(blocks.start * self.width, blocks.stop * self.width), len(self.basis) - 1)
        spins = self.basis.spins[:, position].reshape(-1, len(blocks), self.width)
        return Walkers(np.ascontiguousarray(spins.transpose(1, 0, 2)), blocks.start)

    def short(self) -> Enumeration:
        """This sampler itself: its work is that of the blocks it is given."""
        return self

    def walker_bytes(self, n_blocks: int, n_sites: int) -> int:
        """0: all iterations share the configurations."""
        return 0

    def memory(self, n_blocks: int, n_sites: int, lookup_size: int) -> int:
        """Bytes of the configurations and weights, a block's look-up, and the basis, which every rank has."""
        configurations = n_blocks * self.width * (n_sites + 8) + 16 * self.width * lookup_size
        return configurations + self.basis.spins.nbytes + self.basis.labels.nbytes

    def describe(self) -> str:
        """Number of configurations and blocks in words."""
        blocks = "1 block" if self.n_blocks == 1 else f"{self.n_blocks} blocks"
        return f"all {len(self.basis)} configurations, weighted by |psi|^2, in {blocks}"

    def walk(
        self, walkers: Walkers, psi: WaveFunction, iteration: int, *, n_draws: int | None = None, stage: int = 0
    ) -> EnumerationWalk:
        """The same configurations in every iteration, with ln |psi|^2 as the logarithms of their weights."""
        return EnumerationWalk(self, walkers, psi)


class EnumerationWalk(Walk):
    """All configurations of a rank's blocks, see :class:`pvmc.sampler.base.Draws`; nothing is proposed."""

    n_draws = 1
    is_exact = True
    accepted = proposed = 0

    def __init__(self, sampler: Enumeration, walkers: Walkers, psi: WaveFunction):
        self._walkers, self._psi = walkers, psi
        self.n_blocks, _, self.width = walkers.spins.shape
        log_weights = np.stack([2.0 * psi.log_psi(block).real for block in walkers.spins])
        position = walkers.first_block * self.width + np.arange(log_weights.size).reshape(log_weights.shape)
        log_weights[position >= len(sampler.basis)] = -np.inf
        self.log_weights: npt.NDArray[np.float64] = log_weights[:, None]

    @property
    def walkers(self) -> Walkers:
        """The configurations, which do not move."""
        return self._walkers

    def __iter__(self) -> Iterator[Draw]:
        for block, spins in enumerate(self._walkers.spins):
            yield Draw(block, 0, spins, self._psi.lookup(spins))
