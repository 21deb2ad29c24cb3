"""Comparison of a whole input with exact diagonalisation: what ``pvmc validate-physics`` prints."""

from pvmc.validation.check import Check, Outcome, Report
from pvmc.validation.suite import validate_physics

__all__ = ["Check", "Outcome", "Report", "validate_physics"]
