"""Interruptions of a run from outside: signals, its time limit, the end of the SLURM job around it."""

from __future__ import annotations

import contextlib
import math
import os
import re
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import FrameType, TracebackType
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field

from pvmc.config import InWords, Section, shown
from pvmc.errors import InputError
from pvmc.mpi import Communicator

SLURM_MARGIN = 60.0
"""Seconds kept before the end of a SLURM job unless the input says otherwise: to write files and leave MPI."""

RECENT = 20
"""Iterations that the slowest one is looked for among."""

SLOWEST_FACTOR = 3.0
"""Iterations as slow as the slowest that must still fit in before the end."""

CHECKPOINT_FACTOR = 2.0
"""Checkpoints as slow as the last that must still fit in: file systems slow down where many jobs end together."""

ASK_SECONDS = 5.0
"""How long SLURM may take to answer."""

FORMS = '"90" (minutes), "24:00:00", "1-12:00:00" (days-hours:minutes:seconds), or "30s", "45m", "2h", "1d", "1h30m"'
"""Forms of a length of time, for messages."""

LONGEST = 1e9
"""No limit is longer, in seconds: 30 years."""

_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_IN_UNITS = re.compile("".join(rf"(?:(\d+(?:\.\d+)?){unit})?" for unit in _UNITS), re.ASCII)
_ON_THE_CLOCK = re.compile(r"(?:(\d+)-)?(\d+(?::\d+){0,2})", re.ASCII)

Ask = Callable[[Sequence[str]], str]
"""Runs a command and returns what it prints; empty where there is no answer."""


def _length_of_time(text: str | None) -> str | None:
    """The text, if it is a length of time; a validator."""
    if text is not None and not _seconds(text):
        raise ValueError(f"must be a length of time: {FORMS}")
    return text


class TimeSpec(Section):
    """When the run stops for lack of time, with its state saved, to be resumed."""

    limit: Annotated[str | None, AfterValidator(_length_of_time), InWords(f"a length of time: {FORMS}")] = None
    """wall time from the start of the program; default: none"""
    slurm: bool = True
    """whether to stop before the end of the SLURM job that the run is in"""
    margin: float | None = Field(default=None, ge=0.0)
    """seconds kept before the end, besides 3 slow iterations and 2 checkpoints; default: 60 for SLURM's, 0 for limit"""


def parse_duration(text: str, name: str = "--time-limit") -> float:
    """Seconds, from SLURM's forms (a plain number is minutes, two numbers are minutes:seconds) or units d, h, m, s.

    Args:
        text: such as "24:00:00", "1-12:00:00", "2-12" (days-hours), "90", "45m" or "1h30m".
        name: what the text is, for the message.

    Raises:
        InputError: it is none of these forms, or no time at all.
    """
    seconds = _seconds(text)
    if not seconds:
        raise InputError(f"{name} {shown(text)}: must be a length of time: {FORMS}")
    return seconds


def _seconds(text: str) -> float:
    """Seconds in any of the forms; 0 where it is none of them."""
    bare = text.strip().lower()
    seconds = _clock_seconds(bare)
    if seconds is None and bare and (found := _IN_UNITS.fullmatch(bare)):
        seconds = sum(float(part) * unit for part, unit in zip(found.groups("0"), _UNITS.values(), strict=True))
    return seconds if seconds and seconds < LONGEST else 0.0


def _clock_seconds(text: str) -> float | None:
    """Seconds of ``[days-]hours[:minutes[:seconds]]``, or without days ``minutes`` or ``[hours:]minutes:seconds``."""
    found = _ON_THE_CLOCK.fullmatch(text)
    if not found:
        return None
    days, fields = found[1], [float(field) for field in found[2].split(":")]
    units = (3600.0, 60.0, 1.0) if days or len(fields) == 3 else (60.0, 1.0)
    return sum(field * unit for field, unit in zip(fields, units, strict=False)) + 86400.0 * float(days or 0)


@dataclass
class TimeLimit:
    """The moment by which a run must be over, and how much time before it is kept in hand.  On rank 0 alone.

    Attributes:
        end: the moment, in seconds of ``time.monotonic``.
        source: whose limit it is, in words.
        margin: seconds kept in hand, besides what slow iterations and checkpoints take.
    """

    end: float
    source: str
    margin: float

    def __post_init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._saving = 0.0

    @property
    def reserve(self) -> float:
        """Seconds before the end at which to stop: the margin, 3 slow iterations and 2 checkpoints."""
        return self.margin + SLOWEST_FACTOR * max(self._recent, default=0.0) + CHECKPOINT_FACTOR * self._saving

    def iterated(self, seconds: float) -> None:
        """An iteration took so long."""
        self._recent.append(seconds)

    def saved(self, seconds: float) -> None:
        """A checkpoint took so long."""
        self._saving = seconds

    def due(self, now: float) -> bool:
        """True where it is time to stop."""
        return now >= self.end - self.reserve

    def describe(self, now: float) -> str:
        """The time that is left and the part of it that is kept, in words."""
        return f"{in_words(max(0.0, self.end - now))} left of {self.source}, of which {in_words(self.reserve)} are kept"


@dataclass(frozen=True)
class FoundLimit:
    """The limit that holds for a run; None without one; and a warning where one should have been found."""

    limit: TimeLimit | None
    warning: str = ""


def find_time_limit(
    spec: TimeSpec,
    started: float,
    environment: Mapping[str, str] = os.environ,
    ask: Ask | None = None,
) -> FoundLimit:
    """The earlier of the user's limit and the end of the SLURM job.  For rank 0 alone: it may ask SLURM, for seconds.

    Args:
        spec: the user's wishes.
        started: when the program started, in seconds of ``time.monotonic``.
        environment: where SLURM says which job this is.
        ask: runs SLURM's commands; for tests.

    Raises:
        InputError: the user's limit is no length of time.
    """
    limits, warning = [], ""
    if spec.limit is not None:
        end = started + parse_duration(spec.limit, "run.time.limit =")
        limits.append(TimeLimit(end, f"the time limit of {spec.limit}", spec.margin or 0.0))
    if spec.slurm and environment.get("SLURM_JOB_ID"):
        left, warning = slurm_seconds_left(environment, ask or _answer)
        if left < math.inf:
            margin = SLURM_MARGIN if spec.margin is None else spec.margin
            job = f"SLURM job {environment['SLURM_JOB_ID']}"
            limits.append(TimeLimit(time.monotonic() + left, job, margin))
    earliest = min(limits, key=lambda limit: limit.end - limit.margin, default=None)
    return FoundLimit(earliest, warning)


def slurm_seconds_left(environment: Mapping[str, str], ask: Ask) -> tuple[float, str]:
    """Seconds until SLURM ends the job, infinite without a limit; and a warning where it cannot be found out.

    Newer versions of SLURM give the end in SLURM_JOB_END_TIME; else ``squeue`` and ``scontrol`` are asked for the time
    left, which, unlike a date, means the same in every time zone.
    """
    job, end = environment["SLURM_JOB_ID"], environment.get("SLURM_JOB_END_TIME", "")
    if end.isdecimal() and int(end) > 0:
        return int(end) - time.time(), ""
    answers = [ask(["squeue", "--noheader", "--jobs", job, "--format", "%L"]).strip()]
    if answers[0] != "UNLIMITED" and _clock_seconds(answers[0]) is None:
        answers = _limit_and_run_time(ask(["scontrol", "--oneliner", "show", "job", job]))
    if answers[:1] == ["UNLIMITED"]:
        return math.inf, ""
    seconds = [found for answer in answers if (found := _clock_seconds(answer)) is not None]
    if seconds and len(seconds) == len(answers):
        return seconds[0] - sum(seconds[1:]), ""
    return math.inf, (
        f"the end of SLURM job {job} cannot be found out, and the run will not stop before it: give a --time-limit, "
        "or have SLURM send a signal before the end (sbatch --signal=USR1@120)"
    )


def _limit_and_run_time(answer: str) -> list[str]:
    """``TimeLimit`` and ``RunTime`` of a job that scontrol shows."""
    fields = dict(re.findall(r"\b(TimeLimit|RunTime)=(\S+)", answer))
    return [fields[name] for name in ("TimeLimit", "RunTime") if name in fields] if "TimeLimit" in fields else []


def _answer(command: Sequence[str]) -> str:
    """The output of a command; empty where it fails, is not there, or takes too long."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=ASK_SECONDS, check=True, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return ""
    return done.stdout


def in_words(seconds: float) -> str:
    """Seconds as hours, minutes and seconds: "0:01:30", "1 day, 2:00:00"; tenths below ten seconds: "2.5 s"."""
    return f"{seconds:.1f} s" if seconds < 10.0 else str(timedelta(seconds=round(seconds)))


STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)
"""Signals that ask for a stop: Ctrl-C, what batch systems send before the end (TERM, or that of ``sbatch --signal``), a
terminal that goes (HUP), and what launchers pass on: MPICH's mpiexec TERM, INT and USR1, Open MPI's USR1 and USR2.
Asked to end by TERM or INT, Open MPI's mpiexec sends CONT, TERM after 0.25 s (before version 5: 1 s), and KILL after as
long again."""

WARNING = signal.SIGCONT
"""Signal that may come before the end: also where a batch system ends a job, but as well where one that was suspended
goes on.  So it stops nothing."""

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Of :data:`STOPPING`, those that are meant to end the whole program, not only the run in it."""

IGNORABLE = (signal.SIGINT, signal.SIGHUP)
"""Signals that stay ignored where they were: of a shell's background jobs, under ``nohup``."""

ECHO_SECONDS = 1.0
"""A SIGINT so soon after the first is the same one: a terminal sends it to all, and a launcher passes it on."""


class Signals:
    """The signals that reach this rank while the context is open; a context manager.

    The first signal of :data:`STOPPING` is noted in :attr:`received`, and the run goes on until it looks there.  A
    second SIGINT, over a second after the first, raises KeyboardInterrupt at once, wherever the program is.

    The handlers that were there before come back at the end.  Outside the main thread, where Python installs none,
    nothing is listened to.  Those of :data:`IGNORABLE` stay ignored where they were; the others are noted even then,
    since job scripts ignore them to outlive them (``trap '' USR1``) and their children inherit that.

    Attributes:
        received: number of the first signal that came; 0 while there was none.
        warned: whether :data:`WARNING` came; the code that acts on it sets it back.
    """

    def __init__(self) -> None:
        self.received = 0
        self.warned = False
        self._interrupted: float | None = None
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in STOPPING:
                if number not in IGNORABLE or signal.getsignal(number) != signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, self._note)
            self._previous[WARNING] = signal.signal(WARNING, self._warn)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            # None stands for a handler that Python did not install and cannot put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._previous.clear()

    def raise_again(self) -> None:
        """Give the signal that came to the handlers outside the context, where it is meant to end the program."""
        if self.received in ENDING:
            signal.raise_signal(self.received)

    def _warn(self, number: int, frame: FrameType | None) -> None:
        self.warned = True

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = self.received or number
        if number != signal.SIGINT:
            return
        now = time.monotonic()
        if self._interrupted is None:
            self._interrupted = now
        elif now - self._interrupted > ECHO_SECONDS:
            raise KeyboardInterrupt


@contextlib.contextmanager
def stopped_by_signals(comm: Communicator, ends_program: bool) -> Iterator[Signals]:
    """Collective. The signals of a run, or of a measurement.

    Where the caller does not end the program afterwards, a signal that is meant to end it is raised again when the
    context is left without an error and all ranks have closed their files: it ends a script, and Ctrl-C raises
    KeyboardInterrupt there.
    """
    with Signals() as signals:
        yield signals
    if not ends_program:
        comm.barrier()
        signals.raise_again()


def signal_name(number: int) -> str:
    """The name of a signal, such as "SIGTERM"."""
    with contextlib.suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"
