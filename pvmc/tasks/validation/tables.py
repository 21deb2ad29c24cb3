"""Reports as text for the terminal and as a page of documentation."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan

from pvmc.tasks.validation.check import Check, Report
from pvmc.tasks.validation.sampling import DISTRIBUTION
from pvmc.tasks.validation.variational import GRADIENT

HEAD = f"{'':<6}{'check':<26}{'measured':>10}    {'allowed':<8}"

PAGE = """\
# Validation against exact diagonalisation

Made by `{command}`; do not edit.  Each input is
compared with exact diagonalisation from its Pauli strings alone: the sampled distribution with |psi|^2 over all
configurations, every local energy with (H psi)(s)/psi(s), the sampled energy with <psi|H|psi>, the gradient with
differences of the exact energy, S and the SR step with their definitions, and the energy at the end of the run with the
exact ground-state energy of its sector.  Samplers and SR have the default settings.

"""


def line(check: Check) -> str:
    """One check: verdict, name, number, what is allowed, and what the number means."""
    start = f"{'pass' if check.passed else 'FAIL':<6}{check.name:<26}"
    numbers = "" if isnan(check.limit) else f"{check.measured:>10.2e} {check.relation:>2} {check.limit:<8g} "
    return f"{start}{numbers}{check.note}".rstrip()


def verdict(report: Report) -> str:
    """The sentence below the checks of an input."""
    failed = [check.name for check in report.checks if not check.passed]
    count = len(report.checks)
    result = f"{len(failed)} of {count} checks failed: {', '.join(failed)}" if failed else f"all {count} checks passed"
    return f"{report.name}: {result} ({report.seconds:.1f} s)"


COLUMNS = (
    *("system", "N", "ansatz", "K", "exact E/N", "VMC E/N", "rel. error", "p of sampler", "gradient error", "time"),
    "result",
)


def row(report: Report) -> list[str]:
    """The entries of a report in the summary, in the order of COLUMNS."""
    out, n = report.outcome, report.n_sites
    energies = ["-", "-", "-"]
    if out is not None:
        energies = [
            f"{out.exact / n:.8g}",
            f"{out.energy / n:.8g} ± {out.error / n:.1e}",
            f"{out.relative_error:.1e}",
        ]
    numbers = [_number(report, DISTRIBUTION), _number(report, GRADIENT)]
    end = [f"{report.seconds:.0f} s", "pass" if report.passed else "FAIL"]
    return [report.name, str(n), report.ansatz, str(report.n_parameters), *energies, *numbers, *end]


def _number(report: Report, name: str) -> str:
    check = next((check for check in report.checks if check.name == name), None)
    if check is None or isnan(check.measured):
        return "-"
    return f"{check.measured:.2g}" if check.relation == ">=" else f"{check.measured:.0e}"


def summary(reports: Sequence[Report]) -> str:
    """All inputs as a table for the terminal, one line each."""
    rows = [list(COLUMNS), *(row(report) for report in reports)]
    widths = [max(len(entries[k]) for entries in rows) for k in range(len(COLUMNS))]
    return "\n".join("  ".join(map(str.ljust, entries, widths)).rstrip() for entries in rows)


def markdown(reports: Sequence[Report], command: str, ranks: int) -> str:
    """The page: what was done, one row for each input, then every check with its numbers."""
    lines = [PAGE.format(command=command) + _cells(COLUMNS), _cells(["---"] * len(COLUMNS))]
    lines += [_cells(row(report)) for report in reports]
    lines += ["", f"E in the unit of each Hamiltonian; the time is of all checks, ranks: {ranks}."]
    for report in reports:
        lines += ["", f"## {report.name}", "", "```", HEAD.rstrip()]
        lines += [line(check) for check in report.checks]
        lines += ["```"]
    return "\n".join(lines) + "\n"


def _cells(entries: Sequence[str]) -> str:
    return f"| {' | '.join(entries)} |"
