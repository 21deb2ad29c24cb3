"""Small jobs and runs that tests share."""

from __future__ import annotations

import itertools
import os
import tomllib
from pathlib import Path
from typing import Any

from pvmc.config import RawInput
from pvmc.mpi import Communicator, SerialCommunicator
from pvmc.vmc.job import Job, build_job
from pvmc.vmc.loop import State, StepRecord, iterate
from pvmc.vmc.recorder import RunRequest
from pvmc.vmc.run import run
from pvmc.vmc.spec import JobConfig
from pvmc.vmc.start import initial_state

Tables = dict[str, Any]


def ring(sampler: Tables | None = None, sr: Tables | None = None, **run: Any) -> Tables:
    """Tables of a Heisenberg ring of 8 sites in four blocks of walkers, with other keys of three sections; a sampler of
    another kind has its own keys alone."""
    metropolis = {"moves": {"exchange": 1.0}, "walkers": 64, "block_width": 16, "samples": 256}
    sampler = sampler or {}
    return {
        "lattice": {"kind": "chain", "length": 8},
        "hamiltonian": {"model": "heisenberg"},
        "ansatz": {"kind": "rbm", "alpha": 1, "init_scale": 0.05},
        "sampler": sampler if "kind" in sampler else metropolis | sampler,
        "sr": {"learning_rate": 0.05} | (sr or {}),
        "run": {"iterations": 9, "save_every": 5} | run,
    }


def job_of(tables: Tables) -> Job:
    """The job of an input with these tables."""
    return build_job(JobConfig.model_validate(tables), RawInput(tables, "", "test"))


def job_of_text(text: str) -> Job:
    """The job of an input with this TOML text."""
    return job_of(tomllib.loads(text))


def records(job: Job, n: int, comm: Communicator, state: State | None = None, **options: Any) -> list[StepRecord]:
    """Collective. The records of n iterations of a job, from its start or from a state."""
    first = state or initial_state(job, comm)
    steps = iterate(first, job.ansatz, job.operator, job.sampler, job.solver, comm, **options)
    return list(itertools.islice(steps, n))


def carry_out(job: Job, directory: Path, comm: Communicator, on: str = "all", **options: Any) -> int:
    """Collective. A run on all ranks, or on rank 0 alone; its exit code."""
    if on == "all":
        code = run(RunRequest(job, "", directory, **options), comm)
        comm.barrier()
        return code
    return comm.root_value(lambda: run(RunRequest(job, "", directory, **options), SerialCommunicator()))


def ring_text(run: str = "", *, length: int = 8, ansatz: str = "alpha = 1", numbers: str = "64, 16, 256") -> str:
    """The text of an input with a Heisenberg ring, an RBM, and numbers of walkers, of each block and of samples."""
    walkers, width, samples = numbers.split(", ")
    tables = {
        "lattice": f'kind = "chain"\nlength = {length}\n',
        "hamiltonian": 'model = "heisenberg"\n',
        "ansatz": f'kind = "rbm"\n{ansatz}\ninit_scale = 0.05\n',
        "sampler": f"walkers = {walkers}\nblock_width = {width}\nsamples = {samples}\n",
    }
    return "".join(f"[{name}]\n{text}" for name, text in tables.items()) + (f"[run]\n{run}\n" if run else "")


def with_mpi() -> dict[str, str]:
    """The environment, for programs under mpiexec, of a test that is itself on one rank."""
    return {name: value for name, value in os.environ.items() if name != "PVMC_NO_MPI"}
