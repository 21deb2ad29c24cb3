"""Where the walkers start: uniformly, at the magnetisation asked for, and the same however the blocks are dealt out."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

from pvmc.lattice import LatticeError, chain, rectangle
from pvmc.mpi import block_range
from pvmc.sampler import start
from tests.helpers import binomial_p, chi_square_p, labels_of

LEVEL = 1e-3
"""Significance of each statistical test, two-sided."""

SIX = chain(6)


@pytest.mark.parametrize("magnetization", [-4, -2, 0, 2, 4])
def test_every_walker_has_the_magnetization_asked_for(magnetization: int) -> None:
    walkers = start("random", range(5), 32, SIX, magnetization, seed=3)
    assert walkers.spins.shape == (5, 6, 32) and walkers.spins.dtype == np.int8
    assert walkers.n_walkers == 160
    assert np.all(np.abs(walkers.spins) == 1)
    assert np.all(walkers.spins.sum(axis=1, dtype=np.int64) == magnetization)


@pytest.mark.parametrize("magnetization", [-3, 1, 5])
def test_odd_numbers_of_sites(magnetization: int) -> None:
    spins = start("random", range(3), 16, chain(5, periodic=False), magnetization, seed=3).spins
    assert np.all(spins.sum(axis=1, dtype=np.int64) == magnetization)


@pytest.mark.statistical
@pytest.mark.parametrize("magnetization", [None, -4, 0, 2])
def test_configurations_are_uniform(magnetization: int | None) -> None:
    """Over all configurations, from walkers of many blocks."""
    spins = start("random", range(300), 64, SIX, magnetization, seed=4).spins
    counts = np.bincount(labels_of(spins.transpose(1, 0, 2).reshape(6, -1)), minlength=64)
    possible = np.array([magnetization in (None, 6 - 2 * row.bit_count()) for row in range(64)])
    assert possible.sum() == (64 if magnetization is None else comb(6, (6 - magnetization) // 2))
    assert counts[~possible].sum() == 0
    assert chi_square_p(counts[possible], np.ones(possible.sum())) > LEVEL


@pytest.mark.statistical
@pytest.mark.parametrize("magnetization", [None, 0])
def test_walkers_of_a_block_are_independent(magnetization: int | None) -> None:
    """The joint distribution of two neighbouring walkers on 4 sites is uniform over pairs."""
    spins = start("random", range(200), 64, chain(4), magnetization, seed=5).spins
    labels = labels_of(spins.transpose(1, 0, 2).reshape(4, -1)).reshape(200, 64)
    pairs = np.bincount((labels[:, ::2] * 16 + labels[:, 1::2]).ravel(), minlength=256)
    assert np.count_nonzero(pairs) == (256 if magnetization is None else 36)
    assert chi_square_p(pairs[pairs > 0], np.ones(np.count_nonzero(pairs))) > LEVEL


@pytest.mark.parametrize("kind", ["random", "neel"])
@pytest.mark.parametrize("magnetization", [None, 0])
@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_blocks_do_not_depend_on_the_number_of_ranks(kind: str, magnetization: int | None, size: int) -> None:
    n_blocks, width = 7, 8
    whole = start(kind, range(n_blocks), width, SIX, magnetization, seed=6).spins
    parts = []
    for rank in range(size):
        blocks = block_range(n_blocks, rank, size)
        walkers = start(kind, blocks, width, SIX, magnetization, seed=6)
        assert walkers.first_block == blocks.start
        parts.append(walkers.spins)
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_blocks_and_seeds_differ() -> None:
    spins = start("random", range(40), 32, chain(12), 0, seed=7).spins
    assert len(np.unique(spins.reshape(40, -1), axis=0)) == 40
    assert not np.array_equal(spins, start("random", range(40), 32, chain(12), 0, seed=8).spins)


@pytest.mark.statistical
def test_neel_order_is_staggered_with_both_signs_equally_often() -> None:
    lattice = rectangle((4, 2), periodic=(True, False))
    spins = start("neel", range(50), 64, lattice, 0, seed=9).spins
    i, j = lattice.bonds().T
    assert np.all(spins[:, i] == -spins[:, j])
    ups = np.count_nonzero(spins[:, 0] == 1)
    assert binomial_p(ups, 50 * 64, 0.5) > LEVEL


def test_neel_order_needs_two_sublattices() -> None:
    with pytest.raises(LatticeError, match="sublattices"):
        start("neel", range(1), 4, chain(5), None, seed=1)
