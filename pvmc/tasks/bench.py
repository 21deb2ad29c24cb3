"""The time of an iteration, phase by phase, and what it says of a whole run: what ``pvmc bench`` prints."""

from __future__ import annotations

import contextlib
import json
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pvmc.errors import StorageError
from pvmc.io import provenance
from pvmc.mpi import Communicator, bytes_in_words, describe_mpi, limit_threads, node_of, oversubscription
from pvmc.results.summary import duration
from pvmc.sampler import Metropolis
from pvmc.vmc import loop as driver
from pvmc.vmc.compile import compile_kernels
from pvmc.vmc.job import Job
from pvmc.vmc.loop import StepRecord, iterate
from pvmc.vmc.memory import memory_per_rank
from pvmc.vmc.recorder import RunRequest, describe, open_results, series
from pvmc.vmc.run import initial_state

PHASES = (*driver.PHASES, "output")
"""What an iteration does."""

WARM_UP = 2
"""Iterations before the clock starts: the first ones burn in, and fill caches."""


@dataclass(frozen=True)
class Timing:
    """What was measured.

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
        planned=job.config.run.iterations,
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
    """What writes an iteration to a results file that is removed in the end."""
    with tempfile.TemporaryDirectory() as directory:
        request = RunRequest(job, "", Path(directory))
        with open_results(request, None, ranks) as writer:
            yield lambda step: writer.append(step.iteration, series(step))


def _nothing(step: StepRecord) -> None:
    """What ranks write that are not the root."""
