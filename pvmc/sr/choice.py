"""Which solver of the linear problem is best."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pvmc.planning.cost import SOLVERS, Cost, SolverName, cost
from pvmc.planning.sizes import Sizes
from pvmc.sr.spec import SRSpec

DENSE_LARGEST = 2000
"""Parameters up to which the dense solver is preferred: it is exact, and an iteration takes less than a second."""

CLEARLY = 3.0
"""Factor by which it must be slower than every other to lose its preference."""

MEMORY_LIMIT = 2 * 10**9
"""Bytes of a rank for the linear problem, where no limit is given: what clusters have for a core at the least."""

NOMINAL_RANKS = 64
"""A run decides for so many ranks (or for its blocks, where there are fewer), whatever ranks it has."""


@dataclass(frozen=True)
class Choice:
    """A solver, and why in one line."""

    solver: SolverName
    reason: str


def choose(sizes: Sizes, ranks: int | None = None) -> Choice:
    """The solver for a problem.

    Dense up to about 2000 parameters, unless it is clearly the slowest; else the fastest of those that fit into the
    memory, by the rates of a typical core.

    A run must leave the ranks at their default, and measured rates play no part: with another solver a run that goes on
    with other ranks or on another machine would not have the same bits.

    Args:
        sizes: of the problem.
        ranks: number of ranks to decide for; None: 64, or as many as can share the samples.
    """
    ranks = nominal_ranks(sizes) if ranks is None else ranks
    costs = {solver: cost(sizes, solver, ranks) for solver in SOLVERS}
    limit = MEMORY_LIMIT if sizes.memory_limit is None else sizes.memory_limit
    fitting = [solver for solver in SOLVERS if costs[solver].memory <= limit]
    if not fitting:
        solver = min(SOLVERS, key=lambda one: costs[one].memory)
        return Choice(solver, f"{_size(sizes)}: none of the solvers fits into the memory, {solver} needs the least")
    solver = min(fitting, key=lambda one: costs[one].seconds)
    if sizes.n_parameters <= DENSE_LARGEST and "dense" in fitting and not _is_clearly_slowest("dense", costs):
        solver = "dense"
    return Choice(solver, f"{_size(sizes)}: {_advantage(sizes, solver)}")


def resolve(spec: SRSpec, sizes: Sizes) -> Choice:
    """The solver of a section [sr]: the named one, else the only one that does what is asked for, else the fastest."""
    if spec.solver != "auto":
        return Choice(spec.solver, f'sr.solver = "{spec.solver}"')
    if spec.method != "reconfiguration":
        return Choice("krylov", f'sr.method = "{spec.method}" needs only products with O')
    if spec.factorisation == "eigen":
        return Choice("dense", 'sr.factorisation = "eigen" needs the matrix S')
    return choose(sizes)


def nominal_ranks(sizes: Sizes) -> int:
    """Ranks that a run decides for, whatever it has."""
    return min(NOMINAL_RANKS, sizes.most_ranks)


def _is_clearly_slowest(solver: SolverName, costs: Mapping[SolverName, Cost]) -> bool:
    slowest_other = max(costs[other].seconds for other in costs if other != solver)
    return costs[solver].seconds > CLEARLY * slowest_other


def _size(sizes: Sizes) -> str:
    return f"K = {sizes.n_parameters} parameters, {sizes.n_samples} samples"


def _advantage(sizes: Sizes, solver: SolverName) -> str:
    k, n = sizes.n_parameters, sizes.n_rows
    if solver == "minsr":
        return f"minsr solves a {n} x {n} system instead of {k} x {k}"
    if solver == "krylov":
        return f"krylov needs only products with O, neither the {k} x {k} matrix S nor the {n} x {n} kernel"
    return f"dense solves the {k} x {k} system directly"
