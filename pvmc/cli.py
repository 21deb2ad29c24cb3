"""The command line: subcommands and their arguments; what they do is in :mod:`pvmc.commands`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn

import pvmc
from pvmc import commands
from pvmc.errors import InputError

Command = Callable[[argparse.Namespace], int]

EXAMPLE_MODELS = (
    *("heisenberg", "xxz", "xyz", "j1j2", "dzyaloshinskii_moriya", "haldane_shastry", "long_range_xxz"),
    *("ising", "long_range_ising", "cluster_ising", "compass", "rydberg", "terms"),
)
"""Models that `pvmc new` writes an input for (Kitaev's needs a lattice of its own choice)."""


FIGURES = (
    *("convergence", "error-alpha", "features", "correlations", "structure-factor", "variance", "diagnostics"),
    *("timing", "spectrum", "entanglement"),
)
"""What ``pvmc plot --kind`` draws."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of ``pvmc``; the exit code (see :mod:`pvmc.errors`)."""
    command = _parsed(arguments)  # before the imports: --help needs none
    from pvmc.parallel import note_exit_code, run_main

    return note_exit_code(run_main(command))


def _parsed(arguments: Sequence[str] | None) -> Callable[[], int]:
    """What the command line asks for, as a function; for a wrong one, a function that raises the error."""
    try:
        options = _parser().parse_args(arguments)
    except InputError as error:
        return partial(_complain, str(error))
    return partial(options.command, options)


def _complain(message: str) -> int:
    raise InputError(message)


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are input errors, so that N ranks print one."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} (see '{self.prog} --help')")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="pvmc",
        description="Parallel variational Monte Carlo with neural quantum states.",
        epilog="Start with:  pvmc new chain.toml;  mpirun -n 4 pvmc run chain.toml;  pvmc plot runs/chain",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"pvmc {pvmc.__version__}")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    _add_new(subparsers)
    _add_validate(subparsers)
    _add_run(subparsers)
    _add_submit(subparsers)
    _add_fit(subparsers)
    _add_measure(subparsers)
    _add_status(subparsers)
    _add_plot(subparsers)
    _add_export(subparsers)
    _add_import_wf(subparsers)
    _add_analyze(subparsers)
    _add_report(subparsers)
    _add_lattice(subparsers)
    _add_exact(subparsers)
    _add_check_ansatz(subparsers)
    _add_validate_physics(subparsers)
    _add_bench(subparsers)
    _add_warmup(subparsers)
    _add_info(subparsers)
    return parser


def _add(subparsers, name: str, command: Command, summary: str, example: str) -> argparse.ArgumentParser:  # type: ignore[no-untyped-def]
    parser: argparse.ArgumentParser = subparsers.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(command=command)
    return parser


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", type=Path, metavar="CONFIG", help="input file (TOML); 'pvmc new' writes one")
    _add_override(parser)


def _add_override(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a key of the input file, such as ansatz.alpha=2; may be repeated",
    )


def _add_new(subparsers) -> None:  # type: ignore[no-untyped-def]
    parser = _add(
        subparsers,
        "new",
        commands.new,
        "write a commented input file to start from",
        "pvmc new chain.toml --model ising",
    )
    parser.add_argument("config", type=Path, metavar="CONFIG", help="file to write; an existing one is left alone")
    parser.add_argument("--model", choices=EXAMPLE_MODELS, default="heisenberg", help="default: heisenberg")


def _add_validate(subparsers) -> None:  # type: ignore[no-untyped-def]
    parser = _add(
        subparsers,
        "validate",
        commands.validate,
        "check an input file, print it with every default and the memory per rank; run nothing",
        "pvmc validate configs/heisenberg_chain.toml --set ansatz.alpha=4 --ranks 64",
    )
    _add_config(parser)
    parser.add_argument(
        "--ranks", type=_positive, default=None, metavar="P", help="ranks to predict for; default: 1, 2, 4, ..."
    )


def _add_run(subparsers) -> None:  # type: ignore[no-untyped-def]
    parser = _add(
        subparsers,
        "run",
        commands.run,
        "optimise a wave function; under mpirun on all ranks, else on one",
        "mpirun -n 4 pvmc run configs/heisenberg_chain.toml --set ansatz.alpha=2 --output runs/h40a2",
    )
    _add_config(parser)
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="directory of the results; default: runs/NAME of the input file"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace results that are already in DIR")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the run in DIR from its last checkpoint, on any number of ranks; CONFIG may be DIR itself",
    )
    parser.add_argument(
        "--time-limit",
        metavar="TIME",
        help="stop before so much wall time is over, with the state saved (exit code 75): 90 (minutes), 24:00:00, 2h",
    )


def _add_submit(subparsers) -> None:  # type: ignore[no-untyped-def]
    parser = _add(
        subparsers,
        "submit",
        commands.submit,
        "write a SLURM job script for a run, which goes on after its time limit; with --go submit it",
        "pvmc submit configs/heisenberg_chain.toml --ntasks 16 --time 12:00:00 --set ansatz.alpha=4 --go",
    )
    _add_config(parser)
    text: dict[str, str] = {  # options of sbatch that are handed on, and what they are
        "--time": "time limit, such as 12:00:00 or 2-00 (two days)",
        "--partition": "SLURM's partition (queue); default: that of the site",
        "--account": "account to charge; default: yours",
        "--mem-per-cpu": "memory, such as 2G; default: by the sizes of the job",
        "--name": "name of the job and its log; default: that of the input file",
    }
    parser.add_argument("--ntasks", type=_positive, required=True, metavar="P", help="ranks")
    parser.add_argument("--nodes", type=_positive, metavar="N", help="nodes; default: as SLURM finds room")
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


def _add_fit(subparsers) -> None:  # type: ignore[no-untyped-def]
    parser = _add(
        subparsers,
        "fit",
        commands.fit,
        "fit a wave function to a target state, by the section [fit]; under mpirun on all ranks, else on one",
        "mpirun -n 2 pvmc fit configs/fit_heisenberg.toml --output runs/fit",
    )
    _add_config(parser)
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="directory of the result; default: runs/NAME of the input file"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a fit that is already in DIR")


def _add_measure(subparsers) -> None:  # type: ignore[no-untyped-def]
    parser = _add(
        subparsers,
        "measure",
        commands.measure,
        "measure energy, correlations and other observables at a run's parameters, with their errors; under mpirun on "
        "all ranks, else on one",
        "mpirun -n 4 pvmc measure runs/h40a2 --until-error 1e-5",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="directory or file of a run or a fit that is over")
    parser.add_argument(
        "--observables",
        action="append",
        default=[],
        metavar="LIST",
        help="some of energy, magnetization, correlations, structure_factor, staggered, renyi2, overlap; renyi2:REGION "
        'such as "renyi2:0-3 8" or renyi2:lengths; fidelity:[NAME=]RUN[@ITERATION]; and operator:NAME=EXPRESSION such '
        'as "operator:bond=0.25 Xi Xj; 0.25 Zi Zj"; with commas between; default: all but operators and fidelities',
    )
    parser.add_argument(
        "--samples", type=_positive, metavar="N", help="configurations; default: 100 times sampler.samples"
    )
    parser.add_argument(
        "--until-error",
        type=_positive_number,
        metavar="X",
        help="stop when the error of the energy per site is below X, after 10 million configurations or --samples",
    )
    parser.add_argument("--iteration", type=_count, metavar="K", help="whose parameters; default: the last saved ones")
    parser.add_argument("--seed", type=_count, metavar="S", help="of the random numbers; default: by the run's own")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override a key of [sampler]; may be repeated"
    )
    parser.add_argument("--resume", action="store_true", help="go on with the last measurement, on any number of ranks")
    parser.add_argument(
        "--time-limit", metavar="TIME", help="stop before so much wall time is over (exit code 75), as in pvmc run"
    )


def _add_status(subparsers) -> None:  # type: ignore[no-untyped-def]
    parser = _add(
        subparsers,
        "status",
        commands.status,
        "say how far runs or fits are and how good, from their files alone; safe while they run",
        "pvmc status runs/h40a2 --watch",
    )
    parser.add_argument(
        "runs", type=Path, nargs="+", metavar="RUN", help="directories or files of runs or fits; several make a table"
    )
    parser.add_argument(
        "--watch",
        type=_seconds,
        nargs="?",
        const=2.0,
        metavar="SECONDS",
        help="show it again every so many seconds (2) until the runs are over; Ctrl-C leaves, and stops no run",
    )
    parser.add_argument("--json", action="store_true", help="for programs: one JSON object for each, in a line")


def _add_plot(subparsers) -> None:  # type: ignore[no-untyped-def]
    parser = _add(
        subparsers,
        "plot",
        commands.plot,
        "draw the energy against the iteration (of fits the cost against the epoch), or another figure of the results, "
        "with the data beside it as CSV",
        "pvmc plot runs/h40a1 runs/h40a2 runs/h40a4 --output figure",
    )
    parser.add_argument(
        "runs", type=Path, nargs="+", metavar="RUN", help="directories or files of runs, also unfinished ones"
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="NAME",
        help="figure without its ending; default: the kind, beside the first run",
    )
    parser.add_argument("--kind", choices=FIGURES, default="convergence", help="what to draw; default: convergence")
    parser.add_argument(
        "--format",
        type=_formats,
        default=("png", "pdf"),
        metavar="LIST",
        help="file types, such as png,pdf,svg; default: png,pdf",
    )


def _add_analyze(subparsers) -> None:  # type: ignore[no-untyped-def]
    parser = _add(
        subparsers,
        "analyze",
        commands.analyze,
        "tabulate what came out of runs: energies with errors, variances, V-scores, costs, warnings",
        "pvmc analyze runs/h40a1 runs/h40a2 runs/h40a4 --extrapolate",
    )
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="directories or files of runs")
    parser.add_argument(
        "--format", choices=("table", "csv", "json", "latex"), default="table", help="of the table; default: table"
    )
    parser.add_argument(
        "--extrapolate", action="store_true", help="energy at zero variance, of several runs of one system; also drawn"
    )
    parser.add_argument(
        "--varbench", action="store_true", help="rows for the tables of github.com/varbench/varbench instead"
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="NAME",
        help="figure of --extrapolate without its ending; default: variance, beside the first run",
    )


def _add_report(subparsers) -> None:  # type: ignore[no-untyped-def]
    parser = _add(
        subparsers,
        "report",
        commands.report,
        "write one HTML page about runs: inputs, machines, figures, tables and warnings; it needs no network",
        "pvmc report runs/h40a1 runs/h40a2 --output report.html",
    )
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="directories or files of runs")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="the page; default: report.html, beside the first run"
    )


def _add_export(subparsers) -> None:  # type: ignore[no-untyped-def]
    parser = _add(
        subparsers,
        "export",
        commands.export,
        "write the series, saved parameters and measurements of a run for other programs",
        "pvmc export runs/h40a2 --format netcdf",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="directory or file of a run, also an unfinished one")
    parser.add_argument("--format", choices=("csv", "npz", "netcdf"), default="csv", help="default: csv")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="PATH",
        help="file to write (of csv a directory); default: export.npz, export.nc or export, beside the run's file",
    )


def _add_import_wf(subparsers) -> None:  # type: ignore[no-untyped-def]
    parser = _add(
        subparsers,
        "import-wf",
        commands.import_wf,
        "make a run of the weights of an RBM: a .wf file of Carleo & Troyer, or a .npz file; measures its energy",
        "pvmc import-wf Heisenberg1d_40_1_1.wf configs/heisenberg_chain.toml --output runs/published",
    )
    parser.add_argument("weights", type=Path, metavar="FILE", help="the weights, .wf or .npz")
    _add_config(parser)
    parser.add_argument("--output", type=Path, metavar="DIR", help="directory of the run; default: runs/NAME of FILE")
    parser.add_argument("--overwrite", action="store_true", help="replace results that are already in DIR")


def _add_lattice(subparsers) -> None:  # type: ignore[no-untyped-def]
    parser = _add(
        subparsers,
        "lattice",
        commands.lattice,
        "draw the lattice of an input file, as PNG and PDF, and print its bonds and symmetries",
        "pvmc lattice docs/lattices/kagome.toml --set lattice.size=[2,3] --output kagome",
    )
    _add_config(parser)
    parser.add_argument(
        "--output",
        type=Path,
        metavar="NAME",
        help="figure without its ending; default: CONFIG_lattice, beside the input file",
    )
    parser.add_argument(
        "--shells", type=_positive, default=None, metavar="N", help="neighbour shells to draw; default: 2, in 3D 1"
    )


def _add_exact(subparsers) -> None:  # type: ignore[no-untyped-def]
    parser = _add(
        subparsers,
        "exact",
        commands.exact,
        "print the exact ground-state energy of an input file (Bethe ansatz, free fermions, or Lanczos up to 20 sites)",
        "pvmc exact configs/heisenberg_chain.toml",
    )
    _add_config(parser)


def _add_check_ansatz(subparsers) -> None:  # type: ignore[no-untyped-def]
    parser = _add(
        subparsers,
        "check-ansatz",
        commands.check_ansatz,
        "test the wave function of an input file on random spins and parameters; exit code 2 where it fails",
        "pvmc check-ansatz examples/own_ansatz.toml",
    )
    _add_config(parser)


def _add_validate_physics(subparsers) -> None:  # type: ignore[no-untyped-def]
    parser = _add(
        subparsers,
        "validate-physics",
        commands.validate_physics,
        "compare sampler, local energies, gradient, SR step and final energy of inputs of up to 16 sites with exact "
        "diagonalisation; exit code 3 where one fails",
        "pvmc validate-physics configs/validation/ising_ring.toml --accuracy 1e-3",
    )
    parser.add_argument("configs", type=Path, nargs="+", metavar="CONFIG", help="input files (TOML)")
    _add_override(parser)
    parser.add_argument(
        "--accuracy",
        type=_positive_number,
        default=1e-3,
        metavar="X",
        help="largest relative error of the final energy; default: 1e-3",
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write all numbers to this file as well")


def _add_bench(subparsers) -> None:  # type: ignore[no-untyped-def]
    parser = _add(
        subparsers,
        "bench",
        commands.bench,
        "time a few iterations of an input file phase by phase and project the whole run; writes nothing",
        "mpirun -n 4 pvmc bench configs/heisenberg_chain.toml --set ansatz.alpha=4",
    )
    _add_config(parser)
    parser.add_argument("--iterations", type=_positive, default=5, metavar="N", help="iterations to time; default: 5")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to a file as well")


def _add_warmup(subparsers) -> None:  # type: ignore[no-untyped-def]
    parser = _add(
        subparsers,
        "warmup",
        commands.warmup,
        "compile the kernels ahead of a job, into the directory PVMC_CACHE_DIR where it is set",
        "PVMC_CACHE_DIR=$HOME/pvmc-kernels pvmc warmup configs/heisenberg_chain.toml",
    )
    parser.add_argument(
        "configs", type=Path, nargs="*", metavar="CONFIG", help="input files; default: all kinds of wave function"
    )
    _add_override(parser)


def _add_info(subparsers) -> None:  # type: ignore[no-untyped-def]
    _add(
        subparsers, "info", commands.info, "print versions, MPI library, BLAS, threads and CPU", "mpirun -n 2 pvmc info"
    )


def _formats(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    if wrong := [name for name in names if name not in ("png", "pdf", "svg")]:
        raise argparse.ArgumentTypeError(f"must be some of png, pdf, svg with commas between them, not '{wrong[0]}'")
    return names


def _positive_number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0.0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number > 0, not '{text}'")
    return number


def _seconds(text: str) -> float:
    try:
        return _positive_number(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}; runs come before --watch") from None


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**63:
        raise argparse.ArgumentTypeError(f"must be an integer >= 0 and < 2^63, not '{text}'")
    return int(text)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be an integer >= 1, not '{text}'")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
