"""Signs that a run's energy is not that of the ground state, or not yet."""

from __future__ import annotations

from collections.abc import Iterator

from pvmc.analysis.symptom import Judged, Symptom
from pvmc.statistics.thresholds import BELOW_EXACT


def not_settled(part: Judged) -> Iterator[Symptom]:
    """An energy that still drifts, of a run that is over: of one that goes on it is no surprise."""
    if part.settled or part.energy.n < 2 or part.run.status() == "running":
        return
    text = f"not converged: the energy still drifts over the last {part.energy.n} iterations, or stays correlated"
    yield Symptom("drift", f"{text}; its error is a lower bound; go on with a larger run.iterations")


def below_exact(part: Judged) -> Iterator[Symptom]:
    """An energy below the exact one, which no state has."""
    exact = part.run.reference_energy_per_site
    if exact is not None and part.energy.mean < exact - BELOW_EXACT * part.energy.error - 1e-10 * abs(exact):
        text = f"energy below the exact one by more than {BELOW_EXACT:.0f} standard errors"
        yield Symptom("below exact", f"{text}: the error is too small, or chains are stuck")
