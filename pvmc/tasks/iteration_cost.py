"""Time of an iteration as a whole, predicted: kernels timed on one block of walkers, the linear problem by sizes."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from pvmc.errors import NumericalError
from pvmc.estimators import estimate
from pvmc.mpi import SerialCommunicator, block_range
from pvmc.planning.cost import cost
from pvmc.planning.rates import Rates
from pvmc.results.summary import duration
from pvmc.sampler import Metropolis, Sampler
from pvmc.vmc.compile import start_compiler
from pvmc.vmc.job import Job
from pvmc.vmc.memory import rank_counts, seconds_in_words, sizes_of

SWEEPS = (1, 8, 64, 64)
"""Proposals of a walker in the calls that are made, of which the last counts; they stand for those of a longer sweep.
The first call compiles the kernels, or loads them."""

PATIENCE = 0.5
"""Seconds: after a call that takes longer there is no further one, except after the first."""


@dataclass(frozen=True)
class BlockCost:
    """Seconds that one block of walkers takes in an iteration on one core of this machine.

    Attributes:
        sampling: sweeps, those without a draw as well, and look-ups.
        energies: local energies of all draws.
        derivatives: log-derivatives of all draws.
    """

    sampling: float
    energies: float
    derivatives: float

    @property
    def seconds(self) -> float:
        """Of all together."""
        return self.sampling + self.energies + self.derivatives


def time_block(job: Job) -> BlockCost | None:
    """The kernels of a job timed on one draw of its first block; None where psi has no finite values to time.

    Raises:
        InputError: a wave function of the user's has arrays of another shape than it must.
    """
    start_compiler()
    whole, timed, repeated, seconds = job.sampler, job.sampler.short(), 1.0, {}
    n_draws = whole.n_draws
    for number, sweep in enumerate(SWEEPS):
        if isinstance(whole, Metropolis):
            timed = replace(whole.short(), sweep=min(whole.sweep, sweep), discard=min(whole.discard, 1))
            repeated = (whole.discard + n_draws) * whole.sweep / ((timed.discard + 1) * timed.sweep)
        try:
            begin = time.perf_counter()
            seconds = _phases(job, timed)
        except NumericalError:
            return None
        if number > 0 and time.perf_counter() - begin > PATIENCE:
            break
    return BlockCost(
        sampling=seconds["sampling"] * repeated,
        energies=seconds["local_energies"] * n_draws,
        derivatives=seconds["derivatives"] * n_draws,
    )


def _phases(job: Job, sampler: Sampler) -> dict[str, float]:
    """Wall time of each phase of one draw of the first block, at random parameters."""
    alone, theta = SerialCommunicator(), job.ansatz.initial_parameters(np.random.default_rng(job.config.run.seed))
    psi = job.ansatz.at(theta)
    batch = estimate(
        sampler.walk(sampler.start(range(1), alone), psi, 1, n_draws=1),
        job.operator,
        psi,
        len(theta),
        alone,
        real_parameters=not np.issubdtype(job.ansatz.dtype, np.complexfloating),
        keep_rows=True,
    )
    return batch.seconds


def iteration_table(job: Job, block: BlockCost | None, rates: Rates, ranks: int | None = None) -> str:
    """Lines of TOML comments: the time of an iteration and of the run, on one number of ranks or on 1, 2, 4, ...

    Args:
        job: what is to run.
        block: what one block of walkers costs; None where that is not known.
        rates: how fast a core is.
        ranks: number of ranks to predict for; None: 1, 2, 4, ...

    Raises:
        InputError: more ranks than blocks of walkers.
    """
    if block is None:
        return "# an iteration as a whole: not predicted, as psi is zero or not finite at its first parameters"
    times = 2 if job.solver.is_second_order else 1
    sizes, iterations = sizes_of(job), job.config.run.iterations
    lines = [
        "# an iteration as a whole, predicted for the largest rank (sampling, local energies and log-derivatives timed",
        "# on one block of walkers, one core to a rank; the linear problem as below):",
        _row("ranks", ("sampling", "energies", "derivs", "linear", "iteration", "run")),
    ]
    for count in rank_counts(job, ranks):
        blocks = times * len(block_range(job.sampler.n_blocks, 0, count))
        parts = [blocks * part for part in (block.sampling, block.energies, block.derivatives)]
        parts.append(times * cost(sizes, job.choice.solver, count, rates).seconds)
        whole = sum(parts)
        lines.append(_row(count, [*map(seconds_in_words, [*parts, whole]), duration(iterations * whole)]))
    return "\n".join(lines)


def _row(first: object, cells: list[str] | tuple[str, ...]) -> str:
    return f"#{first:>7}" + "".join(f"{cell:>11}" for cell in cells)
