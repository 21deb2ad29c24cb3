"""The energy at other parameters from configurations that have been sampled already, by reweighting."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pvmc.errors import on_every_rank
from pvmc.estimators.local import Estimates, local_energy
from pvmc.hamiltonians import Operator
from pvmc.mpi import Communicator
from pvmc.numerics.arrays import Floats, Numbers, Spins
from pvmc.numerics.exact_sums import sum_of_blocks
from pvmc.wavefunctions.base import Ansatz, WaveFunction


@dataclass(frozen=True)
class ReweightedChange:
    """The energy at theta' by configurations drawn at theta.

    Attributes:
        change: of the energy, E(theta') - E(theta), both from the same configurations, so that most of their noise
            cancels.
        effective_part: <w>^2 / <w^2> over |psi|^2 of the weights w = |psi'/psi|^2, (sum w)^2 / (n sum w^2) for samples
            that weigh the same: 1 where both states are the same, and less otherwise; far below 1/2 the change is not
            reliable.
    """

    change: float
    effective_part: float


class Reweighting:
    """Energies at other parameters on the configurations of one iteration.

    Args:
        estimates: local energies and configurations of this rank.
        theta: the parameters that they were drawn at.
        ansatz: the family of wave functions.
        operator: the Hamiltonian.
        comm: the ranks.
    """

    def __init__(self, estimates: Estimates, theta: Numbers, ansatz: Ansatz, operator: Operator, comm: Communicator):
        self._estimates, self._theta, self._ansatz = estimates, theta, ansatz
        self._operator, self._comm = operator, comm

    @cached_property
    def _logarithms(self) -> Floats:
        """ln |psi|^2 at theta, float64 (n_blocks n_draws, L)."""
        psi = self._ansatz.at(self._theta)
        return np.array([2.0 * psi.log_psi(spins).real for spins in self._draws()])

    def change(self, shift: Numbers) -> ReweightedChange:
        """Collective. The energy at theta + shift against that at theta; the same bits at any number of ranks.

        Raises:
            NumericalError: psi at theta + shift is out of the range of numbers; on every rank.
        """
        with on_every_rank():
            psi = self._ansatz.at(self._theta + shift)
        logarithms, energies = [], []
        for spins in self._draws():
            logarithm, lookup = _log_psi_and_lookup(psi, spins)
            logarithms.append(2.0 * logarithm.real)
            energies.append(local_energy(self._operator, psi, spins, lookup).real)
        weights = self._by_draw(
            np.ones(self._estimates.energies.shape) if (w := self._estimates.weights) is None else w
        )
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            # The weights belong to what is compared: the largest gain alone may be that of a configuration without any.
            # Nor does one of smeared draws where psi vanished.
            alive = (weights > 0) & np.isfinite(self._logarithms)
            gain = np.where(alive, np.array(logarithms) - self._logarithms + np.log(weights), -np.inf)
            largest = self._comm.max(np.array([np.max(gain)]))[0]
            factors = np.exp(gain - largest)
            squares = np.where(factors > 0, factors**2 / weights, 0.0)
        before = np.where(weights > 0, self._by_draw(self._estimates.energies.real), 0.0)
        after = np.where(factors > 0, np.array(energies), 0.0)
        n, energy, total, weighted, square = self._summed(
            [weights, weights * before, factors, factors * after, squares]
        )
        part = total**2 / (n * square)
        return ReweightedChange(weighted / total - energy / n, part if math.isfinite(part) else 0.0)

    def _draws(self) -> Iterator[Spins]:
        spins = self._estimates.spins
        assert spins is not None, "the configurations are kept"
        for block in range(spins.shape[0]):
            for draw in range(spins.shape[1]):
                yield spins[block, draw]

    def _by_draw(self, values: Numbers) -> Numbers:
        """(n_blocks n_draws, L) from (n_draws, n_blocks L)."""
        n_draws, n_blocks = len(values), self._estimates.n_blocks
        return np.asarray(values.reshape(n_draws, n_blocks, -1).transpose(1, 0, 2).reshape(n_draws * n_blocks, -1))

    def _summed(self, parts: list[Floats]) -> list[float]:
        """Collective. The sums over all configurations of all ranks."""
        rows = np.stack([part.reshape(self._estimates.n_blocks, -1).sum(axis=1) for part in parts], axis=1)
        found: list[float] = sum_of_blocks(rows, self._comm, exact=True).tolist()
        return found


def _log_psi_and_lookup(psi: WaveFunction, spins: Spins) -> tuple[Numbers, Floats]:
    """ln psi, (L,), and the look-up, (Q, L); in one go where psi offers it."""
    if hasattr(psi, "log_psi_and_lookup"):
        logarithm, lookup = psi.log_psi_and_lookup(spins)
        return logarithm, lookup
    return psi.log_psi(spins), psi.lookup(spins)
