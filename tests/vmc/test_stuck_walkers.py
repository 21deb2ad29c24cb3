"""Walkers in a mode of their own are found, heavy tails are not, and nobody is warned all the time."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pvmc.estimators import EnergyStatistics
from pvmc.mpi import SerialCommunicator
from pvmc.sampler import Walkers
from pvmc.sr import Step
from pvmc.vmc.checkpoints import SavedRun
from pvmc.vmc.loop import State, StepRecord
from pvmc.vmc.pieces import Round
from pvmc.vmc.stuck_walkers import WalkerWatch, outliers

COMM = SerialCommunicator()


def energies(look: int, n: int = 200, stuck: int = 0) -> NDArray[np.float64]:
    """Mean energies of walkers around -10; the first few sit at -1."""
    values = np.random.default_rng([7, look]).normal(-10.0, 0.5, size=n)
    values[:stuck] += 9.0
    return values


def looks(stuck: int, n: int = 6) -> list[list[int]]:
    watch, found = WalkerWatch(), []
    for look in range(n):
        result = watch.judge(energies(look, stuck=stuck), r_hat=1.5)
        found.append([] if result is None else result.walkers.tolist())
    return found


@pytest.mark.parametrize("stuck", [1, 5, 40])
def test_they_are_found_at_the_third_look(stuck: int) -> None:
    assert looks(stuck) == [[], []] + [list(range(stuck))] * 4


def test_walkers_that_agree_are_left_alone() -> None:
    assert looks(0, n=30) == [[]] * 30


def test_an_outlier_that_comes_and_goes_or_changes_sides_is_none() -> None:
    for pattern in ([1, 1, 0] * 5, [1, 1, -1, -1] * 4):
        watch = WalkerWatch()
        for look, side in enumerate(pattern):
            values = energies(look)
            values[3] = -10.0 + 10.0 * side
            assert watch.judge(values, 1.0) is None


@pytest.mark.parametrize(("apart", "found"), [(1e-7, False), (1e-2, True)])
def test_differences_far_below_the_scale_of_energies_are_none(apart: float, found: bool) -> None:
    """In an eigenstate all walkers have one energy but for rounding, and for a few rare configurations; also at 0."""
    for centre in (-2.118033988749895, 0.0):
        watch = WalkerWatch(scale=3.0)
        for _ in range(3):
            values = np.full(256, centre) + 1e-16 * np.arange(256)
            values[:4] += apart
            result = watch.judge(values, 1.0)
        assert (result is not None) == found


def test_numbers() -> None:
    watch = WalkerWatch()
    for look in range(3):
        result = watch.judge(energies(look, stuck=5), r_hat=1.5)
    assert result is not None
    assert (result.n_walkers, result.r_hat) == (200, 1.5)
    assert result.energy == pytest.approx(-1.0, abs=1.5) and result.others == pytest.approx(-10.0, abs=0.2)
    text = result.warning(120)
    assert 'after ansatz.start_from, sampler.start = "neel" starts walkers elsewhere' in text
    assert text.startswith("iteration 120: 5 of 200 walkers are stuck in a mode of their own, at energy ")
    assert "R-hat 1.500" in text and "they are kept" in text and "\n" not in text


def test_not_finite_is_far_out_and_equal_energies_are_not() -> None:
    values = np.full(10, -3.0)
    assert outliers(values).tolist() == [0] * 10
    values[2], values[5], values[7] = np.nan, np.inf, -3.1
    assert outliers(values).tolist() == [0, 0, 1, 0, 0, 1, 0, -1, 0, 0]
    assert outliers(np.full(3, np.nan)).tolist() == [1, 1, 1]


def test_warnings_are_rare() -> None:
    watch = WalkerWatch()
    warned = [i for i in range(300) if watch.look(i, energies(i, stuck=5), 1.5, COMM)]
    assert warned == [20, 50, 110, 170, 230, 290], "first, and whenever they start again"


def test_each_look_is_there_to_be_recorded() -> None:
    watch, seen = WalkerWatch(), []
    for iteration in range(41):
        watch.look(iteration, energies(iteration, stuck=5 if iteration < 40 else 0), 1.5, COMM)
        seen.append(watch.n_stuck)
    assert [seen[iteration] for iteration in (0, 10, 20, 30, 40)] == [0, 0, 5, 5, 0]
    assert {seen[iteration] for iteration in range(41) if iteration % 10} == {-1}


def record(iteration: int, energies: NDArray[np.float64], spins: NDArray[np.int8]) -> StepRecord:
    statistics = EnergyStatistics(-10.0 + 0j, 0.1, 1.0, 1.0, 1.5, 1.0, 0.5, 100, 100.0)
    state = State(iteration + 1, np.zeros(1), Walkers(spins, 0))
    return StepRecord(iteration, statistics, Step(np.zeros(1), 0.1, 0.0, 0.0, 0, 0.0, 0.0), state, energies, {})


@pytest.mark.parametrize(("side", "is_restarted"), [(1.0, True), (-1.0, False)])
def test_walkers_that_stay_above_the_others_start_again_from_them(side: float, is_restarted: bool) -> None:
    """At the sixth look; replicas in the lanes beyond stay, and a lower mode may be the right one."""
    spins = np.ones((2, 3, 24), np.int8)  # 20 walkers and 4 replicas in a block
    spins[1, :, 17:] = -1
    watch = WalkerWatch(width=20, seed=3)
    for look in range(6):
        assert (spins[1, :, 17:20] == -1).all()
        values = np.random.default_rng(look).normal(-10.0, 0.1, size=40)
        values[-3:] += 6.0 * side
        watch.after(Round(record(10 * look, values, spins)), COMM)
    assert (spins[1, :, 17:20] == (1 if is_restarted else -1)).all() and (spins[1, :, 20:] == -1).all()
    assert (spins[:, :, :17] == 1).all()


def test_a_resumed_run_starts_them_again_at_the_same_look() -> None:
    """A checkpoint keeps how often each was stuck."""
    watch, n = WalkerWatch(), 0
    for look in range(12):
        if look == 4:
            part, state = watch.saved(COMM), State(40, np.zeros(1), Walkers(np.ones((1, 3, 8), np.int8), 0))
            watch = WalkerWatch()
            watch.restored(SavedRun(state, {watch.name: part}, {}))
        result = watch.judge(energies(look, stuck=5), 1.5)
        n += 0 if result is None else len(result.restarted)
        assert n == 5 * ((look + 1) // 6)
