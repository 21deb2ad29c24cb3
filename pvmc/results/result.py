"""What came out of a run, as numbers: one row of the tables of ``pvmc analyze`` and ``pvmc report``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pvmc.errors import InputError
from pvmc.io.reader import Run
from pvmc.results.identity import system_text
from pvmc.results.leak import leak_found
from pvmc.results.plateau import is_imported
from pvmc.results.symptom import judged
from pvmc.results.symptoms import symptoms
from pvmc.results.system import model_name


@dataclass(frozen=True)
class Result:
    """A run in numbers.  Energies are per site, in ``units``; None is what is not known.

    Attributes:
        name: of the run's directory.
        path: the results file.
        model: model, lattice and size.
        system: all that defines what is solved (:func:`pvmc.results.identity.system_text`).
        state: as :meth:`pvmc.io.reader.Run.status` says.
        n_sites: N.
        alpha: density of hidden units, where the ansatz has one.
        n_parameters: K.
        units: of the energy.
        energy, energy_error: of the plateau (:func:`pvmc.results.plateau.plateau_of`).
        averaged: number of iterations that went into it.
        averaged_from: number of the first of them, as in run.h5 (from 0).
        settled: whether this part has settled; if not, the error is a lower bound.
        exact, exact_method: the exact energy, and where it comes from.
        relative_error, relative_error_error: (E - E_exact) / |E_exact|, with sign, and its standard error;
            where E_exact is next to zero relative to the radius of H.
        variance: of the Hamiltonian, per site, in units^2; mean over the same iterations.
        v_score: N Var / (E - E_inf)^2 (Wu et al., Science 386, 296 (2024)); mean over the same iterations.
        acceptance, autocorrelation_time: means over them; tau in draws.
        r_hat: median over them, which warnings judge.
        iterations: SR iterations done.
        samples: samples per iteration, mean over the same iterations.
        total_samples: of all iterations.
        core_hours: of all starts.
        warnings: what is to be known before the numbers are used.
        variance_smeared: as variance, by smeared draws, all of it; mean of the leak tests over the same iterations.
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


def result_of(run: Run) -> Result:
    """What came out of a run.

    Raises:
        InputError: it has fewer than 4 iterations with an energy, and is not an imported state.
        StorageError: its measurements cannot be read any more.
    """
    part = judged(run)
    if part.plateau.n < 2 and not (part.plateau.n == 1 and is_imported(run)):
        raise InputError(f"{run.path} has too few iterations to be analysed: 4 with an energy are needed")
    energy, exact, scale = part.plateau, run.reference_energy_per_site, run.error_scale_per_site
    variance, leak = part.mean("variance"), leak_found(part)
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
        r_hat=part.r_hat,
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
    """What ``pvmc status`` shows as the state: not a symptom, but to be known beside the numbers."""
    if state != "finished":
        done, planned = len(run.iteration), int(run.attributes["n_iterations"])
        yield f"{state} after {done}{f' of {planned}' if planned >= done else ''} iterations"
