"""The extrapolation to zero variance: exact lines, errors by independent formulas, and states that mix two levels."""

from __future__ import annotations

import numpy as np
import pytest

from pvmc.errors import InputError
from pvmc.results.result import Result, extrapolate, fitted


def result(energy: float, variance: float | None, error: float = 1e-3, **others: object) -> Result:
    values: dict[str, object] = {
        "name": "a", "path": "a/run.h5", "model": "heisenberg, chain 8", "system": "", "state": "finished",
        "n_sites": 8,
        "alpha": 1.0, "n_parameters": 9, "units": "J (S.S)", "energy": energy, "energy_error": error,
        "averaged": 10, "averaged_from": 0, "settled": True,
        "exact": None, "exact_method": "", "relative_error": None, "relative_error_error": None, "variance": variance,
        "v_score": None, "acceptance": None, "r_hat": None, "autocorrelation_time": None, "iterations": 10,
        "samples": None, "total_samples": None, "core_hours": None, "warnings": (),
    }  # fmt: skip
    return Result(**(values | others))  # type: ignore[arg-type]


def test_points_on_a_line() -> None:
    found = extrapolate([result(-1.0 + 0.5 * v, v) for v in (0.1, 0.2, 0.4, 0.8)])
    assert found.energy == pytest.approx(-1.0, abs=1e-14)
    assert found.slope == pytest.approx(0.5, abs=1e-13)
    assert found.jackknife == pytest.approx(0.0, abs=1e-14)
    assert found.error == found.propagated > 0


def test_two_runs_have_the_error_of_their_energies() -> None:
    """E_0 = (v_2 E_1 - v_1 E_2) / (v_2 - v_1)."""
    found = extrapolate([result(-1.0, 0.1, 0.003), result(-0.9, 0.3, 0.004)])
    assert found.energy == pytest.approx((0.3 * -1.0 - 0.1 * -0.9) / 0.2, rel=1e-12)
    assert found.error == pytest.approx(np.hypot(0.3 * 0.003, 0.1 * 0.004) / 0.2, rel=1e-12)
    assert found.jackknife is None


def test_line_and_errors_by_other_formulas() -> None:
    """numpy's weighted fits, and the jackknife written out."""
    rng = np.random.default_rng(7)
    x, errors = rng.uniform(0.1, 1.0, 6), rng.uniform(0.01, 0.05, 6)
    y = -2.0 + 0.3 * x + errors * rng.normal(size=6)
    (slope, intercept), covariance = np.polyfit(x, y, 1, w=1 / errors, cov="unscaled")
    left_out = [
        np.polyfit(*(np.delete(values, i) for values in (x, y)), 1, w=1 / np.delete(errors, i))[1] for i in range(6)
    ]
    found = fitted(x, y, errors)
    assert (found.energy, found.slope) == (pytest.approx(intercept, rel=1e-10), pytest.approx(slope, rel=1e-8))
    assert found.propagated == pytest.approx(np.sqrt(covariance[1, 1]), rel=1e-8)
    assert found.jackknife == pytest.approx(np.sqrt(5 / 6 * np.sum((left_out - np.mean(left_out)) ** 2)), rel=1e-7)
    assert found.error == max(found.propagated, found.jackknife or 0.0)


def test_mixtures_of_two_levels() -> None:
    """sqrt(1 - p) |0> + sqrt(p) |1> at a gap D: E - E_0 = p D, Var = p (1 - p) D^2; so E_0 up to order p^2 D."""
    gap, ground = 0.7, -4.0
    p = np.array([0.002, 0.004, 0.008])
    found = extrapolate([result(ground + gap * q, gap**2 * q * (1 - q)) for q in p])
    assert found.slope == pytest.approx(1 / gap, rel=0.02)
    assert abs(found.energy - ground) < 0.02 * gap * p.min()
    assert abs(found.energy - ground) > 1e-3 * gap * p.max() ** 2, "the quadratic term is what is left"


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ([result(-1.0, 0.1)], "at least two runs"),
        ([result(-1.0, 0.1), result(-1.0, 0.1)], "equal or not known"),
        ([result(-1.0, 0.1), result(-1.0, None)], "equal or not known"),
        (
            [result(-1.0, 0.1, system='{"hamiltonian.field": 1.0}'), result(-1.0, 0.2, name="b", system="{}")],
            r"one system; these runs differ in hamiltonian.field: 1.0 \(a\), none \(b\)$",
        ),
    ],
)
def test_what_cannot_be_extrapolated(results: list[Result], message: str) -> None:
    with pytest.raises(InputError, match=message):
        extrapolate(results)
