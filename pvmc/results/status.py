"""Output of ``pvmc status``: one run in a few lines, several in a table, or each as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from pvmc.errors import PvmcError
from pvmc.io import fit_file, schema
from pvmc.io.storage import STOP_FILE
from pvmc.results.digits import aligned, duration, plain
from pvmc.results.facts import Facts, FitFacts, RunFacts, Unreadable, as_json, read_facts
from pvmc.results.sampling_symptoms import leak_text, tail_text


def status_text(facts: Facts) -> str:
    """A few aligned lines: of a run state, progress, energy, quality of the sampling, times, and where it is."""
    if isinstance(facts, Unreadable):
        return facts.message
    lines = _fit(facts) if isinstance(facts, FitFacts) else _run(facts)
    return "\n".join(f"{name:<16} {text}" for name, text in lines)


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
    """Progress of the trials of a run of several starts, or the one that is kept; empty for a single start."""
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
    if facts.draw:
        yield "parameters", f"drawn {_count(facts.draw, 'time')} again, at {0.5**facts.draw:.3g} of their first scale"
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
    if facts.tail_exponent is not None and facts.tail_exponent_error is not None:
        yield "tail exponent", tail_text(facts.tail_exponent, facts.tail_exponent_error)
    yield "R-hat", _measured(facts.r_hat, ".3f") + (f" of {facts.r_hat_of}" if facts.r_hat_of else "")


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


HEAD = ("run", "state", "iteration", "E/N +- error", "checkpoint", "left", "sessions", "core-h", "remarks")
_LEFT = {0, 1, len(HEAD) - 1}


def status_table(all_facts: Sequence[Facts]) -> str:
    """A head and a line for each; the last column says why a run is over, and what is wrong with it."""
    rows = [HEAD, *(_row(facts) for facts in all_facts)]
    return "\n".join(aligned(rows, _LEFT))


def _row(facts: Facts) -> tuple[str, ...]:
    if isinstance(facts, Unreadable):
        return (facts.path, "unreadable", *[""] * 6, facts.message)
    if isinstance(facts, FitFacts):
        remark = f"infidelity {facts.infidelity:.3g}"
        return (_name(facts.path), "fit", f"{facts.epoch}/{facts.epochs}", *[""] * 5, remark)
    return (
        _name(facts.path),
        facts.state,
        f"{facts.iteration}/{max(facts.iteration, facts.iterations)}",
        ""
        if facts.energy is None or facts.energy_error is None
        else f"{plain(facts.energy, facts.energy_error, 7)} +-{facts.energy_error:.1e}",
        "" if facts.checkpoint is None else f"{facts.checkpoint}, {duration(facts.checkpoint_age)} ago",
        "" if facts.seconds_left is None else duration(facts.seconds_left),
        str(facts.sessions or ""),
        f"{facts.core_hours:.3g}" if facts.sessions else "",
        _remarks(facts),
    )


def _remarks(facts: RunFacts) -> str:
    """Warnings first, in a word each: they are short, and messages are not."""
    warnings = [f"warning: {', '.join(symptom.name for symptom in facts.symptoms)}"] if facts.symptoms else []
    trying = [f"starts: {starts_text(facts)}"] if facts.starts and facts.kept is None else []
    return "; ".join([*warnings, *trying, *([facts.message] if facts.message else [])])


def _name(path: str) -> str:
    """The directory, where the file has its usual name."""
    file = Path(path)
    return str(file.parent) if file.name in (schema.FILE_NAME, fit_file.FILE_NAME) else path


def read_all(paths: Sequence[Path]) -> list[Facts]:
    """The facts of each run or fit; one of several that cannot be read does not hide the others.

    Raises:
        InputError, StorageError: the only one cannot be read.
    """
    if len(paths) == 1:
        return [read_facts(paths[0])]
    return [_read(path) for path in paths]


def _read(path: Path) -> Facts:
    try:
        return read_facts(path)
    except PvmcError as error:
        return Unreadable(str(path), str(error), error.exit_code)


def shown(facts: Sequence[Facts], json: bool) -> str:
    """The text, without the last line break; as JSON one object in each line."""
    if json:
        return "\n".join(as_json(one) for one in facts)
    return status_text(facts[0]) if len(facts) == 1 else status_table(facts)


def exit_code(facts: Sequence[Facts]) -> int:
    """That of the first that cannot be read, else 0."""
    return next((one.exit_code for one in facts if isinstance(one, Unreadable)), 0)
