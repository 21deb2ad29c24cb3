"""Bethe ansatz for the periodic Heisenberg chain of spins 1/2.

H. Bethe, Z. Phys. 71, 205 (1931); L. Hulthen, Ark. Mat. Astron. Fys. 26A, 11 (1938).  For

    H = J sum_i S_i . S_{i+1},   J > 0,   N even,

the ground state has N/2 real rapidities lambda_j that solve the logarithmic Bethe equations

    2 N arctan(2 lambda_j) - sum_k 2 arctan(lambda_j - lambda_k) = 2 pi I_j,   I_j = -N/4 + 1/2, ..., N/4 - 1/2,

and E = J [ N/4 - sum_j 2 / (1 + 4 lambda_j^2) ].
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve

from pvmc.errors import InputError, NumericalError

MAX_ITERATIONS = 50
TOLERANCE = 1e-14
"""Largest accepted residual of the Bethe equations, per site: their terms are sums of N angles."""

Floats = npt.NDArray[np.float64]


def heisenberg_chain_energy(n_sites: int, coupling: float = 1.0) -> float:
    """Ground-state energy of the periodic antiferromagnetic Heisenberg chain.

    Args:
        n_sites: number of spins N, even, at least 4.
        coupling: J > 0, in units of S.S.

    Returns:
        The total energy, in the unit of J.

    Raises:
        InputError: N odd or below 4, or J not positive.
        NumericalError: the Bethe equations were not solved to rounding.
    """
    if n_sites < 4 or n_sites % 2:
        raise InputError(f"Bethe ansatz of the Heisenberg ring: {n_sites} sites; needs an even number from 4 on")
    if not coupling > 0:
        raise InputError(f"Bethe ansatz of the Heisenberg ring: coupling {coupling}; needs a positive one")
    rapidities = _solve(n_sites)
    return coupling * float(n_sites / 4 - np.sum(2 / (1 + 4 * rapidities**2)))


def _solve(n_sites: int) -> Floats:
    """The rapidities, shape (N/2,), ascending, by Newton's method.

    The start is the infinite chain's density of rapidities, 1 / (2 cosh(pi lambda)), filled with N/2 of them; it is
    so close that full steps converge for every N.  The Jacobian is positive definite near the solution: its diagonal
    carries the density of rapidities, its kernel is a Lorentzian.
    """
    n_rapidities = n_sites // 2
    quantum_numbers: Floats = np.arange(n_rapidities, dtype=np.float64) - (n_rapidities - 1) / 2
    rapidities = np.arcsinh(np.tan(2 * np.pi * quantum_numbers / n_sites)) / np.pi
    residual = _residual(rapidities, quantum_numbers, n_sites)
    for _ in range(MAX_ITERATIONS):
        improved = rapidities - solve(_jacobian(rapidities, n_sites), residual, assume_a="pos")
        improved_residual = _residual(improved, quantum_numbers, n_sites)
        if np.abs(improved_residual).max() >= np.abs(residual).max():
            break  # rounding is reached
        rapidities, residual = improved, improved_residual
    largest = np.abs(residual).max()
    if not largest <= TOLERANCE * n_sites:
        raise NumericalError(f"Bethe equations of {n_sites} sites: not solved, residual {largest:.1e}")
    return rapidities


def _residual(rapidities: Floats, quantum_numbers: Floats, n_sites: int) -> Floats:
    scattering = np.arctan(rapidities[:, np.newaxis] - rapidities).sum(axis=1)
    return 2 * n_sites * np.arctan(2 * rapidities) - 2 * scattering - 2 * np.pi * quantum_numbers


def _jacobian(rapidities: Floats, n_sites: int) -> Floats:
    kernel = 2 / (1 + (rapidities[:, np.newaxis] - rapidities) ** 2)
    return np.diag(4 * n_sites / (1 + 4 * rapidities**2) - kernel.sum(axis=1)) + kernel
