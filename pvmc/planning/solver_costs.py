"""Memory and time that each solver needs for the linear problem of an iteration, and the choice among the solvers.

    dense    S = X^dagger X, K x K, summed over ranks; rank 0 factorises it
    minsr    the Gram matrix T = X X^dagger, n x n, each rank with K / P of the parameters; rank 0 factorises it
             (Chen & Heyl, Nat. Phys. 20, 1476 (2024); Rende et al., Commun. Phys. 7, 260 (2024))
    krylov   conjugate gradients with v -> X^dagger (X v) on rows that stay where they were sampled
             (Neuscamman, Umrigar & Chan, Phys. Rev. B 85, 045103 (2012))

X are the centred log-derivatives, n x K; n = n_s configurations, or 2 n_s rows where theta is real and ln psi complex.
A multiplication and an addition of complex numbers are eight operations, of real ones two.  What all solvers share
(sampling, local energies, O itself) is not counted, nor that cores of a node slow each other down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from pvmc.planning.rates import TYPICAL, Rates
from pvmc.planning.sizes import Sizes

SolverName: TypeAlias = Literal["dense", "minsr", "krylov"]
SOLVERS: tuple[SolverName, ...] = get_args(SolverName)

ITERATIONS = 150
"""Iterations of conjugate gradients; 50 to 300 are typical."""

KRYLOV_VECTORS = 10
"""Vectors of K numbers that conjugate gradients hold, and move through the memory in an iteration."""

PASSES = 9
"""Passes of a matrix through the memory besides its factorisation: unpacked, scaled, multiplied by x.  Measured."""

PACKED_TERMS = 512
"""Terms of the products that are rounded to integers at a time."""

PIECE = 256
"""Parameters whose columns a rank holds at a time while it makes T."""

TRIANGLE_SPEED = 0.8
"""Speed of rank-k updates and of Cholesky, which make one triangle, relative to general products.  Measured."""

DENSE_LARGEST = 2000
"""Parameters up to which the dense solver is preferred: it is exact, and an iteration takes less than a second."""

CLEARLY = 3.0
"""Factor by which it must be slower than every other to lose its preference."""

MEMORY_LIMIT = 2 * 10**9
"""Bytes of a rank for the linear problem, where no limit is given: what clusters have for a core at the least."""

NOMINAL_RANKS = 64
"""A run decides for so many ranks (or for its blocks, where there are fewer), whatever ranks it has."""


@dataclass(frozen=True)
class LinearMemory:
    """Bytes that the largest rank holds for the linear problem.

    Attributes:
        derivatives: log-derivatives or their factors; with the dense solver, a chunk's and its copy.
        matrix: S or T, the integers that are summed, and what they are made from; or the vectors of conjugate
            gradients.
        peak: what is there at the same time.
    """

    derivatives: int
    matrix: int
    peak: int


@dataclass(frozen=True)
class Cost:
    """Cost of an iteration's linear problem.

    Attributes:
        memory: bytes of the largest rank.
        products: seconds in products of log-derivatives.
        solve: seconds in the solution, while the other ranks wait for the root or do the same.
        messages: seconds in messages.
    """

    memory: int
    products: float
    solve: float
    messages: float

    @property
    def seconds(self) -> float:
        """Seconds of all together."""
        return self.products + self.solve + self.messages


def cost(sizes: Sizes, solver: SolverName, ranks: int, rates: Rates = TYPICAL) -> Cost:
    """The cost of a solver on a number of ranks."""
    products, solve, messages = {"dense": _dense, "minsr": _minsr, "krylov": _krylov}[solver](sizes, ranks, rates)
    return Cost(linear_memory(sizes, solver, ranks).peak, products, solve, messages)


def linear_memory(sizes: Sizes, solver: SolverName, ranks: int) -> LinearMemory:
    """Memory of the rank with the most configurations (rank 0)."""
    if solver == "dense":
        return _dense_memory(sizes)
    numbers, matrix = _krylov_memory(sizes, ranks) if solver == "krylov" else _minsr_memory(sizes, ranks)
    derivatives = numbers * sizes.derivative_item
    return LinearMemory(derivatives, matrix, derivatives + matrix)


def _dense_memory(sizes: Sizes) -> LinearMemory:
    # A chunk's rows, and once more: centred, or their parts side by side.
    derivatives = 2 * sizes.chunk * sizes.n_parameters * sizes.derivative_item
    # The packed sums, S, and its scaled copy that becomes the factor; before, a chunk's product and the sums.
    tensor = 5 * sizes.n_parameters**2 * sizes.item // 2
    # While log-derivatives are made there are a chunk's rows, and either their copy or their product and the packed
    # sums, which are 3/5 of what S takes in the end.
    together = derivatives // 2 + max(derivatives // 2, 3 * tensor // 5)
    return LinearMemory(derivatives, tensor, max(together, tensor))


def _krylov_memory(sizes: Sizes, ranks: int) -> tuple[int, int]:
    """Numbers that are kept of O, and bytes of the rest."""
    vectors = KRYLOV_VECTORS * sizes.n_parameters * sizes.item
    share = sizes.share(ranks)
    if sizes.factor_rows is None:
        return share * sizes.n_parameters, vectors
    # Of a chunk's factors, what they are multiplied with and by.
    work = 2 * sizes.factor_rows * min(sizes.chunk, share) * sizes.derivative_item
    return share * sizes.factor_rows, vectors + work


def _minsr_memory(sizes: Sizes, ranks: int) -> tuple[int, int]:
    """Numbers that are kept of O, and bytes of the rest on the root."""
    share, triangle = sizes.share(ranks), sizes.n_rows**2 * sizes.item // 2
    if _gram_from_factors(sizes):
        factor_rows = sizes.factor_rows or 0
        # The factors of all configurations too.  T and its tiles' triangle from all ranks; this rank's tiles,
        # side by side, and as they are sent.
        return (share + sizes.n_samples) * factor_rows, 3 * triangle + 3 * triangle // ranks
    # Columns of some parameters: as sent, as received, and in one array.
    columns = 3 * min(PIECE, sizes.n_parameters) * sizes.n_samples * sizes.derivative_item
    # T, or a product that is added to it, and its packed sums.
    return share * sizes.n_parameters, columns + 3 * triangle


def _gram_from_factors(sizes: Sizes) -> bool:
    """True where T is an element-wise product of small Gram matrices, which needs the same penalty for each O_k."""
    return sizes.factor_rows is not None and sizes.uniform_penalty


def _dense(sizes: Sizes, ranks: int, rates: Rates) -> tuple[float, float, float]:
    k, share = sizes.n_parameters, sizes.share(ranks)
    products = _gram(k, 2 * share if sizes.stacked else share, sizes, rates)
    messages = rates.network.reduction(_packed(k, sizes), ranks) + rates.network.broadcast(k * sizes.item, ranks)
    return products, _root(k, sizes, rates), messages


def _minsr(sizes: Sizes, ranks: int, rates: Rates) -> tuple[float, float, float]:
    n, network = sizes.n_rows, rates.network
    messages = network.reduction(_packed(n, sizes), ranks) + network.broadcast(n * sizes.item, ranks)
    messages += network.reduction(sizes.n_parameters * sizes.item, ranks)  # x = X^dagger y
    if _gram_from_factors(sizes):
        own = sizes.share(ranks) * (sizes.factor_rows or 0) * sizes.derivative_item
        products = _factored_gram(sizes, ranks, rates)
        messages += network.broadcast(ranks * own, ranks)  # all factors to all ranks
    else:
        products = _gram(n, -(-sizes.n_parameters // ranks), sizes, rates)
        messages += network.all_to_all(sizes.share(ranks) * sizes.n_parameters * sizes.derivative_item, ranks)
    return products + _product_with_vector(sizes, ranks, rates), _root(n, sizes, rates), messages


def _factored_gram(sizes: Sizes, ranks: int, rates: Rates) -> float:
    """Seconds for X X^dagger; where it is stacked, X X^T is needed too for the real and imaginary parts."""
    per_element = 4 * (1 + sizes.stacked) if sizes.is_complex or sizes.stacked else 1
    n, is_complex = sizes.n_samples, sizes.derivative_item == 16
    flops = per_element * n**2 * (sizes.factor_rows or 0) / ranks
    return flops / (TRIANGLE_SPEED * rates.flops(is_complex=is_complex)) + _packing(sizes.n_rows, sizes, rates) / ranks


def _krylov(sizes: Sizes, ranks: int, rates: Rates) -> tuple[float, float, float]:
    k = sizes.n_parameters
    iterations = min(ITERATIONS, k, sizes.n_rows)  # no more than S has eigenvalues other than zero
    products = 2 * _product_with_vector(sizes, ranks, rates)
    vectors = KRYLOV_VECTORS * k * sizes.item / rates.bandwidth
    messages = rates.network.reduction(k * sizes.item, ranks)
    return iterations * products, iterations * vectors, iterations * messages


def _product_with_vector(sizes: Sizes, ranks: int, rates: Rates) -> float:
    """Seconds for X v or X^dagger y: rows are read from memory, factors are few enough to stay in the cache."""
    elements = sizes.share(ranks) * sizes.n_parameters
    per_element = 8 if sizes.is_complex else 4 if sizes.stacked else 2
    computing = per_element * elements / rates.flops(is_complex=sizes.is_complex)
    if sizes.factor_rows is not None:
        return computing
    return max(computing, elements * sizes.derivative_item / rates.bandwidth)


def _gram(size: int, n_terms: int, sizes: Sizes, rates: Rates) -> float:
    """Seconds for a triangle of a (size, size) product, a sum of so many terms, rounded to integers."""
    flops = (4 if sizes.is_complex else 1) * size**2 * n_terms
    n_packings = -(-n_terms // PACKED_TERMS)
    return flops / _triangle_flops(sizes, rates) + n_packings * _packing(size, sizes, rates)


def _packing(size: int, sizes: Sizes, rates: Rates) -> float:
    """Seconds to add a triangle, as integers, to others: read, read and written."""
    return 3 * _packed(size, sizes) / rates.bandwidth


def _packed(size: int, sizes: Sizes) -> int:
    """Bytes of the integers of a triangle; of a complex number there are two."""
    return sizes.item * (size * (size + 1) // 2)


def _root(size: int, sizes: Sizes, rates: Rates) -> float:
    """Seconds of rank 0: Cholesky, and passes over the matrix."""
    flops = (4 if sizes.is_complex else 1) * size**3 / 3
    return flops / _triangle_flops(sizes, rates) + PASSES * sizes.item * size**2 / rates.bandwidth


def _triangle_flops(sizes: Sizes, rates: Rates) -> float:
    """Operations in a second where one triangle of a matrix is made."""
    return TRIANGLE_SPEED * rates.flops(is_complex=sizes.is_complex)


# The choice of a solver -----------------------------------------------------------------------------------------------


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
        return f"krylov needs only products with O, neither the {k} x {k} matrix S nor the {n} x {n} Gram matrix"
    return f"dense solves the {k} x {k} system directly"
