"""Metropolis sampling of |psi|^2 by blocks of walkers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pvmc.ansatz.base import WaveFunction
from pvmc.rng import Stream, generator
from pvmc.sampler.moves import Moves
from pvmc.sampler.walkers import Walkers


@dataclass(frozen=True)
class Samples:
    """Configurations drawn from |psi|^2 on one rank, with the look-ups that the walk left behind.

    Attributes:
        spins: int8 (n_blocks, n_draws, N, L).
        lookup: float64 (n_blocks, n_draws, Q, L), the ansatz's look-up of each configuration.
        accepted: number of accepted proposals.
        proposed: number of proposals.
    """

    spins: npt.NDArray[np.int8]
    lookup: npt.NDArray[np.float64]
    accepted: int
    proposed: int


@dataclass(frozen=True)
class Metropolis:
    """Markov chains with stationary distribution |psi|^2 (Metropolis et al., J. Chem. Phys. 21, 1087 (1953)).

    Attributes:
        moves: what is proposed.
        seed: the run's seed.
        n_draws: configurations drawn from each walker per iteration.
        sweep: proposals between two draws.
        burn_in: sweeps before the first draw of iteration 0.
        discard: sweeps before the first draw of later iterations, in which the walkers follow the new psi.
    """

    moves: Moves
    seed: int
    n_draws: int
    sweep: int
    burn_in: int
    discard: int

    def advance(self, walkers: Walkers, psi: WaveFunction, iteration: int) -> tuple[Walkers, Samples]:
        """Advance every walker and draw n_draws configurations from each.

        The numbers of a block depend on (seed, block, iteration) alone, so neither the number of ranks nor a
        restart changes a chain.
        """
        n_blocks, n_sites, width = walkers.spins.shape
        spins = walkers.spins.copy()
        drawn = np.empty((n_blocks, self.n_draws, n_sites, width), dtype=np.int8)
        lookups: npt.NDArray[np.float64] | None = None
        warm_up = self.sweep * (self.burn_in if iteration == 0 else self.discard)
        accepted = 0
        for row in range(n_blocks):
            rng = generator(self.seed, Stream.SWEEPS, block=walkers.first_block + row, iteration=iteration)
            lookup = psi.lookup(spins[row])
            if lookups is None:
                lookups = np.empty((n_blocks, self.n_draws, *lookup.shape))
            accepted += self._walk(psi, spins[row], lookup, rng, warm_up)
            for draw in range(self.n_draws):
                accepted += self._walk(psi, spins[row], lookup, rng, self.sweep)
                drawn[row, draw] = spins[row]
                lookups[row, draw] = lookup
        assert lookups is not None, "a rank owns at least one block"
        proposed = n_blocks * width * (warm_up + self.n_draws * self.sweep)
        return Walkers(spins, walkers.first_block), Samples(drawn, lookups, accepted, proposed)

    def _walk(
        self,
        psi: WaveFunction,
        spins: npt.NDArray[np.int8],
        lookup: npt.NDArray[np.float64],
        rng: np.random.Generator,
        n_steps: int,
    ) -> int:
        """Offer n_steps proposals to the walkers of a block, in place; the number accepted."""
        if n_steps == 0:
            return 0
        chosen = self.moves.choose(rng, n_steps)
        uniforms = rng.random((n_steps, spins.shape[1]))
        return int(psi.metropolis(spins, lookup, self.moves.flips, self.moves.conserving, chosen, uniforms).sum())
