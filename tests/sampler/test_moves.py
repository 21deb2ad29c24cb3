"""Moves: which sets are proposed and how often; where they lead, against the graph of configurations."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from pvmc.config import RawInput, validate
from pvmc.errors import InputError
from pvmc.hamiltonians import Operator, PauliSum, X, Y, Z
from pvmc.lattice import Lattice, chain, graph, rectangle
from pvmc.mpi import SerialCommunicator
from pvmc.sampler import moves as module
from pvmc.sampler.moves import KINDS, Moves, MoveWeights, reach
from pvmc.vmc.display import notes
from pvmc.vmc.job import Job, build_job
from pvmc.vmc.spec import JobConfig
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


def test_every_weight_has_a_kind_in_the_registry() -> None:
    assert list(KINDS) == list(MoveWeights.model_fields)


# Where they lead ------------------------------------------------------------------------------------------------------

TWO_PARTS = {"kind": "graph", "edges": [[0, 1], [1, 2], [3, 4], [4, 5]]}
ONE_FIELD = {"model": "ising", "field": [1.0, 0.0, 0.0, 0.0, 0.0]}


def walked_through(moves: Moves, n_sites: int, magnetization: int | None) -> int:
    """The number of sets of configurations that no move joins, by a search from each that was not reached before."""
    configurations = [tuple(1 - 2 * (label >> site & 1) for site in range(n_sites)) for label in range(2**n_sites)]
    left = {s for s in configurations if magnetization is None or sum(s) == magnetization}
    n_parts = 0
    while left:
        reached = [left.pop()]
        n_parts += 1
        for s in reached:
            for k, conserving in enumerate(moves.conserving):
                sites = moves.flips[k].tolist()
                if not conserving or sum(s[i] for i in sites) == 0:
                    new = tuple(-one if i in sites else one for i, one in enumerate(s))
                    if new in left:
                        left.remove(new)
                        reached.append(new)
            for permutation, sign in zip(moves.maps.permutations.tolist(), moves.maps.signs.tolist(), strict=True):
                new = tuple(sign * s[i] for i in permutation)
                if new in left:
                    left.remove(new)
                    reached.append(new)
    return n_parts


def operator(terms: PauliSum, n_sites: int) -> Operator:
    return Operator.from_pauli_sum(terms, n_sites)


PAIR_FLIPS = PauliSum.total(X(i) * X(i + 1) for i in range(4))
PLAQUETTE = PauliSum.total(X(i) * X(i + 1) * Y(i + 2) * Y(i + 3) for i in range(2)) + Z(0)
LOWERED_PAIRS = PauliSum.total(X(i) * X(i + 2) + Y(i) * Y(i + 2) for i in range(3))
EDGES = graph([(0, 1, 1.0), (1, 2, 1.0), (3, 4, 1.0)])

CASES: list[tuple[Lattice, PauliSum, dict[str, float], int | None, int]] = [
    (chain(5), Z(0), {"flip": 1.0}, None, 1),
    (chain(5), Z(0), {"exchange": 1.0}, 1, 1),
    (chain(5, periodic=False), Z(0), {"exchange": 1.0}, 3, 1),
    (EDGES, Z(0), {"exchange": 1.0}, 1, 3),
    (EDGES, Z(0), {"exchange": 1.0}, 5, 1),
    (EDGES, Z(0), {"exchange": 0.5, "exchange_any": 0.5}, 1, 1),
    (chain(5), PAIR_FLIPS, {"hamiltonian": 1.0}, None, 2),
    (chain(5), PAIR_FLIPS, {"hamiltonian": 1.0, "global_flip": 0.1}, None, 1),
    (chain(4), PauliSum.total(X(i) * X(i + 1) for i in range(3)), {"hamiltonian": 1.0, "global_flip": 0.1}, None, 2),
    (chain(5), PAIR_FLIPS + X(0), {"hamiltonian": 1.0}, None, 1),
    (chain(5), X(0), {"hamiltonian": 1.0}, None, 16),
    (chain(5), X(0) + X(1) * X(2), {"hamiltonian": 1.0, "translation": 0.1}, None, 1),
    (chain(5), X(0), {"hamiltonian": 0.5, "exchange": 0.5}, None, 1),
    (EDGES, X(0), {"hamiltonian": 0.5, "exchange": 0.5}, None, 3),
    (chain(5), PLAQUETTE, {"hamiltonian": 1.0}, None, 8),
    (chain(5), LOWERED_PAIRS, {"hamiltonian": 1.0}, 1, 3),
    (graph([(0, 1, 1.0), (2, 3, 1.0)]), Z(0), {"exchange": 0.5, "global_flip": 0.5}, 0, 2),
]


@pytest.mark.parametrize(("lattice", "terms", "weights", "magnetization", "n_parts"), CASES)
def test_small_systems_are_decided_exactly(
    lattice: Lattice, terms: PauliSum, weights: dict[str, float], magnetization: int | None, n_parts: int
) -> None:
    moves = Moves.build(MoveWeights(**weights), lattice, operator(terms, lattice.n_sites))
    assert walked_through(moves, lattice.n_sites, magnetization) == n_parts
    assert reach(moves, lattice.n_sites, magnetization).complete is (n_parts == 1)


@pytest.mark.parametrize(("lattice", "terms", "weights", "magnetization", "n_parts"), CASES)
def test_what_is_said_of_large_systems_is_true(
    monkeypatch: pytest.MonkeyPatch,
    lattice: Lattice,
    terms: PauliSum,
    weights: dict[str, float],
    magnetization: int | None,
    n_parts: int,
) -> None:
    """Without the graph of configurations: right where something is said."""
    monkeypatch.setattr(module, "LARGEST_GRAPH", 0)
    moves = Moves.build(MoveWeights(**weights), lattice, operator(terms, lattice.n_sites))
    assert reach(moves, lattice.n_sites, magnetization).complete in (n_parts == 1, None)


def test_large_systems_of_the_usual_kinds_are_decided() -> None:
    n_sites = 60
    field, pairs = X(0), PauliSum.total(X(i) * X(i + 1) for i in range(n_sites - 1))
    two = graph([(i, i + 1, 1.0) for i in range(n_sites - 1) if i != 29])
    line = chain(n_sites, periodic=False)

    def complete(lattice: Lattice, terms: PauliSum, magnetization: int | None, **weights: float) -> bool | None:
        moves = Moves.build(MoveWeights(**weights), lattice, operator(terms, n_sites))
        return reach(moves, n_sites, magnetization).complete

    assert complete(two, Z(0), 0, exchange=1.0) is False
    assert complete(line, Z(0), 0, exchange=1.0) is True
    assert complete(line, field, None, hamiltonian=1.0) is False
    assert complete(line, pairs, None, hamiltonian=1.0) is False
    assert complete(line, pairs + field, None, hamiltonian=1.0) is True
    assert complete(two, Z(0), 0, exchange=1.0, global_flip=0.1) is None


# In jobs --------------------------------------------------------------------------------------------------------------


def job(lattice: dict[str, Any], hamiltonian: dict[str, Any], stored: bool = False, **sampler: Any) -> Job:
    ansatz = {"kind": "rbm", "alpha": 1, "symmetry": "none", "weights": "real"}
    tables = {"lattice": lattice, "hamiltonian": hamiltonian, "ansatz": ansatz, "sampler": sampler}
    raw = RawInput(tables, "in.toml", stored=stored)
    return build_job(validate(JobConfig, raw), raw)


REFUSED = [
    (
        (TWO_PARTS, {"model": "heisenberg"}, {"moves": {"exchange": 1.0}}),
        r"^in.toml: sampler.moves = .*the 20 configurations fall into 4 sets that no move joins; "
        r"give sampler.moves.exchange_any a weight, such as 0.2$",
    ),
    (
        ({"kind": "chain", "length": 5, "periodic": False}, ONE_FIELD, {"moves": {"hamiltonian": 1.0}}),
        r"the 32 configurations fall into 16 sets that no move joins; give sampler.moves.flip a weight, such as 0.2$",
    ),
    (
        ({"kind": "chain", "length": 60}, {"model": "xyz", "couplings": [1, 0.5, 0.2]}, {"moves": {"hamiltonian": 1}}),
        r"the moves change 59 of 60 .*give sampler.moves.flip a weight",
    ),
]


@pytest.mark.parametrize(("arguments", "text"), REFUSED)
def test_moves_that_do_not_reach_all_are_refused(arguments: tuple[Any, Any, Any], text: str) -> None:
    lattice, hamiltonian, sampler = arguments
    with pytest.raises(InputError, match=text):
        job(lattice, hamiltonian, **sampler)
    old = job(lattice, hamiltonian, stored=True, **sampler)  # a run that was made before is measured as it was
    (line,) = [line for line in notes(old) if line.startswith("warning: sampler.moves")]
    assert "give sampler.moves." in line


def test_moves_that_reach_all_are_not_spoken_of() -> None:
    for moves in ({"exchange": 1.0}, {"exchange": 0.5, "exchange_any": 0.5}, {"hamiltonian": 1.0}):
        assert not any(
            "moves" in line for line in notes(job({"kind": "chain", "length": 6}, {"model": "heisenberg"}, moves=moves))
        )


def test_a_walker_of_two_spins_does_not_alternate() -> None:
    """Two spins exchange at every proposal: draws one sweep apart would be equal, or opposite, for ever.

    5120 draws of s0, +1 and -1 equally likely: mean and rate of changes, two-sided at 5 standard errors; each walker
    has both values.
    """
    one = job(
        {"kind": "chain", "length": 2, "periodic": False}, {"model": "heisenberg"}, walkers=64, samples=5120, burn_in=0
    )
    psi, comm = one.ansatz.at(np.zeros(one.ansatz.n_parameters)), SerialCommunicator()
    for sweep_seed in range(2):
        walkers = one.sampler.start(range(one.sampler.n_blocks), comm)
        draws = np.array([draw.spins[0].copy() for draw in one.sampler.walk(walkers, psi, sweep_seed + 1)], dtype=float)
        changes = np.mean(draws[1:] != draws[:-1])
        assert abs(draws.mean()) < 5 / np.sqrt(draws.size)
        assert abs(changes - 0.5) < 5 * 0.5 / np.sqrt(draws.size)
        assert np.all(draws.std(axis=0) > 0)
