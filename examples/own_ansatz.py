"""A wave function of one's own: correlated plaquettes (entangled-plaquette states).

    ln psi(s) = sum_i C[pattern of s_i, s_i+1, ..., s_i+w-1]

with one complex number C per pattern of w neighbouring spins on a ring (Mezzacapo et al., New J. Phys. 11, 083026
(2009)).  It looks nothing up and knows nothing of flips: pvmc makes ratios and Metropolis steps from log_psi.

    pvmc check-ansatz examples/own_ansatz.toml
    pvmc run examples/own_ansatz.toml
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pvmc.wavefunctions.symmetry import SymmetryGroup


class Plaquettes:
    """One number per pattern of ``width`` neighbouring spins."""

    dtype = np.complex128

    def __init__(self, lattice: Any, width: int = 3):
        """Called with the lattice and what stands in [ansatz.options]."""
        self.n_parameters = 2**width
        sites = np.arange(lattice.n_sites)
        self.members = (sites[:, None] + np.arange(width)) % lattice.n_sites
        # Optional: a symmetry that psi has exactly. `pvmc check-ansatz` tests it, projections make use of it.
        self.symmetry_group = SymmetryGroup.of_permutations(lattice.group("translation"))

    def patterns(self, spins: np.ndarray) -> np.ndarray:
        """The number of the pattern at every plaquette, (N, L): spins down are the bits."""
        down = (spins < 0).astype(np.int64)
        return sum(down[self.members[:, b]] << b for b in range(self.members.shape[1]))

    def log_psi(self, theta: np.ndarray, spins: np.ndarray) -> np.ndarray:
        """ln psi, (L,), of spins +-1, int8 (N, L); theta is (K,)."""
        return theta[self.patterns(spins)].sum(axis=0)

    def log_derivatives(self, theta: np.ndarray, spins: np.ndarray) -> np.ndarray:
        """d ln psi / d theta_k, (K, L): how often pattern k occurs."""
        return (self.patterns(spins) == np.arange(self.n_parameters)[:, None, None]).sum(axis=1)

    # Optional, too: initial_parameters(rng). Without it they are Gaussian with standard deviation 0.05.
