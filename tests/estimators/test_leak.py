"""The leak test of a run: when it is made, what it leaves alone, where it warns and where it does not."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pvmc.config import RawInput
from pvmc.estimators import LeakTest
from pvmc.estimators.smeared import leak_of, look
from pvmc.io.measurement import Estimate, Measurement
from pvmc.io.reader import Run
from pvmc.mpi import SerialCommunicator
from pvmc.numerics.random import Stream, generator
from pvmc.report.report import _leak, _tail
from pvmc.results.facts import RunFacts, run_facts
from pvmc.results.judged import judged
from pvmc.results.result import result_of
from pvmc.results.sampling_symptoms import leak_found
from pvmc.results.status import status_text
from pvmc.vmc.job import Job, build_job
from pvmc.vmc.loop import StepRecord, iterate
from pvmc.vmc.recorder import series
from pvmc.vmc.spec import JobConfig
from pvmc.vmc.start import initial_state
from tests.jobs import job_of
from tests.results.test_result import Known, run

COMM = SerialCommunicator()


def make_job(**sampler: Any) -> Job:
    tables = {
        "lattice": {"kind": "chain", "length": 6},
        "hamiltonian": {"model": "heisenberg"},
        "ansatz": {"kind": "rbm", "alpha": 1, "init_scale": 0.3},
        "sampler": {"walkers": 64, "block_width": 32, "samples": 256} | sampler,
    }
    return job_of(tables)


def records(job: Job, n: int, interval: int) -> list[StepRecord]:
    test = LeakTest.of(job.sampler, job.operator, interval)
    steps = iterate(initial_state(job, COMM), job.ansatz, job.operator, job.sampler, job.solver, COMM, leak_test=test)
    return list(itertools.islice(steps, n))


@pytest.mark.parametrize("sampler", [{}, {"tempering": {"replicas": 2, "smallest_beta": 0.5}}, {"power": 1.5}])
def test_a_test_changes_no_bit_of_the_run(sampler: dict[str, Any]) -> None:
    """Every third iteration has one, by the replicas at beta = 1 alone; walkers and parameters are those without."""
    job = make_job(**sampler)
    tested, plain = records(job, 7, 3), records(job, 7, 0)
    assert [step.iteration for step in tested if step.leak is not None] == [2, 5]
    for one, other in zip(tested, plain, strict=True):
        assert other.leak is None and one.energy == other.energy
        np.testing.assert_array_equal(one.state.theta, other.state.theta)
        np.testing.assert_array_equal(one.state.walkers.spins, other.state.walkers.spins)
    leak = tested[2].leak
    assert leak is not None and leak.variance > 0 and leak.error > 0
    row = series(tested[2])
    assert (row["variance_smeared"], row["leak"], row["leak_error"]) == (leak.variance, leak.leak, leak.error)
    assert "leak" not in series(tested[1])


def looked() -> tuple[LeakTest, Any, Any, Any, Any]:
    """A leak test, walkers and their psi, and what the test sees of them at iteration 4: sums and centres."""
    job = make_job()
    walkers, psi = (state := initial_state(job, COMM)).walkers, job.ansatz.at(state.theta)
    test = LeakTest.of(job.sampler, job.operator, 1)
    assert test is not None
    looks = []
    for block, spins in enumerate(walkers.spins):
        rng = generator(test.seed, Stream.LEAK, block=block, iteration=4)
        looks.append(look(test.smear, psi, spins, psi.lookup(spins), rng))
    return test, walkers, psi, np.array([one.sums for one in looks]), np.array([one.centre for one in looks])


@pytest.mark.parametrize("power", [2.0, 1.5])
def test_walkers_count_by_the_power_that_their_distribution_lacks(power: float) -> None:
    """Those from |psi|^p have the weight |psi|^(2 - p)."""
    test, walkers, psi, sums, centres = looked()
    weights = np.array([np.abs(np.exp(psi.log_psi(spins))) ** (2.0 - power) for spins in walkers.spins])
    expected, found = leak_of(sums * weights[:, None], centres, COMM), replace(test, power=power)(walkers, psi, 4, COMM)
    assert found.leak != 0.0 and found.variance == pytest.approx(expected.variance, rel=1e-10)
    assert (found.leak, found.error) == (
        pytest.approx(expected.leak, rel=1e-8),
        pytest.approx(expected.error, rel=1e-8),
    )


def test_a_leak_has_the_same_digits_in_any_unit_of_energy() -> None:
    *_, sums, centres = looked()
    scale = 2.0**300
    scaled = sums * np.array([1.0, scale, scale, scale**2] * 2)[:, None]
    plain, large = leak_of(sums, centres, COMM), leak_of(scaled, centres * scale, COMM)
    assert (large.leak, large.error) == (plain.leak * scale**2, plain.error * scale**2) and np.isfinite(large.error)


def test_enumerations_need_none() -> None:
    job = make_job()
    exact = build_job(
        job.config.model_copy(update={"sampler": JobConfig.model_validate(
            {**job.config.model_dump(exclude_none=True), "sampler": {"kind": "exact"}}
        ).sampler}), RawInput({}, "", "test")
    )  # fmt: skip
    assert LeakTest.of(exact.sampler, exact.operator, 10) is None
    assert LeakTest.of(job.sampler, job.operator, 0) is None


def leaky(leak: float, error: float, whole: float = 0.3, every: int = 10, **others: Any) -> Known:
    """A run of 8 spins whose leak tests found so much, with noise."""
    rng, n = np.random.default_rng(2), 400
    due = (np.arange(n) + 1) % every == 0
    noise = error * rng.normal(size=n)
    columns = {
        "leak": np.where(due, leak + noise, np.nan),
        "leak_error": np.where(due, error, np.nan),
        "variance_smeared": np.where(due, whole + noise, np.nan),
    }
    found = run(**columns, **others)
    assert isinstance(found, Known)
    return found


def facts_of(found: Run) -> RunFacts:
    """What status knows of it."""
    found.attributes.update({"ranks": 1, "host": "here", "created": "2026-01-02T03:04:05+00:00"})
    return run_facts(found)


def warned(found: Known) -> bool:
    return any("leak test" in warning for warning in result_of(found).warnings)


@pytest.mark.parametrize(
    ("leak", "error", "variance", "expected"),
    [
        (0.25, 0.01, 0.3, True),
        (0.25, 0.3, 0.3, False),  # not resolved
        (0.05, 0.001, 0.3, False),  # a small part of the variance
        (-0.25, 0.01, 0.3, False),
        (0.0, 0.01, 0.3, False),
    ],
)
def test_a_large_leak_warns_and_names_the_cure(leak: float, error: float, variance: float, expected: bool) -> None:
    found = leaky(leak, error, variance)
    assert warned(found) == expected
    facts = facts_of(found)
    assert ("leak" in [symptom.name for symptom in facts.symptoms]) == expected
    assert facts.leak == pytest.approx(leak / 8, abs=error)
    line = next(line for line in status_text(facts).splitlines() if line.startswith("leak/N"))
    resolved = leak > 5 * facts.leak_error * 8
    words = "hidden from the walkers: sampled variance/N is too small"
    assert ("J^2 " + words in line) == resolved
    assert ("J^2: no part of variance/N is hidden from the walkers" in line) == (not resolved)
    assert line.split(maxsplit=1)[1] in _leak(result_of(found))
    if expected:
        text = next(symptom.text for symptom in facts.symptoms if symptom.name == "leak")
        assert "sampler.smear = 0.2" in text and "sampler.start" in text and "ansatz" in text


def test_what_all_draws_see_is_not_hidden() -> None:
    """Rare local energies of 400 iterations make up a variance that the draws of 40 tests miss."""
    seen = np.where(np.arange(400) % 50 == 7, 0.2 * 50, 1e-3)
    assert not warned(leaky(0.25, 0.01, variance=seen))
    assert warned(leaky(0.25, 0.01, variance=seen / 10))


def test_a_leak_that_hardly_matters_is_none() -> None:
    """N leak / E^2 below 1e-3: 8 x 1e-4 / 3.65^2 = 6e-5, however much of the variance it is."""
    few = {"variance": np.full(400, 1e-5), "v_score": np.full(400, 1e-5 * 8 / 3.65**2)}
    assert not warned(leaky(1e-4, 1e-6, 1.1e-4, **few))
    assert warned(leaky(1e-2, 1e-4, 1.1e-2, **few))


def test_the_mean_leak_and_its_error() -> None:
    """20 tests in the last 200 iterations; errors of independent tests are a lower bound."""
    found = leak_found(judged(leaky(0.25, 0.02)))
    assert found is not None
    assert found.leak == pytest.approx(0.25, abs=0.02)
    assert 0.99 * 0.02 / np.sqrt(20) <= found.error < 2 * 0.02 / np.sqrt(20)
    drifting = leaky(0.25, 0.02)
    drifting.series["leak"][:] += np.linspace(-0.2, 0.2, 400)
    wider = leak_found(judged(drifting))
    assert wider is not None and wider.error > 2 * found.error


def test_variance_that_all_draws_miss_is_in_the_error_of_the_plateau() -> None:
    """sqrt(sigma^2 + tau missed / n) / N, of 200 iterations with 1000 samples and tau = 1.2."""
    plain, found = result_of(run()), result_of(leaky(0.25, 0.01))
    missed = (found.variance_smeared or 0.0) * 8 - 0.008
    assert found.energy == plain.energy
    expected = np.hypot(plain.energy_error, np.sqrt(1.2 * missed / 200_000) / 8)
    assert found.energy_error == pytest.approx(expected, rel=1e-10) and expected > 1.2 * plain.energy_error
    assert result_of(leaky(0.0, 0.01, whole=0.008)).energy_error == plain.energy_error


@pytest.mark.parametrize(
    ("exponent", "whole", "v_score", "expected"),
    [
        (1.5, 0.3, 0.0048, True),
        (2.5, 0.3, 0.0048, False),
        (1.5, 0.008, 0.0048, False),  # of which nothing is missed, and not far from an eigenstate
        (1.5, 0.008, 0.02, True),
        (1.5, 0.3, 1e-6, False),  # so near an eigenstate that it is no matter
    ],
)
def test_heavy_tails_warn(exponent: float, whole: float, v_score: float, expected: bool) -> None:
    scatter = exponent * (1.0 + 0.1 * np.random.default_rng(3).normal(size=400))
    found = leaky(0.0, 0.01, whole, tail_exponent=scatter, v_score=np.full(400, v_score))
    facts = facts_of(found)
    texts = [symptom.text for symptom in facts.symptoms if symptom.name == "tails"]
    assert bool(texts) == expected
    assert facts.tail_exponent == result_of(found).tail_exponent == pytest.approx(exponent, rel=0.1)
    shown = next(line for line in status_text(facts).splitlines() if line.startswith("tail exponent"))
    assert shown.split()[2] == f"{facts.tail_exponent:.2f}" == _tail(result_of(found)).split()[0]
    if expected:
        assert "sampler.smear = 0.2" in texts[0] and f"at least {facts.energy_error:.1e}" in texts[0]


def test_without_a_tail_the_exponent_is_infinite() -> None:
    facts = facts_of(leaky(0.0, 0.01, tail_exponent=np.full(400, np.inf)))
    assert facts.tail_exponent == np.inf and "tail exponent    none" in status_text(facts)
    assert facts_of(leaky(0.0, 0.01)).tail_exponent is None


def test_files_without_leak_tests_say_nothing() -> None:
    found = run()
    result = result_of(found)
    assert (result.leak, result.variance_smeared, result.warnings) == (None, None, ())
    assert "leak" not in status_text(facts_of(found))


@pytest.mark.parametrize(("leak", "expected"), [(0.2, True), (0.001, False)])
def test_a_measurement_warns_too(leak: float, expected: bool) -> None:
    estimates = {
        "energy": Estimate(-3.65, 1e-3), "variance": Estimate(0.05, 0.001), "v_score": Estimate(0.03, 1e-3),
        "variance_smeared": Estimate(0.05 + leak, 0.005), "leak": Estimate(leak, 0.005),
    }  # fmt: skip
    attributes = {"status": "finished", "n_samples": 10_000, "autocorrelation_time": 1.0, "r_hat": 1.0}
    base = run()
    found = replace(base)
    object.__setattr__(found, "found", (Measurement(1, attributes, estimates),))
    texts = [warning for warning in result_of(found).warnings if "leak test" in warning]
    assert bool(texts) == expected
    assert not expected or texts[0].startswith("measurement 1: leak test: variance/N is 0.031")
    attributes |= {"tail_exponent": 1.5, "tail_exponent_error": 0.2}
    texts = [warning for warning in result_of(found).warnings if "heavy tails" in warning]
    assert texts and ("the variance of the draws is too small" in texts[0]) == expected
    attributes["tail_exponent"] = 1.7
    assert "heavy tails" not in "".join(result_of(found).warnings)
    assert Path(base.path).name == "run.h5"
