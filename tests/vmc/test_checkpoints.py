"""When a run saves its state, on a clock of the test's own."""

from __future__ import annotations

import pytest

from pvmc.vmc.checkpoints import CheckpointPolicy
from pvmc.vmc.spec import CheckpointSpec


def saves(policy: CheckpointPolicy, n: int, seconds: float, cost: float = 0.0, lasting: bool = True) -> list[int]:
    """Iterations after which a run of n iterations saves, each of so many seconds, and each checkpoint of a cost; or
    writes a state that is not forced to the disk."""
    found, now = [], policy.moment
    for iteration in range(policy.iteration, policy.iteration + n):
        now += seconds
        if policy.due(iteration, now) if lasting else policy.recent_due(now):
            now += cost
            policy.saved(iteration, cost, now, lasting=lasting)
            found.append(iteration)
    return found


@pytest.mark.parametrize(
    ("spec", "first", "n", "seconds", "cost", "expected"),
    [
        ({"iterations": 3, "minutes": 0}, 0, 10, 1.0, 0.0, [2, 5, 8]),
        ({}, 0, 100, 30.0, 0.0, [19, 39, 59, 79, 99]),  # every ten minutes
        ({"iterations": 4, "minutes": 1}, 0, 8, 30.0, 0.0, [1, 3, 5, 7]),  # whichever comes first
        ({"iterations": 4, "minutes": 1}, 0, 8, 5.0, 0.0, [3, 7]),
        ({"minutes": 0}, 0, 1000, 3600.0, 0.0, []),  # only at a stop
        ({"iterations": 3, "minutes": 0}, 100, 7, 1.0, 0.0, [102, 105]),  # a resumed run counts from where it began
        # The first costs nothing yet; then 2 s may be 5 % of the time, which is 40 iterations of 1 s.
        ({"iterations": 1, "minutes": 0, "cost": 0.05}, 0, 121, 1.0, 2.0, [0, 40, 80, 120]),
        ({"iterations": 1, "minutes": 0, "cost": 0.05}, 0, 5, 1.0, 0.04, [0, 1, 2, 3, 4]),
    ],
)
def test_when_a_run_saves(
    spec: dict[str, float], first: int, n: int, seconds: float, cost: float, expected: list[int]
) -> None:
    policy = CheckpointPolicy(CheckpointSpec.model_validate(spec), iteration=first, moment=50.0)
    assert saves(policy, n, seconds, cost) == expected


@pytest.mark.parametrize(
    ("spec", "n", "seconds", "expected"),
    [
        ({}, 4, 2.0, [0, 1, 2, 3]),
        ({}, 4, 0.75, [0, 1, 2, 3]),
        ({}, 33, 0.0625, [15, 31]),
        ({"seconds": 8}, 10, 2.0, [3, 7]),
        ({"seconds": 0}, 10, 2.0, []),
    ],
)
def test_no_more_than_a_second_or_an_iteration_is_at_risk(
    spec: dict[str, float], n: int, seconds: float, expected: list[int]
) -> None:
    assert saves(CheckpointPolicy(CheckpointSpec.model_validate(spec), 0, 0.0), n, seconds, lasting=False) == expected


def test_costly_recent_states_become_rarer_and_delay_no_checkpoint() -> None:
    policy = CheckpointPolicy(CheckpointSpec(iterations=1, minutes=0.0, cost=0.05), 0, 0.0)
    assert saves(policy, 81, 1.0, cost=2.0, lasting=False) == [0, 40, 80]
    assert policy.due(81, 100.0), "none was saved so far"
    policy.saved(81, 0.1, 100.0)
    assert not policy.recent_due(100.5), "the checkpoint holds all but half a second"
