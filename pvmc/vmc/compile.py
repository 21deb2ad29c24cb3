"""Compiling the kernels: once for all ranks of a run, and ahead of a job."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from pvmc import sampler
from pvmc.config import RawInput
from pvmc.errors import NumericalError
from pvmc.estimators import LeakTest, Reweighting, estimate, reduce_moments
from pvmc.mpi import Communicator, Node, SerialCommunicator
from pvmc.numerics.random import Stream, generator
from pvmc.vmc.job import Job, JobConfig, build_job
from pvmc.vmc.loop import State


def compile_kernels(job: Job, state: State, comm: Communicator, node: Node) -> None:
    """Collective. Compile every kernel of an iteration, or load it from the cache.

    Rank 0 compiles while the others wait; then, where a node has a cache of its own, its first rank; the others
    load.  All at once would repeat the work on the same cores.
    """
    start_compiler()
    comm.on_root(lambda: run_kernels(job, state))
    if comm.rank != 0 and node.rank == 0:
        run_kernels(job, state)
    comm.barrier()


def start_compiler() -> None:
    """Load what the compiler needs even for kernels from the cache, some 0.2 s, on every rank at the same time."""
    from numba.core.registry import cpu_target

    cpu_target.typing_context.refresh()
    cpu_target.target_context.refresh()


def run_kernels(job: Job, state: State, copies: int | None = None) -> None:
    """Run every kernel of an iteration once, on one block.

    Args:
        job: the job.
        state: theta, and the walkers of this rank.
        copies: draws of the block: there are kernels for derivatives that are written beside those of other draws,
            and others for a draw alone; default: as in the iterations of this rank.
    """
    copies = copies or min(2, job.sampler.n_draws)
    first = sampler.Walkers(state.walkers.spins[:1], state.walkers.first_block)
    psi = job.ansatz.at(state.theta)
    _, samples = sampler.advance(job.sampler.short(), first, psi, 0)
    weights = None if samples.log_weights is None else samples.log_weights.repeat(copies, axis=1)
    spins, lookup = samples.spins.repeat(copies, axis=1), samples.lookup.repeat(copies, axis=1)
    draws = sampler.Samples(spins, lookup, samples.accepted, samples.proposed, weights, samples.is_exact, samples.smear)
    real = not np.issubdtype(job.ansatz.dtype, np.complexfloating)
    alone = SerialCommunicator()
    batch = estimate(
        draws,
        job.operator,
        psi,
        len(state.theta),
        alone,
        real_parameters=real,
        keep_rows=job.solver.keeps_rows,
        keep_spins=job.solver.keeps_spins,
    )
    if test := LeakTest.of(job.sampler, job.operator, job.config.run.leak_every):
        test(first, psi, 0, alone)
    moments = reduce_moments(batch, alone, n_sites=job.lattice.n_sites, infinite_temperature=0.0)
    if job.solver.keeps_spins:
        moments = replace(moments, reweighting=Reweighting(batch, state.theta, job.ansatz, job.operator, alone))
    with contextlib.suppress(NumericalError):  # S of so few configurations may have no solution
        job.solver.solve(moments, 0, alone)


def warm_up(job: Job) -> None:
    """Compile the kernels of a job, or find them in the cache."""
    theta = job.ansatz.initial_parameters(generator(job.config.run.seed, Stream.PARAMETERS))
    state = State(0, theta, job.sampler.start(range(1), SerialCommunicator()))
    for copies in (1, 2):
        run_kernels(job, state, copies)


def all_jobs() -> Iterator[tuple[str, Job]]:
    """A small job for each kind of wave function with real and complex parameters and Hamiltonians, with its name."""
    for (kind, ansatz), model in itertools.product(_ansatzes(), _MODELS):
        tables = {
            "lattice": {"kind": "chain", "length": 8},
            "hamiltonian": {"model": model},
            "ansatz": ansatz,
            "sampler": {"walkers": 16, "block_width": 16, "samples": 16},
        }
        config = JobConfig.model_validate(tables)
        yield f"{kind}, {model}", build_job(config, RawInput(tables, "warmup"))


_MODELS = ("ising", "dzyaloshinskii_moriya")
"""Models with real and with complex matrix elements."""


def _ansatzes() -> Iterator[tuple[str, dict[str, Any]]]:
    """The section [ansatz] of each kind and number field, with its name in words."""
    for weights in ("complex", "real"):
        rbm = {"kind": "rbm", "alpha": 1, "symmetry": "none", "weights": weights, "visible_bias": True}
        jastrow = {"kind": "jastrow", "weights": weights, "one_body": True}
        yield f"{weights} rbm", rbm
        yield f"{weights} symmetric rbm", {"kind": "rbm", "alpha": 1, "weights": weights}
        yield f"{weights} jastrow", jastrow
        yield f"{weights} mean field", {"kind": "mean_field", "weights": weights}
        yield f"{weights} product", {"kind": "product", "factors": [rbm, jastrow]}
        yield f"{weights} projected rbm", {"kind": "projected", "momentum": 0, "inner": rbm}
        yield f"{weights} feedforward", {"kind": "feedforward", "widths": [2, 2], "weights": weights}
