"""Expectation values at frozen parameters, with their errors."""

from pvmc.measurement.plan import MeasureRequest
from pvmc.measurement.registry import Observables, choose
from pvmc.measurement.spin_correlations import PairOrbits

__all__ = ["MeasureRequest", "Observables", "PairOrbits", "choose"]
