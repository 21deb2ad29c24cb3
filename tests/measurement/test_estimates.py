"""Sampled expectation values and their errors against those of the same state by enumeration: right, and honest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from pvmc.io.measurement import Estimate, Measurement
from pvmc.io.reader import Run, open_run
from pvmc.measurement.measuring import enumerated, measure
from pvmc.measurement.plan import MeasureRequest
from pvmc.measurement.registry import local_values, names_of
from pvmc.measurement.smeared_variance import energy_estimates
from pvmc.mpi import SerialCommunicator
from pvmc.sampler import Enumeration
from pvmc.vmc.job import Job
from pvmc.vmc.recorder import RunRequest
from pvmc.vmc.run import run
from tests.designs import repeats, slow_but
from tests.helpers import all_pass, two_sided
from tests.jobs import job_of

LEVEL = 1e-3

CASES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "fixed magnetization": ({"kind": "chain", "length": 8}, {"model": "heisenberg"}, {}),
    "long memory": ({"kind": "chain", "length": 8}, {"model": "ising", "field": 0.9}, {"sweep": 1}),
    "two dimensions": ({"kind": "rectangle", "size": [3, 3]}, {"model": "ising", "field": 2.0}, {"power": 1.5}),
}
"""Lattice, Hamiltonian and sampler.  The run that a measurement begins with has just begun itself, so that walkers need
a long burn-in before they follow |psi|^2, and seeds are independent of each other."""

ITERATIONS = {"fixed magnetization": 30, "long memory": 5, "two dimensions": 5}
"""The V-score divides by E^2: its error is linear where E is many errors away from zero, as after 30 iterations."""


def measured(case: str, directory: Path, n_seeds: int) -> tuple[dict[str, Estimate], list[Measurement]]:
    """The same parameters: estimates by enumeration, and measurements by sampling with many seeds."""
    lattice, hamiltonian, sampler = CASES[case]
    tables: dict[str, Any] = {
        "lattice": lattice,
        "hamiltonian": hamiltonian,
        "ansatz": {"kind": "rbm", "alpha": 1, "symmetry": "none", "init_scale": 0.3},
        "sampler": {"walkers": 64, "block_width": 32, "samples": 1024, "burn_in": 300, **sampler},
        "run": {"iterations": ITERATIONS[case]},
    }
    serial = SerialCommunicator()
    job = job_of(tables)
    assert run(RunRequest(job, "", directory / "run"), serial) == 0
    for seed in range(n_seeds):
        assert measure(MeasureRequest(directory / "run", samples=2048, seed=seed), serial) == 0
    found = open_run(directory / "run")
    tables["sampler"] = {"kind": "exact"}
    enumeration = job_of(tables)
    return enumerated_estimates(enumeration, found), found.measurements


def enumerated_estimates(job: Job, found: Run) -> dict[str, Estimate]:
    """Every observable of the last saved parameters, without statistical error."""
    serial, sampler = SerialCommunicator(), job.sampler
    assert isinstance(sampler, Enumeration)
    observables, psi = local_values(names_of([], job), job), job.ansatz.at(found.parameters())
    walkers = sampler.start(range(sampler.n_blocks), serial)
    means, energy = enumerated(sampler, walkers, psi, job, observables, serial)
    estimates = energy_estimates(energy, (0.0, 0.0), "J")
    return estimates | observables.estimates(means, np.zeros(len(means)))


def points(found: Sequence[Measurement], name: str) -> tuple[Any, Any]:
    """Values and errors (n_measurements, n_points)."""
    values = np.array([np.atleast_1d(one.estimates[name].value) for one in found])
    return values, np.array([np.atleast_1d(one.estimates[name].error) for one in found])


@pytest.mark.statistical
@repeats(10, 40)
@pytest.mark.parametrize("case", slow_but(["long memory"], CASES))
def test_values_are_unbiased_and_errors_as_large_as_the_scatter(case: str, tmp_path: Path, repeats: int) -> None:
    """Of every point over many seeds: the mean is the exact one (Student's t), and the scatter of the values is that
    which the errors say (their mean square; chi-square), neither larger nor smaller.

    Values over their own errors would not do: where few walkers are in a rare sector, value and error go together.
    """
    exact, found = measured(case, tmp_path, repeats)
    p_values = []
    for name, estimate in exact.items():
        values, errors = points(found, name)
        expected = np.atleast_1d(estimate.value)
        certain = np.all(errors < 1e-13, axis=0)
        np.testing.assert_allclose(values[:, certain], np.tile(expected[certain], (repeats, 1)), atol=1e-12)
        values, errors, expected = values[:, ~certain], errors[:, ~certain], expected[~certain]
        scatter = values.std(axis=0, ddof=1)
        t = (values.mean(axis=0) - expected) / scatter * np.sqrt(repeats)
        p_values += [two_sided(float(stats.t.cdf(x, repeats - 1))) for x in t]
        ratio = scatter**2 / np.mean(errors**2, axis=0)
        p_values += [two_sided(float(stats.chi2.cdf((repeats - 1) * x, repeats - 1))) for x in ratio]
    assert len(p_values) > 60
    assert all_pass(p_values, LEVEL)
    if case == "long memory":
        times = [one.attributes["autocorrelation_time"] for one in found]
        assert np.median(times) > 4, "errors of independent draws would be refused"
