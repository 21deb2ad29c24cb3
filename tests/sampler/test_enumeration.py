"""Enumeration in place of sampling: expectation values, forces and SR without noise."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from pvmc.estimators import estimate, reduce_moments
from pvmc.exact import Basis, ground_state
from pvmc.mpi import SerialCommunicator
from pvmc.sampler import Enumeration, advance
from pvmc.vmc.job import Job
from pvmc.vmc.loop import StepRecord, iterate
from pvmc.vmc.start import initial_state
from tests.helpers import compiled_matrix, configurations, energy_of, enumerated_moments, labels_of
from tests.jobs import job_of

pytestmark = pytest.mark.exact

COMM = SerialCommunicator()


def make_job(model: str = "heisenberg", length: int = 8, **sections: dict[str, Any]) -> Job:
    tables: dict[str, Any] = {
        "lattice": {"kind": "chain", "length": length},
        "hamiltonian": {"model": model},
        "ansatz": {"kind": "rbm", "alpha": 1, "init_scale": 0.2} | sections.get("ansatz", {}),
        "sampler": {"kind": "exact", "block_width": 16} | sections.get("sampler", {}),
        "sr": {"learning_rate": 0.1, "shift": 1e-4} | sections.get("sr", {}),
    }
    return job_of(tables)


def records(job: Job, n: int) -> list[StepRecord]:
    state = initial_state(job, COMM)
    return list(itertools.islice(iterate(state, job.ansatz, job.operator, job.sampler, job.solver, COMM), n))


@pytest.mark.parametrize("n_blocks", [1, 2, 5])
def test_every_configuration_stands_in_one_block(n_blocks: int) -> None:
    basis = Basis.enumerate(6, 0)
    sampler = Enumeration(basis, 4, 0)
    assert sampler.n_blocks == 5 and len(basis) == 20
    padded = Enumeration(basis, 8, 0)
    walkers = padded.start(range(padded.n_blocks), COMM)
    assert walkers.spins.shape == (3, 6, 8)
    flat = walkers.spins.transpose(1, 0, 2).reshape(6, -1)
    np.testing.assert_array_equal(flat[:, :20], basis.spins)
    part = padded.start(range(1, 3), COMM)
    np.testing.assert_array_equal(part.spins, walkers.spins[1:])
    assert sampler.walker_bytes(5, 6) == 0, "nothing that a rank keeps from one iteration to the next"


@pytest.mark.parametrize("weights", ["real", "complex"])
@pytest.mark.parametrize(("model", "magnetization"), [("heisenberg", 0), ("ising", None)])
@pytest.mark.parametrize("block_width", [7, 64])
def test_energy_force_and_tensor_are_exact(
    model: str, magnetization: int | None, weights: str, block_width: int
) -> None:
    """Against <psi|H|psi> with the dense matrix, and against weighted sums made independently."""
    job = make_job(model, ansatz={"weights": weights}, sampler={"block_width": block_width})
    state = initial_state(job, COMM)
    psi = job.ansatz.at(state.theta)
    walk, real = job.sampler.walk(state.walkers, psi, 0), weights == "real"
    batch = estimate(walk, job.operator, psi, job.ansatz.n_parameters, COMM, real_parameters=real)
    moments = reduce_moments(batch, COMM, n_sites=8, infinite_temperature=0.0)
    spins = configurations(8, magnetization)
    rows = labels_of(spins)
    matrix = compiled_matrix(job.operator)
    energy = energy_of(psi, matrix[np.ix_(rows, rows)], spins)
    assert moments.energy.mean.real == pytest.approx(energy, abs=1e-12)
    assert moments.energy.mean.imag == pytest.approx(0.0, abs=1e-12)
    square = energy_of(psi, (matrix @ matrix)[np.ix_(rows, rows)], spins)
    assert moments.energy.variance == pytest.approx(square - energy**2, abs=1e-10)
    assert moments.energy.error == 0.0 and moments.energy.n_samples == spins.shape[1]
    expected = enumerated_moments(job.ansatz, state.theta, job.operator, spins)  # type: ignore[arg-type]
    np.testing.assert_allclose(moments.force, expected.force, rtol=0, atol=1e-12)
    np.testing.assert_allclose(moments.tensor, expected.tensor, rtol=0, atol=1e-12)


def test_sr_without_noise_goes_down_to_the_ground_state() -> None:
    """Every step lowers the energy, the same run gives the same bytes, and the end is the exact ground state."""
    job = make_job("ising", 6, ansatz={"alpha": 2, "weights": "real"}, sr={"learning_rate": 0.03})
    first, second = records(job, 400), records(job, 400)
    energies = np.array([record.energy.mean.real for record in first])
    assert np.all(np.diff(energies) < 1e-12)
    np.testing.assert_array_equal(first[-1].state.theta, second[-1].state.theta)
    exact, _ = ground_state(job.operator, Basis.enumerate(6))
    assert 0 <= energies[-1] - exact < 1e-4 * abs(exact)
    assert first[-1].energy.variance < 1e-3


def test_a_configuration_where_psi_vanishes_does_not_count() -> None:
    """ln psi = -inf has weight zero and spoils no average."""
    job = make_job()
    state = initial_state(job, COMM)
    psi = job.ansatz.at(state.theta)
    _, samples = advance(job.sampler, state.walkers, psi, 0)
    assert samples.log_weights is not None
    whole = estimate(samples, job.operator, psi, job.ansatz.n_parameters, COMM, real_parameters=False)
    assert whole.weights is not None
    samples.log_weights[0, 0, 3] = -np.inf
    samples.lookup[0, 0, :, 3] = np.nan  # and with it the local energy and the derivatives
    weights = whole.weights[0].copy()
    weights[3] = 0.0
    expected = np.sum(weights * whole.energies[0]) / weights.sum()
    batch = estimate(samples, job.operator, psi, job.ansatz.n_parameters, COMM, real_parameters=False)
    moments = reduce_moments(batch, COMM, n_sites=8, infinite_temperature=0.0)
    assert moments.energy.mean == pytest.approx(expected, abs=1e-12)
    assert np.all(np.isfinite(moments.tensor)) and np.all(np.isfinite(moments.force))
    assert moments.energy.n_samples == 69
