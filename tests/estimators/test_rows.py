"""Centred rows against their definitions, and the integer sums that they are made of against exact arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pvmc.errors import NumericalError
from pvmc.estimators import Rows
from pvmc.estimators.derivatives import Derivatives, Factored, Stored
from pvmc.mpi import SerialCommunicator
from pvmc.numerics.exact_sums import LARGEST, BoundedSum, ExactSum, fixed_scale, sum_of_blocks
from pvmc.numerics.triangles import TriangleSum
from pvmc.sr.dense import tensor_of
from tests.batches import FIELDS, Problem, problem
from tests.helpers import full_tensor

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


# Sums -----------------------------------------------------------------------------------------------------------------


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


# Rows -----------------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["stored", "factored"])
def layout(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[False, True], ids=["equal weights", "weighted"])
def case(request: pytest.FixtureRequest, fields: str) -> Problem:
    return problem(fields, weighted=request.param)


def rows_of(case: Problem, layout: str) -> Rows:
    rows = case.moments(COMM, layout).rows
    assert rows is not None
    return rows


def close(found: Numbers, expected: Numbers, scale: Any = 1.0) -> None:
    """To some units of rounding of the scale; log-derivatives here are below 10."""
    assert found.shape == expected.shape and found.dtype == expected.dtype
    assert np.all(np.abs(found - expected) <= 1e-13 * scale)


@pytest.mark.parametrize("fields", FIELDS)
def test_rows_are_the_definitions(case: Problem, layout: str) -> None:
    rows = rows_of(case, layout)
    x, e = case.explicit()
    tensor, force = case.tensor_and_force()
    psi = case.dtype
    assert (rows.n_parameters, rows.dtype) == (case.n_parameters, force.dtype)
    close(rows.energies, e.astype(psi))
    close(rows.variances, tensor.diagonal().real, 100.0)
    close(rows.force, force, 10.0)
    alive = 1.0 if case.weights is None else case.weights.reshape(-1) / case.n_samples
    mean = (np.where(np.isfinite(case.energies.reshape(-1)), case.derivatives(), 0.0) * alive).sum(axis=1)
    close(rows.mean, mean / (1.0 if case.weights is not None else case.energies.size), 10.0)
    found = np.concatenate([chunk.root * (chunk.derivatives.rows() - rows.offset[:, None]) for chunk in rows.chunks], 1)
    close(found, x.T.astype(psi), 10.0)


@pytest.mark.parametrize("fields", FIELDS)
def test_products_of_rows(case: Problem, layout: str, rng: np.random.Generator) -> None:
    """X v, X^dagger u, S v and v^dagger S v."""
    rows = rows_of(case, layout)
    x = case.explicit()[0].astype(case.dtype)
    tensor, _ = case.tensor_and_force()
    vector = rng.normal(size=rows.n_parameters).astype(rows.dtype)
    values = rng.normal(size=len(x)).astype(case.dtype)
    if not case.real:
        vector += 1j * rng.normal(size=len(vector))
    if np.iscomplexobj(values):
        values += 1j * rng.normal(size=len(values))
    close(rows.times(vector), x @ vector, 100.0)
    adjoint = x.conj().T @ values
    close(rows.adjoint(values, float(np.linalg.norm(values))), adjoint.real if case.real else adjoint, 100.0)
    product, square = rows.metric_times(vector)
    close(product, tensor @ vector, 1000.0)
    assert square == pytest.approx(np.linalg.norm(x @ vector) ** 2, rel=1e-12)
    np.testing.assert_allclose(full_tensor(tensor_of(rows)), tensor, rtol=0, atol=1e-12)


@pytest.mark.parametrize("fields", ["all real", "complex", "real theta, complex psi and A"])
@pytest.mark.parametrize("everything_else", [0.0, 1e-30, 1e-12])
def test_all_weight_on_one_configuration(fields: str, everything_else: float, layout: str) -> None:
    """Sums as large as their bounds: X^dagger u with u along the column of a parameter, and along one configuration."""
    case = problem(fields, weighted=True)
    assert case.weights is not None
    case.weights[:] = everything_else
    case.weights[1, 2, 3], case.weights[0, 1, 2] = 1.0, 0.5
    case.weights[:] *= np.count_nonzero(case.weights) / case.weights.sum()
    case.energies[...] = np.where(np.isfinite(case.energies), case.energies, -19.0)
    rows = rows_of(case, layout)
    x = case.explicit()[0].astype(case.dtype)
    scale = np.linalg.norm(x, axis=0)
    for u in (*x.T, np.eye(len(x))[x[:, 0].argmax()].astype(case.dtype), np.sqrt(case.weights.reshape(-1))):
        norm = float(np.linalg.norm(u))
        u = np.asarray(u).astype(case.dtype)
        expected = x.conj().T @ u
        found = rows.adjoint(u, norm)
        largest = (np.abs(rows.mean) + scale) * norm
        assert np.all(np.abs(found - (expected.real if case.real else expected)) <= 1e-12 * largest)


def test_a_log_derivative_that_is_not_finite_is_an_error(layout: str) -> None:
    for bad in (np.nan, np.inf):
        case = problem("complex")
        case.plain[1, 2, 1, 1] = bad
        with pytest.raises(NumericalError, match="log-derivative is not finite") as caught:
            rows_of(case, layout)
        assert caught.value.collective


def test_dead_configurations_do_not_count_whatever_they_hold(layout: str) -> None:
    """NaN as energy and in all factors, against the same without them."""
    case, clean = problem("complex", weighted=True), problem("complex", weighted=True)
    assert case.weights is not None
    for block, draw, walker in np.argwhere(case.weights == 0):
        for part in (case.plain, case.outer, case.inner):
            part[block, :, draw, walker] = np.nan
    rows, expected = rows_of(case, layout), rows_of(clean, layout)
    assert np.isnan(case.energies).sum() > 3
    for name in ("mean", "variances", "force", "energies"):
        np.testing.assert_array_equal(getattr(rows, name), getattr(expected, name))


@pytest.mark.parametrize("weights", ["equal", "scattered", "some dead"])
@pytest.mark.parametrize("n", [7, 100, 512, 3000])
def test_constant_derivatives_have_a_variance_of_rounding_only(
    n: int, weights: str, layout: str, rng: np.random.Generator
) -> None:
    """60 constants of twelve orders of magnitude, real and complex, in chunks as long as those of a run."""
    constants = rng.normal(size=60) * 10.0 ** rng.uniform(-6, 6, size=60)
    constants = np.append(constants, constants * np.exp(1j * rng.normal(size=60)))
    w = {"equal": np.ones(n), "scattered": rng.exponential(size=n), "some dead": rng.exponential(size=n)}[weights]
    if weights == "some dead":
        w[1::3] = 0.0
    w /= w.sum()
    parts: list[Derivatives] = []
    for start in range(0, n, 512):
        # The last row scatters, by more than its rounding.
        row = 1.0 + 1e-5 * rng.normal(size=min(512, n - start)) + 0j
        array = np.vstack([np.tile(constants[:, None], (1, len(row))), row])
        parts.append(Stored(array) if layout == "stored" else Factored([(array,)]))
    rows = Rows(parts, np.zeros(n), w, COMM, real=False)
    assert np.all(rows.variances[:-1] <= rows.rounding[:-1])
    assert rows.variances[-1] > rows.rounding[-1]
    assert np.all(rows.rounding[:-1] <= 2e-13 * np.abs(constants) ** 2)
