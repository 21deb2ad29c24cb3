"""Which sets of spins are proposed, how often, and which of them keep the magnetisation."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from pydantic import ValidationError

from pvmc.lattice import Lattice, chain, rectangle
from pvmc.sampler import Moves, MoveWeights
from tests.helpers import chi_square_p

LEVEL = 1e-3
"""Significance of each chi-square test, two-sided."""

LATTICE = rectangle((3, 2), periodic=(True, False))


def sets_of(moves: Moves) -> list[tuple[int, ...]]:
    return [tuple(moves.flips[k].tolist()) for k in range(len(moves.flips))]


@pytest.mark.parametrize("lattice", [chain(6), chain(5, periodic=False), LATTICE], ids=["ring", "open", "rectangle"])
def test_each_kind_proposes_its_sets(lattice: Lattice) -> None:
    n = lattice.n_sites
    flip, exchange, exchange_any = (
        Moves.build(MoveWeights(**{name: 2.0}), lattice) for name in ("flip", "exchange", "exchange_any")
    )
    assert sets_of(flip) == [(site,) for site in range(n)]
    assert sets_of(exchange) == [tuple(bond) for bond in lattice.bonds().tolist()]
    assert sets_of(exchange_any) == list(combinations(range(n), 2))


def test_only_exchanges_conserve_the_magnetization() -> None:
    flip, exchange = Moves.build(MoveWeights(flip=1.0), LATTICE), Moves.build(MoveWeights(exchange=1.0), LATTICE)
    both = Moves.build(MoveWeights(flip=0.1, exchange=1.0, exchange_any=1.0), LATTICE)
    assert not flip.conserving.any() and not flip.conserve_magnetization
    assert exchange.conserving.all() and exchange.conserve_magnetization
    assert Moves.build(MoveWeights(exchange=1.0, exchange_any=3.0), LATTICE).conserve_magnetization
    assert not both.conserve_magnetization
    np.testing.assert_array_equal(both.conserving, np.diff(both.flips.offsets) == 2)


@pytest.mark.statistical
@pytest.mark.parametrize(
    "weights",
    [
        {"flip": 1.0},
        {"exchange": 3.0},
        {"exchange_any": 0.2},
        {"flip": 1.0, "exchange": 2.0},
        {"flip": 0.5, "exchange": 0.0, "exchange_any": 4.0},
        {"flip": 1.0, "exchange": 2.0, "exchange_any": 0.7},
    ],
    ids=str,
)
def test_sets_are_chosen_by_the_weight_of_their_kind_and_uniformly_within(weights: dict[str, float]) -> None:
    moves = Moves.build(MoveWeights(**weights), LATTICE)
    sizes = {"flip": 6, "exchange": len(LATTICE.bonds()), "exchange_any": 15}
    total = sum(weights.values())
    expected = np.concatenate(
        [np.full(sizes[name], weights[name] / total / sizes[name]) for name in sizes if weights.get(name, 0.0) > 0]
    )
    chosen = moves.choose(np.random.default_rng(11), 200_000)
    assert chosen.dtype == np.int64
    assert len(moves.flips) == len(expected)
    assert chosen.min() >= 0 and chosen.max() < len(expected)
    assert chi_square_p(np.bincount(chosen, minlength=len(expected)), expected) > LEVEL


@pytest.mark.statistical
def test_consecutive_choices_are_independent() -> None:
    moves = Moves.build(MoveWeights(flip=1.0, exchange=1.5), LATTICE)
    n = len(moves.flips)
    chosen = moves.choose(np.random.default_rng(12), 200_000)
    single = np.bincount(chosen, minlength=n) / len(chosen)
    pairs = np.bincount(chosen[:-1:2] * n + chosen[1::2], minlength=n * n)
    # The frequencies are exact to 1%, which adds to the statistic less than its own scatter.
    expected = np.where(np.arange(n) < 6, 0.4 / 6, 0.6 / (n - 6))
    np.testing.assert_allclose(single, expected, rtol=0.06)
    assert chi_square_p(pairs, np.outer(expected, expected).ravel()) > LEVEL


def test_choices_are_a_function_of_the_generator_alone() -> None:
    moves = Moves.build(MoveWeights(flip=1.0, exchange_any=1.0), LATTICE)
    first, second = (moves.choose(np.random.default_rng(3), 500) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("weights", [{"flip": -1.0}, {"exchange": float("nan")}, {"flips": 1.0}, {"flip": True}])
def test_impossible_weights_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        MoveWeights(**weights)
