"""What a sampler is, and what it returns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from pvmc.mpi import Communicator
from pvmc.sampler.growth import Growth
from pvmc.sampler.walkers import Walkers
from pvmc.wavefunctions.base import WaveFunction

if TYPE_CHECKING:
    from pvmc.sampler.smear import Smear


class Draw(NamedTuple):
    """Configurations of one block of walkers at one time.

    Attributes:
        block: number of the block on this rank, from 0.
        draw: number of the draw, from 0.
        spins: int8 (N, L); valid until the next draw.
        lookup: float64 (Q, L), the ansatz's look-up of them; valid until the next draw.
    """

    block: int
    draw: int
    spins: npt.NDArray[np.int8]
    lookup: npt.NDArray[np.float64]


class Draws(Protocol):
    """Configurations of one rank that stand for |psi|^2, made while they are walked over, block after block.

    Walking over them again gives the same ones.

    Attributes:
        n_blocks: blocks of this rank.
        n_draws: draws of each.
        width: L.
        log_weights: float64 (n_blocks, n_draws, L), logarithms of weights that are common to all ranks up to one
            factor, -inf for what only fills up a block; None where the configurations were drawn from |psi|^2, or
            were smeared.
        smear: the distribution that the configurations were drawn from in place of |psi|^2, whose weights are known
            once H psi is; None for others.
        is_exact: whether weighted sums over all ranks are those over all configurations, without statistical error.
        accepted: number of accepted proposals, once they have been walked over.
        proposed: number of proposals, as well.
    """

    n_blocks: int
    n_draws: int
    width: int
    log_weights: npt.NDArray[np.float64] | None
    is_exact: bool
    accepted: int
    proposed: int
    smear: Smear | None = None

    def __iter__(self) -> Iterator[Draw]:
        """The draws of the first block in their order, then those of the second, ..."""
        ...


class Walk(Draws, Protocol):
    """The draws of an iteration."""

    @property
    def walkers(self) -> Walkers:
        """Where the walkers are in the end, once all draws have been walked over."""
        ...


@dataclass
class Samples(Draws):
    """Draws that are kept.

    Attributes:
        spins: int8 (n_blocks, n_draws, N, L).
        lookup: float64 (n_blocks, n_draws, Q, L), the ansatz's look-up of each configuration.
        accepted, proposed, log_weights, is_exact, smear: see :class:`Draws`.
    """

    spins: npt.NDArray[np.int8]
    lookup: npt.NDArray[np.float64]
    accepted: int
    proposed: int
    log_weights: npt.NDArray[np.float64] | None = None
    is_exact: bool = False
    smear: Smear | None = None

    def __post_init__(self) -> None:
        self.n_blocks, self.n_draws, _, self.width = self.spins.shape

    @classmethod
    def of(cls, draws: Draws) -> Samples:
        """All draws, walked over once; they need memory in proportion."""
        kept = [(draw.spins.copy(), draw.lookup.copy()) for draw in draws]
        spins, lookup = (np.stack(arrays) for arrays in zip(*kept, strict=True))
        shape = draws.n_blocks, draws.n_draws
        return cls(
            spins.reshape(*shape, *spins.shape[1:]),
            lookup.reshape(*shape, *lookup.shape[1:]),
            draws.accepted,
            draws.proposed,
            draws.log_weights,
            draws.is_exact,
            draws.smear,
        )

    def __iter__(self) -> Iterator[Draw]:
        for block in range(self.n_blocks):
            for draw in range(self.n_draws):
                yield Draw(block, draw, self.spins[block, draw], self.lookup[block, draw])


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
        """Configurations per walker and iteration, unless :meth:`walk` is told otherwise."""
        ...

    @property
    def most_draws(self) -> int:
        """The largest number of configurations per walker and iteration of a run, with growth."""
        ...

    @property
    def growth(self) -> Growth | None:
        """How the configurations per walker grow in the course of a run, or None where they do not."""
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

    def walk(
        self, walkers: Walkers, psi: WaveFunction, iteration: int, *, n_draws: int | None = None, stage: int = 0
    ) -> Walk:
        """The draws of an iteration, from the walkers before it; they are made while they are walked over.

        Args:
            walkers: where the walkers are; they stay as they are.
            psi: the wave function.
            iteration: number of the iteration.
            n_draws: draws per walker, in place of the sampler's own; an enumeration does not ask.
            stage: 0, or 1 for a second walk of the same iteration, with random numbers of its own.
        """
        ...

    def short(self) -> Sampler:
        """A sampler that uses the same kernels with less work, to have them compiled."""
        ...

    def walker_bytes(self, n_blocks: int, n_sites: int) -> int:
        """Bytes of the walkers that an iteration makes on a rank with so many blocks; 0 where they do not move."""
        ...

    def memory(self, n_blocks: int, n_sites: int, lookup_size: int) -> int:
        """Bytes of the walkers of a rank with so many blocks, and of the work on one."""
        ...

    def describe(self) -> str:
        """How many configurations there are and where they come from, in words."""
        ...


def advance(sampler: Sampler, walkers: Walkers, psi: WaveFunction, iteration: int) -> tuple[Walkers, Samples]:
    """The walkers after an iteration, and its draws, kept."""
    walk = sampler.walk(walkers, psi, iteration)
    samples = Samples.of(walk)
    return walk.walkers, samples
