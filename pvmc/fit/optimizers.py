"""From gradients to changes of the parameters.

Parameters and gradients are real vectors here: complex ones are seen as real and imaginary parts in turn.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class Optimizer(Protocol):
    """Keeps what it remembers of the gradients before."""

    def change(self, gradient: Floats, rate: float) -> Floats:
        """What to add to the parameters.

        Args:
            gradient: of the cost, float64 (n,).
            rate: step size.
        """
        ...


class SteepestDescent:
    """-rate times the gradient; with minibatches, stochastic gradient descent."""

    def change(self, gradient: Floats, rate: float) -> Floats:
        """What to add to the parameters."""
        return -rate * gradient


class Momentum:
    """-rate v with v <- m v + gradient (Polyak, USSR Comput. Math. Math. Phys. 4, 1 (1964))."""

    def __init__(self, momentum: float, n_parameters: int):
        """Starts at rest; ``momentum`` is m."""
        self.momentum = momentum
        self._velocity = np.zeros(n_parameters)

    def change(self, gradient: Floats, rate: float) -> Floats:
        """What to add to the parameters."""
        self._velocity = self.momentum * self._velocity + gradient
        return -rate * self._velocity


class Adam:
    """Steps of about the rate, whatever the scale of the gradient (Kingma, Ba, arXiv:1412.6980, algorithm 1)."""

    SQUARE_DECAY = 0.999
    SMALLEST = 1e-8

    def __init__(self, mean_decay: float, n_parameters: int):
        """Starts without memory; ``mean_decay`` is beta_1."""
        self.mean_decay = mean_decay
        self._mean = np.zeros(n_parameters)
        self._square = np.zeros(n_parameters)
        self._steps = 0

    def change(self, gradient: Floats, rate: float) -> Floats:
        """What to add to the parameters."""
        self._steps += 1
        self._mean += (1.0 - self.mean_decay) * (gradient - self._mean)
        self._square += (1.0 - self.SQUARE_DECAY) * (gradient**2 - self._square)
        mean = self._mean / (1.0 - self.mean_decay**self._steps)
        square = self._square / (1.0 - self.SQUARE_DECAY**self._steps)
        return -rate * mean / (np.sqrt(square) + self.SMALLEST)
