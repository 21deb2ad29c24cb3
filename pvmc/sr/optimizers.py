"""From gradients to changes of the parameters: what does without S.

Parameters and gradients are real vectors here: complex ones are seen as real and imaginary parts in turn.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from pvmc.numerics.arrays import Floats


class Optimizer(Protocol):
    """Keeps what it remembers of the gradients before.

    Attributes:
        memory: all of it, arrays of numbers by name; another optimiser that is given it goes on in its place.
    """

    memory: dict[str, Floats]

    def change(self, gradient: Floats, rate: float) -> Floats:
        """What to add to the parameters.

        Args:
            gradient: of the cost, float64 (n,).
            rate: step size.
        """
        ...


class SteepestDescent:
    """-rate times the gradient; with samples or minibatches, stochastic gradient descent."""

    def __init__(self) -> None:
        """Remembers nothing."""
        self.memory: dict[str, Floats] = {}

    def change(self, gradient: Floats, rate: float) -> Floats:
        """What to add to the parameters."""
        return -rate * gradient


class Momentum:
    """-rate v with v <- m v + gradient (Polyak, USSR Comput. Math. Math. Phys. 4, 1 (1964))."""

    def __init__(self, momentum: float, n_parameters: int):
        """Starts at rest; ``momentum`` is m."""
        self.momentum = momentum
        self.memory = {"velocity": np.zeros(n_parameters)}

    def change(self, gradient: Floats, rate: float) -> Floats:
        """What to add to the parameters."""
        velocity = self.momentum * self.memory["velocity"] + gradient
        self.memory = {"velocity": velocity}
        return -rate * velocity


class Adam:
    """Steps of about the rate, whatever the scale of the gradient (Kingma, Ba, arXiv:1412.6980, algorithm 1)."""

    SQUARE_DECAY = 0.999
    SMALLEST = 1e-8  # epsilon, here relative to the largest sqrt(v): energies may have any unit

    def __init__(self, mean_decay: float, n_parameters: int):
        """Starts without memory; ``mean_decay`` is beta_1."""
        self.mean_decay = mean_decay
        self.memory = {"mean": np.zeros(n_parameters), "square": np.zeros(n_parameters), "steps": np.zeros(1)}

    def change(self, gradient: Floats, rate: float) -> Floats:
        """What to add to the parameters."""
        mean, square, steps = (self.memory[name] for name in ("mean", "square", "steps"))
        mean = mean + (1.0 - self.mean_decay) * (gradient - mean)
        square = square + (1.0 - self.SQUARE_DECAY) * (gradient**2 - square)
        steps = steps + 1.0
        self.memory = {"mean": mean, "square": square, "steps": steps}
        mean = mean / (1.0 - self.mean_decay**steps)
        square = square / (1.0 - self.SQUARE_DECAY**steps)
        sizes = np.sqrt(square)
        return -rate * mean / (sizes + max(self.SMALLEST * float(sizes.max()), np.finfo(np.float64).tiny))
