"""Supervised learning: an ansatz fitted to given amplitudes."""

from pvmc.fit.cost import Gradient, evaluate, gradient
from pvmc.fit.data import DataSet, enumerated, from_file, logarithms, product_state, sampled
from pvmc.fit.loop import EpochRecord, FitSpec, iterate_epochs
from pvmc.sr.gradient import Adam, Momentum, Optimizer, SteepestDescent

__all__ = [
    "Adam",
    "DataSet",
    "EpochRecord",
    "FitSpec",
    "Gradient",
    "Momentum",
    "Optimizer",
    "SteepestDescent",
    "enumerated",
    "evaluate",
    "from_file",
    "gradient",
    "iterate_epochs",
    "logarithms",
    "product_state",
    "sampled",
]
