"""Levels of refinement, shared filters, and what an input that names next to nothing is given."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pvmc
from pvmc.config import RawInput, to_toml
from pvmc.io.reader import open_run
from pvmc.mpi import SerialCommunicator
from pvmc.sr import ConstantDamping
from pvmc.vmc.automatic import energy_scale
from pvmc.vmc.job import build_job
from pvmc.vmc.refinement import REFINEMENT, Refinement, RefineSpec
from pvmc.vmc.spec import JobConfig
from pvmc.wavefunctions import RBM
from pvmc.wavefunctions.sharing import TiedParameters
from tests.jobs import carry_out, job_of

COMM = SerialCommunicator()


def tables(lattice: dict[str, Any], hamiltonian: dict[str, Any], **sections: Any) -> dict[str, Any]:
    return {"lattice": lattice, "hamiltonian": hamiltonian, "ansatz": {"kind": "rbm"}} | sections


OPEN = {"kind": "chain", "length": 8, "periodic": False}
HEISENBERG = {"model": "heisenberg"}


# Levels ---------------------------------------------------------------------------------------------------------------


def levels_of(energies: np.ndarray[Any, Any], error: float, spec: RefineSpec) -> list[int]:
    refinement, memory, found = Refinement(spec), {}, []
    for energy in energies:
        memory = {REFINEMENT: refinement.after(memory, float(energy), error)}
        found.append(refinement.level(memory))
    return found


def test_a_falling_energy_stays_at_its_level_and_a_resting_one_is_refined() -> None:
    spec, error = RefineSpec(levels=2, window=20), 1e-3
    noise = np.random.default_rng(5).normal(scale=error, size=400)
    steps = np.arange(400)
    steep = -30.0 + 20.0 * np.exp(-steps / 8.0) - 1e-3 * steps  # a steep start, then one error in each iteration
    assert set(levels_of(steep + noise, error, spec)) == {0}
    resting = levels_of(noise - 30.0, error, spec)
    assert resting[38:40] == [0, 1], "two windows of 20"
    assert resting[79:81] == [2, 2] and resting[-1] == 3, "the last level is followed by the end, and by no other"
    rising = levels_of(-30.0 + 1e-3 * steps + noise, error, spec)
    assert rising[39] == 1


def test_rates_fall_with_the_levels_and_energies_that_are_no_numbers_do_not_count() -> None:
    refinement = Refinement(RefineSpec(levels=2, rate=0.5, window=8))
    memory: dict[str, Any] = {}
    factors = []
    for _ in range(60):
        assert np.array_equal(
            refinement.after(memory, np.nan, 1.0)[1:],
            (memory or {REFINEMENT: refinement.start()})[REFINEMENT][1:],
            equal_nan=True,
        )
        factors.append(refinement.factor(memory))
        memory = {REFINEMENT: refinement.after(memory, -1.0, 1e-3)}
    assert sorted(set(factors)) == [0.25, 0.5, 1.0] and refinement.has_converged(memory)


def test_a_run_ends_where_it_has_converged_and_says_what_it_gains(tmp_path: Path) -> None:
    quick = {"walkers": 64, "block_width": 16, "samples": 128}
    refine = {"levels": 1, "window": 8}
    job = job_of(tables(OPEN, HEISENBERG, sampler=quick, run={"refine": refine, "starts": 1}))
    assert carry_out(job, tmp_path / "run", COMM) == 0
    run = open_run(tmp_path / "run")
    assert run.status() == "finished" and "at the smallest learning rate E/N fell by" in run.message
    assert len(run.iteration) < job.config.run.n_iterations == 10000
    rates = run.series["learning_rate"]
    assert rates[-1] == 0.5 * rates[0]
    # The stored input repeats it, key by key.
    again = pvmc.job({name: table for name, table in run.config.items() if table is not None})
    assert carry_out(again, tmp_path / "again", COMM) == 0
    assert np.array_equal(open_run(tmp_path / "again").series["energy"], run.series["energy"])


# Shared filters -------------------------------------------------------------------------------------------------------


def test_filters_of_an_open_chain_have_a_weight_for_each_displacement() -> None:
    job = job_of(tables(OPEN, HEISENBERG))
    assert job.refinement is not None and job.refinement.tied is not None
    tied, rbm = job.refinement.tied.ansatz, job.ansatz
    assert isinstance(rbm, RBM) and tied.n_parameters == 4 * (15 + 1), "displacements -7 to 7, and a bias"
    theta = tied.initial_parameters(np.random.default_rng(1))
    weights = rbm.block(theta, "features").reshape(4, 8, 8)
    for offset in range(-7, 8):
        diagonal = np.diagonal(weights, offset, axis1=1, axis2=2)
        assert np.ptp(diagonal, axis=1).max() == 0
    assert len(np.unique(weights)) == 4 * 15


def test_log_derivatives_of_tied_parameters_are_finite_differences() -> None:
    rbm = RBM(np.arange(6)[None], 6, dtype=np.complex128, init_scale=0.2)
    rng = np.random.default_rng(3)
    groups = rng.permutation(np.arange(rbm.n_parameters) % 5)
    tied = TiedParameters(rbm, groups)
    theta = rbm.initial_parameters(rng)
    spins = rng.choice(np.array([-1, 1], dtype=np.int8), size=(6, 4))
    psi = tied.at(theta)
    found = psi.log_derivatives(spins, psi.lookup(spins))
    step = 1e-5
    for k in range(5):
        shift = tied.expanded(step * np.eye(5)[k])
        slope = (tied.at(theta + shift).log_psi(spins) - tied.at(theta - shift).log_psi(spins)) / (2 * step)
        assert np.abs(found[k] - slope).max() < 1e-8


def test_filters_move_together_until_they_are_freed() -> None:
    refine = {"levels": 3, "window": 8, "rate": 1.0}
    sampler = {"walkers": 64, "block_width": 16, "samples": 64}
    job = job_of(tables(OPEN, HEISENBERG, sampler=sampler, run={"refine": refine, "iterations": 400}))
    rbm = job.ansatz
    assert isinstance(rbm, RBM) and job.refinement is not None
    seen = set()
    for record in itertools.islice(pvmc.iterate(job, COMM), 150):
        features = rbm.block(record.state.theta, "features").reshape(-1, 8, 8)
        spread = max(float(np.ptp(np.diagonal(f, k))) for f in features for k in range(-7, 8))
        is_tied = job.refinement.tied_at(record.state.memory) is not None
        seen.add(is_tied)
        if is_tied:
            assert spread < 1e-12
    assert seen == {True, False} and spread > 1e-6


# What is chosen -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lattice", "model", "symmetry", "weights", "shared"),
    [
        (OPEN, HEISENBERG, "none", "real", True),
        ({"kind": "chain", "length": 8}, HEISENBERG, "translation", "complex", False),
        ({"kind": "rectangle", "size": [3, 4], "periodic": False}, HEISENBERG, "space", "real", False),
        (OPEN, {"model": "j1j2", "j2": 0.6}, "none", "complex", True),
        ({"kind": "chain", "length": 8}, {"model": "ising", "field": {"seed": 1, "width": 8.0}}, "none", "real", False),
        ({"kind": "graph", "edges": [[0, 1], [1, 2]]}, {"model": "ising"}, "none", "real", False),
    ],
)
def test_what_an_input_without_details_is_given(
    lattice: dict[str, Any], model: dict[str, Any], symmetry: str, weights: str, shared: bool
) -> None:
    ansatz = job_of(tables(lattice, model)).config.ansatz
    assert (ansatz.symmetry, ansatz.weights, bool(ansatz.shared_filters)) == (symmetry, weights, shared)  # type: ignore[union-attr]


@pytest.mark.parametrize("lattice", [OPEN, {"kind": "chain", "length": 8}])
def test_a_run_of_before_goes_on_with_its_input(lattice: dict[str, Any]) -> None:
    """It has no key of shared filters, and gets none."""
    ansatz = {"kind": "rbm", "alpha": 1, "symmetry": "none", "weights": "complex"}
    stored = tables(lattice, HEISENBERG, ansatz=ansatz, sr={"learning_rate": 0.1})
    job = build_job(JobConfig.model_validate(stored), RawInput(stored, "", "run.h5", stored=True))
    assert "shared_filters" not in to_toml(job.config), "else its input would be another one"
    assert "shared_filters" not in to_toml(job_of(tables({"kind": "chain", "length": 8}, HEISENBERG)).config)


def test_keys_that_are_given_stay() -> None:
    given = {"kind": "rbm", "alpha": 1, "symmetry": "none", "weights": "complex", "shared_filters": False}
    sr = {"shift": 0.5, "momentum": {"mu": 0.5}}
    config = job_of(tables(OPEN, HEISENBERG, ansatz=given, sr=sr, sampler={"samples": 2048})).config
    assert config.ansatz.model_dump(include=set(given)) == given
    assert config.sr.relative_shift(7) == 0.5 and config.sr.momentum is not None and config.sr.momentum.mu == 0.5
    assert config.sampler.samples == 2048 and config.sampler.growth is None  # type: ignore[union-attr]
    assert config.run.refine is not None and config.run.refine.ends_run
    fixed = job_of(tables(OPEN, HEISENBERG, sr={"learning_rate": 0.1})).config
    assert fixed.run.refine is None and fixed.run.n_iterations == 500 and fixed.sr.relative_shift(0) == 100.0


def test_the_scale_of_energy_is_that_of_flips_unless_the_diagonal_is_far_stronger() -> None:
    def scale(model: dict[str, Any]) -> float:
        return energy_scale(job_of(tables(OPEN, model)).config.hamiltonian.build(job_of(tables(OPEN, model)).lattice))

    assert scale({"model": "heisenberg"}) == 0.25
    assert scale({"model": "ising", "field": 0.5}) == 0.5
    assert scale({"model": "ising", "field": 1e-9}) == 1.0 / 8.0
    assert scale({"model": "xxz", "anisotropy": 1.5}) == 0.25


def test_damping_and_levels_multiply() -> None:
    job = job_of(tables(OPEN, HEISENBERG, sampler={"walkers": 64, "block_width": 16, "samples": 64}))
    first = next(pvmc.iterate(job, COMM))
    from pvmc.vmc.loop import iterate
    from pvmc.vmc.start import initial_state

    state = initial_state(job, COMM)
    parts = job.ansatz, job.operator, job.sampler, job.solver, COMM
    damped = next(iterate(state, *parts, damping=ConstantDamping(1.0, 0.5), refinement=job.refinement))
    assert damped.step.learning_rate <= 0.5 * first.step.learning_rate * (1 + 1e-12)
