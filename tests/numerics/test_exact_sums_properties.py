"""Exact sums of any numbers of float64: their bits know neither order nor ranks."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from pvmc.numerics.exact_sums import ExactSum, sum_of_blocks
from tests.numerics.test_exact_sums import COMM, Together, over_ranks
from tests.properties import given, st

floats = st.floats(-1e30, 1e30)
shares = st.lists(
    st.tuples(st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 3)), min_size=1, max_size=12
)
"""Numbers, and the rank that holds each."""


def on_ranks(numbers: list[tuple[float, int]]) -> float:
    """The sum, rank after rank."""
    together, total = Together(), np.zeros(1)
    for rank in range(4):
        mine = np.array([number for number, owner in numbers if owner == rank]).reshape(-1, 1)
        total = sum_of_blocks(mine, together, True)
    return float(total[0])


@given(shares, st.randoms(use_true_random=False))
def test_the_sum_of_blocks_is_the_rounded_exact_one_in_any_order_on_any_ranks(
    numbers: list[tuple[float, int]], random: np.random.Generator
) -> None:
    shuffled = [(number, random.randrange(4)) for number, _ in numbers]  # type: ignore[attr-defined]
    random.shuffle(shuffled)
    found = on_ranks(numbers)
    assert np.float64(found).tobytes() == np.float64(on_ranks(shuffled)).tobytes()
    exact = sum((Fraction(number) for number, _ in numbers), Fraction(0))
    if abs(exact) < Fraction(2) ** 1000:
        # Each summand loses less than half of the last quantum, 2^-1057; the result is rounded a few times.
        error = abs(Fraction(found) - exact)
        assert math.isfinite(found)
        assert error <= abs(exact) * Fraction(2) ** -51 + len(numbers) * Fraction(2) ** -1057


@given(st.lists(floats, min_size=1, max_size=12), st.integers(1, 4))
def test_long_vectors_have_the_same_bits_on_any_ranks(numbers: list[float], ranks: int) -> None:
    parts = [np.array([number, -number, 1.0]) for number in numbers]
    order = np.arange(len(parts))
    one = over_ranks(lambda: ExactSum(3), parts, [order])
    several = over_ranks(lambda: ExactSum(3), parts, [order[rank::ranks][::-1] for rank in range(ranks)])
    assert one.tobytes() == several.tobytes()
    assert one[0] == -one[1] and one[2] == len(parts)


def test_the_world_of_one_is_the_plain_sum_of_integers() -> None:
    assert sum_of_blocks(np.arange(10.0).reshape(-1, 1), COMM, True) == 45.0
