"""The algorithm of a fit, epoch by epoch.  It knows no files and no terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pvmc.fit.cost import evaluate, gradient
from pvmc.fit.data import DataSet
from pvmc.fit.spec import FitSpec
from pvmc.mpi import Communicator
from pvmc.numerics.random import Stream, generator
from pvmc.wavefunctions.base import Ansatz


@dataclass(frozen=True)
class EpochRecord:
    """Where the fit stands after an epoch; epoch 0 is the start.

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
