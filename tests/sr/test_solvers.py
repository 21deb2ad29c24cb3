"""All ways to solve (S + Lambda)(x - c) = F - S c have the same solution, that of the definitions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pvmc.errors import NumericalError
from pvmc.estimators import Moments, estimate, reduce_moments
from pvmc.estimators.derivatives import Factored
from pvmc.hamiltonians import Operator
from pvmc.hamiltonians.heisenberg import xxz
from pvmc.hamiltonians.ising import transverse_field_ising
from pvmc.lattice import chain
from pvmc.mpi import SerialCommunicator
from pvmc.sampler.spec import ExactSpec, MetropolisSpec
from pvmc.sr import Step
from pvmc.sr.momentum import MomentumSpec
from pvmc.wavefunctions import RBM, Ansatz, FeedForward, Jastrow, Product
from tests.batches import FIELDS, Problem, problem
from tests.designs import designed
from tests.helpers import full_tensor
from tests.solvers import LARGEST_CONDITION, REGULARISATIONS, SOLVERS, condition, difference, penalty, solver

pytestmark = pytest.mark.exact

Numbers = npt.NDArray[Any]

COMM = SerialCommunicator()
TOLERANCE = 1e-10
SHAPES = {"n_s > K": (4, 3, 5), "n_s < K": (4, 12, 14)}
"""Plain parameters, units and inputs; n_s = 120."""


def moments_of(case: Problem) -> dict[str, Moments]:
    """Made anew for each solver: rows are changed in place."""
    return {name: case.moments(COMM, layout) for name, (_, _, layout) in SOLVERS.items()}


def steps(
    moments: Mapping[str, Moments], regularisation: str, memory: Mapping[str, Numbers] | None = None, **keys: Any
) -> dict[str, Step]:
    """The step of every solver."""
    return {
        name: solver(name, regularisation, **keys).solve(moments[name], 0, COMM, memory=memory or {})
        for name in moments
    }


def assert_all(found: Mapping[str, Step], expected: Numbers) -> None:
    """Every direction is the expected one, of its dtype."""
    for name, step in found.items():
        assert step.direction.dtype == expected.dtype, name
        assert difference(step.direction, expected) < TOLERANCE, name
        assert step.residual < 1e-11, name
        assert (step.solver_iterations > 0) == (SOLVERS[name][0] == "krylov"), name


# Synthetic batches ----------------------------------------------------------------------------------------------------


@designed(fields=FIELDS, weighted=[False, True], exact_sums=[True, False])
def test_streamed_moments_of_many_chunks_are_the_definitions(fields: str, weighted: bool, exact_sums: bool) -> None:
    """S, F and <O> of nine chunks whose means differ from that of the first one, where they are centred."""
    case = problem(fields, weighted=weighted)
    moments = case.moments(COMM, "streamed", exact_sums=exact_sums)
    tensor, force = case.tensor_and_force()
    rows = case.moments(COMM, "stored").rows
    assert rows is not None
    first, rest = np.split(case.derivatives(), [16], axis=1)
    assert np.abs(first.mean(axis=1) - rest.mean(axis=1)).max() > 0.1
    # The fixed point allows for sums 256 times as large as the first chunk's: 20 bits less than float64 has.
    np.testing.assert_allclose(full_tensor(moments.tensor), tensor, rtol=0, atol=1e-11 * np.abs(tensor).max())
    np.testing.assert_allclose(moments.force, force, rtol=0, atol=1e-11 * np.abs(force).max())
    np.testing.assert_allclose(moments.derivative_mean, rows.mean, rtol=0, atol=1e-11)


@pytest.mark.parametrize("fields", ["complex", "real theta, complex psi"])
@pytest.mark.parametrize("constant", [None, 1.0])
def test_minsr_needs_a_regularisation(fields: str, constant: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """All others do without where n_s > K."""
    monkeypatch.setitem(REGULARISATIONS, "none", {})
    case = problem(fields, shape=SHAPES["n_s > K"], constant=constant)
    tensor, force = (array[constant is not None :] for array in case.tensor_and_force())
    expected = np.linalg.solve(tensor[:, constant is not None :], force)
    moments = moments_of(case)
    for name in [name for name in moments if SOLVERS[name][0] == "minsr"]:
        with pytest.raises(NumericalError, match="needs a regularisation above 0") as caught:
            solver(name, "none").solve(moments.pop(name), 0, COMM)
        assert caught.value.collective
    for name, step in steps(moments, "none").items():
        assert difference(step.direction[constant is not None :], expected) < TOLERANCE, name


@designed(fields=FIELDS, size=SHAPES, weighted=[False, True], regularisation=REGULARISATIONS)
def test_every_solver_has_the_solution_of_the_definitions(
    fields: str, size: str, weighted: bool, regularisation: str
) -> None:
    case = problem(fields, shape=SHAPES[size], weighted=weighted)
    assert (case.n_samples > case.n_parameters) == (size == "n_s > K")
    tensor, force = case.tensor_and_force()
    penalties = penalty(regularisation, tensor.diagonal().real)
    assert condition(tensor, penalties) < LARGEST_CONDITION
    found = steps(moments_of(case), regularisation)
    assert_all(found, np.linalg.solve(tensor + np.diag(penalties), force))
    for name, step in found.items():
        assert step.n_frozen == 0, name
        assert step.force_norm == pytest.approx(np.linalg.norm(force), rel=1e-12), name
        angle = step.learning_rate * np.sqrt(np.vdot(step.direction, tensor @ step.direction).real)
        assert step.angle == pytest.approx(angle, rel=1e-9), name


@pytest.mark.parametrize("fields", FIELDS)
def test_a_block_of_dead_configurations_only(fields: str) -> None:
    """As in an enumeration of a state that is all in a few configurations."""
    case = problem(fields, weighted=True)
    assert case.weights is not None
    case.weights[0], case.energies[0] = 0.0, np.nan
    case.weights[:] *= np.count_nonzero(case.weights) / case.weights.sum()
    tensor, force = case.tensor_and_force()
    penalties = penalty("all three", tensor.diagonal().real)
    assert condition(tensor, penalties) < LARGEST_CONDITION
    assert_all(steps(moments_of(case), "all three"), np.linalg.solve(tensor + np.diag(penalties), force))


@designed(fields=FIELDS, size=SHAPES, regularisation=["shift", "offset"], march=[None, 0.95])
def test_momentum_is_the_same_with_every_solver(
    fields: str, size: str, regularisation: str, march: float | None, rng: np.random.Generator
) -> None:
    """SPRING: a centre c = mu x' of last direction x'; MARCH: a Lambda in proportion to the root of v, of mean 1."""
    case = problem(fields, shape=SHAPES[size], weighted=True)
    tensor, force = case.tensor_and_force()
    last = rng.normal(size=len(force)).astype(force.dtype)
    if not case.real:
        last += 1j * rng.normal(size=len(force))
    changes = rng.uniform(0.2, 1.0, size=len(force))
    memory = {"direction": last} | ({"changes": changes} if march else {})
    weights = np.sqrt(changes + 0.01 * changes.mean()) if march else None
    if weights is not None:
        weights /= weights.mean()
    penalties = penalty(regularisation, tensor.diagonal().real, weights)
    assert condition(tensor, penalties) < LARGEST_CONDITION
    centre = 0.8 * last
    expected = centre + np.linalg.solve(tensor + np.diag(penalties), force - tensor @ centre)
    found = steps(moments_of(case), regularisation, memory, momentum=MomentumSpec(mu=0.8, march=march))
    assert_all(found, expected)
    assert difference(np.linalg.solve(tensor + np.diag(penalties), force), expected) > 1e-2
    for name, step in found.items():
        assert difference(step.memory["direction"], expected) < TOLERANCE, name
        if march:
            kept = march * changes + (1.0 - march) * np.abs(expected - last) ** 2
            assert difference(step.memory["changes"], kept) < TOLERANCE, name


@pytest.mark.parametrize("fields", FIELDS)
def test_the_gram_matrix_of_factors_never_makes_their_products(fields: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """n_s < K with a uniform Lambda: X is on no rank, and the step is that of the definitions all the same."""
    case = problem(fields, shape=SHAPES["n_s < K"])
    tensor, force = case.tensor_and_force()
    moments = case.moments(COMM, "factored")

    def rows(_: Factored) -> Numbers:
        raise AssertionError("O has been multiplied out")

    monkeypatch.setattr(Factored, "rows", rows)
    step = solver("minsr with factors", "offset").solve(moments, 0, COMM)
    penalties = penalty("offset", tensor.diagonal().real)
    assert_all({"minsr with factors": step}, np.linalg.solve(tensor + np.diag(penalties), force))
    with pytest.raises(AssertionError, match="multiplied out"):
        solver("minsr with factors", "shift").solve(moments, 0, COMM)


@pytest.mark.parametrize("fields", ["complex, and A", "real theta, complex psi and A"])
def test_gram_matrices_of_several_tiles_and_pieces(fields: str) -> None:
    """330 configurations and 400 to 800 parameters: the last tile, and the last piece, is not full."""
    case = problem(fields, shape=(3, 20, 20), n_draws=11, width=10)
    assert 256 < case.n_samples < 512 and 256 < case.n_parameters < 512
    tensor, force = case.tensor_and_force()
    for regularisation in ("offset", "shift"):
        penalties = penalty(regularisation, tensor.diagonal().real)
        expected = np.linalg.solve(tensor + np.diag(penalties), force)
        moments = {name: case.moments(COMM, SOLVERS[name][2]) for name in ("minsr", "minsr with factors", "dense")}
        assert_all(steps(moments, regularisation), expected)


def test_an_iterative_solver_may_begin_anywhere(rng: np.random.Generator) -> None:
    """From the solution it has nothing to do; from elsewhere it ends at the same one."""
    case = problem("complex")
    for name in ("cg", "minres"):
        first = solver(name, "shift").solve(case.moments(COMM, "stored"), 0, COMM)
        again = solver(name, "shift").solve(case.moments(COMM, "stored"), 0, COMM, memory=first.memory)
        assert again.solver_iterations < first.solver_iterations / 3
        wrong = first.direction + rng.normal(size=len(first.direction))
        far = solver(name, "shift").solve(case.moments(COMM, "stored"), 0, COMM, memory={"start": wrong})
        assert far.solver_iterations > 3
        for step in (again, far):
            assert difference(step.direction, first.direction) < TOLERANCE


# Directions that do not change psi ------------------------------------------------------------------------------------


@designed(strength=1, fields=FIELDS, weighted=[False, True], constant=[1.0, 0.1, -7.3e4, 3.3e-5, 1e8 / 3])
def test_a_constant_derivative_is_frozen_by_every_solver(fields: str, weighted: bool, constant: float) -> None:
    """Its direction is exactly 0, with a centre too, and the others move as if it were not there."""
    phase = np.exp(0.7j) if FIELDS[fields][1] else 1.0
    case = problem(fields, weighted=weighted, constant=constant * phase)
    tensor, force = (array[1:] for array in case.tensor_and_force())
    tensor = tensor[:, 1:]
    last = np.ones(len(force) + 1, dtype=force.dtype)
    penalties = penalty("all three", tensor.diagonal().real)
    regularised = tensor + np.diag(penalties)
    assert condition(tensor, penalties) < LARGEST_CONDITION
    for memory, centre in (({}, 0.0 * last[1:]), ({"direction": last}, 0.5 * last[1:])):
        expected = centre + np.linalg.solve(regularised, force - tensor @ centre)
        found = steps(moments_of(case), "all three", memory, momentum=MomentumSpec(mu=0.5))
        for name, step in found.items():
            assert step.n_frozen == 1, name
            assert step.direction[0] == 0.0, name
            assert difference(step.direction[1:], expected) < TOLERANCE, name


# Wave functions -------------------------------------------------------------------------------------------------------

N_SITES = 8
RING = chain(N_SITES)
PLAIN, TRANSLATIONS = RING.group("none"), RING.group("translation")
HEISENBERG = Operator.from_pauli_sum(xxz(RING.bonds(), 1.0, 1.0, RING.sublattices()), N_SITES)
ISING = Operator.from_pauli_sum(transverse_field_ising(N_SITES, RING.bonds(), 1.0, 0.8), N_SITES)

ANSATZES: dict[str, Callable[[], Ansatz]] = {
    "complex rbm": lambda: RBM(PLAIN, 6, dtype=complex, visible_bias=False, init_scale=0.3),
    "complex rbm, visible bias": lambda: RBM(PLAIN, 3, dtype=complex, visible_bias=True, init_scale=0.3),
    "real rbm": lambda: RBM(PLAIN, 6, dtype=float, visible_bias=False, init_scale=0.3),
    "translations": lambda: RBM(TRANSLATIONS, 3, dtype=complex, visible_bias=False, init_scale=0.3),
    "real translations": lambda: RBM(TRANSLATIONS, 3, dtype=float, visible_bias=False, init_scale=0.3),
    "amplitude and phase": lambda: FeedForward(
        PLAIN, (5, 4), ("lncosh", "tanh"), weights="amplitude_phase", init_scale=0.8
    ),
    "complex net": lambda: FeedForward(PLAIN, (5, 4), ("lncosh", "tanh"), weights="complex", init_scale=0.5),
    "net with translations": lambda: FeedForward(
        TRANSLATIONS, (3, 3), ("lncosh", "tanh"), weights="amplitude_phase", init_scale=0.8
    ),
    "rbm x jastrow": lambda: Product(
        [
            RBM(PLAIN, 5, dtype=complex, visible_bias=False, init_scale=0.3),
            Jastrow(TRANSLATIONS, dtype=complex, one_body=False, init_scale=0.3),
        ]
    ),
}
HAS_FACTORS = {name for name in ANSATZES if "translations" not in name}

METROPOLIS = {"walkers": 24, "block_width": 8, "burn_in": 4}
SAMPLERS: dict[str, Any] = {
    "enumeration": ExactSpec(kind="exact", block_width=20),
    "metropolis": MetropolisSpec(samples=240, **METROPOLIS),
    "few samples": MetropolisSpec(samples=24, **METROPOLIS),
    "importance sampling": MetropolisSpec(samples=240, power=1.2, **METROPOLIS),
}
"""The blocks of an enumeration are filled up with configurations of weight 0."""


def measured(ansatz: Ansatz, operator: Operator, spec: Any, keep_rows: bool) -> Moments:
    """The moments of the same configurations, streamed or kept."""
    sampler = spec.resolved(RING, operator).build(RING, operator, seed=4)
    psi = ansatz.at(ansatz.initial_parameters(np.random.default_rng(9)))
    walk = sampler.walk(sampler.start(range(sampler.n_blocks), COMM), psi, 0)
    real = not np.issubdtype(ansatz.dtype, np.complexfloating)
    batch = estimate(walk, operator, psi, ansatz.n_parameters, COMM, real_parameters=real, keep_rows=keep_rows)
    return reduce_moments(batch, COMM, n_sites=N_SITES, infinite_temperature=operator.infinite_temperature_energy)


def assert_agreement(ansatz: Ansatz, operator: Operator, spec: Any, regularisation: str, has_factors: bool) -> None:
    """All solvers against the dense one, on what one wave function gives."""
    names = ["dense", "dense from rows", "cg", "minres", "minsr"]
    moments = {name: measured(ansatz, operator, spec, keep_rows=name != "dense") for name in names}
    rows = moments["minsr"].rows
    assert rows is not None
    assert isinstance(rows.chunks[0].derivatives, Factored) == has_factors
    tensor = full_tensor(moments["dense"].tensor)
    penalties = penalty(regularisation, tensor.diagonal().real)
    live = tensor.diagonal().real > 1e-20
    assert condition(tensor[np.ix_(live, live)], penalties[live]) < 1e5
    found = steps(moments, regularisation)
    expected = np.linalg.solve((tensor + np.diag(penalties))[np.ix_(live, live)], moments["dense"].force[live])
    assert np.linalg.norm(expected) > 1e-3
    assert found["dense"].n_frozen == int(np.count_nonzero(~live))
    for name, step in found.items():
        assert step.n_frozen == found["dense"].n_frozen, name
        assert difference(step.direction[live], expected) < TOLERANCE, name
        assert not np.any(step.direction[~live]), name


@designed(strength=1, name=ANSATZES, sampler=SAMPLERS, regularisation=["shift", "floor"])
def test_every_solver_on_wave_functions(name: str, sampler: str, regularisation: str) -> None:
    """With factors where the ansatz offers them, which then make T in their own way for a uniform Lambda."""
    ansatz = ANSATZES[name]()
    assert_agreement(ansatz, HEISENBERG, SAMPLERS[sampler], regularisation, name in HAS_FACTORS)


@pytest.mark.parametrize("name", ["complex rbm", "amplitude and phase", "real translations"])
def test_every_solver_without_a_conserved_magnetisation(name: str) -> None:
    assert_agreement(ANSATZES[name](), ISING, SAMPLERS["enumeration"], "all three", name in HAS_FACTORS)


@designed(dtype=[float, complex], sampler=["enumeration", "metropolis"], magnetization=[0, 2])
def test_a_visible_bias_at_fixed_magnetisation_is_frozen_by_every_solver(
    dtype: Any, sampler: str, magnetization: int
) -> None:
    ansatz = RBM(TRANSLATIONS, 2, dtype=dtype, visible_bias=True, init_scale=0.3)
    spec = SAMPLERS[sampler].model_copy(update={"magnetization": magnetization})
    first, _ = ansatz.parameter_blocks["visible_bias"]
    moments = {name: measured(ansatz, HEISENBERG, spec, name != "dense") for name in ("dense", "cg", "minres", "minsr")}
    for name, step in steps(moments, "shift").items():
        assert step.n_frozen == 1, name
        assert np.flatnonzero(step.direction == 0.0).tolist() == [first.start], name
