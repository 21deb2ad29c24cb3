"""Combinations of parameters: a few that hold every pair of levels in each run of the tests, others as slow tests."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import pytest

Cell = tuple[int, ...]


def covering(*factors: Iterable[Any]) -> list[Any]:
    """All combinations of levels of some factors; those beyond :func:`design` are marked ``slow``.

    Args:
        factors: levels of each, at least two factors.
    """
    levels = [list(factor) for factor in factors]
    kept = design([len(factor) for factor in levels])
    return [
        pytest.param(*values, marks=() if cell in kept else pytest.mark.slow)
        for cell, values in zip(cells([len(factor) for factor in levels]), itertools.product(*levels), strict=True)
    ]


def cells(sizes: list[int]) -> list[Cell]:
    """All combinations, as numbers of levels."""
    return list(itertools.product(*map(range, sizes)))


def pairs(cell: Cell) -> set[tuple[int, int, int, int]]:
    """The pairs of levels that a combination holds."""
    return {(i, cell[i], j, cell[j]) for i, j in itertools.combinations(range(len(cell)), 2)}


def design(sizes: list[int]) -> set[Cell]:
    """Few combinations that hold every pair of levels of any two factors, found greedily, always the same ones."""
    left = set().union(*map(pairs, cells(sizes)))
    chosen: set[Cell] = set()
    while left:
        best = max(cells(sizes), key=lambda cell: len(pairs(cell) & left))
        chosen.add(best)
        left -= pairs(best)
    return chosen
