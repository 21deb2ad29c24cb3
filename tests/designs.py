"""Designs of experiments: few of all combinations of several settings, in which every pair of values is met."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import pytest


def covering(sizes: Sequence[int], strength: int = 2) -> list[tuple[int, ...]]:
    """A covering array: rows of levels, 0 to size - 1 in each column, in which the levels of any ``strength`` columns
    (of all columns, where there are fewer) occur in every combination.

    Each row is the first of the full product with the most combinations that no row before it has: the same rows every
    time, and not many more than the product of the ``strength`` largest sizes.
    """
    columns = list(itertools.combinations(range(len(sizes)), min(strength, len(sizes))))
    product = list(itertools.product(*(range(size) for size in sizes)))
    met = {row: {(chosen, tuple(row[c] for c in chosen)) for chosen in columns} for row in product}
    missing = set().union(*met.values())
    rows = []
    while missing:
        best = max(product, key=lambda row: len(met[row] & missing))  # the first of several
        missing -= met[best]
        rows.append(best)
    return rows


def design(*axes: Collection[Any], strength: int = 2) -> list[Any]:
    """The product of all axes, as parameters of a test: a covering array always, the rest among the slow tests."""
    values = [list(axis) for axis in axes]
    always = set(covering([len(axis) for axis in values], strength))
    cases = []
    for row in itertools.product(*(range(len(axis)) for axis in values)):
        case = [axis[level] for axis, level in zip(values, row, strict=True)]
        marks = [] if row in always else [pytest.mark.slow]
        cases.append(pytest.param(*case, id="-".join(map(_name, case)), marks=marks))
    return cases


def designed(strength: int = 2, **axes: Collection[Any]) -> pytest.MarkDecorator:
    """Parametrise a test by a :func:`design`, each axis with its argument."""
    return pytest.mark.parametrize(tuple(axes), design(*axes.values(), strength=strength))


def repeats(few: int, many: int) -> pytest.MarkDecorator:
    """The argument ``repeats`` of a test: few of them always, many among the slow tests."""
    return pytest.mark.parametrize("repeats", [few, pytest.param(many, marks=pytest.mark.slow)])


def slow_but(always: Iterable[Any], cases: Iterable[Any], *, several: bool = False) -> list[Any]:
    """The cases of a test, of which only some are not slow; ``several``: each is a tuple of several arguments."""
    kept = list(always)
    return [
        case if case in kept else pytest.param(*(case if several else (case,)), marks=pytest.mark.slow)
        for case in cases
    ]


def _name(value: Any) -> str:
    return value.__name__ if isinstance(value, type) else str(value)
