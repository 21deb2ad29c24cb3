"""Centred rows against their definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pvmc.errors import NumericalError
from pvmc.estimators import Rows
from pvmc.estimators.derivatives import Derivatives, Factored, Stored
from pvmc.mpi import SerialCommunicator
from pvmc.sr.dense import tensor_of
from tests.batches import FIELDS, Problem, problem
from tests.helpers import full_tensor

Numbers = npt.NDArray[Any]

COMM = SerialCommunicator()


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


@pytest.mark.parametrize("fields", ["complex"])
def test_products_of_factors_of_which_one_has_the_mean_zero(case: Problem, rng: np.random.Generator) -> None:
    """Nothing is subtracted from that one, and from the others what is."""
    rows = rows_of(case, "factored")
    rows.offset[0] = 0.0
    x = np.concatenate([chunk.root * (chunk.derivatives.rows() - rows.offset[:, None]) for chunk in rows.chunks], 1)
    values = rng.normal(size=(2, x.shape[1])).T.copy().view(np.complex128)[:, 0]
    close(rows.adjoint(values, float(np.linalg.norm(values))), x.conj() @ values, 100.0)


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
