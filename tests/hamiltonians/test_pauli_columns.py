"""Sums of Pauli strings in arrays against the same in dictionaries, and compiled operators against grouping by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pvmc.errors import InputError
from pvmc.hamiltonians import Operator, PauliSum, X, Y, Z
from pvmc.hamiltonians.columns import Columns, RaggedRows
from pvmc.hamiltonians.heisenberg import XYZSpec
from pvmc.hamiltonians.long_range import HaldaneShastrySpec, LongRangeIsingSpec, LongRangeXXZSpec
from pvmc.hamiltonians.pauli import pair_sum, site_sum
from pvmc.hamiltonians.rydberg import RydbergSpec
from pvmc.lattice import chain, rectangle
from tests.helpers import random_strings

SITES = 7


def random_rows(
    rng: np.random.Generator, n: int, largest: int, values: list[int]
) -> tuple[RaggedRows, list[tuple[int, ...]]]:
    rows = [tuple(rng.choice(values, size=rng.integers(0, largest + 1)).tolist()) for _ in range(n)]
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    return RaggedRows.of_lengths(lengths, np.array([value for row in rows for value in row], dtype=np.int64)), rows


@pytest.mark.parametrize(
    ("largest", "values"),
    [(2, [0, 1, 2]), (9, [0, 1]), (4, [5, 9, 4_000_000]), (30, [3, 2**40, -7]), (0, [1])],
    ids=str,
)
def test_rows_are_ranked_as_tuples_are_sorted(largest: int, values: list[int]) -> None:
    """Of equal length or not, empty, with values that fill many words; rank 0 is that of an empty row."""
    rng = np.random.default_rng(largest)
    rows, tuples = random_rows(rng, 400, largest, values)
    ranks = rows.ranks()
    order = sorted(set(tuples))
    place = {row: k + (order[0] != ()) for k, row in enumerate(order)}
    assert ranks.tolist() == [place[row] for row in tuples]
    taken = rows.taken(np.argsort(ranks, kind="stable"))
    again = [tuple(taken.values[a:b].tolist()) for a, b in itertools.pairwise(taken.offsets.tolist())]
    assert again == sorted(tuples)
    assert RaggedRows.of_lengths(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)).ranks().tolist() == []


def test_rows_are_filtered_counted_and_sorted_one_by_one() -> None:
    rows, tuples = random_rows(np.random.default_rng(3), 200, 6, [1, 2, 3, 4])
    kept, ascending = rows.kept(rows.values > 2), rows.ascending()
    for k, row in enumerate(tuples):
        assert kept.values[kept.offsets[k] : kept.offsets[k + 1]].tolist() == [value for value in row if value > 2]
        assert ascending.values[ascending.offsets[k] : ascending.offsets[k + 1]].tolist() == sorted(row)
    assert rows.count(rows.values > 2).tolist() == [sum(value > 2 for value in row) for row in tuples]


def as_arrays(terms: PauliSum) -> PauliSum:
    """The same sum, of which only the arrays are kept."""
    return PauliSum.of_columns(terms.columns)


@pytest.mark.parametrize("seed", range(5))
def test_arrays_and_dictionaries_are_the_same_sums(seed: int) -> None:
    """Added, scaled, turned, permuted and compared, with complex coefficients: terms, their order and their bits."""
    rng = np.random.default_rng(seed)
    first, second = (random_strings(rng, SITES, 30) for _ in range(2))
    first += 0.5j * X(1) * Y(2)
    assert list(as_arrays(first).terms.items()) == list(first.terms.items())
    total = PauliSum.total([as_arrays(first), second, as_arrays(-first), X(0)])
    assert list(total.terms.items()) == list(PauliSum.total([first, second, -first, X(0)]).terms.items())
    for factor in (-0.3, 2, 1.5 - 0.5j, 0.0):
        assert list((factor * as_arrays(first)).terms.items()) == list((factor * first).terms.items())
    permutation = rng.permutation(SITES).tolist()
    moved = {tuple(sorted((permutation[i], letter) for i, letter in s)): c for s, c in first.terms.items()}
    assert first.permuted(permutation).terms == moved
    signs = rng.choice([1, -1], size=SITES)
    turned = {s: c * np.prod([signs[i] for i, letter in s if letter != "Z"]) for s, c in first.terms.items()}
    assert first.turned_about_z(signs.tolist()).terms == turned
    scale = max(abs(c) for c in first.terms.values())
    assert first.is_close(as_arrays(first) + 0.9e-10 * scale * Z(3) * Z(5) * Z(6) * X(0))
    assert not first.is_close(first + 1.1e-10 * scale * X(0) * X(1) * X(2) * X(3) * X(4))
    assert list(first.largest.terms.items()) == [max(first.terms.items(), key=lambda item: abs(item[1]))]
    assert first.identity == complex(first.terms.get((), 0.0))
    np.testing.assert_array_equal(first.moduli, [abs(c) for string, c in first.terms.items() if string])


def test_sums_over_sites_and_pairs_are_those_of_single_strings() -> None:
    """Also of pairs in either order, that stand twice, and that cancel."""
    rng = np.random.default_rng(1)
    pairs = np.array([[0, 3], [3, 0], [2, 1], [4, 5], [5, 4]])
    strengths = np.array([0.5, 0.25, -1.0, 0.3, -0.3])
    by_hand = PauliSum.total(c * X(i) * Y(j) for (i, j), c in zip(pairs.tolist(), strengths.tolist(), strict=True))
    assert list(pair_sum("XY", pairs, strengths).terms.items()) == list(by_hand.terms.items())
    same = pair_sum("ZZ", pairs, strengths)
    assert list(same.terms.items()) == [(((0, "Z"), (3, "Z")), 0.75), (((1, "Z"), (2, "Z")), -1.0)]
    fields = rng.standard_normal(SITES) * (np.arange(SITES) != 2)
    assert list(site_sum("Y", fields).terms.items()) == [(((i, "Y"),), fields[i]) for i in range(SITES) if i != 2]


def grouped(terms: PauliSum) -> dict[tuple[int, ...], dict[tuple[int, ...], complex]]:
    """Coefficients by flipped sites and by sites whose signs count, string by string."""
    groups: dict[tuple[int, ...], dict[tuple[int, ...], complex]] = {(): {}}
    for string, c in terms.terms.items():
        flipped = tuple(site for site, letter in string if letter != "Z")
        signs = tuple(site for site, letter in string if letter != "X")
        n_y = sum(letter == "Y" for _, letter in string)
        groups.setdefault(flipped, {})[signs] = complex(c) * (1, -1j, -1, 1j)[n_y % 4]
    return groups


RING, SQUARE = chain(8), rectangle((3, 4))
SUMS = {
    "haldane_shastry": HaldaneShastrySpec(model="haldane_shastry").build(RING),
    "long_range_ising": LongRangeIsingSpec(model="long_range_ising", longitudinal=0.3).build(SQUARE),
    "long_range_xxz": LongRangeXXZSpec(model="long_range_xxz", anisotropy=0.3, field=0.1).build(RING),
    "rydberg": RydbergSpec(model="rydberg", cutoff=2.5, detuning=0.2).build(SQUARE),
    "xyz": XYZSpec(model="xyz", couplings=(1.0, 0.5, 0.2), field_y=0.3, marshall=False).build(SQUARE),
    "strings": random_strings(np.random.default_rng(4), 9, 200, largest=6),
    "nothing": PauliSum(),
}


@pytest.mark.parametrize("name", SUMS)
def test_operators_have_the_groups_that_strings_make_one_by_one(name: str) -> None:
    terms = SUMS[name]
    operator = Operator.from_pauli_sum(terms, 12)
    groups = grouped(terms)
    diagonal = groups.pop(())
    order = sorted(groups)
    assert [tuple(operator.flips[k].tolist()) for k in range(len(operator.flips))] == order
    for products, expected in ((operator._diagonal, [diagonal]), (operator._amplitudes, [groups[k] for k in order])):
        rows = [tuple(products.sites[a:b].tolist()) for a, b in itertools.pairwise(products.site_offsets.tolist())]
        found = [
            list(zip(rows[a:b], products.coefficients[a:b].tolist(), strict=True))
            for a, b in itertools.pairwise(products.group_offsets.tolist())
        ]
        assert found == [list(group.items()) for group in expected]


def test_the_first_string_that_no_operator_has_is_named() -> None:
    for wrong, message in (
        (Z(0) + 1j * X(0) + float("inf") * Z(1), "term 1j X0: not Hermitian"),
        (Z(0) + float("inf") * Z(1) + Z(9), "term inf Z1: coefficients must be finite"),
        (Z(0) + Z(1) * Z(9) + 1j * X(0), "term Z1 Z9: sites must be 0 to 4"),
        (X(-1) + Z(0), "term X-1: sites must be 0 to 4"),
    ):
        with pytest.raises(InputError, match=message):
            Operator.from_pauli_sum(wrong, 5)


def test_columns_without_strings() -> None:
    empty = PauliSum().columns
    assert len(empty) == 0 and len(Columns.concatenated([empty, empty]).merged()) == 0
    assert PauliSum.total([as_arrays(PauliSum()), PauliSum()]).terms == {} == PauliSum().largest.terms
    assert as_arrays(PauliSum()).is_close(PauliSum()) and (2.0 * as_arrays(PauliSum())).terms == {}
