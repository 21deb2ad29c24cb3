"""Results of runs as numbers: a row of the tables of ``pvmc analyze`` and ``pvmc report``; extrapolations."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from pvmc.errors import InputError, PvmcError
from pvmc.io.fit_file import is_fit
from pvmc.io.reader import Run, open_run
from pvmc.results.judged import judged
from pvmc.results.measured import largest_r_hat
from pvmc.results.plateau import is_imported
from pvmc.results.sampling_symptoms import leak_found, tail_found
from pvmc.results.stored_system import differences, model_name, system_text
from pvmc.results.symptoms import symptoms
from pvmc.statistics import extrapolation, linear_fit
from pvmc.statistics.thresholds import ROUNDING

Floats = NDArray[np.float64]

T = TypeVar("T")


@dataclass(frozen=True)
class Result:
    """A run in numbers.  Energies are per site, in ``units``; None is what is not known.

    Attributes:
        name: of the run's directory.
        path: the results file.
        model: model, lattice and size.
        system: all that defines what is solved (:func:`pvmc.results.stored_system.system_text`).
        state: as :meth:`pvmc.io.reader.Run.status` says.
        n_sites: N.
        alpha: density of hidden units, where the ansatz has one.
        n_parameters: K.
        units: of the energy.
        energy, energy_error: of the plateau (:func:`pvmc.results.plateau.plateau_of`).
        averaged: number of iterations that went into it.
        averaged_from: number of the first of them, as in run.h5 (from 0).
        settled: True where this part has settled; if not, the error is a lower bound.
        exact, exact_method: the exact energy, and where it comes from.
        relative_error, relative_error_error: (E - E_exact) / |E_exact|, with sign, and its standard error;
            where E_exact is next to zero relative to the radius of H.
        variance: of the Hamiltonian, per site, in units^2; mean over the same iterations.
        v_score: N Var / (E - E_inf)^2 (Wu et al., Science 386, 296 (2024)); mean over the same iterations.
        acceptance, autocorrelation_time: means over them; tau in draws.
        r_hat: largest of the energy (median over them) and of all that was measured.
        r_hat_of: what it is of.
        iterations: SR iterations done.
        samples: samples per iteration, mean over the same iterations.
        total_samples: of all iterations.
        core_hours: of all starts.
        warnings: what is to be known before the numbers are used.
        variance_smeared: as variance, by smeared draws, all of it; mean of the leak tests over the same iterations.
        tail_exponent, tail_exponent_error: of |E_loc - E|, by the leak tests; inf without a tail.
        leak, leak_error: the part of it that the walkers do not see, and its standard error.
    """

    name: str
    path: str
    model: str
    system: str
    state: str
    n_sites: int
    alpha: float | None
    n_parameters: int
    units: str
    energy: float
    energy_error: float
    averaged: int
    averaged_from: int
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
    variance_smeared: float | None = None
    leak: float | None = None
    leak_error: float | None = None
    r_hat_of: str = ""
    tail_exponent: float | None = None
    tail_exponent_error: float | None = None


def result_of(run: Run) -> Result:
    """The result of a run.

    Raises:
        InputError: it has fewer than 4 iterations with an energy, and is not an imported state.
        StorageError: its measurements cannot be read any more.
    """
    part = judged(run)
    if part.plateau.n < 2 and not (part.plateau.n == 1 and is_imported(run)):
        raise InputError(f"{run.path} has too few iterations to be analysed: 4 with an energy are needed")
    energy, exact, scale = part.plateau, run.reference_energy_per_site, run.error_scale_per_site
    variance, leak = part.mean("variance"), leak_found(part)
    r_hat, tail = largest_r_hat(part), tail_found(part)
    state = run.status()
    counted = run.series["n_samples"][run.series["n_samples"] >= 0]
    return Result(
        name=run.name,
        path=str(run.path),
        model=model_name(run),
        system=system_text(run),
        state=state,
        n_sites=run.n_sites,
        alpha=alpha_of(run),
        n_parameters=int(run.attributes["n_parameters"]),
        units=run.energy_units,
        energy=energy.value,
        energy_error=energy.error,
        averaged=energy.n,
        averaged_from=int(run.iteration[energy.rows[0]]),
        settled=energy.settled,
        exact=exact,
        exact_method=run.reference_method,
        relative_error=(energy.value - exact) / scale if exact is not None and scale else None,
        relative_error_error=energy.error / scale if scale else None,
        variance=None if variance is None else variance / run.n_sites,
        variance_smeared=leak.variance / run.n_sites if leak else None,
        leak=leak.leak / run.n_sites if leak else None,
        leak_error=leak.error / run.n_sites if leak else None,
        v_score=part.mean("v_score"),
        acceptance=part.mean("acceptance"),
        r_hat=r_hat.value if r_hat else None,
        r_hat_of=r_hat.of if r_hat else "",
        tail_exponent=tail.exponent if tail else None,
        tail_exponent_error=tail.error if tail else None,
        autocorrelation_time=part.mean("autocorrelation_time"),
        iterations=len(run.iteration),
        samples=part.mean("n_samples"),
        total_samples=int(counted.sum()) if counted.size else None,
        core_hours=sum(session.core_seconds for session in run.sessions) / 3600 if run.sessions else None,
        warnings=(*_unfinished(run, state), *(symptom.text for symptom in symptoms(part))),
    )


def alpha_of(run: Run) -> float | None:
    """The density of hidden units, where the ansatz has one."""
    value = run.config.get("ansatz", {}).get("alpha")
    return float(value) if isinstance(value, int | float) else None


def _unfinished(run: Run, state: str) -> Iterator[str]:
    """The state of a run that has not finished: no symptom, but to be known beside the numbers."""
    if state != "finished":
        done, planned = len(run.iteration), int(run.attributes["n_iterations"])
        yield f"{state} after {done}{f' of {planned}' if planned >= done else ''} iterations"


@dataclass(frozen=True)
class ZeroVariance:
    """E / N = energy + slope * Var / N.

    Attributes:
        energy: at zero variance, per site.
        error: its standard error, the larger of the next two.
        propagated: what the statistical errors of the energies make of it.
        jackknife: what the scatter of the points about the line makes of it; None for two runs.
        slope: of the line, in 1/units.
        n: number of runs.
    """

    energy: float
    error: float
    propagated: float
    jackknife: float | None
    slope: float
    n: int


def extrapolate(results: Sequence[Result]) -> ZeroVariance:
    """A straight line through the energies against the variances, weighted by the errors of the energies.

    Close to an eigenstate E - E_0 is proportional to the variance (S. Sorella, Phys. Rev. B 64, 024512 (2001); Y. Kwon,
    D. M. Ceperley and R. M. Martin, Phys. Rev. B 58, 6800 (1998)).  The jackknife leaves out one run at a time, so that
    it holds what the points scatter about the line; of few runs it can be small by chance, and the error is then what
    the errors of the energies propagate to.  The line itself is an assumption that neither tests.

    Raises:
        InputError: fewer than two runs, runs of several systems, or equal variances.
    """
    _require_one_system(results)
    energies = np.array([result.energy for result in results])
    variances = np.array([np.nan if result.variance is None else result.variance for result in results])
    errors = np.array([result.energy_error for result in results])
    if not np.isfinite(variances).all() or np.ptp(variances) <= ROUNDING * np.abs(variances).max():
        raise InputError("no extrapolation: the variances are equal or not known")
    return fitted(variances, energies, errors)


def fitted(variances: Floats, energies: Floats, errors: Floats) -> ZeroVariance:
    """The line through points (n,) with these errors of the energies; n >= 2, with two distinct variances.

    Points without an error (all of them, or some) are given the smallest of the others.
    """
    known = errors[errors > 0]
    weighing = np.where(errors > 0, errors, known.min() if known.size else 1.0)
    fit, n = linear_fit(variances, energies, weighing), len(energies)
    propagated = fit.intercept_error if known.size else 0.0
    if n < 3 or any(np.ptp(np.delete(variances, run)) == 0 for run in range(n)):
        return ZeroVariance(fit.intercept, propagated, propagated, None, fit.slope, n)
    jackknife = extrapolation(variances, energies, weighing).error
    return ZeroVariance(fit.intercept, max(jackknife, propagated), propagated, jackknife, fit.slope, n)


def _require_one_system(results: Sequence[Result]) -> None:
    if len(results) < 2:
        raise InputError("an extrapolation to zero variance needs at least two runs, with different variances")
    if found := differences(results):
        raise InputError(f"an extrapolation to zero variance is of one system; these runs differ in {'; '.join(found)}")


@dataclass(frozen=True)
class LeftOut:
    """A run that cannot be used.

    Attributes:
        path: as it was given.
        message: why.
        exit_code: of the error.
    """

    path: str
    message: str
    exit_code: int

    def text(self) -> str:
        """One line."""
        return self.message if self.path in self.message else f"{self.path}: {self.message}"


def usable(
    paths: Sequence[str | os.PathLike[str]], use: Callable[[Run], T]
) -> tuple[list[Run], list[T], list[LeftOut]]:
    """The runs that can be opened and used, what the use gave, and the others.

    Args:
        paths: directories or files of runs.
        use: what each must be good for; an error that it raises leaves the run out.

    Raises:
        InputError, StorageError: of the first run, where none can be used.
    """
    runs: list[Run] = []
    values: list[T] = []
    errors: list[tuple[str, PvmcError]] = []
    for path in paths:
        try:
            run = _opened(Path(path))
            value = use(run)
        except PvmcError as error:
            errors.append((str(path), error))
            continue
        runs.append(run)
        values.append(value)
    if errors and not runs:
        raise errors[0][1]
    return runs, values, [LeftOut(path, str(error), error.exit_code) for path, error in errors]


def _opened(path: Path) -> Run:
    try:
        return open_run(path)
    except InputError:
        if is_fit(path):
            raise InputError(f"{path}: is a fit, not a run; pvmc plot and pvmc status read it") from None
        raise
