"""Metropolis sampling of |psi|^2, or of another power of |psi|, by blocks of walkers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pvmc.mpi import Communicator
from pvmc.numerics.accept import accepting_change
from pvmc.numerics.arrays import Floats, Spins
from pvmc.numerics.random import Stream, generator
from pvmc.sampler.base import Draw, Ensemble, Walk, Walkers
from pvmc.sampler.growth import Growth
from pvmc.sampler.moves import Moves
from pvmc.sampler.smear import Smear
from pvmc.sampler.tempering import Tempering
from pvmc.sampler.weighted import ReweightedWalk, SmearedWalk
from pvmc.wavefunctions.base import WaveFunction

STAGES = (Stream.SWEEPS, Stream.SECOND_SWEEPS, Stream.MEASUREMENT, Stream.SECOND_MEASUREMENT)
"""The random numbers of an iteration's first walk, of a second one, of a walk at parameters that stay, and of one of
another state beside it."""

SMEARING = {0: Stream.SMEAR, 1: Stream.SECOND_SMEAR}
"""The random numbers that smear the draws of an iteration's first walk, and of a second one."""

FROZEN_STAGE = 2
"""The stage of a walk at parameters that stay; its iteration is the number of the batch of draws."""

SECOND_FROZEN_STAGE = 3
"""The same of another state that the first is compared with."""


@dataclass(frozen=True)
class Metropolis:
    """Markov chains with stationary distribution |psi|^p (Metropolis et al., J. Chem. Phys. 21, 1087 (1953)).

    Attributes:
        moves: what is proposed.
        seed: the run's seed.
        n_draws: configurations drawn from each walker per iteration, before they grow.
        sweep: proposals between two draws.
        burn_in: sweeps before the first draw of iteration 0.
        discard: sweeps before the first draw of later iterations, in which the walkers follow the new psi.
        ensemble: how many walkers there are and where they start; None where they are made by hand.
        tempering: replicas at |psi|^(p beta), if any; their draws and acceptance are not counted.
        power: p, 0 < p <= 2.  Other than 2, draws have the weights |psi|^(2-p).
        growth: how the draws per walker grow, if they do; what comes of it is given to :meth:`walk`.
        uneven: each walker has one more proposal, with probability 1/2, before a draw.  Where every proposal
            flips an odd number of spins and nearly all are accepted, an even number of proposals keeps the parity of
            a walker, prod_i s_i, and an odd number inverts it; a random number draws it anew.
        smear: how the draws are smeared, if they are; p is 2 then.
    """

    moves: Moves
    seed: int
    n_draws: int
    sweep: int
    burn_in: int
    discard: int
    ensemble: Ensemble | None = None
    tempering: Tempering | None = None
    power: float = 2.0
    growth: Growth | None = None
    uneven: bool = False
    smear: Smear | None = None

    @property
    def n_blocks(self) -> int:
        """Blocks of walkers over all ranks."""
        return self._ensemble.n_blocks

    @property
    def width(self) -> int:
        """L, walkers in a block, replicas not counted."""
        return self._ensemble.width

    @property
    def magnetization(self) -> int | None:
        """The sum of s_i that the moves keep, or None."""
        return self._ensemble.magnetization

    @property
    def _ensemble(self) -> Ensemble:
        if self.ensemble is None:
            raise ValueError("this sampler was built without an ensemble of walkers")
        return self.ensemble

    @property
    def most_draws(self) -> int:
        """The largest number of draws of a walker in an iteration."""
        return self.growth.most if self.growth else self.n_draws

    @property
    def replicas(self) -> int:
        """Lanes of each walker: the values of beta."""
        return self.tempering.replicas if self.tempering else 1

    @property
    def mean_proposals(self) -> float:
        """Mean number of proposals of a walker in an iteration other than the first, replicas not counted."""
        runs = self.n_draws + (self.discard if self.tempering else min(self.discard, 1))
        return self.sweep * (self.discard + self.n_draws) + (0.5 * runs if self.uneven else 0.0)

    def start(self, blocks: range, comm: Communicator) -> Walkers:
        """Collective.  This rank's walkers before the first iteration, with their replicas."""
        return self._ensemble.start(blocks, self.seed, comm, replicas=self.replicas)

    def short(self) -> Metropolis:
        """The same sampler with one draw and no burn-in."""
        return replace(self, n_draws=1, burn_in=0)

    def walker_bytes(self, n_blocks: int, n_sites: int) -> int:
        """Bytes of the walkers of so many blocks, with replicas."""
        return n_blocks * self.width * self.replicas * n_sites

    def memory(self, n_blocks: int, n_sites: int, lookup_size: int) -> int:
        """Bytes of the walkers (with replicas, before and after), and of look-up and random numbers of one block.

        With a power other than 2 also of all configurations that an iteration draws, and of their weights.
        """
        lanes = self.width * self.replicas
        longest = 1 if self.tempering else max(1, self.burn_in, self.discard)  # sweeps in one go
        walkers = 2 * self.walker_bytes(n_blocks, n_sites)
        if self.tempering:  # ln psi for swaps takes one more array of the size of a look-up
            walkers += 8 * lanes * lookup_size
        if self.power != 2:
            walkers += n_blocks * self.width * self.most_draws * (n_sites + 8)
        if self.smear:  # weights, and a second copy of a block
            walkers += 8 * n_blocks * self.width * self.most_draws + self.width * (n_sites + 8 * lookup_size)
        return walkers + 8 * lanes * (lookup_size + longest * self.sweep + self.uneven)

    def describe(self) -> str:
        """Samples, walkers and blocks in words."""
        walkers = self.n_blocks * self.width
        samples = f"{walkers * self.n_draws} samples per iteration"
        if self.growth:
            samples += f" (up to {walkers * self.most_draws} as the energy converges)"
        if self.power != 2:
            samples += f" of |psi|^{self.power:g}, reweighted,"
        if self.smear:
            samples += f" smeared by {self.smear.part:g},"
        replicas = f", each at {self.replicas} values of beta" if self.tempering else ""
        blocks = "1 block" if self.n_blocks == 1 else f"{self.n_blocks} blocks"
        return f"{samples} from {walkers} walkers in {blocks}{replicas}"

    def walk(
        self, walkers: Walkers, psi: WaveFunction, iteration: int, *, n_draws: int | None = None, stage: int = 0
    ) -> Walk:
        """The draws of an iteration: n_draws of every walker, on from where the walkers are.

        The burn-in comes before the first of all, that of iteration 0 and stage 0.  With a power other than 2, they are
        all drawn now.
        """
        walk = MetropolisWalk(self, walkers, psi, iteration, self.n_draws if n_draws is None else n_draws, stage)
        if self.smear is not None:
            return SmearedWalk(walk, psi, self.smear, self.seed, SMEARING[stage], iteration)
        return walk if self.power == 2 else ReweightedWalk(walk, psi, self.power)

    def sweeps(
        self, psi: WaveFunction, spins: Spins, lookup: Floats, rng: np.random.Generator, n_sweeps: int = 1
    ) -> tuple[int, int]:
        """Sweeps of the walkers of a block without draws, in place: in one go, but replicas are swapped after each.

        Returns:
            The numbers of accepted proposals and of proposals, replicas not counted.
        """
        if self.tempering is None:
            return self._steps(psi, spins, lookup, rng, n_sweeps * self.sweep)
        counts = [self._steps(psi, spins, lookup, rng, self.sweep) for _ in range(n_sweeps)]
        return sum(accepted for accepted, _ in counts), sum(proposed for _, proposed in counts)

    def _steps(
        self, psi: WaveFunction, spins: Spins, lookup: Floats, rng: np.random.Generator, n_steps: int
    ) -> tuple[int, int]:
        """Offer n_steps proposals (or one more) to the walkers of a block, then swaps of replicas, in place.

        Returns:
            The numbers of accepted proposals and of proposals, replicas not counted.
        """
        if n_steps == 0:
            return 0, 0
        n_walkers, lanes = spins.shape[1] // self.replicas, spins.shape[1]
        proposed = n_steps * n_walkers
        n_steps += self.uneven
        # The order of the draws from rng fixes the chains: moves, uniforms, idle walkers, senses of maps.
        chosen = self.moves.choose(rng, n_steps)
        uniforms = rng.random((n_steps, lanes))
        if self.power != 2:
            uniforms **= 2.0 / self.power  # u^(2/p) < |ratio|^2 wherever u < |ratio|^p
        if self.tempering:
            self.tempering.temper(uniforms)
        if self.uneven:
            idle = rng.integers(0, 2, size=(lanes,), dtype=np.bool_)
            uniforms[-1, idle] = np.inf  # accepts nothing
            proposed += n_walkers - int(np.count_nonzero(idle[:n_walkers]))
        backwards = self.moves.senses(rng, chosen, lanes)
        accepted = self._propose(psi, spins, lookup, chosen, uniforms, backwards)
        if self.tempering:
            self.tempering.swap(psi, spins, lookup, rng, self.power)
        return int(accepted[:n_walkers].sum()), proposed

    def _propose(
        self,
        psi: WaveFunction,
        spins: Spins,
        lookup: Floats,
        chosen: npt.NDArray[np.int64],
        uniforms: Floats,
        backwards: npt.NDArray[np.bool_],
    ) -> npt.NDArray[np.int64]:
        """The proposals in their order: runs of flips by the ansatz's kernel, and maps one by one; accepted (L,).

        ``backwards`` has a row of bool (L,) for each map among the proposals, see :meth:`Moves.senses`.
        """
        moves, senses = self.moves, iter(backwards)
        accepted = np.zeros(spins.shape[1], dtype=np.int64)
        first = 0
        for step in [*np.flatnonzero(chosen >= len(moves.flips)).tolist(), len(chosen)]:
            if step > first:
                run = slice(first, step)
                accepted += psi.metropolis(spins, lookup, moves.flips, moves.conserving, chosen[run], uniforms[run])
            if step < len(chosen):
                image = moves.maps.apply(int(chosen[step]) - len(moves.flips), spins, next(senses))
                accepted += _offer(psi, spins, lookup, image, uniforms[step])
            first = step + 1
        return accepted


class MetropolisWalk(Walk):
    """The draws of an iteration from |psi|^p, see :class:`pvmc.sampler.base.Draws`.

    The random numbers of a block depend on (seed, block, iteration, stage) alone, so that neither the number of ranks
    nor a restart changes a chain.
    """

    log_weights = None
    is_exact = False

    def __init__(
        self, sampler: Metropolis, start: Walkers, psi: WaveFunction, iteration: int, n_draws: int, stage: int
    ):
        self._sampler, self._start, self._psi, self._iteration = sampler, start, psi, iteration
        self._stream = STAGES[stage]
        self._spins = start.spins
        self.n_blocks, self.n_draws, self.width = len(start.spins), n_draws, start.spins.shape[2]
        self.width //= sampler.replicas
        self.accepted = self.proposed = 0
        self._warm_up = sampler.burn_in if iteration == 0 and stage == 0 else sampler.discard

    @property
    def walkers(self) -> Walkers:
        """The current configurations."""
        return Walkers(self._spins, self._start.first_block)

    def __iter__(self) -> Iterator[Draw]:
        """The walkers of the first block take all their steps, then those of the second, ..."""
        sampler, psi = self._sampler, self._psi
        self._spins = self._start.spins.copy()
        self.accepted = self.proposed = 0
        for block, spins in enumerate(self._spins):
            number = self._start.first_block + block
            rng = generator(sampler.seed, self._stream, block=number, iteration=self._iteration)
            lookup = psi.lookup(spins)
            self._count(sampler.sweeps(psi, spins, lookup, rng, self._warm_up))
            for draw in range(self.n_draws):
                self._count(sampler.sweeps(psi, spins, lookup, rng))
                yield Draw(block, draw, _first(spins, self.width), _first(lookup, self.width))

    def _count(self, counts: tuple[int, int]) -> None:
        self.accepted += counts[0]
        self.proposed += counts[1]


def _first(array: npt.NDArray[Any], width: int) -> npt.NDArray[Any]:
    """The first lanes, those of the replicas at beta = 1; contiguous."""
    return np.ascontiguousarray(array[:, :width])


def _offer(psi: WaveFunction, spins: Spins, lookup: Floats, image: Spins, uniforms: Floats) -> npt.NDArray[np.bool_]:
    """One Metropolis step to given configurations, by psi itself; spins and lookup change in place.  Accepted, (L,)."""
    accept = accepting_change(uniforms, psi.log_psi(image).real - psi.log_psi(spins).real)
    if accept.any():
        np.copyto(spins, image, where=accept)
        lookup[:] = psi.lookup(spins)
    return accept
