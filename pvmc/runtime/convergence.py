"""When a run is good enough: criteria on its last iterations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from pvmc.binning import plateau
from pvmc.config import Section
from pvmc.runtime.recent import Recent


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

        An iteration that is not later than those seen replaces them from there on: the run went back.

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

        The energy's error counts only where its estimate has stopped growing with the length of the bins: a series
        that still drifts has not converged.
        """
        spec = self.spec
        if len(self._recent) < spec.window:
            return ""
        rows = self._recent.rows
        energy, variance, v_score = rows.T
        means = (
            ("variance/N", variance.mean() / self.n_sites, spec.variance),
            ("V-score", v_score.mean(), spec.v_score),
        )
        if not np.isfinite(rows).all() or any(value > bound for _, value, bound in means if bound is not None):
            return ""
        found = [f"{name} {value:.2g} <= {bound:g}" for name, value, bound in means if bound is not None]
        if spec.error is not None:
            mean = plateau(energy / self.n_sites, spec.window)
            if not mean.converged or mean.error > spec.error:
                return ""
            found.insert(0, f"error of E/N {mean.error:.2g} <= {spec.error:g}")
        return f"{', '.join(found)} over the last {spec.window} iterations"
