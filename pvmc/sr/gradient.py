"""Steps along the force alone, without S: what stochastic reconfiguration is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pvmc.errors import NumericalError, on_every_rank
from pvmc.estimators import Moments
from pvmc.mpi import Communicator
from pvmc.sr.optimizers import Adam, Momentum, Optimizer, SteepestDescent
from pvmc.sr.step import NO_DAMPING, NOTHING, Damping, Memory, Step

if TYPE_CHECKING:
    from pvmc.sr.spec import SRSpec


@dataclass(frozen=True)
class GradientDescent:
    """theta <- theta - gamma times F, or times what momentum or Adam make of it.

    The gradient of the energy is 2 F; the factor is left to gamma.

    Attributes:
        spec: method, learning rate and mean_decay.
    """

    spec: SRSpec

    keeps_rows, keeps_spins, is_second_order = True, False, False

    def solve(
        self,
        moments: Moments,
        iteration: int,
        comm: Communicator,
        damping: Damping = NO_DAMPING,
        *,
        memory: Memory = NOTHING,
    ) -> Step:
        """Collective. The step; ``direction`` is what takes the place of S^-1 F."""
        assert moments.rows is not None, "the rows are kept"
        force = np.ascontiguousarray(moments.rows.force)
        with on_every_rank():
            if not np.all(np.isfinite(force)):
                raise NumericalError("F is not finite: psi left the range of numbers; lower sr.learning_rate")
        optimizer = self._optimizer(len(force.view(np.float64)))
        if memory:
            optimizer.memory = dict(memory)
        direction = -optimizer.change(force.view(np.float64), 1.0).view(force.dtype)
        _, square = moments.rows.metric_times(direction)
        rate = self.spec.gamma(iteration) * damping.rate_factor
        return Step(
            direction=direction,
            learning_rate=rate,
            shift=0.0,
            residual=0.0,
            n_frozen=0,
            force_norm=float(np.linalg.norm(force)),
            angle=rate * float(np.sqrt(max(0.0, square))),
            memory=optimizer.memory,
        )

    def corrected(
        self, first: Step, moments: Moments, iteration: int, comm: Communicator, damping: Damping, memory: Memory
    ) -> Step:
        """The first step as it is: steps along the force are of first order."""
        return first

    def _optimizer(self, n: int) -> Optimizer:
        match self.spec.method:
            case "momentum":
                return Momentum(self.spec.mean_decay, n)
            case "adam":
                return Adam(self.spec.mean_decay, n)
            case _:
                return SteepestDescent()
