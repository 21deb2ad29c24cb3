"""The measurements that figures and tables show."""

from __future__ import annotations

from pvmc.errors import InputError
from pvmc.io.measurement import Estimate, Measurement
from pvmc.io.reader import Run

COMPONENTS = ("xx", "yy", "zz")
"""Pairs of spin components of correlations and structure factors."""


def finished(run: Run) -> list[Measurement]:
    """The measurements of a run that have come to their end, oldest first."""
    return [m for m in run.measurements if m.attributes.get("status", "finished") == "finished"]


def last_with(run: Run, prefix: str) -> tuple[Measurement, dict[str, Estimate]]:
    """The last finished measurement that holds components of a quantity, and these: component -> estimate.

    Args:
        run: the run.
        prefix: "correlation" or "structure_factor".

    Raises:
        InputError: there is none.
    """
    for measurement in reversed(finished(run)):
        found = {
            component: measurement.estimates[f"{prefix}_{component}"]
            for component in COMPONENTS
            if f"{prefix}_{component}" in measurement.estimates
        }
        if found:
            return measurement, found
    raise InputError(f"{run.path} holds no measured {prefix.replace('_', ' ')}: pvmc measure makes one")


def component_label(component: str) -> str:
    """Such as "xx" in superscript, for labels."""
    return rf"^{{{component}}}"
