"""pvmc: parallel variational Monte Carlo with neural quantum states.

A script of a few lines is a calculation; under ``mpirun`` it runs on all ranks::

    import pvmc

    job = pvmc.job({
        "lattice": {"kind": "chain", "length": 20},
        "hamiltonian": {"model": "heisenberg"},
        "ansatz": {"kind": "rbm", "alpha": 1},
        "run": {"iterations": 200},
    })
    found = pvmc.run(job, "runs/chain20")
    print(found.series["energy"][-1] / found.n_sites)

Keys and defaults are those of an input file (docs/config.md), which :func:`job` reads as well.  The packages
``pvmc.lattice``, ``pvmc.hamiltonians`` and ``pvmc.wavefunctions`` hold what jobs are built from.

Start it by ``mpirun -n 4 python -m mpi4py script.py``: an error of the script's own on one rank then ends all of them;
without ``-m mpi4py`` the others would wait.  Errors within pvmc end all ranks either way.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pvmc.io.measurement import Measurement
    from pvmc.io.reader import Run as Run
    from pvmc.io.reader import open_run as open_run
    from pvmc.mpi import Communicator
    from pvmc.vmc.job import Job
    from pvmc.vmc.loop import StepRecord

__version__ = "0.1.0"

__all__ = ["Run", "iterate", "job", "measure", "open_run", "run"]

_READER = ("Run", "open_run")
"""Names of :mod:`pvmc.io.reader` that stand here too: results are read without MPI, and loaded when first asked for."""

_PACKAGES = ("hamiltonians", "lattice", "wavefunctions")
"""Packages that are loaded when first asked for."""


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _READER:
        return getattr(import_module("pvmc.io.reader"), name)
    if name in _PACKAGES:
        return import_module(f"pvmc.{name}")
    raise AttributeError(f"module 'pvmc' has no attribute '{name}'")


def job(source: str | os.PathLike[str] | Mapping[str, Any], overrides: Sequence[str] = ()) -> Job:
    """A validated input, and the lattice, operator, wave function, sampler and solver that are built from it.

    Args:
        source: an input file (TOML), or its sections as nested mappings.
        overrides: ``key.path=value``, such as "ansatz.alpha=2".

    Raises:
        InputError: a line with key, value and what is allowed for every problem.
    """
    from pvmc.vmc.job import make_job

    return make_job(source, overrides)


def run(
    job: Job,
    directory: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    resume: bool = False,
    comm: Communicator | None = None,
) -> Run:
    """Collective.  Optimise the wave function of a job, as ``pvmc run`` does; the results.

    Rank 0 writes ``run.h5`` and checkpoints, and shows the progress.  A run that a signal, its time limit or a file
    STOP has ended before its last iteration has the status "stopped": call again with ``resume``.  SIGTERM, Ctrl-C and
    SIGHUP are raised again when the files are closed, and end a script that does not handle them.

    Args:
        job: see :func:`job`.
        directory: of the results.
        overwrite: replace results that are already there.
        resume: go on with the run that is there from its last checkpoint, on any number of ranks.
        comm: the ranks; None for all of the program.

    Raises:
        InputError: results are in the way, or there is nothing that can be resumed.
        NumericalError: the numbers went bad for good; the last good state is saved.
        StorageError: the files cannot be read or written.
    """
    from pathlib import Path

    from pvmc.config import to_toml
    from pvmc.io.reader import open_run
    from pvmc.mpi import world
    from pvmc.vmc.recorder import RunRequest
    from pvmc.vmc.run import run

    ranks = comm if comm is not None else world()
    run(RunRequest(job, to_toml(job.config), Path(directory), overwrite, resume), ranks)
    ranks.barrier()  # rank 0 has closed the files
    return open_run(directory)


def iterate(job: Job, comm: Communicator | None = None) -> Iterator[StepRecord]:
    """Collective.  The iterations of a job from its first parameters on, without end, files or terminal.

    Each record holds the statistics of the energy before the step (``energy``, total energies), the step (``step``)
    and the parameters after it (``state.theta``, (K,)).

    Args:
        job: see :func:`job`.
        comm: the ranks; None for all of the program.

    Raises:
        NumericalError: an energy or a step is not finite; on every rank.
    """
    from pvmc.mpi import world
    from pvmc.vmc.loop import iterate
    from pvmc.vmc.start import initial_state

    ranks = comm if comm is not None else world()
    state, exact_sums = initial_state(job, ranks), job.config.run.reproducible
    parts = job.ansatz, job.operator, job.sampler, job.solver
    return iterate(state, *parts, ranks, exact_sums=exact_sums, refinement=job.refinement)


def measure(
    directory: str | os.PathLike[str],
    observables: Sequence[str] = (),
    *,
    samples: int | None = None,
    iteration: int | None = None,
    comm: Communicator | None = None,
) -> Measurement:
    """Collective.  Expectation values at saved parameters of a run or a fit, as ``pvmc measure`` finds and stores them.

    Args:
        directory: of the run or the fit.
        observables: their names (docs/measure.md); none for all.
        samples: number of configurations; None for the default.
        iteration: whose parameters; None for the last saved ones.
        comm: the ranks; None for all of the program.

    Raises:
        InputError: no such run, parameters or observables.
        NumericalError: a local value is not finite.
        StorageError: the files cannot be read or written.
    """
    from pathlib import Path

    from pvmc.io.fit_file import fit_file, open_fit
    from pvmc.io.reader import open_run
    from pvmc.measurement.measuring import measure
    from pvmc.measurement.plan import MeasureRequest
    from pvmc.mpi import world

    ranks = comm if comm is not None else world()
    measure(MeasureRequest(Path(directory), observables, samples, iteration=iteration), ranks)
    ranks.barrier()  # rank 0 has closed the files
    stored = open_fit(directory) if fit_file(directory).is_file() else open_run(directory)
    return stored.measurements[-1]
