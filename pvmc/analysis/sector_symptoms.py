"""Signs that the states of a run are not those that hold the ground state."""

from __future__ import annotations

from collections.abc import Iterator

from pvmc.analysis.symptom import Judged, Symptom


def wrong_sector(part: Judged) -> Iterator[Symptom]:
    """Quantum numbers, fixed by the input, that the ground state does not have: known before the run began."""
    if part.run.elsewhere:
        yield Symptom("sector", part.run.elsewhere)


def is_product_state(part: Judged) -> bool:
    """Whether the run keeps all spins up or all down: a single configuration, which nothing leads away from."""
    magnetization = part.run.config.get("sampler", {}).get("magnetization")
    return isinstance(magnetization, int) and abs(magnetization) == part.run.n_sites
