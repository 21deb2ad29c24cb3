"""Validation of input files: read, compared with exact diagonalisation, printed, and written as a page."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from functools import partial
from math import isnan
from pathlib import Path

from pvmc.config import RawInput, read_input
from pvmc.errors import InputError, StorageError, on_every_rank
from pvmc.mpi import Communicator, limit_threads
from pvmc.statistics.thresholds import LARGEST_RELATIVE_ERROR
from pvmc.tasks.validation.check import Check, Report
from pvmc.tasks.validation.stochastic import DISTRIBUTION
from pvmc.tasks.validation.suite import validate_physics
from pvmc.tasks.validation.system import require_small
from pvmc.tasks.validation.variational import GRADIENT
from pvmc.vmc.display import describe
from pvmc.vmc.job import Job, job_of
from pvmc.vmc.sectors import sector_of


def validate_inputs(
    paths: Sequence[Path], overrides: Sequence[str], accuracy: float, page: Path | None, comm: Communicator
) -> list[Report]:
    """Collective. Validate input files one after the other; rank 0 prints as it goes, and writes the page.

    Raises:
        InputError: a file that cannot be used, found before anything is computed; on every rank.
        StorageError: the page cannot be written.
    """
    show = print if comm.rank == 0 else _silent
    inputs = [comm.root_value(partial(read_input, path, overrides)) for path in paths]
    with on_every_rank():
        jobs = [_small_job(raw) for raw in inputs]
    reports = []
    for path, job in zip(paths, jobs, strict=True):
        limit_threads(job.config.run.threads_per_rank)
        show(f"{path}: {describe(job)}", flush=True)
        elsewhere = comm.root_value(partial(_elsewhere, job))
        if elsewhere:
            show(f"warning: {elsewhere}; energies are compared with those of the states of this input", flush=True)
        show(HEAD.rstrip())
        report = validate_physics(
            path.stem, job, comm, accuracy=accuracy, show=lambda check: show(line(check), flush=True)
        )
        show(f"{verdict(report)}\n", flush=True)
        reports.append(report)
    show(summary(reports), flush=True)
    if page is not None:
        text = markdown(reports, _command(paths, overrides, accuracy, page), comm.size)
        comm.on_root(partial(_write, page, text))
        show(f"wrote {page}")
    return reports


def _small_job(raw: RawInput) -> Job:
    job = job_of(raw)
    try:
        require_small(job)
    except InputError as error:
        raise InputError(f"{raw.file}: {error}") from None
    return job


def _elsewhere(job: Job) -> str:
    """Why the ground state is not among the states of a job; work of one rank."""
    return sector_of(job).elsewhere


def _command(paths: Sequence[Path], overrides: Sequence[str], accuracy: float, page: Path) -> str:
    """The command line that makes the page; all inputs of one folder stand as a pattern."""
    folders = {path.parent for path in paths}
    folder = next(iter(folders))
    whole = len(folders) == 1 and len(paths) > 1 and set(paths) == set(folder.glob("*.toml"))
    files = [f"{folder}/*.toml"] if whole else [shlex.quote(str(path)) for path in paths]
    flags = [f"--set {shlex.quote(override)}" for override in overrides]
    limit = [] if accuracy == LARGEST_RELATIVE_ERROR else [f"--accuracy {accuracy:g}"]
    return " ".join(["pvmc validate-physics", *files, *flags, *limit, f"--markdown {shlex.quote(str(page))}"])


def _write(page: Path, text: str) -> None:
    try:
        page.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{page}: cannot be written: {error.strerror}") from None


def _silent(*values: object, flush: bool = False) -> None:
    """Nothing: ranks other than 0 do not print."""


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
