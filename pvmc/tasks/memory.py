"""How much memory a rank will need, and how long the linear problem takes, from the sizes alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from pvmc.errors import InputError
from pvmc.mpi import Communicator, block_range, bytes_in_words, node_of, usable_memory
from pvmc.planning.rates import Rates
from pvmc.planning.sizes import Sizes
from pvmc.planning.solver_costs import (
    ITERATIONS,
    SOLVERS,
    Cost,
    LinearMemory,
    SolverName,
    choose,
    cost,
    linear_memory,
    nominal_ranks,
)
from pvmc.vmc.job import Job, rank_counts
from pvmc.vmc.rollback import STATES_KEPT


@dataclass(frozen=True)
class Memory:
    """Bytes that the largest rank holds at the peak of an iteration, by purpose."""

    samples: int
    linear: LinearMemory
    """Log-derivatives, and S or what the solver has in place of it."""
    tables: int
    states: int
    """Walkers and parameters of the last iterations, to go back to where the numbers go bad."""

    @property
    def total(self) -> int:
        """The bytes that are held at the same time; Python and its libraries come on top."""
        return self.samples + self.tables + self.states + self.linear.peak


def sizes_of(job: Job) -> Sizes:
    """Sizes of a job's linear problem."""
    return Sizes.of(job.ansatz, job.sampler, uniform_penalty=job.config.sr.has_uniform_penalty)


def memory_per_rank(job: Job, ranks: int) -> Memory:
    """Memory of the rank with the most blocks (rank 0) when a job runs on a number of ranks."""
    return _memory(job, sizes_of(job), job.choice.solver, ranks)


def _memory(job: Job, sizes: Sizes, solver: SolverName, ranks: int) -> Memory:
    sampler, ansatz = job.sampler, job.ansatz
    n_blocks = len(block_range(sampler.n_blocks, 0, ranks))
    n_samples = n_blocks * sampler.width * sampler.most_draws
    state = sampler.walker_bytes(n_blocks, ansatz.n_sites)
    state += (1 + job.config.sr.remembered(solver)) * ansatz.n_parameters * sizes.item
    return Memory(
        # Local energies of all draws, and of a block's the flips' amplitudes, ratios and which are wanted.
        samples=sampler.memory(n_blocks, ansatz.n_sites, ansatz.lookup_size)
        + 24 * n_samples
        + 33 * sampler.width * len(job.operator.flips),
        linear=linear_memory(sizes, solver, ranks),
        tables=ansatz.table_bytes,
        states=STATES_KEPT * state,
    )


def require_memory(job: Job, comm: Communicator, name: str) -> None:
    """Collective.  Refuse a job whose ranks need more memory than their node has.

    Args:
        job: what is to run.
        comm: the ranks.
        name: of the input, for the message.

    Raises:
        InputError: names the figures; on every rank.
    """
    node, memory = node_of(comm), memory_per_rank(job, comm.size)
    # Rank 0 may hold a matrix that the others do not have.
    others = memory.samples + memory.tables + memory.states + memory.linear.derivatives
    needed = float(memory.total + (node.ranks - 1) * min(others, memory.total))
    nodes = comm.gather(np.array([[needed, float(node.memory or np.inf), float(node.ranks)]]))

    def judge() -> None:
        assert nodes is not None, "the root has gathered them"
        needed, there, ranks = nodes[np.argmax(nodes[:, 0] / nodes[:, 1])]
        if needed > there:
            where = f"{int(ranks)} rank{'s' if ranks > 1 else ''} on a machine of {bytes_in_words(int(there))}"
            raise InputError(f"{name}: {_too_large(job, memory, needed)} for {where}; {_smaller(memory)}")

    comm.on_root(judge)


def require_memory_of_one(job: Job, ranks: int | None, name: str) -> None:
    """Refuse a job of which one rank needs more memory than this machine has, on any number of ranks.

    Args:
        job: what is to run.
        ranks: on how many; None: on as many as make it smallest.
        name: of the input, for the message.

    Raises:
        InputError: names the figures; or there are more ranks than blocks of walkers.
    """
    memory = min((memory_per_rank(job, count) for count in rank_counts(job, ranks)), key=lambda one: one.total)
    there = usable_memory()
    if there is not None and memory.total > there:
        where = f"a rank on a machine of {bytes_in_words(there)}"
        raise InputError(f"{name}: {_too_large(job, memory, memory.total)} for {where}; {_smaller(memory)}")


def _too_large(job: Job, memory: Memory, needed: float) -> str:
    matrix = MATRICES[job.choice.solver][0]
    parts = {
        "samples": memory.samples,
        "O": memory.linear.derivatives,
        matrix: memory.linear.matrix,
        "tables": memory.tables,
        "states": memory.states,
    }
    largest = max(parts, key=lambda name: parts[name])
    return (
        f"needs {bytes_in_words(int(needed))} of memory (K = {job.ansatz.n_parameters} parameters, solver "
        f"{job.choice.solver}; most of it: {largest}, {bytes_in_words(parts[largest])})"
    )


def _smaller(memory: Memory) -> str:
    """Advice on how to need less."""
    if memory.samples > max(memory.linear.peak, memory.tables, memory.states):
        return "take fewer sampler.walkers and sampler.samples, or a smaller sampler.block_width, or more nodes"
    return "take fewer parameters (a smaller ansatz), fewer sampler.samples, or another sr.solver"


MATRICES: dict[SolverName, tuple[str, str]] = {
    "dense": ("S", "most of S when O is gone"),
    "minsr": ("T", "O, T = X X^dagger, and O of some parameters"),
    "krylov": ("vectors", "O and the vectors of conjugate gradients"),
}
"""The memory of a solver besides O: the head of its column, and the arrays that are held at the same time."""


def memory_table(job: Job, ranks: int | None = None) -> str:
    """Lines of TOML comments: the memory of the largest rank on one number of ranks, or on 1, 2, 4, ...

    Raises:
        InputError: more ranks than blocks of walkers.
    """
    sizes = sizes_of(job)
    solver = job.choice.solver
    matrix, together = MATRICES[solver]
    lines = ["# memory of the largest rank, without Python and its libraries (about 200 MB):"]
    lines.append(f"# (the total counts what is there at the same time: {together})")
    lines.append(_row("ranks", ("total", "samples", "O", matrix, "tables", "states")))
    for count in rank_counts(job, ranks):
        memory = _memory(job, sizes, solver, count)
        linear = memory.linear.derivatives, memory.linear.matrix
        parts = (memory.total, memory.samples, *linear, memory.tables, memory.states)
        lines.append(_row(count, map(bytes_in_words, parts)))
    return "\n".join(lines)


def solver_table(job: Job, rates: Rates, ranks: int | None = None) -> str:
    """Lines of TOML comments: the solver and why, its memory and time on numbers of ranks, and all solvers on one.

    Args:
        job: what is to run.
        rates: how fast a core is.
        ranks: number of ranks to predict for; None: 1, 2, 4, ..., and the solvers compared where "auto" decides.

    Raises:
        InputError: more ranks than blocks of walkers.
    """
    sizes = sizes_of(job)
    solver, automatic = job.choice, choose(sizes)
    compared = ranks or nominal_ranks(sizes)
    head = ("memory", "products", "solve", "messages", "together")
    lines = [f"# solver: {solver.solver} ({solver.reason})"]
    if solver.solver != automatic.solver:
        lines.append(f"# automatic choice: {automatic.solver} ({automatic.reason})")
    lines += [f"# linear problem of an iteration, {solver.solver}, predicted for the largest rank", *_in_words(rates)]
    lines.append(_row("ranks", head))
    lines += [_row(count, _cells(cost(sizes, solver.solver, count, rates))) for count in rank_counts(job, ranks)]
    lines.append(f"# the three solvers on {compared} {'rank' if compared == 1 else 'ranks'}:")
    lines.append(_row("", head))
    lines += [_row(one, _cells(cost(sizes, one, compared, rates))) for one in SOLVERS]
    return "\n".join(lines)


def _row(first: object, cells: Iterable[str]) -> str:
    return f"#{first:>7}" + "".join(f"{cell:>11}" for cell in cells)


def _cells(predicted: Cost) -> list[str]:
    times = (predicted.products, predicted.solve, predicted.messages, predicted.seconds)
    return [bytes_in_words(predicted.memory), *map(seconds_in_words, times)]


def _in_words(rates: Rates) -> list[str]:
    real, complex_, reading = (rate / 1e9 for rate in (rates.real_flops, rates.complex_flops, rates.bandwidth))
    cores, between = rates.network.cores, rates.network.between
    latency, bandwidth = between.latency * 1e6, between.bandwidth / 1e9
    return [
        f"# (measured, a core of this machine: {real:.0f} GFlop/s real, {complex_:.0f} complex, {reading:.0f} GB/s;",
        f"# assumed: {cores} cores to a node, {latency:.0f} us and {bandwidth:.0f} GB/s between nodes, "
        f"{ITERATIONS} iterations of conjugate gradients):",
    ]


def seconds_in_words(seconds: float) -> str:
    """A short time with a unit: 0 s, 12 us, 3.4 ms, 15 s."""
    for unit, factor in (("us", 1e6), ("ms", 1e3)):
        if 0 < seconds * factor < 999.5:
            return f"{seconds * factor:.2g} {unit}" if seconds * factor < 99.5 else f"{seconds * factor:.0f} {unit}"
    return f"{seconds:.2g} s" if seconds < 99.5 else f"{seconds:.0f} s"
