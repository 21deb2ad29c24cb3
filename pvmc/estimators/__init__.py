"""Estimators: local energies and log-derivatives of a rank, and their moments over all ranks."""

from pvmc.estimators.energy import EnergyStatistics
from pvmc.estimators.local import Estimates, estimate, local_energy
from pvmc.estimators.moments import Moments, reduce_moments
from pvmc.estimators.reweighting import Reweighting
from pvmc.estimators.rows import Rows
from pvmc.estimators.smeared import Leak, LeakTest

__all__ = [
    "EnergyStatistics",
    "Estimates",
    "Leak",
    "LeakTest",
    "Moments",
    "Reweighting",
    "Rows",
    "estimate",
    "local_energy",
    "reduce_moments",
]
