"""Moments of the local energy and the log-derivatives over all ranks: statistics, force and quantum geometric tensor.

Configurations may carry weights w, with sum w = n over all ranks: averages are then sums of w times a quantity over n.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pvmc.errors import NumericalError, on_every_rank
from pvmc.estimators.energy import EnergyStatistics, block_sums, energy_statistics, exact_statistics
from pvmc.estimators.local import Estimates, Kept
from pvmc.estimators.reweighting import Reweighting
from pvmc.estimators.rows import Rows
from pvmc.mpi import Communicator
from pvmc.numerics.arrays import Floats, Numbers
from pvmc.numerics.exact_sums import sum_of_blocks


@dataclass(frozen=True)
class Moments:
    """One iteration's linear problem S x = F: what every solver takes.

    Either the rows that S and F are made of are kept, or S and F stand on the root and the rows are gone.

    Attributes:
        energy: statistics of the local energy, on every rank.
        derivative_mean: <O_k>, float64 or complex128 (K,); on the root, empty on other ranks.
        force: F_k = <E_loc O_k*> - <E_loc><O_k*>, (K,); complex for complex parameters, its real part for real ones;
            on the root, empty on other ranks.
        tensor: S_kk' = <O_k* O_k'> - <O_k*><O_k'>, its real part for real parameters; lower triangle of (K, K) in
            Fortran order, the upper one is zero; on the root, empty on other ranks.
        n_parameters: K.
        dtype: of the force, float64 or complex128.
        rows: X and e of this rank's configurations; where they are kept, the three above are empty.
        reweighting: energies of other parameters on the same configurations, where these are kept.
    """

    energy: EnergyStatistics
    derivative_mean: Numbers
    force: Numbers
    tensor: Numbers
    n_parameters: int
    dtype: np.dtype[Any]
    rows: Rows | None = field(default=None, kw_only=True)
    reweighting: Reweighting | None = field(default=None, kw_only=True)


def reduce_moments(estimates: Estimates, comm: Communicator, *, n_sites: int, infinite_temperature: float) -> Moments:
    """Collective. The moments of all ranks.

    Carleo & Troyer, Science 355, 602 (2017), eq. (S6).

    Args:
        estimates: this rank's local energies and moments.
        comm: the ranks.
        n_sites: N.
        infinite_temperature: E_inf = Tr H / dim.

    Raises:
        NumericalError: the mean energy is not finite; on every rank.
    """
    mean = _mean_energy(estimates, comm)
    if estimates.weights is None or not estimates.is_exact:
        energy = energy_statistics(
            estimates.energies - (mean if np.iscomplexobj(estimates.energies) else mean.real),
            mean,
            n_sites,
            infinite_temperature,
            estimates.accepted,
            estimates.proposed,
            comm,
            n_blocks=estimates.n_blocks,
            exact_sums=estimates.exact_sums,
            weights=estimates.weights,
        )
    else:
        energy = exact_statistics(
            mean, _variance(estimates, mean, comm), estimates.n_samples, n_sites, infinite_temperature
        )
    if estimates.kept is not None:
        rows = _rows(estimates, estimates.kept, mean, comm)
        return Moments(energy, *_NOWHERE, rows.n_parameters, rows.dtype, rows=rows)
    assert estimates.matrix is not None, "rows that are not kept have been summed"
    derivative_mean, force, tensor = estimates.matrix.covariances(comm)
    return Moments(energy, derivative_mean, force, tensor, estimates.matrix.n_parameters, estimates.matrix.dtype)


_NOWHERE = np.empty(0), np.empty(0), np.empty((0, 0))


def _rows(estimates: Estimates, kept: Kept, mean: complex, comm: Communicator) -> Rows:
    """Collective. The rows of kept log-derivatives."""
    energies = estimates.energies.reshape(-1)[kept.order]
    is_real = not np.issubdtype(kept.derivatives[0].dtype, np.complexfloating)
    centred = energies.real - mean.real if is_real else energies - mean
    weights = np.ones(len(energies)) if estimates.weights is None else estimates.weights.reshape(-1)[kept.order]
    return Rows(kept.derivatives, centred, weights / estimates.n_samples, comm, real=kept.real_parameters)


def _mean_energy(estimates: Estimates, comm: Communicator) -> complex:
    """Collective. <E_loc>."""
    planes = [np.ascontiguousarray(part) for part in (estimates.energies.real, estimates.energies.imag)]
    if estimates.weights is not None:
        planes = [np.where(estimates.weights > 0, part, 0.0) * estimates.weights for part in planes]
    partials = np.stack([block_sums(part, estimates.n_blocks) for part in planes], axis=1)
    real, imaginary = sum_of_blocks(partials, comm, estimates.exact_sums) / estimates.n_samples
    with on_every_rank():
        if not (np.isfinite(real) and np.isfinite(imaginary)):
            raise NumericalError("the local energy is not finite: psi left the range of numbers")
    return complex(real, imaginary)


def _variance(estimates: Estimates, mean: complex, comm: Communicator) -> float:
    """Collective. <|E_loc - mean|^2> of weighted configurations."""
    assert estimates.weights is not None
    alive = np.where(estimates.weights > 0, estimates.energies, mean)
    squares: Floats = np.abs(alive - mean) ** 2 * estimates.weights
    partials = block_sums(squares, estimates.n_blocks)[:, None]
    return float(sum_of_blocks(partials, comm, estimates.exact_sums)[0]) / estimates.n_samples
