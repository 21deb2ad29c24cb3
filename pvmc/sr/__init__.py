"""Stochastic reconfiguration: from the moments of an iteration to the step of the parameters."""

from __future__ import annotations

from pvmc.planning.solver_costs import SolverName
from pvmc.sr.gradient import GradientDescent
from pvmc.sr.reconfiguration import Reconfiguration
from pvmc.sr.spec import Schedule, SRSpec, resolve
from pvmc.sr.step import NO_DAMPING, NOTHING, ConstantDamping, Damping, Memory, Solver, Step

__all__ = [
    "NOTHING",
    "NO_DAMPING",
    "ConstantDamping",
    "Damping",
    "Memory",
    "Reconfiguration",
    "SRSpec",
    "Schedule",
    "Solver",
    "Step",
    "build_solver",
    "resolve",
]


def build_solver(spec: SRSpec, linear: SolverName = "dense") -> Solver:
    """The solver of a section [sr]; ``linear`` is what solves its linear problem."""
    return GradientDescent(spec) if spec.method != "reconfiguration" else Reconfiguration(spec, linear)
