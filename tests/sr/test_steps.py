"""Schedules, steps that go too far, and energies that rose."""

from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from pvmc.sr import Schedule, SRSpec
from pvmc.sr.step import capped_learning_rate, energy_rose


@pytest.mark.parametrize(
    ("rate", "norm", "expected"),
    [(0.1, 2.0, 0.1), (0.1, 3.0, 0.1), (0.1, 6.0, 0.05), (0.1, 0.0, 0.1), (0.1, math.inf, 0.0), (0.1, math.nan, 0.0)],
)
def test_the_cap(rate: float, norm: float, expected: float) -> None:
    assert capped_learning_rate(rate, norm, largest=0.3) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize(
    ("before", "after", "rose"),
    [
        ((-1.0, 0.3), (1.4, 0.4), False),  # 5 combined errors are 2.5
        ((-1.0, 0.3), (1.6, 0.4), True),
        ((-1.0, 0.0), (-1.0, 0.0), False),
        ((-1.0, 0.0), (-0.9, 0.0), True),
        ((-1.0, 0.1), (math.nan, 0.1), True),
        ((-1.0, 0.1), (math.inf, 0.1), True),
        ((-1.0, math.nan), (5.0, 0.1), False),
        ((-1.0, 0.1), (-9.0, 0.1), False),
    ],
)
def test_rising_energies(before: tuple[float, float], after: tuple[float, float], rose: bool) -> None:
    assert energy_rose(*before, *after) is rose


def test_how_many_errors_is_a_choice() -> None:
    assert [energy_rose(0.0, 0.3, 1.0, 0.4, n_sigmas=n) for n in (1.9, 2.1)] == [True, False]


# Schedules ------------------------------------------------------------------------------------------------------------


def test_decay_down_to_the_minimum() -> None:
    schedule = Schedule(initial=100.0, decay=0.9, minimum=1e-4)
    assert schedule(0) == 100.0
    assert schedule(1) == pytest.approx(90.0, rel=1e-15)
    assert schedule(50) == pytest.approx(100.0 * 0.9**50, rel=1e-14)
    assert schedule(131) > 1e-4
    assert schedule(132) == schedule(10**6) == 1e-4  # 100 0.9^p = 1e-4 at p = 131.1

    assert Schedule(initial=0.1, minimum=0.3)(0) == 0.3, "a minimum above the initial value"


@pytest.mark.parametrize("number", [0.05, 3, 0])
def test_a_plain_number_is_a_constant(number: float) -> None:
    schedule = Schedule.model_validate(number)
    assert schedule == Schedule(initial=number)
    assert schedule(0) == schedule(1) == schedule(10**9) == number


@pytest.mark.parametrize(
    "value",
    [
        *(-0.1, True, "0.1", float("nan"), float("inf"), {}),
        *({"initial": 1.0, "decay": 0.0}, {"initial": 1.0, "decay": 1.1}),
        *({"initial": 1.0, "minimum": -1.0}, {"initial": 1.0, "rate": 0.5}),
    ],
    ids=str,
)
def test_what_is_refused(value: object) -> None:
    with pytest.raises(ValidationError):
        Schedule.model_validate(value)


def test_schedules_in_the_input() -> None:
    spec = SRSpec.model_validate({"learning_rate": 0.2, "shift": {"initial": 1.0, "decay": 0.5, "minimum": 0.25}})
    assert [spec.learning_rate(p) for p in (0, 7)] == [0.2, 0.2]
    assert [spec.shift(p) for p in (0, 1, 2, 3)] == [1.0, 0.5, 0.25, 0.25]
