"""Covering arrays: nothing left out, the same rows each time, and few of them."""

from __future__ import annotations

import itertools

import pytest

from tests.designs import covering, designed

SIZES = [(3,), (2, 2), (4, 3, 2), (6, 2, 2, 4), (5, 4, 3, 2, 2), (9, 4, 2), (1, 3, 1)]


@pytest.mark.parametrize("strength", [1, 2, 3])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_every_combination_of_so_many_columns_is_there(sizes: tuple[int, ...], strength: int) -> None:
    rows = covering(sizes, strength)
    assert len(set(rows)) == len(rows) and covering(sizes, strength) == rows
    for chosen in itertools.combinations(range(len(sizes)), min(strength, len(sizes))):
        expected = set(itertools.product(*(range(sizes[c]) for c in chosen)))
        assert {tuple(row[c] for c in chosen) for row in rows} == expected


def test_pairs_need_few_rows() -> None:
    assert len(covering((6, 2, 2, 4))) == 24 < 96
    assert len(covering((3,) * 4)) <= 12 < 81
    assert len(covering((2,) * 8, strength=1)) == 2


def test_what_the_array_leaves_out_is_slow() -> None:
    (names, cases), _ = (mark := designed(first="abc", second=[int, float], third=(1, 2)).mark).args, mark.kwargs
    assert names == ("first", "second", "third") and len(cases) == 12
    always = [case.values for case in cases if not case.marks]
    assert len(always) == 6 and ("a", int, 1) in always
    assert cases[0].id == "a-int-1"
