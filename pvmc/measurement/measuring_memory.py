"""How much memory a rank needs for a measurement, from the sizes alone."""

from __future__ import annotations

from dataclasses import dataclass

from pvmc.measurement.frozen import frozen
from pvmc.measurement.observable import Tally
from pvmc.measurement.registry import OBSERVABLES, local_values, names_of
from pvmc.measurement.spin_correlations import PAIRS_AT_ONCE
from pvmc.mpi import block_range, bytes_in_words
from pvmc.sampler import Enumeration
from pvmc.vmc.job import Job, rank_counts

COPIES_ON_ROOT = 4
"""Of the sums and walkers of all ranks: those gathered, and of a checkpoint HDF5's, its image's and the file's bytes
(in the end three arrays of walkers' means instead)."""

_PER_PAIR = 56
"""Bytes of a pair of sites: itself, its orbit, its sign, and its flips."""

_PER_FLIP = 28
"""Bytes of a pair flipped in a walker: complex ratio, its real part, whether it is wanted, the product of the spins."""


@dataclass(frozen=True)
class MeasuringMemory:
    """Bytes that rank 0 holds at the peak of a measurement of all that is measured by default, by purpose."""

    samples: int
    """Walkers, and look-up, random numbers and flips of one block."""
    pairs: int
    """Pairs of sites, and what correlations and structure factors are in terms of their orbits."""
    values: int
    """Ratios of a chunk of pairs and local values, of one block."""
    sums: int
    """Sums of each walker of this rank."""
    root: int
    """Copies of the sums and walkers of all ranks on rank 0, at a checkpoint and in the end."""
    tables: int
    """Of the wave function."""

    @property
    def total(self) -> int:
        """The bytes that are in use at the same time; Python and its libraries come on top."""
        return self.pairs + self.sums + self.tables + max(self.samples + self.values, self.root)


def measuring_memory(job: Job, ranks: int) -> MeasuringMemory:
    """Memory of rank 0, which has the most blocks, when a sampled job is measured on a number of ranks."""
    sampler, ansatz, lattice = frozen(job.sampler, seed=0), job.ansatz, job.lattice
    n_sites, width, n_blocks = lattice.n_sites, sampler.width, len(block_range(sampler.n_blocks, 0, ranks))
    names = names_of((), job)
    n_momenta, n_pairs = len(lattice.momenta()), n_sites * (n_sites - 1) // 2
    translations = len(lattice.group("translation")) if "translation" in lattice.generators else 1
    n_orbits = -(-n_pairs // translations)
    rows = local_values(names, job).size
    # Local values and their squares, mean and scatter of the energy, and what the tallies keep.
    of_block = 8 * rows * (width + 1) + 24 * width
    of_block += sum(one.bytes_of_block(job) for one in OBSERVABLES if issubclass(one, Tally) and one.name in names)
    chunk = _PER_FLIP * min(n_pairs, PAIRS_AT_ONCE) * width
    return MeasuringMemory(
        samples=sampler.memory(n_blocks, n_sites, ansatz.lookup_size) + 33 * width * len(job.operator.flips),
        pairs=_PER_PAIR * n_pairs + 8 * n_orbits * (n_sites + n_momenta + 1),
        values=24 * n_orbits * width + max(chunk, 24 * rows * width),
        sums=n_blocks * of_block,
        root=COPIES_ON_ROOT * sampler.n_blocks * (of_block + width * n_sites),
        tables=ansatz.table_bytes,
    )


def measuring_table(job: Job, ranks: int | None = None) -> str:
    """Lines of TOML comments: the memory of rank 0 in ``pvmc measure`` on one number of ranks, or on 1, 2, 4, ...

    Raises:
        InputError: more ranks than blocks of walkers.
    """
    if isinstance(job.sampler, Enumeration):
        return "# pvmc measure counts every configuration once, with less memory than the run"
    lines = ["# memory of rank 0 in pvmc measure, all that is measured by default:"]
    lines.append(f"#{'ranks':>7}" + "".join(f"{head:>11}" for head in _HEADS))
    for count in rank_counts(job, ranks):
        memory = measuring_memory(job, count)
        cells = [bytes_in_words(getattr(memory, head)) for head in _HEADS]
        lines.append(f"#{count:>7}" + "".join(f"{cell:>11}" for cell in cells))
    return "\n".join(lines)


_HEADS = ("total", "samples", "pairs", "values", "sums", "root", "tables")
