"""Which of the saved parameters of a run are the best to measure."""

from __future__ import annotations

import numpy as np

from pvmc.errors import InputError
from pvmc.io.reader import Run
from pvmc.results.symptom import judged


def best_iteration(run: Run) -> int:
    """The iteration with saved parameters, among the settled ones, after which the variance was smallest.

    The row of an iteration is of the parameters before its step, so that those saved after iteration p are judged by
    row p + 1.  The variance tells states of one level apart far better than the energy: its error is a part of itself.

    Raises:
        InputError: no parameters were saved within the settled iterations, but for those after the last one.
    """
    part = judged(run)
    variances = {int(run.iteration[row]): float(run.series["variance"][row]) for row in part.plateau.rows}
    found = {
        int(saved): variances[int(saved) + 1]
        for saved in run.saved_iterations()
        if np.isfinite(variances.get(int(saved) + 1, np.nan))
    }
    if not found:
        first = int(run.iteration[part.plateau.rows[0]]) if len(part.plateau.rows) else 0
        raise InputError(
            f"--iteration best: {run.path} has no saved parameters between iteration {first}, from which on it is "
            "averaged, and the last but one; a smaller run.save_every saves more"
        )
    return min(found, key=lambda iteration: found[iteration])
