"""The algorithm: sample, estimate, reduce, solve, step.  It knows no files, no signals and no terminal."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pvmc.ansatz.base import Ansatz
from pvmc.errors import on_every_rank
from pvmc.estimators import EnergyStatistics, estimate, reduce_moments
from pvmc.hamiltonians import Operator
from pvmc.parallel import Communicator, require_identical
from pvmc.sampler import Sampler, Walkers
from pvmc.sr import CALM, Caution, Solver, Step

PHASES = ("sampling", "local_energies", "derivatives", "products", "reducing", "solving")
"""What an iteration does: Metropolis steps, local energies, log-derivatives, the products of their rows in S and F,
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
    """

    iteration: int
    theta: npt.NDArray[Any]
    walkers: Walkers

    def updated(self, walkers: Walkers, step: Step) -> State:
        """The state after a step: theta - gamma x."""
        return replace(
            self,
            iteration=self.iteration + 1,
            theta=self.theta - step.learning_rate * step.direction,
            walkers=walkers,
        )


@dataclass(frozen=True)
class StepRecord:
    """What happened in one iteration.

    Attributes:
        iteration: number of the iteration, from 0.
        energy: statistics of the local energy at the parameters before the step.
        step: the SR step.
        state: the state after the step.
        walker_energies: mean local energy of each walker of this rank, real part, (n_walkers,); None of enumerations.
        seconds: wall time on this rank of each of the PHASES.
    """

    iteration: int
    energy: EnergyStatistics
    step: Step
    state: State
    walker_energies: npt.NDArray[np.float64] | None
    seconds: dict[str, float]


def iterate(
    state: State,
    ansatz: Ansatz,
    operator: Operator,
    sampler: Sampler,
    solver: Solver,
    comm: Communicator,
    *,
    exact_sums: bool = True,
    caution: Caution = CALM,
) -> Iterator[StepRecord]:
    """Collective. Stochastic reconfiguration from a state onwards, one record per iteration, without end.

    Carleo & Troyer, Science 355, 602 (2017), supplementary text, eqs. (S4)-(S7).  With ``exact_sums`` the states are
    the same to the last bit at any number of ranks; ``caution`` is looked at in every iteration.

    Raises:
        NumericalError: the energy or the step is not finite, or the ranks' parameters differ; on every rank.
    """
    for iteration in itertools.count(state.iteration):
        clock = _Stopwatch()
        with on_every_rank():  # theta is the same on all
            psi = ansatz.at(state.theta)
        walk = sampler.walk(state.walkers, psi, iteration)
        batch = estimate(
            walk,
            operator,
            psi,
            ansatz.n_parameters,
            comm,
            real_parameters=not np.issubdtype(ansatz.dtype, np.complexfloating),
            exact_sums=exact_sums,
        )
        clock.lap("estimating")
        moments = reduce_moments(
            batch,
            comm,
            n_sites=ansatz.n_sites,
            infinite_temperature=operator.infinite_temperature_energy,
        )
        clock.lap("reducing")
        step = solver.solve(moments, iteration, comm, caution)
        state = state.updated(walk.walkers, step)
        clock.lap("solving")
        if iteration % CHECK_INTERVAL == 0:
            require_identical(comm, state.theta, f"the parameters after iteration {iteration}")
        energies = None if batch.weights is not None else batch.energies.real.mean(axis=0)
        yield StepRecord(iteration, moments.energy, step, state, energies, clock.phases(batch.seconds))


class _Stopwatch:
    """Wall time between laps."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = now - self._last
        self._last = now

    def phases(self, within: dict[str, float]) -> dict[str, float]:
        """Seconds of each of the PHASES, given those of the phases that are woven into one lap."""
        seconds = self.seconds | within
        seconds["sampling"] += seconds.pop("estimating") - sum(within.values())  # tables of psi, waits
        return {phase: seconds[phase] for phase in PHASES}
