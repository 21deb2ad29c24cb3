"""Machines: jobs, timings, kernels ahead of them, and what there is."""

from __future__ import annotations

from pathlib import Path

from pvmc.cli.arguments import add_command, add_config, add_override
from pvmc.cli.values import positive
from pvmc.commands import cluster


def add_submit(subparsers) -> None:  # type: ignore[no-untyped-def]
    """Arguments of ``pvmc submit``."""
    parser = add_command(
        subparsers,
        "submit",
        cluster.submit,
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
        cluster.bench,
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
        cluster.warmup,
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
    add_command(
        subparsers, "info", cluster.info, "print versions, MPI library, BLAS, threads and CPU", "mpirun -n 2 pvmc info"
    )
