"""Numbers that change with the iteration."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from pvmc.sr import Schedule, SRSpec


def test_decay_down_to_the_minimum() -> None:
    schedule = Schedule(initial=100.0, decay=0.9, minimum=1e-4)
    assert schedule(0) == 100.0
    assert schedule(1) == pytest.approx(90.0, rel=1e-15)
    assert schedule(50) == pytest.approx(100.0 * 0.9**50, rel=1e-14)
    assert schedule(131) > 1e-4
    assert schedule(132) == schedule(10**6) == 1e-4  # 100 0.9^p = 1e-4 at p = 131.1


def test_a_minimum_above_the_initial_value_wins() -> None:
    assert Schedule(initial=0.1, minimum=0.3)(0) == 0.3


@pytest.mark.parametrize("number", [0.05, 3, 0])
def test_a_plain_number_is_a_constant(number: float) -> None:
    schedule = Schedule.model_validate(number)
    assert schedule == Schedule(initial=number)
    assert schedule(0) == schedule(1) == schedule(10**9) == number


def test_never_rising() -> None:
    schedule = Schedule(initial=2.0, decay=0.97, minimum=0.01)
    values = [schedule(p) for p in range(400)]
    assert values == sorted(values, reverse=True)
    assert values[-1] == 0.01


@pytest.mark.parametrize(
    "value",
    [
        -0.1,
        True,
        "0.1",
        float("nan"),
        float("inf"),
        {},
        {"initial": 1.0, "decay": 0.0},
        {"initial": 1.0, "decay": 1.1},
        {"initial": 1.0, "minimum": -1.0},
        {"initial": 1.0, "rate": 0.5},
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
