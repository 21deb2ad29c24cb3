"""Permutations of the sites: groups from generators, and whether a permutation maps coloured bonds to bonds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def is_automorphism(permutation: Ints, shells: Sequence[Ints], couplings: Sequence[Floats]) -> bool:
    """Whether a permutation of the sites maps the bonds of every shell onto bonds of that shell and of equal coupling.

    Args:
        permutation: int64, shape (N,); what is no permutation of 0 ... N - 1 is no automorphism.
        shells: int64 (n_bonds, 2) each, every pair once.
        couplings: float64 (n_bonds,) each.
    """
    n_sites = len(permutation)
    if not np.array_equal(np.sort(permutation), np.arange(n_sites)):
        return False
    return all(
        _same_bonds(bonds, permutation[bonds], values, n_sites) for bonds, values in zip(shells, couplings, strict=True)
    )


def _same_bonds(bonds: Ints, moved: Ints, couplings: Floats, n_sites: int) -> bool:
    before, after = (pairs.min(axis=1) * n_sites + pairs.max(axis=1) for pairs in (bonds, moved))
    order_before, order_after = np.argsort(before), np.argsort(after)
    return bool(
        np.array_equal(before[order_before], after[order_after])
        and np.array_equal(couplings[order_before], couplings[order_after])
    )


def closure(generators: Ints, n_sites: int) -> Ints:
    """All products of the generators.

    Args:
        generators: int64, shape (n_generators, N).
        n_sites: number of sites N.

    Returns:
        int64, shape (|G|, N), in lexicographic order (so the identity is first).
    """
    elements = [np.arange(n_sites, dtype=np.int64)]
    known = {elements[0].tobytes()}
    for element in elements:  # grows while it is walked: every element meets every generator once
        for generator in generators:
            product = element[generator]
            key = product.tobytes()
            if key not in known:
                known.add(key)
                elements.append(product)
    return np.unique(np.array(elements), axis=0)
