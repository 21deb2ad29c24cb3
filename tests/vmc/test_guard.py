"""Numbers that go bad are noticed, and healthy ones are left alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pvmc.estimators import EnergyStatistics
from pvmc.hamiltonians import X, Z
from pvmc.sampler import Walkers
from pvmc.sr import Step
from pvmc.vmc.guard import Guard, advice, spectrum_bounds
from pvmc.vmc.loop import State, StepRecord


def healthy(n: int = 30, seed: int = 2) -> NDArray[np.float64]:
    """Rows (energy, error, variance) of a converging run, (n, 3)."""
    noise = np.random.default_rng(seed).normal(size=n)
    falling = np.exp(-np.arange(n) / 5.0)
    return np.stack([-10.0 + 8.0 * falling + 0.01 * noise, np.full(n, 0.01), 0.1 + 20.0 * falling], axis=1)


def guard_after(rows: NDArray[np.float64], **options: Any) -> Guard:
    guard = Guard(**options)
    assert [guard.check(i, *row, 0.5) for i, row in enumerate(rows.tolist())] == [None] * len(rows)
    return guard


class TestGuard:
    @pytest.mark.parametrize(
        ("energy", "variance"), [(math.nan, 1.0), (math.inf, 1.0), (-10.0, math.nan), (1.0, math.inf)]
    )
    def test_not_finite(self, energy: float, variance: float) -> None:
        trouble = Guard().check(0, energy, 0.1, variance, 0.5)
        assert trouble is not None and trouble.iteration == 0
        assert "psi left the range of numbers" in trouble.cause

    @pytest.mark.parametrize(("energy", "variance"), [(-5.0, 50.0), (3.0, 50.0), (-5.0, 0.01), (-40.0, 50.0)])
    def test_explosion(self, energy: float, variance: float) -> None:
        trouble = guard_after(healthy()).check(30, energy, 0.1, variance, 0.5)
        assert trouble is not None and trouble.iteration == 30
        assert trouble.cause.startswith("the energy jumped from -9.") and f"to {energy:g} and" in trouble.cause

    @pytest.mark.parametrize(
        ("energy", "error", "variance"),
        [
            (-40.0, 0.1, 0.5),  # a fall alone
            (-10.0, 0.1, 50.0),  # the variance alone
            (-5.0, 2.0, 50.0),  # one outlier: it makes the error too
            (-9.5, 0.01, 50.0),  # within the spread of the local energy
        ],
    )
    def test_each_sign_alone_is_no_explosion(self, energy: float, error: float, variance: float) -> None:
        assert guard_after(healthy()).check(30, energy, error, variance, 0.5) is None

    def test_nothing_is_a_jump_before_there_is_something_to_compare_with(self) -> None:
        assert guard_after(healthy(4)).check(4, 1e3, 0.1, 1e6, 0.5) is None
        assert guard_after(healthy(5)).check(5, 1e3, 0.1, 1e6, 0.5) is not None

    def test_a_slow_explosion(self) -> None:
        guard = guard_after(healthy())
        found = None
        for i in range(100):
            found = found or guard.check(30 + i, -10.0 + 0.5 * 1.3**i, 0.01, 0.1 * 1.3 ** (2 * i), 0.5)
        assert found is not None and found.iteration < 50

    def test_rounding_of_a_converged_run_without_samples_is_no_explosion(self) -> None:
        guard = guard_after(np.tile([-10.0, 0.0, 1e-24], (30, 1)))
        assert guard.check(30, -10.0 + 1e-13, 0.0, 1e-20, 1.0) is None
        assert guard.check(31, -9.0, 0.0, 1.0, 1.0) is not None

    def test_frozen_walkers(self) -> None:
        above, lowest = -9.0, -10.1
        trouble = guard_after(healthy()).check(30, above, 0.3, 0.0, 0.0)
        assert trouble is not None and trouble.cause.startswith("the walkers stand still (acceptance 0) at energy -9,")
        assert guard_after(healthy()).check(30, above, 0.3, 0.0, 0.01) is None
        assert guard_after(healthy()).check(30, lowest, 0.3, 0.0, 0.0) is None

    @pytest.mark.parametrize(("n_apart", "is_fault"), [(1, False), (10, False), (100, True)])
    def test_frozen_walkers_of_which_few_are_elsewhere(self, n_apart: int, is_fault: bool) -> None:
        """1024 walkers on one configuration, each of the others 4 above it: all in the error until they are many."""
        part = n_apart / 1024
        guard = guard_after(np.tile([-10.0, 0.0, 0.0], (30, 1)), spectrum=(-10.0, 10.0))
        found = guard.check(30, -10.0 + 4.0 * part, 4.0 * math.sqrt(part / 1024), 16.0 * part, 0.0)
        assert (found is not None) == is_fault

    def test_a_rise_far_below_the_scale_of_h_is_no_collapse(self) -> None:
        """Of a state that is all but an eigenstate: the ratios of psi to the neighbours still move."""
        guard = guard_after(np.tile([-10.00003, 0.0, 2e-11], (30, 1)), spectrum=(-10.01, 10.01))
        assert guard.check(30, -10.00002, 0.0, 2e-11, 0.0) is None
        assert guard.check(30, -9.99, 0.0, 2e-11, 0.0) is not None

    def test_what_no_state_has(self) -> None:
        guard = Guard(spectrum=(-12.0, 12.0))
        assert guard.check(0, -12.5, 0.1, 1.0, 0.5) is None
        for energy, error in ((-13.5, 0.1), (13.5, 0.1), (-33.5, 6.0), (3e14, 2e14), (30.0, math.nan)):
            trouble = guard.check(1, energy, error, 1.0, 0.5)
            assert trouble is not None and "but every state's lies between -12 and 12" in trouble.cause
        assert guard.check(1, -11.0, 1.0, 1000.0, 0.5) is None
        trouble = guard.check(2, -11.0, 1.0, 2000.0, 0.5)
        assert trouble is not None and "no state's exceeds 144" in trouble.cause

    def test_what_is_forgotten_is_compared_with_no_longer(self) -> None:
        guard = guard_after(healthy(8))
        guard.forget(4)
        assert guard.check(4, 1e3, 0.1, 1e6, 0.5) is None

    def test_a_resumed_run_judges_alike(self) -> None:
        rows = healthy(50)
        series = dict(zip(("energy", "energy_error", "variance"), rows.T, strict=True)) | {"iteration": np.arange(50)}
        resumed, bad = Guard(), (50, -5.0, 0.1, 50.0, 0.5)
        resumed.replay(series)
        trouble = resumed.check(*bad)
        assert trouble is not None and trouble == guard_after(rows).check(*bad)


@pytest.mark.parametrize(
    ("iteration", "angle", "acceptance", "r_hat", "can_draw", "expected"),
    [
        (0, math.nan, 0.5, 1.0, True, "no step was made: a smaller ansatz.init_scale"),
        (0, math.nan, 0.5, 1.0, False, "no step was made: the parameters of ansatz.start_from"),
        (30, 0.4, 0.5, 1.0, True, "turned psi by 0.4 rad: a smaller sr.learning_rate, or sr.largest_angle = 0.1"),
        (30, 0.01, 0.5, 1.0, True, "the steps before were short: more sampler.samples"),
        (30, 0.4, 0.001, 1.0, True, "acceptance 0.001: other sampler.moves"),
        (30, 0.4, 0.5, 2.0, True, "R-hat 2: sampler.tempering"),
    ],
)
def test_the_key_that_would_have_helped(
    iteration: int, angle: float, acceptance: float, r_hat: float, can_draw: bool, expected: str
) -> None:
    energy = EnergyStatistics(-1.0 + 0j, 0.1, 1.0, 1.0, r_hat, 1.0, acceptance, 100, 100.0)
    walkers = Walkers(np.ones((1, 2, 4), np.int8), 0)
    step = Step(np.zeros(1), 0.1, 0.0, 0.0, 0, 0.0, 0.0)
    record = StepRecord(iteration, energy, step, State(iteration + 1, np.zeros(1), walkers), None, {})
    assert expected in advice(iteration, angle, record, can_draw=can_draw)


def test_spectrum_bounds() -> None:
    terms = 0.5 * X(0) * X(1) - 2.0 * Z(0) + 3.0
    assert spectrum_bounds(terms) == (0.5, 5.5)
