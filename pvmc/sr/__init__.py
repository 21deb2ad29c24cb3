"""Stochastic reconfiguration: from the moments of an iteration to the step of the parameters."""

from __future__ import annotations

from pvmc.planning.sizes import Sizes
from pvmc.sr.choice import Choice, resolve
from pvmc.sr.reconfiguration import Reconfiguration
from pvmc.sr.schedule import Schedule
from pvmc.sr.spec import SRSpec
from pvmc.sr.step import NO_DAMPING, NOTHING, Damping, Memory, Solver, Step

__all__ = [
    "NO_DAMPING",
    "NOTHING",
    "Damping",
    "Choice",
    "Memory",
    "Reconfiguration",
    "SRSpec",
    "Schedule",
    "Sizes",
    "Solver",
    "Step",
    "resolve",
]
