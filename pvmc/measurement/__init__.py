"""Expectation values at frozen parameters, with their errors."""

from pvmc.measurement.observables import Observables, choose
from pvmc.measurement.pairs import PairOrbits
from pvmc.measurement.request import MeasureRequest

__all__ = ["MeasureRequest", "Observables", "PairOrbits", "choose"]
