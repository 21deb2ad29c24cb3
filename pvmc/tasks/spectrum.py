"""The spectrum of the quantum geometric tensor S at the saved parameters of a run, from a short sampling."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from pvmc.errors import InputError
from pvmc.estimators import Moments, estimate, reduce_moments
from pvmc.io.reader import Run
from pvmc.mpi import Communicator, SerialCommunicator, block_range
from pvmc.results.stored_system import run_input
from pvmc.vmc.job import Job, job_of

SECTIONS = ("lattice", "hamiltonian", "ansatz", "sampler")
"""The sections of an input that say what S is."""

LARGEST = 6000
"""Most parameters whose S is diagonalised: 0.6 GB and some minutes for complex ones."""


def spectrum(run: Run) -> npt.NDArray[np.float64]:
    """Eigenvalues of S_kk' = <O_k* O_k'> - <O_k*><O_k'> at the last saved parameters, float64 (K,), descending.

    The configurations are sampled anew, as many as in an iteration of the run, after as many sweeps as at its start; S
    has no shift.  Of n samples at most n - 1 eigenvalues differ from zero.  On one process.

    Raises:
        InputError: more parameters than can be diagonalised, nothing saved, or an input of another version.
        NumericalError: psi or its derivatives are not finite there.
    """
    n_parameters = int(run.attributes["n_parameters"])
    if n_parameters > LARGEST:
        raise InputError(f"{run.path}: S of {n_parameters} parameters is too large, the limit is {LARGEST}")
    raw = run_input(run)
    # How the run was optimised does not matter here, and may be said in words of an earlier version.
    raw = replace(raw, tables={name: raw.tables[name] for name in SECTIONS if name in raw.tables})
    job = job_of(raw)
    moments = sampled_moments(job, run.parameters(), SerialCommunicator())
    lower = moments.tensor
    whole = lower + np.tril(lower, -1).conj().T
    return np.asarray(np.linalg.eigvalsh(whole)[::-1])


def sampled_moments(job: Job, theta: npt.NDArray[np.generic], comm: Communicator) -> Moments:
    """Collective. S and F at fixed parameters, on the root, from the samples of one iteration.

    Args:
        job: the built input.
        theta: parameters, (K,).
        comm: the ranks.
    """
    sampler, ansatz = job.sampler, job.ansatz
    psi = ansatz.at(theta)
    walkers = sampler.start(block_range(sampler.n_blocks, comm.rank, comm.size), comm)
    walk = sampler.walk(walkers, psi, 0, n_draws=None)
    batch = estimate(
        walk,
        job.operator,
        psi,
        ansatz.n_parameters,
        comm,
        real_parameters=not np.issubdtype(ansatz.dtype, np.complexfloating),
        exact_sums=job.config.run.reproducible,
    )
    infinite_temperature = job.operator.infinite_temperature_energy
    return reduce_moments(batch, comm, n_sites=ansatz.n_sites, infinite_temperature=infinite_temperature)
