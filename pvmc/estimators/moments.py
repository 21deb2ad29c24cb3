"""Moments of the local energy and the log-derivatives over all ranks: means, force and quantum geometric tensor.

Covariances are centred before they are multiplied (two passes): <OO> - <O><O> loses all digits near the ground
state, where E_loc hardly varies.

Configurations that carry weights w, with sum w = 1 over all ranks, enter as rows times sqrt(n w): whoever multiplies
rows and divides by their number n then has weighted averages, and need not know of weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import blas, get_lapack_funcs

from pvmc.errors import NumericalError, on_every_rank
from pvmc.estimators.local import Batch
from pvmc.estimators.statistics import EnergyStatistics, energy_statistics, exact_statistics
from pvmc.parallel import Communicator


@dataclass(frozen=True)
class Moments:
    """One iteration's linear problem: this rank's centred rows, and what was reduced over all ranks.

    Attributes:
        derivatives: O_k - <O_k>, float64 or complex128 (K, n), of this rank's n configurations; weighted ones times
            sqrt(n_samples w).
        energies: E_loc - <E_loc>, (n,), of this rank; weighted in the same way.
        derivative_mean: <O_k> over all ranks, (K,).
        force: F_k = <E_loc O_k*> - <E_loc><O_k*> over all ranks, (K,); complex for complex parameters, its real
            part for real ones.
        energy: statistics of the local energy.
        real_parameters: whether theta is real, so that S and F are real parts.
    """

    derivatives: npt.NDArray[Any]
    energies: npt.NDArray[Any]
    derivative_mean: npt.NDArray[Any]
    force: npt.NDArray[Any]
    energy: EnergyStatistics
    real_parameters: bool


def reduce_moments(
    batch: Batch, comm: Communicator, *, n_sites: int, infinite_temperature: float, real_parameters: bool
) -> Moments:
    """Collective. Centre the batch over all ranks and reduce the means and the force.

    Carleo & Troyer, Science 355, 602 (2017), eq. (S6).  The batch's derivatives are centred in place.

    Args:
        batch: this rank's local energies and log-derivatives.
        comm: the ranks.
        n_sites: N.
        infinite_temperature: E_inf = Tr H / dim.
        real_parameters: whether theta is real.

    Raises:
        NumericalError: the mean energy is not finite; on every rank.
    """
    if batch.log_weights is not None:
        return _reduce_weighted(batch, comm, n_sites, infinite_temperature, real_parameters)
    n_total = int(comm.sum(np.array([batch.energies.size], dtype=np.int64))[0])
    sums = comm.sum(np.concatenate([batch.derivatives.sum(axis=1), [batch.columns.sum()]]).astype(np.complex128))
    _require_finite(sums)
    mean, energy_mean = sums[:-1] / n_total, complex(sums[-1] / n_total)
    derivative_mean = mean if np.iscomplexobj(batch.derivatives) else mean.real
    derivatives = batch.derivatives
    derivatives -= derivative_mean[:, None]
    centred = batch.energies - (energy_mean if np.iscomplexobj(batch.energies) else energy_mean.real)
    statistics = energy_statistics(
        centred, energy_mean, n_sites, infinite_temperature, batch.accepted, batch.proposed, comm
    )
    energies = centred.reshape(-1)
    local_force = derivatives.conj() @ energies
    force = comm.sum(local_force.real.copy() if real_parameters else local_force.astype(np.complex128)) / n_total
    return Moments(derivatives, energies, derivative_mean, force, statistics, real_parameters)


def _reduce_weighted(
    batch: Batch, comm: Communicator, n_sites: int, infinite_temperature: float, real_parameters: bool
) -> Moments:
    """Collective. As :func:`reduce_moments`, for weighted configurations, which have no statistical error."""
    assert batch.log_weights is not None
    weights = _normalised(batch.log_weights.reshape(-1), comm)
    n_total = int(comm.sum(np.array([np.isfinite(batch.log_weights).sum()], dtype=np.int64))[0])
    derivatives, energies = batch.derivatives, batch.columns.copy()
    dead = weights == 0  # where psi vanishes E_loc is no number, and does not count
    derivatives[:, dead] = 0.0
    energies[dead] = 0.0
    sums = comm.sum(np.concatenate([derivatives @ weights, [energies @ weights]]).astype(np.complex128))
    _require_finite(sums)
    mean, energy_mean = sums[:-1], complex(sums[-1])
    derivative_mean = mean if np.iscomplexobj(derivatives) else mean.real
    root = np.sqrt(n_total * weights)
    derivatives -= derivative_mean[:, None]
    derivatives *= root
    energies = (energies - (energy_mean if np.iscomplexobj(energies) else energy_mean.real)) * root
    local_force = derivatives.conj() @ energies
    force = comm.sum(local_force.real.copy() if real_parameters else local_force.astype(np.complex128)) / n_total
    variance = float(comm.sum(np.array([np.sum(np.abs(energies) ** 2)]))[0]) / n_total
    statistics = exact_statistics(energy_mean, variance, n_total, n_sites, infinite_temperature)
    return Moments(derivatives, energies, derivative_mean, force, statistics, real_parameters)


def _normalised(logarithms: npt.NDArray[np.float64], comm: Communicator) -> npt.NDArray[np.float64]:
    """Collective. Weights with these logarithms up to a factor; their sum over all ranks is 1."""
    largest = comm.max(np.array([logarithms.max()]))
    _require_finite(largest)
    weights = np.exp(logarithms - largest)
    return np.asarray(weights / comm.sum(np.array([weights.sum()])))


def _require_finite(values: npt.NDArray[Any]) -> None:
    """NumericalError, on every rank, where reduced values are not finite."""
    with on_every_rank():
        if not np.all(np.isfinite(values)):
            raise NumericalError("the local energy or a log-derivative is not finite: psi left the range of numbers")


def quantum_geometric_tensor(moments: Moments, comm: Communicator) -> npt.NDArray[Any]:
    """Collective. S_kk' = <O_k* O_k'> - <O_k*><O_k'> over all ranks; its real part for real parameters.

    Each rank contributes the lower triangle of a rank-n update (BLAS herk or syrk, half the work of a product);
    the packed triangle is what is reduced.

    Returns:
        Lower triangle of S, float64 or complex128 (K, K), Fortran order; the upper triangle is zero.
    """
    rows = moments.derivatives.T
    scale = 1.0 / moments.energy.n_samples
    local: npt.NDArray[Any]
    if not moments.real_parameters:
        local = blas.zherk(scale, rows.astype(np.complex128, copy=False), trans=2, lower=1)
    elif np.iscomplexobj(rows):
        # Re(O^H O) = O_r^T O_r + O_i^T O_i: the parts stacked are one real product.
        parts = np.concatenate([moments.derivatives.real, moments.derivatives.imag], axis=1)
        local = blas.dsyrk(scale, parts.T, trans=1, lower=1)
    else:
        local = blas.dsyrk(scale, rows, trans=1, lower=1)
    functions: Any = get_lapack_funcs(("trttp", "tpttr"), (local,))
    to_packed, from_packed = functions
    packed, _ = to_packed(local, uplo="L")
    tensor, _ = from_packed(len(local), comm.sum(packed), uplo="L")
    return np.asarray(tensor)
