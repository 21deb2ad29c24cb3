"""Sampling |psi|^2: walkers, moves, the Metropolis algorithm, reweighting, and all configurations of small systems."""

from __future__ import annotations

from pvmc.sampler.base import Draw, Draws, Sampler, Samples, Walk, advance
from pvmc.sampler.enumeration import Enumeration
from pvmc.sampler.growth import Growth, GrowthSpec
from pvmc.sampler.metropolis import FROZEN_STAGE, SECOND_FROZEN_STAGE, Metropolis
from pvmc.sampler.moves import Moves, MoveWeights
from pvmc.sampler.smear import Smear
from pvmc.sampler.spec import ExactSpec, MetropolisSpec, SamplerSpec
from pvmc.sampler.tempering import Tempering, TemperingSpec
from pvmc.sampler.walkers import Ensemble, Walkers, start

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
