"""Figures of fits: how cost and infidelity fall with the epoch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from pvmc.errors import InputError
from pvmc.figures import style
from pvmc.figures.drawing import save
from pvmc.io.fit_file import Fit

_HEIGHT = 64 * style.MM


def fit_convergence(
    fits: Sequence[Fit], output: str | os.PathLike[str], formats: Sequence[str] = ("png", "pdf")
) -> list[Path]:
    """Draws :func:`fit_figure` into files, one per format.

    Raises:
        InputError: see :func:`fit_figure`.
        StorageError: a file cannot be written.
    """
    return save(fit_figure(fits), output, formats)


def fit_figure(fits: Sequence[Fit]) -> Figure:
    """(a) the cost and (b) the infidelity 1 - F against the epoch, on logarithmic axes, one curve per fit.

    The start is drawn at epoch 0.5, since a logarithmic axis has no 0.

    Raises:
        InputError: no fits.
    """
    if not fits:
        raise InputError("no fits to plot")
    with matplotlib.rc_context(style.RC):
        figure = Figure(figsize=(style.PAGE_WIDTH, _HEIGHT), layout="constrained")
        axes = figure.subplots(1, 2)
        labels = (r"Cost, $\frac{1}{2}\langle|\ln\psi-\ln\phi|^2\rangle$", r"Infidelity, $1 - F$")
        for axis, name, label, letter in zip(axes, ("cost", "infidelity"), labels, "ab", strict=True):
            for index, fit in enumerate(fits):
                colour, dashes = style.curve(index)
                values = np.where(fit.series[name] > 0, fit.series[name], np.nan)
                title = fit.name.lstrip("_").replace("$", r"\$")
                axis.plot(np.maximum(fit.series["epoch"], 0.5), values, color=colour, dashes=dashes, label=title)
            axis.set_xscale("log")
            axis.set_yscale("log")
            axis.set_xlabel("Epoch")
            axis.set_ylabel(label)
            axis.text(0.97, 0.96, f"({letter})", transform=axis.transAxes, ha="right", va="top")
        axes[0].legend(loc="lower left")
    return figure
