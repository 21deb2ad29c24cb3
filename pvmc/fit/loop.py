"""A fit: its input, and the algorithm epoch by epoch, which knows no files and no terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from pvmc.config import KeyProblem, Section
from pvmc.fit.cost import evaluate, gradient
from pvmc.fit.data import DataSet
from pvmc.mpi import Communicator
from pvmc.numerics.random import Stream, generator
from pvmc.sr import Schedule
from pvmc.sr.gradient import Adam, Momentum, Optimizer, SteepestDescent
from pvmc.wavefunctions.base import Ansatz


class FitSpec(Section):
    """An ansatz fitted to a target state by the mean square difference of the logarithms."""

    target: Literal["exact", "product", "file", "run"] = "exact"
    """what is fitted: the exact ground state, a product state, amplitudes from a file, or psi of another run"""
    source: str | None = None
    """with target = "file" the file of amplitudes, with "run" the directory of the other run or fit"""
    polar: float = Field(default=0.5, ge=0.0, le=1.0)
    """with target = "product": polar angle of every spin in units of pi; 0 is up, 0.5 in the plane"""
    azimuth: float = 0.0
    """with target = "product": azimuth of every spin in units of pi"""
    staggered: bool = False
    """with target = "product": the spins of the second sublattice point the opposite way"""
    weights: Literal["target", "uniform"] = "target"
    """how configurations count in the cost: in proportion to |target|^2, or all alike"""
    samples: int = Field(default=8192, ge=2)
    """configurations drawn from the target where they cannot all be enumerated"""
    optimizer: Literal["sgd", "momentum", "adam"] = "adam"
    """steepest descent, the same with momentum, or Adam"""
    learning_rate: Schedule = Schedule(initial=0.02)
    """step size: a number, or { initial, decay, minimum } by epoch"""
    momentum: float = Field(default=0.9, ge=0.0, lt=1.0)
    """part of the last change that momentum keeps; for Adam, decay of the mean gradient"""
    epochs: int = Field(default=500, ge=1)
    """passes over the data set"""
    batch_size: int | None = Field(default=None, ge=2)
    """configurations per step over all ranks, drawn by their weights; default: all in every step"""

    def build_optimizer(self, n_parameters: int) -> Optimizer:
        """A new optimiser for theta as n_parameters real numbers."""
        match self.optimizer:
            case "sgd":
                return SteepestDescent()
            case "momentum":
                return Momentum(self.momentum, n_parameters)
            case _:
                return Adam(self.momentum, n_parameters)

    def check(self) -> None:
        """KeyProblem where ``source`` does not go with ``target``."""
        if (self.source is not None) != (self.target in ("file", "run")):
            raise KeyProblem("fit.source", self.source or "", 'goes with target = "file" or "run", and only with these')


@dataclass(frozen=True)
class EpochRecord:
    """The state of the fit after an epoch; epoch 0 is the start.

    Attributes:
        epoch: number of epochs done.
        cost: C over the whole data set.
        infidelity: 1 - F.
        theta: parameters, (K,), the same bytes on every rank.
        seconds: wall time of the epoch.
    """

    epoch: int
    cost: float
    infidelity: float
    theta: npt.NDArray[Any]
    seconds: float


def iterate_epochs(
    theta: npt.NDArray[Any], ansatz: Ansatz, data: DataSet, spec: FitSpec, seed: int, comm: Communicator
) -> Iterator[EpochRecord]:
    """Collective. The fit from ``theta`` on: a record of the start, then one per epoch.

    A step draws its minibatch by the weights of the rows, with repetition, so that the mean over the batch is an
    estimate of the sums in the cost; an epoch is as many steps as the data set holds batches.  Without a batch size
    every step uses all rows.  Batches depend on (seed, step) alone, not on the number of ranks.

    Raises:
        NumericalError: the cost is not finite; on every rank.
    """
    live = np.flatnonzero(data.weights > 0)
    is_whole = spec.batch_size is None or spec.batch_size >= len(live)
    steps = 1 if is_whole else -(-len(live) // (spec.batch_size or 1))
    real = not np.issubdtype(ansatz.dtype, np.complexfloating)
    theta = theta.copy()
    optimizer = spec.build_optimizer(len(theta.view(np.float64)))
    yield EpochRecord(0, *_quality(theta, ansatz, data, comm), theta.copy(), 0.0)
    for epoch in range(1, spec.epochs + 1):
        started = time.perf_counter()
        rate = spec.learning_rate(epoch - 1)
        for step in range((epoch - 1) * steps, epoch * steps):
            if is_whole:
                rows, weights = live, data.weights[live]
            else:
                rng = generator(seed, Stream.FIT, iteration=step)
                rows = rng.choice(len(data), size=spec.batch_size, p=data.weights)
                weights = np.full(len(rows), 1.0 / len(rows))
            found = gradient(ansatz.at(theta), data, rows, weights, ansatz.n_parameters, real, comm)
            theta.view(np.float64)[:] += optimizer.change(found.vector.view(np.float64), rate)
            theta = comm.broadcast(theta)
        quality = _quality(theta, ansatz, data, comm)
        yield EpochRecord(epoch, *quality, theta.copy(), time.perf_counter() - started)


def _quality(theta: npt.NDArray[Any], ansatz: Ansatz, data: DataSet, comm: Communicator) -> tuple[float, float]:
    """Collective. Cost and infidelity."""
    cost, fidelity = evaluate(ansatz.at(theta), data, comm)
    return cost, 1.0 - fidelity
