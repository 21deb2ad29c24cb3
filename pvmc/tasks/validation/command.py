"""What ``pvmc validate-physics`` does: read the inputs, compare each with exact diagonalisation, print and write."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from pvmc.config import RawInput, read_input, validate
from pvmc.errors import InputError, StorageError, on_every_rank
from pvmc.mpi import Communicator, limit_threads
from pvmc.statistics.thresholds import LARGEST_RELATIVE_ERROR
from pvmc.tasks.validation.check import Report
from pvmc.tasks.validation.suite import validate_physics
from pvmc.tasks.validation.system import require_small
from pvmc.tasks.validation.tables import HEAD, line, markdown, summary, verdict
from pvmc.vmc.job import Job, JobConfig, build_job
from pvmc.vmc.recorder import describe
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
    job = build_job(validate(JobConfig, raw), raw)
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
    """What ranks other than 0 print."""
