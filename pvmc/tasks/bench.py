"""The time of an iteration: measured phase by phase, and predicted from kernels timed on one block of walkers."""

from __future__ import annotations

import contextlib
import json
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pvmc.errors import NumericalError, StorageError
from pvmc.estimators import estimate
from pvmc.io import provenance
from pvmc.mpi import (
    Communicator,
    SerialCommunicator,
    block_range,
    bytes_in_words,
    describe_mpi,
    limit_threads,
    node_of,
    oversubscription,
)
from pvmc.planning.rates import Rates
from pvmc.planning.solver_costs import cost
from pvmc.results.digits import duration
from pvmc.sampler import Metropolis, Sampler
from pvmc.tasks.memory import memory_per_rank, seconds_in_words, sizes_of
from pvmc.vmc import loop as driver
from pvmc.vmc.display import describe
from pvmc.vmc.job import Job, rank_counts
from pvmc.vmc.loop import StepRecord, iterate
from pvmc.vmc.recorder import RunRequest, open_results, series
from pvmc.vmc.start import compile_kernels, initial_state, start_compiler

PHASES = (*driver.PHASES, "output")
"""The phases of an iteration."""

WARM_UP = 2
"""Iterations before the clock starts: the first ones burn in, and fill caches."""


@dataclass(frozen=True)
class Timing:
    """Measured times of iterations.

    Attributes:
        job: the job in words.
        ranks: number of ranks.
        iterations: number of iterations that were timed.
        seconds: wall time of an iteration on the slowest rank, the median.
        phases: of the slowest rank the time of each phase in an iteration, the median; they overlap, so that their
            sum may be larger than the whole.
        samples: configurations in an iteration, over all ranks.
        proposals: proposals in an iteration, over all ranks.
        planned: iterations that the input asks for.
        memory: largest resident memory of a rank so far, in bytes.
        expected_memory: what an iteration of the largest rank needs by its sizes, in bytes.
        warning: what is wrong with the way that it was started; empty if nothing.
    """

    job: str
    ranks: int
    iterations: int
    seconds: float
    phases: dict[str, float]
    samples: int
    proposals: int
    planned: int
    memory: int
    expected_memory: int
    warning: str

    @property
    def rates(self) -> dict[str, float]:
        """Samples per second of the whole iteration, proposals per second of sampling, local energies per second
        of theirs; over all ranks."""
        return {
            "samples": self.samples / self.seconds,
            "proposals": self.proposals / self.phases["sampling"],
            "local energies": self.samples / self.phases["local_energies"],
        }

    @property
    def projected_seconds(self) -> float:
        """Wall time of the whole run."""
        return self.planned * self.seconds

    @property
    def core_hours(self) -> float:
        """Cores times hours of the whole run, at one core for a rank."""
        return self.projected_seconds * self.ranks / 3600

    def text(self) -> str:
        """The table that is printed."""
        lines = [self.job, f"{self.ranks} ranks, median of {self.iterations} iterations, slowest rank", ""]
        lines += [f"{phase:<16}{self.phases[phase]:12.6f} s{self._share(phase):7.1%}" for phase in PHASES]
        lines += [f"{'iteration':<16}{self.seconds:12.6f} s", ""]
        lines += [f"{name:<16}{rate:12.4g} /s" for name, rate in self.rates.items()]
        used = f"{bytes_in_words(self.memory)} at most on a rank ({bytes_in_words(self.expected_memory)} by its sizes)"
        hours = f"{self.planned} iterations in {duration(self.projected_seconds)}, {self.core_hours:.3g} core-hours"
        lines += [f"{'memory':<16}{used}", f"{'projected':<16}{hours}"]
        return "\n".join([*lines, f"warning: {self.warning}"] if self.warning else lines)

    def _share(self, phase: str) -> float:
        return self.phases[phase] / self.seconds

    def report(self, path: Path | None) -> None:
        """Print the table; write the numbers and the machine to a JSON file where one is asked for.

        Raises:
            StorageError: the file cannot be written.
        """
        print(self.text(), flush=True)
        if path is None:
            return
        numbers: dict[str, Any] = asdict(self)
        numbers |= {"rates": self.rates, "projected_seconds": self.projected_seconds, "core_hours": self.core_hours}
        numbers["machine"] = provenance.collect(describe_mpi()["library"])
        try:
            path.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise StorageError(f"{path}: cannot be written: {error.strerror}") from None


def bench(job: Job, comm: Communicator, iterations: int) -> Timing:
    """Collective. Time some iterations of a job after others that warm up; the same result on every rank.

    The results go to a temporary file, so that output is timed too, and are removed.

    Raises:
        InputError: more ranks than walker blocks.
        NumericalError: the energy or the step went bad.
    """
    threads = job.config.run.threads_per_rank
    limit_threads(threads)
    node = node_of(comm)
    warning = comm.broadcast_object(oversubscription(comm, node, threads))
    state = initial_state(job, comm)
    compile_kernels(job, state, comm, node)
    exact = job.config.run.reproducible
    steps = iterate(state, job.ansatz, job.operator, job.sampler, job.solver, comm, exact_sums=exact)
    with contextlib.ExitStack() as stack:
        write = comm.on_root(lambda: stack.enter_context(_temporary_results(job, comm.size))) or _nothing
        rows = [_timed(steps, write, comm) for _ in range(WARM_UP + iterations)][WARM_UP:]
    slowest = np.median(comm.max(np.array(rows)), axis=0)
    memory = int(comm.max(np.array([resource.getrusage(resource.RUSAGE_SELF).ru_maxrss], dtype=np.int64))[0])
    sampler = job.sampler
    n_walkers = sampler.n_blocks * sampler.width
    proposals = 0
    if isinstance(sampler, Metropolis):
        proposals = round(n_walkers * sampler.mean_proposals)
    return Timing(
        job=describe(job),
        ranks=comm.size,
        iterations=iterations,
        seconds=float(slowest[-1]),
        phases=dict(zip(PHASES, slowest[:-1].tolist(), strict=True)),
        samples=n_walkers * sampler.n_draws,
        proposals=proposals,
        planned=job.config.run.n_iterations,
        memory=1024 * memory,
        expected_memory=memory_per_rank(job, comm.size).total,
        warning=warning,
    )


def _timed(steps: Iterator[StepRecord], write: Callable[[StepRecord], None], comm: Communicator) -> list[float]:
    """Collective. Seconds of each phase of the next iteration on this rank, and of all of it."""
    comm.barrier()
    start = time.perf_counter()
    step = next(steps)
    done = time.perf_counter()
    comm.on_root(partial(write, step))
    end = time.perf_counter()
    return [*(step.seconds[phase] for phase in PHASES[:-1]), end - done, end - start]


@contextlib.contextmanager
def _temporary_results(job: Job, ranks: int) -> Iterator[Callable[[StepRecord], None]]:
    """A function that writes an iteration to a results file, which is removed in the end."""
    with tempfile.TemporaryDirectory() as directory:
        request = RunRequest(job, "", Path(directory))
        with open_results(request, None, ranks) as writer:
            yield lambda step: writer.append(step.iteration, series(step))


def _nothing(step: StepRecord) -> None:
    """Nothing: ranks other than the root write no results."""


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
    sizes, iterations = sizes_of(job), job.config.run.n_iterations
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
