"""Parameters that are tied to each other for a while: the same filter at every site of a lattice without translations.

A bulk looks the same everywhere also where the boundaries are open.  With hidden unit j attached to a site r_j, weights

    W_ji = w_f(r_i - r_j)

are K' ~ alpha (2^d N) numbers in place of alpha N^2, known from far fewer samples; they are freed when they have been
found.  In general theta = P t with a matrix P of zeros and ones, one 1 in each row, so that the log-derivatives of t
are sums, O_t = P^T O_theta, and a direction x of t is P x in theta.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse

from pvmc.numerics.arrays import Integers, Numbers, Spins
from pvmc.wavefunctions.base import Ansatz


class TiedParameters:
    """An ansatz whose parameters move in groups, as an :class:`pvmc.wavefunctions.base.Ansatz` of K' parameters.

    :meth:`at` takes all K parameters, tied or not: only their changes are tied.

    Args:
        ansatz: the wave function with all K parameters.
        groups: int64 (K,), the group of each parameter, 0 to K' - 1.
    """

    def __init__(self, ansatz: Ansatz, groups: Integers):
        self.ansatz, self.groups = ansatz, groups
        self.n_parameters = int(groups.max()) + 1
        self.n_sites, self.dtype = ansatz.n_sites, ansatz.dtype
        self.lookup_size, self.table_bytes = ansatz.lookup_size, ansatz.table_bytes
        self.parameter_blocks = {"tied": (slice(0, self.n_parameters), (self.n_parameters,))}

    @cached_property
    def sums(self) -> Any:
        """P^T, a sparse matrix (K', K)."""
        n = len(self.groups)
        entries: Any = (np.ones(n), (self.groups, np.arange(n)))
        return scipy.sparse.csr_matrix(entries, shape=(self.n_parameters, n))

    def initial_parameters(self, rng: np.random.Generator) -> Numbers:
        """The first parameters of the whole, (K,), each group with the numbers of its first member."""
        theta = self.ansatz.initial_parameters(rng)
        _, first = np.unique(self.groups, return_index=True)
        return np.asarray(theta[first][self.groups])

    def expanded(self, direction: Numbers) -> Numbers:
        """A direction of all parameters, (K,), from one of the groups, (K',)."""
        return np.asarray(direction[self.groups])

    def at(self, theta: Numbers) -> TiedState:
        """The wave function at theta, (K,)."""
        return TiedState(self.ansatz.at(theta), self.sums)


class TiedState:
    """A wave function with log-derivatives of groups of parameters, (K', L); all else is that of the wave function."""

    has_factors = False

    def __init__(self, psi: Any, sums: Any):
        self._psi, self._sums = psi, sums

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ("derivative_factors", "amplitude_derivatives"):
            raise AttributeError(name)
        return getattr(self._psi, name)

    def log_derivatives(self, spins: Spins, lookup: Numbers, out: Numbers | None = None) -> Numbers:
        """sum of O_k over the parameters of each group, (K', L)."""
        found = self._sums @ self._psi.log_derivatives(spins, lookup)
        if out is None:
            return np.ascontiguousarray(found)
        out[:] = found
        return out


def filter_groups(places: Integers, blocks: Any, n_parameters: int) -> Integers:
    """Groups of the parameters of an RBM without symmetries: filter f has a weight for each displacement.

    Args:
        places: int64 (N, N), the class of the displacement from site j to site i at [j, i].
        blocks: ``parameter_blocks`` of the RBM; hidden unit j is at site j mod N and has filter j // N.
        n_parameters: K.

    Returns:
        int64 (K,).
    """
    n_sites, n_classes = len(places), int(places.max()) + 1
    groups = np.zeros(n_parameters, dtype=np.int64)
    part, (n_hidden, _) = blocks["features"]
    units = np.arange(n_hidden)
    kinds, sites = units // n_sites, units % n_sites
    base = places.diagonal()[sites] + n_classes * kinds  # one number per kind of site and filter: that of its bias
    groups[part] = (places[sites] + n_classes * kinds[:, None]).reshape(-1)
    first = int(groups.max()) + 1
    groups[blocks["hidden_bias"][0]] = first + base
    if "visible_bias" in blocks:
        place, shape = blocks["visible_bias"]
        groups[place] = int(groups.max()) + 1 + np.arange(shape[0])
    return np.unique(groups, return_inverse=True)[1].astype(np.int64)
