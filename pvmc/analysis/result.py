"""What came out of a run, as numbers: one row of the tables of ``pvmc analyze`` and ``pvmc report``."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pvmc.analysis.average import Average, average
from pvmc.analysis.measured_warnings import measured_warnings
from pvmc.analysis.symptoms import symptoms
from pvmc.analysis.system import model_name
from pvmc.errors import InputError
from pvmc.io.reader import Run
from pvmc.statistics import Mean

FEWEST_INDEPENDENT = 400
"""Independent samples of an iteration, n / tau, below which its energy error is itself not known to 5 %."""

SPIKE = 1.5
"""R-hat of an iteration beyond which some chains are in a mode of their own."""

OFTEN = 0.05
"""Part of the iterations that may have such an R-hat before it is worth a word."""


@dataclass(frozen=True)
class Result:
    """A run in numbers.  Energies are per site, in ``units``; None is what is not known.

    Attributes:
        name: of the run's directory.
        path: the results file.
        model: model, lattice and size.
        state: as :meth:`pvmc.io.reader.Run.status` says.
        n_sites: N.
        alpha: density of hidden units, where the ansatz has one.
        n_parameters: K.
        units: of the energy.
        energy, energy_error: mean over the settled part of the run; the error accounts for correlation.
        averaged: iterations that went into it.
        settled: whether this part has settled; if not, the error is a lower bound.
        exact, exact_method: the exact energy, and where it comes from.
        relative_error, relative_error_error: (E - E_exact) / |E_exact|, with sign, and its standard error.
        variance: of the Hamiltonian, per site, in units^2; mean over the same iterations.
        v_score: N Var / (E - E_inf)^2 (Wu et al., Science 386, 296 (2024)); mean over the same iterations.
        acceptance, r_hat, autocorrelation_time: means over them; tau in draws.
        iterations: SR iterations done.
        samples: samples per iteration, mean over the same iterations.
        total_samples: of all iterations.
        core_hours: of all starts.
        warnings: what is to be known before the numbers are used.
    """

    name: str
    path: str
    model: str
    state: str
    n_sites: int
    alpha: float | None
    n_parameters: int
    units: str
    energy: float
    energy_error: float
    averaged: int
    settled: bool
    exact: float | None
    exact_method: str
    relative_error: float | None
    relative_error_error: float | None
    variance: float | None
    v_score: float | None
    acceptance: float | None
    r_hat: float | None
    autocorrelation_time: float | None
    iterations: int
    samples: float | None
    total_samples: int | None
    core_hours: float | None
    warnings: tuple[str, ...]


def result_of(run: Run) -> Result:
    """What came out of a run.

    Raises:
        InputError: it has fewer than 4 iterations with an energy, and is not an imported state.
        StorageError: its measurements cannot be read any more.
    """
    found = average(run.energy_per_site) or _imported(run)
    if found is None:
        raise InputError(f"{run.path} has too few iterations to be analysed: 4 with an energy are needed")
    energy, exact = found.plateau, run.reference_energy_per_site
    means = {name: _mean(run.series[name], found.rows) for name in _AVERAGED}
    state = run.status()
    counted = run.series["n_samples"][run.series["n_samples"] >= 0]
    return Result(
        name=run.name,
        path=str(run.path),
        model=model_name(run),
        state=state,
        n_sites=run.n_sites,
        alpha=alpha_of(run),
        n_parameters=int(run.attributes["n_parameters"]),
        units=run.energy_units,
        energy=energy.mean,
        energy_error=energy.error,
        averaged=energy.n,
        settled=found.settled,
        exact=exact,
        exact_method=run.reference_method,
        relative_error=(energy.mean - exact) / abs(exact) if exact else None,
        relative_error_error=energy.error / abs(exact) if exact else None,
        variance=None if means["variance"] is None else means["variance"] / run.n_sites,
        v_score=means["v_score"],
        acceptance=means["acceptance"],
        r_hat=means["r_hat"],
        autocorrelation_time=means["autocorrelation_time"],
        iterations=len(run.iteration),
        samples=means["n_samples"],
        total_samples=int(counted.sum()) if counted.size else None,
        core_hours=sum(session.core_seconds for session in run.sessions) / 3600 if run.sessions else None,
        warnings=tuple(_warnings(run, found, means, state)),
    )


_AVERAGED = ("variance", "v_score", "acceptance", "r_hat", "autocorrelation_time", "n_samples")


def alpha_of(run: Run) -> float | None:
    """The density of hidden units, where the ansatz has one."""
    value = run.config.get("ansatz", {}).get("alpha")
    return float(value) if isinstance(value, int | float) else None


def _imported(run: Run) -> Average | None:
    """The only row of a state that was imported, with the error of its own samples: no step was made.  None of others.

    It is settled: its parameters stay.
    """
    energies = run.energy_per_site
    if len(energies) != 1 or not np.isfinite(energies[0]) or np.isfinite(run.series["force_norm"][0]):
        return None
    return Average(
        Mean(float(energies[0]), float(run.energy_error_per_site[0]), 1, converged=True), np.array([0]), settled=True
    )


def _mean(series: NDArray[Any], rows: NDArray[np.int64]) -> float | None:
    values = series[rows].astype(np.float64)
    values = values[np.isfinite(values) & ((values >= 0) | (series.dtype.kind == "f"))]
    return float(values.mean()) if values.size else None


def _warnings(run: Run, found: Average, means: dict[str, float | None], state: str) -> Iterator[str]:
    planned = int(run.attributes["n_iterations"])
    if state != "finished":
        yield f"{state} after {len(run.iteration)} of {planned} iterations"
    if not found.settled:
        last = f"over the last {found.plateau.n} iterations"
        yield f"not converged: the energy still drifts {last}, or stays correlated; its error is a lower bound"
    seen = symptoms(run, found.plateau.n)
    yield from (symptom.text for symptom in seen)
    yield from _few_samples(run, means)
    if not any(symptom.name == "stuck" for symptom in seen):
        yield from _spikes(run, found)
    if run.reference_energy_per_site is not None and _below(run, found):
        yield "energy below the exact one by more than 4 standard errors: the error is too small, or chains are stuck"
    yield from measured_warnings(run)


def _few_samples(run: Run, means: dict[str, float | None]) -> Iterator[str]:
    samples, tau = means["n_samples"], means["autocorrelation_time"]
    parameters = int(run.attributes["n_parameters"])
    if samples and samples < parameters:
        yield f"{samples:.0f} samples per iteration for {parameters} parameters: S is singular without its shift"
    if samples and tau and math.isfinite(tau) and samples / tau < FEWEST_INDEPENDENT and not _is_exact(run):
        yield f"{samples / tau:.0f} independent samples per iteration (tau {tau:.2g}): take more, or longer sweeps"


def _spikes(run: Run, found: Average) -> Iterator[str]:
    """Half of the walkers in another mode are no outliers to the other half: the run does not see them as stuck."""
    values = run.series["r_hat"][found.rows]
    values = values[~np.isnan(values)]  # infinite where no walker varies
    if values.size and (values > SPIKE).mean() > OFTEN:
        often = f"in {(values > SPIKE).sum()} of {values.size} iterations"
        yield f"R-hat above {SPIKE} {often}: walkers are stuck in modes of their own"


def _below(run: Run, found: Average) -> bool:
    exact = run.reference_energy_per_site
    assert exact is not None
    return found.plateau.mean < exact - 4 * found.plateau.error - 1e-10 * abs(exact)


def _is_exact(run: Run) -> bool:
    return bool(run.config.get("sampler", {}).get("kind") == "exact")
