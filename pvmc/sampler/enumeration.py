"""All configurations of a small system with their weights, in place of samples: variational calculus without noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pvmc.ansatz.base import WaveFunction
from pvmc.exact.basis import Basis
from pvmc.parallel import Communicator
from pvmc.sampler.samples import Samples
from pvmc.sampler.walkers import Walkers


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

    n_draws = 1

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

    def memory(self, n_blocks: int, n_sites: int, lookup_size: int) -> int:
        """Bytes of the configurations, look-ups and weights, and of the basis, which every rank has."""
        configurations = n_blocks * self.width * (n_sites + 8 * lookup_size + 8)
        return configurations + self.basis.spins.nbytes + self.basis.labels.nbytes

    def describe(self) -> str:
        """Number of configurations and blocks in words."""
        return f"all {len(self.basis)} configurations, weighted by |psi|^2, in {self.n_blocks} blocks"

    def advance(self, walkers: Walkers, psi: WaveFunction, iteration: int) -> tuple[Walkers, Samples]:
        """The same configurations, with ln |psi|^2 as the logarithms of their weights."""
        n_blocks, _, width = walkers.spins.shape
        lookups = np.stack([psi.lookup(block) for block in walkers.spins])
        log_weights = np.stack([2.0 * psi.log_psi(block).real for block in walkers.spins])
        position = walkers.first_block * width + np.arange(n_blocks * width).reshape(n_blocks, width)
        log_weights[position >= len(self.basis)] = -np.inf
        weights: npt.NDArray[np.float64] = log_weights[:, None]
        return walkers, Samples(walkers.spins[:, None], lookups[:, None], 0, 0, weights)
