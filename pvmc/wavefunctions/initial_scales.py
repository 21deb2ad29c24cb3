"""Standard deviations of the first parameters, from the numbers of sites, units and images.

All follow from one aim: over random configurations ln |psi| has the standard deviation ``SCATTER``, whatever the size
of the lattice and of the wave function (docs/physics.md#first-parameters).  Pairs of spins carry it.  Symmetries do not
add it up coherently: with weights of standard deviations p_i that the group G shares, the images of a unit contribute

    Var = |G| C / 2,        C = sum_{i != j} m_ij p_i^2 p_j^2,

with the number m_ij of the g in G that map the pair {i, j} to itself.
"""

from __future__ import annotations

import numpy as np

from pvmc.numerics.arrays import Floats, Integers

SCATTER = 0.5
"""Standard deviation of ln |psi| over random configurations, in the mean over first parameters."""

LARGEST_LOCAL_WEIGHT = 0.3
"""Standard deviation of the weight of a hidden unit on its own site, at most."""

RANGE = 1.0
"""Bonds over which the weights of a local unit fall to 1/e."""

FURTHEST = 16
"""Bonds beyond which they are as small as on any site."""

BACKGROUND = 0.3
"""Norm of the part of a local unit's standard deviations that is the same on all sites, relative to its own site."""

LOCAL_BIAS = 0.1
"""Standard deviation of the bias of a local unit, relative to its weight on its own site."""

ROWS = 256
"""Elements of a group that are looked at together."""


def pair_weight(permutations: Integers, squares: Floats) -> float:
    """C = sum over pairs i != j of m_ij p_i^2 p_j^2, the number of elements that keep the pair in m_ij.

    Summed over elements g in place of pairs: of each, the pairs of fixed points and those that it exchanges.

    Args:
        permutations: int64 (|G|, N), a group.
        squares: p_i^2, (N,).
    """
    sites, total = np.arange(len(squares)), 0.0
    for first in range(0, len(permutations), ROWS):
        rows = permutations[first : first + ROWS]
        fixed = rows == sites
        exchanged = (np.take_along_axis(rows, rows, axis=1) == sites) & ~fixed
        sums = fixed @ squares  # over the fixed points, (rows,)
        total += float(sums @ sums - (fixed @ squares**2).sum())
        total += float(np.where(exchanged, squares * squares[rows], 0.0).sum())
    return total


def attached_sites(n_units: int, sites: Integers) -> Integers:
    """The site of each of n units: all sites in turn, and those that are left spread evenly; int64 (n,)."""
    whole, rest = divmod(n_units, len(sites))
    return np.concatenate([np.tile(sites, whole), sites[np.arange(rest) * len(sites) // max(rest, 1)]])


def local_profiles(bonds: Integers, n_sites: int, sites: Integers) -> Floats:
    """Relative standard deviations of the weights of units at the given sites, float64 (len(sites), N).

    exp(-d/a) at the distance of d bonds, and a small part on all sites alike.

    Args:
        bonds: int64 (n_bonds, 2).
        n_sites: N.
        sites: int64, one for each unit.
    """
    from scipy.sparse import csr_array  # not at the start of a run, which may begin elsewhere
    from scipy.sparse.csgraph import dijkstra

    own, unit = np.unique(sites, return_inverse=True)
    adjacency = csr_array((np.ones(len(bonds)), (bonds[:, 0], bonds[:, 1])), shape=(n_sites, n_sites))
    distances = dijkstra(adjacency, directed=False, unweighted=True, indices=own, limit=FURTHEST)
    return (np.exp(-distances / RANGE) + BACKGROUND / n_sites**0.5)[unit]
