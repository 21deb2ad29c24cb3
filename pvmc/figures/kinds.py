"""The kinds of figures of ``pvmc plot --kind``."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pvmc.errors import InputError
from pvmc.figures.accuracy import error_alpha_drawing, variance_drawing
from pvmc.figures.convergence_plot import convergence_drawing
from pvmc.figures.correlations import correlations_drawing
from pvmc.figures.diagnostics import diagnostics_drawing, timing_drawing
from pvmc.figures.drawing import Drawing
from pvmc.figures.entanglement_plot import entanglement_drawing
from pvmc.figures.features import features_drawing
from pvmc.figures.structure_factor import structure_factor_drawing
from pvmc.io.reader import Run


def _features_of_one(runs: Sequence[Run]) -> Drawing:
    if len(runs) > 1:
        raise InputError("the filters of one run go into a figure: give one run")
    return features_drawing(runs[0])


KINDS: dict[str, Callable[[Sequence[Run]], Drawing]] = {
    "convergence": convergence_drawing,
    "error-alpha": error_alpha_drawing,
    "features": _features_of_one,
    "correlations": correlations_drawing,
    "structure-factor": structure_factor_drawing,
    "entanglement": entanglement_drawing,
    "variance": variance_drawing,
    "diagnostics": diagnostics_drawing,
    "timing": timing_drawing,
}
"""What can be drawn from the files of runs alone."""
