"""The measurements that figures and tables show."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pvmc.errors import InputError
from pvmc.io.measurement import Measurement
from pvmc.io.reader import Run

COMPONENTS = ("xx", "yy", "zz")
"""Pairs of spin components of correlations and structure factors."""


class Values(NamedTuple):
    """An array that was measured, float64, and its standard error, of the same shape."""

    value: NDArray[np.float64]
    error: NDArray[np.float64]


def finished(run: Run) -> list[Measurement]:
    """The measurements of a run that have come to their end, oldest first."""
    return [m for m in run.measurements if m.attributes.get("status", "finished") == "finished"]


def last_with(run: Run, prefix: str) -> tuple[Measurement, dict[str, Values]]:
    """The last finished measurement that holds components of a quantity, and these: component -> values.

    Args:
        run: the run.
        prefix: "correlation" or "structure_factor".

    Raises:
        InputError: there is none.
    """
    for measurement in reversed(finished(run)):
        found = {
            component: _values(measurement, f"{prefix}_{component}")
            for component in COMPONENTS
            if f"{prefix}_{component}" in measurement.estimates
        }
        if found:
            return measurement, found
    raise InputError(f"{run.path} holds no measured {prefix.replace('_', ' ')}: pvmc measure makes one")


def _values(measurement: Measurement, name: str) -> Values:
    estimate = measurement.estimates[name]
    return Values(np.asarray(estimate.value, dtype=np.float64), np.asarray(estimate.error, dtype=np.float64))
