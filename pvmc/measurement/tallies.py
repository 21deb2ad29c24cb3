"""The tallies of a measurement, from the names on the command line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from pvmc.errors import InputError
from pvmc.measurement.comparison import FIDELITY, OtherState, compare
from pvmc.measurement.entropies import RENYI, Entropies, parse_regions
from pvmc.measurement.frozen import FrozenState, read_state
from pvmc.measurement.observable import Tally
from pvmc.measurement.overlap import OVERLAP, overlap_of
from pvmc.measurement.smeared_variance import LeakTally
from pvmc.mpi import Communicator, block_range
from pvmc.vmc.job import Job
from pvmc.vmc.recorder import warn
from pvmc.wavefunctions.base import WaveFunction


def read_others(names: Sequence[str]) -> dict[str, FrozenState]:
    """The states that are compared with, by the observable; for the root alone.

    The observables are spelled out: with the file and the iteration that they mean now.

    Raises:
        InputError: no such run or parameters, or two of one name.
        StorageError: a file cannot be read.
    """
    others = [OtherState.parse(name) for name in names if name.startswith(FIDELITY)]
    if twice := [name for name, count in Counter(other.name for other in others).items() if count > 1]:
        raise InputError(f"--observables: two are stored as {twice[0]}: tell them apart as {FIDELITY}NAME=RUN")
    found = {}
    for other in others:
        state, _ = read_state(other.path, other.iteration)
        found[other.spelled_out(state)] = state
    return found


def without_fidelities(names: Sequence[str]) -> list[str]:
    """The observables of one state."""
    return [name for name in names if not name.startswith(FIDELITY)]


def make_tallies(
    names: Sequence[str],
    others: Mapping[str, FrozenState],
    job: Job,
    psi: WaveFunction,
    seed: int,
    comm: Communicator,
    optional: Collection[str] = (),
) -> tuple[Tally, ...]:
    """Collective.  The tallies of a job, before the first draw; the leak test is always among them.

    Args:
        names: the observables.
        others: see :func:`read_others`, the same on every rank.
        job: the job, with the sampler of the measurement.
        psi: the wave function.
        seed: of the measurement.
        comm: the ranks.
        optional: observables that nobody asked for by name: the overlap is left out with a warning where the exact
            ground space cannot be had.

    Raises:
        InputError: no such region, states that cannot be compared, or too many sites for an overlap.
    """
    found: list[Tally] = [LeakTally(job, seed, block_range(job.sampler.n_blocks, comm.rank, comm.size))]
    regions = [name.partition(":")[2] for name in names if name == RENYI or name.startswith(f"{RENYI}:")]
    if regions:
        found.append(_entropies(regions, job, comm))
    fidelities = [OtherState.parse(name).name for name in others]
    found += [compare(name, job, state, seed, comm) for name, state in zip(fidelities, others.values(), strict=True)]
    if OVERLAP in names:
        found += _overlap(job, psi, comm, OVERLAP in optional)
    return tuple(found)


def _overlap(job: Job, psi: WaveFunction, comm: Communicator, optional: bool) -> list[Tally]:
    """Collective.  The overlap, or nothing where it cannot be had and nobody asked for it."""
    try:
        return [overlap_of(job, psi, comm)]
    except InputError as error:
        text = str(error) if OVERLAP in str(error) else f"--observables {OVERLAP}: {error}"
        if not optional:
            error.args = (text,)
            raise
        if comm.rank == 0:
            warn(f"{text}; the other observables are measured")
        return []


def _entropies(texts: Sequence[str], job: Job, comm: Communicator) -> Entropies:
    sampler, n_sites = job.sampler, job.lattice.n_sites
    try:
        regions = [sites for text in texts for sites in parse_regions(text, n_sites)]
        n_blocks = len(block_range(sampler.n_blocks, comm.rank, comm.size))
        return Entropies(regions, n_sites, n_blocks, sampler.width, sampler.magnetization)
    except InputError as error:
        raise InputError(f"--observables {RENYI}: {error}") from None
