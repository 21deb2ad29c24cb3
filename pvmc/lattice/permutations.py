"""Permutations of the sites: groups from generators, and whether a permutation maps coloured bonds to bonds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pvmc.numerics.arrays import Floats, Integers


def is_automorphism(permutation: Integers, shells: Sequence[Integers], couplings: Sequence[Floats]) -> bool:
    """True where a permutation of the sites maps the bonds of every shell onto bonds of it and of equal coupling.

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


def _same_bonds(bonds: Integers, moved: Integers, couplings: Floats, n_sites: int) -> bool:
    before, after = (pairs.min(axis=1) * n_sites + pairs.max(axis=1) for pairs in (bonds, moved))
    order_before, order_after = np.argsort(before), np.argsort(after)
    return bool(
        np.array_equal(before[order_before], after[order_after])
        and np.array_equal(couplings[order_before], couplings[order_after])
    )


def closure(generators: Integers, n_sites: int) -> Integers:
    """All products of the generators.

    Dimino's algorithm (G. Butler, Fundamental Algorithms for Permutation Groups, 1991, chapter 3): the group H of the
    first generators grows by the next one, by whole cosets H c.  A product c s of a coset's representative with a
    generator that is not known yet represents a new coset.

    Args:
        generators: int64, shape (n_generators, N).
        n_sites: number of sites N.

    Returns:
        int64, shape (|G|, N), in lexicographic order (so the identity is first).
    """
    group = [np.arange(n_sites, dtype=np.int64)]
    first_images = [0]  # of site 0 under each element
    for k in range(len(generators)):
        size, representatives = len(group), [group[0]]
        for representative in representatives:  # grows while it is walked
            for generator in generators[: k + 1]:
                product = representative[generator]
                if _is_known(product, group, np.array(first_images)):
                    continue
                representatives.append(product)
                group += [element[product] for element in group[:size]]
                first_images += [int(element[0]) for element in group[-size:]]
    elements = np.empty((len(group), n_sites), dtype=np.int64)
    for number, row in enumerate(_lexicographic_order(group).tolist()):
        elements[number] = group[row]
    return elements


def _is_known(element: Integers, group: Sequence[Integers], first_images: Integers) -> bool:
    """True where a permutation is among others, of which the images of site 0 are given."""
    candidates = np.flatnonzero(first_images == element[0]).tolist()
    return any(np.array_equal(group[row], element) for row in candidates)


def _lexicographic_order(permutations: Sequence[Integers]) -> Integers:
    """The order of different permutations, by as many columns as tell them apart."""
    n_sites, n_columns = len(permutations[0]), 1
    while True:
        columns = np.array([permutation[:n_columns] for permutation in permutations])
        order = np.lexsort(columns.T[::-1])
        if n_columns >= n_sites or np.all(np.any(np.diff(columns[order], axis=0) != 0, axis=1)):
            return order
        n_columns = min(2 * n_columns, n_sites)
