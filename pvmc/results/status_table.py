"""Several runs and fits in a table, one line each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pvmc.io import fit_file, schema
from pvmc.results.digits import plain
from pvmc.results.facts import Facts, FitFacts, RunFacts, Unreadable
from pvmc.results.summary import duration, starts_text

HEAD = ("run", "state", "iteration", "E/N +- error", "checkpoint", "left", "sessions", "core-h", "remarks")
_LEFT = {0, 1, len(HEAD) - 1}


def status_table(all_facts: Sequence[Facts]) -> str:
    """A head and a line for each; the last column says why a run is over, and what is wrong with it."""
    rows = [HEAD, *(_row(facts) for facts in all_facts)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    return "\n".join(_line(row, widths) for row in rows)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        cell.ljust(width) if column in _LEFT else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()


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
