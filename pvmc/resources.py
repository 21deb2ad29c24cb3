"""How much memory a rank will need, from the sizes alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pvmc.errors import InputError
from pvmc.estimators.local import CHUNK_COLUMNS
from pvmc.job import Job
from pvmc.parallel import block_range
from pvmc.rng import Stream, generator
from pvmc.runtime import STATES_KEPT


@dataclass(frozen=True)
class Memory:
    """Bytes that the largest rank holds at the peak of an iteration, by purpose."""

    samples: int
    derivatives: int
    geometric_tensor: int
    tables: int
    states: int
    """Walkers and parameters of the last iterations, to go back to where the numbers go bad."""

    @property
    def total(self) -> int:
        """What is there at the same time; Python and its libraries come on top.

        While log-derivatives are made there are a chunk's rows, and either their copy or their product and the packed
        sums, which are 3/5 of what S takes in the end.
        """
        together = self.derivatives // 2 + max(self.derivatives // 2, 3 * self.geometric_tensor // 5)
        return self.samples + self.tables + self.states + max(together, self.geometric_tensor)


def memory_per_rank(job: Job, ranks: int) -> Memory:
    """Memory of the rank with the most blocks (rank 0) when a job runs on a number of ranks."""
    sampler, ansatz = job.sampler, job.ansatz
    n_blocks = len(block_range(sampler.n_blocks, 0, ranks))
    n_samples = n_blocks * sampler.width * sampler.n_draws
    item = np.dtype(ansatz.dtype).itemsize
    n_parameters, n_sites = ansatz.n_parameters, ansatz.n_sites
    return Memory(
        # Local energies of all draws, and of a block's the flips' amplitudes, ratios and which are wanted.
        samples=sampler.memory(n_blocks, n_sites, ansatz.lookup_size)
        + 24 * n_samples
        + 33 * sampler.width * len(job.operator.flips),
        # A chunk's rows, and once more: centred, or their parts side by side.
        derivatives=2 * _rows_in_chunk(job) * n_parameters * _bytes_of_derivative(job),
        # The packed sums, S, and its scaled copy that becomes the factor; before, a chunk's product and the sums.
        geometric_tensor=5 * n_parameters**2 * item // 2,
        tables=ansatz.table_bytes,
        states=STATES_KEPT * (sampler.walker_bytes(n_blocks, n_sites) + n_parameters * item),
    )


def _rows_in_chunk(job: Job) -> int:
    """Configurations whose log-derivatives are there at the same time."""
    sampler = job.sampler
    return sampler.width * min(sampler.n_draws, max(1, CHUNK_COLUMNS // sampler.width))


def _bytes_of_derivative(job: Job) -> int:
    """Bytes of each O_k of a configuration."""
    theta = job.ansatz.initial_parameters(generator(job.config.run.seed, Stream.PARAMETERS))
    is_complex = np.issubdtype(job.ansatz.at(theta).dtype, np.complexfloating)  # also of some real parameters
    return 16 if is_complex else 8


def memory_table(job: Job, ranks: int | None = None) -> str:
    """Lines of TOML comments: the memory of the largest rank on one number of ranks, or on 1, 2, 4, ..."""
    n_blocks = job.sampler.n_blocks
    counts = [ranks] if ranks else [2**k for k in range(n_blocks.bit_length()) if 2**k <= n_blocks][:8]
    lines = ["# memory of the largest rank, without Python and its libraries (about 200 MB):"]
    lines.append("# (the total counts what is there at the same time: most of S when O is gone)")
    lines.append(f"#{'ranks':>6}{'total':>11}{'samples':>11}{'O':>11}{'S':>11}{'tables':>11}{'states':>11}")
    for count in counts:
        if count > n_blocks:
            raise InputError(
                f"--ranks {count}: this job has {n_blocks} blocks of walkers and can use at most as many ranks"
            )
        memory = memory_per_rank(job, count)
        linear = memory.derivatives, memory.geometric_tensor
        parts = (memory.total, memory.samples, *linear, memory.tables, memory.states)
        lines.append(f"#{count:>6}" + "".join(f"{bytes_in_words(part):>11}" for part in parts))
    return "\n".join(lines)


def bytes_in_words(count: int) -> str:
    """A number of bytes with a unit: 640 kB, 12.3 MB, 1.45 GB."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"
