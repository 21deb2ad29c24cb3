"""Steps that adapt: energies by reweighting, line search, the factor of the shift, and Heun's integrator."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.integrate import solve_ivp

from pvmc.errors import NumericalError
from pvmc.estimators import Moments, Reweighting, estimate
from pvmc.estimators.reweighting import ReweightedChange
from pvmc.hamiltonians.ising import transverse_field_ising
from pvmc.lattice import chain
from pvmc.sampler import MetropolisSpec, Samples, Walkers
from pvmc.sr import Reconfiguration, Step
from pvmc.sr.step import ConstantDamping
from pvmc.vmc.loop import State, iterate
from pvmc.wavefunctions import RBM
from tests.designs import slow_but
from tests.helpers import mean_p, random_rbm
from tests.noise_free import COMM, LINEAR, Linear, Problem, random_problem, spec

pytestmark = pytest.mark.exact

Numbers = npt.NDArray[Any]

DTYPES = [np.float64, np.complex128]


@pytest.fixture(params=DTYPES, ids=["real", "complex"])
def dtype(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def problem(dtype: Any) -> Problem:
    return random_problem(dtype)


@pytest.fixture
def ising(dtype: Any) -> Problem:
    """A problem with a gentle flow."""
    ring = chain(6)
    terms = transverse_field_ising(6, ring.bonds(), 1.0, 1.0)
    return Problem(terms, *random_rbm(6, dtype, "translation", n_features=1, scale=0.4))


def random_shift(problem: Problem, size: float, rng: np.random.Generator) -> Numbers:
    shift = rng.normal(size=(2, len(problem.theta)))
    return size * (shift[0] + (1j * shift[1] if np.iscomplexobj(problem.theta) else 0.0))


# The energy by reweighting --------------------------------------------------------------------------------------------


def effective_part(problem: Problem, theta: Numbers, shift: Numbers) -> float:
    """<w>^2 / <w^2> of w = |psi'/psi|^2: one over sum |psi'|^4 / |psi|^2."""
    before, after = (np.abs(problem.vector(t)) ** 2 for t in (theta, theta + shift))
    return float(1.0 / (after**2 / before).sum())


def believed(problem: Problem, theta: Numbers, shift: Numbers) -> float:
    """The change of the energy; inf where less than half of the weight is left, or psi is out of range."""
    try:
        change = problem.energy(theta + shift) - problem.energy(theta)
    except NumericalError:
        return math.inf
    return change if effective_part(problem, theta, shift) >= 0.5 else math.inf


@pytest.mark.parametrize("size", [0.0, 1e-3, 0.1, 1.0])
def test_changes_of_the_energy_without_noise(problem: Problem, size: float, rng: np.random.Generator) -> None:
    """On all configurations: the difference of two expectation values."""
    _, trial = problem.measured()
    shift = random_shift(problem, size, rng)
    found = trial.change(shift)
    expected = problem.energy(problem.theta + shift) - problem.energy(problem.theta)
    assert found.change == pytest.approx(expected, rel=0, abs=1e-12 * np.linalg.norm(problem.matrix, 2))
    assert size == 0.0 or abs(expected) > 1e-4
    assert found.effective_part == pytest.approx(effective_part(problem, problem.theta, shift), rel=1e-12)


class OnePartAtATime:
    """An RBM whose wave functions offer nothing but the interface."""

    def __init__(self, rbm: RBM):
        self._rbm = rbm

    def at(self, theta: Numbers) -> Any:
        psi = self._rbm.at(theta)
        return SimpleNamespace(log_psi=psi.log_psi, lookup=psi.lookup, ratios=psi.ratios)


def test_wave_functions_may_offer_ln_psi_and_look_up_in_one_go(problem: Problem, rng: np.random.Generator) -> None:
    """The same bits where they do not."""
    _, trial = problem.measured()
    other: Any = OnePartAtATime(problem.rbm)
    shift = random_shift(problem, 0.1, rng)
    assert hasattr(problem.rbm.at(problem.theta), "log_psi_and_lookup")
    again = Reweighting(trial._estimates, problem.theta, other, problem.operator, COMM)
    assert again.change(shift) == trial.change(shift)


def test_a_state_far_from_the_configurations(problem: Problem) -> None:
    """The weight on configurations that had 1e-60 of it, by a bias of +-8 on each site: numbers all the same."""
    here = problem.rbm.parameter_blocks["visible_bias"][0]
    sharp, shift = problem.theta.copy(), np.zeros_like(problem.theta)
    sharp[here], shift[here] = 8.0, -16.0
    problem = replace(problem, theta=sharp)
    _, trial = problem.measured()
    found = trial.change(shift)
    assert effective_part(problem, sharp, shift) < 1e-60
    assert found.effective_part < 1e-60
    assert found.change == pytest.approx(problem.energy(sharp + shift) - problem.energy(sharp), rel=1e-9)


def drawn(problem: Problem, n: int, rng: np.random.Generator) -> Reweighting:
    """From n independent configurations, in four blocks."""
    probabilities = np.abs(problem.vector(problem.theta)) ** 2
    chosen = rng.choice(len(probabilities), size=(4, n // 64, 16), p=probabilities)
    spins = np.ascontiguousarray(problem.spins[:, chosen].transpose(1, 2, 0, 3))
    psi = problem.rbm.at(problem.theta)
    lookup = np.array([[psi.lookup(draw) for draw in block] for block in spins])
    batch = estimate(
        Samples(spins, lookup, 0, 1),
        problem.operator,
        psi,
        problem.rbm.n_parameters,
        COMM,
        real_parameters=problem.rbm.dtype == np.float64,
        keep_rows=True,
        keep_spins=True,
    )
    return Reweighting(batch, problem.theta, problem.rbm, problem.operator, COMM)


def test_changes_of_the_energy_from_samples(problem: Problem, rng: np.random.Generator) -> None:
    """Their mean over batches is the exact one, two-sided at 0.1%; their scatter is far below that of two energies."""
    shift = random_shift(problem, 0.03, rng)
    trials = [drawn(problem, 1024, rng) for _ in range(60)]
    changes = np.array([trial.change(shift).change for trial in trials])
    expected = problem.energy(problem.theta + shift) - problem.energy(problem.theta)
    assert mean_p(changes[None], np.array([expected])) > 1e-3
    energies = np.array([trial._estimates.energies.real.mean() for trial in trials])
    assert abs(expected) > changes.std() / math.sqrt(60)
    assert changes.std() < 0.3 * energies.std() * math.sqrt(2.0)


def test_the_part_of_samples_that_counts(problem: Problem, rng: np.random.Generator) -> None:
    """(sum w)^2 / (n sum w^2) of w = |psi'/psi|^2, configuration by configuration."""
    shift = random_shift(problem, 0.3, rng)
    trial = drawn(problem, 1024, rng)
    spins = trial._estimates.spins
    assert spins is not None
    flat = spins.transpose(2, 0, 1, 3).reshape(spins.shape[2], -1)
    before, after = (problem.rbm.at(t).log_psi(flat) for t in (problem.theta, problem.theta + shift))
    weights = np.exp(2.0 * (after - before).real)
    expected = weights.sum() ** 2 / (len(weights) * (weights**2).sum())
    assert 0.1 < expected < 0.9
    assert trial.change(shift).effective_part == pytest.approx(expected, rel=1e-12)


# Line search ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("linear", LINEAR)
def test_the_line_search_takes_the_lowest_energy(ising: Problem, linear: Linear) -> None:
    """Of half, all and twice the step, where enough of the weight is left; the factor stays for the next step."""
    chosen = []
    for rate in (0.003, 0.05, 0.1, 0.2, 0.3):
        records = ising.run(
            spec(learning_rate=rate, line_search=True, shift=1.0, krylov={"tolerance": 1e-10}), 6, linear
        )
        factor = 1.0
        for theta, record in zip(ising.thetas(records), records, strict=True):
            step = record.step
            changes = {c: believed(ising, theta, -c * factor * rate * step.direction) for c in (0.5, 1.0, 2.0)}
            chosen.append(min(changes, key=lambda candidate: changes[candidate]))
            factor *= chosen[-1]
            assert step.memory["rate_factor"].tolist() == [factor]
            assert step.learning_rate == pytest.approx(rate * factor, rel=1e-14)
    assert set(chosen) == {0.5, 1.0, 2.0}, "all three cases"


def test_the_line_search_lowers_the_energy_faster(ising: Problem) -> None:
    fixed, searched = (
        ising.run(spec(learning_rate=0.01, line_search=search), 12)[-1].energy.mean.real for search in (False, True)
    )
    assert searched < fixed - 0.1


# The factor of the shift ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("linear", LINEAR)
def test_the_shift_follows_the_energies(ising: Problem, linear: Linear) -> None:
    """Larger by 2 where the energy falls by less than a quarter of the model's, smaller by 1.5 above three quarters.

    The model's is gamma Re F^dagger x; far from the samples it counts as failed.
    """
    ratios = []
    for rate in (0.01, 0.4, 0.5, 0.6, 0.7, 0.8):
        keys = spec(learning_rate=rate, shift=1.0, adapt_shift=True, krylov={"tolerance": 1e-10})
        records = ising.run(keys, 4, linear)
        factor = 1.0
        for theta, record in zip(ising.thetas(records), records, strict=True):
            step = record.step
            assert step.shift == pytest.approx(1.0 * factor, rel=1e-12)
            shift = -rate * step.direction
            predicted = -rate * np.vdot(ising.moments(theta).force, step.direction).real
            ratio = believed(ising, theta, shift) / predicted
            ratios.append(ratio)
            factor *= 2.0 if ratio < 0.25 else 1.0 / 1.5 if ratio > 0.75 else 1.0
            assert step.memory["shift_factor"] == pytest.approx([factor], rel=1e-12)
            assert step.learning_rate == rate
    assert ratios[0] == pytest.approx(2.0, rel=0.05), "dE = -2 gamma Re F^dagger x for small gamma"
    counts = np.histogram(ratios, [-math.inf, 0.25, 0.75, 3.0])[0]
    assert np.all(counts > 0), f"all three cases: {counts}"


@dataclass(frozen=True)
class Said(Reweighting):
    """An energy that is given."""

    answer: ReweightedChange | NumericalError

    def change(self, shift: Numbers) -> ReweightedChange:
        if isinstance(self.answer, NumericalError):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("ratio", "part", "factor"),
    [
        *((-1.0, 1.0, 2.0), (0.24, 1.0, 2.0), (0.26, 1.0, 1.0), (0.74, 1.0, 1.0), (0.76, 1.0, 1 / 1.5)),
        *((2.0, 0.51, 1 / 1.5), (2.0, 0.49, 2.0), (math.nan, 1.0, 2.0), (0.5, math.nan, 2.0)),
    ],
)
def test_the_borders_of_the_three_cases(problem: Problem, ratio: float, part: float, factor: float) -> None:
    moments, _ = problem.measured()
    solver = Reconfiguration(spec(adapt_shift=True), "krylov")
    direction = solver.solve(moments, 0, COMM).direction
    predicted = -0.05 * np.vdot(problem.moments(problem.theta).force, direction).real
    answered = replace(moments, reweighting=Said(ReweightedChange(ratio * predicted, part)))
    memory = solver.solve(answered, 0, COMM, memory={"shift_factor": np.array([1.0])}).memory
    assert memory["shift_factor"].tolist() == [factor]


def test_an_energy_out_of_range_is_a_failed_prediction(problem: Problem) -> None:
    """Where all ranks say so; what one rank meets alone is an error."""
    moments, _ = problem.measured()
    solver = Reconfiguration(spec(adapt_shift=True), "krylov")
    error = NumericalError("psi left the range of numbers")
    with pytest.raises(NumericalError):
        solver.solve(replace(moments, reweighting=Said(error)), 0, COMM)
    error.collective = True
    assert solver.solve(replace(moments, reweighting=Said(error)), 0, COMM).memory["shift_factor"].tolist() == [2.0]


# Heun -----------------------------------------------------------------------------------------------------------------


def flow(problem: Problem, shift: float, floor: float) -> Callable[[float, Numbers], Numbers]:
    """dtheta/dt = -(S + Lambda)^-1 F on real vectors, by dense matrices."""

    def velocity(_: float, planes: Numbers) -> Numbers:
        theta = np.ascontiguousarray(planes).view(problem.theta.dtype)
        tensor = problem.tensor(theta)
        variances = tensor.diagonal().real
        penalty = shift * variances + floor * variances.max()
        return -np.linalg.solve(tensor + np.diag(penalty), problem.moments(theta).force).view(np.float64)

    return velocity


def one_by_one(problem: Problem, keys: dict[str, Any], n: int, linear: Linear) -> Numbers:
    """theta after n steps that know nothing of each other, so that gamma does not adapt."""
    state = problem.state()
    for _ in range(n):
        (record,) = problem.run(spec(**keys), 1, linear, state)
        state = replace(record.state, memory={})
    return state.theta


@pytest.mark.parametrize("linear", slow_but(LINEAR[:1], LINEAR))
def test_heun_is_of_second_order(ising: Problem, linear: Linear) -> None:
    """Errors against the flow after a time of 0.4: in proportion to gamma^2, those of Euler's method to gamma."""
    time, shift, floor = 0.4, 0.05, 1e-3
    start = ising.theta.view(np.float64)
    exact = solve_ivp(flow(ising, shift, floor), (0.0, time), start, method="DOP853", rtol=1e-10, atol=1e-12)
    expected = np.ascontiguousarray(exact.y[:, -1]).view(ising.theta.dtype)
    for integrator, order in (("euler", 1), ("heun", 2)):
        keys = {"shift": shift, "floor": floor, "integrator": integrator, "krylov": {"tolerance": 1e-11}}
        keys["tolerance"] = 1e6
        errors = []
        for n in (16, 32, 64):
            theta = one_by_one(ising, keys | {"learning_rate": time / n}, n, linear)
            errors.append(np.linalg.norm(theta - expected))
        assert errors[0] < 0.2 * np.linalg.norm(expected - ising.theta)
        ratios = np.array(errors[:-1]) / errors[1:]
        np.testing.assert_allclose(ratios, 2.0**order, rtol=0.2)
        assert abs(ratios[1] / 2.0**order - 1.0) < abs(ratios[0] / 2.0**order - 1.0) + 0.01


def angle_between(one: Numbers, other: Numbers) -> float:
    """Of two normalised states, in radians; exact also where it is small."""
    return float(np.linalg.norm(other - one * np.vdot(one, other)))


@pytest.mark.parametrize(("rate", "tolerance"), [(0.05, 1e-4), (0.0002, 1e-4), (0.01, 1e-6)])
def test_gamma_follows_the_distance_of_heun_from_euler(ising: Problem, rate: float, tolerance: float) -> None:
    """Measured between the two states: the tolerance, within a factor of 2, whether gamma begins above or below."""
    keys = spec(learning_rate=rate, shift=0.05, floor=1e-3, integrator="heun", tolerance=tolerance)
    records = ising.run(keys, 14)
    rates, distances = [], []
    for theta, record in zip(ising.thetas(records), records, strict=True):
        gamma = record.step.learning_rate
        velocity = flow(ising, 0.05, 1e-3)(0.0, theta.view(np.float64)).view(theta.dtype)
        distances.append(angle_between(ising.vector(theta + gamma * velocity), ising.vector(record.state.theta)))
        rates.append(gamma)
    assert max(distances) < 2.0 * tolerance, "also of the first step"
    assert min(distances[-6:]) > 0.5 * tolerance
    if rate > rates[-1]:
        assert rates[0] < 0.5 * rate, "the first step is shortened at once"
    else:
        np.testing.assert_allclose(rates[:3], [rate, 2 * rate, 4 * rate], rtol=1e-12)
        assert rates[-1] > 4.0 * rate


def test_heun_is_half_a_step_along_either_direction(problem: Problem) -> None:
    """theta - gamma (x + x') / 2, with x' at theta - gamma x; by dense matrices."""
    rate = 0.002
    (record,) = problem.run(spec(learning_rate=rate, integrator="heun", tolerance=1e6), 1)
    velocity = flow(problem, 0.01, 1e-4)
    first = velocity(0.0, problem.theta.view(np.float64))
    second = velocity(0.0, problem.theta.view(np.float64) + rate * first)
    expected = -0.5 * (first + second)
    assert np.abs(second - first).max() > 1e-3 * np.abs(first).max()
    np.testing.assert_allclose(
        record.step.direction.view(np.float64), expected, rtol=0, atol=1e-9 * np.abs(first).max()
    )
    assert record.step.learning_rate == rate
    assert record.step.force_norm == pytest.approx(np.linalg.norm(problem.moments(problem.theta).force), rel=1e-10)


@pytest.mark.parametrize(
    ("keys", "n", "shortest"),
    [({"line_search": True}, 4, 1.0 - 1e-12), ({"integrator": "heun", "tolerance": 1e6}, 6, 0.5)],
    ids=["line search", "heun"],
)
@pytest.mark.parametrize("limit", ["largest_angle", "largest_norm"])
def test_adapted_steps_keep_to_their_limits(
    problem: Problem, ising: Problem, keys: dict[str, Any], n: int, shortest: float, limit: str
) -> None:
    """A line search would like to double them, so that every step is as long as it may be."""
    bound = {limit: 1e-3} if limit == "largest_angle" else {"momentum": {"mu": 0.0, limit: 1e-3}}
    for record in (ising if "line_search" in keys else problem).run(spec(learning_rate=0.05, **keys, **bound), n):
        step = record.step
        length = step.angle if limit == "largest_angle" else step.learning_rate * np.linalg.norm(step.direction)
        assert shortest * 1e-3 < length <= 1e-3 * (1.0 + 1e-12)
        assert step.learning_rate * np.linalg.norm(step.direction) > 0.0


@dataclass(frozen=True)
class Watched(Reconfiguration):
    """Keeps the energies of both stages."""

    energies: list[tuple[int, complex]] = field(default_factory=list)

    def solve(self, moments: Moments, iteration: int, *others: Any, **keys: Any) -> Step:
        self.energies.append((0, moments.energy.mean))
        return super().solve(moments, iteration, *others, **keys)

    def corrected(self, first: Step, moments: Moments, *others: Any) -> Step:
        self.energies.append((1, moments.energy.mean))
        return super().corrected(first, moments, *others)


def test_the_second_stage_has_samples_of_its_own(ising: Problem, rng: np.random.Generator) -> None:
    """With gamma = 0 both stages are at the same parameters: the walkers go on, and both energies are right."""
    ring, psi = chain(6), ising.rbm.at(ising.theta)
    sampler = MetropolisSpec(walkers=64, block_width=16, samples=512).resolved(ring, ising.operator)
    metropolis = sampler.build(ring, ising.operator, 5)
    walkers = metropolis.start(range(metropolis.n_blocks), COMM)
    real = ising.rbm.dtype == np.float64

    def walked(start: Walkers, stage: int) -> tuple[complex, Walkers]:
        walk = metropolis.walk(start, psi, 0, stage=stage)
        batch = estimate(walk, ising.operator, psi, ising.rbm.n_parameters, COMM, real_parameters=real)
        return complex(batch.energies.mean()), walk.walkers

    expected, middle = walked(walkers, 0)
    ahead, _ = walked(middle, 1)
    solver = Watched(spec(learning_rate=0.0, integrator="heun"), "dense")
    steps = iterate(State(0, ising.theta, walkers), ising.rbm, ising.operator, metropolis, solver, COMM)
    next(steps)
    assert solver.energies == [(0, pytest.approx(expected, rel=1e-12)), (1, pytest.approx(ahead, rel=1e-12))]
    again, _ = walked(middle, 0)
    assert abs(again - ahead) > 1e-6, "other random numbers"
    for _ in range(49):
        next(steps)
    first, second = (np.array([mean.real for at, mean in solver.energies if at == stage]) for stage in (0, 1))
    assert len(np.unique(np.concatenate([first, second]))) == 100
    exact = ising.energy(ising.theta)
    for energies in (first, second):
        assert mean_p(energies[None], np.array([exact])) > 1e-3


# Damping --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("linear", LINEAR)
@pytest.mark.parametrize(
    ("floor", "level", "cautious"),
    [(0.0, 0.5, 1e-4 * (10**0.5 - 1)), (0.0, 2.0, 9.9e-3), (1e-3, 1.0, 1e-2), (1e-6, 1.0, 9e-4), (1e-3, 0.0, 1e-3)],
)
def test_damping_raises_the_floor_where_there_is_no_shift(
    problem: Problem, linear: Linear, floor: float, level: float, cautious: float
) -> None:
    """Ten times a shift of zero is zero: 1e-4 (10^level - 1), or 10^level times the floor where that is larger."""
    moments, damping = problem.measured()[0], ConstantDamping(10.0**level, 0.5**level)
    keys: dict[str, Any] = {"shift": 0.0, "krylov": {"tolerance": 1e-12}}
    found = Reconfiguration(spec(floor=floor, **keys), linear).solve(moments, 0, COMM, damping)
    expected = Reconfiguration(spec(floor=cautious, **keys), linear).solve(moments, 0, COMM)
    assert found.learning_rate == pytest.approx(0.05 * 0.5**level)
    scale = np.linalg.norm(expected.direction)
    np.testing.assert_allclose(found.direction, expected.direction, atol=1e-6 * scale)
    bare = Reconfiguration(spec(floor=max(floor, 1e-9), **keys), linear).solve(moments, 0, COMM)
    assert (np.linalg.norm(found.direction) < 0.99 * np.linalg.norm(bare.direction)) == (level > 0)
