"""Draws from other distributions than |psi|^2, with weights that make up for it: powers of |psi|, smeared draws."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from pvmc.numerics.arrays import Booleans, Spins
from pvmc.numerics.random import Stream, generator
from pvmc.sampler.base import Draw, Walk, Walkers
from pvmc.sampler.smear import Smear
from pvmc.wavefunctions.base import WaveFunction


class ReweightedWalk(Walk):
    """Draws from |psi|^p with the weights |psi|^(2-p), see :class:`pvmc.sampler.base.Draws`.

    Weights have to be normalised over all draws before anything is averaged with them.  So all are drawn at once and
    their configurations are kept; to walk over them makes only their look-ups anew.

    Args:
        walk: the draws from |psi|^p.
        psi: the wave function.
        power: p.
    """

    is_exact = False

    def __init__(self, walk: Walk, psi: WaveFunction, power: float):
        self._psi = psi
        self.n_blocks, self.n_draws, self.width = walk.n_blocks, walk.n_draws, walk.width
        shape = self.n_blocks, self.n_draws, self.width
        self._spins = np.empty((*shape[:2], walk.walkers.spins.shape[1], self.width), dtype=np.int8)
        self.log_weights = np.empty(shape)
        for block, draw, spins, _ in walk:
            self._spins[block, draw] = spins
            self.log_weights[block, draw] = (2.0 - power) * psi.log_psi(spins).real
        self._walkers, self.accepted, self.proposed = walk.walkers, walk.accepted, walk.proposed

    @property
    def walkers(self) -> Walkers:
        """The walkers after all draws."""
        return self._walkers

    def __iter__(self) -> Iterator[Draw]:
        for block in range(self.n_blocks):
            for draw in range(self.n_draws):
                spins = self._spins[block, draw]
                yield Draw(block, draw, spins, self._psi.lookup(spins))


class SmearedWalk(Walk):
    """The draws of a walk over |psi|^2, smeared, see :class:`pvmc.sampler.base.Draws`.

    Args:
        walk: the draws from |psi|^2.
        psi: the wave function.
        smear: how they are smeared.
        seed: of the random numbers, which are a function of (seed, stream, block, iteration).
        stream: what they are for.
        iteration: number of the iteration.
    """

    log_weights = None
    is_exact = False

    def __init__(self, walk: Walk, psi: WaveFunction, smear: Smear, seed: int, stream: Stream, iteration: int):
        self._walk, self._psi = walk, psi
        self._seed, self._stream, self._iteration = seed, stream, iteration
        self.smear = self._smear = smear
        self.n_blocks, self.n_draws, self.width = walk.n_blocks, walk.n_draws, walk.width
        self._first_block = walk.walkers.first_block

    @property
    def walkers(self) -> Walkers:
        """The walkers in the end, as they were before the last draw was smeared."""
        return self._walk.walkers

    @property
    def accepted(self) -> int:  # type: ignore[override]
        """Accepted proposals of the chains."""
        return self._walk.accepted

    @property
    def proposed(self) -> int:  # type: ignore[override]
        """Proposals of the chains."""
        return self._walk.proposed

    def __iter__(self) -> Iterator[Draw]:
        rng = None
        for block, draw, spins, lookup in self._walk:
            if draw == 0 or rng is None:
                number = self._first_block + block
                rng = generator(self._seed, self._stream, block=number, iteration=self._iteration)
            moved, changed = self._smear.moved(spins, rng)
            yield Draw(block, draw, moved, updated_lookup(self._psi, moved, lookup, changed))


def updated_lookup(
    psi: WaveFunction, spins: Spins, lookup: npt.NDArray[np.float64], changed: Booleans
) -> npt.NDArray[np.float64]:
    """The look-up of configurations, (Q, L), from one in which those that changed are out of date; a new array."""
    lookup = lookup.copy()
    if changed.any():
        lookup[:, changed] = psi.lookup(np.ascontiguousarray(spins[:, changed]))
    return lookup
