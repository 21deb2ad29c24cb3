"""Groups from generators against products made until there are no new ones; rows of permutations and their inverses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pvmc.lattice import Lattice, chain, cubic, honeycomb, rectangle
from pvmc.lattice.lattice import closure
from pvmc.spins.flips import FlipSets
from pvmc.wavefunctions.symmetry import checked, inverted


def products(generators: list[tuple[int, ...]], n_sites: int) -> list[tuple[int, ...]]:
    """All products, sorted: every element meets every generator."""
    found = {tuple(range(n_sites))}
    new = list(found)
    while new:
        moved = {tuple(element[site] for site in generator) for element in new for generator in generators}
        new = sorted(moved - found)
        found |= moved
    return sorted(found)


@pytest.mark.parametrize(
    "build",
    [
        lambda: chain(7),
        lambda: rectangle((4, 4)),
        lambda: rectangle((2, 5), (False, True)),
        lambda: honeycomb((2, 3)),
        lambda: cubic((3, 3, 3)),
    ],
    ids=["ring", "square", "ribbon", "honeycomb", "cubic"],
)
def test_groups_of_lattices_are_all_products_in_lexicographic_order(build: Callable[[], Lattice]) -> None:
    lattice = build()
    for name, generators in lattice.generators.items():
        expected = products([tuple(g) for g in generators.tolist()], lattice.n_sites)
        assert [tuple(row) for row in lattice.group(name).tolist()] == expected


@pytest.mark.parametrize(
    ("generators", "order"),
    [
        ([(1, 0, 2, 3, 4), (1, 2, 3, 4, 0)], 120),  # all permutations
        ([(1, 2, 0, 3, 4), (0, 1, 3, 4, 2)], 60),  # the even ones, a simple group: no coset is normal
        ([(0, 1, 2, 4, 3)], 2),  # the first sites stay
        ([(1, 0, 3, 2, 4), (2, 3, 0, 1, 4), (1, 0, 3, 2, 4)], 4),  # a generator twice
        ([(0, 1, 2, 3, 4)], 1),
        ([], 1),
    ],
)
def test_groups_of_any_generators(generators: list[tuple[int, ...]], order: int) -> None:
    group = closure(np.array(generators, dtype=np.int64).reshape(len(generators), 5), 5)
    assert group.dtype == np.int64 and len(group) == order
    assert [tuple(row) for row in group.tolist()] == products(generators, 5)


def test_inverses_of_permutations_and_rows_that_are_none() -> None:
    rows = np.array([np.random.default_rng(k).permutation(9) for k in range(20)])
    np.testing.assert_array_equal(inverted(checked(rows)), np.argsort(rows, axis=1))
    for wrong in ([0, 1, 1], [0, 1, 3], [-1, 0, 1]):
        with pytest.raises(ValueError, match="must be a permutation"):
            checked(np.array([[0, 1, 2], wrong]))


def test_sets_of_equal_size_and_lists_joined_are_those_of_lists() -> None:
    pairs, triples = [[3, 1], [0, 2]], [[4, 0, 2]]
    expected = FlipSets.from_lists(pairs + triples)
    joined = FlipSets.joined([FlipSets.of_equal_size(np.array(rows)) for rows in (pairs, triples)])
    np.testing.assert_array_equal(joined.offsets, expected.offsets)
    np.testing.assert_array_equal(joined.sites, expected.sites)
    assert joined.sites.dtype == expected.sites.dtype and len(FlipSets.joined([])) == 0
