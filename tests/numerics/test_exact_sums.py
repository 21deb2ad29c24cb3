"""Sums whose bits do not depend on the order of their terms, against exact arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pvmc.mpi import SerialCommunicator
from pvmc.numerics.exact_sums import LARGEST, BoundedSum, ExactSum, fixed_scale, sum_of_blocks
from pvmc.numerics.triangles import TriangleSum

Numbers = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

COMM = SerialCommunicator()
EPSILON = float(np.finfo(float).eps)


class Together(SerialCommunicator):
    """Ranks that come one after the other: a sum is over all that have come so far."""

    def __init__(self) -> None:
        self.so_far: Numbers | None = None

    def sum(self, array: npt.ArrayLike) -> Numbers:
        local = np.asarray(array)
        self.so_far = local.copy() if self.so_far is None else self.so_far + local
        return self.so_far

    def sum_to_root(self, array: npt.ArrayLike) -> Numbers:
        return self.sum(array)


def splits(n: int, rng: np.random.Generator) -> list[list[npt.NDArray[np.int64]]]:
    """Some ways to share out n things over ranks, and to order them there."""
    ways = [[np.arange(n)], [np.arange(n)[::-1]]]
    for ranks in (2, 3, 7):
        owner = rng.integers(ranks, size=n)
        ways.append([rng.permutation(np.flatnonzero(owner == rank)) for rank in range(ranks)])
    return ways


def over_ranks(make: Callable[[], Any], parts: list[Numbers], way: list[npt.NDArray[np.int64]]) -> Numbers:
    """The total of parts that are added on several ranks."""
    together, total = Together(), None
    for mine in way:
        sums = make()
        for i in mine:
            sums.add(parts[i])
        total = sums.on_root(together) if isinstance(sums, TriangleSum) else sums.total(together)
    assert total is not None
    return np.asarray(total)


def exact(parts: list[Floats]) -> list[Fraction]:
    """The sums of vectors as rational numbers."""
    return [sum(map(Fraction, column), Fraction(0)) for column in np.array(parts).T.tolist()]


def test_exact_sums_against_rational_numbers(rng: np.random.Generator) -> None:
    """Numbers of 50 orders of magnitude; in error by the rounding of the result and what is below the last quantum."""
    sizes = 10.0 ** rng.uniform(-25, 25, size=(90, 11))
    parts = list(rng.choice([-1.0, 1.0], size=(90, 11)) * sizes)
    found = over_ranks(lambda: ExactSum(11), parts, [np.arange(90)])
    for total, expected, column in zip(found.tolist(), exact(parts), np.array(parts).T, strict=True):
        error = abs(Fraction(total) - expected)
        assert error <= Fraction(4 * EPSILON * max(abs(total), 2.0**-100)) + len(column) * Fraction(2.0**-101)


def test_exact_sums_lose_nothing_to_cancellation(rng: np.random.Generator) -> None:
    """10^20 + small - 10^20 is small, to the last bit."""
    small = rng.integers(-(2**50), 2**50, size=6) * 2.0**-90
    parts = [np.full(6, 1e20), small, np.full(6, -1e20)]
    np.testing.assert_array_equal(over_ranks(lambda: ExactSum(6), parts, [np.arange(3)]), small)


def test_bits_of_exact_sums_do_not_depend_on_order_or_split(rng: np.random.Generator) -> None:
    parts = list(rng.normal(size=(200, 13)) * 10.0 ** rng.uniform(-12, 12, size=(200, 13)))
    bits = {over_ranks(lambda: ExactSum(13), parts, way).tobytes() for way in splits(200, rng)}
    assert len(bits) == 1
    plain = {np.array([parts[i] for i in np.concatenate(way)]).sum(axis=0).tobytes() for way in splits(200, rng)}
    assert len(plain) > 1  # the numbers are such that a plain sum depends on it


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, LARGEST, -LARGEST])
def test_exact_sums_of_what_is_out_of_range_are_not_numbers(bad: float) -> None:
    largest = np.nextafter(LARGEST, 0.0)
    found = over_ranks(lambda: ExactSum(3), [np.array([1.0, bad, largest]), np.ones(3)], [np.array([0]), np.array([1])])
    assert np.isnan(found[1]) and found[0] == 2.0
    assert found[2] == pytest.approx(LARGEST, rel=1e-15)


def test_sums_of_blocks_hold_any_unit(rng: np.random.Generator) -> None:
    """Numbers from 1e-300 to 1e300 side by side in a column, against rational numbers and in any order."""
    sizes = 10.0 ** rng.uniform(-300, 300, size=(60, 9))
    sizes[:, 0] *= 1e-4  # and subnormal ones
    parts = rng.choice([-1.0, 1.0], size=(60, 9)) * sizes
    parts[1] = -parts[0]
    parts[0, 1], parts[1, 1], parts[2:, 1] = 1e300, -1e300, 2.0**-1000
    found = sum_of_blocks(parts, SerialCommunicator(), exact=True)
    for total, expected in zip(found.tolist(), exact(list(parts)), strict=True):
        assert abs(Fraction(total) - expected) <= Fraction(4 * EPSILON) * abs(expected) + 60 * Fraction(2.0**-1057)
    assert found[1] == 58 * 2.0**-1000
    for order in (rng.permutation(60) for _ in range(5)):
        assert sum_of_blocks(parts[order], SerialCommunicator(), exact=True).tobytes() == found.tobytes()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_sums_of_blocks_with_what_is_no_number(bad: float) -> None:
    largest = np.finfo(np.float64).max
    found = sum_of_blocks(np.array([[1.0, bad, largest], [1.0, 1.0, 0.0]]), SerialCommunicator(), exact=True)
    assert np.isnan(found[1]) and found[0] == 2.0 and found[2] == largest


@pytest.mark.parametrize("bound", [1.0, np.nextafter(1.0, 0.0), np.nextafter(1.0, 2.0), 3.7e-260, 5.1e290, 8.0])
@pytest.mark.parametrize("n", [1, 3, 1000])
def test_bounded_sums_that_reach_their_bounds(bound: float, n: int) -> None:
    """All on one element, or evenly over all summands, of one sign or of both: nothing overflows."""
    one = np.zeros((n, 2))
    one[n // 2] = bound, -bound
    even = np.tile([bound / n, -bound / n], (n, 1))
    for parts in (list(one), list(even)):
        found = over_ranks(lambda: BoundedSum(fixed_scale(np.full(2, bound))), parts, [np.arange(n)])
        expected = np.array([float(total) for total in exact(parts)])
        assert np.all(np.abs(found - expected) <= bound * (n * 2.0**-61 + EPSILON))
        assert found[0] == -found[1] > 0.9 * bound


def test_bounded_sums_against_rational_numbers(rng: np.random.Generator) -> None:
    """In error by half of 2^-60 bounds for each summand, whatever cancels, and the same bits in any order."""
    parts = list(rng.normal(size=(150, 9)) * 10.0 ** rng.uniform(-20, 20, size=9))
    bound = np.abs(parts).sum(axis=0)
    results = [over_ranks(lambda: BoundedSum(fixed_scale(bound)), parts, way) for way in splits(150, rng)]
    assert len({result.tobytes() for result in results}) == 1
    for total, expected, limit in zip(results[0].tolist(), exact(parts), bound.tolist(), strict=True):
        assert abs(Fraction(total) - expected) <= Fraction(limit) * 150 * Fraction(2.0**-61) + abs(expected) * EPSILON


def test_bounds_of_zero() -> None:
    sums = BoundedSum(fixed_scale(np.array([0.0, 1.0])))
    sums.add(np.array([0.0, 0.25]))
    np.testing.assert_array_equal(sums.total(COMM), [0.0, 0.25])


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_triangles_against_rational_numbers(dtype: Any, rng: np.random.Generator) -> None:
    """Integers times powers of 2: products are exact, and so is what is expected."""
    m, n = 5, 24
    units = 2.0 ** np.array([0, -30, 12, 3, -7])[:, None]
    piece: Numbers = rng.integers(-9, 10, size=(m, n)).astype(dtype)
    if dtype is np.complex128:
        piece += 1j * rng.integers(-9, 10, size=(m, n))
    whole = units * piece
    parts = [np.ascontiguousarray(whole[:, i : i + 4]) for i in range(0, n, 4)]
    squares = (np.abs(whole) ** 2).sum(axis=1)
    make = lambda: TriangleSum(squares, np.dtype(dtype))  # noqa: E731
    results = [over_ranks(make, parts, way) for way in splits(len(parts), rng)]
    assert len({result.tobytes() for result in results}) == 1
    np.testing.assert_array_equal(np.tril(results[0]), np.tril(whole.conj() @ whole.T))
    assert not np.any(np.triu(results[0], 1)) and results[0].flags.f_contiguous


@pytest.mark.parametrize("size", [1.0, 2.0, np.nextafter(2.0, 0.0), 1.9, 1e-130, 1e140])
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_triangles_that_reach_their_bounds(dtype: Any, size: float, rng: np.random.Generator) -> None:
    """Rows in proportion to each other, all in one column, or over all: Cauchy and Schwarz hold with equality."""
    factors = size * np.array([1.0, -1.0, 0.3, 1e-5])
    factors = factors * np.array([1.0, 1j, 1.0 + 1j, -1j]) if dtype is np.complex128 else factors
    for column in (np.eye(40)[7], np.full(40, 0.1), rng.normal(size=40)):
        whole = factors[:, None] * column
        squares = (np.abs(whole) ** 2).sum(axis=1)
        parts = [np.ascontiguousarray(whole[:, i : i + 3]) for i in range(0, 40, 3)]
        found = over_ranks(
            lambda squares=squares: TriangleSum(squares, np.dtype(dtype)), parts, [np.arange(len(parts))]
        )
        scale = np.outer(np.sqrt(squares), np.sqrt(squares))
        assert np.all(np.abs(found - np.tril(whole.conj() @ whole.T)) <= 64 * EPSILON * scale)
        assert np.all(np.abs(found.diagonal()) > 0.99 * squares)
