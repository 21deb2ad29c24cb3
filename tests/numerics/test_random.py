"""Random numbers: functions of (seed, stream, block, iteration), with nothing in common for different arguments."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from pvmc.numerics.random import Stream, generator
from tests.helpers import chi_square_p, two_sided

LEVEL = 1e-3
"""Significance of each statistical test of this file, two-sided."""


def draws(n: int = 64, seed: int = 1, stream: Stream = Stream.SWEEPS, block: int = 0, iteration: int = 0) -> np.ndarray:
    return generator(seed, stream, block=block, iteration=iteration).random(n)


def test_the_same_arguments_give_the_same_numbers() -> None:
    first = draws(seed=5, block=3, iteration=17)
    draws(seed=6)  # no hidden state between generators
    np.testing.assert_array_equal(first, draws(seed=5, block=3, iteration=17))


def test_the_numbers_are_pinned() -> None:
    """Philox-4x64 by its definition: the numbers must not change between versions, or runs cannot be repeated."""
    expected = np.random.Philox(counter=[0, 0, 7, 3], key=[42, int(Stream.SWEEPS)]).random_raw(8)
    words = generator(42, Stream.SWEEPS, block=3, iteration=7).bit_generator.random_raw(8)
    np.testing.assert_array_equal(words, expected)
    assert [int(stream) for stream in Stream] == list(range(12))


def test_every_argument_matters() -> None:
    arguments = itertools.product([0, 1, 2, 2**63 - 1], Stream, [0, 1, 2, 1000], [0, 1, 2, 10**6])
    streams = [draws(8, seed, stream, block, iteration) for seed, stream, block, iteration in arguments]
    assert len(np.unique(np.array(streams), axis=0)) == len(streams) == 4 * len(Stream) * 4 * 4
    assert len(np.unique(np.array(streams))) == len(streams) * 8  # nor is one a shifted copy of another


def test_swapped_arguments_are_different() -> None:
    assert not np.array_equal(draws(block=2, iteration=5), draws(block=5, iteration=2))
    assert not np.array_equal(draws(seed=1, stream=Stream.SWEEPS), draws(seed=2, stream=Stream.START))


@pytest.mark.parametrize("seed", [0, 2**32, 2**63 - 1, 2**63, 2**64 - 1])
def test_huge_seeds(seed: int) -> None:
    numbers = draws(20_000, seed=seed)
    assert two_sided(stats.norm.cdf(np.sqrt(12 * len(numbers)) * (numbers.mean() - 0.5))) > LEVEL / 5
    assert not np.array_equal(numbers, draws(20_000, seed=seed ^ 1))


def test_seeds_beyond_64_bits_are_refused() -> None:
    with pytest.raises(OverflowError):
        generator(2**64, Stream.SWEEPS)


@pytest.mark.statistical
def test_streams_are_uncorrelated() -> None:
    """Correlation coefficients of all pairs of streams, at one draw for one and shifted by one draw.

    Six statements, at LEVEL together (Bonferroni).
    """
    n, level = 4000, LEVEL / 6
    arguments = itertools.product([1, 2], Stream, range(6), range(4))
    rows = np.array([draws(n + 1, seed, stream, block, iteration) for seed, stream, block, iteration in arguments])
    rows = (rows - 0.5) * np.sqrt(12.0)
    together = (rows[:, :n] @ rows[:, :n].T / np.sqrt(n))[np.triu_indices(len(rows), 1)]
    shifted = (rows[:, :n] @ rows[:, 1:].T / np.sqrt(n)).ravel()
    for scores in (together, shifted):
        largest = np.abs(scores).max()
        assert two_sided(stats.chi2.cdf(largest**2, 1) ** len(scores)) > level
        assert abs(scores.mean()) * np.sqrt(len(scores)) < stats.norm.isf(level / 2)
        # The variance of a score is 1, that of its square 2 + O(1/n).
        assert abs(np.mean(scores**2) - 1.0) * np.sqrt(len(scores) / 2.0) < stats.norm.isf(level / 2)


@pytest.mark.statistical
@pytest.mark.parametrize("counted", ["seed", "block", "iteration"])
def test_first_draws_of_consecutive_streams_are_uniform_and_independent(counted: str) -> None:
    """Consecutive keys and counters, the usual weak spot: first draws by chi-square, alone and in pairs."""
    first = np.array([draws(1, **{counted: value})[0] for value in range(8192)])
    assert chi_square_p(np.bincount((first * 64).astype(int), minlength=64), np.ones(64)) > LEVEL
    pairs = (first[:-1:2] * 16).astype(int) * 16 + (first[1::2] * 16).astype(int)
    assert chi_square_p(np.bincount(pairs, minlength=256), np.ones(256)) > LEVEL
