"""Estimators: local energies and log-derivatives of a rank, and their moments over all ranks."""

from pvmc.estimators.leak import Leak, LeakTest
from pvmc.estimators.local import Batch, estimate, local_energy
from pvmc.estimators.moments import Moments, reduce_moments
from pvmc.estimators.rows import Rows
from pvmc.estimators.statistics import EnergyStatistics
from pvmc.estimators.trial import Trial

__all__ = [
    "Batch",
    "EnergyStatistics",
    "Leak",
    "LeakTest",
    "Moments",
    "Rows",
    "Trial",
    "estimate",
    "local_energy",
    "reduce_moments",
]
