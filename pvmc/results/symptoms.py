"""Every sign that the numbers of a run are not to be trusted: the one list that status, analyze and report show."""

from __future__ import annotations

from pvmc.results.energy_symptoms import below_exact, far_from_eigenstate, not_settled, off_exact
from pvmc.results.leak import leaks
from pvmc.results.measured_warnings import measured_warnings
from pvmc.results.sampling_symptoms import disagreement, few_count, few_samples, not_finite, retries, standstill, stuck
from pvmc.results.sector_symptoms import above_product, is_product_state, wrong_sector
from pvmc.results.sign_symptoms import positive_state
from pvmc.results.symptom import Judged, Signs, Symptom

SYMPTOMS: tuple[Signs, ...] = (
    not_finite,
    retries,
    not_settled,
    wrong_sector,
    above_product,
    stuck,
    disagreement,
    standstill,
    few_count,
    few_samples,
    below_exact,
    leaks,
    off_exact,
    far_from_eigenstate,
    positive_state,
    measured_warnings,
)
"""Kinds of symptoms, in the order in which they are shown.  A new kind is a function of the part of a run that is
judged, in a file of its topic, and a line here; its limits stand in :mod:`pvmc.statistics.thresholds`."""


OF_PRODUCT_STATE: tuple[Signs, ...] = (not_finite, wrong_sector, below_exact, measured_warnings)
"""Kinds that are looked for where a run keeps its only configuration, which nothing samples and nothing changes."""


def symptoms(part: Judged) -> tuple[Symptom, ...]:
    """What is wrong with the last part of a run.

    Raises:
        StorageError: the run's file cannot be read any more.
    """
    kinds = OF_PRODUCT_STATE if is_product_state(part) else SYMPTOMS
    return tuple(symptom for kind in kinds for symptom in kind(part))
