"""Interfaces of the samplers: walkers, draws, the walk of an iteration.

Walkers are the configurations of a rank's Markov chains, in blocks of fixed width.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from pvmc.lattice import Lattice
from pvmc.mpi import Communicator
from pvmc.numerics.random import Stream, generator
from pvmc.sampler.growth import Growth
from pvmc.sampler.smear import Smear
from pvmc.spins.configurations import read_configurations
from pvmc.wavefunctions.base import WaveFunction

CHUNK_COLUMNS = 512
"""Configurations in a chunk: draws of one block, enough for a fast product and few enough for the cache."""


@dataclass(frozen=True)
class Walkers:
    """The current configurations of the blocks that a rank owns; all that a restart needs of the sampler.

    A block is the unit of work and of random numbers: its chains are the same whichever rank owns it.

    Attributes:
        spins: int8 (n_blocks, N, L), +-1.
        first_block: number of the first block, counted over all ranks.
    """

    spins: npt.NDArray[np.int8]
    first_block: int

    @property
    def n_walkers(self) -> int:
        """Number of walkers on this rank."""
        return self.spins.shape[0] * self.spins.shape[2]


def random_block(rng: np.random.Generator, n_sites: int, width: int, magnetization: int | None) -> npt.NDArray[np.int8]:
    """Independent uniform configurations, int8 (N, width).

    Args:
        rng: source of random numbers.
        n_sites: N.
        width: number of walkers.
        magnetization: sum_i s_i of every configuration, or None for any.
    """
    if magnetization is None:
        return (1 - 2 * rng.integers(0, 2, size=(n_sites, width))).astype(np.int8)
    n_up = (n_sites + magnetization) // 2
    column = np.repeat(np.array([1, -1], dtype=np.int8), [n_up, n_sites - n_up])
    return rng.permuted(np.tile(column[:, None], (1, width)), axis=0)


def start(kind: str, blocks: range, width: int, lattice: Lattice, magnetization: int | None, seed: int) -> Walkers:
    """Walkers at the start of a run.

    Args:
        kind: "random" (uniform at the given magnetisation) or "neel" (antiferromagnetic order, each walker with a
            random choice of which sublattice is up).
        blocks: the blocks that this rank owns.
        width: walkers per block.
        lattice: the lattice.
        magnetization: sum_i s_i to start with, or None for any.
        seed: the run's seed.

    Raises:
        LatticeError: "neel" on a lattice without two sublattices.
    """
    spins = np.empty((len(blocks), lattice.n_sites, width), dtype=np.int8)
    for row, block in enumerate(blocks):
        rng = generator(seed, Stream.START, block=block)
        if kind == "neel":
            spins[row] = lattice.sublattices()[:, None] * (1 - 2 * rng.integers(0, 2, size=width)).astype(np.int8)
        else:
            spins[row] = random_block(rng, lattice.n_sites, width, magnetization)
    return Walkers(spins, blocks.start)


@dataclass(frozen=True)
class Ensemble:
    """The walkers of all ranks: how many there are and where they start.

    Attributes:
        n_blocks: blocks over all ranks.
        width: L, walkers in a block.
        lattice: the lattice.
        kind: "random", "neel" or "file".
        magnetization: sum_i s_i that all have to keep, or None.
        file: with "file", where the configurations are (see :mod:`pvmc.spins.configurations`); walker w of all takes
            the row w modulo their number.
    """

    n_blocks: int
    width: int
    lattice: Lattice
    kind: str
    magnetization: int | None
    file: str | None = None

    def start(self, blocks: range, seed: int, comm: Communicator, *, replicas: int = 1) -> Walkers:
        """Collective.  The walkers of these blocks, each in ``replicas`` copies (independent where they are random).

        Raises:
            InputError: the file cannot be used; on every rank.
        """
        if self.kind != "file":
            return start(self.kind, blocks, replicas * self.width, self.lattice, self.magnetization, seed)
        rows = comm.root_value(lambda: read_configurations(str(self.file), self.lattice.n_sites, self.magnetization))
        walkers = np.arange(blocks.start * self.width, blocks.stop * self.width) % len(rows)
        spins = rows[walkers].reshape(len(blocks), self.width, -1).transpose(0, 2, 1)
        return Walkers(np.ascontiguousarray(np.tile(spins, (1, 1, replicas))), blocks.start)


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
        is_exact: True where weighted sums over all ranks are those over all configurations, without statistical error.
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
        """The walkers in the end, once all draws have been walked over."""
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
    """A source of configurations in the proportions of |psi|^2, in blocks of fixed width."""

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
        """Growth of the configurations per walker in the course of a run, or None where they do not grow."""
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
        """Number and origin of the configurations, in words."""
        ...


def advance(sampler: Sampler, walkers: Walkers, psi: WaveFunction, iteration: int) -> tuple[Walkers, Samples]:
    """The walkers after an iteration, and its draws, kept."""
    walk = sampler.walk(walkers, psi, iteration)
    samples = Samples.of(walk)
    return walk.walkers, samples
