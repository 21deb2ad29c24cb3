"""What ``pvmc measure`` has found: estimates with their errors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True)
class Estimate:
    """An expectation value.

    Attributes:
        value: a number, or an array float64.
        error: its standard error, of the same shape.
        units: units of both; "1" for none.
        dims: names of the axes, () for a number.
    """

    value: float | NDArray[Any]
    error: float | NDArray[Any]
    units: str = "1"
    dims: tuple[str, ...] = ()


COORDINATE_AXES = {"displacement": "displacement", "distance": "displacement", "momentum": "momentum"}
"""The axis that a coordinate belongs to; one that is not named here has an axis of its own name."""


@dataclass(frozen=True)
class Measurement:
    """What one call of ``pvmc measure`` found.

    Attributes:
        number: its number, from 1.
        attributes: iteration, n_samples, seed, status and others.
        estimates: expectation values by name.
        coordinates: arrays along the named axes, such as displacement (n, d), distance (n,) and momentum (n_k, d).
    """

    number: int
    attributes: dict[str, Any]
    estimates: dict[str, Estimate] = field(default_factory=dict)
    coordinates: dict[str, NDArray[Any]] = field(default_factory=dict)
