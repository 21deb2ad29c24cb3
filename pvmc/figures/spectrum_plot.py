"""Eigenvalues of the quantum geometric tensor S, sorted, on a logarithmic axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pvmc.figures import style
from pvmc.figures.drawing import Drawing
from pvmc.figures.labels import label_ends, labelled
from pvmc.io.reader import Run

_SIZE = (114 * style.MM, 74 * style.MM)

FLOOR = 1e-16
"""Eigenvalues below this part of the largest are rounding, and drawn nowhere."""


def spectrum_drawing(runs: Sequence[Run], spectra: Mapping[str, NDArray[np.float64]]) -> Drawing:
    """Sorted eigenvalues of S, each divided by the largest, against their number as a part of all parameters.

    Args:
        runs: one curve each.
        spectra: path of each run as text -> eigenvalues (K,), descending.
    """
    labels, ordered = labelled(runs)
    with matplotlib.rc_context(style.RC):
        figure = Figure(figsize=_SIZE, layout="constrained")
        axis = figure.subplots()
        ends = []
        for index, run in enumerate(ordered):
            colour, dashes = style.curve(index)
            values = spectra[str(run.path)] / spectra[str(run.path)][0]
            x = (np.arange(len(values)) + 0.5) / len(values)
            seen = values > FLOOR
            symbol = style.marker(index) if len(values) <= 100 else ""
            axis.plot(x[seen], values[seen], color=colour, dashes=dashes or (None, None), marker=symbol, markersize=2.6)
            ends.append(float(values[seen][-1]))
        axis.set_yscale("log")
        axis.set_xlim(0, 1)
        axis.set_xlabel("Number of the eigenvalue, as a part of all $K$")
        axis.set_ylabel(r"Eigenvalue of $S$, $\lambda_k / \lambda_1$")
        texts = [f"{label}\n$K = {len(spectra[str(run.path)])}$" for label, run in zip(labels, ordered, strict=True)]
        colours = [style.curve(index)[0] for index in range(len(ordered))]
        label_ends(axis, ends, texts, colours, gap=0.13)
    columns: dict[str, Sequence[object]] = {
        "run": [run.name for run in ordered for _ in spectra[str(run.path)]],
        "number": [k + 1 for run in ordered for k in range(len(spectra[str(run.path)]))],
        "eigenvalue of S": np.concatenate([spectra[str(run.path)] for run in ordered]).tolist(),
    }
    return Drawing(figure, columns)
