"""Tuning: short runs of variants of an input, each with the same processor time, and the input that came out best.

One factor is varied at a time, from the best so far: the number field of the weights, hidden units, samples, moves, the
learning rate, momentum; then again from the first, as long as there is time and something was gained.  The variants of
a factor are halved once: the better half of them after EARLY of the time of a trial goes on to its end, where the best
is compared with the best so far.
"""

from __future__ import annotations

import contextlib
import math
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

import pvmc
from pvmc.config import RawInput, edited, overridden, to_toml
from pvmc.errors import DifferentRanks, InputError, NumericalError, on_every_rank
from pvmc.io.storage import require_new, write_new
from pvmc.mpi import Communicator, Node, limit_threads, node_of, oversubscription
from pvmc.results.digits import short
from pvmc.results.plateau import plateau
from pvmc.statistics.thresholds import SPIKE_R_HAT
from pvmc.tasks.memory import require_memory
from pvmc.vmc.automatic import FACTORS, Changes, Factor, held
from pvmc.vmc.display import TrialReporter, describe, warn
from pvmc.vmc.interruptions import Signals, TimeLimit, stopped_by_signals
from pvmc.vmc.job import Draft, Job
from pvmc.vmc.loop import State
from pvmc.vmc.pieces import Piece, Round, StopReason, carry_out
from pvmc.vmc.rollback import GoneBack, Rollback
from pvmc.vmc.start import compile_kernels, initial_state, redraws, require_support
from pvmc.vmc.stop import StopWatcher

EARLY = 1.0 / 3.0
"""Part of the time of a trial after which the better half of the variants of a factor goes on."""

FEWEST, LARGEST_FIRST = 16, 0.4
"""Iterations that a trial should have, and the part of the time that the first one takes at most to have them."""

PLANNED = 0.9
"""Part of the time that is planned for one round of all factors."""


@dataclass(frozen=True)
class TuneRequest:
    """A request to tune an input.

    Attributes:
        raw: the input as it was read.
        job: its job.
        output: file for the input to use; none of this name may exist.
        minutes: wall time of all trials, that of compiling kernels not counted.
        seed: of the trials; None: that of the input.
        tries: keys and values that are tried besides, as TOML text.
    """

    raw: RawInput
    job: Job
    output: Path
    minutes: float
    seed: int | None
    tries: Sequence[tuple[str, Sequence[str]]]


@dataclass(frozen=True)
class Score:
    """The result of a trial after some time: energies of all sites, means over the last part of its iterations."""

    value: float = math.inf
    error: float = 0.0
    iterations: int = 0
    acceptance: float = math.nan
    r_hat: float = math.nan

    def per_site(self, n_sites: int) -> str:
        """The energy per site and its error."""
        return f"{self.value / n_sites:.7g} +- {self.error / n_sites:.1e}" if math.isfinite(self.value) else "-"

    @property
    def bound(self) -> float:
        """Value and error, by which variants are ordered."""
        return self.value + self.error

    def beats(self, other: Score) -> bool:
        """True where the energy is lower by more than the error of the difference, of walkers that agree."""
        disagree = self.r_hat > SPIKE_R_HAT and not other.r_hat >= self.r_hat
        return not disagree and self.value < other.value - math.hypot(self.error, other.error)


@dataclass
class Share(TimeLimit):
    """The time of a trial: until so much processor time of this process is used, or a moment has come.

    Attributes:
        processor: the processor time of the whole trial, in seconds; :meth:`Trial.advance` adds when it began.
        fewest: iterations before that moment does not count, unless ``last`` has come as well.
        last: the latest moment, in seconds of ``time.monotonic``.
    """

    processor: float = math.inf
    fewest: int = 0
    last: float = math.inf

    def iterated(self, seconds: float) -> None:
        """An iteration took so long."""
        self.fewest -= 1

    def due(self, now: float) -> bool:
        """True where the trial stops."""
        over = now >= self.end or time.process_time() >= self.processor
        return (over and self.fewest <= 0) or now >= self.last


class Trial(Piece):
    """A short run of a variant, which may go on later.

    Attributes:
        changes: keys that differ from the user's input.
        words: what was tried, in words.
        job: the job.
        used: seconds of processor time of rank 0 so far; the same on every rank between two advances.
        failure: why its numbers went bad; empty where they did not.
        outcome: in words, for the table.
    """

    def __init__(self, changes: Changes, words: str, job: Job, show: Callable[[str], None] | None = None):
        self.changes, self.words, self.job, self._show = changes, words, job, show
        self.used, self.failure, self.outcome, self._went_back = 0.0, "", "", 0
        self._begun = 0.0
        self._rows: list[tuple[float, ...]] = []  # time used, energy, error, acceptance, R-hat of each iteration
        self._state: State | None = None
        self._rollback = Rollback.of(job, redraws(job))

    def advance(self, share: Share, signals: Signals, comm: Communicator) -> StopReason | None:
        """Collective.  Go on until the share of the time is over; the signal that stopped it before, or None."""
        config = self.job.config.run
        if self.failure or self.has_had(math.inf) or self._state is None:
            return None
        stop, self._begun = None, time.process_time() - self.used
        share.processor += self._begun
        with self._failures():
            pieces = [StopWatcher(config.n_iterations, signals, limit=share), self]
            stop = carry_out(self._state, self.job, self._rollback, pieces, comm)
        # Times are those of rank 0, so that all ranks take the same decisions.
        self.used, self._rows = comm.broadcast_object((self.used, self._rows))
        return stop if stop is not None and stop.kind == "signal" else None

    def prepare(self, node: Node, comm: Communicator) -> None:
        """Collective.  Make the state before iteration 0 and compile the kernels, where that is not done."""
        if self._state is not None:
            return
        with self._failures():
            self._state = initial_state(self.job, comm)
            compile_kernels(self.job, self._state, comm, node)
            require_support(self.job, self._state, comm)

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        """Note numbers that go bad on every rank."""
        try:
            yield
        except NumericalError as error:
            if isinstance(error, DifferentRanks) or not error.collective:
                raise
            self.failure = str(error)

    def after(self, done: Round, comm: Communicator) -> None:
        """Collective.  Take in an iteration."""
        energy, self._state = done.step.energy, done.step.state
        self.used = time.process_time() - self._begun
        self._rows.append((self.used, energy.mean.real, energy.error, energy.acceptance, energy.r_hat))
        if self._show is not None:
            per_site = energy.mean.real / self.job.lattice.n_sites
            self._show(f"{self.words}: {len(self._rows)} iterations, {self.used:.1f} s, E/N {per_site:.7g}")

    def gone_back(self, back: GoneBack, comm: Communicator) -> None:
        """Collective.  Forget the iterations that no longer count."""
        del self._rows[back.state.iteration :]
        self._state = back.state
        self._went_back += 1

    def has_had(self, seconds: float) -> bool:
        """True where it has used so much processor time, or has all the iterations of the run."""
        return self.used >= seconds or len(self._rows) >= self.job.config.run.n_iterations

    def score(self, seconds: float = math.inf) -> Score:
        """The result after so much processor time; the plateau is that of a run."""
        rows = np.array([row for row in self._rows if row[0] <= seconds], dtype=np.float64).reshape(-1, 5)
        end = plateau(rows[:, 1], rows[:, 2])
        if self.failure or not math.isfinite(end.value):
            return Score(iterations=len(rows))
        last = rows[end.rows]
        finite = last[np.isfinite(last[:, 4]), 4]
        r_hat = float(finite.mean()) if len(finite) else math.nan
        error = end.error if math.isfinite(end.error) else 0.0
        return Score(end.value, error, len(rows), float(last[:, 3].mean()), r_hat)

    def cells(self) -> list[str]:
        """Its row of the table."""
        score, n = self.score(), self.job.lattice.n_sites
        seconds = self.used / score.iterations if score.iterations else math.nan
        back = f"; went back {self._went_back} times" if self._went_back else ""
        acceptance, r_hat = (short(x if math.isfinite(x) else None, ".3f") for x in (score.acceptance, score.r_hat))
        iteration = short(seconds if math.isfinite(seconds) else None, ".2g")
        return [
            self.words,
            score.per_site(n),
            str(score.iterations),
            iteration,
            acceptance,
            r_hat,
            f"{self.outcome}{back}",
        ]


HEAD = ["tried", "E/N +- error", "iterations", "s/iteration", "accept", "R-hat", "outcome"]


def tune(request: TuneRequest, comm: Communicator) -> int:
    """Collective.  Try variants of an input, print a table of them, and print and write the input to use.

    Returns:
        The exit code: 0, or 75 where a signal stopped it; then what was found is printed, and nothing written.

    Raises:
        InputError: the output exists, a value of ``tries`` makes no input, or there are more ranks than blocks; on
            every rank.
        NumericalError: the numbers of all trials went bad; on every rank.
        StorageError: the output cannot be written; on every rank.
    """
    comm.on_root(partial(require_new, request.output))
    with on_every_rank():
        factors = _factors(request)
    threads = request.job.config.run.threads_per_rank
    limit_threads(threads)
    node = node_of(comm)
    if warning := oversubscription(comm, node, threads):
        warn(warning)
    with stopped_by_signals(comm, ends_program=True) as signals:
        tuning = _Tuning(request, factors, signals, node, comm)
        try:
            stop = tuning.search()
        finally:  # also where a second Ctrl-C ends it at once
            tuning.report()
    if stop is None and math.isinf(tuning.best.score().value):
        with on_every_rank():
            raise NumericalError(f"the numbers of every trial went bad; {tuning.best.outcome}")
    comm.on_root(lambda: tuning.hand_over(stop))
    return 0 if stop is None else stop.exit_code


class _Tuning:
    """The search; see the module."""

    def __init__(self, request: TuneRequest, factors: dict[str, Factor], signals: Signals, node: Node, c: Communicator):
        self._request, self._factors, self._signals, self._node, self._comm = request, factors, signals, node, c
        self._end = math.inf  # in seconds of time.monotonic
        title = f"{describe(request.job)}; trials for {request.minutes:g} min"
        self._display = TrialReporter(title) if c.rank == 0 else None
        self._seconds = math.inf  # processor time of a trial
        self._tried: set[str] = set()
        self._untried: list[str] = []
        self.trials: list[Trial] = []
        self._trial({}, "the input as it is")
        self.best = self.trials[0]

    def search(self) -> StopReason | None:
        """Collective.  Try all factors, again and again; the signal that stopped it, or None."""
        stop = self._first()
        while stop is None:
            before = self.best
            for number, key in enumerate(self._factors):
                if self._is_over():
                    self._untried = list(self._factors)[number:] if before is self.trials[0] else []
                    return None
                if stop := self._vary(key):
                    return stop
            if self.best is before:
                return None
        return stop

    def _first(self) -> StopReason | None:
        """Collective.  The trial of the input as it is: it takes its share of the time, and the others as much."""
        comm, base = self._comm, self.best
        counts = [len(factor(base.job, self._request.raw.holds)) for factor in self._factors.values()]
        costs = sum(EARLY * n + (1.0 - EARLY) * math.ceil(n / 2) if n > 1 else n for n in counts)
        base.prepare(self._node, comm)
        now, whole = time.monotonic(), 60.0 * self._request.minutes
        self._end, planned = now + whole, PLANNED * whole / (1.0 + costs)
        share = Share(now + planned, "", 0.0, fewest=FEWEST, last=now + LARGEST_FIRST * whole)
        stop = base.advance(share, self._signals, comm)
        self._seconds = planned if base.failure else base.used
        self._judge([base], "as it is")
        return stop

    def _vary(self, key: str) -> StopReason | None:
        """Collective.  Try the variants of a factor, and keep the best of them if it is better than the best so far."""
        variants = []
        for changes in self._factors[key](self.best.job, self._request.raw.holds):
            named = [f"{name} = {changes[name]}" for name in changes if name in self._factors]
            if trial := self._trial(changes, ", ".join(named)):
                variants.append(trial)
        kept = math.ceil(len(variants) / 2)
        for part in [EARLY, 1.0] if len(variants) > 1 else [1.0]:
            seconds = part * self._seconds
            for trial in variants:
                if stop := self._advance(trial, seconds):
                    self._judge([one for one in variants if not one.has_had(self._seconds)], "interrupted")
                    return stop
            self._judge([trial for trial in variants if trial.failure], "failed")
            self._judge([one for one in variants if not (one.failure or one.has_had(seconds))], "no time left")
            variants = sorted((one for one in variants if not one.outcome), key=lambda one: one.score(seconds).bound)
            self._judge(variants[kept:], f"stopped at {part:.0%} of the time")
            variants = variants[:kept]
        # The best of those that have had their time, against the best so far.
        is_better = bool(variants) and variants[0].score().beats(self.best.score())
        if is_better:
            self.best = variants[0]
        self._judge(variants[:1], "better" if is_better else "not better")
        self._judge(variants[1:], "not better")
        return None

    def _advance(self, trial: Trial, seconds: float) -> StopReason | None:
        """Collective.  Let a trial go on, where there is time, until it has had so much processor time."""
        if self._is_over():
            return None
        begin = time.monotonic()
        trial.prepare(self._node, self._comm)
        self._end += time.monotonic() - begin
        return trial.advance(Share(self._end, "", 0.0, processor=seconds), self._signals, self._comm)

    def _trial(self, changes: Changes, words: str) -> Trial | None:
        """Collective.  A trial of the best so far with changes; None where it is none that can be run, or not new."""
        changes = (self.best.changes if self.trials else {}) | changes
        job = self._built(changes)
        if job is not None and any(key.split(".")[:2] == ["sr", "learning_rate"] for key in changes) and self.trials:
            job = self._built(changes := changes | held(self.best.job, job, changes))
        if job is None or to_toml(job.config) in self._tried:
            return None
        self._tried.add(to_toml(job.config))
        try:
            require_memory(job, self._comm, words)
        except InputError:
            return None
        self.trials.append(Trial(changes, words, job, self._display.update if self._display else None))
        return self.trials[-1]

    def _built(self, changes: Changes) -> Job | None:
        """The job of the user's input with changes and the seed of the trials; None where they do not fit."""
        seed = [] if self._request.seed is None else [f"run.seed={self._request.seed}"]
        try:
            job = _with(self._request.raw, changes, seed)
        except InputError:
            return None
        return job if job.sampler.n_blocks >= self._comm.size else None

    def _is_over(self) -> bool:
        """Collective.  True where the time for all trials is over."""
        return self._comm.root_value(lambda: time.monotonic() >= self._end)

    def _judge(self, trials: Sequence[Trial], outcome: str) -> None:
        for trial in trials:
            trial.outcome = f"failed: {trial.failure.partition(';')[0]}" if trial.failure else outcome
            if self._display is not None:
                words, energy, iterations, *_, result = trial.cells()
                print(f"{words}: {iterations} iterations, E/N {energy}, {result}", flush=True)

    def report(self) -> None:
        """Print the table, on rank 0."""
        if self._display is not None:
            self._display.close()
            kept = None if self.best.failure else self.best
            judged = [(trial.cells(), " <- kept" * (trial is kept)) for trial in self.trials if trial.outcome]
            self._display.table(HEAD, [[*cells[:-1], cells[-1] + mark] for cells, mark in judged])
            if self._untried:
                print(f"no time was left to vary {', '.join(self._untried)}: give more --minutes", flush=True)
            if not self.best.failure and self.best.score().iterations < FEWEST:
                print(f"trials of fewer than {FEWEST} iterations say little: give more --minutes", flush=True)

    def hand_over(self, stop: StopReason | None) -> None:
        """Print the input to use and, unless a signal stopped the search, write it; on rank 0.

        Raises as :func:`pvmc.io.storage.write_new`.
        """
        text = f"{self._header()}\n{written_input(self._request.raw, self.best.changes)}"
        print(f"\n{text}", flush=True)
        if stop is not None:
            print(f"stopped before its end ({stop.message}): the input above is the best so far, and is not written")
            return
        write_new(self._request.output, text)
        print(f"wrote {self._request.output}; next: pvmc run {self._request.output}", flush=True)

    def _header(self) -> str:
        """How the input was found, as lines of comments."""
        best, base, n = self.best, self.trials[0], self.best.job.lattice.n_sites
        lines = [
            f"Found by pvmc {pvmc.__version__} tune from {self._request.raw.file}: {len(self.trials)} trials of up to "
            f"{self._seconds:.3g} s of processor time each (ranks: {self._comm.size}).",
            f"E/N of the last part of its trial: {best.score().per_site(n)}; of the input as it was: "
            f"{base.score().per_site(n)}.",
            f"Changed: {', '.join(best.changes) if best.changes else 'nothing, no variant was better'}.",
        ]
        return "".join(f"# {line}\n" for line in lines)


def written_input(raw: RawInput, changes: Changes) -> str:
    """The user's input as TOML text, with what the command line and ``changes`` set; comments stay.

    Where the text cannot hold it in its own form, keys are written anew without comments; where keys of the file have
    become meaningless, the resolved input with every key.
    """
    text = edited(overridden(raw, [f"{key}={value}" for key, value in changes.items()]))
    try:
        Draft(RawInput(tomllib.loads(text), raw.file, text)).finished()
    except InputError:
        text = to_toml(_with(raw, changes).config)
    return text


def _with(raw: RawInput, changes: Changes, others: Sequence[str] = ()) -> Job:
    """The job of an input with changes and other overrides."""
    return Draft(overridden(raw, [*(f"{key}={value}" for key, value in changes.items()), *others])).finished()


def _factors(request: TuneRequest) -> dict[str, Factor]:
    """The factors, with those of the command line.

    Raises:
        InputError: a value of the command line makes no input.
    """
    given: dict[str, Factor] = {}
    for key, texts in request.tries:
        for one in texts:
            try:
                _with(request.raw, {key: one})
            except InputError as error:
                raise InputError(f"--try {key}={one}: {str(error).splitlines()[0].removeprefix('--set: ')}") from None
        given[key] = _always([{key: one} for one in texts])
    return {key: factor for key, factor in given.items() if key not in FACTORS} | FACTORS | given


def _always(found: list[Changes]) -> Factor:
    return lambda job, is_given: found
