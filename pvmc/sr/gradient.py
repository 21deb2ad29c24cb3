"""Steps without S: optimisers of a real vector, and steps along the force, which reconfiguration is compared with.

Optimisers take parameters and gradients as real vectors: complex ones are seen as real and imaginary parts in turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pvmc.errors import NumericalError, on_every_rank
from pvmc.estimators import Moments
from pvmc.mpi import Communicator
from pvmc.numerics.arrays import Floats
from pvmc.sr.spec import SRSpec
from pvmc.sr.step import NO_DAMPING, NOTHING, Damping, Memory, Step


class Optimizer(Protocol):
    """An optimiser with a memory of earlier gradients.

    Attributes:
        memory: all of it, arrays by name; another optimiser that is given it continues in its place.
    """

    memory: dict[str, Floats]

    def change(self, gradient: Floats, rate: float) -> Floats:
        """The change of the parameters, float64 (n,).

        Args:
            gradient: of the cost, float64 (n,).
            rate: step size.
        """
        ...


class SteepestDescent:
    """-rate times the gradient; with samples or minibatches, stochastic gradient descent."""

    def __init__(self) -> None:
        """Start without memory."""
        self.memory: dict[str, Floats] = {}

    def change(self, gradient: Floats, rate: float) -> Floats:
        """The change of the parameters."""
        return -rate * gradient


class Momentum:
    """-rate v with v <- m v + gradient (Polyak, USSR Comput. Math. Math. Phys. 4, 1 (1964))."""

    def __init__(self, momentum: float, n_parameters: int):
        """Start with v = 0; ``momentum`` is m."""
        self.momentum = momentum
        self.memory = {"velocity": np.zeros(n_parameters)}

    def change(self, gradient: Floats, rate: float) -> Floats:
        """The change of the parameters."""
        velocity = self.momentum * self.memory["velocity"] + gradient
        self.memory = {"velocity": velocity}
        return -rate * velocity


class Adam:
    """Steps of about the rate, whatever the scale of the gradient (Kingma, Ba, arXiv:1412.6980, algorithm 1)."""

    SQUARE_DECAY = 0.999
    SMALLEST = 1e-8  # epsilon, here relative to the largest sqrt(v): energies may have any unit

    def __init__(self, mean_decay: float, n_parameters: int):
        """Start with means of 0; ``mean_decay`` is beta_1."""
        self.mean_decay = mean_decay
        self.memory = {"mean": np.zeros(n_parameters), "square": np.zeros(n_parameters), "steps": np.zeros(1)}

    def change(self, gradient: Floats, rate: float) -> Floats:
        """The change of the parameters."""
        mean, square, steps = (self.memory[name] for name in ("mean", "square", "steps"))
        mean = mean + (1.0 - self.mean_decay) * (gradient - mean)
        square = square + (1.0 - self.SQUARE_DECAY) * (gradient**2 - square)
        steps = steps + 1.0
        self.memory = {"mean": mean, "square": square, "steps": steps}
        mean = mean / (1.0 - self.mean_decay**steps)
        square = square / (1.0 - self.SQUARE_DECAY**steps)
        sizes = np.sqrt(square)
        return -rate * mean / (sizes + max(self.SMALLEST * float(sizes.max()), np.finfo(np.float64).tiny))


@dataclass(frozen=True)
class GradientDescent:
    """theta <- theta - gamma times F, or times the mean of F by momentum or Adam.

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
        """Collective. The step; ``direction`` stands in the place of S^-1 F."""
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
