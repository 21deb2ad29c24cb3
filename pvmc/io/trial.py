"""A short run with a seed of its own: a run of several starts tries each, and keeps the one of lowest energy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Trial:
    """A row of ``/starts`` (the meaning of each is in :data:`pvmc.io.schema.STARTS`)."""

    seed: int
    iterations: int = 0
    energy: float = math.nan
    energy_error: float = math.nan

    @property
    def over(self) -> bool:
        """Whether its energy is known, if only as infinite."""
        return not math.isnan(self.energy)

    @property
    def bad(self) -> bool:
        """Whether its numbers went bad."""
        return self.energy == math.inf

    def per_site(self, n_sites: int) -> Trial:
        """The same with energies per site."""
        return replace(self, energy=self.energy / n_sites, energy_error=self.energy_error / n_sites)

    def describe(self) -> str:
        """Its seed, energy and error in words."""
        return f"seed {self.seed} " + ("bad" if self.bad else f"{self.energy:.8g} +-{self.energy_error:.1e}")

    def again(self) -> Trial:
        """The trial as a run that goes on sees it: one that is not over begins anew."""
        return self if self.over else Trial(self.seed)


def kept(trials: Sequence[Trial]) -> Trial | None:
    """The trial of lowest energy, the first of several; None before all are over, and where all went bad."""
    if not trials or not all(trial.over for trial in trials):
        return None
    best = min(trials, key=lambda trial: trial.energy)
    return None if best.bad else best
