"""When a run stops: every rank says which signal reached it, rank 0 decides, and all get the same answer.

One small reduction an iteration carries both questions, "stop?" and "save the state?".  Only when a run stops does a
second message follow, with the reason."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pvmc.hamiltonians import Operator
from pvmc.io.storage import STOP_FILE
from pvmc.mpi import Communicator
from pvmc.sampler import Walkers
from pvmc.statistics import binning, mean
from pvmc.statistics.thresholds import (
    EIGENSTATE_ITERATIONS,
    EIGENSTATE_REFERENCE,
    WINDOW_DRIFT,
    eigenstate_variance,
    rounding_of,
)
from pvmc.vmc.checkpoints import CheckpointPolicy, SavedRun
from pvmc.vmc.guard import Recent
from pvmc.vmc.interruptions import Signals, TimeLimit, signal_name
from pvmc.vmc.job import Job
from pvmc.vmc.loop import State
from pvmc.vmc.pieces import Decision, Piece, Round, StopReason
from pvmc.vmc.refinement import Refinement
from pvmc.vmc.rollback import GoneBack
from pvmc.vmc.spec import ConvergenceSpec

LOOK_SECONDS = 1.0
"""Shortest time between two looks for that file."""

_RANK_BITS = 32


@dataclass
class StopWatcher(Piece):
    """Decides after each iteration whether the run stops, and whether it saves its state.

    Ranks other than 0 need ``iterations`` and ``signals`` only; the rest is not looked at there.

    Attributes:
        iterations: iterations of the whole run, those before a resume counted.
        signals: what reached this rank; listening already.
        directory: where a file :data:`STOP_FILE` may appear; None for nowhere.
        limit: until when the run may last.
        checkpoints: when to save; without it only at a stop.
        clock: seconds, monotonic.
    """

    iterations: int
    signals: Signals
    directory: Path | None = None
    limit: TimeLimit | None = None
    checkpoints: CheckpointPolicy | None = None
    clock: Callable[[], float] = time.monotonic
    _ended: float = field(init=False)
    _looked: float = field(init=False, default=-math.inf)

    def __post_init__(self) -> None:
        self._ended = self.clock()

    def begin(self, state: State) -> None:
        """Prepare for iterations from this state on: the time before counts for none of them."""
        self._ended = self.clock()
        if self.checkpoints is not None:
            self.checkpoints.begin(state.iteration, self._ended)

    def after(self, done: Round, comm: Communicator) -> None:
        """Collective.  Decide whether the run stops, and whether it saves its state."""
        done.decision = self.decide(done.step.iteration, comm, done.converged)

    def decide(self, iteration: int, comm: Communicator, converged: str = "") -> Decision:
        """Collective.  The consequences of an iteration, the same on every rank.

        A signal to any rank stops all.  A run that has reached its end is finished, whatever else asks it to stop.

        Args:
            iteration: number of the iteration that is done.
            comm: the ranks.
            converged: the criteria by which the run has converged, on rank 0; empty where it has not.
        """
        reason = self._own_reason(iteration, converged) if comm.rank == 0 else None
        checkpoint, recent = self._due(iteration) if comm.rank == 0 else (False, False)
        recent, self.signals.warned = recent or self.signals.warned, False
        signal = self.signals.received << _RANK_BITS | comm.rank if self.signals.received else 0
        flags = np.array([reason is not None, checkpoint, recent, signal], dtype=np.int64)
        stop, save, keep, signal = comm.max(flags).tolist()
        if stop:
            reason = comm.broadcast_object(reason)
        elif signal:
            reason = _signal_reason(signal, comm.size)
            return Decision(reason, checkpoint=True, recent=True)
        save = bool(save) or reason is not None
        return Decision(reason, save, recent=bool(keep) and not save)

    def _due(self, iteration: int) -> tuple[bool, bool]:
        """True for a checkpoint that rank 0 wants, and for a state that is not forced to the disk."""
        if self.checkpoints is None:
            return False, False
        now = self.clock()
        recent = self.checkpoints.recent_due(now)
        return self.checkpoints.due(iteration, now), recent

    def saved(self, iteration: int, seconds: float, lasting: bool = True) -> None:
        """A state was written after an iteration, and took so long.  Of rank 0; elsewhere it changes nothing."""
        now = self.clock()
        self._ended = now  # the time of saving is not that of an iteration
        if self.checkpoints is not None:
            self.checkpoints.saved(iteration, seconds, now, lasting)
        if self.limit is not None and lasting:
            self.limit.saved(seconds)

    def over(self, iteration: int, converged: str) -> StopReason | None:
        """The reason why a run has reached its end before an iteration; None where it has not."""
        if iteration >= self.iterations:
            return StopReason("iterations", f"all {self.iterations} iterations are done", finished=True)
        return StopReason("converged", f"converged: {converged}", finished=True) if converged else None

    def _own_reason(self, iteration: int, converged: str) -> StopReason | None:
        """The first reason to stop that rank 0 knows of by itself."""
        now = self.clock()
        if self.limit is not None:
            self.limit.iterated(now - self._ended)
        self._ended = now
        if over := self.over(iteration + 1, converged):
            return over
        if self.limit is not None and self.limit.due(now):
            return StopReason("time", f"out of time: {self.limit.describe(now)}", finished=False)
        return self._stop_file(now)

    def _stop_file(self, now: float) -> StopReason | None:
        """The reason that the stop file is, where there is one; it is removed, since a resume would find it again."""
        if self.directory is None or now - self._looked < LOOK_SECONDS:
            return None
        self._looked = now
        path = self.directory / STOP_FILE
        try:
            path.unlink()
        except FileNotFoundError:
            return None
        except OSError as error:
            if not os.path.lexists(path):  # a file system that fails for a moment is no reason to stop
                return None
            return _stop_file_reason(f"found {path}, which cannot be removed ({error.strerror}): remove it to resume")
        return _stop_file_reason(f"found {path}, and removed it")


def _stop_file_reason(message: str) -> StopReason:
    return StopReason("stop file", message, finished=False)


def _signal_reason(code: int, size: int) -> StopReason:
    """The reason that a signal is; ``code`` holds its number and the rank that it came to."""
    number, rank = divmod(code, 1 << _RANK_BITS)
    return StopReason("signal", signal_name(number) + (f" on rank {rank}" if size > 1 else ""), finished=False)


class Convergence(Piece):
    """The criteria of ``run.stop``, judged by the last ``window`` iterations alone.

    Its answer is a function of those iterations' numbers, so that a resumed run, which has read them back
    (:meth:`replay`), stops at the same iteration as one that was never interrupted.

    Args:
        spec: the criteria; None for none, which no run meets.
        n_sites: N; energies go in as totals and are compared per site.
        refinement: its levels of refinement, the last of which may end the run; None for none.
    """

    def __init__(self, spec: ConvergenceSpec | None, n_sites: int, refinement: Refinement | None = None):
        self.spec, self.n_sites, self._refinement = spec, n_sites, refinement
        self._refined = ""
        self._recent = Recent(("energy", "variance", "v_score"), spec.window if spec is not None else 0)

    @classmethod
    def of(cls, job: Job) -> Convergence:
        """The criteria of a job."""
        return cls(job.config.run.stop, job.lattice.n_sites, job.refinement)

    def after(self, done: Round, comm: Communicator) -> None:
        """Take in the iteration, on rank 0, and say which criteria hold."""
        if comm.rank == 0:
            energy = done.step.energy
            self.observe(done.step.iteration, energy.mean.real, energy.variance, energy.v_score)
            if self._refinement is not None:
                self._look(done.step.state)
            done.converged = self.reached()

    def restored(self, saved: SavedRun) -> None:
        """Take in the iterations before."""
        self.replay(saved.series)
        self._look(saved.state)

    def gone_back(self, back: GoneBack, comm: Communicator) -> None:
        """Collective.  Forget what later iterations found."""
        self._look(back.state)

    def _look(self, state: State) -> None:
        """Take in whether the energy fell at the last level of refinement."""
        levels = self._refinement
        if levels is None or not levels.spec.ends_run or not levels.has_converged(state.memory):
            self._refined = ""
            return
        fall, window = levels.last_fall(state.memory) / self.n_sites, levels.spec.window
        self._refined = (
            f"at the smallest learning rate E/N fell by {fall:.1g} from {window} iterations to the next {window}, "
            "no more than its noise"
        )

    def observe(self, iteration: int, energy: float, variance: float, v_score: float) -> None:
        """Take in one iteration.

        An iteration that is not later than those seen replaces them from there on: the run went back.  One whose
        numbers are not finite does not count.

        Args:
            iteration: its number.
            energy: total energy, real part.
            variance: variance of the Hamiltonian, of all sites.
            v_score: V-score.
        """
        self._recent.add(iteration, energy, variance, v_score)

    def replay(self, series: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take in the iterations of a results file, by the names of its series: as if they had been observed."""
        self._recent.replay(series)

    def reached(self) -> str:
        """The criteria in words where all of them hold; empty where one does not.

        The energy's error counts only where the means of the window's two halves agree within 2 errors of their
        difference, which they never do in a steady drift: a window that still falls has not converged.
        """
        spec = self.spec
        if self._refined:
            return self._refined
        if spec is None or len(self._recent) < spec.window:
            return ""
        energy, variance, v_score = self._recent.rows.T
        means = (
            ("variance/N", variance.mean() / self.n_sites, spec.variance),
            ("V-score", v_score.mean(), spec.v_score),
        )
        if any(value > bound for _, value, bound in means if bound is not None):
            return ""
        found = [f"{name} {value:.2g} <= {bound:g}" for name, value, bound in means if bound is not None]
        if spec.error is not None:
            error = mean(energy / self.n_sites).error
            if error > spec.error or _drifts(energy / self.n_sites):
                return ""
            found.insert(0, f"error of E/N {error:.2g} <= {spec.error:g}")
        return f"{', '.join(found)} over the last {spec.window} iterations"


def _drifts(values: npt.NDArray[np.float64]) -> bool:
    """True where the means of a series' two halves lie apart by more than the error of the mean of the whole allows.

    The error is that of bins: the Gamma method takes a straight line for a correlation, which allows for it.
    """
    half = len(values) // 2
    rounding = rounding_of(float(np.abs(values).max()), 0.0)  # of an eigenstate nothing else is left
    apart = abs(float(values[half:].mean() - values[:half].mean()))
    return apart > max(WINDOW_DRIFT * 2.0 * binning(values).error, rounding)


class Eigenstate(Piece):
    """Ends a run whose state is an eigenstate: nothing is left that a step could change.

    Of the last 20 iterations each has no variance but rounding, all at one energy, and nothing is hidden from the
    walkers: all configurations are counted; or the last leak test saw no variance either; or the configurations that
    the walkers sit on are eigenstates of H themselves, to which no off-diagonal element leads.  A state that has
    collapsed onto configurations which H connects with others is none: there only the samples have no variance.

    All ranks hold the same numbers, so that a look at the walkers, where all else holds, is due on all at once.

    Args:
        operator: the Hamiltonian.
        bounds: lower and upper bound of its spectrum.
        is_exact: all configurations are counted.
        exact: exact energy of the lowest state that the run can reach, where it is known.
    """

    def __init__(self, operator: Operator, bounds: tuple[float, float], *, is_exact: bool, exact: float | None):
        self._operator, self._bounds, self._is_exact, self._exact = operator, bounds, is_exact, exact
        self._recent = Recent(("energy", "variance", "variance_smeared"), EIGENSTATE_ITERATIONS)

    def after(self, done: Round, comm: Communicator) -> None:
        """Collective.  Take in the iteration, and say where the state is an eigenstate."""
        energy, leak = done.step.energy, done.step.leak
        self._recent.add(done.step.iteration, energy.mean.real, energy.variance, leak.variance if leak else UNTESTED)
        found = self.found(done.step.state.walkers, comm)  # on all ranks, whatever rank 0 has found before
        done.converged = done.converged or found

    def restored(self, saved: SavedRun) -> None:
        """Take in the iterations before."""
        smeared = np.nan_to_num(saved.series["variance_smeared"], nan=UNTESTED)
        self._recent.replay({**saved.series, "variance_smeared": smeared})

    def found(self, walkers: Walkers, comm: Communicator) -> str:
        """Collective.  The eigenstate in words; empty where the state is none.

        Args:
            walkers: of this rank, after the last iteration.
            comm: the ranks.
        """
        if len(self._recent) < EIGENSTATE_ITERATIONS:
            return ""
        energies, variances, smeared = self._recent.rows.T
        energy, limit = float(energies[-1]), eigenstate_variance(float(energies[-1]), self._operator.radius)
        if variances.max() > limit or np.ptp(energies) > 2.0 * math.sqrt(limit):
            return ""
        tested = smeared[smeared != UNTESTED]
        if not (self._is_exact or (tested.size and tested[-1] <= limit) or self._largest_leak(walkers, comm) <= limit):
            return ""
        return f"eigenstate: variance 0 over the last {EIGENSTATE_ITERATIONS} iterations, {self._level(energy)}"

    def _largest_leak(self, walkers: Walkers, comm: Communicator) -> float:
        """Collective.  The largest sum_{s' != s} |H_{s s'}|^2 over the walkers' configurations s: the variance of H in
        one of them."""
        largest = max(
            float((np.abs(self._operator.amplitudes(spins)) ** 2).sum(axis=0).max()) for spins in walkers.spins
        )
        return float(comm.max(np.array([largest]))[0])

    def _level(self, energy: float) -> str:
        """Which of the levels of H the energy is, as far as that is known."""
        tolerance = EIGENSTATE_REFERENCE * max(abs(energy), self._operator.radius)
        if energy <= self._bounds[0] + tolerance:
            return "the lowest that H can have"
        if self._exact is None:
            return "not shown to be the lowest"
        if energy <= self._exact + tolerance:
            return "the exact ground state energy"
        return f"an excited state: the exact ground state energy is {self._exact:.10g}, this one {energy:.10g}"


UNTESTED = -1.0
"""In place of the variance by smeared draws in an iteration without a leak test."""
