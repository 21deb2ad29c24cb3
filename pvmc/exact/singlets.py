"""Chains of spins 1/2 whose ground-state energy is a formula: Haldane-Shastry and Majumdar-Ghosh."""

from __future__ import annotations

import numpy as np

from pvmc.errors import InputError


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
