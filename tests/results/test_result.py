"""Numbers and warnings of runs: each warning where it belongs, and none on a run without fault."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pvmc.errors import InputError
from pvmc.io.layout import Session
from pvmc.io.measurement import Estimate, Measurement
from pvmc.io.reader import Run
from pvmc.io.schema import ITERATION, SERIES
from pvmc.results.facts import as_json, run_facts
from pvmc.results.result import Result, result_of
from pvmc.results.status import status_text

EXACT = -3.6510934089371743


class Known(Run):
    """A run whose file need not be asked how it is, nor what was measured."""

    found: tuple[Measurement, ...] = ()

    def status(self) -> str:
        return "stopped" if self.message else "finished"

    @property
    def measurements(self) -> list[Measurement]:
        return list(self.found)


def run(
    n: int = 400, message: str = "", parameters: int = 9, exact: float | None = EXACT, draws: int = 100, **series: Any
) -> Run:
    """A settled run of 8 spins that reaches -3.65; series are replaced by name."""
    rng = np.random.default_rng(1)
    values = {quantity.name: np.full(n, quantity.fill) for quantity in (ITERATION, *SERIES)}
    values |= {
        "iteration": np.arange(n), "energy": -3.65 + 1e-3 * rng.normal(size=n), "energy_error": np.full(n, 1e-3),
        "variance": np.full(n, 0.008), "v_score": np.full(n, 0.0048), "r_hat": np.full(n, 1.004),
        "acceptance": np.full(n, 0.4), "autocorrelation_time": np.full(n, 1.2), "update_norm": np.full(n, 0.01),
        "n_samples": np.full(n, 1000), "effective_samples": np.full(n, 1000.0),
    }  # fmt: skip
    attributes: dict[str, str | int] = {
        "n_sites": 8, "energy_units": "J (S.S)", "n_parameters": parameters, "n_iterations": 400,
        "config": '[lattice]\nkind = "chain"\nlength = 8\n[hamiltonian]\nmodel = "heisenberg"\n[ansatz]\nalpha = 1\n'
        f"[sampler]\nwalkers = {1000 // draws}\n",
    }  # fmt: skip
    return Known(Path("/nowhere/a/run.h5"), attributes, values | series, exact, "by hand", message, "")


def warned(result: Result) -> str:
    return "\n".join(result.warnings)


def test_numbers_of_a_run_without_fault() -> None:
    data = run()
    result = result_of(data)
    tail = data.series["energy"][-result.averaged :]
    assert result.settled
    assert result.averaged == 200
    assert result.energy == pytest.approx(tail.mean() / 8, rel=1e-12)
    assert result.energy_error == pytest.approx(tail.std(ddof=1) / np.sqrt(200) / 8, rel=0.3)
    assert result.relative_error == pytest.approx((tail.mean() - EXACT) / abs(EXACT), rel=1e-9)
    assert (result.variance, result.v_score) == (pytest.approx(0.001), pytest.approx(0.0048))
    assert (result.samples, result.total_samples, result.iterations) == (1000, 400_000, 400)
    assert (result.model, result.alpha, result.core_hours) == ("heisenberg, chain 8", 1.0, None)
    assert result.warnings == ()


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"message": "time is over"}, "stopped after 400 of 400"),
        ({"energy": np.linspace(-3.0, -3.6, 400), "exact": None}, "not converged"),
        ({"r_hat": np.full(400, 1.08)}, "R-hat 1.080"),
        ({"r_hat": np.where(np.arange(400) % 10, 1.01, 3.0)}, "walkers are stuck"),
        ({"r_hat": np.full(400, 1.3), "draws": 4}, "R-hat 1.300 (median of the last 200 iterations), above 1.22"),
        (
            {"stuck_walkers": np.where(np.arange(400) % 10, -1, 3)},
            "up to 3 walkers were stuck in a mode of their own in 20",
        ),
        ({"acceptance": np.full(400, 0.001)}, "hardly move"),
        ({"variance": np.where(np.arange(400) < 300, 0.008, np.nan)}, "variance not finite in 100 of the last 200"),
        (
            {"update_norm": np.where(np.arange(400) < 300, 0.01, np.inf)},
            "update norm not finite in 100 of the last 200",
        ),
        ({"parameters": 2000}, "1000 samples per iteration for 2000 parameters: S is singular"),
        ({"parameters": 600}, "1000 samples per iteration for 600 parameters: S is half noise"),
        ({"autocorrelation_time": np.full(400, 8.0)}, "125 independent samples"),
        ({"effective_samples": np.full(400, 20.0)}, "count as 20 equal ones"),
        ({"energy": np.full(400, -3.9)}, "below the exact one"),
        ({"v_score": np.full(400, 0.12)}, "V-score 0.12, above 0.01: the state is far from every eigenstate; a larger"),
        (
            {"exact": EXACT - 0.02, "variance": np.full(400, 0.1)},
            "relative error 0.0057 +- 2e-05, resolved",
        ),
        ({"exact": -4.5}, "converged to another level: relative error 0.19"),
    ],
)
def test_each_fault_is_named_alone(changed: dict[str, Any], text: str) -> None:
    found = result_of(run(**changed)).warnings
    assert len(found) == 1
    assert text in found[0]


@pytest.mark.parametrize(
    "changed",
    [
        {"r_hat": np.full(400, 1.15), "draws": 4},  # chains of 4 draws that agree, with a correlation of 0.25
        {"stuck_walkers": np.where(np.arange(400) % 10, -1, 0) + (np.arange(400) % 100 == 50)},  # visits to a tail
        {
            "r_hat": np.full(400, 1.6),
            "variance": np.full(400, 1e-12),
            "stuck_walkers": np.full(400, 3),
        },  # an eigenstate
    ],
)
def test_what_good_runs_do_is_no_fault(changed: dict[str, Any]) -> None:
    assert result_of(run(**changed)).warnings == ()


def test_a_run_that_is_still_far_from_every_eigenstate_has_not_converged_to_another_level() -> None:
    """A wide distance to the exact energy makes the spread look small: of a run that drifts that proves nothing."""
    drifting = np.linspace(-3.0, -3.6, 400)
    far = warned(result_of(run(energy=drifting, exact=-9.0, v_score=np.full(400, 0.3))))
    assert "not converged" in far and "V-score 0.3" in far and "relative error" in far
    assert "another level" not in far
    near = warned(result_of(run(energy=drifting, exact=-9.0)))
    assert "not converged" in near and "converged to another level" in near


@pytest.mark.parametrize(("size", "v_score", "warns"), [
    (1e-4, 1e-9, False), (10.0, 9e-6, False),
    (1.0, 2e-5, True),  # far enough from an eigenstate to go on
    (100.0, 1e-9, True),  # much on the scale of H
    (1.0, np.nan, True),
])  # fmt: skip
def test_a_drift_next_to_nothing_of_an_eigenstate_is_no_warning(size: float, v_score: float, warns: bool) -> None:
    """The halves of the last 100 iterations differ by 0.5e-6 x size; the error stays a lower bound."""
    slope = np.linspace(1.0, 0.0, 400) * 4e-6 * size
    data = run(energy=EXACT * (1.0 - slope), variance=np.full(400, 1e-14), v_score=np.full(400, v_score))
    result = result_of(data)
    assert not result.settled
    assert [warning.startswith("not converged") for warning in result.warnings] == [True] * warns


def test_a_drift_about_zero_energy_is_judged_by_the_radius() -> None:
    """E = 0 but for a slope: relative to the energy it is all, relative to the radius 12 it is 1e-7, or 1e-3."""
    for size, warns in ((1e-7, False), (1e-3, True)):
        data = run(energy=np.linspace(1.0, -1.0, 400) * 12 * size, exact=None, v_score=np.full(400, 1e-12))
        data = replace(data, radius=12.0)
        assert any(text.startswith("not converged") for text in result_of(data).warnings) == warns


@pytest.mark.parametrize(("n", "words"), [(0, ""), (1, "went bad once,"), (4, "went bad 4 times,")])
def test_retries_are_told_with_the_key_to_change(n: int, words: str) -> None:
    """Also of a run that came to its end; the advice for a state that is not good begins with the same key."""
    moment = "2026-01-02T03:04:05+00:00"
    sessions = tuple(
        Session(moment, 0, 1, 1, "here", 1, outcome=outcome) for outcome in [*["retried"] * n, "stopped", "finished"]
    )
    found = result_of(replace(run(), sessions=sessions)).warnings
    assert len(found) == bool(n)
    assert words in "".join(found) and all("sr.learning_rate" in text for text in found)
    bad = result_of(replace(run(v_score=np.full(400, 0.12)), sessions=sessions)).warnings
    assert ("every eigenstate; a smaller sr.learning_rate, a larger ansatz.alpha" in bad[-1]) == bool(n)


def test_r_hat_is_the_median_everywhere() -> None:
    """Spikes in a few iterations, whose mean is 1.5: the warning judges the median, and so do the numbers."""
    values = np.full(400, 1.006)
    values[250:255] = 21.0
    data = run(r_hat=values)
    assert data.series["r_hat"][-200:].mean() > 1.5
    data.attributes.update({"ranks": 1, "host": "here", "created": "2026-01-02T03:04:05+00:00"})
    result, facts = result_of(data), run_facts(data)
    assert result.warnings == ()
    assert (result.r_hat, facts.r_hat) == (1.006, 1.006)
    assert "R-hat            1.006 of the energy (median)" in status_text(facts)
    assert json.loads(as_json(facts))["r_hat"] == 1.006


def test_what_is_not_known_is_none() -> None:
    nothing = np.full(400, np.nan)
    result = result_of(run(exact=None, v_score=nothing, n_samples=np.full(400, -1)))
    assert (result.exact, result.relative_error, result.v_score) == (None, None, None)
    assert (result.samples, result.total_samples) == (None, None)


def test_too_few_iterations_are_refused() -> None:
    with pytest.raises(InputError, match="too few iterations"):
        result_of(run(n=3))


GOOD = {"status": "finished", "n_samples": 1000, "r_hat": 1.01, "autocorrelation_time": 2.0, "largest_r_hat": 1.02}
"""Attributes of a measurement without fault."""


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({}, ""),
        ({"status": "running"}, "measurement 1: not at its end after 1000 samples"),
        ({"r_hat": 1.2}, "R-hat 1.200 of the energy"),
        (
            {"r_hat": 1.06, "largest_r_hat": 1.3, "largest_r_hat_of": "structure_factor_zz"},
            "1.300 of structure_factor_zz",
        ),
        ({"r_hat": np.nan, "largest_r_hat": np.inf}, "R-hat inf of an observable"),
        ({"autocorrelation_time": 20.0}, "50 independent samples (tau 20)"),
        ({"unreliable": "renyi2, energy"}, "errors that are not to be trusted: renyi2, energy"),
    ],
)
def test_each_fault_of_a_measurement_is_named_alone(changed: dict[str, Any], text: str) -> None:
    data = run()
    data.found = (Measurement(1, GOOD | changed, {"energy": Estimate(-29.2, 0.01)}),)
    found = result_of(data).warnings
    assert len(found) == bool(text)
    assert text in "".join(found)


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({}, "1.020 of an observable (measurement 1)"),
        ({"largest_r_hat": 1.3, "largest_r_hat_of": "renyi2"}, "1.300 of renyi2 (measurement 1)"),
        ({"r_hat": 1.001, "largest_r_hat": 1.002}, "1.004 of the energy (median)"),
        ({"largest_r_hat": 1.3, "status": "running"}, "1.004 of the energy (median)"),
    ],
)
def test_r_hat_is_the_largest_of_energy_and_observables(changed: dict[str, Any], text: str) -> None:
    data = run()
    data.found = (Measurement(1, GOOD | changed, {"energy": Estimate(-29.2, 0.01)}),)
    data.attributes.update({"ranks": 1, "host": "here", "created": "2026-01-02T03:04:05+00:00"})
    found, facts = result_of(data), run_facts(data)
    assert f"{found.r_hat:.3f} of {found.r_hat_of}" == text
    assert (facts.r_hat, facts.r_hat_of) == (found.r_hat, found.r_hat_of)
    assert text in status_text(facts)


def test_a_measurement_without_what_later_versions_store_or_without_samples_has_no_fault() -> None:
    data = run()
    counted = {"status": "finished", "n_samples": 64, "r_hat": 1.0, "autocorrelation_time": 1.0}
    older = Measurement(1, {"n_samples": 50}, {"energy": Estimate(-29.2, 0.01)})
    data.found = (older, Measurement(2, counted, {"energy": Estimate(-29.2, 0.0)}))
    assert result_of(data).warnings == ()
