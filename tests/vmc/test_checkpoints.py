"""When a run saves its state, on a clock of the test's own."""

from __future__ import annotations

from pvmc.vmc.checkpoints import CheckpointPolicy
from pvmc.vmc.spec import CheckpointSpec


def saves(policy: CheckpointPolicy, n: int, seconds: float, cost: float = 0.0) -> list[int]:
    """Iterations after which a run of n iterations saves, each of so many seconds, and each checkpoint of a cost."""
    found, now = [], policy.moment
    for iteration in range(policy.iteration, policy.iteration + n):
        now += seconds
        if policy.due(iteration, now):
            now += cost
            policy.saved(iteration, cost, now)
            found.append(iteration)
    return found


def test_by_iterations() -> None:
    policy = CheckpointPolicy(CheckpointSpec(iterations=3, minutes=0.0), iteration=0, moment=0.0)
    assert saves(policy, 10, 1.0) == [2, 5, 8]


def test_by_minutes() -> None:
    policy = CheckpointPolicy(CheckpointSpec(), iteration=0, moment=50.0)
    assert saves(policy, 100, 30.0) == [19, 39, 59, 79, 99]


def test_whichever_comes_first() -> None:
    policy = CheckpointPolicy(CheckpointSpec(iterations=4, minutes=1.0), iteration=0, moment=0.0)
    assert saves(policy, 8, 30.0) == [1, 3, 5, 7]
    policy = CheckpointPolicy(CheckpointSpec(iterations=4, minutes=1.0), iteration=0, moment=0.0)
    assert saves(policy, 8, 5.0) == [3, 7]


def test_never_but_at_a_stop() -> None:
    policy = CheckpointPolicy(CheckpointSpec(minutes=0.0), iteration=0, moment=0.0)
    assert saves(policy, 1000, 3600.0) == []


def test_a_resumed_run_counts_from_where_it_began() -> None:
    policy = CheckpointPolicy(CheckpointSpec(iterations=3, minutes=0.0), iteration=100, moment=0.0)
    assert saves(policy, 7, 1.0) == [102, 105]


def test_costly_ones_become_rarer() -> None:
    spec = CheckpointSpec(iterations=1, minutes=0.0, cost=0.05)
    policy = CheckpointPolicy(spec, iteration=0, moment=0.0)
    # The first costs nothing yet; then 2 s may be 5 % of the time, which is 40 iterations of 1 s.
    assert saves(policy, 121, 1.0, cost=2.0) == [0, 40, 80, 120]
    cheap = CheckpointPolicy(spec, iteration=0, moment=0.0)
    assert saves(cheap, 5, 1.0, cost=0.04) == [0, 1, 2, 3, 4]


def recents(policy: CheckpointPolicy, n: int, seconds: float, cost: float = 0.0) -> list[int]:
    """Iterations after which a run of n iterations writes a state that is not forced to the disk."""
    found, now = [], policy.moment
    for iteration in range(n):
        now += seconds
        if policy.recent_due(now):
            now += cost
            policy.saved(iteration, cost, now, lasting=False)
            found.append(iteration)
    return found


def test_no_more_than_a_second_or_an_iteration_is_at_risk() -> None:
    assert recents(CheckpointPolicy(CheckpointSpec(), 0, 50.0), 4, 2.0) == [0, 1, 2, 3]
    assert recents(CheckpointPolicy(CheckpointSpec(), 0, 50.0), 4, 0.75) == [0, 1, 2, 3]
    assert recents(CheckpointPolicy(CheckpointSpec(), 0, 0.0), 33, 0.0625) == [15, 31]
    assert recents(CheckpointPolicy(CheckpointSpec(seconds=8.0), 0, 0.0), 10, 2.0) == [3, 7]
    assert recents(CheckpointPolicy(CheckpointSpec(seconds=0.0), 0, 0.0), 10, 2.0) == []


def test_costly_recent_states_become_rarer_and_delay_no_checkpoint() -> None:
    policy = CheckpointPolicy(CheckpointSpec(iterations=1, minutes=0.0, cost=0.05), 0, 0.0)
    assert recents(policy, 81, 1.0, cost=2.0) == [0, 40, 80]
    assert policy.due(81, 100.0), "none was saved so far"
    policy.saved(81, 0.1, 100.0)
    assert not policy.recent_due(100.5), "the checkpoint holds all but half a second"
