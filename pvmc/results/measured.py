"""The measurements of a run that figures and tables show, and warnings about them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeGuard

import numpy as np
from numpy.typing import NDArray

from pvmc.errors import InputError
from pvmc.io.measurement import Measurement
from pvmc.io.reader import Run
from pvmc.results.digits import plain
from pvmc.results.judged import Judged, Symptom
from pvmc.results.sampling_symptoms import LeakFound, tail_warning
from pvmc.statistics.autocorrelation import independent_samples
from pvmc.statistics.mean import robust_scatter
from pvmc.statistics.tails import Tail, missed_variance
from pvmc.statistics.thresholds import (
    FEWEST_JUDGED,
    FEWEST_PER_MEASUREMENT,
    LARGEST_R_HAT,
    OUTLIER_DEVIATIONS,
    rounding_of,
)


def measured_warnings(part: Judged) -> Iterator[Symptom]:
    """Symptoms of the measurements of a run; none of those whose attributes are missing.

    Raises:
        StorageError: the file cannot be read any more.
    """
    for one in part.run.measurements:
        for text in (*_warnings(one, part.run.n_sites), *outlier(part, one)):
            yield Symptom("measurement", f"measurement {one.number}: {text}")


def outlier(part: Judged, measurement: Measurement) -> Iterator[str]:
    """Parameters of a settled part of a run whose measured energy lies far above the part's mean."""
    energy, iteration = measurement.estimates.get("energy"), measurement.attributes.get("iteration")
    run, rows = part.run, part.plateau.rows
    if (
        energy is None
        or not part.plateau.settled
        or part.plateau.n < FEWEST_JUDGED
        or not isinstance(iteration, int | np.integer)
    ):
        return
    if iteration < run.iteration[rows[0]] or run.attributes.get("energy_units") != energy.units:
        return
    value, error = float(energy.value) / run.n_sites, float(energy.error) / run.n_sites
    scatter = robust_scatter(run.energy_per_site[rows])
    typical = math.hypot(scatter, error, part.plateau.error) + rounding_of(part.plateau.value, run.radius / run.n_sites)
    if value > part.plateau.value + OUTLIER_DEVIATIONS * typical:
        text = f"its parameters, of iteration {iteration}, are an outlier: E/N is {plain(value, error)}, and"
        mean = plain(part.plateau.value, part.plateau.error)
        yield f"{text} {mean} on average over the settled iterations; measure with --iteration best"


def _warnings(measurement: Measurement, n_sites: int) -> Iterator[str]:
    attributes = measurement.attributes
    samples = int(attributes.get("n_samples", 0))
    if attributes.get("status", "finished") != "finished":
        yield f"not at its end after {samples} samples: it runs, or was stopped and goes on with pvmc measure --resume"
    if _is_counted(measurement):
        if zeros := str(attributes.get("forced_to_zero", "")).strip():
            yield zeros
        return
    yield from _disagreement(attributes)
    tau = attributes.get("autocorrelation_time")
    independent = independent_samples(samples, tau if isinstance(tau, int | float) else None)
    if independent < FEWEST_PER_MEASUREMENT:
        yield f"{independent:.0f} independent samples (tau {tau:.2g}): its errors are themselves not known to 10 %"
    yield from _leak(measurement, n_sites)
    yield from _tails(measurement, n_sites)
    if zeros := str(attributes.get("forced_to_zero", "")).strip():
        yield zeros
    if names := str(attributes.get("unreliable", "")).strip():
        yield f"errors that are not to be trusted: {names}"


def _leak(measurement: Measurement, n_sites: int) -> Iterator[str]:
    """Variance that the walkers do not see; nothing of files of earlier versions."""
    found = measurement.estimates
    if not {"variance", "v_score", "variance_smeared", "leak"} <= found.keys():
        return
    variance, score = float(found["variance"].value), float(found["v_score"].value)
    leak = LeakFound.of(
        float(found["variance_smeared"].value), float(found["leak"].value), float(found["leak"].error), score, variance
    )
    if leak.is_large:
        yield leak.text(n_sites)


class RHat(NamedTuple):
    """The largest R-hat of several, and what it is of."""

    value: float
    of: str

    def text(self) -> str:
        """The number and what it is of."""
        return f"{self.value:.3f} of {self.of}"


def _r_hat(attributes: dict[str, Any]) -> RHat | None:
    """R-hat of the observable for which it is largest, where the file says so, or else that of the energy."""
    found = [("the energy", attributes.get("r_hat"))]
    found.append((str(attributes.get("largest_r_hat_of") or "an observable"), attributes.get("largest_r_hat")))
    known = [RHat(value, name) for name, value in found if _is_number(value)]
    return max(known, default=None, key=lambda one: one.value)


def largest_r_hat(part: Judged) -> RHat | None:
    """The largest R-hat of the energy, median over the iterations of a part of a run, and of all that was measured.

    Raises:
        StorageError: the file cannot be read any more.
    """
    found = [] if part.r_hat is None else [RHat(part.r_hat, "the energy (median)")]
    for one in finished(part.run):
        if not _is_counted(one) and (worst := _r_hat(one.attributes)) is not None:
            found.append(RHat(worst.value, f"{worst.of} (measurement {one.number})"))
    return max(found, default=None, key=lambda one: one.value)


def _disagreement(attributes: dict[str, Any]) -> Iterator[str]:
    """Walkers that do not agree on an observable."""
    worst = _r_hat(attributes)
    if worst is not None and worst.value > LARGEST_R_HAT:
        yield f"R-hat {worst.text()}: the walkers do not agree; measure longer, or with moves that reach farther"


def _is_counted(measurement: Measurement) -> bool:
    """True where all configurations were enumerated, each with its weight: then nothing was sampled."""
    energy = measurement.estimates.get("energy")
    return energy is not None and float(energy.error) == 0.0


def _tails(measurement: Measurement, n_sites: int) -> Iterator[str]:
    """Heavy tails of the local energy; nothing of files of earlier versions."""
    found, attributes = measurement.estimates, measurement.attributes
    exponent, error = attributes.get("tail_exponent"), attributes.get("tail_exponent_error")
    needed = {"energy", "variance", "v_score", "variance_smeared"}
    if not _is_number(exponent) or not _is_number(error) or not needed <= found.keys():
        return
    variance, whole = float(found["variance"].value), found["variance_smeared"]
    missed = missed_variance(variance, float(whole.value), float(whole.error))
    v_score, of_energy = float(found["v_score"].value), float(found["energy"].error) / n_sites
    if text := tail_warning(Tail(exponent, error), variance, missed, v_score, of_energy):
        yield f"{text}; energy_smeared and variance_smeared are of draws that see the tails"


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not math.isnan(value)


COMPONENTS = ("xx", "yy", "zz")
"""Pairs of spin components of correlations and structure factors."""


class Values(NamedTuple):
    """An array that was measured, float64, and its standard error, of the same shape."""

    value: NDArray[np.float64]
    error: NDArray[np.float64]


def finished(run: Run) -> list[Measurement]:
    """The measurements of a run that have come to their end, oldest first."""
    return [m for m in run.measurements if m.attributes.get("status", "finished") == "finished"]


def last_with(run: Run, prefix: str) -> tuple[Measurement, dict[str, Values]]:
    """The last finished measurement that holds components of a quantity, and these: component -> values.

    Args:
        run: the run.
        prefix: "correlation" or "structure_factor".

    Raises:
        InputError: there is none.
    """
    for measurement in reversed(finished(run)):
        found = {
            component: _values(measurement, f"{prefix}_{component}")
            for component in COMPONENTS
            if f"{prefix}_{component}" in measurement.estimates
        }
        if found:
            return measurement, found
    raise InputError(f"{run.path} holds no measured {prefix.replace('_', ' ')}: pvmc measure makes one")


def _values(measurement: Measurement, name: str) -> Values:
    estimate = measurement.estimates[name]
    return Values(np.asarray(estimate.value, dtype=np.float64), np.asarray(estimate.error, dtype=np.float64))
