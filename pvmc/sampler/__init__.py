"""Sampling |psi|^2: walkers, moves, the Metropolis algorithm, reweighting, and all configurations of small systems."""

from __future__ import annotations

from pvmc.sampler.base import Draw, Draws, Ensemble, Sampler, Samples, Walk, Walkers, advance, start
from pvmc.sampler.enumeration import Enumeration
from pvmc.sampler.growth import Growth, GrowthSpec
from pvmc.sampler.metropolis import FROZEN_STAGE, SECOND_FROZEN_STAGE, Metropolis
from pvmc.sampler.moves import Moves, MoveWeights
from pvmc.sampler.smear import Smear
from pvmc.sampler.spec import ExactSpec, MetropolisSpec, SamplerSpec
from pvmc.sampler.tempering import Tempering, TemperingSpec

__all__ = [
    "FROZEN_STAGE",
    "SECOND_FROZEN_STAGE",
    "Draw",
    "Draws",
    "Ensemble",
    "Enumeration",
    "ExactSpec",
    "Growth",
    "GrowthSpec",
    "Metropolis",
    "MetropolisSpec",
    "MoveWeights",
    "Moves",
    "Sampler",
    "SamplerSpec",
    "Samples",
    "Smear",
    "Tempering",
    "TemperingSpec",
    "Walk",
    "Walkers",
    "advance",
    "start",
]
