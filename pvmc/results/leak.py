"""The leak test of a run: variance of H that its walkers do not see, averaged over the part that is judged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pvmc.results.symptom import Judged, Symptom
from pvmc.statistics import mean
from pvmc.statistics.mean import independent_error
from pvmc.statistics.thresholds import FEWEST_SCATTER, LARGEST_LEAK, LEAK_DEVIATIONS, LEAK_V_SCORE

CURE = "start again with sampler.smear = 0.2, another ansatz (ansatz.alpha, ansatz.init_scale) or another sampler.start"
"""What may help."""


@dataclass(frozen=True)
class LeakFound:
    """What leak tests found, in units of energy^2, of all sites together.

    Attributes:
        variance: of H, by smeared draws.
        leak: the part of it that the walkers do not see.
        error: standard error of the leak.
        v_score: N leak / (E - E_inf)^2; None where the energies are not known.
    """

    variance: float
    leak: float
    error: float
    v_score: float | None

    @classmethod
    def of(cls, variance: float, leak: float, error: float, v_score: float, sampled: float) -> LeakFound:
        """With its V-score by those of the sampled variance, which both have the same energies."""
        return cls(variance, leak, error, leak * v_score / sampled if sampled > 0 else None)

    @property
    def is_large(self) -> bool:
        """Whether the leak is resolved, most of the variance, and enough to matter."""
        resolved = self.leak > LEAK_DEVIATIONS * self.error
        matters = self.v_score is None or self.v_score > LEAK_V_SCORE
        return resolved and self.leak > LARGEST_LEAK * self.variance and matters

    def text(self, n_sites: int) -> str:
        """What was seen and what may help, for a warning."""
        seen = max(0.0, self.variance - self.leak) / n_sites
        whole = f"leak test: variance/N is {self.variance / n_sites:.2g} +- {self.error / n_sites:.1g}"
        why = "psi nearly vanishes where H psi does not, and variance, V-score and gradient miss it"
        return f"{whole}, of which the walkers see {seen:.2g}: {why}; {CURE}"


def leak_text(leak: float, error: float, units: str) -> str:
    """A leak per site in words: what it is, and whether the walkers miss any variance.

    Args:
        leak, error: per site, in ``units`` squared.
        units: of the energy; what it multiplies, in brackets, is left out.
    """
    unit = units.split(" (")[0]
    seen = f"{leak:.2g} +- {error:.1g} {f'({unit})' if '/' in unit else unit}^2"
    if leak > LEAK_DEVIATIONS * error:
        return f"{seen} hidden from the walkers: sampled variance/N is too small"
    return f"{seen}: no part of variance/N is hidden from the walkers"


def leak_found(part: Judged) -> LeakFound | None:
    """The mean of the leak tests of a part of a run; None where there was none.

    Its error is not less than that of independent tests with their own errors.
    """
    series, rows = part.run.series, part.plateau.rows
    rows = rows[np.isfinite(series["leak"][rows]) & np.isfinite(series["leak_error"][rows])]
    if not len(rows):
        return None
    leaks, errors = series["leak"][rows], series["leak_error"][rows]
    error = mean(leaks, errors).error if len(rows) >= FEWEST_SCATTER else independent_error(errors)
    leak = float(leaks.mean())
    return LeakFound(float(series["variance_smeared"][rows].mean()), leak, error, _v_score(part, leak))


def _v_score(part: Judged, leak: float) -> float | None:
    """The V-score of a variance at the energies of a part: V-score and variance of the run are in this proportion."""
    v_score, variance = part.run.series["v_score"][part.plateau.rows], part.run.series["variance"][part.plateau.rows]
    known = np.isfinite(v_score) & np.isfinite(variance) & (variance > 0)
    return leak * float(np.median(v_score[known] / variance[known])) if known.any() else None


def leaks(part: Judged) -> Iterator[Symptom]:
    """Variance that the walkers do not see: neither those of the tests, nor all draws of the part, of which there are
    many more.  Rare configurations with a large local energy are missed by the few, and are no hidden region."""
    found, sampled = leak_found(part), part.mean("variance")
    if found is None or not found.is_large:
        return
    if sampled is None or found.variance - sampled > LARGEST_LEAK * found.variance:
        yield Symptom("leak", found.text(part.run.n_sites))
