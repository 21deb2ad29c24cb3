"""Walkers: the configurations of a rank's Markov chains, in blocks of fixed width."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pvmc.lattice import Lattice
from pvmc.mpi import Communicator
from pvmc.numerics.random import Stream, generator
from pvmc.spins.files import read_configurations


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
        file: with "file", where the configurations are (see :mod:`pvmc.spins.files`); walker w of all takes
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
