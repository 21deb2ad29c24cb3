"""Draws from another power of |psi| than its square, with the weights that make up for it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pvmc.sampler.base import Draw, Walk
from pvmc.sampler.walkers import Walkers
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
        """Where the walkers are after all draws."""
        return self._walkers

    def __iter__(self) -> Iterator[Draw]:
        for block in range(self.n_blocks):
            for draw in range(self.n_draws):
                spins = self._spins[block, draw]
                yield Draw(block, draw, spins, self._psi.lookup(spins))
