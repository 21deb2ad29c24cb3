"""Machines: jobs, timings, kernels ahead of them, and what there is."""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pvmc.cli.arguments import add_command, add_config, add_override, directory, positive, shared_job

if TYPE_CHECKING:
    from pvmc.vmc.job import Job


def add_submit(subparsers) -> None:  # type: ignore[no-untyped-def]
    """Arguments of ``pvmc submit``."""
    parser = add_command(
        subparsers,
        "submit",
        submit,
        "write a SLURM job script for a run, which goes on after its time limit; with --go submit it",
        "pvmc submit configs/heisenberg_chain.toml --ntasks 16 --time 12:00:00 --set ansatz.alpha=4 --go",
        keeps_results=True,
    )
    add_config(parser)
    text: dict[str, str] = {  # options of sbatch that are handed on, and what they are
        "--time": "time limit, such as 12:00:00, 12h or 2-00 (two days)",
        "--partition": "SLURM's partition (queue); default: that of the site",
        "--account": "account to charge; default: yours",
        "--mem-per-cpu": "memory, such as 2G; default: by the sizes of the job",
        "--name": "name of the job and its log; default: that of the input file",
    }
    parser.add_argument("--ntasks", type=positive, required=True, metavar="P", help="ranks")
    parser.add_argument("--nodes", type=positive, metavar="N", help="nodes; default: as SLURM finds room")
    for option, meaning in text.items():
        parser.add_argument(option, required=option == "--time", metavar="TEXT", help=meaning)
    parser.add_argument("--output", type=Path, metavar="DIR", help="directory of the results; default: runs/NAME")
    arrays = parser.add_mutually_exclusive_group()
    arrays.add_argument("--array-alpha", metavar="LIST", help="a job array over ansatz.alpha, such as 1,2,4")
    arrays.add_argument("--array-seeds", metavar="A-B", help="a job array over run.seed, such as 1-8")
    parser.add_argument(
        "--launcher",
        choices=("mpiexec", "srun-pmi2", "srun-pmix"),
        default="mpiexec",
        help="what starts the ranks: mpiexec (default), or srun with MPICH (pmi2) or Open MPI (pmix)",
    )
    parser.add_argument("--write", type=Path, metavar="FILE", help="the script; default: CONFIG with .sbatch")
    parser.add_argument("--overwrite", action="store_true", help="replace another script of this name")
    parser.add_argument("--go", action="store_true", help="submit it")


def add_bench(subparsers) -> None:  # type: ignore[no-untyped-def]
    """Arguments of ``pvmc bench``."""
    parser = add_command(
        subparsers,
        "bench",
        bench,
        "time a few iterations of an input file phase by phase and project the whole run; writes nothing",
        "mpirun -n 4 pvmc bench configs/heisenberg_chain.toml --set ansatz.alpha=4",
    )
    add_config(parser)
    parser.add_argument("--iterations", type=positive, default=5, metavar="N", help="iterations to time; default: 5")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to a file as well")


def add_warmup(subparsers) -> None:  # type: ignore[no-untyped-def]
    """Arguments of ``pvmc warmup``."""
    parser = add_command(
        subparsers,
        "warmup",
        warmup,
        "compile the kernels ahead of a job, into a directory in PVMC_CACHE_DIR where it is set",
        "PVMC_CACHE_DIR=$HOME/pvmc-kernels pvmc warmup configs/heisenberg_chain.toml",
        keeps_results=True,
    )
    parser.add_argument(
        "configs", type=Path, nargs="*", metavar="CONFIG", help="input files; default: all kinds of wave function"
    )
    add_override(parser)


def add_info(subparsers) -> None:  # type: ignore[no-untyped-def]
    """Arguments of ``pvmc info``."""
    add_command(subparsers, "info", info, "print versions, MPI library, BLAS, threads and CPU", "mpirun -n 2 pvmc info")


def submit(options: argparse.Namespace) -> int:
    """``pvmc submit``."""
    import shlex
    import sys

    from pvmc.tasks.submission import JobRequest, alphas, check, find_sbatch, prepare, render, seeds
    from pvmc.tasks.submission import submit as hand_over

    elements = alphas(options.array_alpha) if options.array_alpha is not None else None
    if options.array_seeds is not None:
        elements = seeds(options.array_seeds)
    file = options.write or options.config.with_suffix(".sbatch")
    request = JobRequest(
        config=options.config,
        ntasks=options.ntasks,
        time=options.time,
        file=file,
        output=directory(options),
        command=["pvmc", *sys.argv[1:]],
        overrides=options.set,
        nodes=options.nodes,
        partition=options.partition,
        account=options.account,
        memory=options.mem_per_cpu,
        name=options.name,
        launcher=options.launcher,
        array=elements,
    )
    text = render(check(request))
    if options.go:
        find_sbatch()  # before anything is written
    prepare(text, file, options.overwrite)
    print(f"wrote {file}", flush=True)
    print(f"submitted as job {hand_over(file)}" if options.go else f"next: sbatch {shlex.quote(str(file))}")
    return 0


def bench(options: argparse.Namespace) -> int:
    """Collective. ``pvmc bench``."""
    from pvmc.tasks.bench import bench
    from pvmc.tasks.memory import require_memory

    job, _, comm = shared_job(options)
    require_memory(job, comm, str(options.config))
    timing = bench(job, comm, options.iterations)
    comm.on_root(lambda: timing.report(options.json))
    return 0


def warmup(options: argparse.Namespace) -> int:
    """``pvmc warmup``."""
    from pvmc.numerics.kernels import kernel_directory
    from pvmc.vmc.job import load_job
    from pvmc.vmc.start import start_compiler, warm_up

    begin = time.perf_counter()
    start_compiler()
    jobs = ((str(path), load_job(path, options.set)) for path in options.configs) if options.configs else _small_jobs()
    for name, job in jobs:
        start = time.perf_counter()
        warm_up(job)
        print(f"{name:<50} {time.perf_counter() - start:6.1f} s", flush=True)
    print(f"kernels are compiled, in {time.perf_counter() - begin:.1f} s: {kernel_directory() or 'kept nowhere'}")
    return 0


def _small_jobs() -> Iterator[tuple[str, Job]]:
    """A small job for each kind of wave function with real and complex parameters and Hamiltonians, with its name."""
    from pvmc.config import RawInput
    from pvmc.vmc.job import build_job
    from pvmc.vmc.spec import JobConfig

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


def info(options: argparse.Namespace) -> int:
    """``pvmc info``."""
    from pvmc.io import provenance
    from pvmc.mpi import describe_mpi, describe_threads, node_of, world
    from pvmc.numerics.kernels import kernel_directory

    comm = world()
    node = node_of(comm)
    if comm.rank == 0:
        mpi = describe_mpi()
        ranks = {"ranks": comm.size, "ranks_on_node": node.ranks, "cores_on_node": node.cores}
        kernels = {"kernels": str(kernel_directory() or "kept nowhere: no directory can be written to")}
        facts = {**provenance.collect(), **mpi, **describe_threads(), **ranks, **kernels}
        for name, value in facts.items():
            if value not in ("", 0) and name not in ("pid", "command_line"):
                print(f"{name.replace('_', ' '):<20} {value}")
    return 0
