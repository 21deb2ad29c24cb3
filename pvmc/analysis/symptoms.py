"""Signs in the last iterations of a run that its numbers are not to be trusted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pvmc.io.reader import Run

LARGEST_R_HAT = 1.05
"""Median of R-hat above which the chains do not agree."""

SMALLEST_ACCEPTANCE = 0.01
"""Mean acceptance below which the walkers hardly move."""

SMALLEST_PART = 0.3
"""Part of the samples that weights may let count before it is worth a word."""

FEWEST = 5
"""Iterations without which no mean is judged: the walkers of the first ones still find their places."""

FINITE = ("energy", "energy_error", "variance", "update_norm")
"""Series that a run always measures."""


@dataclass(frozen=True)
class Symptom:
    """What is wrong.

    Attributes:
        name: one or two words, for a column.
        text: what was seen, and what may help.
    """

    name: str
    text: str


def symptoms(run: Run, last: int) -> list[Symptom]:
    """What is wrong with the last iterations of a run; at most one of each kind.

    Args:
        run: the run.
        last: number of iterations to look at.
    """
    judged = [*_disagreement(run, last), *_standstill(run, last), *_few_count(run, last)] if last >= FEWEST else []
    return [*_not_finite(run, last), *_stuck(run, last), *judged]


def mean_of_last(run: Run, series: str, last: int) -> float | None:
    """Mean over the last iterations in which the quantity was measured; None where it was in none of them."""
    values = _last(run, series, last)
    values = values[np.isfinite(values)]
    return float(values.mean()) if values.size else None


def _not_finite(run: Run, last: int) -> Iterator[Symptom]:
    for series in FINITE:
        bad = ~np.isfinite(_last(run, series, last))
        recorded = np.isfinite(run.series[series]).any() or series == "energy"  # not by files of earlier versions
        if recorded and bad.any():
            text = f"{series.replace('_', ' ')} not finite in {bad.sum()} of the last {bad.size} iterations"
            yield Symptom("not finite", f"{text}; a smaller sr.learning_rate or a larger sr.shift may help")
            return


def _disagreement(run: Run, last: int) -> Iterator[Symptom]:
    values = _last(run, "r_hat", last)
    values = values[np.isfinite(values)]
    # The median: a single iteration says little, and close to an eigenstate R-hat has spikes.
    r_hat = float(np.median(values)) if values.size else 1.0
    if r_hat > LARGEST_R_HAT:
        text = f"R-hat {r_hat:.3f} (median of the last {last} iterations): the walkers do not agree on the energy"
        yield Symptom("R-hat", f"{text}; a larger sampler.sweep or sampler.discard, or tempering may help")


def _stuck(run: Run, last: int) -> Iterator[Symptom]:
    """What the run itself has seen; files of earlier versions do not say."""
    looks = _last(run, "stuck_walkers", last)
    looks = looks[looks >= 0]
    if (looks > 0).any():
        n = int(looks.max())
        walkers = "1 walker was" if n == 1 else f"up to {n} walkers were"
        text = f"{walkers} stuck in a mode of their own in {(looks > 0).sum()} of {looks.size} looks"
        yield Symptom("stuck", f"{text}: they bias the energy; tempering or moves over longer distances may help")


def _standstill(run: Run, last: int) -> Iterator[Symptom]:
    acceptance = mean_of_last(run, "acceptance", last)
    if acceptance is not None and acceptance < SMALLEST_ACCEPTANCE:
        text = f"acceptance {acceptance:.2g} over the last {last} iterations: the walkers hardly move"
        yield Symptom("acceptance", f"{text}; other sampler.moves or tempering may help")


def _few_count(run: Run, last: int) -> Iterator[Symptom]:
    effective, samples = (mean_of_last(run, name, last) for name in ("effective_samples", "n_samples"))
    if effective is not None and samples and effective < SMALLEST_PART * samples:
        text = f"the weights of {samples:.0f} samples count as {effective:.0f} equal ones: sampler.power is far from 2"
        yield Symptom("weights", f"{text}; a power closer to 2 has smaller errors")


def _last(run: Run, series: str, last: int) -> NDArray[Any]:
    values: NDArray[Any] = run.series[series]
    return values[max(0, values.size - last) :]
