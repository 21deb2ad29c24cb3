"""Free fermions for the Ising chain in a transverse field.

P. Pfeuty, Ann. Phys. 57, 79 (1970).  A Jordan-Wigner transformation makes

    H = -J sum_i sigma^z_i sigma^z_{i+1} - h sum_i sigma^x_i

quadratic in fermions, with the field counting them and P = prod_i sigma^x_i their parity.
"""

from __future__ import annotations

import numpy as np

from pvmc.errors import InputError


def ising_chain_energy(n_sites: int, coupling: float, field: float, periodic: bool) -> float:
    """Ground-state energy of the transverse-field Ising chain; any signs of J and h, frustrated rings too.

    Args:
        n_sites: number of spins N; at least 3 on a ring, 2 on an open chain.
        coupling: J, in units of sigma.sigma; positive is ferromagnetic.
        field: h, in the same unit as J.
        periodic: whether site N - 1 couples to site 0.

    Returns:
        The total energy, in the unit of J and h.

    Raises:
        InputError: too few sites.
    """
    fewest = 3 if periodic else 2
    if n_sites < fewest:
        raise InputError(f"free fermions of the Ising chain: needs at least {fewest} sites, not {n_sites}")
    if not periodic:
        return _open_energy(n_sites, coupling, field)
    return min(_sector_energy(n_sites, coupling, field, parity) for parity in (0, 1))


def _open_energy(n_sites: int, coupling: float, field: float) -> float:
    """H = -i sum_jk b_j M_jk a_k in Majorana operators: the ground energy is minus the sum of M's singular values."""
    bidiagonal = np.diag(np.full(n_sites, field)) + np.diag(np.full(n_sites - 1, coupling), k=1)
    return -float(np.linalg.svd(bidiagonal, compute_uv=False).sum())


def _sector_energy(n_sites: int, coupling: float, field: float, parity: int) -> float:
    """Lowest energy with an even (0) or odd (1) number of fermions.

    The fermions of the even sector are antiperiodic, those of the odd sector periodic.  A mode k has energy
    +-epsilon_k / 2.  With every mode at its lower level the pairs (k, -k) hold an even number of fermions, and the
    unpaired momenta 0 and pi hold one each where h - J cos k < 0.  Should that parity be the wrong one, the cheapest
    mode is excited; in a frustrated ring (odd N, J < -|h|) this happens in both sectors.
    """
    momenta = np.pi * (2 * np.arange(n_sites) + 1 - parity) / n_sites
    cosines = np.cos(momenta)
    energies = 2 * np.hypot(field - coupling * cosines, coupling * np.sin(momenta))
    has_zero, has_pi = parity == 1, (n_sites + parity) % 2 == 1
    occupied = int(has_zero and field - coupling < 0) + int(has_pi and field + coupling < 0)
    lowest = -energies.sum() / 2
    return float(lowest if occupied % 2 == parity else lowest + energies.min())
