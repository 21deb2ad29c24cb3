"""Measured Renyi-2 entropies against the size of the region."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from pvmc.errors import InputError
from pvmc.figures import style
from pvmc.figures.drawing import Drawing
from pvmc.figures.style import labelled
from pvmc.io.reader import Run
from pvmc.results.measured import finished

_SIZE = (108 * style.MM, 70 * style.MM)

NO_ENTROPY = 1e-12
"""Entropy (in nats) up to which a state is a product state: rounding of -ln of a mean of ones."""


class EntropyCurve:
    """S_2 of the regions of one run.

    Attributes:
        run, label: what it is of.
        size: int64 (n,), number of sites in each region, ascending.
        value, error: float64 (n,), in nats.
    """

    def __init__(self, run: Run, label: str):
        size, value, error = _last_measured(run)
        order = np.argsort(size, kind="stable")
        self.run, self.label = run, label
        self.size, self.value, self.error = size[order], value[order], error[order]


def entanglement_drawing(runs: Sequence[Run]) -> Drawing:
    """S_2 = -ln Tr rho_A^2 of the last measurement of each run against the number of sites in A, one curve per run.

    Bars are one standard error.  Lines join the means over regions of one size.

    Raises:
        InputError: a run without a measured entropy of several regions.
    """
    labels, ordered = labelled(runs)
    curves = [EntropyCurve(run, label) for run, label in zip(ordered, labels, strict=True)]
    with matplotlib.rc_context(style.RC):
        figure = Figure(figsize=_SIZE, layout="constrained")
        axis = figure.subplots()
        for index, curve in enumerate(curves):
            _draw(axis, curve, index)
        largest = max(int(curve.size[-1]) for curve in curves)
        axis.set_xlim(0, largest + 1)
        axis.set_ylim(0, 1.08 * _highest(curves))
        axis.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        axis.set_xlabel("Sites in region $A$")
        axis.set_ylabel("$S_2$ (nats)")
        if len(curves) > 1:
            axis.legend(loc="lower center", ncols=1 + len(curves) // 4)
    return Drawing(figure, _columns(curves))


def _highest(curves: Sequence[EntropyCurve]) -> float:
    """The upper end of the highest bar; ln 2, one bit, where all entropies are zero."""
    highest = max(float((curve.value + curve.error).max()) for curve in curves)
    return highest if highest > NO_ENTROPY else math.log(2.0)


def _draw(axis: Axes, curve: EntropyCurve, index: int) -> None:
    colour, dashes = style.curve(index)
    sizes, place = np.unique(curve.size, return_inverse=True)
    means = np.bincount(place, curve.value) / np.bincount(place)
    axis.plot(sizes, means, color=colour, dashes=dashes or (None, None), linewidth=0.7)
    axis.errorbar(
        *(curve.size, curve.value, curve.error), fmt=style.marker(index), color=colour, markersize=3.8, capsize=1.5,
        label=curve.label,
    )  # fmt: skip


def _last_measured(run: Run) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Sizes of the regions, entropies and errors of the last finished measurement that has them, (n,) each."""
    for measurement in reversed(finished(run)):
        found, sizes = measurement.estimates.get("renyi2"), measurement.coordinates.get("region_size")
        if found is not None and sizes is not None and found.dims == ("region",):
            value, error = np.asarray(found.value, dtype=np.float64), np.asarray(found.error, dtype=np.float64)
            known = np.isfinite(value) & np.isfinite(error)
            if known.any():
                return np.asarray(sizes, dtype=np.int64)[known], value[known], error[known]
    raise InputError(f"{run.path} holds no measured entropy of regions: pvmc measure makes one")


def _columns(curves: Sequence[EntropyCurve]) -> dict[str, Sequence[object]]:
    return {
        "run": [curve.run.name for curve in curves for _ in curve.size],
        "sites in region": np.concatenate([curve.size for curve in curves]).tolist(),
        "Renyi-2 entropy [nats]": np.concatenate([curve.value for curve in curves]).tolist(),
        "its standard error [nats]": np.concatenate([curve.error for curve in curves]).tolist(),
    }
