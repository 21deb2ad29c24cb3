"""Sample numbers that grow: the rule on series of energies of which all is known.

Statistical tests are two-sided and fail by chance with the probability LEVEL each.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from pvmc.sampler import Growth
from tests.designs import repeats
from tests.helpers import binomial_p

Floats = npt.NDArray[np.float64]

LEVEL = 1e-3


def counts(growth: Growth, energies: Iterable[float], error: float = 0.1) -> list[int]:
    """Draws of the iterations after each of these."""
    numbers, draws = growth.start(), []
    for energy in energies:
        numbers = growth.after(numbers, energy, error)
        draws.append(growth.draws(numbers))
    return draws


def test_it_starts_with_the_fewest() -> None:
    growth = Growth(4, 100, 2.0, 10)
    assert growth.draws(growth.start()) == 4
    assert growth.start().dtype == np.float64


def test_a_constant_energy_doubles_the_draws_after_two_windows_up_to_the_most() -> None:
    draws = counts(Growth(4, 20, 2.0, 5), np.zeros(45))
    assert draws == [4] * 9 + [8] * 10 + [16] * 10 + [20] * 16


@pytest.mark.parametrize(
    ("factor", "expected"), [(1.1, [10, 11, 13, 15]), (1.01, [10, 11, 12, 13]), (1.5, [10, 15, 23, 35])]
)
def test_draws_are_rounded_up(factor: float, expected: list[int]) -> None:
    """1.1 * 10 is 11, whatever floating-point numbers make of it."""
    assert sorted(set(counts(Growth(10, expected[-1], factor, 2), np.zeros(12)))) == expected


@pytest.mark.parametrize("window", [2, 3, 10, 50])
def test_an_energy_that_falls_keeps_the_draws(window: int) -> None:
    """A straight line, without noise and with as much as it falls in an iteration, and one that rises."""
    growth, line = Growth(4, 100, 2.0, window), -np.arange(6.0 * window)
    assert set(counts(growth, line, error=0.0)) == {4}
    assert counts(growth, -line, error=0.0)[2 * window - 1] == 8
    if window >= 10:
        noise = np.random.default_rng(1).normal(size=len(line))
        assert set(counts(growth, line + noise, error=1.0)) == {4}


def test_a_fall_is_measured_by_the_errors() -> None:
    """Windows of 25 with claimed errors s: each mean has s/5, and a fall by more than 2 sqrt(2) s/5 is one."""
    step = np.repeat([0.0, -1.0], 25)
    threshold = 5.0 / (2.0 * np.sqrt(2.0))
    assert counts(Growth(1, 8, 2.0, 25), step, error=0.99 * threshold)[-1] == 1
    assert counts(Growth(1, 8, 2.0, 25), step, error=1.01 * threshold)[-1] == 2


def test_a_run_that_converges_grows_only_then() -> None:
    """exp(-t/40) falls by 5 times the error of a window, sqrt(2) 0.02/5, until it is 0.07: for 100 iterations or so."""
    rng = np.random.default_rng(2)
    for _ in range(20):
        energies = np.exp(-np.arange(300) / 40.0) + 0.02 * rng.normal(size=300)
        draws = counts(Growth(1, 1024, 2.0, 25), energies, error=0.02)
        assert draws[99] == 1 and draws[-1] > 1


@pytest.mark.statistical
@repeats(500, 2000)
@pytest.mark.parametrize("n_draws", [4, 37])
def test_independent_energies_seem_to_fall_in_one_comparison_of_forty(n_draws: int, repeats: int) -> None:
    """Claimed errors that are true; where binning finds a larger one by chance, a fall is seen less often still."""
    rng = np.random.default_rng([3, n_draws])
    growth = Growth(n_draws, 2 * n_draws, 2.0, 200)
    kept = sum(counts(growth, rng.normal(size=400), error=1.0)[-1] == n_draws for _ in range(repeats))
    assert kept / repeats < stats.norm.sf(2.0) + 4.0 * np.sqrt(stats.norm.sf(2.0) / repeats)
    assert binomial_p(kept, repeats, stats.norm.sf(3.0)) < LEVEL, "a fall by 2 sigmas is told from one by 3"


@pytest.mark.statistical
def test_correlated_energies_are_not_mistaken_for_a_fall() -> None:
    """Iterations with rho(t) = 0.8^t: means scatter 3 times as much as independent ones with these errors."""
    rng, growth = np.random.default_rng(4), Growth(1, 2, 2.0, 200)
    kept = naive = 0
    for _ in range(500):
        energies = rng.normal(size=400)
        for t in range(1, 400):
            energies[t] = 0.8 * energies[t - 1] + 0.6 * energies[t]
        kept += counts(growth, energies, error=1.0)[-1] == 1
        naive += energies[:200].mean() - energies[200:].mean() > 2.0 * np.sqrt(2.0 / 200)
    assert binomial_p(naive, 500, stats.norm.sf(2.0 / 3.0)) > LEVEL
    assert kept < 0.3 * naive


def test_two_windows_of_a_fall_make_way_for_the_next_comparison() -> None:
    """Fall, then rest: the last full window of the fall is the first of the comparison that finds it."""
    energies = np.concatenate([np.zeros(5), np.full(20, -1.0)])
    assert counts(Growth(1, 64, 2.0, 5), energies) == [1] * 14 + [2] * 10 + [4]


def test_numbers_are_all_there_is() -> None:
    """They go through bytes, as in a checkpoint, and what is given is not changed."""
    rng = np.random.default_rng(5)
    energies = np.exp(-np.arange(60) / 10.0) + 0.05 * rng.normal(size=60)
    growth = Growth(3, 500, 1.7, 4)
    numbers, restarted = growth.start(), growth.start()
    for energy in energies:
        before = numbers.tobytes()
        numbers, old = growth.after(numbers, energy, 0.05), numbers
        assert old.tobytes() == before
        restarted = Growth(3, 500, 1.7, 4).after(np.frombuffer(restarted.tobytes()), energy, 0.05)
        assert restarted.tobytes() == numbers.tobytes() and numbers.shape == growth.start().shape
    assert growth.draws(numbers) > 3


@pytest.mark.parametrize(("energy", "error"), [(np.nan, 0.1), (-np.inf, 0.1), (0.0, np.nan), (0.0, np.inf)])
def test_an_iteration_that_is_not_finite_does_not_count(energy: float, error: float) -> None:
    growth = Growth(1, 8, 2.0, 3)
    numbers = growth.after(growth.start(), 1.0, 0.1)
    assert growth.after(numbers, energy, error).tobytes() == numbers.tobytes()
