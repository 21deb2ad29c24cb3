"""Signs that the states of a run are not those that hold the ground state."""

from __future__ import annotations

from collections.abc import Iterator

from pvmc.exact.ground_sector import EXCITED
from pvmc.results.symptom import Judged, Symptom
from pvmc.statistics.thresholds import ABOVE_PRODUCT, ROUNDING


def wrong_sector(part: Judged) -> Iterator[Symptom]:
    """Quantum numbers, fixed by the input, that the ground state does not have: known before the run began."""
    if part.run.elsewhere:
        yield Symptom("excited" if part.run.elsewhere.endswith(EXCITED) else "sector", part.run.elsewhere)


def above_product(part: Judged) -> Iterator[Symptom]:
    """An energy above that of the states of all spins up or down, which has another magnetisation."""
    product, energy = part.run.product_energy, part.plateau
    if product is None or part.run.elsewhere or not energy.settled:
        return
    if energy.value > product / part.run.n_sites + ABOVE_PRODUCT * energy.error + ROUNDING * part.run.radius:
        text = f"energy above that of all spins up or all down, {product / part.run.n_sites:.8g} per site"
        yield Symptom("sector", f"{text}: the ground state has another magnetisation; change sampler.magnetization")


def is_product_state(part: Judged) -> bool:
    """Whether the run keeps all spins up or all down: a single configuration, which nothing leads away from."""
    magnetization = part.run.config.get("sampler", {}).get("magnetization")
    return isinstance(magnetization, int) and abs(magnetization) == part.run.n_sites
