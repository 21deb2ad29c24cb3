"""Force, quantum geometric tensor and SR step against their definitions, without sampling noise.

Noise-free moments come from enumeration (:func:`tests.helpers.enumerated_moments`) or, through the whole pipeline, from
states with |psi|^2 constant, for which each configuration taken once is an exact sample.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest

from pvmc.errors import NumericalError
from pvmc.estimators import Estimates, Moments, estimate, reduce_moments
from pvmc.estimators.moment_matrix import Chunk, collect
from pvmc.hamiltonians import Operator
from pvmc.hamiltonians.heisenberg import xxz
from pvmc.hamiltonians.ising import transverse_field_ising
from pvmc.lattice import chain
from pvmc.mpi import SerialCommunicator
from pvmc.sampler import Samples
from pvmc.sr import Reconfiguration, Schedule, SRSpec
from pvmc.wavefunctions import RBM
from tests.helpers import (
    EnumeratedMoments,
    batch_of,
    configurations,
    energy_of,
    enumerated_moments,
    full_tensor,
    kronecker_sum,
    labels_of,
    random_rbm,
    random_strings,
    slope,
    state_vector,
)

pytestmark = pytest.mark.exact

COMM = SerialCommunicator()
N_SITES = 6
RING = chain(N_SITES)
DTYPES = [np.float64, np.complex128]

SYSTEMS = {
    "ising": (transverse_field_ising(N_SITES, RING.bonds(), 1.0, 0.8), None),
    "heisenberg": (xxz(RING.bonds(), 1.0, 1.0, RING.sublattices()), 0),
    "heisenberg, magnetised": (xxz(RING.bonds(), 1.0, 1.0), 2),
    "random": (random_strings(np.random.default_rng(3), N_SITES, 20), None),
}
"""Hamiltonian, and magnetisation that psi is restricted to."""


@pytest.fixture(params=DTYPES, ids=["real", "complex"])
def dtype(request: pytest.FixtureRequest) -> Any:
    return request.param


def matrix_on(name: str, spins: npt.NDArray[np.int8]) -> npt.NDArray[Any]:
    rows = labels_of(spins)
    return kronecker_sum(SYSTEMS[name][0], N_SITES)[np.ix_(rows, rows)]


def exact_moments(name: str, rbm: RBM, theta: npt.NDArray[Any]) -> tuple[EnumeratedMoments, npt.NDArray[np.int8]]:
    terms, magnetization = SYSTEMS[name]
    spins = configurations(N_SITES, magnetization)
    return enumerated_moments(rbm, theta, Operator.from_pauli_sum(terms, N_SITES), spins), spins


def tensor_of(moments: Moments) -> npt.NDArray[Any]:
    return full_tensor(moments.tensor)


def solver(
    factorisation: Literal["cholesky", "eigen"] = "cholesky",
    shift: float = 1e-3,
    floor: float = 0.0,
    cutoff: float = 1e-10,
    rate: Schedule | None = None,
    **keys: Any,
) -> Reconfiguration:
    schedules = {"learning_rate": rate or Schedule(initial=0.1), "shift": Schedule(initial=shift)}
    schedules["floor"] = Schedule(initial=floor)
    return Reconfiguration(SRSpec(factorisation=factorisation, cutoff=cutoff, **schedules, **keys), "dense")


# Moments of arbitrary batches against the definitions -----------------------------------------------------------------


def random_rows(
    complex_energies: bool, complex_derivatives: bool, offset: float = 0.0, seed: int = 5
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Correlated random energies (15 draws of 16 walkers) and derivatives (K = 7) around a common offset."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(7, 3))
    common, own = rng.normal(size=(2, 3, 240)), rng.normal(size=(2, 7, 240))
    derivatives = offset + mixing @ common[0] + 0.3 * own[0]
    energies = offset - 20.0 + common[0, 0] - 0.5 * common[0, 2] + 0.2 * rng.normal(size=240)
    if complex_derivatives:
        derivatives = derivatives + 1j * (mixing[::-1] @ common[1] - 0.1 * offset)
    if complex_energies:
        energies = energies + 0.4j * (common[1, 1] + rng.normal(size=240))
    return energies.reshape(15, 16), derivatives


def moments_of(
    energies: npt.NDArray[Any], derivatives: npt.NDArray[Any], real_parameters: bool, exact: bool = True
) -> Moments:
    """The moments of local energies (n_draws, n_walkers) and log-derivatives (K, n_draws n_walkers)."""
    batch = batch_of(energies, derivatives, 12, 100, real_parameters, exact=exact)
    return reduce_moments(batch, COMM, n_sites=4, infinite_temperature=0.0)


FIELDS = {
    "all real": (False, False, True),
    "complex": (True, True, False),
    "real theta, complex psi": (True, True, True),
    "real theta and psi, complex H": (True, False, True),
    "complex theta, real H": (False, True, False),
}
"""Complex energies, complex derivatives, real parameters."""


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("offset", [0.0, 1e4])
@pytest.mark.parametrize("fields", FIELDS)
def test_moments_of_any_batch_are_the_definitions(fields: str, offset: float, exact: bool) -> None:
    """S = <O* O'> - <O*><O'>, F = <E O*> - <E><O*>, without centring but in extended precision."""
    complex_energies, complex_derivatives, real_parameters = FIELDS[fields]
    energies, derivatives = random_rows(complex_energies, complex_derivatives, offset)
    o, e = derivatives.astype(np.clongdouble), energies.reshape(-1).astype(np.clongdouble)
    force = (o.conj() * e).mean(axis=1) - o.conj().mean(axis=1) * e.mean()
    tensor = np.array([[(a.conj() * b).mean() - a.conj().mean() * b.mean() for b in o] for a in o])
    if real_parameters:
        force, tensor = force.real, tensor.real
    moments = moments_of(energies, derivatives, real_parameters, exact)
    tolerance = 1e-12 * max(1.0, offset)  # linear in the offset, not quadratic: the centring comes before the products
    np.testing.assert_allclose(moments.force, force.astype(moments.force.dtype), rtol=0, atol=tolerance)
    np.testing.assert_allclose(tensor_of(moments), tensor.astype(moments.force.dtype), rtol=0, atol=tolerance)
    np.testing.assert_allclose(moments.derivative_mean, o.mean(axis=1).astype(complex), rtol=1e-14)
    assert moments.force.dtype == (np.float64 if real_parameters else np.complex128)
    assert abs(moments.energy.mean - complex(e.mean())) < 1e-14 * (20.0 + offset)
    assert moments.energy.n_samples == 240 and moments.energy.acceptance == 0.12
    assert not np.any(np.triu(moments.tensor, 1))
    if exact and not offset:
        assert not np.any(moments.tensor.diagonal().imag)
        assert np.linalg.eigvalsh(full_tensor(moments.tensor))[0] > 0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("where", ["energies", "derivatives"])
def test_numbers_that_are_not_finite_are_an_error(where: str, bad: float) -> None:
    energies, derivatives = random_rows(False, False)
    (energies if where == "energies" else derivatives)[2, 3] = bad
    with pytest.raises(NumericalError, match="not finite"):
        moments_of(energies, derivatives, real_parameters=True)


def moments_of_two(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> Moments:
    """The moments of two chunks of rows (O_1 ... O_K, E), of which the first is where they are centred."""

    def chunks() -> Any:
        for part in (first, second):
            yield Chunk(np.concatenate([np.ones((1, 64)), part]), 0, slice(0, 1))

    matrix = collect(chunks, COMM, n_chunks=2, n_samples=128, is_complex=False, real_parameters=True)
    estimates = Estimates(np.stack([first[-1], second[-1]]), matrix, 1, 1, 1, 128, None, {})
    return reduce_moments(estimates, COMM, n_sites=4, infinite_temperature=0.0)


def test_rows_that_the_first_chunk_is_not_typical_of() -> None:
    """A derivative that is constant in the first chunk, and one that scatters 10^4 times as much in the second."""
    first, second = np.random.default_rng(6).normal(size=(2, 3, 64))
    first[0], second[1] = 1.0, 1e4 * second[1]
    moments = moments_of_two(first, second)
    expected = np.cov(np.concatenate([first, second], axis=1), bias=True)
    scale = np.sqrt(expected.diagonal())
    assert np.abs((moments.tensor - np.tril(expected[:2, :2])) / np.outer(scale[:2], scale[:2])).max() < 1e-10
    assert np.abs((moments.force - expected[:2, 2]) / (scale[:2] * scale[2])).max() < 1e-10
    second[0, 6] = 1e200  # its square is no number
    with pytest.raises(NumericalError, match="range of numbers"):
        moments_of_two(first, second)


def test_an_energy_that_scatters_less_than_its_square_is_rounded() -> None:
    """Of a run that has found an eigenstate: scatter 10^-9, not seen in the first chunk, nor in <E^2> - <E>^2."""
    first, second = np.random.default_rng(6).normal(size=(2, 2, 64))
    first[1], second[1] = -3.65, -3.65 + 1e-9 * second[1]
    expected = np.cov(np.concatenate([first, second], axis=1), bias=True)[0, 1]
    assert moments_of_two(first, second).force[0] == pytest.approx(expected, abs=1e-12)


# Force and tensor as derivatives --------------------------------------------------------------------------------------


def energy_gradient(rbm: RBM, theta: npt.NDArray[Any], matrix: npt.NDArray[Any], spins: npt.NDArray[np.int8]) -> Any:
    """dE/dtheta for real parameters, dE/dtheta* = (dE/dx + i dE/dy) / 2 for complex ones, by finite differences."""

    def along(direction: npt.NDArray[Any]) -> float:
        return slope(lambda t: energy_of(rbm.at(theta + t * direction), matrix, spins))

    axes = np.eye(len(theta), dtype=rbm.dtype)
    real = np.array([along(axis) for axis in axes])
    if rbm.dtype == np.float64:
        return real
    return 0.5 * (real + 1j * np.array([along(1j * axis) for axis in axes]))


@pytest.mark.parametrize("symmetry", ["none", "translation", "space"])
@pytest.mark.parametrize("name", SYSTEMS)
def test_the_force_is_the_derivative_of_the_energy(name: str, symmetry: str, dtype: Any) -> None:
    """dE/dtheta* = F for holomorphic parameters, dE/dtheta = 2 F for real ones (F is the real part)."""
    rbm, theta = random_rbm(N_SITES, dtype, symmetry, n_features=1 if symmetry != "none" else 3)
    moments, spins = exact_moments(name, rbm, theta)
    gradient = energy_gradient(rbm, theta, matrix_on(name, spins), spins)
    assert np.linalg.norm(gradient) > 1e-2
    np.testing.assert_allclose(moments.force * (2 if dtype == np.float64 else 1), gradient, rtol=0, atol=2e-9)


@pytest.mark.parametrize("name", ["ising", "heisenberg"])
def test_the_tensor_is_the_metric_of_the_states(name: str, dtype: Any) -> None:
    """1 - |<psi(theta)|psi(theta + v)>|^2 = v^+ S v + O(v^3), for normalised states."""
    rbm, theta = random_rbm(N_SITES, dtype, "translation", n_features=2)
    moments, spins = exact_moments(name, rbm, theta)
    tensor = tensor_of(moments)
    here = state_vector(rbm.at(theta), spins)
    rng = np.random.default_rng(6)
    for _ in range(5):
        direction = 1e-5 * rng.normal(size=rbm.n_parameters * (2 if dtype == np.complex128 else 1)).view(dtype)
        distances = []
        for there in (state_vector(rbm.at(theta + sign * direction), spins) for sign in (1.0, -1.0)):
            distances.append(np.linalg.norm(there - here * np.vdot(here, there)) ** 2)
        assert np.mean(distances) == pytest.approx(np.vdot(direction, tensor @ direction).real, rel=1e-6)


def constant_modulus_state(dtype: Any) -> tuple[RBM, npt.NDArray[Any]]:
    """|psi| is the same for every configuration, but no derivative vanishes: no weights, an imaginary visible bias."""
    rbm, theta = random_rbm(N_SITES, dtype, "none", n_features=2)
    rbm.block(theta, "features")[:] = 0.0
    rbm.block(theta, "visible_bias")[:] *= 0.0 if dtype == np.float64 else 2.0
    if dtype == np.complex128:
        rbm.block(theta, "visible_bias").real = 0.0
    return rbm, theta


def test_the_whole_pipeline_without_noise(dtype: Any) -> None:
    """estimate and reduce_moments on every configuration once, where that is |psi|^2 exactly."""
    terms = random_strings(np.random.default_rng(7), N_SITES, 30, "XYZ" if dtype == np.complex128 else "XZ")
    rbm, theta = constant_modulus_state(dtype)
    psi, spins = rbm.at(theta), configurations(N_SITES)
    assert np.ptp(psi.log_psi(spins).real) < 1e-13
    blocks = np.ascontiguousarray(spins.reshape(N_SITES, 4, 1, 16).transpose(1, 2, 0, 3))
    lookup = np.array([[psi.lookup(blocks[b, 0])] for b in range(4)])
    operator = Operator.from_pauli_sum(terms, N_SITES)
    real = dtype == np.float64
    batch = estimate(Samples(blocks, lookup, 0, 1), operator, psi, rbm.n_parameters, COMM, real_parameters=real)
    moments = reduce_moments(batch, COMM, n_sites=N_SITES, infinite_temperature=0.0)
    vector, matrix = state_vector(psi, spins), kronecker_sum(terms, N_SITES)
    assert moments.energy.mean == pytest.approx(np.vdot(vector, matrix @ vector), abs=1e-12)
    square = np.linalg.norm(matrix @ vector) ** 2
    assert moments.energy.variance == pytest.approx(square - moments.energy.mean.real**2, rel=1e-10)
    gradient = energy_gradient(rbm, theta, matrix, spins)
    assert np.linalg.norm(gradient) > 1e-2
    np.testing.assert_allclose(moments.force * (2 if real else 1), gradient, rtol=0, atol=5e-9)
    weighted = enumerated_moments(rbm, theta, operator, spins)
    np.testing.assert_allclose(tensor_of(moments), tensor_of(weighted), rtol=0, atol=1e-13)


# The linear problem ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fields", FIELDS)
@pytest.mark.parametrize("cutoff", [1e-10, 0.1, 0.4])
def test_eigen_is_the_pseudo_inverse_of_the_scaled_tensor(fields: str, cutoff: float) -> None:
    complex_energies, complex_derivatives, real_parameters = FIELDS[fields]
    moments = moments_of(*random_rows(complex_energies, complex_derivatives), real_parameters)
    tensor = tensor_of(moments)
    scale = 1.0 / np.sqrt(tensor.diagonal().real)
    scaled = scale[:, None] * tensor * scale
    values = np.linalg.eigvalsh(scaled)
    assert np.all(np.abs(values / values[-1] / cutoff - 1.0) > 1e-3), "an eigenvalue sits on the cut-off"
    expected = scale * (np.linalg.pinv(scaled, rcond=cutoff, hermitian=True) @ (scale * moments.force))
    step = solver("eigen", cutoff=cutoff).solve(moments, 0, COMM)
    np.testing.assert_allclose(step.direction, expected, rtol=0, atol=1e-10 * np.abs(expected).max())
    assert (step.shift, step.n_frozen) == (0.0, 0)


def test_schedules_are_read_at_the_iteration() -> None:
    moments = moments_of(*random_rows(False, False), real_parameters=True)
    shift = Schedule(initial=8.0, decay=0.5, minimum=1.0)
    rate, floor = Schedule(initial=1.0, decay=0.5), Schedule(initial=0.0)
    decaying = Reconfiguration(SRSpec(learning_rate=rate, shift=shift, floor=floor), "dense")
    steps = [decaying.solve(moments, iteration, COMM) for iteration in (0, 2, 10)]
    assert [(step.learning_rate, step.shift) for step in steps] == [(1.0, 8.0), (0.25, 2.0), (0.5**10, 1.0)]
    np.testing.assert_array_equal(steps[2].direction, solver(shift=1.0).solve(moments, 0, COMM).direction)


@pytest.mark.parametrize("method", ["cholesky", "eigen"])
@pytest.mark.parametrize("fields", ["all real", "complex"])
def test_steps_do_not_depend_on_the_units_of_the_parameters(fields: str, method: Literal["cholesky", "eigen"]) -> None:
    """theta_k = c_k theta'_k turns O_k into c_k O_k; the step of theta' must be that of theta, over c_k."""
    complex_energies, complex_derivatives, real_parameters = FIELDS[fields]
    units = 10.0 ** np.array([-6, 3, 0, 1, -2, 5, 0.5])
    directions = []
    for factors in (np.ones(7), units):
        energies, derivatives = random_rows(complex_energies, complex_derivatives)
        moments = moments_of(energies, derivatives * factors[:, None], real_parameters)
        directions.append(solver(method, shift=0.3).solve(moments, 0, COMM).direction)
    np.testing.assert_allclose(directions[1] * units, directions[0], rtol=1e-9)


# Directions that do not change psi ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["cholesky", "eigen"])
def test_an_eigenstate_without_free_directions_stays(method: Literal["cholesky", "eigen"], dtype: Any) -> None:
    """All parameters zero: O_w = s_i tanh 0 and O_b = tanh 0 vanish, so nothing is left to solve."""
    rbm, theta = random_rbm(N_SITES, dtype, "translation", visible_bias=False)
    moments, _ = exact_moments("ising", rbm, np.zeros_like(theta))
    step = solver(method).solve(moments, 0, COMM)
    assert step.n_frozen == rbm.n_parameters
    assert step.residual == 0.0
    np.testing.assert_array_equal(step.direction, np.zeros_like(theta))


def twin_parameters() -> Moments:
    """Two parameters with the same derivative, +-1: S is singular without any rounding."""
    row = np.tile([1.0, -1.0], 32)
    energies = (row + np.tile([0.5, 0.5, -0.5, -0.5], 16)).reshape(4, 16)
    return moments_of(energies, np.stack([row, row]), real_parameters=True)


def test_a_singular_system() -> None:
    """Refused by Cholesky without a shift, solved with one; the pseudo-inverse shares the step among the twins."""
    moments = twin_parameters()
    np.testing.assert_array_equal(tensor_of(moments), np.ones((2, 2)))
    np.testing.assert_array_equal(moments.force, [1.0, 1.0])
    with pytest.raises(NumericalError, match="not positive definite"):
        solver(shift=0.0).solve(moments, 0, COMM)
    np.testing.assert_allclose(solver(shift=1.0).solve(moments, 0, COMM).direction, [1 / 3, 1 / 3], rtol=1e-14)
    np.testing.assert_allclose(solver("eigen").solve(moments, 0, COMM).direction, [0.5, 0.5], rtol=1e-14)


@pytest.mark.parametrize("method", ["cholesky", "eigen"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_force_that_is_not_finite_is_an_error(method: Literal["cholesky", "eigen"], bad: float) -> None:
    moments = twin_parameters()
    with pytest.raises(NumericalError, match="S or F is not finite"):
        solver(method).solve(replace(moments, force=np.array([bad, 1.0])), 0, COMM)


# The flow -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_step_is_the_projection_of_imaginary_time_evolution(name: str, dtype: Any) -> None:
    """sum_k x_k (O_k - <O_k>) psi is the point of the tangent space nearest to (H - E) psi (McLachlan)."""
    rbm, theta = random_rbm(N_SITES, dtype, "none", n_features=2, scale=0.4)
    moments, _ = exact_moments(name, rbm, theta)
    tangents, target = moments.derivatives.T, moments.energies  # both times psi (up to its phase)
    if dtype == np.float64:
        tangents, target = tangents.real, target.real
    best = np.linalg.lstsq(tangents, target, rcond=1e-6)[0]
    step = solver("eigen", cutoff=1e-11).solve(moments, 0, COMM)
    scale = np.linalg.norm(target)
    np.testing.assert_allclose(tangents @ step.direction, tangents @ best, rtol=0, atol=1e-6 * scale)
    assert np.linalg.norm(tangents @ best) > 0.1 * scale


@pytest.mark.parametrize("method", ["cholesky", "eigen"])
@pytest.mark.parametrize("name", ["ising", "heisenberg"])
def test_noise_free_steps_lower_the_energy_to_the_ground_state(
    name: str, method: Literal["cholesky", "eigen"], dtype: Any
) -> None:
    rbm, theta = random_rbm(N_SITES, dtype, "translation", n_features=2, scale=0.1, seed=2)
    matrix = matrix_on(name, configurations(N_SITES, SYSTEMS[name][1]))
    ground = np.linalg.eigvalsh(matrix)[0]
    energies = []
    for iteration in range(150):
        moments, _ = exact_moments(name, rbm, theta)
        energies.append(moments.energy.mean.real)
        step = solver(method, shift=1e-3, cutoff=1e-4).solve(moments, iteration, COMM)
        theta = theta - step.learning_rate * step.direction
    assert np.all(np.diff(energies) < 1e-10)
    assert energies[0] > ground + 0.1
    assert energies[-1] > ground - 1e-12
    assert energies[-1] - ground < 1e-3 * abs(ground)
