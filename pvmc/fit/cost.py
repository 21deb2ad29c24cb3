"""The cost of a fit, its gradient, and the fidelity.

With a = ln psi - ln phi, the logarithm of the ratio of ansatz and target, and weights w that sum to one,

    C = 1/2 sum_s w_s |a_s - sum_s' w_s' a_s'|^2 :

the mean square distance of ln psi from ln phi, up to a factor between them (norm and global phase), chosen best.
Phases count modulo 2 pi: Im a is taken within pi of its mean direction.  For real parameters the gradient is the real
part of

    G_k = sum_s w_s O_k(s)* (a_s - mean) ,      dC = Re sum_k G_k* dtheta_k .
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pvmc.errors import NumericalError, on_every_rank
from pvmc.fit.data import DataSet
from pvmc.mpi import Communicator, block_range
from pvmc.numerics.arrays import Floats, Numbers
from pvmc.wavefunctions.base import WaveFunction

WIDTH = 256
"""Configurations at a time, which bounds the memory of look-ups and derivatives."""


@dataclass(frozen=True)
class Gradient:
    """Cost and gradient of a (mini)batch over all ranks.

    Attributes:
        cost: C.
        vector: G, complex128 (K,), or its real part for real parameters, float64.
    """

    cost: float
    vector: Numbers


def evaluate(psi: WaveFunction, data: DataSet, comm: Communicator) -> tuple[float, float]:
    """Collective. The cost and the fidelity F = |<psi|phi>|^2 / (<psi|psi> <phi|phi>) over the whole data set.

    The fidelity is exact where all configurations are enumerated; for rows drawn from |phi|^2 it is the estimate
    |<r>|^2 / <|r|^2> with r = psi/phi, which does not see psi where phi vanishes.

    Raises:
        NumericalError: the cost is not finite; on every rank.
    """
    share = block_range(len(data), comm.rank, comm.size)
    rows = slice(share.start, share.stop)
    log_psi = _log_psi(psi, data.spins[:, rows])
    live = data.weights[rows] > 0
    residual = _residuals(log_psi[live] - data.log_target[rows][live], data.weights[rows][live], comm)
    cost = _cost(residual, data.weights[rows][live], comm)
    half_measure = 0.5 * data.log_measure[rows]
    return cost, _fidelity(log_psi + half_measure, data.log_target[rows] + half_measure, comm)


def gradient(
    psi: WaveFunction,
    data: DataSet,
    rows: npt.NDArray[np.int64],
    weights: Floats,
    n_parameters: int,
    real_parameters: bool,
    comm: Communicator,
) -> Gradient:
    """Collective. Cost and gradient of some rows of a data set.

    Args:
        psi: the ansatz at its present parameters.
        data: the data set, the same on every rank.
        rows: which rows, the same on every rank; each rank works on its share.
        weights: of these rows, summing to one.
        n_parameters: K.
        real_parameters: theta is real.
        comm: the ranks.

    Raises:
        NumericalError: the cost is not finite; on every rank.
    """
    share = block_range(len(rows), comm.rank, comm.size)
    own, weight = rows[share.start : share.stop], weights[share.start : share.stop]
    spins = data.spins[:, own]
    residual = _residuals(_log_psi(psi, spins) - data.log_target[own], weight, comm)
    local = np.zeros(n_parameters + 1, dtype=np.complex128)
    local[-1] = 0.5 * np.sum(weight * np.abs(residual) ** 2)
    for part in _parts(len(own)):
        block = np.ascontiguousarray(spins[:, part])
        derivatives = psi.log_derivatives(block, psi.lookup(block))
        local[:-1] += derivatives.conj() @ (weight[part] * residual[part])
    total = comm.sum(local.real.copy() if real_parameters else local)
    return Gradient(_finite(float(total[-1].real)), total[:-1])


def _log_psi(psi: WaveFunction, spins: npt.NDArray[np.int8]) -> npt.NDArray[np.complex128]:
    values = np.empty(spins.shape[1], dtype=np.complex128)
    for part in _parts(spins.shape[1]):
        values[part] = psi.log_psi(np.ascontiguousarray(spins[:, part]))
    return values


def _parts(count: int) -> list[slice]:
    return [slice(start, min(start + WIDTH, count)) for start in range(0, count, WIDTH)]


def _residuals(difference: Numbers, weights: Floats, comm: Communicator) -> Numbers:
    """Collective. a - mean, complex128, with phases next to their mean direction."""
    direction = comm.sum(np.array([np.sum(weights * np.exp(1j * difference.imag))]))[0]
    phase = float(np.angle(direction))
    imaginary = np.remainder(difference.imag - phase + np.pi, 2.0 * np.pi) - np.pi
    residual = difference.real + 1j * imaginary
    return np.asarray(residual - comm.sum(np.array([np.sum(weights * residual)]))[0])


def _cost(residual: Numbers, weights: Floats, comm: Communicator) -> float:
    return _finite(0.5 * float(comm.sum(np.array([np.sum(weights * np.abs(residual) ** 2)]))[0]))


def _finite(cost: float) -> float:
    """The cost; NumericalError on every rank where it is no number."""
    with on_every_rank():
        if not np.isfinite(cost):
            raise NumericalError("the cost of the fit is not finite; lower fit.learning_rate")
    return cost


def _fidelity(log_psi: Numbers, log_phi: Numbers, comm: Communicator) -> float:
    """Collective. |<psi|phi>|^2 / (<psi|psi> <phi|phi>) from logarithms of the components of this rank."""
    local = [np.max(values.real, initial=-np.inf) for values in (log_psi, log_phi)]
    largest = comm.max(np.array(local))
    first, second = (np.exp(values - scale) for values, scale in zip((log_psi, log_phi), largest, strict=True))
    sums = comm.sum(np.array([np.vdot(first, second), np.vdot(first, first), np.vdot(second, second)], dtype=complex))
    return float(abs(sums[0]) ** 2 / (sums[1].real * sums[2].real))
