"""Sampling |psi|^2: walkers, moves, the Metropolis algorithm, and the enumeration of all configurations."""

from __future__ import annotations

from pvmc.sampler.enumeration import Enumeration
from pvmc.sampler.metropolis import Metropolis
from pvmc.sampler.moves import Moves, MoveWeights
from pvmc.sampler.samples import Sampler, Samples
from pvmc.sampler.spec import ExactSpec, MetropolisSpec, SamplerSpec
from pvmc.sampler.tempering import Tempering, TemperingSpec
from pvmc.sampler.walkers import Ensemble, Walkers, start

__all__ = [
    "Ensemble",
    "Enumeration",
    "ExactSpec",
    "Metropolis",
    "MetropolisSpec",
    "MoveWeights",
    "Moves",
    "Sampler",
    "SamplerSpec",
    "Samples",
    "Tempering",
    "TemperingSpec",
    "Walkers",
    "start",
]
