"""Parallel tempering: replicas of the walkers at |psi|^(p beta), of which the one at beta = 1 is measured."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from pydantic import Field

from pvmc.config import Section
from pvmc.numerics.accept import accepting
from pvmc.numerics.arrays import Floats, Spins
from pvmc.wavefunctions.base import WaveFunction


class TemperingSpec(Section):
    """Replicas of every walker at |psi|^(p beta), p = sampler.power, beta from 1 down in equal ratios; neighbours are
    swapped."""

    replicas: int = Field(ge=2, le=64)
    """number of values of beta; the work grows in proportion"""
    smallest_beta: float = Field(gt=0.0, lt=1.0)
    """beta of the last replica"""

    def build(self) -> Tempering:
        """The ladder beta_r = smallest_beta^(r / (replicas - 1))."""
        return Tempering(tuple(self.smallest_beta ** (r / (self.replicas - 1)) for r in range(self.replicas)))


@dataclass(frozen=True)
class Tempering:
    """Parallel tempering (Swendsen, Wang, Phys. Rev. Lett. 57, 2607 (1986); Hukushima, Nemoto, J. Phys. Soc. Jpn. 65,
    1604 (1996)) of chains that sample |psi|^p.

    A block of L walkers has R L lanes: lane r L + l is walker l at betas[r].  All are offered the same moves.

    Attributes:
        betas: descending from 1.
    """

    betas: tuple[float, ...]

    @property
    def replicas(self) -> int:
        """R."""
        return len(self.betas)

    @cached_property
    def exponents(self) -> Floats:
        """1 / beta of the replicas other than the first, float64 (R - 1,)."""
        return np.array([1.0 / beta for beta in self.betas[1:]])

    def temper(self, uniforms: Floats) -> None:
        """Transform the uniforms (n_steps, R L) in place: u^(1/beta) < |ratio|^p wherever u < |ratio|^(p beta)."""
        n_steps, lanes = uniforms.shape
        hot = uniforms[:, lanes // self.replicas :].reshape(n_steps, self.replicas - 1, -1)
        uniforms[:, lanes // self.replicas :] = (hot ** self.exponents[:, None]).reshape(n_steps, -1)

    def swap(
        self, psi: WaveFunction, spins: Spins, lookup: Floats, rng: np.random.Generator, power: float = 2.0
    ) -> int:
        """Offer every pair of neighbouring betas, from the hottest down, to swap; the number of accepted swaps.

        Walkers i at beta and j at beta' swap with probability min(1, |psi(s_j)/psi(s_i)|^(p (beta - beta'))).

        Args:
            psi: the wave function.
            spins: int8 (N, R L); updated in place.
            lookup: float64 (Q, R L); updated in place.
            rng: the block's generator.
            power: p, of what is sampled at beta = 1.
        """
        width = spins.shape[1] // self.replicas
        logarithm = power * psi.log_psi(spins).real
        uniforms = rng.random((self.replicas - 1, width))
        accepted = 0
        for r in range(self.replicas - 2, -1, -1):
            cold = slice(r * width, (r + 1) * width)
            hot = slice((r + 1) * width, (r + 2) * width)
            gain = (self.betas[r] - self.betas[r + 1]) * (logarithm[hot] - logarithm[cold])
            swapped = np.flatnonzero(accepting(uniforms[r], np.exp(np.minimum(gain, 0.0))))
            here, there = swapped + cold.start, swapped + hot.start
            for array in (spins, lookup, logarithm[None]):
                array[:, here], array[:, there] = array[:, there], array[:, here]
            accepted += len(swapped)
        return accepted
