"""A request of the user, checked against the input file before a script is written."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from pvmc.errors import InputError, StorageError
from pvmc.tasks.memory import memory_per_rank
from pvmc.tasks.submission.script import MARGIN, Array, Script
from pvmc.vmc.interruptions import parse_duration
from pvmc.vmc.job import Job, load_job

SHORTEST = 300
"""Shortest time limit in seconds: the run needs some time before it is told to save."""

PYTHON_MEMORY = 0.5e9
"""Bytes of a rank besides what the sizes of the job say: Python, its libraries, MPI."""


@dataclass(frozen=True)
class JobRequest:
    """The options of ``pvmc submit``; those that are None are left to SLURM or chosen here.

    Attributes:
        config: the input file.
        file: the job script to write.
        overrides: ``key=value`` of ``--set``.
        command: the command line, for the head of the script.
    """

    config: Path
    ntasks: int
    time: str
    file: Path
    output: Path
    command: Sequence[str]
    overrides: Sequence[str] = ()
    nodes: int | None = None
    partition: str | None = None
    account: str | None = None
    memory: str | None = None
    name: str | None = None
    launcher: str = "mpiexec"
    array: Array | None = None


def check(request: JobRequest) -> Script:
    """The script that a request asks for, once everything in it is known to be good.

    Raises:
        InputError: a bad input file, more tasks than blocks of walkers, or an option that SLURM would not take.
    """
    _check_words(request)
    jobs = list(_jobs(request))
    for job in jobs:
        _check_tasks(request.ntasks, job)
    threads = jobs[0].config.run.threads_per_rank
    return Script(
        config=str(request.config),
        overrides=request.overrides,
        output=str(request.output),
        name=request.name or _plain(request.config.stem),
        file=str(request.file),
        written_by=request.command,
        ntasks=request.ntasks,
        nodes=request.nodes,
        cpus=threads,
        memory=request.memory or _memory(jobs, request.ntasks, threads),
        time=slurm_time(request.time),
        partition=request.partition,
        account=request.account,
        launcher=request.launcher,
        array=request.array,
        directory=shlex.quote(os.getcwd()),
        bin=shlex.quote(str(Path(sys.executable).parent)),
    )


def prepare(text: str, file: Path, overwrite: bool) -> None:
    """Write a script, unless it is there already.

    Raises:
        InputError: another one is there.
        StorageError: it cannot be written.
    """
    try:
        if file.exists():
            if file.read_text(encoding="utf-8", errors="replace") == text:
                return
            if not overwrite:
                raise InputError(f"{file}: exists and differs: --overwrite replaces it, --write FILE writes another")
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{file}: cannot be written: {error.strerror}") from None


def _jobs(request: JobRequest) -> Sequence[Job]:
    """The job, or the first and last of an array over seeds (the others are alike), or all of one over alpha."""
    array = request.array
    if array is None:
        return [load_job(request.config, request.overrides)]
    values = array.values if array.key == "ansatz.alpha" else sorted({array.values[0], array.values[-1]})
    return [load_job(request.config, [*request.overrides, f"{array.key}={value}"]) for value in values]


def _check_tasks(ntasks: int, job: Job) -> None:
    n_blocks = job.sampler.n_blocks
    if ntasks > n_blocks:
        raise InputError(
            f"--ntasks {ntasks}: this job has {n_blocks} block{'s' if n_blocks > 1 else ''} of walkers "
            f"({job.sampler.describe()}) and can use at most as many ranks: fewer tasks, more walkers, or a smaller "
            "sampler.block_width"
        )


def _check_words(request: JobRequest) -> None:
    texts = [*map(str, (request.config, request.file, request.output, os.getcwd(), sys.executable)), *request.command]
    if broken := next((text for text in texts if not text.isprintable()), None):
        raise InputError(f"{broken!r}: a job script takes names and values of one line, of printable characters")
    if request.nodes is not None and request.nodes > request.ntasks:
        raise InputError(f"--nodes {request.nodes}: more nodes than the {request.ntasks} tasks that would use them")
    for option, word in (("partition", request.partition), ("account", request.account), ("name", request.name)):
        if word is not None and not re.fullmatch(r"[\w.,+@-]+", word):
            raise InputError(f"--{option} {word}: must be letters, digits and . , + @ _ - only")
    if request.memory is not None and not re.fullmatch(r"[1-9]\d*[KMGT]?", request.memory):
        raise InputError(f"--mem-per-cpu {request.memory}: must be a whole number and K, M, G or T, such as 2G")
    if seconds_of(request.time) < SHORTEST:
        raise InputError(
            f"--time {request.time}: must be at least {SHORTEST // 60} minutes, as the run is told to save "
            f"{MARGIN // 60} minutes before the end"
        )


def slurm_time(text: str) -> str:
    """A time limit as SLURM writes it: as it stands, or hours, minutes and seconds for units such as 1h30m."""
    if not re.search("[a-z]", text.lower()):
        return text
    minutes, seconds = divmod(seconds_of(text), 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}"


def seconds_of(text: str) -> int:
    """A time limit as SLURM writes it, or as ``pvmc run --time-limit`` takes it, in seconds.

    Raises:
        InputError: none of these forms.
    """
    if re.search("[a-z]", text.lower()):
        return int(parse_duration(text, "--time"))
    days = re.fullmatch(r"(\d+)-(\d+)(?::(\d+))?(?::(\d+))?", text)
    if days:
        day, hours, minutes, seconds = (int(part or 0) for part in days.groups())
        return ((day * 24 + hours) * 60 + minutes) * 60 + seconds
    parts = [int(part) for part in text.split(":")] if re.fullmatch(r"\d+(:\d+){0,2}", text) else []
    match parts:
        case [minutes]:
            return 60 * minutes
        case [minutes, seconds]:
            return 60 * minutes + seconds
        case [hours, minutes, seconds]:
            return 3600 * hours + 60 * minutes + seconds
    raise InputError(
        f"--time {text}: must be HOURS:MINUTES:SECONDS, DAYS-HOURS or MINUTES, such as 12:00:00, 2-00 or 12h"
    )


def _plain(stem: str) -> str:
    """A name for job and log, without characters that mean something to SLURM."""
    return re.sub(r"[^A-Za-z0-9_.+-]+", "-", stem).strip("-.") or "pvmc"


def _memory(jobs: Sequence[Job], ntasks: int, threads: int) -> str:
    """Memory to ask for, for each core: the predicted peak and half as much, in whole GB, 2 at least."""
    largest = max(memory_per_rank(job, ntasks).total for job in jobs)
    return f"{max(2, ceil((1.5 * largest + PYTHON_MEMORY) / threads / 2**30))}G"
