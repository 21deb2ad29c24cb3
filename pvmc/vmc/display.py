"""The terminal of a run: notes on its input before it begins, and its progress, as lines or as a live bar; and that of
trials of an input."""

from __future__ import annotations

import math
import sys
import time
from typing import TYPE_CHECKING, Protocol, TextIO

from pvmc.mpi import on_terminal
from pvmc.results.digits import aligned, duration
from pvmc.results.stored_system import system_of
from pvmc.statistics.thresholds import error_scale

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status

    from pvmc.estimators import EnergyStatistics
from collections.abc import Iterator, Sequence

import numpy as np

from pvmc.config.section import shown
from pvmc.errors import InputError, StorageError
from pvmc.hamiltonians.rotation import chosen_turn
from pvmc.hamiltonians.signs import amplitude_signs, is_stoquastic
from pvmc.io.fit_file import fit_file
from pvmc.io.reader import open_run
from pvmc.lattice import GraphSpec
from pvmc.sampler import MetropolisSpec
from pvmc.vmc.job import Job

LINES_PER_RUN = 50
"""About how many lines a run gets."""

LONGEST_SILENCE = 30.0
"""Seconds after which a line is due even if not as many iterations as usual are done."""


def warn(text: str) -> None:
    """A line on standard error for the user, beside the table."""
    print(f"pvmc: warning: {text}", file=sys.stderr, flush=True)


class Progress(Protocol):
    """An iteration of a run, or a batch of a measurement, as it is shown."""

    @property
    def iteration(self) -> int:
        """Its number, from 0."""
        ...

    @property
    def energy(self) -> EnergyStatistics:
        """Statistics of the local energy."""
        ...


class Reporter(Protocol):
    """Shows the progress of a run; used on rank 0 only."""

    def show(self, record: Progress) -> None:
        """One iteration is done."""
        ...

    def close(self) -> None:
        """No more iterations will come."""
        ...


def reporter(
    n_iterations: int,
    n_sites: int,
    exact: float | None,
    stream: TextIO | None = None,
    first: int = 0,
    lines: int = LINES_PER_RUN,
    noun: str = "iteration",
    radius: float = 0.0,
) -> Reporter:
    """A reporter for a terminal where the stream is one, else one for a log.

    Args:
        n_iterations: iterations of the run.
        n_sites: N; energies are shown per site.
        exact: exact total energy, or None.
        stream: where to write; standard output unless given.
        first: iterations that a resumed run has behind it.
        lines: about how many lines it gets.
        noun: what is counted.
        radius: bound on half the width of the spectrum of H, which errors are relative to where the exact energy is 0.
    """
    stream = stream or sys.stdout
    table = _Table(n_iterations, n_sites, exact, lines, noun, radius)
    if not on_terminal(stream):
        return _Log(table, stream)
    from rich.console import Console  # a log starts without it

    console = Console(file=stream, highlight=False)
    return _Log(table, stream) if console.is_dumb_terminal else _LiveBar(table, console, first)


class _Table:
    """Formats records as the rows of a table (79 columns up to 9999 iterations), and knows which rows are due."""

    def __init__(self, n_iterations: int, n_sites: int, exact: float | None, lines: int, noun: str, radius: float):
        self.n_iterations, self.n_sites = n_iterations, n_sites
        self.scale = 0.0 if exact is None else error_scale(exact, radius)
        self.exact = exact if self.scale > 0.0 else None  # there is no error relative to zero
        self.noun = noun
        self.width = max(len(noun), 2 * len(str(n_iterations)) + 1)
        self.every = math.ceil(n_iterations / lines)
        self.last_row = time.monotonic()
        self.last: int | None = None  # iteration

    @property
    def head(self) -> str:
        error = f"{'rel. error':>11}" if self.exact is not None else ""
        return (
            f"{self.noun:>{self.width}}{'E/N +- error':>22}{error}{'var/N':>10}{'accept':>7}{'R-hat':>7}"
            f"{'tau':>5}{'left':>8}"
        )

    def row(self, record: Progress, left: float) -> str:
        energy = record.energy
        relative = "" if self.exact is None else f"{(energy.mean.real - self.exact) / self.scale:>11.2e}"
        return (
            f"{self.count(record):>{self.width}}{self.energy(record)}{relative}"
            f"{energy.variance / self.n_sites:>10.2e}{energy.acceptance:>7.3f}{_fitting(energy.r_hat, 7, 3)}"
            f"{_fitting(energy.autocorrelation_time, 5, 1)}{duration(left):>8}"
        )

    def count(self, record: Progress) -> str:
        return f"{record.iteration + 1}/{self.n_iterations}"

    def energy(self, record: Progress) -> str:
        mean, error = record.energy.mean.real / self.n_sites, record.energy.error / self.n_sites
        return f"{_number(mean):>12} +-{error:.1e}"

    def is_due(self, record: Progress) -> bool:
        """True where this record gets a row: the first (also of a resumed run, and of one that went back), the last,
        one of every few, and one after a long silence."""
        number = record.iteration + 1
        silence = time.monotonic() - self.last_row
        begins = self.last is None or record.iteration <= self.last
        due = begins or number == self.n_iterations or number % self.every == 0 or silence > LONGEST_SILENCE
        self.last = record.iteration
        if due:
            self.last_row = time.monotonic()
        return due


class _Clock:
    """Extrapolates the time left from the iterations after the first, which loads the kernels.

    Of a resumed run these are its own; a run that goes back a few iterations is measured anew from there.
    """

    def __init__(self, n_iterations: int):
        self.n_iterations = n_iterations
        self.first = self.last = -1
        self.started = 0.0

    def left(self, iteration: int) -> float:
        """Seconds until the last iteration ends; NaN while there is nothing to go by."""
        begins = self.last < 0 or iteration <= self.last
        self.last = iteration
        if begins:
            self.first, self.started = iteration, time.monotonic()
            return math.nan
        seconds = (time.monotonic() - self.started) / (iteration - self.first)
        return seconds * (self.n_iterations - iteration - 1)


class _Log:
    """Lines for a file: no control characters, each written out at once."""

    def __init__(self, table: _Table, stream: TextIO):
        self.table, self.stream = table, stream
        self.clock = _Clock(table.n_iterations)
        print(table.head, file=stream, flush=True)

    def show(self, record: Progress) -> None:
        left = self.clock.left(record.iteration)
        if self.table.is_due(record):
            print(self.table.row(record, left), file=self.stream, flush=True)

    def close(self) -> None:
        self.stream.flush()


class _LiveBar:
    """The lines of the log, cut to the terminal's width, above a bar that every iteration moves."""

    def __init__(self, table: _Table, console: Console, first: int = 0):
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as LiveProgress
        from rich.table import Column

        self.table, self.console = table, console
        self.clock = _Clock(table.n_iterations)
        self._print(table.head)
        self.progress = LiveProgress(
            BarColumn(bar_width=None, table_column=Column(ratio=1)),
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
            console=console,
            expand=True,
            transient=True,
            refresh_per_second=5,
        )
        self.task = self.progress.add_task("", total=table.n_iterations, completed=first)
        self.progress.start()

    def show(self, record: Progress) -> None:
        left = self.clock.left(record.iteration)
        if self.table.is_due(record):
            self._print(self.table.row(record, left))
        text = f"{self.table.count(record)}{self.table.energy(record)}{duration(left):>8} left"
        self.progress.update(self.task, completed=record.iteration + 1, description=text)

    def close(self) -> None:
        self.progress.stop()

    def _print(self, text: str) -> None:
        self.console.print(text, markup=False, no_wrap=True, overflow="crop", crop=True)


def _fitting(value: float, width: int, decimals: int) -> str:
    """A number in a column of this width, with a blank before it, and fewer decimals where it is large."""
    for digits in range(decimals, -1, -1):
        text = f"{value:.{digits}f}"
        if len(text) < width:
            return f"{text:>{width}}"
    return f"{f'{value:.0e}'.replace('e+0', 'e').replace('e+', 'e'):>{width}}"


def _number(value: float) -> str:
    """Eight or so significant digits in at most 11 characters."""
    if value == 0 or 1e-3 <= abs(value) < 1e3:
        return f"{value:.{7 if abs(value) < 100 else 6}f}"
    return f"{value:.4e}"


class TrialReporter:
    """Shows trials of an input, on rank 0: a line for each, below them the one under way where there is a terminal, and
    a table of all in the end."""

    def __init__(self, title: str):
        self._console: Console | None = None
        self._status: Status | None = None
        print(title, flush=True)
        if on_terminal(sys.stdout):
            from rich.console import Console  # a log starts without it

            self._console = Console(highlight=False)
            self._status = self._console.status("")
            self._status.start()

    def update(self, text: str) -> None:
        """An iteration of a trial is done."""
        if self._status is not None:
            from rich.text import Text

            self._status.update(Text(text))

    def close(self) -> None:
        """No more trials will come."""
        if self._status is not None:
            self._status.stop()

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """All trials, with words in the first and the last column."""
        words = {0, len(head) - 1}
        print(flush=True)
        if self._console is None:
            print("\n".join(aligned([head, *rows], words)), flush=True)
            return
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False)
        for column, name in enumerate(head):
            table.add_column(name, justify="left" if column in words else "right", overflow="fold")
        for row in rows:
            table.add_row(*map(Text, row))
        self._console.print(table)


FEW = 8
"""Most numbers of sites that a line lists."""


def describe(job: Job) -> str:
    """One line: model, lattice, ansatz and number of parameters."""
    config = job.config
    return (
        f"{config.hamiltonian.model} on {config.lattice.kind}, N = {job.lattice.n_sites}; "
        f"{config.ansatz.kind} with {job.ansatz.n_parameters} {np.dtype(job.ansatz.dtype).name} parameters"
    )


def notes(job: Job) -> list[str]:
    """The lines, those that ask for a change begin with "warning:"."""
    return [*_signs(job), *_other_frame(job), *_unnamed_sites(job), *_moves(job)]


def _signs(job: Job) -> Iterator[str]:
    """Which spins are turned about z, and the signs of the off-diagonal elements after that."""
    model, operator = job.config.hamiltonian, job.operator
    key, turned = f"hamiltonian.{model.turn_key}", np.flatnonzero(model.signs(job.lattice) < 0).tolist()
    if model.turn is True:
        which = "all spins" if len(turned) == job.lattice.n_sites else "the spins of one sublattice"
        frame = f"{which} are turned by pi about z ({key} = true)"
    elif turned:
        which = f"spin of the site {turned[0]} is" if len(turned) == 1 else f"spins of the sites {listed(turned)} are"
        frame = f"the {which} turned by pi about z ({key})"
    else:
        frame = f"no spin is turned about z ({key} = false)"
    if is_stoquastic(operator):
        yield f"signs: {frame}; no off-diagonal element of H is positive: its ground state can be taken positive"
        return
    signs = "complex off-diagonal elements" if not operator.is_real else "off-diagonal elements of both signs"
    if operator.is_real and np.all(amplitude_signs(operator) == 1):
        signs = "positive off-diagonal elements"
    yield f"signs: {frame}; H has {signs}, and its ground state need not be positive"
    better = _better_turn(job)
    if better and _is_positive(job):
        yield f'warning: psi is positive whatever its parameters are, the ground state of H is with {key} = "auto"'
    elif better:
        yield f'{key} = "auto" would leave no positive element off the diagonal of H, an easier ground state'
    elif _is_positive(job):
        yield 'psi is positive whatever its parameters are; where the energy stays high, try ansatz.weights = "complex"'


def _better_turn(job: Job) -> bool:
    """True where another turn leaves no off-diagonal element positive."""
    model = job.config.hamiltonian
    unturned = job.operator.turned_about_z(model.signs(job.lattice))
    turn = chosen_turn(job.lattice, unturned, model.named_turn(job.lattice))
    chosen = model.model_copy(update={model.turn_key: turn})
    return is_stoquastic(unturned.turned_about_z(chosen.signs(job.lattice)))


def _is_positive(job: Job) -> bool:
    """True where psi is positive whatever its parameters are."""
    if job.ansatz.dtype != np.float64:
        return False
    psi = job.ansatz.at(np.zeros(job.ansatz.n_parameters, dtype=job.ansatz.dtype))
    return bool(psi.dtype == np.float64)


def _other_frame(job: Job) -> Iterator[str]:
    """Parameters of another run in whose frame other spins are turned: with the signs of this one, another state."""
    source, model = job.config.ansatz.start_from, job.config.hamiltonian
    if source is None or fit_file(source).is_file():
        return
    try:
        system = system_of(open_run(source))
    except (InputError, StorageError):  # of a run that goes on its first parameters may be gone
        return
    old = system.model
    if old.turn == "auto":
        return
    signs, here = old.signs(system.lattice), model.signs(job.lattice)
    if len(signs) != len(here) or np.array_equal(signs, here):
        return
    if job.config.sampler.fixed_magnetization is not None and np.array_equal(signs, -here):
        return  # the same state, but for a phase
    turned = np.flatnonzero(signs < 0).tolist()
    value = shown(old.turn if old.turn_key == model.turn_key else turned or False)
    text = "its parameters are of a frame in which other spins are turned by pi about z, and mean another state here"
    yield f'warning: ansatz.start_from = "{source}": {text}; set hamiltonian.{model.turn_key} = {value} to keep it'


def _unnamed_sites(job: Job) -> Iterator[str]:
    """Sites of a graph that no edge names, where their number was not given: numbers that begin with 1, most often."""
    lattice, config = job.lattice, job.config.lattice
    if not isinstance(config, GraphSpec) or config.sites is not None:
        return
    unnamed = sorted(set(range(lattice.n_sites)) - set(lattice.bonds().ravel().tolist()))
    if unnamed:
        cause = "sites count from 0; does this list count from 1?" if unnamed == [0] else "sites count from 0"
        plural = "s" if len(unnamed) > 1 else ""
        wanted = f"if it is meant, say so by lattice.sites = {lattice.n_sites}"
        yield f"warning: lattice.edges: no edge names the site{plural} {listed(unnamed)} ({cause}); {wanted}"


def _moves(job: Job) -> Iterator[str]:
    """Moves that do not lead everywhere, or are not known to."""
    sampler = job.config.sampler
    if not isinstance(sampler, MetropolisSpec):
        return
    found = sampler.reach(job.lattice, job.operator)
    if found.complete is False:
        yield f"warning: sampler.moves: {found.words}; {sampler.joining_move}"
    elif found.complete is None:
        yield f"sampler.moves: {found.words}; {sampler.joining_move}, if in doubt"


def listed(sites: list[int]) -> str:
    """Numbers of sites, the first of many."""
    return ", ".join(map(str, sites[:FEW])) + (", ..." if len(sites) > FEW else "")
