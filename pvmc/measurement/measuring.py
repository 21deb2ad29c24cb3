"""One measurement: long sampling over all ranks at parameters that stay, errors, files."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from pvmc.errors import NumericalError, on_every_rank
from pvmc.estimators import EnergyStatistics, Leak, local_energy
from pvmc.estimators.energy import exact_statistics
from pvmc.io.checkpoint import Checkpoint
from pvmc.io.measurement import Estimate
from pvmc.io.reader import open_run
from pvmc.io.schema import FILE_NAME
from pvmc.measurement.fidelity import Fidelity, read_others
from pvmc.measurement.frozen import first_walkers, frozen, walk
from pvmc.measurement.observable import Findings, Setup, restore_states, saved_states
from pvmc.measurement.operators import advice, forced_to_zero
from pvmc.measurement.plan import Goal, MeasureRequest, Plan
from pvmc.measurement.recorder import MeasurementRecorder, table
from pvmc.measurement.registry import Observables, choose, names_of
from pvmc.measurement.smeared_variance import Energy, energy_estimates, errors_with_missed
from pvmc.measurement.walker_sums import WalkerSums
from pvmc.mpi import Communicator, OnRoot, block_range, limit_threads
from pvmc.numerics.arrays import Floats
from pvmc.numerics.exact_sums import sum_of_blocks
from pvmc.results.judged import judged
from pvmc.results.measured import outlier
from pvmc.sampler import FROZEN_STAGE, Enumeration, Walkers
from pvmc.statistics.tails import error_with_missed, missed_variance
from pvmc.statistics.thresholds import LARGEST_R_HAT
from pvmc.vmc.checkpoints import CheckpointPolicy
from pvmc.vmc.display import warn
from pvmc.vmc.interruptions import find_time_limit, stopped_by_signals
from pvmc.vmc.job import Job, job_of, require_blocks
from pvmc.vmc.pieces import StopReason
from pvmc.vmc.start import start_compiler
from pvmc.vmc.stop import StopWatcher
from pvmc.wavefunctions.base import WaveFunction
from pvmc.wavefunctions.vectors import dense_vector


def measure(request: MeasureRequest, comm: Communicator) -> int:
    """Collective. Carry out a measurement, from the beginning or from its last checkpoint, and store it.

    Signals stop it as they stop a run.

    Returns:
        The exit code: 0 for a finished one, 75 for one that was stopped and can go on.

    Raises:
        InputError: no such run, parameters or observables, more ranks than walker blocks, or nothing to go on with.
        NumericalError: a local value is not finite.
        StorageError: the files cannot be read or written.
    """
    with contextlib.ExitStack() as stack:
        signals = stack.enter_context(stopped_by_signals(comm, request.ends_program))
        record = OnRoot.made(lambda: stack.enter_context(MeasurementRecorder(request)), comm)
        plan = record.ask(lambda recorder: recorder.plan)
        with on_every_rank():
            job = job_of(plan.raw)
            theta = plan.saved.fitting(job.ansatz.parameter_blocks, job.ansatz.dtype)
            job = replace(job, sampler=frozen(job.sampler, plan.seed))
            psi = job.ansatz.at(theta)
            stored = plan.before.attributes if plan.before else {}
            words = [word for word in str(stored.get("observables", "")).split(", ") if word] or request.observables
            names = names_of(words, job)
        limit_threads(job.config.run.threads_per_rank)
        require_blocks(job, comm)
        others = comm.root_value(lambda: read_others(names))
        names = [name for name in names if not Fidelity.arguments([name])] + list(others)
        with on_every_rank():
            observables = choose(names, Setup(job, psi, plan.seed, others, bool(request.observables), comm))
        settings: dict[str, Any] = {"observables": ", ".join(observables.kept(names))}
        measuring = Measuring(job, theta, psi, observables, plan, comm, record)
        if isinstance(job.sampler, Enumeration):
            return measuring.exact(job.sampler, settings)
        goal = Goal.of(request, stored, job.sampler.n_blocks * job.sampler.width * job.sampler.n_draws)
        settings |= {"samples": goal.samples} | ({"until_error": goal.until_error} if goal.until_error else {})
        limit = comm.on_root(lambda: find_time_limit(job.config.run.time, request.started))
        if limit is not None and limit.warning:
            warn(limit.warning)
        watcher = StopWatcher(goal.batches + 1, signals, plan.file.parent, limit.limit if limit else None)
        return measuring.sampled(goal, settings, watcher)


@dataclass
class Sampling:
    """Batches of draws from |psi|^2 at parameters that stay, on all ranks, and the sums of what is measured.

    Attributes:
        job: the job, with the sampler of the measurement.
        psi: the wave function.
        observables: what is measured besides the energy.
        comm: the ranks.
        walkers: of this rank, where they are now.
        sums: over their draws so far.
        batch: number of the next batch.
    """

    job: Job
    psi: WaveFunction
    observables: Observables
    comm: Communicator
    walkers: Walkers
    sums: WalkerSums
    batch: int = 0

    @classmethod
    def begun(
        cls,
        job: Job,
        psi: WaveFunction,
        observables: Observables,
        left: npt.NDArray[np.int8] | None,
        comm: Communicator,
    ) -> Sampling:
        """Collective. Without draws, with walkers where a run left them, see :func:`first_walkers`."""
        walkers = first_walkers(job.sampler, left, comm)
        sums = WalkerSums.empty(len(walkers.spins), observables.size, job.sampler.width)
        return cls(job, psi, observables, comm, walkers, sums)

    @classmethod
    def resumed(
        cls, job: Job, psi: WaveFunction, observables: Observables, checkpoint: Checkpoint, comm: Communicator
    ) -> Sampling:
        """Go on from a checkpoint of all ranks."""
        blocks = block_range(job.sampler.n_blocks, comm.rank, comm.size)
        walkers = Walkers(checkpoint.spins[blocks.start : blocks.stop].copy(), blocks.start)
        saved: Any = checkpoint.parts["measurement"]
        restore_states(observables.tallies, saved, blocks)
        sums = WalkerSums.restored(saved, blocks, comm.rank == 0)
        return cls(job, psi, observables, comm, walkers, sums, checkpoint.iteration)

    def compile(self) -> None:
        """Collective. Run every kernel of a batch once, on rank 0 while the others wait, who then load them."""
        first = Walkers(self.walkers.spins[:1], self.walkers.first_block)

        def run() -> None:
            for _, _, spins, lookup in walk(self.job.sampler.short(), first, self.psi, 1, FROZEN_STAGE):
                local_energy(self.job.operator, self.psi, spins, lookup)
                self.observables.values(self.psi, spins, lookup)
            for tally in self.observables.tallies:
                tally.compile()

        start_compiler()
        self.comm.on_root(run)

    def draw(self) -> Floats:
        """Draw a batch with this rank's walkers and add it to the sums.

        Returns:
            Mean energy of each walker in this batch, float64 (n_blocks, L).
        """
        sampler, psi = self.job.sampler, self.psi
        draws = walk(sampler, self.walkers, psi, self.batch, FROZEN_STAGE)
        means = np.zeros(self.sums.energy.shape)
        for drawn in draws:
            block, draw, spins, lookup = drawn
            values = self.observables.values(psi, spins, lookup)
            energies = local_energy(self.job.operator, psi, spins, lookup)
            self.sums.add(block, draw, values, energies, self.job.operator.radius)
            means[block] += energies.real / sampler.n_draws
            for tally in self.observables.tallies:
                tally.add(psi, drawn)
        for tally in self.observables.tallies:
            tally.end_batch(psi, self.batch)
        self.sums.draws += sampler.n_draws
        self.sums.counts += (draws.accepted, draws.proposed)
        self.walkers, self.batch = draws.walkers, self.batch + 1
        return means

    def energy(self) -> EnergyStatistics:
        """Collective. Statistics of the energy so far, the same on every rank; the error is also of the variance that
        the draws have missed, where the energy is among the observables."""
        operator = self.job.operator
        scales = (operator.infinite_temperature_energy, operator.radius)
        energy = self.sums.statistics_of_all(self.job.lattice.n_sites, *scales, self.comm)
        if (leak := self.leak()) is None:
            return energy
        missed = missed_variance(energy.variance, leak.variance, leak.variance_error)
        bound = abs(leak.energy - energy.mean.real) + leak.energy_error
        error = error_with_missed(energy.error, missed, energy.autocorrelation_time, energy.n_samples, bound)
        return replace(energy, error=error)

    def leak(self) -> Leak | None:
        """Collective. The leak test so far; None where the energy is not among the observables."""
        tallies = [tally for tally in self.observables.tallies if isinstance(tally, Energy)]
        return tallies[0].leak(self.comm) if tallies else None


@dataclass(frozen=True)
class Measuring:
    """A measurement under way.

    Attributes:
        job: the job, with the sampler of the measurement.
        theta: the parameters.
        psi: the wave function.
        observables: what is measured besides the energy.
        plan: what it begins with.
        comm: the ranks.
        record: rank 0's files and terminal.
    """

    job: Job
    theta: npt.NDArray[Any]
    psi: WaveFunction
    observables: Observables
    plan: Plan
    comm: Communicator
    record: OnRoot[MeasurementRecorder]

    def exact(self, sampler: Enumeration, settings: dict[str, Any]) -> int:
        """Collective. Count all configurations once; the exit code."""
        walkers = first_walkers(sampler, None, self.comm)
        self.record.do(lambda recorder: recorder.begin(settings, 1, self.job))
        means, energy = enumerated(sampler, walkers, self.psi, self.job, self.observables, self.comm)

        def finish(recorder: MeasurementRecorder) -> None:
            found = self.observables.estimates(means, np.zeros(len(means)))
            vector = dense_vector(self.psi, sampler.basis)
            for tally in self.observables.tallies:
                found |= tally.of_vector(vector, sampler.basis)
            self._store(recorder, "finished", energy, (0.0, 0.0), found, self._forced_to_zero(found))

        self.record.do(finish)
        return 0

    def sampled(self, goal: Goal, settings: dict[str, Any], watcher: StopWatcher) -> int:
        """Collective. Draw batch after batch until the goal or a stop; the exit code."""
        sampling = self._sampling()
        sampling.compile()
        self.record.do(lambda recorder: recorder.begin(settings, goal.batches, self.job))
        watcher.checkpoints = CheckpointPolicy(self.job.config.run.checkpoint, sampling.batch, time.monotonic())
        energy = sampling.energy() if sampling.sums.draws else None
        stop: StopReason | None = None

        def over() -> bool:
            reached = energy is not None and goal.reached(energy, sampling.sums.draws, self._n_sites)
            return reached or sampling.batch >= goal.batches

        while not stop and not over():
            batch = sampling.batch
            sampling.draw()
            energy = sampling.energy()
            self.record.do(partial(MeasurementRecorder.show, batch=Drawn(batch, energy)))
            decision = watcher.decide(batch, self.comm)
            stop = decision.stop
            for wanted, lasting in ((decision.recent, False), (decision.checkpoint and not stop, True)):
                if wanted:
                    watcher.saved(batch, self._save(sampling, lasting), lasting)
        assert energy is not None, "a goal has at least one batch"
        self._save(sampling)
        everything = sampling.sums.of_all(self.comm)
        findings = [tally.findings(self.comm) for tally in self.observables.tallies]
        status, stop = ("finished", None) if over() else ("running", stop)

        def conclude(recorder: MeasurementRecorder) -> None:
            assert everything is not None, "the root has gathered them"
            self._conclude(recorder, status, energy, everything, findings)
            if text := _remark(goal, energy, everything.draws, self._n_sites, stop):
                print(text, flush=True)

        self.record.do(conclude)
        return 0 if stop is None else stop.exit_code

    @property
    def _n_sites(self) -> int:
        return self.job.lattice.n_sites

    def _sampling(self) -> Sampling:
        """Collective. The sampling before its next batch."""
        if self.plan.checkpoint is None:
            return Sampling.begun(self.job, self.psi, self.observables, self.plan.walkers, self.comm)
        return Sampling.resumed(self.job, self.psi, self.observables, self.plan.checkpoint, self.comm)

    def _save(self, sampling: Sampling, lasting: bool = True) -> float:
        """Collective. Write a checkpoint, forced to the disk where it is to be lasting; the seconds that it took."""
        begin = time.monotonic()
        spins, everything = self.comm.gather(sampling.walkers.spins), sampling.sums.of_all(self.comm)
        states = saved_states(self.observables.tallies, self.comm)

        def save(recorder: MeasurementRecorder) -> None:
            assert spins is not None and everything is not None, "the root has gathered them"
            numbers = {**everything.saved(), **states}
            recorder.save(sampling.batch, self.job, self.theta, spins, numbers, lasting)

        self.record.do(save)
        return time.monotonic() - begin

    def _conclude(
        self,
        recorder: MeasurementRecorder,
        status: str,
        energy: EnergyStatistics,
        sums: WalkerSums,
        findings: Sequence[Findings],
    ) -> None:
        """Store the estimates from the sums of all ranks, and warn of what is not to be trusted.  For the root alone.

        Raises:
            NumericalError: a local value is not finite.
        """
        means, errors = sums.means()
        if not np.isfinite(means).all():
            raise NumericalError("a local value is not finite: psi may vanish on a walker")
        found = self.observables.estimates(means, errors)
        doubts = {name: text for one in findings for name, text in one.doubts.items()}
        for one in findings:
            found |= one.estimates
        r_hats = {"energy": energy.r_hat, **self.observables.largest(sums.r_hats())}
        worst = max(r_hats, key=lambda name: r_hats[name])
        about: dict[str, Any] = {"largest_r_hat": r_hats[worst], "largest_r_hat_of": worst}
        about["unreliable"] = ", ".join(doubts)
        tail = sums.tail()
        about |= {"tail_exponent": tail.exponent, "tail_exponent_error": tail.error}
        jackknife = sums.jackknife_errors(self._n_sites, self.job.operator.infinite_temperature_energy)
        if "variance_smeared" in found:
            unseen = sums.unseen_variance(self.job.operator.radius)
            jackknife = errors_with_missed(energy, jackknife, unseen, found["variance_smeared"])
        about |= self._forced_to_zero(found)
        self._store(recorder, status, energy, jackknife, found, about)
        if r_hats[worst] > LARGEST_R_HAT:
            warn(
                f"R-hat of {worst} is {r_hats[worst]:.3f}: the walkers disagree; measure longer, with more moves, or "
                "with a longer sampler.burn_in"
            )
        for text in doubts.values():
            warn(text)

    def _forced_to_zero(self, found: Mapping[str, Estimate]) -> dict[str, str]:
        """Warn of estimates that symmetry or reality forces to zero and that are not; the attribute that says so."""
        texts = forced_to_zero(self.job, self.observables.parities, found)
        if not texts:
            return {}
        text = advice(texts, self.job.config.ansatz.model_dump())
        warn(text)
        return {"forced_to_zero": text}

    def _store(
        self,
        recorder: MeasurementRecorder,
        status: str,
        energy: EnergyStatistics,
        energy_errors: tuple[float, float],
        found: Mapping[str, Estimate],
        about: Mapping[str, Any],
    ) -> None:
        """Write and print the estimates.  For the root alone."""
        units = self.job.config.hamiltonian.energy_unit
        estimates = {**energy_estimates(energy, energy_errors, units), **found}
        recorder.close()
        stored = recorder.store(status, estimates, energy, self.observables, about)
        print(table(stored, self._n_sites), flush=True)
        if self.plan.file.name == FILE_NAME:  # a fit has no iterations to compare with
            for text in outlier(judged(open_run(self.plan.file)), stored):
                warn(text)


@dataclass(frozen=True)
class Drawn:
    """A batch of draws, as it is shown.

    Attributes:
        iteration: number of the batch.
        energy: statistics so far.
    """

    iteration: int
    energy: EnergyStatistics


def _remark(goal: Goal, energy: EnergyStatistics, draws: int, n_sites: int, stop: StopReason | None) -> str:
    """A line about a measurement that was stopped, or ended with too large an error; "" for any other."""
    if stop is not None:
        return f"stopped: {stop.message}; go on with --resume"
    if goal.until_error is None or goal.reached(energy, draws, n_sites):
        return ""
    error, samples = energy.error / n_sites, energy.n_samples
    needed = math.ceil(samples * (error / goal.until_error) ** 2)
    return (
        f"the error of the energy per site is {error:.1e} after {samples} samples, above {goal.until_error:g}: "
        f"go on with --resume --until-error {goal.until_error:g} --samples {needed}"
    )


def enumerated(
    sampler: Enumeration,
    walkers: Walkers,
    psi: WaveFunction,
    job: Job,
    observables: Observables,
    comm: Communicator,
) -> tuple[Floats, EnergyStatistics]:
    """Collective. Means of all local values, float64 (n_values,), and of the energy, weighted by |psi|^2.

    Raises:
        NumericalError: psi vanishes everywhere, or a value is not finite; on every rank.
    """
    operator = job.operator
    walk = sampler.walk(walkers, psi, 0)
    logarithms = walk.log_weights
    assert logarithms is not None, "an enumeration has weights"
    largest = comm.max(np.array([logarithms.max(initial=-np.inf)]))[0]
    with on_every_rank():
        if not np.isfinite(largest):
            raise NumericalError("the wave function is zero, or not finite, on all configurations")
    weights = np.exp(logarithms[:, 0] - largest)  # |psi|^2 up to a factor, (n_blocks, L)
    energies = np.zeros(weights.shape, dtype=np.complex128)
    partials = np.zeros((walk.n_blocks, observables.size + 3))
    for block, _, spins, lookup in walk:
        alive = weights[block] > 0
        energies[block] = np.where(alive, local_energy(operator, psi, spins, lookup), 0.0)
        values = np.where(alive, observables.values(psi, spins, lookup), 0.0)
        rows = np.stack([np.ones(len(alive)), energies[block].real, energies[block].imag])
        partials[block] = np.concatenate([rows, values]) @ weights[block]  # (3 + n_values, L) x (L,)
    total, real, imaginary, *sums = sum_of_blocks(partials, comm, True).tolist()
    mean = complex(real, imaginary) / total
    # Var = sum_s |psi(s)|^2 |E_loc(s) - E|^2 / sum_s |psi(s)|^2, about the mean, which keeps the digits.
    squares = np.sum(weights * abs(energies - mean) ** 2, axis=1)[:, np.newaxis]
    variance = float(sum_of_blocks(squares, comm, True)[0]) / total
    with on_every_rank():
        if not np.isfinite([mean.real, variance, *sums]).all():
            raise NumericalError("a local value is not finite")
    n_sites, n_samples = sampler.basis.spins.shape
    statistics = exact_statistics(mean, variance, n_samples, n_sites, operator.infinite_temperature_energy)
    return np.array(sums) / total, statistics
