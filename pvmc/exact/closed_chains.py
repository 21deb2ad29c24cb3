"""Chains of spins 1/2 with exact energies: the Heisenberg ring by the Bethe ansatz, Haldane-Shastry, Majumdar-Ghosh.

H. Bethe, Z. Phys. 71, 205 (1931); L. Hulthen, Ark. Mat. Astron. Fys. 26A, 11 (1938).  For

    H = J sum_i S_i . S_{i+1},   J > 0,   N even,

the lowest state with r spins down, r <= N/2, has r real rapidities lambda_j that solve the logarithmic Bethe equations

    2 N arctan(2 lambda_j) - sum_k 2 arctan(lambda_j - lambda_k) = 2 pi I_j,   I_j = -(r - 1)/2, ..., (r - 1)/2,

and E = J [ N/4 - sum_j 2 / (1 + 4 lambda_j^2) ] (C. N. Yang and C. P. Yang, Phys. Rev. 150, 321 (1966)).  It is convex
in r, and a uniform field h along z adds -h M/2 with M = N - 2 r.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import solve

from pvmc.errors import InputError, NumericalError
from pvmc.numerics.arrays import Floats

MAX_ITERATIONS = 50
TOLERANCE = 1e-14
"""Largest accepted residual of the Bethe equations, per site: their terms are sums of N angles."""

SAME_LEVEL = 1e-12
"""Energies closer than this, relative to N times the couplings, are one level."""


def heisenberg_chain_energy(n_sites: int, coupling: float = 1.0, magnetization: int = 0) -> float:
    """Ground-state energy of the periodic antiferromagnetic Heisenberg chain, or the lowest of a magnetisation.

    Args:
        n_sites: number of spins N, even, at least 4.
        coupling: J > 0, in units of S.S.
        magnetization: M = sum_i s_i, even, at most N in modulus.

    Returns:
        The total energy, in the unit of J.

    Raises:
        InputError: N odd or below 4, J not positive, or a magnetisation that N spins do not have.
        NumericalError: the Bethe equations were not solved to rounding.
    """
    if n_sites < 4 or n_sites % 2:
        raise InputError(f"Bethe ansatz of the Heisenberg ring: {n_sites} sites; needs an even number from 4 on")
    if not coupling > 0:
        raise InputError(f"Bethe ansatz of the Heisenberg ring: coupling {coupling}; needs a positive one")
    if abs(magnetization) > n_sites or magnetization % 2:
        raise InputError(f"Bethe ansatz of the Heisenberg ring: {n_sites} spins do not sum to {magnetization}")
    rapidities = _solve(n_sites, (n_sites - abs(magnetization)) // 2)
    return coupling * float(n_sites / 4 - np.sum(2 / (1 + 4 * rapidities**2)))


def heisenberg_chain_magnetizations(n_sites: int, coupling: float, field: float) -> tuple[tuple[int, ...], float]:
    """The magnetisations of the ground state of the ring in a uniform field h along z, and its energy.

    H = J sum_i S_i . S_{i+1} - h sum_i S^z_i.  The energy without field is convex in M >= 0, so that a bisection finds
    where its slope exceeds |h|/2; two magnetisations where a step of the magnetisation curve lies at this field.

    Raises:
        InputError: see :func:`heisenberg_chain_energy`.
        NumericalError: the Bethe equations were not solved to rounding.
    """
    known: dict[int, float] = {}

    def energy(magnetization: int) -> float:
        if magnetization not in known:
            zeeman = abs(field) * magnetization / 2
            known[magnetization] = heisenberg_chain_energy(n_sites, coupling, magnetization) - zeeman
        return known[magnetization]

    close = SAME_LEVEL * n_sites * (coupling + abs(field))
    lowest, highest = 0, n_sites
    while lowest < highest:  # the smallest M whose step to M + 2 does not lower the energy
        middle = lowest + 2 * ((highest - lowest) // 4)
        if energy(middle + 2) >= energy(middle) - close:
            highest = middle
        else:
            lowest = middle + 2
    held = [lowest]
    while held[-1] < n_sites and energy(held[-1] + 2) <= energy(lowest) + close:
        held.append(held[-1] + 2)
    sign = -1 if field < 0 else 1
    return tuple(sign * value for value in held), energy(lowest)


def _solve(n_sites: int, n_rapidities: int) -> Floats:
    """The rapidities, shape (r,), ascending, by Newton's method.

    The start is the infinite chain's density of rapidities, 1 / (2 cosh(pi lambda)), filled with r of them; it is
    so close that full steps converge for every N.  The Jacobian is positive definite near the solution: its diagonal
    carries the density of rapidities, its kernel is a Lorentzian.
    """
    if n_rapidities == 0:
        return np.empty(0)
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


def haldane_shastry_energy(n_sites: int, coupling: float = 1.0) -> float:
    """Ground-state energy of  H = J sum_{i<j} S_i . S_j / d_ij^2,  d = (N / pi) sin(pi (i - j) / N),  on a ring.

    F. D. M. Haldane, Phys. Rev. Lett. 60, 635 (1988); B. S. Shastry, Phys. Rev. Lett. 60, 639 (1988):
    E = -J (pi^2 / 24) (N + 5 / N) for even N.

    Args:
        n_sites: number of spins N, even, at least 4.
        coupling: J > 0, in units of S.S.

    Raises:
        InputError: N odd or below 4, or J not positive.
    """
    if n_sites < 4 or n_sites % 2:
        raise InputError(f"Haldane-Shastry ring: {n_sites} sites; needs an even number from 4 on")
    if not coupling > 0:
        raise InputError(f"Haldane-Shastry ring: coupling {coupling}; needs a positive one")
    return -coupling * np.pi**2 / 24 * (n_sites + 5 / n_sites)


def majumdar_ghosh_energy(n_sites: int, coupling: float = 1.0) -> float:
    """Ground-state energy of the Heisenberg chain with J2 = J1 / 2, ring or open: -3 J1 N / 8.

    C. K. Majumdar and D. K. Ghosh, J. Math. Phys. 10, 1388 (1969): H is a sum over triples of neighbours, each of which
    is as low as can be where it holds a singlet; neighbours paired to singlets make all of them so.

    Args:
        n_sites: number of spins N, even, at least 6 (on a ring of 4 the second neighbours are the same both ways).
        coupling: J1 > 0, in units of S.S.

    Raises:
        InputError: N odd or below 6, or J1 not positive.
    """
    if n_sites < 6 or n_sites % 2:
        raise InputError(f"Majumdar-Ghosh chain: {n_sites} sites; needs an even number from 6 on")
    if not coupling > 0:
        raise InputError(f"Majumdar-Ghosh chain: coupling {coupling}; needs a positive one")
    return -0.375 * coupling * n_sites
