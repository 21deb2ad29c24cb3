"""Symmetry groups as rows of permutations, of which large lattices have gigabytes."""

from __future__ import annotations

import numpy as np

from pvmc.numerics.arrays import Integers
from pvmc.numerics.kernels import kernel


def checked(permutations: Integers) -> Integers:
    """The rows, int64 (n, N); one that is no permutation of 0 ... N - 1 raises a ValueError."""
    rows = np.ascontiguousarray(permutations, dtype=np.int64)
    if not _are_permutations(rows):
        raise ValueError("every row of the symmetry group must be a permutation of the sites")
    return rows


def inverted(permutations: Integers) -> Integers:
    """The inverse permutations, int64 (n, N)."""
    inverses = np.empty_like(permutations)
    _invert(permutations, inverses)
    return inverses


@kernel
def _are_permutations(rows: Integers) -> bool:
    n_sites = rows.shape[1]
    last = np.full(n_sites, -1, np.int64)  # the last row that each site was seen in
    for row in range(rows.shape[0]):
        for i in range(n_sites):
            site = rows[row, i]
            if site < 0 or site >= n_sites or last[site] == row:
                return False
            last[site] = row
    return True


@kernel
def _invert(rows: Integers, inverses: Integers) -> None:
    for row in range(rows.shape[0]):
        for i in range(rows.shape[1]):
            inverses[row, rows[row, i]] = i
