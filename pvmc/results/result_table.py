"""Results of several runs as a table for the terminal, CSV, JSON or LaTeX."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Callable, Sequence
from typing import Any

from pvmc.results.digits import aligned, renamed, short, unambiguous, with_error
from pvmc.results.result import Result, ZeroVariance

HEAD = (
    *("run", "model", "alpha", "K", "E/N", "rel. error", "var/N", "V-score", "iterations", "samples", "total"),
    "core-h",
)
"""Columns of the table for the terminal."""

NOT_SETTLED = "not settled: the error is a lower bound"
"""Meaning of the star beside an energy."""

_LEFT = {0, 1}

_LATEX_HEAD = (
    *("Run", "Model", r"$\alpha$", r"$K$", r"$E/N$", r"$\epsilon_{\rm rel}$", r"$\sigma^2/N$", r"$V$-score"),
    *("Iterations", "Samples", "Core-hours"),
)
_SPECIAL = {"_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}", "~": r"\~{}"}
_SPECIAL |= {"^": r"\^{}", "\\": r"\textbackslash{}"}


def cells(result: Result) -> tuple[str, ...]:
    """The row of a result under HEAD."""
    return (
        result.name,
        result.model,
        short(result.alpha, "g"),
        str(result.n_parameters),
        with_error(result.energy, result.energy_error) + ("" if result.settled else " *"),
        _relative(result),
        short(result.variance),
        short(result.v_score),
        str(result.iterations),
        short(result.samples, ".0f"),
        short(result.total_samples),
        short(result.core_hours),
    )


def table(results: Sequence[Result], extrapolation: ZeroVariance | None) -> str:
    """A table of aligned columns, then the extrapolation and the warnings, one line each."""
    rows = [HEAD, *(cells(result) for result in results)]
    lines = aligned(rows, _LEFT)
    lines.append(f"energies in {', '.join(sorted({result.units for result in results}))}")
    if any(not result.settled for result in results):
        lines.append(f"* {NOT_SETTLED}")
    if extrapolation is not None:
        lines.append(extrapolation_text(extrapolation))
    lines += [f"warning: {result.name}: {warning}" for result in results for warning in result.warnings]
    return "\n".join(lines)


def extrapolation_text(found: ZeroVariance) -> str:
    """One line."""
    jackknife = "" if found.jackknife is None else f"jackknife {found.jackknife:.1e}, "
    errors = f"{jackknife}statistical {found.propagated:.1e}"
    return f"zero variance: E/N = {with_error(found.energy, found.error)} ({found.n} runs; errors: {errors})"


def as_csv(results: Sequence[Result], extrapolation: ZeroVariance | None) -> str:
    """One row per run, every attribute of :class:`Result` in full; the extrapolation as a row of its own."""
    names = [field.name for field in dataclasses.fields(Result)]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([unambiguous(name) for name in names])
    for result in results:
        values = dataclasses.asdict(result) | {"warnings": "; ".join(result.warnings)}
        writer.writerow(["" if values[name] is None else values[name] for name in names])
    if extrapolation is not None:
        row: dict[str, object] = {"name": "zero variance", "variance": 0.0}
        row |= {"energy": extrapolation.energy, "energy_error": extrapolation.error}
        writer.writerow([row.get(name, "") for name in names])
    return out.getvalue().rstrip("\n")


def as_json(results: Sequence[Result], extrapolation: ZeroVariance | None) -> str:
    """An object with "runs", a list, and "extrapolation", which is null where none was asked for."""
    values: dict[str, Any] = {"runs": [renamed(_plain(result)) for result in results]}
    values["extrapolation"] = None if extrapolation is None else renamed(dataclasses.asdict(extrapolation))
    return json.dumps(values, indent=2, allow_nan=False)


def as_latex(results: Sequence[Result], extrapolation: ZeroVariance | None) -> str:
    """A tabular of the package booktabs; energies carry their errors in brackets."""
    lines = [rf"\begin{{tabular}}{{ll{'r' * (len(_LATEX_HEAD) - 2)}}}", r"\toprule"]
    lines += [" & ".join(_LATEX_HEAD) + r" \\", r"\midrule"]
    lines += [" & ".join(_latex_cells(result)) + r" \\" for result in results]
    if extrapolation is not None:
        energy = f"${with_error(extrapolation.energy, extrapolation.error)}$"
        empty = [""] * (len(_LATEX_HEAD) - 5)
        lines += [r"\midrule", " & ".join(["Zero variance", "", "", "", energy, *empty[:-1], ""]) + r" \\"]
    lines.append(r"\bottomrule")
    if any(not result.settled for result in results):
        lines.append(rf"\multicolumn{{{len(_LATEX_HEAD)}}}{{l}}{{${{}}^*$ {NOT_SETTLED}}} \\")
    return "\n".join([*lines, r"\end{tabular}"])


FORMATS: dict[str, Callable[[Sequence[Result], ZeroVariance | None], str]] = {
    "table": table,
    "csv": as_csv,
    "json": as_json,
    "latex": as_latex,
}
"""Formats of ``pvmc analyze --format``."""


def latex_text(text: str) -> str:
    """Text with what LaTeX would read as commands escaped."""
    return "".join(_SPECIAL.get(letter, letter) for letter in text)


def latex_number(value: float | None) -> str:
    """A number in three digits, with a power of ten where it is small or large; "--" for none."""
    if value is None or not math.isfinite(value):
        return "--"
    mantissa, _, exponent = f"{value:.3g}".partition("e")
    return rf"${mantissa} \times 10^{{{int(exponent)}}}$" if exponent else f"${mantissa}$"


def _latex_cells(result: Result) -> list[str]:
    return [
        latex_text(result.name),
        latex_text(result.model),
        latex_number(result.alpha),
        str(result.n_parameters),
        f"${with_error(result.energy, result.energy_error)}{'' if result.settled else '^*'}$",
        latex_number(result.relative_error),
        latex_number(result.variance),
        latex_number(result.v_score),
        str(result.iterations),
        short(result.samples, ".0f"),
        latex_number(result.core_hours),
    ]


def _relative(result: Result) -> str:
    if result.relative_error is None or result.relative_error_error is None:
        return "-"
    return f"{result.relative_error:.1e}+-{result.relative_error_error:.0e}"


def _plain(result: Result) -> dict[str, Any]:
    """All attributes, the system as an object."""
    return dataclasses.asdict(result) | {"system": json.loads(result.system or "{}")}
