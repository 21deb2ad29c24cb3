"""When a run is good enough: criteria on its last iterations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from pvmc.config import Section
from pvmc.statistics import binning, mean
from pvmc.statistics.thresholds import WINDOW_DRIFT, rounding_of
from pvmc.vmc.recent import Recent


class ConvergenceSpec(Section):
    """A run stops early, as finished, when all the criteria that are given hold over its last iterations."""

    window: int = Field(default=100, ge=16)
    """iterations over which the criteria must hold"""
    error: float | None = Field(default=None, gt=0.0)
    """largest standard error of the mean E/N over the window, its iterations' correlation accounted for"""
    variance: float | None = Field(default=None, gt=0.0)
    """largest mean of variance/N over the window, in squared units of energy per site"""
    v_score: float | None = Field(default=None, gt=0.0)
    """largest mean V-score over the window, N variance / (E - E_inf)^2"""

    @model_validator(mode="after")
    def _some_criterion(self) -> ConvergenceSpec:
        if self.error is None and self.variance is None and self.v_score is None:
            raise ValueError("must give at least one of error, variance and v_score")
        return self


class Convergence:
    """Whether a run has converged, from the last ``window`` iterations alone.

    What it says is a function of those iterations' numbers, so that a resumed run, which has read them back
    (:meth:`replay`), stops at the same iteration as one that was never interrupted.

    Args:
        spec: the criteria.
        n_sites: N; energies go in as totals and are compared per site.
    """

    def __init__(self, spec: ConvergenceSpec, n_sites: int):
        self.spec, self.n_sites = spec, n_sites
        self._recent = Recent(("energy", "variance", "v_score"), spec.window)

    def observe(self, iteration: int, energy: float, variance: float, v_score: float) -> None:
        """Take in one iteration.

        An iteration that is not later than those seen replaces them from there on: the run went back.  One whose
        numbers are not finite does not count.

        Args:
            iteration: its number.
            energy: total energy, real part.
            variance: variance of the Hamiltonian, of all sites.
            v_score: V-score.
        """
        self._recent.add(iteration, energy, variance, v_score)

    def replay(self, series: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take in the iterations of a results file, by the names of its series: as if they had been observed."""
        self._recent.replay(series)

    def reached(self) -> str:
        """What holds, in words, where all criteria do; empty where one does not.

        The energy's error counts only where the means of the window's two halves agree within 2 errors of their
        difference, which they never do in a steady drift: a window that still falls has not converged.
        """
        spec = self.spec
        if len(self._recent) < spec.window:
            return ""
        energy, variance, v_score = self._recent.rows.T
        means = (
            ("variance/N", variance.mean() / self.n_sites, spec.variance),
            ("V-score", v_score.mean(), spec.v_score),
        )
        if any(value > bound for _, value, bound in means if bound is not None):
            return ""
        found = [f"{name} {value:.2g} <= {bound:g}" for name, value, bound in means if bound is not None]
        if spec.error is not None:
            error = mean(energy / self.n_sites).error
            if error > spec.error or _drifts(energy / self.n_sites):
                return ""
            found.insert(0, f"error of E/N {error:.2g} <= {spec.error:g}")
        return f"{', '.join(found)} over the last {spec.window} iterations"


def _drifts(values: npt.NDArray[np.float64]) -> bool:
    """Whether the means of a series' two halves lie apart by more than the error of the mean of the whole allows.

    The error is that of bins: the Gamma method takes a straight line for a correlation, which allows for it.
    """
    half = len(values) // 2
    rounding = rounding_of(float(np.abs(values).max()), 0.0)  # of an eigenstate nothing else is left
    apart = abs(float(values[half:].mean() - values[:half].mean()))
    return apart > max(WINDOW_DRIFT * 2.0 * binning(values).error, rounding)
