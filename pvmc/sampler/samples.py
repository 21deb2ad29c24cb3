"""What a sampler is, and what it returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pvmc.ansatz.base import WaveFunction
from pvmc.parallel import Communicator
from pvmc.sampler.walkers import Walkers


@dataclass(frozen=True)
class Samples:
    """Configurations of one rank that stand for |psi|^2, with their look-ups.

    Attributes:
        spins: int8 (n_blocks, n_draws, N, L).
        lookup: float64 (n_blocks, n_draws, Q, L), the ansatz's look-up of each configuration.
        accepted: number of accepted proposals.
        proposed: number of proposals.
        log_weights: float64 (n_blocks, n_draws, L), logarithms of weights that are common to all ranks up to one
            factor, -inf for what only fills up a block; None where the configurations were drawn from |psi|^2.
    """

    spins: npt.NDArray[np.int8]
    lookup: npt.NDArray[np.float64]
    accepted: int
    proposed: int
    log_weights: npt.NDArray[np.float64] | None = None


class Sampler(Protocol):
    """What provides configurations in the proportions of |psi|^2, in blocks of fixed width."""

    @property
    def n_blocks(self) -> int:
        """Blocks over all ranks; a job can use as many ranks."""
        ...

    @property
    def width(self) -> int:
        """L, configurations in a block of samples."""
        ...

    @property
    def n_draws(self) -> int:
        """Configurations per walker and iteration."""
        ...

    @property
    def magnetization(self) -> int | None:
        """The sum of s_i = +-1 that all configurations have, or None where it varies."""
        ...

    def start(self, blocks: range, comm: Communicator) -> Walkers:
        """Collective.  This rank's walkers before the first iteration.

        Raises:
            InputError: a file of configurations cannot be used; on every rank.
        """
        ...

    def advance(self, walkers: Walkers, psi: WaveFunction, iteration: int) -> tuple[Walkers, Samples]:
        """The walkers after an iteration, and the configurations drawn on the way."""
        ...

    def short(self) -> Sampler:
        """A sampler that uses the same kernels with less work, to have them compiled."""
        ...

    def memory(self, n_blocks: int, n_sites: int, lookup_size: int) -> int:
        """Bytes of the walkers and samples of a rank with so many blocks, and of the work on one."""
        ...

    def describe(self) -> str:
        """How many configurations there are and where they come from, in words."""
        ...
