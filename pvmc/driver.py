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
from pvmc.sr import Solver, Step

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
        force_norm: |F|.
        step: the SR step.
        state: the state after the step.
        seconds: wall time on this rank of each phase: sampling, estimating, reducing, solving.
    """

    iteration: int
    energy: EnergyStatistics
    force_norm: float
    step: Step
    state: State
    seconds: dict[str, float]


def iterate(
    state: State,
    ansatz: Ansatz,
    operator: Operator,
    sampler: Sampler,
    solver: Solver,
    comm: Communicator,
) -> Iterator[StepRecord]:
    """Collective. Stochastic reconfiguration from a state onwards, one record per iteration, without end.

    Carleo & Troyer, Science 355, 602 (2017), supplementary text, eqs. (S4)-(S7).

    Raises:
        NumericalError: the energy or the step is not finite, or the ranks' parameters differ; on every rank.
    """
    for iteration in itertools.count(state.iteration):
        clock = _Stopwatch()
        with on_every_rank():  # theta is the same on all
            psi = ansatz.at(state.theta)
        walkers, samples = sampler.advance(state.walkers, psi, iteration)
        clock.lap("sampling")
        batch = estimate(samples, operator, psi, ansatz.n_parameters)
        clock.lap("estimating")
        moments = reduce_moments(
            batch,
            comm,
            n_sites=ansatz.n_sites,
            infinite_temperature=operator.infinite_temperature_energy,
            real_parameters=not np.issubdtype(ansatz.dtype, np.complexfloating),
        )
        clock.lap("reducing")
        step = solver.solve(moments, iteration, comm)
        state = state.updated(walkers, step)
        clock.lap("solving")
        if iteration % CHECK_INTERVAL == 0:
            require_identical(comm, state.theta, f"the parameters after iteration {iteration}")
        yield StepRecord(iteration, moments.energy, float(np.linalg.norm(moments.force)), step, state, clock.seconds)


class _Stopwatch:
    """Wall time between laps."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = now - self._last
        self._last = now
