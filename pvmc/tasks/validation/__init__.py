"""Comparison of a whole input with exact diagonalisation: what ``pvmc validate-physics`` prints."""

from pvmc.tasks.validation.check import Check, Outcome, Report
from pvmc.tasks.validation.suite import validate_physics

__all__ = ["Check", "Outcome", "Report", "validate_physics"]
