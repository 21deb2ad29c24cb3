"""State of a run or a fit as plain numbers: what ``pvmc status`` shows as text, as a table or as JSON."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import shlex
import time
import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pvmc.io.layout import StartTrial, best_trial
from pvmc.io.schema import FILE_NAME
from pvmc.results.digits import renamed
from pvmc.results.judged import Symptom, judged
from pvmc.results.measured import largest_r_hat
from pvmc.results.sampling_symptoms import leak_found, tail_found
from pvmc.results.symptoms import symptoms
from pvmc.statistics.thresholds import QUIET_SECONDS

if TYPE_CHECKING:
    from pvmc.io.fit_file import Fit
    from pvmc.io.reader import Run

LAST = 100
"""Iterations whose median is the time of one."""


@dataclass(frozen=True)
class RunFacts:
    """A run at one moment.  Energies are per site; None is what is not known.

    Attributes:
        path: the results file.
        state: "running", "finished", "stopped", "failed" or "dead".
        message: why it is no longer running; may be empty.
        iteration: iterations done.
        iterations: iterations planned.
        energy, energy_error: of the plateau (:func:`pvmc.results.plateau.plateau_of`).
        energy_units: their unit.
        averaged: number of these iterations.
        averaged_from: number of the first of them, as in run.h5 (from 0).
        drifting: True where the error is a lower bound, because the energy still drifts or stays correlated.
        exact, exact_method: the exact energy, and where it comes from.
        error_scale: what an error of the energy is relative to: |exact|, or the radius of H where that is next to zero.
        variance, acceptance: means over the same iterations; the variance per site.
        r_hat: largest of the energy (median over the same iterations) and of all that was measured.
        r_hat_of: what it is of.
        tail_exponent, tail_exponent_error: of |E_loc - E|, by the leak tests; inf without a tail.
        leak, leak_error: variance per site that the walkers do not see, by the leak tests of the same iterations.
        seconds_per_iteration: median over the last iterations.
        seconds_left: until the last iteration, of a running run.
        checkpoint: the iteration that the last checkpoint goes on from, counted from 0: as many are done.
        checkpoint_age: seconds since it was written.
        sessions: number of starts.
        core_hours: of all of them.
        ranks, host: of the last start.
        started, ended: moments (ISO 8601, UTC); ``ended`` is empty for a run that did not say so.
        symptoms: what is wrong with the last iterations.
        go_on: the command that goes on with it; empty where there is nothing to go on with.
        starts: the seeds that a run of several starts tries; energies per site.
        kept: the seed of the run among them, once it is known.
        start_iterations: planned for each.
        draw: number of the draw that the first parameters are of; 0 for the first one.
    """

    path: str
    state: str
    message: str
    iteration: int
    iterations: int
    energy: float | None
    energy_error: float | None
    energy_units: str
    averaged: int
    averaged_from: int | None
    drifting: bool
    exact: float | None
    exact_method: str
    error_scale: float | None
    variance: float | None
    acceptance: float | None
    r_hat: float | None
    leak: float | None
    leak_error: float | None
    seconds_per_iteration: float | None
    seconds_left: float | None
    checkpoint: int | None
    checkpoint_age: float | None
    sessions: int
    core_hours: float
    ranks: int
    host: str
    started: str
    ended: str
    symptoms: tuple[Symptom, ...]
    go_on: str
    starts: tuple[StartTrial, ...] = ()
    kept: int | None = None
    start_iterations: int = 0
    r_hat_of: str = ""
    tail_exponent: float | None = None
    tail_exponent_error: float | None = None
    draw: int = 0

    @property
    def over(self) -> bool:
        """True where the run does not go on by itself."""
        return self.state != "running"


@dataclass(frozen=True)
class FitFacts:
    """A fit at one moment."""

    path: str
    epoch: int
    epochs: int
    cost: float
    infidelity: float
    seconds_per_epoch: float | None
    over: bool


@dataclass(frozen=True)
class Unreadable:
    """A path that is neither a run nor a fit, or cannot be read."""

    path: str
    message: str
    exit_code: int
    over: bool = True


Facts = RunFacts | FitFacts | Unreadable

_KINDS: dict[type, str] = {RunFacts: "run", FitFacts: "fit", Unreadable: "unreadable"}


def read_facts(path: str | os.PathLike[str]) -> RunFacts | FitFacts:
    """The facts of the run or fit in a directory or file.

    Raises:
        InputError: there is none.
        StorageError: it cannot be read.
    """
    from pvmc.io.fit_file import is_fit, open_fit
    from pvmc.io.reader import open_run

    if is_fit(Path(path)):
        return fit_facts(open_fit(path))
    facts = run_facts(open_run(path))
    # One that ended while it was looked at: its file now has the last rows, and why.
    return run_facts(open_run(path)) if facts.over and not facts.ended else facts


def run_facts(run: Run) -> RunFacts:
    """The facts of a run.

    Raises:
        StorageError: its files cannot be read any more.
    """
    state = run.status()
    part = judged(run)
    energy = part.plateau if part.plateau.n and math.isfinite(part.plateau.error) else None
    done, planned = len(run.iteration), int(run.attributes["n_iterations"])
    typical = _seconds_per_iteration(run)
    checkpoint = run.last_checkpoint() if run.path.name == FILE_NAME else None
    variance, leak = part.mean("variance"), leak_found(part)
    r_hat, tail = largest_r_hat(part), tail_found(part)
    best = best_trial(run.trials)
    return RunFacts(
        path=str(run.path),
        state=state,
        message=_message(run, state, done >= planned),
        iteration=done,
        iterations=planned,
        energy=energy.value if energy else None,
        energy_error=energy.error if energy else None,
        energy_units=run.energy_units,
        averaged=energy.n if energy else 0,
        averaged_from=int(run.iteration[energy.rows[0]]) if energy else None,
        drifting=part.plateau.n > 1 and not part.plateau.settled,
        exact=run.reference_energy_per_site,
        exact_method=run.reference_method,
        error_scale=run.error_scale_per_site,
        variance=None if variance is None else variance / run.n_sites,
        acceptance=part.mean("acceptance"),
        r_hat=r_hat.value if r_hat else None,
        r_hat_of=r_hat.of if r_hat else "",
        tail_exponent=tail.exponent if tail else None,
        tail_exponent_error=tail.error if tail else None,
        leak=leak.leak / run.n_sites if leak else None,
        leak_error=leak.error / run.n_sites if leak else None,
        seconds_per_iteration=typical,
        seconds_left=typical * max(0, planned - done) if state == "running" and typical is not None else None,
        checkpoint=checkpoint.iteration if checkpoint else None,
        checkpoint_age=max(0.0, _age(checkpoint.written)) if checkpoint else None,
        sessions=len(run.launches),
        core_hours=sum(session.core_seconds for session in run.sessions) / 3600,
        ranks=int(run.attributes["ranks"]),
        host=str(run.attributes["host"]),
        started=str(run.attributes["created"]),
        ended=run.ended,
        symptoms=symptoms(part),
        go_on=_command(run) if state in ("stopped", "failed", "dead") else "",
        starts=tuple(trial.per_site(run.n_sites) for trial in run.trials),
        kept=best.seed if best else None,
        start_iterations=int(run.config.get("run", {}).get("start_iterations", 0)) if run.trials else 0,
        draw=run.draw,
    )


def fit_facts(fit: Fit) -> FitFacts:
    """The facts of a fit."""
    epochs, seconds = fit.series["epoch"], fit.series["seconds"][1:]
    done, planned = int(epochs[-1]), int(tomllib.loads(str(fit.attributes["config"]))["fit"]["epochs"])
    return FitFacts(
        path=str(fit.path),
        epoch=done,
        epochs=planned,
        cost=float(fit.series["cost"][-1]),
        infidelity=float(fit.series["infidelity"][-1]),
        seconds_per_epoch=float(np.median(seconds[-LAST:])) if seconds.size else None,
        over=done >= planned or time.time() - fit.path.stat().st_mtime > QUIET_SECONDS,
    )


def _seconds_per_iteration(run: Run) -> float | None:
    """Of the last start, which may have another number of ranks than those before; without its first iteration, which
    loads the kernels.  Of all starts where the last has got no further."""
    first = run.sessions[-1].first_iteration if run.sessions else 0
    for rows in (run.series["seconds"][first + 1 :], run.series["seconds"][1:]):
        rows = rows[np.isfinite(rows)]
        if rows.size:
            return float(np.median(rows[-LAST:]))
    return None


def _age(moment: datetime) -> float:
    return (datetime.now(UTC) - moment).total_seconds()


def _message(run: Run, state: str, all_done: bool) -> str:
    """Why a run is over; nothing for one that has simply come to its end."""
    if state == "dead":
        return f"process {run.attributes['pid']} on {run.attributes['host']} is gone (killed, or its node went down)"
    return "" if state == "finished" and all_done else run.message


def _command(run: Run) -> str:
    """The command that goes on with a run, on as many ranks as before; empty for a file of another name."""
    if run.path.name != FILE_NAME:
        return ""
    ranks = int(run.attributes["ranks"])
    launcher = f"mpiexec -n {ranks} " if ranks > 1 else ""
    return f"{launcher}pvmc run {shlex.quote(str(run.path.parent))} --resume"


def as_json(facts: Facts) -> str:
    """The facts as a JSON object in one line; null is what is not known or not a number."""
    values: dict[str, object] = dataclasses.asdict(facts)
    if isinstance(facts, RunFacts):
        values["warnings"] = [symptom.text for symptom in facts.symptoms]
        del values["symptoms"]
        values["starts"] = [_trial_values(trial) for trial in facts.starts]
    return json.dumps({"kind": _KINDS[type(facts)], **renamed(values)}, allow_nan=False)


def _trial_values(trial: StartTrial) -> dict[str, object]:
    return renamed(dataclasses.asdict(trial)) | {"bad": trial.bad}
