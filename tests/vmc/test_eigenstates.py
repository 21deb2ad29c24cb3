"""A run that has found an eigenstate ends well, and one whose samples only look like it does not."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pvmc.estimators import EnergyStatistics, Leak
from pvmc.hamiltonians import Operator, PauliSum, X, Z
from pvmc.io.reader import open_run
from pvmc.mpi import SerialCommunicator
from pvmc.results.facts import RunFacts, read_facts
from pvmc.results.status import status_text
from pvmc.sampler import Walkers
from pvmc.sr import Step
from pvmc.vmc.checkpoints import SavedRun
from pvmc.vmc.guard import spectrum_bounds
from pvmc.vmc.loop import State, StepRecord
from pvmc.vmc.pieces import Round
from pvmc.vmc.stop import Eigenstate
from tests.designs import slow_but
from tests.jobs import Tables, carry_out, job_of

COMM = SerialCommunicator()
N = 4
UP = np.ones((1, N, 8), np.int8)


def ring(field: float) -> PauliSum:
    """A ferromagnetic Ising ring of four sites in a transverse field."""
    return sum((-1.0 * Z(i) * Z((i + 1) % N) for i in range(N)), sum((-field * X(i) for i in range(N)), 0.0 * Z(0)))


def watch(field: float = 0.0, *, is_exact: bool = False, exact: float | None = None) -> Eigenstate:
    terms = ring(field)
    operator = Operator.from_pauli_sum(terms, N)
    return Eigenstate(operator, spectrum_bounds(terms), is_exact=is_exact, exact=exact)


def record(iteration: int, energy: float, variance: float, smeared: float | None) -> StepRecord:
    statistics = EnergyStatistics(energy + 0j, 0.0, variance, 1.0, 1.0, 0.0, 0.0, 100, 100.0)
    state = State(iteration + 1, np.zeros(1), Walkers(UP, 0))
    leak = None if smeared is None else Leak(energy, 0.0, smeared, 0.0, smeared, 0.0)
    return StepRecord(iteration, statistics, Step(np.zeros(1), 0.1, 0.0, 0.0, 0, 0.0, 0.0), state, None, {}, leak)


def found(
    eigenstate: Eigenstate, n: int = 25, energy: float = -4.0, variance: float = 0.0, smeared: float = 1.0
) -> tuple[int, str]:
    """How many iterations with these numbers, all walkers up, are made until the run ends (n: it does not), and why; a
    leak test after each tenth."""
    for iteration in range(n):
        done = Round(record(iteration, energy, variance, smeared if iteration % 10 == 9 else None))
        eigenstate.after(done, COMM)
        if done.converged:
            return iteration + 1, done.converged
    return n, ""


def test_configurations_that_are_eigenstates_end_a_run() -> None:
    """Whatever the leak test sees beside them: psi is small there, and no sample shows it."""
    assert found(watch()) == (20, "eigenstate: variance 0 over the last 20 iterations, the lowest that H can have")


@pytest.mark.parametrize("field", [1e-5, 1.0])
def test_a_collapse_onto_configurations_that_h_leaves_is_none(field: float) -> None:
    """All samples have one local energy, that of the configuration, which a transverse field connects with others."""
    assert found(watch(field)) == (25, "")


def test_the_leak_test_or_all_configurations_show_an_eigenstate() -> None:
    assert found(watch(1.0), smeared=1e-20)[0] == 20
    assert found(watch(1.0, is_exact=True))[0] == 20


@pytest.mark.parametrize("variance", [1e-12, 1.0])
def test_variance_that_remains_is_no_eigenstate(variance: float) -> None:
    """Such as that of walkers on configurations with several energies."""
    assert found(watch(), variance=variance) == (25, "")


def test_one_sample_that_is_elsewhere_begins_the_count_again() -> None:
    eigenstate = watch()
    assert found(eigenstate, n=19) == (19, "")
    for iteration in range(19, 50):
        done = Round(record(iteration, -4.0, 0.016 if iteration == 19 else 0.0, None))
        eigenstate.after(done, COMM)
        assert bool(done.converged) == (iteration >= 39)


def test_which_level_it_is() -> None:
    """An excited one is none that the run was looking for, and it says so."""
    assert found(watch(), energy=0.0)[1].endswith("iterations, not shown to be the lowest")
    assert found(watch(exact=0.0), energy=0.0)[1].endswith("iterations, the exact ground state energy")
    text = found(watch(exact=-4.0), energy=0.0)[1]
    assert text.endswith("an excited state: the exact ground state energy is -4, this one 0")


def test_a_resumed_run_ends_where_an_uninterrupted_one_does() -> None:
    eigenstate, n = watch(), 12
    series = {"iteration": np.arange(n), "energy": np.full(n, -4.0), "variance": np.zeros(n)}
    series["variance_smeared"] = np.full(n, np.nan)
    eigenstate.restored(SavedRun(State(n, np.zeros(1), Walkers(UP, 0)), {}, series))
    assert eigenstate.found(Walkers(UP, 0), COMM) == ""
    for iteration in range(n, 20):
        done = Round(record(iteration, -4.0, 0.0, None))
        eigenstate.after(done, COMM)
    assert done.converged


# On runs --------------------------------------------------------------------------------------------------------------


def tables(lattice: Tables, hamiltonian: Tables, **others: Any) -> Tables:
    ansatz = {"kind": "rbm", "alpha": 1, "symmetry": "none", "weights": "complex"}
    sampler = {"walkers": 64, "block_width": 16, "samples": 256} | others.pop("sampler", {})
    return {"lattice": lattice, "hamiltonian": hamiltonian, "ansatz": ansatz, "sampler": sampler} | others


def frustrated_square(size: int, seed: int) -> tuple[Tables, float]:
    """Edwards-Anderson couplings +-1 on a periodic square, and the lowest energy of sum J_ij sigma^z_i sigma^z_j."""
    rng, n = np.random.default_rng(seed), size * size
    site = np.arange(n).reshape(size, size)
    pairs = [np.stack([site, np.roll(site, -1, axis)], axis=-1).reshape(-1, 2) for axis in (0, 1)]
    edges = [[int(i), int(j), float(rng.choice([-1, 1]))] for i, j in np.concatenate(pairs)]
    spins = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
    lowest = sum(strength * spins[:, i] * spins[:, j] for i, j, strength in edges).min()
    return {"kind": "graph", "edges": edges}, float(lowest)


CHAIN: Tables = {"kind": "chain", "length": 8}
ISING: Tables = {"model": "ising"}
SQUARE, LOWEST = frustrated_square(3, 3)
MODES, LOWEST_MODE = frustrated_square(3, 1)
FAST = {"sr": {"learning_rate": 0.1}}
CASES: dict[str, tuple[Tables, float]] = {
    "no field": (tables(CHAIN, ISING | {"field": 0.0}), -8.0),
    "next to no field": (tables(CHAIN, ISING | {"field": 1e-9}, **FAST), -8.0),
    "a diagonal Hamiltonian": (tables(CHAIN, ISING | {"field": 0.0, "longitudinal": 0.5}), -12.0),
    "antiferromagnet": (tables(CHAIN, ISING | {"coupling": -1.0, "field": 0.0}, **FAST), -8.0),
    "spin glass": (tables(SQUARE, ISING | {"coupling": -1.0, "field": 0.0}, **FAST), LOWEST),
    "a spin glass with walkers in two minima": (
        tables(MODES, ISING | {"coupling": -1.0, "field": 0.0}, **FAST),
        LOWEST_MODE,
    ),
    "polarised": (tables(CHAIN, {"model": "heisenberg", "field": 3.0}), 2.0 - 12.0),
}


QUICK = ("no field", "next to no field", "spin glass", "polarised")


@pytest.mark.parametrize("name", slow_but(QUICK, CASES))
def test_a_run_that_finds_an_eigenstate_ends_well(name: str, tmp_path: Path) -> None:
    """With code 0, the exact energy, and its reason in the results; status and analyze see nothing wrong with it."""
    given, exact = CASES[name]
    job = job_of(given | {"run": {"iterations": 600, "seed": 2}})
    assert carry_out(job, tmp_path, COMM) == 0
    run, facts = open_run(tmp_path), read_facts(tmp_path)
    assert isinstance(facts, RunFacts) and facts.state == "finished" and facts.symptoms == ()
    assert len(run.iteration) < 600 and run.retries == 0
    assert "converged: eigenstate: variance 0 over the last 20 iterations, the" in status_text(facts)
    assert facts.energy is not None and facts.energy_error is not None
    assert math.isclose(facts.energy * run.n_sites, exact, rel_tol=1e-9)
    assert facts.energy_error < 1e-8 and facts.averaged >= 20


def test_a_run_that_has_found_one_has_nothing_left_to_do(tmp_path: Path) -> None:
    job = job_of(CASES["no field"][0])
    assert carry_out(job, tmp_path, COMM) == 0
    energies = open_run(tmp_path).series["energy"]
    assert carry_out(job, tmp_path, COMM, resume=True) == 0
    assert open_run(tmp_path).series["energy"].tolist() == energies.tolist()


NEXT_TO_ONE: dict[str, tuple[Tables, float, float]] = {
    "weak field": (tables(CHAIN, ISING | {"field": 1e-3}, **FAST), -8.0 * (1 + 1e-6 / 4), 1e-5),
    "polarised by its moves": (
        tables(CHAIN, {"model": "heisenberg", "field": 3.0}, sampler={"moves": {"flip": 1.0}}, **FAST),
        2.0 - 12.0,
        1e-2,
    ),
    "along x": (tables(CHAIN, ISING | {"coupling": 0.0}, **FAST), -8.0, 1e-5),
}


@pytest.mark.parametrize("name", slow_but(("weak field",), NEXT_TO_ONE))
def test_next_to_an_eigenstate_a_run_is_left_alone(name: str, tmp_path: Path) -> None:
    """Hardly any sample differs; the energy of one that does is no collapse, and no explosion."""
    given, exact, accuracy = NEXT_TO_ONE[name]
    job = job_of(given | {"run": {"iterations": 250, "retries": 0}})
    assert carry_out(job, tmp_path, COMM) == 0
    assert abs(float(np.median(open_run(tmp_path).series["energy"][-100:])) / exact - 1.0) < accuracy
