"""How far a run is and how good, in a few lines: what ``pvmc status`` prints of one run."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from pvmc.io.storage import STOP_FILE
from pvmc.results.digits import plain
from pvmc.results.facts import Facts, FitFacts, RunFacts, Unreadable
from pvmc.results.leak import leak_text


def status_text(facts: Facts) -> str:
    """A few aligned lines: of a run state, progress, energy, quality of the sampling, times, and where it is."""
    if isinstance(facts, Unreadable):
        return facts.message
    lines = _fit(facts) if isinstance(facts, FitFacts) else _run(facts)
    return "\n".join(f"{name:<16} {text}" for name, text in lines)


def duration(seconds: float | None) -> str:
    """Seconds in words short enough for a column: 42s, 3m20s, 5h04m, 2d07h; "-" for what is no time."""
    if seconds is None or not math.isfinite(seconds) or seconds < 0:
        return "-"
    whole = round(seconds)
    for larger, smaller, large_name, small_name in ((86400, 3600, "d", "h"), (3600, 60, "h", "m"), (60, 1, "m", "s")):
        if whole >= larger:
            return f"{whole // larger}{large_name}{whole % larger // smaller:02d}{small_name}"
    return f"{whole}s"


def checkpoint_text(facts: RunFacts) -> str:
    """The last checkpoint: its iteration, and how long ago it was written."""
    if facts.checkpoint is None:
        return "none"
    return f"iteration {facts.checkpoint}, {duration(facts.checkpoint_age)} ago"


def _fit(facts: FitFacts) -> Iterator[tuple[str, str]]:
    yield "fit", facts.path
    yield "epoch", _share(facts.epoch, facts.epochs)
    yield "cost", f"{facts.cost:.4g}"
    yield "infidelity", f"{facts.infidelity:.4g}"
    if facts.seconds_per_epoch is not None:
        yield "per epoch", f"{facts.seconds_per_epoch:.3g} s"


def _run(facts: RunFacts) -> Iterator[tuple[str, str]]:
    yield "run", facts.path
    yield "state", f"{facts.state}: {facts.message}" if facts.message else facts.state
    if facts.go_on:
        yield "go on with", facts.go_on
    if facts.state == "running":
        stop_file = Path(facts.path).parent / STOP_FILE
        yield "stop with", f"touch {stop_file}, or kill -USR1 of mpiexec (without it, of pvmc)"
    yield from _progress(facts)
    yield from _accuracy(facts)
    for symptom in facts.symptoms:
        yield "warning", symptom.text
    yield from _origin(facts)


def starts_text(facts: RunFacts) -> str:
    """How far the trials of a run of several starts are, or which is kept; empty for a single start."""
    over = [trial for trial in facts.starts if trial.over]
    if not facts.starts or (len(over) == len(facts.starts) and facts.kept is None):
        return f"all {len(over)} bad" if over else ""
    if facts.kept is not None:
        best = next(trial for trial in facts.starts if trial.seed == facts.kept)
        return f"best of {len(over)}: {best.describe()}"
    now = next(trial for trial in facts.starts if not trial.over)
    lowest = min(over, key=lambda trial: trial.energy, default=None)
    best_yet = f"; best so far: {lowest.describe()}" if lowest and not lowest.bad else ""
    trying = f"trying {len(over) + 1} of {len(facts.starts)}, seed {now.seed}"
    return f"{trying}, iteration {now.iterations}/{facts.start_iterations}{best_yet}"


def _progress(facts: RunFacts) -> Iterator[tuple[str, str]]:
    if text := starts_text(facts):
        yield "starts", text
    yield "iteration", _share(facts.iteration, facts.iterations)
    if facts.seconds_per_iteration is not None:
        yield "per iteration", f"{facts.seconds_per_iteration:.3g} s"
    if facts.seconds_left is not None:
        yield "time left", duration(facts.seconds_left)
    if facts.state != "finished":
        yield "last checkpoint", checkpoint_text(facts)


def _accuracy(facts: RunFacts) -> Iterator[tuple[str, str]]:
    if facts.energy is None or facts.energy_error is None:
        return
    bound = "; not settled: the error is a lower bound" if facts.drifting else ""
    averaged = (
        f"(last {facts.averaged} iterations, from {facts.averaged_from} on{bound})"
        if facts.averaged > 1
        else "(one iteration, its own error)"
    )
    yield (
        "E/N",
        f"{plain(facts.energy, facts.energy_error)} +- {facts.energy_error:.1e} {facts.energy_units} {averaged}",
    )
    if facts.exact is not None:
        yield "exact E/N", f"{facts.exact:#.10g} {facts.energy_units} ({facts.exact_method})"
    if facts.exact is not None and (scale := facts.error_scale):
        yield "relative error", f"{(facts.energy - facts.exact) / scale:.2e} +- {facts.energy_error / scale:.1e}"
    yield "variance/N", _measured(facts.variance, ".3g")
    if facts.leak is not None and facts.leak_error is not None:
        yield "leak/N", leak_text(facts.leak, facts.leak_error, facts.energy_units)
    yield "acceptance", _measured(facts.acceptance, ".3g")
    median = " (median)" if facts.averaged > 1 and facts.r_hat is not None else ""
    yield "R-hat", _measured(facts.r_hat, ".3f") + median


def _origin(facts: RunFacts) -> Iterator[tuple[str, str]]:
    yield "where", f"{_count(facts.ranks, 'rank')}, rank 0 on {facts.host}"
    if facts.sessions:
        yield "sessions", f"{facts.sessions}, {facts.core_hours:.3g} core-hours"
    yield "started", _moment(facts.started)
    if facts.ended:
        yield "ended", _moment(facts.ended)


def _share(done: int, planned: int) -> str:
    if done > planned:  # of a run that was resumed with fewer
        return f"{done}, of which {planned} were asked for last"
    return f"{done}/{planned} ({100 * done // max(1, planned)} %)"


def _measured(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _moment(text: str) -> str:
    """An ISO 8601 time as "2026-03-14 15:09:26 UTC"."""
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M:%S %Z}"
