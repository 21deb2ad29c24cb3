"""The last part of a run, which warnings judge, and what is wrong with it: symptoms."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pvmc.errors import InputError
from pvmc.io.reader import Run
from pvmc.results.plateau import Plateau, plateau_of
from pvmc.statistics.thresholds import CONSTANT_ENERGY, FEWEST_JUDGED


@dataclass(frozen=True)
class Symptom:
    """One sign that the numbers of a run are not to be trusted.

    Attributes:
        name: one or two words, for a column.
        text: what was seen, and the key to change.
    """

    name: str
    text: str


@dataclass(frozen=True)
class Judged:
    """The last part of a run, over which its energy is averaged: what warnings judge.

    Attributes:
        run: the run.
        plateau: mean energy per site, its error, and the rows of the series that are averaged.
    """

    run: Run
    plateau: Plateau

    @property
    def last(self) -> int:
        """Number of iterations from the first averaged one on, also of those without an energy that is finite; the
        second half of a run without any energy."""
        done, first = len(self.run.iteration), self.plateau.first
        return (done + 1) // 2 if first is None else done - first

    @property
    def is_enough(self) -> bool:
        """True where means are judged: of a few iterations, or of the one of an imported state with many draws."""
        return self.last >= FEWEST_JUDGED or (self.plateau.n == 1 and self.plateau.settled)

    @property
    def is_constant(self) -> bool:
        """True where the local energy hardly varies over the configurations: then no walker can be judged by it."""
        variance = self.mean("variance")
        scale = max(abs(self.plateau.value) * self.run.n_sites, self.run.radius)
        return variance is not None and variance <= (CONSTANT_ENERGY * scale) ** 2

    @property
    def is_eigenstate(self) -> bool:
        """True where the iterations have no variance at all, and all of them one energy."""
        return self.plateau.rule == "eigenstate"

    @property
    def draws(self) -> float:
        """Draws of each walker in an iteration; NaN where walkers or samples are not known."""
        walkers, samples = self.run.config.get("sampler", {}).get("walkers"), self.mean("n_samples")
        return samples / walkers if walkers and samples else math.nan

    @property
    def r_hat(self) -> float | None:
        """Median of R-hat over the iterations in which it is finite, None where it is in none: what is judged.

        Of the few draws of an iteration R-hat has spikes, which a mean is made of; a single one says little.
        """
        values = self.series("r_hat")
        values = values[np.isfinite(values)]
        return float(np.median(values)) if values.size else None

    def series(self, name: str) -> NDArray[Any]:
        """All entries of a series in this part, (last,)."""
        values: NDArray[Any] = self.run.series[name]
        return values[max(0, values.size - self.last) :]

    def mean(self, name: str) -> float | None:
        """Mean of a series over the rows in which it was measured; None where it was in none of them."""
        series: NDArray[Any] = self.run.series[name]
        values = series[self.plateau.rows].astype(np.float64)
        values = values[np.isfinite(values) & ((values >= 0) | (series.dtype.kind == "f"))]
        return float(values.mean()) if values.size else None


def judged(run: Run) -> Judged:
    """The part of a run that warnings judge: that of its plateau, the same for every command."""
    return Judged(run, plateau_of(run))


Signs = Callable[[Judged], Iterator[Symptom]]
"""One kind of symptom: those of a part of a run, usually none or one."""


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
