"""Walkers that sit in a spurious mode of |psi|^2: found by their energies, reported, and in the end started again.

To drop them at once would bias the samples: what helps is to sample better, and steps take psi out of a mode of high
energy, so that walkers leave it.  Walkers that stay there over many steps are no longer drawn from |psi|^2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pvmc.io.checkpoint import Part
from pvmc.mpi import Communicator
from pvmc.numerics.random import Stream, generator
from pvmc.sampler import Walkers
from pvmc.statistics.mean import robust_scatter
from pvmc.statistics.thresholds import (
    STUCK_DEVIATIONS,
    STUCK_EVERY,
    STUCK_IN_A_ROW,
    STUCK_RESTARTED,
    STUCK_ROUNDING,
    STUCK_WARN_EVERY,
)
from pvmc.vmc.checkpoints import SavedRun
from pvmc.vmc.display import warn
from pvmc.vmc.pieces import NOT_LOOKED, Piece, Round


@dataclass(frozen=True)
class StuckWalkers:
    """Walkers whose energies stay far from those of the others.

    Attributes:
        walkers: their numbers, counted over all ranks in the order of the blocks.
        n_walkers: how many there are in all.
        energy: the mean of their energies, of all sites; NaN where none of them is finite.
        others: the median of all energies.
        r_hat: R-hat of the local energy over all walkers.
        restarted: those of them that start again, for so long they have been above the others.
    """

    walkers: npt.NDArray[np.int64]
    n_walkers: int
    energy: float
    others: float
    r_hat: float
    restarted: npt.NDArray[np.int64]

    def warning(self, iteration: int) -> str:
        """One line, with what helps."""
        n, again = len(self.walkers), len(self.restarted)
        be, own = ("walker is", "its") if n == 1 else ("walkers are", "their")
        fate = f"{again} start again from configurations of the others" if again else "they are kept"
        return (
            f"iteration {iteration}: {n} of {self.n_walkers} {be} stuck in a mode of {own} own, at energy "
            f"{self.energy:.6g} against {self.others:.6g} of the others (R-hat {self.r_hat:.3f}); {fate}. "
            "Longer sweeps, tempering or moves over longer distances let them out; after ansatz.start_from, "
            'sampler.start = "neel" starts walkers elsewhere; a lower sr.learning_rate may keep such modes from forming'
        )


class WalkerWatch(Piece):
    """Looks for stuck walkers every 10 iterations, and warns at most every 100, or where some of them start again.

    Walkers that were stuck above the others in six looks in a row start again from configurations of others, drawn at
    random: the same ones on any number of ranks.  Only rank 0 remembers anything.

    Args:
        scale: scale of the energies, such as the radius of H's spectrum; |E| counts where it is larger.
        width: walkers in a block, replicas not counted.
        seed: of the random numbers.

    Attributes:
        n_stuck: how many walkers are stuck, on rank 0, as seen in the last iteration; -1 where it was not looked at.
    """

    name = "stuck_walkers"

    def __init__(self, scale: float = 0.0, width: int = 1, seed: int = 0) -> None:
        self.scale, self.width, self.seed = scale, width, seed
        self.n_stuck = NOT_LOOKED
        self._side = np.zeros(0, dtype=np.int64)
        self._times = np.zeros(0, dtype=np.int64)
        self._warned: int | None = None
        self._restarted = self._sources = np.zeros(0, dtype=np.int64)

    def after(self, done: Round, comm: Communicator) -> None:
        """Collective.  Look at the walkers of an iteration, warn of those that are stuck, and start some again."""
        step = done.step
        if step.walker_energies is not None:  # enumerations have none
            if warning := self.look(step.iteration, step.walker_energies, step.energy.r_hat, comm):
                warn(warning)
            done.n_stuck = self.n_stuck
            if step.iteration % STUCK_EVERY == 0:
                self._restart(step.iteration, step.state.walkers, comm)

    def _restart(self, iteration: int, walkers: Walkers, comm: Communicator) -> None:
        """Collective.  Write configurations of others over those of the walkers that start again."""
        moves = comm.broadcast_object((self._restarted, self._sources))
        if not len(moves[0]):
            return
        self._restarted = self._restarted[:0]
        spins = comm.gather(walkers.spins)  # (n_blocks, N, lanes) of all ranks
        chosen = generator(self.seed, Stream.RESTART, iteration=iteration).choice(moves[1], size=len(moves[0]))
        copies = [] if spins is None else list(spins[chosen // self.width, :, chosen % self.width])  # (N,) each
        for walker, configuration in zip(moves[0].tolist(), comm.broadcast_object(copies), strict=True):
            block = walker // self.width - walkers.first_block
            if 0 <= block < len(walkers.spins):
                walkers.spins[block, :, walker % self.width] = configuration

    def saved(self, comm: Communicator) -> Part:
        """Collective.  Its part of a checkpoint; complete on the root."""
        return {
            "side": self._side,
            "times": self._times,
            "warned": np.array([-1 if self._warned is None else self._warned]),
        }

    def restored(self, saved: SavedRun) -> None:
        """Go on as :meth:`saved` left it."""
        part: Any = saved.parts.get(self.name)
        if part:  # not of earlier versions
            self._side, self._times = part["side"].astype(np.int64), part["times"].astype(np.int64)
            warned = int(part["warned"][0])
            self._warned = None if warned < 0 else warned

    def look(self, iteration: int, energies: npt.NDArray[np.float64], r_hat: float, comm: Communicator) -> str:
        """Collective.  A warning about stuck walkers on rank 0, where one is due; empty else.

        Nothing is sent in the nine of ten iterations without a look.

        Args:
            iteration: number of the iteration.
            energies: mean local energy of each walker of this rank in this iteration, real part, (n,).
            r_hat: R-hat over all walkers.
            comm: the ranks.
        """
        self.n_stuck = NOT_LOOKED
        if iteration % STUCK_EVERY:
            return ""
        everywhere = comm.gather(np.ascontiguousarray(energies, dtype=np.float64))
        if everywhere is None:
            return ""
        found = self.judge(everywhere, r_hat)
        self.n_stuck = len(found.walkers) if found else 0
        self._restarted = found.restarted if found else self._restarted[:0]
        self._sources = np.flatnonzero((self._side == 0) & np.isfinite(everywhere))
        is_known = self._warned is not None and iteration - self._warned < STUCK_WARN_EVERY
        if found is None or (is_known and not len(found.restarted)):
            return ""
        self._warned = iteration
        return found.warning(iteration)

    def judge(self, energies: npt.NDArray[np.float64], r_hat: float) -> StuckWalkers | None:
        """Take in the mean energies of all walkers, (n,); those that were outliers three times in a row, if any."""
        side = outliers(energies, self.scale)
        if side.size != self._side.size:
            self._side, self._times = np.zeros_like(side), np.zeros_like(side)
        self._times = np.where(side == 0, 0, np.where(side == self._side, self._times + 1, 1))
        self._side = side
        walkers = np.flatnonzero(self._times >= STUCK_IN_A_ROW)
        if not walkers.size:
            return None
        theirs = energies[walkers]
        theirs = theirs[np.isfinite(theirs)]
        energy = float(theirs.mean()) if theirs.size else float("nan")
        others = float(np.median(energies[np.isfinite(energies)])) if np.isfinite(energies).any() else float("nan")
        again = np.flatnonzero((self._times >= STUCK_RESTARTED) & (side > 0)) if (side == 0).any() else walkers[:0]
        self._times[again] = 0
        return StuckWalkers(walkers, energies.size, energy, others, r_hat, again)


def outliers(energies: npt.NDArray[np.float64], scale: float = 0.0) -> npt.NDArray[np.int64]:
    """Where energies (n,) lie by those of all: +1 far above, -1 far below, 0 among them; not finite is far above.

    Far is over 8 robust standard deviations from the median: outliers move neither much while they are a small part.
    Differences far below the scale of the energies, or their median where that is larger, are none.
    """
    finite = np.isfinite(energies)
    side = np.where(finite, 0, 1)
    if finite.any():
        middle = np.median(energies[finite])
        deviation = np.where(finite, energies, middle) - middle
        typical = robust_scatter(energies[finite]) + STUCK_ROUNDING * max(abs(middle), scale)
        side += np.where(np.abs(deviation) > STUCK_DEVIATIONS * typical, np.sign(deviation), 0.0).astype(np.int64)
    return side.astype(np.int64)
