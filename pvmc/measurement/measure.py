"""A measurement that goes on: batch after batch of draws on all ranks, errors, checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from pvmc.errors import NumericalError
from pvmc.estimators import EnergyStatistics, local_energy
from pvmc.exact import Basis
from pvmc.io.measurement import Estimate
from pvmc.io.reader import open_run
from pvmc.io.schema import FILE_NAME
from pvmc.measurement.enumerated import enumerated
from pvmc.measurement.forbidden import advice, forced_to_zero
from pvmc.measurement.frozen import first_walkers, walk
from pvmc.measurement.goal import Goal
from pvmc.measurement.observable import Findings, Tally, restore_states, saved_states
from pvmc.measurement.plan import Plan
from pvmc.measurement.recorder import Notebook, energy_estimates, table
from pvmc.measurement.registry import Observables
from pvmc.measurement.walker_sums import Chains
from pvmc.mpi import Communicator, block_range
from pvmc.numerics.arrays import Floats
from pvmc.results.judged import judged
from pvmc.results.measured import outlier
from pvmc.sampler import FROZEN_STAGE, Enumeration, Walkers
from pvmc.statistics.thresholds import LARGEST_R_HAT
from pvmc.vmc.checkpoint_policy import CheckpointPolicy
from pvmc.vmc.compile import start_compiler
from pvmc.vmc.job import Job
from pvmc.vmc.recorder import warn
from pvmc.vmc.stop import StopReason, StopWatcher
from pvmc.wavefunctions.base import WaveFunction
from pvmc.wavefunctions.vectors import dense_vector

T = TypeVar("T")


@dataclass(frozen=True)
class Batch:
    """A batch of draws, as it is shown."""

    iteration: int
    energy: EnergyStatistics


@dataclass(frozen=True)
class Measuring:
    """A measurement that goes on.

    Attributes:
        job: the job, with the sampler of the measurement.
        theta: the parameters.
        psi: the wave function.
        observables: what is measured besides the energy, by local values.
        tallies: what is measured otherwise.
        plan: what it begins with.
        comm: the ranks.
        notebook: on the root; None elsewhere.
    """

    job: Job
    theta: npt.NDArray[Any]
    psi: WaveFunction
    observables: Observables
    tallies: tuple[Tally, ...]
    plan: Plan
    comm: Communicator
    notebook: Notebook | None

    def exact(self, settings: dict[str, Any]) -> int:
        """Collective. All configurations once; the exit code."""
        assert isinstance(self.job.sampler, Enumeration)
        sampler = self.job.sampler
        walkers = first_walkers(sampler, None, self.comm)
        self._tell(lambda notebook: notebook.begin(settings, 1, self.job))
        means, energy = enumerated(sampler, walkers, self.psi, self.job.operator, self.observables, self.comm)
        self._tell(partial(self._finish_exact, means, energy, sampler.basis))
        return 0

    def _finish_exact(self, means: Floats, energy: EnergyStatistics, basis: Basis, notebook: Notebook) -> None:
        found = self.observables.estimates(means, np.zeros(len(means)))
        if self.tallies:
            vector = dense_vector(self.psi, basis)
            for tally in self.tallies:
                found |= tally.of_vector(vector, basis)
        self._finish("finished", energy, (0.0, 0.0), found, self._forced_to_zero(found), notebook)

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
            for wanted, lasting in ((decision.recent, False), (decision.checkpoint and not stop, True)):
                if wanted:
                    watcher.saved(batch - 1, self._save(batch, walkers, chains, lasting), lasting)
        assert energy is not None, "a goal has at least one batch"
        self._save(batch, walkers, chains)
        over = batch >= goal.batches or goal.reached(energy, chains.draws, self._n_sites)
        everything = chains.of_all(self.comm)
        findings = [tally.findings(self.comm) for tally in self.tallies]
        self._tell(partial(self._conclude, "finished" if over else "running", energy, everything, findings))
        self._tell(partial(self._last_words, energy=energy, chains=everything, goal=goal, stop=None if over else stop))
        return 0 if over or stop is None else stop.exit_code

    @property
    def _n_sites(self) -> int:
        return self.job.lattice.n_sites

    def _state(self) -> tuple[Walkers, Chains, int]:
        """Collective. Walkers, sums and the number of the next batch."""
        checkpoint, comm, sampler = self.plan.checkpoint, self.comm, self.job.sampler
        if checkpoint is None:
            walkers = first_walkers(sampler, self.plan.walkers, comm)
            return walkers, Chains.empty(len(walkers.spins), self.observables.size, sampler.width), 0
        blocks = block_range(sampler.n_blocks, comm.rank, comm.size)
        walkers = Walkers(checkpoint.spins[blocks.start : blocks.stop].copy(), blocks.start)
        restore_states(self.tallies, checkpoint.solver, blocks)
        return walkers, Chains.restored(dict(checkpoint.solver), blocks, comm.rank == 0), checkpoint.iteration

    def _compile(self, walkers: Walkers) -> None:
        """Collective. Every kernel of a batch once, on rank 0 while the others wait, who then load them."""
        first = Walkers(walkers.spins[:1], walkers.first_block)

        def run() -> None:
            for _, _, spins, lookup in walk(self.job.sampler.short(), first, self.psi, 1, FROZEN_STAGE):
                local_energy(self.job.operator, self.psi, spins, lookup)
                self.observables.values(self.psi, spins, lookup)
            for tally in self.tallies:
                tally.compile()

        start_compiler()
        self.comm.on_root(run)

    def _draw(self, walkers: Walkers, chains: Chains, batch: int) -> Walkers:
        """A batch of draws of this rank's walkers, added to their sums; where the walkers are then."""
        sampler, psi = self.job.sampler, self.psi
        draws = walk(sampler, walkers, psi, batch, FROZEN_STAGE)
        for drawn in draws:
            block, draw, spins, lookup = drawn
            values = self.observables.values(psi, spins, lookup)
            chains.add(block, draw, values, local_energy(self.job.operator, psi, spins, lookup))
            for tally in self.tallies:
                tally.add(psi, drawn)
        for tally in self.tallies:
            tally.end_batch(psi, batch)
        chains.draws += sampler.n_draws
        chains.counts += (draws.accepted, draws.proposed)
        return draws.walkers

    def _energy(self, chains: Chains) -> EnergyStatistics:
        """Collective. Statistics of the energy so far, the same on every rank."""
        scales = (self.job.operator.infinite_temperature_energy, self.job.operator.radius)
        return chains.statistics_of_all(self._n_sites, *scales, self.comm)

    def _save(self, batch: int, walkers: Walkers, chains: Chains, lasting: bool = True) -> float:
        """Collective. Write a checkpoint, forced to the disk where it is to be lasting; the seconds that it took."""
        begin = time.monotonic()
        spins, everything = self.comm.gather(walkers.spins), chains.of_all(self.comm)
        states = saved_states(self.tallies, self.comm)

        def save(notebook: Notebook) -> None:
            numbers = {**the(everything).saved(), **states}
            notebook.save(batch, self.job, self.theta, the(spins), numbers, lasting)

        self._tell(save)
        return time.monotonic() - begin

    def _conclude(
        self,
        status: str,
        energy: EnergyStatistics,
        chains: Chains | None,
        findings: Sequence[Findings],
        notebook: Notebook,
    ) -> None:
        everything = the(chains)
        means, errors = everything.means()
        if not np.isfinite(means).all():
            raise NumericalError("a local value is not finite: psi may vanish on a walker")
        found = self.observables.estimates(means, errors)
        doubts = {name: text for one in findings for name, text in one.doubts.items()}
        for one in findings:
            found |= one.estimates
        r_hats = {"energy": energy.r_hat, **self.observables.largest(everything.r_hats())}
        worst = max(r_hats, key=lambda name: r_hats[name])
        about: dict[str, Any] = {"largest_r_hat": r_hats[worst], "largest_r_hat_of": worst}
        about["unreliable"] = ", ".join(doubts)
        e_infinite = self.job.operator.infinite_temperature_energy
        jackknife = everything.jackknife_errors(self._n_sites, e_infinite)
        about |= self._forced_to_zero(found)
        self._finish(status, energy, jackknife, found, about, notebook)
        if r_hats[worst] > LARGEST_R_HAT:
            warn(
                f"R-hat of {worst} is {r_hats[worst]:.3f}: the walkers disagree; measure longer, with more moves, or "
                "with a longer sampler.burn_in"
            )
        for text in doubts.values():
            warn(text)

    def _forced_to_zero(self, found: Mapping[str, Estimate]) -> dict[str, str]:
        """What symmetry or reality forces to zero and is not, as an attribute; a warning, on the root."""
        texts = forced_to_zero(self.job, self.observables, found)
        if not texts:
            return {}
        text = advice(texts, self.job.config.ansatz.model_dump())
        warn(text)
        return {"forced_to_zero": text}

    def _finish(
        self,
        status: str,
        energy: EnergyStatistics,
        energy_errors: tuple[float, float],
        found: Mapping[str, Estimate],
        about: Mapping[str, Any],
        notebook: Notebook,
    ) -> None:
        units = self.job.config.hamiltonian.energy_unit
        estimates = {**energy_estimates(energy, energy_errors, units), **found}
        coordinates: dict[str, npt.NDArray[Any]] = dict(self.observables.coordinates)
        for tally in self.tallies:
            coordinates |= tally.coordinates
        notebook.close()
        stored = notebook.store(status, estimates, energy, coordinates, about)
        print(table(stored, self._n_sites), flush=True)
        if self.plan.file.name == FILE_NAME:  # a fit has no iterations to compare with
            for text in outlier(judged(open_run(self.plan.file)), stored):
                warn(text)

    def _last_words(
        self,
        notebook: Notebook,
        energy: EnergyStatistics,
        chains: Chains | None,
        goal: Goal,
        stop: StopReason | None,
    ) -> None:
        error, samples = energy.error / self._n_sites, energy.n_samples
        if stop is not None:
            print(f"stopped: {stop.message}; go on with --resume", flush=True)
        elif goal.until_error is not None and not goal.reached(energy, the(chains).draws, self._n_sites):
            needed = math.ceil(samples * (error / goal.until_error) ** 2)
            print(
                f"the error of the energy per site is {error:.1e} after {samples} samples, above {goal.until_error:g}: "
                f"go on with --resume --until-error {goal.until_error:g} --samples {needed}",
                flush=True,
            )

    def _tell(self, action: Callable[[Notebook], T]) -> T | None:
        """Collective. What rank 0 does with its notebook; its value there."""
        return self.comm.on_root(lambda: action(the(self.notebook)))


def the(value: T | None) -> T:
    """What the root has."""
    assert value is not None, "asked of the root alone"
    return value
