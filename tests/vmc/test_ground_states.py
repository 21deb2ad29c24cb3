"""Whole optimisations of small systems, from the input to the last step, against exact diagonalisation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from pvmc.estimators import EnergyStatistics
from pvmc.exact import Basis, ground_state, sparse_matrix
from pvmc.hamiltonians import Operator, PauliSum, X, Y, Z
from pvmc.mpi import SerialCommunicator
from pvmc.vmc.job import Job
from pvmc.vmc.loop import StepRecord
from tests.designs import slow_but
from tests.helpers import energy_of
from tests.jobs import job_of, records

COMM = SerialCommunicator()

SIGMAS = 4.0
"""A Gaussian leaves this many standard errors once in 16000 times."""

ROUNDING = 1e-7
"""Allowed besides, relative to E: so near to an eigenstate, few rare configurations carry all of the scatter."""

Tables = dict[str, Any]


def ring(length: int) -> Tables:
    return {"kind": "chain", "length": length}


def heisenberg(lattice: Tables, weights: str, **ansatz: Any) -> Tables:
    return tables(lattice, {"model": "heisenberg"}, weights, 0.15, **ansatz)


def ising(lattice: Tables, field: float, weights: str, **ansatz: Any) -> Tables:
    return tables(lattice, {"model": "ising", "field": field}, weights, 0.05, **ansatz)


def tables(lattice: Tables, hamiltonian: Tables, weights: str, learning_rate: float, **ansatz: Any) -> Tables:
    return {
        "lattice": lattice,
        "hamiltonian": hamiltonian,
        "ansatz": {"kind": "rbm", "alpha": 2, "weights": weights, **ansatz},
        "sampler": {"walkers": 128, "block_width": 32, "samples": 2048},
        "sr": {"learning_rate": learning_rate},
        "run": {"seed": 3},
    }


def sampled(tables: Tables, **sampler: Any) -> Tables:
    """The tables with other keys of the sampler."""
    return tables | {"sampler": tables["sampler"] | sampler}


@dataclass
class Outcome:
    """An optimisation: its records, a careful estimate of the final energy, and what it should be.

    Attributes:
        records: one per iteration.
        estimate: statistics of the energy at the final parameters, from 256 draws of each walker.
        energy: <psi|H|psi> at the final parameters by enumeration.
        ground: the exact ground state energy.
    """

    records: list[StepRecord]
    estimate: EnergyStatistics
    energy: float
    ground: float


def optimised(job: Job, iterations: int) -> Outcome:
    basis = Basis.enumerate(job.lattice.n_sites, job.config.sampler.fixed_magnetization)
    ground, _ = ground_state(job.operator, basis)
    steps = records(job, iterations, COMM)
    final = steps[-1].state
    energy = energy_of(job.ansatz.at(final.theta), sparse_matrix(job.operator, basis), basis.spins)
    thorough = replace(job, sampler=replace(job.sampler, n_draws=256))
    return Outcome(steps, records(thorough, 1, COMM, final)[0].energy, energy, ground)


def assert_ground_state_found(outcome: Outcome, accuracy: float) -> None:
    """The final psi is above the ground state by at most ``accuracy``; the estimates are true within their errors."""
    scale, estimate = abs(outcome.ground), outcome.estimate
    assert (outcome.energy - outcome.ground) / scale < accuracy
    assert outcome.energy > outcome.ground - 1e-12 * scale
    margin = SIGMAS * estimate.error + ROUNDING * scale
    assert abs(estimate.mean.real - outcome.energy) < margin
    assert estimate.mean.real > outcome.ground - margin, "below the variational bound"
    assert margin < 10 * accuracy * scale, "an estimate without meaning"
    imaginary_error = np.sqrt(estimate.variance * max(estimate.autocorrelation_time, 1.0) / estimate.n_samples)
    assert abs(estimate.mean.imag) < SIGMAS * imaginary_error + ROUNDING * scale
    assert estimate.r_hat < 1.1
    start = np.mean([record.energy.mean.real for record in outcome.records[:3]])
    assert start > outcome.ground + 10 * accuracy * scale, "nothing was left to do"


OPEN = {"kind": "chain", "length": 6, "periodic": False}
LADDER = {"kind": "rectangle", "size": [4, 2], "periodic": [True, False]}
CYLINDER = {"kind": "rectangle", "size": [4, 3], "periodic": [True, False]}
SQUARE = {"kind": "rectangle", "size": [3, 3]}

CASES: dict[str, tuple[Tables, int, float]] = {
    "Heisenberg ring of 8, complex": (heisenberg(ring(8), "complex"), 120, 1e-5),
    "Heisenberg ring of 8, real": (heisenberg(ring(8), "real"), 150, 1e-5),
    "Heisenberg ring of 6, no symmetry": (heisenberg(ring(6), "complex", symmetry="none"), 100, 1e-6),
    "Heisenberg ring of 12, complex": (heisenberg(ring(12), "complex"), 150, 1e-4),
    "Heisenberg ring of 12, real": (heisenberg(ring(12), "real"), 200, 1e-4),
    "Heisenberg ring of 8 in the space group": (heisenberg(ring(8), "complex", symmetry="space", alpha=4), 120, 1e-5),
    "Heisenberg open chain of 6": (heisenberg(OPEN, "real", symmetry="none", visible_bias=True), 120, 1e-5),
    "Heisenberg ladder 4 x 2": (heisenberg(LADDER, "complex"), 120, 1e-5),
    "Heisenberg cylinder 4 x 3": (heisenberg(CYLINDER, "real"), 200, 1e-3),
    "XXZ ring of 8, Delta = 0.5": (tables(ring(8), {"model": "xxz", "anisotropy": 0.5}, "complex", 0.15), 120, 1e-5),
    # Deep in the ordered phase one flip in thirty is accepted, so that sweeps must be long.
    "Ising ring of 8, h = 0.5": (sampled(ising(ring(8), 0.5, "real"), sweep=32), 250, 5e-4),
    "Ising ring of 8, h = 1": (ising(ring(8), 1.0, "real"), 250, 2e-4),
    "Ising ring of 8, h = 1, complex": (ising(ring(8), 1.0, "complex"), 200, 1e-4),
    "Ising ring of 8, h = 2": (ising(ring(8), 2.0, "complex"), 120, 1e-5),
    "Ising ring of 12, h = 1": (ising(ring(12), 1.0, "real"), 250, 5e-4),
    "Ising square 3 x 3, h = 2": (ising(SQUARE, 2.0, "complex"), 150, 1e-3),
}
"""Input, iterations, and the accuracy that the final psi must reach: several times what six other seeds reached."""

QUICK = ["Heisenberg open chain of 6", "Ising ring of 8, h = 2", "Ising square 3 x 3, h = 2"]


@pytest.mark.parametrize("name", slow_but(QUICK, CASES))
def test_the_ground_state_is_found(name: str) -> None:
    tables, iterations, accuracy = CASES[name]
    assert_ground_state_found(optimised(job_of(tables), iterations), accuracy)


def test_the_pseudo_inverse_finds_it_too() -> None:
    tables = heisenberg(ring(8), "complex") | {"sr": {"factorisation": "eigen", "learning_rate": 0.1, "cutoff": 1e-3}}
    assert_ground_state_found(optimised(job_of(tables), 100), 2e-3)


@pytest.mark.parametrize("magnetization", [2, -4])
def test_the_lowest_state_of_another_magnetization(magnetization: int) -> None:
    tables = sampled(heisenberg(ring(8), "complex"), magnetization=magnetization, moves={"exchange": 1.0})
    outcome = optimised(job_of(tables), 100)
    assert outcome.ground > -3.5  # the singlet has -3.651
    assert_ground_state_found(outcome, 1e-6)


@pytest.mark.slow
def test_a_complex_hamiltonian() -> None:
    """An open chain with a twist, J sum [-cos f (XX + YY) - sin f (XY - YX) + ZZ] / 4: the old spectrum, new phases."""
    twist, n_sites = 0.4, 6

    def bond(i: int, j: int) -> PauliSum:
        along, across = X(i) * X(j) + Y(i) * Y(j), X(i) * Y(j) - Y(i) * X(j)
        return 0.25 * (-np.cos(twist) * along - np.sin(twist) * across + Z(i) * Z(j))

    lattice = {"kind": "chain", "length": n_sites, "periodic": False}
    plain = job_of(sampled(heisenberg(lattice, "complex", symmetry="none", visible_bias=True, alpha=1), samples=4096))
    operator = Operator.from_pauli_sum(PauliSum.total(bond(i, i + 1) for i in range(n_sites - 1)), n_sites)
    twisted = replace(plain, operator=operator)
    basis = Basis.enumerate(n_sites, 0)
    assert not operator.is_real
    assert operator.conserves_magnetization
    outcome = optimised(twisted, 250)
    assert outcome.ground == pytest.approx(ground_state(plain.operator, basis)[0], abs=1e-10)
    vector = ground_state(operator, basis)[1]
    assert np.abs(vector.imag).max() > 0.1
    assert_ground_state_found(outcome, 1e-5)
