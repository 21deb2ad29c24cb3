"""Supervised learning: an ansatz fitted to given amplitudes."""

from pvmc.fit.cost import Gradient, evaluate, gradient
from pvmc.fit.data import DataSet, enumerated, from_file, logarithms, product_state, sampled
from pvmc.fit.loop import EpochRecord, FitSpec, iterate_epochs

__all__ = [
    "DataSet",
    "EpochRecord",
    "FitSpec",
    "Gradient",
    "enumerated",
    "evaluate",
    "from_file",
    "gradient",
    "iterate_epochs",
    "logarithms",
    "product_state",
    "sampled",
]
