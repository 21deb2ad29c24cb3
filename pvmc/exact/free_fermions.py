"""Free fermions for Ising and cluster-Ising chains in a transverse field.

P. Pfeuty, Ann. Phys. 57, 79 (1970); P. Smacchia et al., Phys. Rev. A 84, 022304 (2011).  With the Majorana operators

    a_j = (prod_{k<j} sigma^x_k) sigma^z_j ,    b_j = (prod_{k<j} sigma^x_k) sigma^y_j

all terms of these chains are quadratic,

    sigma^x_j = -i b_j a_j ,                            sigma^z_j sigma^z_{j+1} = i b_j a_{j+1} ,
    sigma^y_j sigma^y_{j+1} = i b_{j+1} a_j ,           sigma^z_{j-1} sigma^x_j sigma^z_{j+1} = i b_{j-1} a_{j+1} ,

so that  H = -i sum_jk b_j M_jk a_k.  A field counts the fermions, and P = prod_i sigma^x_i is their parity.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from pvmc.errors import InputError


def ising_chain_energy(n_sites: int, coupling: float, field: npt.ArrayLike, periodic: bool) -> float:
    """Ground-state energy of the transverse-field Ising chain; any signs of J and h, frustrated rings too.

    H = -J sum_i sigma^z_i sigma^z_{i+1} - sum_i h_i sigma^x_i.

    Args:
        n_sites: number of spins N; at least 3 on a ring, 2 on an open chain.
        coupling: J, in units of sigma.sigma; positive is ferromagnetic.
        field: h, in the same unit as J; one number, or on an open chain also one for each site.
        periodic: site N - 1 couples to site 0.

    Returns:
        The total energy, in the unit of J and h.

    Raises:
        InputError: too few sites, or a ring in a field that is not uniform.
    """
    fewest = 3 if periodic else 2
    if n_sites < fewest:
        raise InputError(f"free fermions of the Ising chain: needs at least {fewest} sites, not {n_sites}")
    fields = np.asarray(field, dtype=np.float64)
    if not periodic:
        return _open_energy(np.diag(np.broadcast_to(-fields, n_sites)) + _off_diagonal(n_sites, {1: coupling}))
    if fields.ndim:
        raise InputError("free fermions of the Ising ring: the field must be uniform")
    return _ring_energy(n_sites, {0: -float(fields), 1: coupling})


def cluster_ising_chain_energy(n_sites: int, coupling: float, ising: float, field: float, periodic: bool) -> float:
    """Ground-state energy of the cluster-Ising chain in a field, with K, lambda and h.

    H = -K sum sigma^z_{i-1} sigma^x_i sigma^z_{i+1} + lambda sum sigma^y_i sigma^y_{i+1} - h sum sigma^x_i.

    Args:
        n_sites: number of spins N, at least 3.
        coupling: K, in units of sigma.sigma.
        ising: lambda, in the same unit.
        field: h, in the same unit.
        periodic: the sums close round the ring; otherwise they keep the terms whose sites all exist.

    Raises:
        InputError: too few sites.
    """
    if n_sites < 3:
        raise InputError(f"free fermions of the cluster-Ising chain: needs at least 3 sites, not {n_sites}")
    hoppings = {-1: -ising, 0: -field, 2: coupling}
    return _ring_energy(n_sites, hoppings) if periodic else _open_energy(_off_diagonal(n_sites, hoppings))


def _off_diagonal(n_sites: int, hoppings: Mapping[int, float]) -> npt.NDArray[np.float64]:
    """The matrix M with M_{j, j+k} = hoppings[k] within an open chain."""
    return sum((value * np.eye(n_sites, k=k) for k, value in hoppings.items()), start=np.zeros((n_sites, n_sites)))


def _open_energy(matrix: npt.NDArray[np.float64]) -> float:
    """The ground energy of -i sum_jk b_j M_jk a_k: minus the sum of M's singular values."""
    return -float(np.linalg.svd(matrix, compute_uv=False).sum())


def _ring_energy(n_sites: int, hoppings: Mapping[int, float]) -> float:
    """The lower of the two parity sectors, for M_{j, j+k} = hoppings[k] round the ring."""
    return min(_sector_energy(n_sites, hoppings, parity) for parity in (0, 1))


def _sector_energy(n_sites: int, hoppings: Mapping[int, float], parity: int) -> float:
    """Lowest energy with an even (0) or odd (1) number of fermions.

    The fermions of the even sector are antiperiodic, those of the odd sector periodic.  A mode k has energy
    +-epsilon_k / 2 with epsilon_k = 2 |f(k)|, f(k) = sum_n hoppings[n] exp(i k n).  With every mode at its lower level
    the pairs (k, -k) hold an even number of fermions, and the unpaired momenta 0 and pi hold one each where
    f(k) > 0.  Should that parity be the wrong one, the cheapest mode is excited; in a frustrated ring (of the Ising
    chain: odd N, J < -|h|) this happens in both sectors.
    """
    momenta = np.pi * (2 * np.arange(n_sites) + 1 - parity) / n_sites
    amplitudes = sum((value * np.exp(1j * k * momenta) for k, value in hoppings.items()), start=np.zeros(n_sites))
    energies = 2 * np.abs(amplitudes)
    has_zero, has_pi = parity == 1, (n_sites + parity) % 2 == 1
    at_zero, at_pi = sum(hoppings.values()), sum(value * (-1) ** k for k, value in hoppings.items())
    occupied = int(has_zero and at_zero > 0) + int(has_pi and at_pi > 0)
    lowest = -energies.sum() / 2
    return float(lowest if occupied % 2 == parity else lowest + energies.min())
