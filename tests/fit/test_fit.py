"""Supervised fits: the gradient against finite differences, fidelities against vectors, and what fits end at."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pvmc.errors import InputError, NumericalError
from pvmc.exact import Basis, ground_state
from pvmc.fit import (
    DataSet,
    FitSpec,
    enumerated,
    evaluate,
    gradient,
    iterate_epochs,
    logarithms,
    product_state,
    sampled,
)
from pvmc.lattice import chain
from pvmc.mpi import SerialCommunicator
from pvmc.tasks.fit import make_data
from pvmc.vmc.job import Job
from pvmc.wavefunctions import RBM
from tests.helpers import configurations, random_rbm, state_vector
from tests.jobs import job_of

pytestmark = pytest.mark.exact

COMM = SerialCommunicator()


def make_job(fit: dict[str, Any], model: str = "heisenberg", length: int = 8, **sections: dict[str, Any]) -> Job:
    tables: dict[str, Any] = {
        "lattice": {"kind": "chain", "length": length},
        "hamiltonian": {"model": model, **sections.get("hamiltonian", {})},
        "ansatz": {"init_scale": 0.05, "kind": "rbm", "alpha": 2} | sections.get("ansatz", {}),
        "sampler": {"walkers": 16, "block_width": 8, "samples": 32} | sections.get("sampler", {}),
        "fit": fit,
    }
    return job_of(tables)


def random_target(n_sites: int, n_zeros: int = 0, seed: int = 2) -> np.ndarray:
    """Complex amplitudes with all phases; some vanish."""
    rng = np.random.default_rng(seed)
    amplitudes = rng.standard_normal(2**n_sites) + 1j * rng.standard_normal(2**n_sites)
    amplitudes[rng.permutation(2**n_sites)[:n_zeros]] = 0.0
    return amplitudes


def whole(rbm: RBM, theta: np.ndarray, data: DataSet) -> Any:
    rows = np.flatnonzero(data.weights > 0)
    real = rbm.dtype == np.float64
    return gradient(rbm.at(theta), data, rows, data.weights[rows], rbm.n_parameters, real, COMM)


# Cost and gradient ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighting", ["target", "uniform"])
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
@pytest.mark.parametrize("symmetry", ["none", "translation"])
def test_gradient_is_that_of_finite_differences(dtype: type, symmetry: str, weighting: Any) -> None:
    rbm, theta = random_rbm(5, dtype, symmetry, scale=0.2)
    spins = configurations(5)
    near = state_vector(rbm.at(theta + 0.1), spins)  # phases close to psi's, so that no difference is cut at pi
    data = enumerated(spins, logarithms(near * np.exp(0.3 * random_target(5))), weighting)
    found = whole(rbm, theta, data)
    assert found.cost > 0.01
    step = 1e-6
    for k in range(rbm.n_parameters):
        for direction in (1.0,) if dtype == np.float64 else (1.0, 1j):
            move = np.zeros_like(theta)
            move[k] = step * direction
            difference = (whole(rbm, theta + move, data).cost - whole(rbm, theta - move, data).cost) / (2 * step)
            assert difference == pytest.approx((np.conj(found.vector[k]) * direction).real, abs=2e-8)


def test_cost_is_the_mean_square_distance_of_the_logarithms() -> None:
    """Written out for a target that differs from psi by known factors; a common factor does not count."""
    rbm, theta = random_rbm(4, np.complex128, scale=0.2)
    spins = configurations(4)
    rng = np.random.default_rng(4)
    distance = 0.4 * (rng.standard_normal(16) + 1j * rng.standard_normal(16))
    target = state_vector(rbm.at(theta), spins) * np.exp(-distance) * 7.0 * np.exp(2.9j)
    data = enumerated(spins, logarithms(target), "target")
    weights = np.abs(target) ** 2 / np.sum(np.abs(target) ** 2)
    centred = distance - np.sum(weights * distance)
    cost, fidelity = evaluate(rbm.at(theta), data, COMM)
    assert cost == pytest.approx(0.5 * np.sum(weights * np.abs(centred) ** 2), rel=1e-12)
    psi = state_vector(rbm.at(theta), spins)
    assert fidelity == pytest.approx(abs(np.vdot(psi, target)) ** 2 / np.vdot(target, target).real, rel=1e-12)


def test_psi_itself_is_a_perfect_fit_whatever_its_phase() -> None:
    rbm, theta = random_rbm(5, np.complex128, scale=0.4)
    spins = configurations(5)
    for phase in np.linspace(0.0, 2.0 * np.pi, 9):
        data = enumerated(spins, logarithms(state_vector(rbm.at(theta), spins) * np.exp(1j * phase)), "uniform")
        cost, fidelity = evaluate(rbm.at(theta), data, COMM)
        assert cost < 1e-25 and fidelity == pytest.approx(1.0, abs=1e-13)
        assert np.linalg.norm(whole(rbm, theta, data).vector) < 1e-12


def test_zeros_of_the_target_count_in_the_fidelity_alone() -> None:
    rbm, theta = random_rbm(4, np.complex128, scale=0.2)
    target = random_target(4, n_zeros=6)
    data = enumerated(configurations(4), logarithms(target), "uniform")
    assert np.count_nonzero(data.weights) == 10
    cost, fidelity = evaluate(rbm.at(theta), data, COMM)
    psi = state_vector(rbm.at(theta), configurations(4))
    assert np.isfinite(cost)
    assert fidelity == pytest.approx(abs(np.vdot(psi, target)) ** 2 / np.vdot(target, target).real, rel=1e-12)
    with pytest.raises(InputError, match="vanishes everywhere"):
        enumerated(configurations(4), logarithms(np.zeros(16)), "uniform")


def test_minibatches_estimate_the_whole_gradient() -> None:
    """The mean over all batches of one row each, weighted by how often they are drawn, is close to the whole one.

    A batch of all rows with their weights is the whole one.
    """
    rbm, theta = random_rbm(5, np.complex128, scale=0.2)
    spins = configurations(5)
    target = state_vector(rbm.at(theta + 0.1), spins) * np.exp(0.2 * random_target(5))
    data = enumerated(spins, logarithms(target), "target")
    rows = np.random.default_rng(1).choice(32, size=40_000, p=data.weights)
    drawn = gradient(rbm.at(theta), data, rows, np.full(40_000, 1 / 40_000), rbm.n_parameters, False, COMM)
    exact = whole(rbm, theta, data)
    assert np.linalg.norm(drawn.vector - exact.vector) < 0.05 * np.linalg.norm(exact.vector)
    assert drawn.cost == pytest.approx(exact.cost, rel=0.05)


# Targets --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sublattices", [False, True])
def test_product_state_is_a_kronecker_product(sublattices: bool) -> None:
    signs = chain(4).sublattices() if sublattices else None
    state = product_state(4, 0.3, 0.4, signs)
    vector = np.ones(1, dtype=complex)
    for site in range(4):
        polar, azimuth = (0.7, 1.4) if sublattices and site % 2 else (0.3, 0.4)
        spin = np.array([np.cos(np.pi * polar / 2), np.exp(1j * np.pi * azimuth) * np.sin(np.pi * polar / 2)])
        vector = np.kron(spin, vector)
    np.testing.assert_allclose(np.exp(state.log_amplitudes(configurations(4))), vector, atol=1e-14)


def test_exact_target_is_the_ground_state_of_the_sector() -> None:
    job = make_job({"target": "exact"})
    data = make_data(job)
    basis = Basis.enumerate(8, 0)
    _, vector = ground_state(job.operator, basis)
    np.testing.assert_allclose(np.exp(data.log_target), vector, atol=1e-13)
    np.testing.assert_allclose(data.weights, vector**2, atol=1e-13)
    np.testing.assert_array_equal(data.spins, basis.spins)


def test_sampled_fidelity_estimates_the_enumerated_one() -> None:
    rbm, theta = random_rbm(6, np.complex128, scale=0.1)
    spins = configurations(6)
    target = product_state(6, 0.45, 0.1, None)
    exact = evaluate(rbm.at(theta), enumerated(spins, target.log_amplitudes(spins), "target"), COMM)
    drawn = target.draw(np.random.default_rng(3), 60_000)
    estimate = evaluate(rbm.at(theta), sampled(drawn, target.log_amplitudes(drawn)), COMM)
    assert estimate == pytest.approx(exact, rel=0.03)


@pytest.mark.parametrize("suffix", ["npz", "txt"])
def test_amplitudes_from_a_file(tmp_path: Any, suffix: str) -> None:
    """Configurations that the file leaves out have amplitude zero."""
    spins, amplitudes = configurations(8, 0)[:, ::2], random_target(8)[:35]
    path = tmp_path / f"target.{suffix}"
    if suffix == "npz":
        np.savez(path, spins=spins.T, amplitudes=amplitudes)
    else:
        np.savetxt(path, np.column_stack([spins.T, amplitudes.real, amplitudes.imag]))
    data = make_data(make_job({"target": "file", "source": str(path)}))
    assert len(data) == 70
    np.testing.assert_allclose(np.exp(data.log_target[::2]), amplitudes, atol=1e-14)
    assert np.all(data.weights[1::2] == 0)
    np.savez(tmp_path / "twice.npz", spins=np.tile(spins.T, (2, 1)), amplitudes=np.tile(amplitudes, 2))
    with pytest.raises(InputError, match="stands there twice"):
        make_data(make_job({"target": "file", "source": str(tmp_path / "twice.npz")}))
    np.savez(tmp_path / "wrong.npz", spins=spins.T)
    with pytest.raises(InputError, match="needs arrays spins and amplitudes"):
        make_data(make_job({"target": "file", "source": str(tmp_path / "wrong.npz")}))


def test_large_product_states_are_sampled() -> None:
    data = make_data(make_job({"target": "product", "polar": 0.4, "samples": 500}, "ising", 30))
    assert len(data) == 500 and data.spins.shape == (30, 500)
    with pytest.raises(InputError, match="the walkers keep the magnetisation"):
        make_data(make_job({"target": "product"}, "heisenberg", 30))
    with pytest.raises(InputError, match="at most 20 sites"):
        make_data(make_job({"target": "exact"}, "ising", 30))


# Whole fits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "ansatz"),
    [
        ("heisenberg", {"weights": "complex"}),
        ("heisenberg", {"weights": "real", "alpha": 4}),
        ("ising", {"weights": "real"}),
    ],
)
def test_fit_reaches_the_exact_ground_state(model: str, ansatz: dict[str, Any]) -> None:
    job = make_job({"epochs": 400, "learning_rate": 0.03}, model, ansatz=ansatz)
    assert job.config.fit is not None
    theta = job.ansatz.initial_parameters(np.random.default_rng(1))
    records = list(iterate_epochs(theta, job.ansatz, make_data(job), job.config.fit, 1, COMM))
    assert [record.epoch for record in records] == list(range(401))
    assert records[0].infidelity > 0.1
    assert records[-1].infidelity < 1e-3
    basis = Basis.enumerate(8, job.sampler.magnetization)
    vector = state_vector(job.ansatz.at(records[-1].theta), basis.spins)
    _, exact = ground_state(job.operator, basis)
    assert 1 - abs(np.vdot(vector, exact)) ** 2 == pytest.approx(records[-1].infidelity, rel=1e-6)


def test_minibatches_fit_a_complex_product_state() -> None:
    fit = {"target": "product", "polar": 0.4, "azimuth": 0.3, "epochs": 60, "batch_size": 32, "learning_rate": 0.01}
    ansatz = {"symmetry": "none", "alpha": 1, "visible_bias": True}
    job = make_job(fit, "ising", 6, ansatz=ansatz)
    assert isinstance(job.config.fit, FitSpec)
    theta = job.ansatz.initial_parameters(np.random.default_rng(1))
    records = list(iterate_epochs(theta, job.ansatz, make_data(job), job.config.fit, 1, COMM))
    assert records[-1].infidelity < 1e-3 < records[0].infidelity


def test_steps_that_are_too_large_end_in_a_clear_error() -> None:
    job = make_job({"optimizer": "sgd", "learning_rate": 1e3, "epochs": 50})
    assert job.config.fit is not None
    theta = job.ansatz.initial_parameters(np.random.default_rng(1))
    with pytest.raises(NumericalError):
        list(iterate_epochs(theta, job.ansatz, make_data(job), job.config.fit, 1, COMM))
