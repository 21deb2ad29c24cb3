"""The algorithm: sample, estimate, reduce, solve, step.  It knows no files, no signals and no terminal."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pvmc.errors import on_every_rank
from pvmc.estimators import EnergyStatistics, Estimates, Leak, LeakTest, Moments, Reweighting, estimate, reduce_moments
from pvmc.hamiltonians import Operator
from pvmc.mpi import Communicator, require_identical
from pvmc.sampler import Sampler, Walkers
from pvmc.sr import NO_DAMPING, ConstantDamping, Damping, Memory, Solver, Step
from pvmc.statistics.tails import Tail
from pvmc.vmc.refinement import REFINEMENT, Refinement, Tied
from pvmc.wavefunctions.base import Ansatz
from pvmc.wavefunctions.sharing import TiedParameters

PHASES = ("sampling", "local_energies", "derivatives", "products", "reducing", "solving")
"""The phases of an iteration: Metropolis steps, local energies, log-derivatives, the products of their rows in S and F,
sums over all ranks (with the wait for the slowest), and the solution of S x = F (with the broadcast of x)."""

CHECK_INTERVAL = 10
"""Iterations between two checks that all ranks hold the same parameters."""


@dataclass(frozen=True)
class State:
    """All that the next iteration needs.

    Attributes:
        iteration: number of the next iteration, from 0.
        theta: parameters, (K,), the same bytes on every rank.
        walkers: this rank's configurations.
        memory: what solver and sampler remember, by name; the same bytes on every rank.
    """

    iteration: int
    theta: npt.NDArray[Any]
    walkers: Walkers
    memory: Memory = field(default_factory=dict)

    def updated(self, walkers: Walkers, step: Step, sampling: Memory) -> State:
        """The state after a step: theta - gamma x."""
        return State(
            iteration=self.iteration + 1,
            theta=self.theta - step.learning_rate * step.direction,
            walkers=walkers,
            memory={**step.memory, **sampling},
        )


@dataclass(frozen=True)
class StepRecord:
    """The results of one iteration.

    Attributes:
        iteration: number of the iteration, from 0.
        energy: statistics of the local energy at the parameters before the step.
        step: the SR step.
        state: the state after the step.
        walker_energies: mean local energy of each walker of this rank, real part, (n_walkers,); None of enumerations.
        seconds: wall time on this rank of each of the PHASES.
        leak: the leak test of the iteration; None where none is due.
        tail: of the local energies of all its draws; None where there is no leak test.
    """

    iteration: int
    energy: EnergyStatistics
    step: Step
    state: State
    walker_energies: npt.NDArray[np.float64] | None
    seconds: dict[str, float]
    leak: Leak | None = None
    tail: Tail | None = None


def iterate(
    state: State,
    ansatz: Ansatz,
    operator: Operator,
    sampler: Sampler,
    solver: Solver,
    comm: Communicator,
    *,
    exact_sums: bool = True,
    damping: Damping = NO_DAMPING,
    leak_test: LeakTest | None = None,
    refinement: Refinement | None = None,
) -> Iterator[StepRecord]:
    """Collective. Stochastic reconfiguration from a state onwards, one record per iteration, without end.

    Carleo & Troyer, Science 355, 602 (2017), supplementary text, eqs. (S4)-(S7).  With ``exact_sums`` the states are
    the same to the last bit at any number of ranks; ``damping`` is looked at in every iteration, and ``leak_test``
    changes no state.  ``refinement`` lowers the learning rate as the energy converges, and frees shared filters.

    Raises:
        NumericalError: the energy or the step is not finite, or the ranks' parameters differ; on every rank.
    """
    measure_all = _Measure(ansatz, operator, sampler, solver, comm, exact_sums, leak_test)
    for iteration in itertools.count(state.iteration):
        clock = _Stopwatch()
        # The parameters that move: all of them or, at the first levels of refinement, filters that sites share.
        tied = refinement.tied_at(state.memory) if refinement is not None else None
        measure, solve = (measure_all, solver) if tied is None else (measure_all.of(tied), tied.solver)
        damped = _damped(damping, refinement, state.memory)
        # Sample s from |psi|^2 and estimate E, F (K,) and S (K, K), or the rows that they are made of.
        n_draws = _draws(sampler, state)
        batch, moments, walkers, leak, tail = measure(state.theta, state.walkers, iteration, n_draws, clock)
        # Solve (S + Lambda) x = F for the direction x (K,).
        step = solve.solve(moments, iteration, comm, damped, memory=state.memory)
        clock.lap("solving")
        if solve.is_second_order:  # Heun: F and S once more at the end of the step, and x from both
            end = state.theta - step.learning_rate * _direction(step, tied)
            _, ahead, walkers, _, _ = measure(end, walkers, iteration, n_draws, clock, stage=1)
            step = solve.corrected(step, ahead, iteration, comm, damped, state.memory)
            clock.lap("solving")
        # Step: theta - gamma x.
        step = replace(step, direction=_direction(step, tied))
        known = _sampling(sampler, state, moments.energy) | _refined(refinement, state.memory, moments.energy)
        if tied is not None and refinement is not None and refinement.tied_at(known) is None:
            step = replace(step, memory={})  # what is known of tied parameters means nothing to free ones
        state = state.updated(walkers, step, known)
        if iteration % CHECK_INTERVAL == 0:
            require_identical(comm, state.theta, f"the parameters after iteration {iteration}")
        energies, seconds = _walker_energies(batch), clock.phases()
        yield StepRecord(iteration, moments.energy, step, state, energies, seconds, leak, tail)


def _direction(step: Step, tied: Tied | None) -> npt.NDArray[Any]:
    """The direction of all parameters, (K,)."""
    return step.direction if tied is None else tied.ansatz.expanded(step.direction)


def _damped(damping: Damping, refinement: Refinement | None, memory: Memory) -> Damping:
    """The damping, and the smaller learning rate of the level of refinement."""
    if refinement is None:
        return damping
    return ConstantDamping(damping.shift_factor, damping.rate_factor * refinement.factor(memory))


def _refined(refinement: Refinement | None, memory: Memory, energy: EnergyStatistics) -> dict[str, npt.NDArray[Any]]:
    """The memory of the refinement after an iteration."""
    return {} if refinement is None else {REFINEMENT: refinement.after(memory, energy.mean.real, energy.error)}


@dataclass(frozen=True)
class _Measure:
    """Sampling and estimation at given parameters."""

    ansatz: Ansatz | TiedParameters
    operator: Operator
    sampler: Sampler
    solver: Solver
    comm: Communicator
    exact_sums: bool
    leak_test: LeakTest | None

    def of(self, tied: Tied) -> _Measure:
        """The same with tied parameters."""
        return replace(self, ansatz=tied.ansatz, solver=tied.solver)

    def __call__(
        self,
        theta: npt.NDArray[Any],
        walkers: Walkers,
        iteration: int,
        n_draws: int | None,
        clock: _Stopwatch,
        stage: int = 0,
    ) -> tuple[Estimates, Moments, Walkers, Leak | None, Tail | None]:
        """Collective. The estimates of this rank, the moments of all, where the walkers are then, and leak test and
        tail of a first stage where they are due."""
        ansatz, operator, comm = self.ansatz, self.operator, self.comm
        # Sample: sweeps of this rank's blocks, lazily, as the estimators ask for draws.
        with on_every_rank():  # theta is the same on all
            psi = ansatz.at(theta)
        walk = self.sampler.walk(walkers, psi, iteration, n_draws=n_draws, stage=stage)
        # Estimate: local energies and rows (1, O - c, E - c) of this rank.
        batch = estimate(
            walk,
            operator,
            psi,
            ansatz.n_parameters,
            comm,
            real_parameters=not np.issubdtype(ansatz.dtype, np.complexfloating),
            exact_sums=self.exact_sums,
            keep_rows=self.solver.keeps_rows,
            keep_spins=self.solver.keeps_spins,
        )
        clock.lap("sampling", batch.seconds)
        # Reduce: sums over all ranks.
        moments = reduce_moments(
            batch,
            comm,
            n_sites=ansatz.n_sites,
            infinite_temperature=operator.infinite_temperature_energy,
        )
        if self.solver.keeps_spins:
            moments = replace(moments, reweighting=Reweighting(batch, theta, ansatz, operator, comm))
        clock.lap("reducing")
        leak = tail = None
        if self.leak_test is not None and stage == 0 and self.leak_test.is_due(iteration):
            leak = self.leak_test(walk.walkers, psi, iteration, comm)
            tail = batch.tail(moments.energy.mean, operator.radius, comm)
            clock.lap("local_energies")
        return batch, moments, walk.walkers, leak, tail


def _walker_energies(batch: Estimates) -> npt.NDArray[np.float64] | None:
    """Mean local energy of each walker, those of smeared draws with their weights; None of enumerations."""
    if batch.is_exact:
        return None
    energies = batch.energies.real
    if not batch.is_smeared:
        return np.asarray(energies.mean(axis=0))
    assert batch.weights is not None, "smeared draws have weights"
    with np.errstate(invalid="ignore"):
        return np.asarray((batch.weights * energies).sum(axis=0) / batch.weights.sum(axis=0))


SAMPLING = "samples"
"""Name under which the growth of the samples is remembered."""


def _draws(sampler: Sampler, state: State) -> int | None:
    """Draws per walker in the next iteration; None where they do not grow."""
    if sampler.growth is None:
        return None
    return sampler.growth.draws(state.memory.get(SAMPLING, sampler.growth.start()))


def _sampling(sampler: Sampler, state: State, energy: EnergyStatistics) -> dict[str, npt.NDArray[Any]]:
    """The memory of the sampler after an iteration."""
    if sampler.growth is None:
        return {}
    numbers = state.memory.get(SAMPLING, sampler.growth.start())
    return {SAMPLING: sampler.growth.after(numbers, energy.mean.real, energy.error)}


class _Stopwatch:
    """Wall time of the PHASES of an iteration."""

    def __init__(self) -> None:
        self._seconds = dict.fromkeys(PHASES, 0.0)
        self._last = time.perf_counter()

    def lap(self, phase: str, within: Mapping[str, float] | None = None) -> None:
        """Add the time since the last lap to a phase, but for what other phases took of it."""
        now = time.perf_counter()
        parts = within or {}
        for name, seconds in parts.items():
            self._seconds[name] += seconds
        self._seconds[phase] += now - self._last - sum(parts.values())
        self._last = now

    def phases(self) -> dict[str, float]:
        """Seconds of each of the PHASES."""
        return dict(self._seconds)
