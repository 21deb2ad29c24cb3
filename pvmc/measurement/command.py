"""One measurement: parameters that stay, long sampling in batches over all ranks, errors, files."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from pvmc import sampler as sampling
from pvmc.ansatz.base import WaveFunction
from pvmc.compilation import start_compiler
from pvmc.config import validate
from pvmc.errors import NumericalError, on_every_rank
from pvmc.estimators import EnergyStatistics, local_energy
from pvmc.io.measurement import Estimate
from pvmc.job import Job, JobConfig, build_job
from pvmc.measurement.chains import Chains
from pvmc.measurement.enumerated import enumerated
from pvmc.measurement.notebook import Notebook, energy_estimates, table
from pvmc.measurement.observables import Observables, choose, names_of
from pvmc.measurement.request import MeasureRequest, Plan
from pvmc.parallel import Communicator, block_range, limit_threads
from pvmc.recorder import warn
from pvmc.runtime import CheckpointPolicy, Signals, StopReason, StopWatcher, find_time_limit
from pvmc.sampler import FROZEN_STAGE, Enumeration, Metropolis, Walkers
from pvmc.simulation import require_blocks

T = TypeVar("T")

DEFAULT_BATCHES = 100
"""Batches of draws, each of ``sampler.samples`` configurations, unless told otherwise."""

MOST_SAMPLES = 10_000_000
"""Configurations after which a measurement until an error gives up, unless told otherwise."""

FEWEST_DRAWS = 16
"""Draws of each walker before an error is believed enough to stop at it."""

BURN_IN_FACTOR = 10
"""Sweeps before the first draw, in units of ``sampler.burn_in``: parameters that stay deserve more than a start."""

LARGEST_R_HAT = 1.1
"""R-hat above which a warning is due."""


@dataclass(frozen=True)
class Goal:
    """When a measurement is over.

    Attributes:
        samples: configurations that were asked for, the most of them with ``until_error``.
        batches: the most batches.
        until_error: error of the energy per site; None for all batches.
    """

    samples: int
    batches: int
    until_error: float | None

    @classmethod
    def of(cls, request: MeasureRequest, stored: Mapping[str, Any], batch_samples: int) -> Goal:
        """What was asked for; where a measurement goes on and nothing is said, what it was asked for before."""
        samples, until_error = request.samples, request.until_error
        if samples is None and until_error is None and stored:
            samples, until_error = int(stored["samples"]), stored.get("until_error")
        if samples is None:
            samples = DEFAULT_BATCHES * batch_samples if until_error is None else MOST_SAMPLES
        return cls(samples, math.ceil(samples / batch_samples), until_error)

    def reached(self, energy: EnergyStatistics, draws: int, n_sites: int) -> bool:
        """Whether the error is small enough."""
        return self.until_error is not None and draws >= FEWEST_DRAWS and energy.error / n_sites <= self.until_error


@dataclass(frozen=True)
class Batch:
    """A batch of draws, as it is shown."""

    iteration: int
    energy: EnergyStatistics


def measure(request: MeasureRequest, comm: Communicator) -> int:
    """Collective. Carry out a measurement, from the beginning or from its last checkpoint, and store it.

    Returns:
        The exit code: 0 for a finished one, 75 for one that was stopped and can go on.

    Raises:
        InputError: no such run, parameters or observables, more ranks than walker blocks, or nothing to go on with.
        NumericalError: a local value is not finite.
        StorageError: the files cannot be read or written.
    """
    with contextlib.ExitStack() as stack:
        signals = stack.enter_context(Signals())
        notebook = comm.on_root(lambda: stack.enter_context(Notebook(request)))
        plan = comm.root_value(lambda: _the(notebook).plan)
        with on_every_rank():
            job = build_job(validate(JobConfig, plan.raw), plan.raw)
            theta = plan.saved.fitting(job.ansatz.parameter_blocks, job.ansatz.dtype)
            job = replace(job, sampler=frozen(job, plan.seed))
            stored = plan.before.attributes if plan.before else {}
            words = [word for word in str(stored.get("observables", "")).split(", ") if word] or request.observables
            names = names_of(words, job.lattice)
            observables = choose(names, job)
            psi = job.ansatz.at(theta)
        limit_threads(job.config.run.threads_per_rank)
        require_blocks(job, comm)
        measuring = Measuring(job, theta, psi, observables, plan, comm, notebook)
        settings: dict[str, Any] = {"observables": ", ".join(names)}
        if isinstance(job.sampler, Enumeration):
            return measuring.exact(settings)
        goal = Goal.of(request, stored, _batch_samples(job))
        settings |= {"samples": goal.samples} | ({"until_error": goal.until_error} if goal.until_error else {})
        limit = comm.on_root(lambda: find_time_limit(job.config.run.time, request.started))
        if limit is not None and limit.warning:
            warn(limit.warning)
        directory = plan.file.parent
        watcher = StopWatcher(goal.batches + 1, signals, directory, limit.limit if limit else None)
        return measuring.sampled(goal, settings, watcher)


def frozen(job: Job, seed: int) -> sampling.Sampler:
    """The sampler of a job with another seed, drawing from |psi|^2, with a long burn-in and none between batches."""
    if isinstance(job.sampler, Metropolis):
        return replace(job.sampler, seed=seed, power=2.0, growth=None, discard=BURN_IN_FACTOR * job.sampler.burn_in)
    return job.sampler


def _batch_samples(job: Job) -> int:
    return job.sampler.n_blocks * job.sampler.width * job.sampler.n_draws


@dataclass(frozen=True)
class Measuring:
    """A measurement that goes on.

    Attributes:
        job: the job, with the sampler of the measurement.
        theta: the parameters.
        psi: the wave function.
        observables: what is measured besides the energy.
        plan: what it begins with.
        comm: the ranks.
        notebook: on the root; None elsewhere.
    """

    job: Job
    theta: npt.NDArray[Any]
    psi: WaveFunction
    observables: Observables
    plan: Plan
    comm: Communicator
    notebook: Notebook | None

    def exact(self, settings: dict[str, Any]) -> int:
        """Collective. All configurations once; the exit code."""
        assert isinstance(self.job.sampler, Enumeration)
        walkers = self._start()
        self._tell(lambda notebook: notebook.begin(settings, 1, self.job))
        means, energy = enumerated(self.job.sampler, walkers, self.psi, self.job.operator, self.observables, self.comm)
        self._tell(partial(self._finish, "finished", energy, (0.0, 0.0), means, np.zeros(len(means))))
        return 0

    def sampled(self, goal: Goal, settings: dict[str, Any], watcher: StopWatcher) -> int:
        """Collective. Batch after batch until the goal or a stop; the exit code."""
        walkers, chains, batch = self._state()
        self._compile(walkers)
        self._tell(lambda notebook: notebook.begin(settings, goal.batches, self.job))
        watcher.checkpoints = CheckpointPolicy(self.job.config.run.checkpoint, batch, time.monotonic())
        stop: StopReason | None = None
        energy = self._energy(chains) if chains.draws else None
        while batch < goal.batches and not stop and not (energy and goal.reached(energy, chains.draws, self._n_sites)):
            walkers = self._draw(walkers, chains, batch)
            energy = self._energy(chains)
            self._tell(partial(Notebook.show, batch=Batch(batch, energy)))
            decision = watcher.decide(batch, energy, self.comm)
            stop, batch = decision.stop, batch + 1
            if decision.checkpoint and not stop:
                watcher.saved(batch - 1, self._save(batch, walkers, chains))
        assert energy is not None, "a goal has at least one batch"
        self._save(batch, walkers, chains)
        over = batch >= goal.batches or goal.reached(energy, chains.draws, self._n_sites)
        everything = chains.of_all(self.comm)
        self._tell(partial(self._conclude, "finished" if over else "running", energy, everything))
        self._tell(partial(self._last_words, energy=energy, chains=everything, goal=goal, stop=None if over else stop))
        return 0 if over or stop is None else stop.exit_code

    @property
    def _n_sites(self) -> int:
        return self.job.lattice.n_sites

    def _start(self) -> Walkers:
        """Collective. Walkers where the run left them, if it had as many, else as at the start of a run."""
        sampler, comm = self.job.sampler, self.comm
        blocks = block_range(sampler.n_blocks, comm.rank, comm.size)
        anew = sampler.start(blocks, comm)
        left = self.plan.walkers
        if left is None or isinstance(sampler, Enumeration):
            return anew
        if left.shape != (sampler.n_blocks, *anew.spins.shape[1:]) or not _same_sector(left, sampler.magnetization):
            return anew
        return Walkers(left[blocks.start : blocks.stop].copy(), blocks.start)

    def _state(self) -> tuple[Walkers, Chains, int]:
        """Collective. Walkers, sums and the number of the next batch."""
        checkpoint, comm, sampler = self.plan.checkpoint, self.comm, self.job.sampler
        if checkpoint is None:
            walkers = self._start()
            return walkers, Chains.empty(len(walkers.spins), self.observables.size, sampler.width), 0
        blocks = block_range(sampler.n_blocks, comm.rank, comm.size)
        walkers = Walkers(checkpoint.spins[blocks.start : blocks.stop].copy(), blocks.start)
        return walkers, Chains.restored(dict(checkpoint.solver), blocks, comm.rank == 0), checkpoint.iteration

    def _compile(self, walkers: Walkers) -> None:
        """Collective. Every kernel of a batch once, on rank 0 while the others wait, who then load them."""
        first = Walkers(walkers.spins[:1], walkers.first_block)

        def run() -> None:
            short = self.job.sampler.short()
            short = replace(short, discard=0) if isinstance(short, Metropolis) else short
            for _, _, spins, lookup in short.walk(first, self.psi, 0, n_draws=1, stage=FROZEN_STAGE):
                local_energy(self.job.operator, self.psi, spins, lookup)
                self.observables.values(self.psi, spins, lookup)

        start_compiler()
        self.comm.on_root(run)

    def _draw(self, walkers: Walkers, chains: Chains, batch: int) -> Walkers:
        """A batch of draws of this rank's walkers, added to their sums; where the walkers are then."""
        sampler, psi = self.job.sampler, self.psi
        if batch and isinstance(sampler, Metropolis):
            sampler = replace(sampler, discard=0)
        walk = sampler.walk(walkers, psi, batch, n_draws=sampler.n_draws, stage=FROZEN_STAGE)
        for block, draw, spins, lookup in walk:
            values = self.observables.values(psi, spins, lookup)
            chains.add(block, draw, values, local_energy(self.job.operator, psi, spins, lookup))
        chains.draws += sampler.n_draws
        chains.counts += (walk.accepted, walk.proposed)
        return walk.walkers

    def _energy(self, chains: Chains) -> EnergyStatistics:
        """Collective. Statistics of the energy so far, the same on every rank.

        Raises:
            NumericalError: they are not finite; on every rank.
        """
        everything = chains.energies_of_all(self.comm)
        e_infinite = self.job.operator.infinite_temperature_energy
        found = None if everything is None else everything.energy_statistics(self._n_sites, e_infinite)
        energy = self.comm.root_value(lambda: _the(found))
        with on_every_rank():
            if not np.isfinite([energy.mean.real, energy.variance]).all():
                raise NumericalError("a local energy is not finite: psi may vanish on a walker")
        return energy

    def _save(self, batch: int, walkers: Walkers, chains: Chains) -> float:
        """Collective. Write a checkpoint; the seconds that it took, 0 on ranks other than the root."""
        spins, everything = self.comm.gather(walkers.spins), chains.of_all(self.comm)

        def save(notebook: Notebook) -> float:
            return notebook.save(batch, self.job, self.theta, _the(spins), _the(everything))

        return self._tell(save) or 0.0

    def _conclude(self, status: str, energy: EnergyStatistics, chains: Chains | None, notebook: Notebook) -> None:
        everything = _the(chains)
        means, errors = everything.means()
        if not np.isfinite(means).all():
            raise NumericalError("a local value is not finite: psi may vanish on a walker")
        e_infinite = self.job.operator.infinite_temperature_energy
        self._finish(status, energy, everything.jackknife_errors(self._n_sites, e_infinite), means, errors, notebook)

    def _finish(
        self,
        status: str,
        energy: EnergyStatistics,
        energy_errors: tuple[float, float],
        means: npt.NDArray[np.float64],
        errors: npt.NDArray[np.float64],
        notebook: Notebook,
    ) -> None:
        units = self.job.config.hamiltonian.energy_unit
        found: dict[str, Estimate] = energy_estimates(energy, energy_errors, units)
        found |= self.observables.estimates(means, errors)
        notebook.close()
        print(table(notebook.store(status, found, energy, self.observables), self._n_sites), flush=True)

    def _last_words(
        self,
        notebook: Notebook,
        energy: EnergyStatistics,
        chains: Chains | None,
        goal: Goal,
        stop: StopReason | None,
    ) -> None:
        error, samples = energy.error / self._n_sites, energy.n_samples
        if energy.r_hat > LARGEST_R_HAT:
            warn(f"R-hat of the energy is {energy.r_hat:.3f}: the walkers disagree; measure longer, or with more moves")
        if stop is not None:
            print(f"stopped: {stop.message}; go on with --resume", flush=True)
        elif goal.until_error is not None and not goal.reached(energy, _the(chains).draws, self._n_sites):
            needed = math.ceil(samples * (error / goal.until_error) ** 2)
            print(
                f"the error of the energy per site is {error:.1e} after {samples} samples, above {goal.until_error:g}: "
                f"go on with --resume --until-error {goal.until_error:g} --samples {needed}",
                flush=True,
            )

    def _tell(self, action: Callable[[Notebook], T]) -> T | None:
        """Collective. What rank 0 does with its notebook; its value there."""
        return self.comm.on_root(lambda: action(_the(self.notebook)))


def _the(value: T | None) -> T:
    """What the root has."""
    assert value is not None, "asked of the root alone"
    return value


def _same_sector(spins: npt.NDArray[np.int8], magnetization: int | None) -> bool:
    return magnetization is None or bool((spins.sum(axis=1, dtype=np.int64) == magnetization).all())
