"""Statistics of correlated series: errors, autocorrelation times, agreement of chains, functions of means, fits."""

from pvmc.statistics.autocorrelation import (
    Autocorrelation,
    autocorrelation,
    autocovariance,
    bulk_sample_size,
    effective_sample_size,
    tail_sample_size,
)
from pvmc.statistics.chains import r_hat, rank_normalised_r_hat, split_r_hat
from pvmc.statistics.equilibration import drift, equilibration
from pvmc.statistics.jackknife import Jackknife, jackknife
from pvmc.statistics.linear_fit import Extrapolation, LinearFit, extrapolation, linear_fit
from pvmc.statistics.mean import Binning, Mean, binning, mean

__all__ = [
    "Autocorrelation",
    "Binning",
    "Extrapolation",
    "Jackknife",
    "LinearFit",
    "Mean",
    "autocorrelation",
    "autocovariance",
    "binning",
    "bulk_sample_size",
    "drift",
    "effective_sample_size",
    "equilibration",
    "extrapolation",
    "jackknife",
    "linear_fit",
    "mean",
    "r_hat",
    "rank_normalised_r_hat",
    "split_r_hat",
    "tail_sample_size",
]
