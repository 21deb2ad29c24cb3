"""Log-derivatives of a chunk, stored or factored, against sums over the explicit matrix O."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pvmc.estimators.derivatives import Derivatives, Factored, Stored, Vector
from tests.designs import design

Numbers = npt.NDArray[Any]

REAL, COMPLEX = "real", "complex"
BLOCKS = {
    "plain": [(3, None)],
    "outer": [(4, 5)],
    "outer, of one unit": [(1, 6)],
    "plain, outer, outer": [(2, None), (4, 3), (3, 6)],
    "outer, plain, outer, plain": [(5, 4), (5, None), (2, 7), (1, None)],
}
"""Rows of B, and of A or none."""


def numbers(rng: np.random.Generator, shape: tuple[int, ...], kind: str) -> Numbers:
    values: Numbers = rng.normal(size=shape)
    return values + 1j * rng.normal(size=shape) if kind == COMPLEX else values


def factors(layout: str, kinds: tuple[str, str], n: int) -> list[tuple[Numbers, ...]]:
    """B of the first kind, A of the second."""
    rng = np.random.default_rng(5)
    blocks: list[tuple[Numbers, ...]] = []
    for q, p in BLOCKS[layout]:
        outer = numbers(rng, (q, n), kinds[0])
        blocks.append((outer,) if p is None else (outer, numbers(rng, (p, n), kinds[1])))
    return blocks


def explicit(blocks: list[tuple[Numbers, ...]]) -> Numbers:
    """O[j p + i] = B_j A_i, one row after the other."""
    rows: list[Numbers] = []
    for outer, *inner in blocks:
        for unit in outer:
            rows.extend([unit * below for below in inner[0]] if inner else [unit])
    return np.array(rows)


CASES = design(BLOCKS, [REAL, COMPLEX], [REAL, COMPLEX], [1, 9, 64])


@pytest.fixture(params=[pytest.param(case.values, marks=case.marks, id=case.id) for case in CASES])
def both(request: pytest.FixtureRequest) -> tuple[Numbers, list[Derivatives]]:
    """O of some factors and configurations, and the two ways of keeping it."""
    layout, outer, inner, n = request.param
    blocks = factors(layout, (outer, inner), n)
    matrix = explicit(blocks)
    return matrix, [Factored(blocks), Stored(matrix.copy())]


def assert_sum(found: Numbers, expected: Numbers, moduli: Numbers) -> None:
    """Equal to rounding: to 64 units in the last place of the sum of the moduli of the summands."""
    assert found.shape == expected.shape
    assert np.all(np.abs(found - expected) <= 64 * np.finfo(float).eps * moduli)


def test_shape_dtype_and_rows(both: tuple[Numbers, list[Derivatives]]) -> None:
    matrix, kept = both
    for derivatives in kept:
        assert derivatives.n_configurations == matrix.shape[1]
        assert derivatives.dtype == matrix.dtype == derivatives.rows().dtype
        np.testing.assert_allclose(derivatives.rows(), matrix, rtol=1e-15)


def times(derivatives: Derivatives, vector: Numbers) -> Numbers:
    return derivatives.times(Vector(vector))


def adjoint(derivatives: Derivatives, values: Numbers) -> Numbers:
    parts = list(derivatives.adjoint(values, real=False))
    return np.concatenate([real + 1j * imaginary for real, imaginary in parts])


def real_adjoint(derivatives: Derivatives, values: Numbers) -> Numbers:
    parts = list(derivatives.adjoint(values, real=True))
    return np.concatenate([real for (real,) in parts])


@pytest.mark.parametrize("kind", [REAL, COMPLEX])
def test_times(both: tuple[Numbers, list[Derivatives]], kind: str, rng: np.random.Generator) -> None:
    matrix, kept = both
    vector = numbers(rng, (len(matrix),), kind)
    expected = np.array([sum(o * v for o, v in zip(column, vector, strict=True)) for column in matrix.T])
    for derivatives in kept:
        found = times(derivatives, vector)
        assert found.dtype == expected.dtype
        assert_sum(found, expected, np.abs(vector) @ np.abs(matrix))


@pytest.mark.parametrize("kind", [REAL, COMPLEX])
def test_adjoint(both: tuple[Numbers, list[Derivatives]], kind: str, rng: np.random.Generator) -> None:
    matrix, kept = both
    values = numbers(rng, (matrix.shape[1],), kind)
    expected = np.array([sum(o.conjugate() * u for o, u in zip(row, values, strict=True)) for row in matrix])
    moduli = np.abs(matrix) @ np.abs(values)
    for derivatives in kept:
        assert_sum(adjoint(derivatives, values), expected, moduli)
        real = real_adjoint(derivatives, values)
        assert real.dtype == np.float64
        assert_sum(real, expected.real, moduli)


def test_times_and_adjoint_are_each_others(both: tuple[Numbers, list[Derivatives]], rng: np.random.Generator) -> None:
    """<u, O^T v> = <O* u, v>."""
    matrix, kept = both
    vector, values = numbers(rng, (len(matrix),), COMPLEX), numbers(rng, (matrix.shape[1],), COMPLEX)
    for derivatives in kept:
        left, right = np.vdot(values, times(derivatives, vector)), np.vdot(adjoint(derivatives, values), vector)
        assert abs(left - right) < 1e-13 * (np.abs(vector) @ np.abs(matrix) @ np.abs(values))


def test_weighted_sums_and_squares(both: tuple[Numbers, list[Derivatives]], rng: np.random.Generator) -> None:
    matrix, kept = both
    weights = rng.uniform(0.0, 3.0, size=matrix.shape[1])
    weights[::4] = 0.0
    for derivatives in kept:
        sums, squares = derivatives.sums(weights), derivatives.squares(weights)
        assert sums.dtype == matrix.dtype and squares.dtype == np.float64
        assert_sum(sums, (matrix * weights).sum(axis=1), (np.abs(matrix) * weights).sum(axis=1))
        expected = (np.abs(matrix) ** 2 * weights).sum(axis=1)
        assert_sum(squares, expected, expected)


def test_what_is_not_finite_is_cleared(both: tuple[Numbers, list[Derivatives]]) -> None:
    """NaN and infinity in every factor of some configurations; the others stay as they are."""
    matrix, kept = both
    dead = np.arange(matrix.shape[1]) % 3 == 0
    for derivatives in kept:
        arrays = [derivatives.array] if isinstance(derivatives, Stored) else sum(map(list, derivatives.blocks), [])
        for array in arrays:
            array[:, dead] = np.nan
            array[0, dead] = np.inf
        derivatives.clear(dead)
        np.testing.assert_array_equal(derivatives.rows()[:, dead], 0.0)
        np.testing.assert_allclose(derivatives.rows()[:, ~dead], matrix[:, ~dead], rtol=1e-15)
        assert np.all(np.isfinite(derivatives.sums(np.ones(matrix.shape[1]))))
