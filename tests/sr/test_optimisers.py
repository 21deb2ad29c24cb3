"""What surrounds the linear problem - momentum, bounds on S, filters of noise - and the methods without S, by hand."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
from scipy.linalg import hadamard

from pvmc.estimators import Moments
from pvmc.estimators.derivatives import Stored
from pvmc.estimators.energy import EnergyStatistics
from pvmc.estimators.moments import _NOWHERE
from pvmc.estimators.rows import Rows
from pvmc.hamiltonians.heisenberg import xxz
from pvmc.lattice import chain
from pvmc.sr import Reconfiguration, Step
from tests.helpers import configurations, kronecker_sum, labels_of, random_rbm
from tests.noise_free import COMM, LINEAR, Linear, Problem, random_problem, spec

pytestmark = pytest.mark.exact

Numbers = npt.NDArray[Any]

DTYPES = [np.float64, np.complex128]
TIGHT = {"tolerance": 1e-12}


@pytest.fixture(params=DTYPES, ids=["real", "complex"])
def problem(request: pytest.FixtureRequest) -> Problem:
    return random_problem(request.param)


def minimum(x: Numbers, e: Numbers, penalty: Numbers, centre: Numbers) -> Numbers:
    """The y that minimises |X y - e|^2 + (y - c)^dagger Lambda (y - c), from matrices stacked."""
    root = np.sqrt(penalty)
    matrix, right = np.concatenate([x, np.diag(root)]), np.concatenate([e, root * centre])
    return np.asarray(np.linalg.lstsq(matrix, right, rcond=None)[0])


def assert_same(found: Numbers, expected: Numbers, tolerance: float = 1e-9) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())


# Momentum -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("linear", LINEAR)
def test_spring_minimises_its_cost(problem: Problem, linear: Linear) -> None:
    """Goldshlager, Abrahamsen & Lin: over three steps, each from the direction of the one before."""
    mu, shift, floor = 0.9, 0.02, 1e-3
    keys = spec(shift=shift, floor=floor, momentum={"mu": mu}, krylov=TIGHT)
    records = problem.run(keys, 3, linear)
    before = np.zeros_like(problem.theta)
    for theta, record in zip(problem.thetas(records), records, strict=True):
        x, e = problem.rows(theta)
        variances = (np.abs(x) ** 2).sum(axis=0)
        penalty = shift * variances + floor * variances.max()
        plain = minimum(x, e, penalty, np.zeros_like(before))
        expected = minimum(x, e, penalty, mu * before)
        assert record.iteration == 0 or np.abs(expected - plain).max() > 0.1 * np.abs(plain).max(), "it matters"
        assert_same(record.step.direction, expected)
        assert_same(record.state.theta, theta - 0.05 * expected)
        before = expected


@pytest.mark.parametrize("linear", LINEAR)
def test_no_momentum_is_plain_reconfiguration(problem: Problem, linear: Linear) -> None:
    plain, none = (problem.run(spec(**keys), 4, linear) for keys in ({}, {"momentum": {"mu": 0.0}}))
    for one, other in zip(plain, none, strict=True):
        assert one.state.theta.tobytes() == other.state.theta.tobytes()
    kept = problem.run(spec(momentum={"mu": 0.5}), 2, linear)
    assert kept[0].state.theta.tobytes() == plain[0].state.theta.tobytes(), "there is no direction before the first"
    assert kept[1].state.theta.tobytes() != plain[1].state.theta.tobytes()


def test_long_steps_are_shortened_and_remembered_whole(problem: Problem) -> None:
    """|gamma x| is cut to the largest norm; the next centre is mu times x, not times what was left of it."""
    free = problem.run(spec(momentum={"mu": 0.9}), 1)[0].step
    length = 0.05 * float(np.linalg.norm(free.direction))
    short = problem.run(spec(momentum={"mu": 0.9, "largest_norm": 0.3 * length}), 2)
    step = short[0].step
    np.testing.assert_array_equal(step.direction, free.direction)
    assert step.learning_rate * np.linalg.norm(step.direction) == pytest.approx(0.3 * length, rel=1e-12)
    assert step.angle == pytest.approx(0.3 * free.angle, rel=1e-12)
    x, e = problem.rows(short[0].state.theta)
    variances = (np.abs(x) ** 2).sum(axis=0)
    expected = minimum(x, e, 0.01 * variances + 1e-4 * variances.max(), 0.9 * free.direction)
    assert_same(short[1].step.direction, expected)
    long = problem.run(spec(momentum={"mu": 0.9, "largest_norm": 1.01 * length}), 1)[0].step
    assert long.learning_rate == 0.05


@pytest.mark.parametrize("linear", LINEAR)
def test_march_holds_parameters_that_change_much(problem: Problem, linear: Linear) -> None:
    """Lambda in proportion to the root of the running mean of |x_p - x_(p-1)|^2, recomputed over six iterations."""
    mu, beta, shift = 0.8, 0.7, 0.05
    keys = spec(shift=shift, floor=0.0, momentum={"mu": mu, "march": beta}, krylov=TIGHT)
    records = problem.run(keys, 6, linear)
    before, squares = None, None
    for theta, record in zip(problem.thetas(records), records, strict=True):
        x, e = problem.rows(theta)
        variances = (np.abs(x) ** 2).sum(axis=0)
        if squares is None:
            penalty = shift * variances
        else:
            root = np.sqrt(squares + squares.mean() / 100)
            penalty = shift * variances.mean() * root / root.mean()
            assert np.ptp(penalty / variances) > 0.3 * shift, "it matters"
        expected = minimum(x, e, penalty, np.zeros_like(theta) if before is None else mu * before)
        assert_same(record.step.direction, expected, 1e-8)
        if before is not None:
            change = np.abs(expected - before) ** 2
            squares = change if squares is None else beta * squares + (1 - beta) * change
        before = expected
    vectors = [kept for kept in records[-1].step.memory.values() if kept.shape == problem.theta.shape]
    assert len(vectors) == keys.remembered(linear), "as planned"


# The condition number -------------------------------------------------------------------------------------------------


def scaled(problem: Problem, shift: float, floor: float) -> Numbers:
    """S + Lambda scaled to a unit diagonal of S."""
    tensor = problem.tensor(problem.theta)
    variances = tensor.diagonal().real
    root = 1.0 / np.sqrt(variances)
    return np.asarray(root[:, None] * (tensor + np.diag(shift * variances + floor * variances.max())) * root)


@pytest.mark.parametrize("bound", [5.0, 50.0, 1e3])
def test_the_condition_number_is_bounded(problem: Problem, bound: float) -> None:
    """cond = (largest + lambda) / (smallest + lambda) <= bound + 1 for lambda the largest eigenvalue over the bound."""
    (record,) = problem.run(spec(shift=1e-9, floor=0.0, largest_condition=bound), 1)
    assert np.linalg.cond(scaled(problem, 1e-9, 0.0)) > 1.5 * bound, "there is something to bound"
    values = np.linalg.eigvalsh(scaled(problem, 0.0, 0.0))
    found = np.linalg.cond(scaled(problem, record.step.shift, 0.0))
    assert found <= 1.03 * bound + 1.0
    assert values[-1] / bound == pytest.approx(record.step.shift, rel=0.03)
    variances = problem.tensor(problem.theta).diagonal().real
    tensor, force = problem.tensor(problem.theta), problem.moments(problem.theta).force
    assert_same(record.step.direction, np.linalg.solve(tensor + record.step.shift * np.diag(variances), force), 1e-8)


def test_a_small_condition_number_is_left_alone(problem: Problem) -> None:
    free, bounded = (problem.run(spec(shift=0.5, **keys), 1)[0].step for keys in ({}, {"largest_condition": 1e3}))
    assert np.linalg.cond(scaled(problem, 0.5, 1e-4)) < 1e3
    assert (bounded.shift, bounded.direction.tobytes()) == (0.5, free.direction.tobytes())


def test_the_bound_is_the_same_for_all_solvers(problem: Problem) -> None:
    keys = spec(shift=1e-9, floor=0.0, largest_condition=300.0, krylov=TIGHT)
    steps = [problem.run(keys, 1, linear)[0].step for linear in LINEAR]
    for step in steps[1:]:
        assert step.shift == pytest.approx(steps[0].shift, rel=1e-10)
        assert_same(step.direction, steps[0].direction, 1e-6)


# Eigenvalues and noise ------------------------------------------------------------------------------------------------


def sampled(derivatives: Numbers, energies: Numbers) -> Moments:
    """The moments of independent configurations, as rows: O_k (K, n) and E_loc (n,)."""
    n = len(energies)
    energy = EnergyStatistics(complex(energies.mean()), 0.1, 1.0, 1.0, 1.0, 0.0, 1.0, n, n)
    parts = [Stored(np.ascontiguousarray(part)) for part in np.array_split(derivatives, 3, axis=1)]
    real = not np.iscomplexobj(derivatives)
    rows = Rows(parts, energies - energies.mean(), np.full(n, 1.0 / n), COMM, real=real)
    return Moments(energy, *_NOWHERE, rows.n_parameters, rows.dtype, rows=rows)


def test_krylov_iterates_for_what_its_preconditioner_leaves() -> None:
    """Nothing where S is diagonal, of whatever scales; with fewer samples than parameters, one direction a sample."""
    wide = np.random.default_rng(3).normal(size=(64, 8))
    diagonal = hadamard(64)[1:13] * np.geomspace(1.0, 0.01, 12)[:, None]
    for derivatives, most in ((diagonal, 2), (wide, 8)):
        solver = Reconfiguration(spec(shift=0.0, floor=1e-3, krylov=TIGHT), "krylov")
        energies = np.random.default_rng(4).normal(size=derivatives.shape[1]) + 0.0j
        assert 0 < solver.solve(sampled(derivatives, energies), 0, COMM).solver_iterations <= most


def noisy(dtype: Any, signal: float, n: int = 3000) -> tuple[Numbers, Numbers]:
    """Correlated O_k around an offset, and E_loc: a part linear in O, and noise that knows nothing of it."""
    rng = np.random.default_rng(11)
    mixing = rng.normal(size=(6, 6)) * np.geomspace(1.0, 0.03, 6)

    def normal(*shape: int) -> Numbers:
        return rng.normal(size=shape) + (1j * rng.normal(size=shape) if dtype is np.complex128 else 0.0)

    fluctuations = mixing @ normal(6, n)
    return 0.7 + fluctuations, -3.0 + signal * normal(6) @ fluctuations + normal(n)


def filtered(derivatives: Numbers, energies: Numbers, cutoff: float, snr: float | None) -> Numbers:
    """The step from eigenvectors of the scaled S, each by the mean and scatter of its component of the force."""
    n = len(energies)
    centred = derivatives - derivatives.mean(axis=1, keepdims=True)
    forces = centred.conj() * (energies - energies.mean())
    root = 1.0 / np.sqrt((np.abs(centred) ** 2).mean(axis=1))
    values, vectors = np.linalg.eigh(root[:, None] * (centred.conj() @ centred.T / n) * root)
    found = np.zeros(len(root), dtype=derivatives.dtype)
    for value, vector in zip(values, vectors.T, strict=True):
        if value <= cutoff * values[-1]:
            continue
        components = vector.conj() @ (root[:, None] * forces)
        error = np.sqrt((np.abs(components - components.mean()) ** 2).mean() / n)
        factor = 1.0 if snr is None else 1.0 / (1.0 + (snr * error / abs(components.mean())) ** 6)
        found += factor * components.mean() / value * root * vector
    return found


def eigen_step(derivatives: Numbers, energies: Numbers, **keys: Any) -> Step:
    solver = Reconfiguration(spec(factorisation="eigen", **keys), "dense")
    return solver.solve(sampled(derivatives, energies), 0, COMM)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cutoff", [1e-8, 1e-2])
@pytest.mark.parametrize("snr", [1.0, 2.0, 20.0])
def test_the_filter_of_noise(dtype: Any, cutoff: float, snr: float) -> None:
    """Schmitt & Heyl: components of the force over eigenvalues, times 1 / (1 + (threshold / snr)^6)."""
    o, e = noisy(dtype, signal=0.05)
    expected = filtered(o, e, cutoff, snr)
    assert np.abs(expected - filtered(o, e, cutoff, None)).max() > 1e-3 * np.abs(expected).max(), "it does something"
    assert_same(eigen_step(o, e, cutoff=cutoff, snr=snr).direction, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_noise_is_damped_and_signals_are_not(dtype: Any) -> None:
    """By the angle of the step, to which each component along an eigenvector adds its square."""
    for signal, smallest, largest in ((0.0, 0.0, 0.05), (100.0, 0.98, 1.0)):
        o, e = noisy(dtype, signal)
        whole = filtered(o, e, 1e-8, None)
        angle = 0.05 * np.sqrt(np.vdot(whole, np.cov(o.conj(), bias=True) @ whole).real)
        assert smallest <= eigen_step(o, e, snr=6.0).angle / angle <= largest


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_filter_beside_a_direction_that_is_frozen(dtype: Any) -> None:
    o, e = noisy(dtype, signal=0.05)
    step = eigen_step(np.insert(o, 2, 0.7, axis=0), e, snr=2.0)
    assert step.n_frozen == 1 and step.direction[2] == 0.0
    assert_same(np.delete(step.direction, 2), filtered(o, e, 1e-8, 2.0))


def test_a_filter_that_lets_all_through_is_none(problem: Problem) -> None:
    """By two ways to S: its rows, and sums chunk by chunk."""
    plain, through = (
        problem.run(spec(factorisation="eigen", cutoff=1e-6, **keys), 1)[0].step for keys in ({}, {"snr": 1e-9})
    )
    assert_same(through.direction, plain.direction, 1e-7)


# Without S ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["sgd", "momentum", "adam"])
def test_directions_without_s(problem: Problem, method: Literal["sgd", "momentum", "adam"]) -> None:
    """Over four iterations; real and imaginary parts of complex parameters are parameters of their own."""
    decay, rate = 0.7, 0.03
    records = problem.run(spec(method=method, mean_decay=decay, learning_rate=rate), 4)
    forces: list[Numbers] = []
    for p, (theta, record) in enumerate(zip(problem.thetas(records), records, strict=True)):
        force = problem.moments(theta).force
        forces.append(np.stack([force.real, force.imag]))
        match method:
            case "sgd":
                expected = forces[-1]
            case "momentum":
                expected = sum(decay ** (p - q) * forces[q] for q in range(p + 1))
            case "adam":  # moments written out as sums, not as recurrences
                means = [(1 - decay) * decay ** (p - q) * forces[q] for q in range(p + 1)]
                squares = [0.001 * 0.999 ** (p - q) * forces[q] ** 2 for q in range(p + 1)]
                mean, square = sum(means) / (1 - decay ** (p + 1)), sum(squares) / (1 - 0.999 ** (p + 1))
                expected = mean / (np.sqrt(square) + 1e-8 * np.sqrt(square).max())  # of the largest: no unit
        joined = expected[0] + (1j * expected[1] if np.iscomplexobj(theta) else 0.0)
        assert_same(record.step.direction, joined, 1e-8)
        assert_same(record.state.theta, theta - rate * joined)
        assert record.step.force_norm == pytest.approx(np.linalg.norm(force), rel=1e-10)
        turned = np.vdot(joined, problem.tensor(theta) @ joined).real
        assert record.step.angle == pytest.approx(rate * np.sqrt(turned), rel=1e-8)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_ring_converges_by_adam(dtype: Any) -> None:
    """Heisenberg, N = 8, at zero magnetisation with the Marshall rotation: to 1% of the ground state's energy."""
    ring = chain(8)
    terms = xxz(ring.bonds(), 1.0, 1.0, ring.sublattices())
    rbm, theta = random_rbm(8, dtype, "translation", n_features=2, scale=0.1, seed=2)
    problem = Problem(terms, rbm, theta, magnetization=0)
    labels = labels_of(configurations(8, 0))
    ground = np.linalg.eigvalsh(kronecker_sum(terms, 8)[np.ix_(labels, labels)])[0]
    records = problem.run(spec(method="adam", learning_rate=0.02), 250)
    energies = [record.energy.mean.real for record in records]
    assert energies[0] > 0.9 * ground
    assert ground - 1e-10 < energies[-1] < 0.99 * ground
