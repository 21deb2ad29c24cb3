"""Expectation values at parameters that stay, with their errors.

The names for observables of one's own stand here: see docs/extending.md.
"""

from pvmc.io.schema import Coordinate
from pvmc.measurement.measuring import measure
from pvmc.measurement.observable import Dataset, Findings, Frame, LocalValues, Observable, Sample, Setup, Tally
from pvmc.measurement.plan import MeasureRequest
from pvmc.measurement.registry import OBSERVABLES

__all__ = [
    "OBSERVABLES",
    "Coordinate",
    "Dataset",
    "Findings",
    "Frame",
    "LocalValues",
    "MeasureRequest",
    "Observable",
    "Sample",
    "Setup",
    "Tally",
    "measure",
]
