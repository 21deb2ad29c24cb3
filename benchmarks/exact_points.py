"""Observables of a state of few spins from its vector, by their definitions: what measurements are compared with.

Nothing here is shared with the measurement: matrix elements of Pauli matrices on labels of configurations, all pairs of
sites, singular values.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pvmc.exact import Basis, ground_state
from pvmc.hamiltonians import Operator
from pvmc.lattice import Lattice
from pvmc.vmc.spec import JobConfig

Floats = npt.NDArray[np.float64]


def exact_ground_state(config: JobConfig, magnetization: int | None) -> tuple[float, npt.NDArray[Any]]:
    """Lowest energy, in units of the Hamiltonian, and ground state on all configurations, (2^N,), of unrotated spins.

    Args:
        config: an input with a lattice and a Hamiltonian.
        magnetization: sum_i s_i, where it is conserved.
    """
    lattice = config.lattice.build()
    basis = Basis.enumerate(lattice.n_sites, magnetization)
    energy, vector = ground_state(Operator.from_pauli_sum(config.hamiltonian.written(lattice), lattice.n_sites), basis)
    full = np.zeros(2**lattice.n_sites, dtype=vector.dtype)
    full[basis.labels] = vector
    return energy, full


def exact_points(vector: npt.NDArray[Any], lattice: Lattice) -> dict[str, Floats]:
    """All observables of a normalised state that the translations of its lattice leave as it is.

    Args:
        vector: psi on all configurations, (2^N,), bit i of the label set where s_i = -1.
        lattice: a bipartite lattice.

    Returns:
        Arrays by the names of :mod:`pvmc.measurement`, of Pauli matrices: magnetisations (1,), correlations (N,) with
        site 0, structure factors (n_momenta,), the staggered magnetisation squared (1,); and ``renyi2`` (N/2,) of the
        first 1, 2, ..., N/2 sites, in nats.
    """
    pairs = pair_expectations(vector, lattice.n_sites)
    signs = lattice.sublattices().astype(float)
    phases = np.exp(1j * lattice.momenta() @ lattice.positions.T)
    points = {f"magnetization_{a}": np.array([m]) for a, m in zip("xyz", magnetization(vector), strict=True)}
    points |= {f"correlation_{a}{a}": matrix[0] for a, matrix in zip("xyz", pairs, strict=True)}
    for letter, matrix in zip("xyz", pairs, strict=True):
        factor = np.einsum("ki,ij,kj->k", phases, matrix, phases.conj()).real / lattice.n_sites
        points[f"structure_factor_{letter}{letter}"] = factor
    points["staggered_magnetization_squared"] = np.array([signs @ pairs.sum(axis=0) @ signs / lattice.n_sites**2])
    points["renyi2"] = -np.log([purity(vector, length) for length in range(1, lattice.n_sites // 2 + 1)])
    return points


def magnetization(vector: npt.NDArray[Any]) -> Floats:
    """Means over the sites of sigma^x, sigma^y and sigma^z, (3,)."""
    labels, n_sites = np.arange(len(vector)), len(vector).bit_length() - 1
    found = np.zeros(3)
    for site in range(n_sites):
        spin = 1 - 2 * (labels >> site & 1)
        product = vector.conj() * vector[labels ^ 1 << site]  # psi(s)^* psi(s with the spin flipped)
        found += [product.sum().real, np.sum(-1j * spin * product).real, spin @ abs(vector) ** 2]
    return found / n_sites


def pair_expectations(vector: npt.NDArray[Any], n_sites: int) -> Floats:
    """<sigma_i sigma_j> for xx, yy and zz, float64 (3, N, N)."""
    labels = np.arange(len(vector))
    found = np.ones((3, n_sites, n_sites))
    for i in range(n_sites):
        for j in range(i):
            both = 1 - 2 * ((labels >> i ^ labels >> j) & 1)  # s_i s_j
            product = (vector.conj() * vector[labels ^ (1 << i | 1 << j)]).real
            found[:, i, j] = found[:, j, i] = product.sum(), -both @ product, both @ abs(vector) ** 2
    return found


def purity(vector: npt.NDArray[Any], length: int) -> float:
    """Tr rho_A^2 of the first sites, by the Schmidt coefficients."""
    return float(np.sum(np.linalg.svd(vector.reshape(-1, 2**length), compute_uv=False) ** 4))
