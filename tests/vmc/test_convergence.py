"""When a run is good enough, and that a resumed one finds so at the same iteration."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pvmc.config import RawInput, validate
from pvmc.errors import InputError
from pvmc.vmc.spec import ConvergenceSpec
from pvmc.vmc.stop import Convergence

N_SITES = 10
Series = dict[str, NDArray[np.float64]]


def descent(n: int = 400, noise: float = 1e-3, seed: int = 4) -> Series:
    """A run that falls to E/N = -1 within about 100 iterations; totals, as in a results file."""
    rng = np.random.default_rng(seed)
    falling = np.exp(-np.arange(n) / 10.0)
    return {
        "iteration": np.arange(n),
        "energy": N_SITES * (-1.0 + falling + noise * rng.normal(size=n)),
        "variance": N_SITES * (1e-3 + falling),
        "v_score": 1e-4 + falling,
    }


def stops_at(convergence: Convergence, series: Series, first: int = 0) -> int | None:
    """The iteration at which a run with these numbers ends."""
    rows = list(zip(*(series[name].tolist() for name in ("iteration", "energy", "variance", "v_score")), strict=True))
    for row in rows[first:]:
        convergence.observe(*row)
        if convergence.reached():
            return int(row[0])
    return None


def head(series: Series, n: int) -> Series:
    return {name: values[:n] for name, values in series.items()}


def test_variance_per_site_and_v_score_are_means_over_the_window() -> None:
    series = descent()
    windows = {name: np.convolve(series[name], np.ones(50) / 50, "valid") for name in ("variance", "v_score")}
    for name, bound, scale in (("variance", 2e-3, N_SITES), ("v_score", 2e-4, 1)):
        expected = int(np.flatnonzero(windows[name] / scale <= bound)[0]) + 49
        spec = ConvergenceSpec.model_validate({"window": 50, name: bound})
        assert stops_at(Convergence(spec, N_SITES), series) == expected
        assert 60 < expected < 200


def test_error_of_the_energy_per_site() -> None:
    """1e-3 of noise over 100 iterations is an error of 1e-4 (less than 2e-4, more than 5e-5), once the fall is over."""
    series = descent()
    stopped = stops_at(Convergence(ConvergenceSpec(error=2e-4), N_SITES), series)
    assert stopped is not None and 120 < stopped < 300
    assert stops_at(Convergence(ConvergenceSpec(error=5e-5), N_SITES), series) is None


def test_a_drifting_energy_has_not_converged_however_small_its_scatter() -> None:
    series = descent()
    series["energy"] = N_SITES * (-1.0 - 1e-6 * np.arange(400.0))
    assert stops_at(Convergence(ConvergenceSpec(error=1e-2), N_SITES), series) is None


@pytest.mark.parametrize(("step", "stops"), [(1e-16, True), (1e-9, False)])
def test_rounding_that_creeps_is_no_drift(step: float, stops: bool) -> None:
    """An eigenstate at machine precision: its energies differ by rounding alone."""
    series = descent(n=200) | {"energy": N_SITES * (-1.0 + step * np.arange(200))}
    assert (stops_at(Convergence(ConvergenceSpec(error=1e-3), N_SITES), series) is not None) == stops


def test_all_criteria_must_hold() -> None:
    series = descent()
    assert stops_at(Convergence(ConvergenceSpec(error=2e-4, variance=1e-9), N_SITES), series) is None
    assert stops_at(Convergence(ConvergenceSpec(error=2e-4, v_score=1e-9), N_SITES), series) is None


def test_not_before_the_window_is_full() -> None:
    spec = ConvergenceSpec(window=16, variance=1.0)
    steady = {name: np.ones(40) for name in ("energy", "variance", "v_score")} | {"iteration": np.arange(40)}
    assert stops_at(Convergence(spec, N_SITES), steady) == 15


@pytest.mark.parametrize("resumed_at", [1, 57, 82, 100])
def test_a_resumed_run_stops_where_an_uninterrupted_one_does(resumed_at: int) -> None:
    series = descent()
    series["energy"][80] = np.nan
    spec = ConvergenceSpec(window=50, error=4e-4, variance=2e-3)
    straight = stops_at(Convergence(spec, N_SITES), series)
    assert straight is not None and straight > 100
    resumed = Convergence(spec, N_SITES)
    resumed.replay(head(series, resumed_at))
    assert not resumed.reached()
    assert stops_at(resumed, series, first=resumed_at) == straight


def test_a_run_that_went_back_is_judged_by_what_came_last() -> None:
    series = descent()
    spec = ConvergenceSpec(window=50, variance=2e-3)
    straight = stops_at(Convergence(spec, N_SITES), series)
    assert straight is not None
    back = Convergence(spec, N_SITES)
    assert stops_at(back, head(series, straight)) is None
    for iteration in range(straight - 5, straight):
        back.observe(iteration, 0.0, 1e9, 1e9)
    assert stops_at(back, series, first=straight - 5) == straight


def test_the_message_has_the_numbers() -> None:
    convergence = Convergence(ConvergenceSpec(error=2e-4, variance=2e-3, v_score=3e-4), N_SITES)
    assert stops_at(convergence, descent()) is not None
    text = convergence.reached()
    for part in (
        "error of E/N ",
        " <= 0.0002",
        "variance/N 0.001",
        " <= 0.002",
        "V-score ",
        "over the last 100 iterations",
    ):
        assert part in text


def test_section() -> None:
    assert validate(ConvergenceSpec, RawInput({"error": 1e-5}, "in.toml")).window == 100
    with pytest.raises(InputError, match="must give at least one of error, variance and v_score"):
        validate(ConvergenceSpec, RawInput({"window": 50}, "in.toml"))
