"""When a measurement is over."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pvmc.estimators import EnergyStatistics
from pvmc.measurement.plan import MeasureRequest
from pvmc.statistics.thresholds import FEWEST_DRAWS

DEFAULT_BATCHES = 100
"""Batches of draws, each of ``sampler.samples`` configurations, unless told otherwise."""

MOST_SAMPLES = 10_000_000
"""Configurations after which a measurement until an error gives up, unless told otherwise."""


@dataclass(frozen=True)
class Goal:
    """When a measurement is over.

    Attributes:
        samples: configurations that were asked for, the most of them with ``until_error``.
        batches: the most batches.
        until_error: error of the energy per site; None for all batches.
    """

    samples: int
    batches: int
    until_error: float | None

    @classmethod
    def of(cls, request: MeasureRequest, stored: Mapping[str, Any], batch_samples: int) -> Goal:
        """What was asked for; where a measurement goes on and nothing is said, what it was asked for before."""
        samples, until_error = request.samples, request.until_error
        if samples is None and until_error is None and stored:
            samples, until_error = int(stored["samples"]), stored.get("until_error")
        if samples is None:
            samples = DEFAULT_BATCHES * batch_samples if until_error is None else MOST_SAMPLES
        return cls(samples, math.ceil(samples / batch_samples), until_error)

    def reached(self, energy: EnergyStatistics, draws: int, n_sites: int) -> bool:
        """Whether the error is small enough."""
        return self.until_error is not None and draws >= FEWEST_DRAWS and energy.error / n_sites <= self.until_error
