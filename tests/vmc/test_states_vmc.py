"""Whole optimisations with other wave functions, against exact diagonalisation and closed formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.linalg import eigh

from pvmc.exact.lanczos import sparse_matrix
from pvmc.mpi import SerialCommunicator
from pvmc.spins.configurations import Basis
from pvmc.vmc.job import Job
from pvmc.vmc.sectors import find_job_reference
from tests.designs import designed, slow_but
from tests.helpers import energy_of, state_vector
from tests.jobs import job_of, records

SAMPLER = {"walkers": 128, "block_width": 128, "samples": 512}
SR = {"learning_rate": {"initial": 0.1}, "shift": {"initial": 1.0, "decay": 0.9, "minimum": 1e-3}}


def make(lattice: dict[str, Any], hamiltonian: dict[str, Any], ansatz: dict[str, Any], **run: Any) -> Job:
    tables = {
        "lattice": lattice,
        "hamiltonian": hamiltonian,
        "ansatz": ansatz,
        "sampler": SAMPLER,
        "sr": SR,
        "run": {"seed": 3, **run},
    }
    return job_of(tables)


def ring(length: int) -> dict[str, Any]:
    return {"kind": "chain", "length": length}


def basis_of(job: Job) -> Basis:
    return Basis.enumerate(job.lattice.n_sites, job.config.sampler.fixed_magnetization)


def optimised(job: Job, n_iterations: int) -> tuple[float, Any]:
    """The energy <H> of the final psi by enumeration, and psi on the basis."""
    last = records(job, n_iterations, SerialCommunicator())[-1]
    psi, basis = job.ansatz.at(last.state.theta), basis_of(job)
    return energy_of(psi, sparse_matrix(job.operator, basis), basis.spins), state_vector(psi, basis.spins)


def sector_energy(job: Job, symmetries: list[tuple[Any, int, complex]]) -> float:
    """Lowest energy among the states with psi(sign s[perm]) = chi psi(s) for every (perm, sign, chi), by dense ED.

    Other states are lifted above everything by a penalty, so that no projector is shared with the code under test.
    """
    basis = basis_of(job)
    matrix = sparse_matrix(job.operator, basis).toarray().astype(np.complex128)
    penalty = np.zeros_like(matrix)
    for permutation, sign, character in symmetries:
        image = basis.index(basis.labels_of(np.ascontiguousarray(sign * basis.spins[permutation]).astype(np.int8)))
        symmetry = np.zeros_like(matrix)
        symmetry[np.arange(len(basis)), image] = 1.0
        difference = symmetry - character * np.eye(len(basis))
        penalty += difference.conj().T @ difference
    np.testing.assert_allclose(penalty @ matrix, matrix @ penalty, atol=1e-10)  # they are symmetries of H
    energies = eigh(matrix + 1e3 * penalty, eigvals_only=True, subset_by_index=[0, 0])
    return float(energies[0])


def step(length: int) -> Any:
    return (np.arange(length) + 1) % length


@designed(strength=1, field=[1.0, 5.0], weights=["real", "complex"])
def test_mean_field_energy_of_the_ising_ring(field: float, weights: str) -> None:
    """E/N = -J - h^2/(4J) below h = 2J (ordered), -h above; at h = 5J within 1.1 per cent of the exact energy."""
    job = make(ring(8), {"model": "ising", "field": field}, {"kind": "mean_field", "weights": weights})
    energy, _ = optimised(job, 150)
    expected = -1.0 - field**2 / 4 if field < 2 else -field
    assert energy / 8 == pytest.approx(expected, abs=2e-3)
    exact = sector_energy(job, [])
    assert energy > exact
    if field > 2:
        assert energy / exact > 0.989


def test_jastrow_of_the_ising_ring_beats_mean_field() -> None:
    job = make(ring(8), {"model": "ising", "field": 1.0}, {"kind": "jastrow", "weights": "real"})
    energy, _ = optimised(job, 150)
    exact = sector_energy(job, [])
    assert 0 < (energy - exact) / abs(exact) < 2e-3
    assert energy / 8 < -1.25 - 1e-2


def test_jastrow_of_four_spins_is_exact() -> None:
    """On a Heisenberg ring of 4 sites, Marshall-rotated, two configurations differ: v at one distance is enough."""
    job = make(ring(4), {"model": "heisenberg"}, {"kind": "jastrow", "weights": "real"})
    energy, _ = optimised(job, 150)
    assert energy == pytest.approx(-2.0, abs=1e-6)


@pytest.mark.slow
def test_rbm_with_jastrow_is_at_least_as_good_as_either() -> None:
    rbm: dict[str, Any] = {"kind": "rbm", "alpha": 1, "weights": "real"}
    jastrow: dict[str, Any] = {"kind": "jastrow", "weights": "real"}
    model = {"model": "heisenberg"}
    energies = {
        name: optimised(make(ring(8), model, ansatz), 150)[0]
        for name, ansatz in {
            "rbm": rbm,
            "jastrow": jastrow,
            "product": {"kind": "product", "factors": [rbm, jastrow]},
        }.items()
    }
    exact = -3.651093408937174  # Bethe ansatz
    assert energies["product"] > exact
    assert energies["product"] < min(energies["rbm"], energies["jastrow"]) + 1e-4
    assert (energies["product"] - exact) / abs(exact) < 1e-3


def projected(inner: dict[str, Any] | None = None, **numbers: Any) -> dict[str, Any]:
    rbm = {"kind": "rbm", "alpha": 2, "symmetry": "none", "init_scale": 0.2}
    return {"kind": "projected", **numbers, "inner": inner or rbm}


def test_reference_of_a_run_is_that_of_its_sector() -> None:
    """By another route than the penalty above; the momenta of an 8-ring one by one, real and complex."""
    model = {"model": "heisenberg", "marshall": False}
    for n in range(8):
        job = make(ring(8), model, projected(momentum=n))
        reference = find_job_reference(job)
        assert reference is not None and ("sector" in reference.method) == (n != 0)  # that of the ground state is 0
        exact = sector_energy(job, [(step(8), 1, np.exp(-2j * np.pi * n / 8))])
        assert reference.energy == pytest.approx(exact, abs=1e-9)
    job = make(ring(8), {"model": "ising"}, projected(momentum=4, parity=-1, spin_flip=-1))
    exact = sector_energy(job, [(step(8), 1, -1), (np.arange(8)[::-1], 1, -1), (np.arange(8), -1, -1)])
    reference = find_job_reference(job)
    assert reference is not None and reference.energy == pytest.approx(exact, abs=1e-9)


def test_no_reference_where_the_sector_is_empty_or_none() -> None:
    """Three sites have no state that translations leave alone and a mirror turns over."""
    empty = make(ring(3), {"model": "ising"}, projected(momentum=0, parity=-1))
    assert find_job_reference(empty) is None
    given = make(ring(3), {"model": "ising"}, projected(momentum=0), reference=-4.5)
    reference = find_job_reference(given)
    assert reference is not None and reference.energy == -4.5


@pytest.mark.parametrize(("length", "is_ground_state"), slow_but([(6, True)], [(6, True), (8, False)], several=True))
def test_momentum_pi_of_the_heisenberg_ring(length: int, is_ground_state: bool) -> None:
    """Without the Marshall rotation: the ground state of 6 sites, the lowest triplet of 8 (ground state: k = 0)."""
    model = {"model": "heisenberg", "marshall": False}
    job = make(ring(length), model, projected(momentum=length // 2), reference="none")
    exact = sector_energy(job, [(step(length), 1, -1.0)])
    lowest = sector_energy(job, [])
    assert (exact < lowest + 1e-9) == is_ground_state
    energy, vector = optimised(job, 200)
    assert exact - 1e-9 < energy < exact + 2e-3 * abs(exact)
    basis = basis_of(job)
    image = basis.index(basis.labels_of(np.ascontiguousarray(basis.spins[step(length)])))
    assert np.vdot(vector, vector[image]) == pytest.approx(-1.0, abs=1e-10)


@pytest.mark.slow
def test_odd_spin_flip_sector_of_the_ising_ring() -> None:
    """The lowest state with prod sigma^x = -1, whose amplitudes have both signs although the weights are real."""
    inner = {"kind": "rbm", "alpha": 2, "weights": "real", "visible_bias": True, "init_scale": 0.2}
    job = make(ring(8), {"model": "ising", "field": 1.0}, projected(inner, spin_flip=-1), reference="none")
    exact, even = sector_energy(job, [(np.arange(8), -1, -1.0)]), sector_energy(job, [(np.arange(8), -1, 1.0)])
    assert exact > even + 0.1
    energy, vector = optimised(job, 200)
    assert exact - 1e-9 < energy < exact + 1e-3 * abs(exact)
    np.testing.assert_allclose(vector[::-1], -vector, atol=1e-12)


@pytest.mark.slow
def test_complex_momentum_of_a_heisenberg_ring() -> None:
    """k = 2 pi/6: complex characters; the lowest state of its sector."""
    model = {"model": "heisenberg", "marshall": False}
    job = make(ring(6), model, projected(momentum=1), reference="none")
    exact = sector_energy(job, [(step(6), 1, np.exp(-2j * np.pi / 6))])
    energy, _ = optimised(job, 200)
    assert exact - 1e-9 < energy < exact + 2e-3 * abs(exact)
