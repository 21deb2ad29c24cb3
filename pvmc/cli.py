"""The command line: subcommands and their arguments.  Each command imports what it needs when it runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn

import pvmc
from pvmc.errors import InputError

Command = Callable[[argparse.Namespace], int]

EXAMPLE_MODELS = (
    *("heisenberg", "xxz", "xyz", "j1j2", "dzyaloshinskii_moriya", "haldane_shastry", "long_range_xxz"),
    *("ising", "long_range_ising", "cluster_ising", "compass", "rydberg", "terms"),
)
"""Models that `pvmc new` writes an input for (Kitaev's needs a lattice of its own choice)."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of ``pvmc``; the exit code (see :mod:`pvmc.errors`)."""
    command = _parsed(arguments)  # before the imports: --help needs none
    from pvmc.parallel import run_main

    return run_main(command)


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
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    _add_new(commands)
    _add_validate(commands)
    _add_run(commands)
    _add_fit(commands)
    _add_status(commands)
    _add_plot(commands)
    _add_lattice(commands)
    _add_exact(commands)
    _add_check_ansatz(commands)
    _add_validate_physics(commands)
    _add_bench(commands)
    _add_warmup(commands)
    _add_info(commands)
    return parser


def _add(commands, name: str, command: Command, summary: str, example: str) -> argparse.ArgumentParser:  # type: ignore[no-untyped-def]
    parser: argparse.ArgumentParser = commands.add_parser(
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


def _add_new(commands) -> None:  # type: ignore[no-untyped-def]
    parser = _add(
        commands, "new", _new, "write a commented input file to start from", "pvmc new chain.toml --model ising"
    )
    parser.add_argument("config", type=Path, metavar="CONFIG", help="file to write; an existing one is left alone")
    parser.add_argument("--model", choices=EXAMPLE_MODELS, default="heisenberg", help="default: heisenberg")


def _add_validate(commands) -> None:  # type: ignore[no-untyped-def]
    parser = _add(
        commands,
        "validate",
        _validate,
        "check an input file, print it with every default and the memory per rank; run nothing",
        "pvmc validate configs/heisenberg_chain.toml --set ansatz.alpha=4 --ranks 64",
    )
    _add_config(parser)
    parser.add_argument(
        "--ranks", type=_positive, default=None, metavar="P", help="ranks to predict for; default: 1, 2, 4, ..."
    )


def _add_run(commands) -> None:  # type: ignore[no-untyped-def]
    parser = _add(
        commands,
        "run",
        _run,
        "optimise a wave function; under mpirun on all ranks, else on one",
        "mpirun -n 4 pvmc run configs/heisenberg_chain.toml --set ansatz.alpha=2 --output runs/h40a2",
    )
    _add_config(parser)
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="directory of the results; default: runs/NAME of the input file"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace results that are already in DIR")


def _add_fit(commands) -> None:  # type: ignore[no-untyped-def]
    parser = _add(
        commands,
        "fit",
        _fit,
        "fit a wave function to a target state, by the section [fit]; under mpirun on all ranks, else on one",
        "mpirun -n 2 pvmc fit configs/fit_heisenberg.toml --output runs/fit",
    )
    _add_config(parser)
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="directory of the result; default: runs/NAME of the input file"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a fit that is already in DIR")


def _add_status(commands) -> None:  # type: ignore[no-untyped-def]
    parser = _add(
        commands,
        "status",
        _status,
        "say how far a run or fit is, from its files alone; safe while it runs",
        "pvmc status runs/h40a2",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="directory or file of a run or fit")


def _add_plot(commands) -> None:  # type: ignore[no-untyped-def]
    parser = _add(
        commands,
        "plot",
        _plot,
        "draw the energy against the iteration (of fits the cost against the epoch), one curve per run, as PNG and PDF",
        "pvmc plot runs/h40a1 runs/h40a2 runs/h40a4 --output figure",
    )
    parser.add_argument(
        "runs", type=Path, nargs="+", metavar="RUN", help="directories or files of runs, also unfinished ones"
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="NAME",
        help="figure without its ending; default: convergence, beside the first run",
    )


def _add_lattice(commands) -> None:  # type: ignore[no-untyped-def]
    parser = _add(
        commands,
        "lattice",
        _lattice,
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


def _add_exact(commands) -> None:  # type: ignore[no-untyped-def]
    parser = _add(
        commands,
        "exact",
        _exact,
        "print the exact ground-state energy of an input file (Bethe ansatz, free fermions, or Lanczos up to 20 sites)",
        "pvmc exact configs/heisenberg_chain.toml",
    )
    _add_config(parser)


def _add_check_ansatz(commands) -> None:  # type: ignore[no-untyped-def]
    parser = _add(
        commands,
        "check-ansatz",
        _check_ansatz,
        "test the wave function of an input file on random spins and parameters; exit code 2 where it fails",
        "pvmc check-ansatz examples/own_ansatz.toml",
    )
    _add_config(parser)


def _add_validate_physics(commands) -> None:  # type: ignore[no-untyped-def]
    parser = _add(
        commands,
        "validate-physics",
        _validate_physics,
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


def _add_bench(commands) -> None:  # type: ignore[no-untyped-def]
    parser = _add(
        commands,
        "bench",
        _bench,
        "time a few iterations of an input file phase by phase and project the whole run; writes nothing",
        "mpirun -n 4 pvmc bench configs/heisenberg_chain.toml --set ansatz.alpha=4",
    )
    _add_config(parser)
    parser.add_argument("--iterations", type=_positive, default=5, metavar="N", help="iterations to time; default: 5")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to a file as well")


def _add_warmup(commands) -> None:  # type: ignore[no-untyped-def]
    parser = _add(
        commands,
        "warmup",
        _warmup,
        "compile the kernels ahead of a job, into the directory PVMC_CACHE_DIR where it is set",
        "PVMC_CACHE_DIR=$HOME/pvmc-kernels pvmc warmup configs/heisenberg_chain.toml",
    )
    parser.add_argument(
        "configs", type=Path, nargs="*", metavar="CONFIG", help="input files; default: all kinds of wave function"
    )
    _add_override(parser)


def _add_info(commands) -> None:  # type: ignore[no-untyped-def]
    _add(commands, "info", _info, "print versions, MPI library, BLAS, threads and CPU", "mpirun -n 2 pvmc info")


def _new(options: argparse.Namespace) -> int:
    from pvmc.errors import StorageError
    from pvmc.job import example_config

    try:
        with open(options.config, "x", encoding="utf-8") as file:
            file.write(example_config(options.model))
    except FileExistsError:
        raise InputError(f"{options.config}: exists; choose another name") from None
    except OSError as error:
        raise StorageError(f"{options.config}: cannot be written: {error.strerror}") from None
    print(f"wrote {options.config}; next: mpirun -n 2 pvmc run {options.config}")
    return 0


def _validate(options: argparse.Namespace) -> int:
    from pvmc.config import to_toml
    from pvmc.job import load_job
    from pvmc.resources import memory_table
    from pvmc.simulation import describe

    job = load_job(options.config, options.set)
    print(to_toml(job.config))
    print(f"# {describe(job)}")
    print(memory_table(job, options.ranks))
    return 0


def _run(options: argparse.Namespace) -> int:
    from pvmc.config import read_input, validate
    from pvmc.errors import on_every_rank
    from pvmc.job import JobConfig, build_job
    from pvmc.parallel import world
    from pvmc.simulation import RunRequest, run

    comm = world()
    raw = comm.root_value(lambda: read_input(options.config, options.set))
    with on_every_rank():
        job = build_job(validate(JobConfig, raw), raw)
    directory = options.output or Path("runs") / options.config.stem
    run(RunRequest(job, raw.text, directory, options.overwrite), comm)
    return 0


def _fit(options: argparse.Namespace) -> int:
    from pvmc.config import read_input, validate
    from pvmc.errors import on_every_rank
    from pvmc.fitting import FitRequest, fit
    from pvmc.job import JobConfig, build_job
    from pvmc.parallel import world

    comm = world()
    raw = comm.root_value(lambda: read_input(options.config, options.set))
    with on_every_rank():
        job = build_job(validate(JobConfig, raw), raw)
    directory = options.output or Path("runs") / options.config.stem
    fit(FitRequest(job, raw.text, directory, options.overwrite), comm)
    return 0


def _status(options: argparse.Namespace) -> int:
    from pvmc.analysis.summary import fit_status_text, status_text
    from pvmc.io.fit_file import is_fit, open_fit
    from pvmc.io.reader import open_run

    if is_fit(options.run):
        print(fit_status_text(open_fit(options.run)))
        return 0
    print(status_text(open_run(options.run)))
    return 0


def _plot(options: argparse.Namespace) -> int:
    from pvmc.analysis import fit_plots, plots
    from pvmc.io.fit_file import is_fit, open_fit
    from pvmc.io.reader import open_run

    of_fits = [path for path in options.runs if is_fit(path)]
    if of_fits and len(of_fits) < len(options.runs):
        named = ", ".join(str(path) for path in of_fits)
        raise InputError(f"runs and fits do not go into one figure: plot them apart; fits are {named}")
    if of_fits:
        fits = [open_fit(path) for path in options.runs]
        for path in fit_plots.fit_convergence(fits, options.output or fits[0].path.parent / "fit"):
            print(f"wrote {path}")
        return 0
    runs = [open_run(path) for path in options.runs]
    for path in plots.convergence(runs, options.output or runs[0].path.parent / "convergence"):
        print(f"wrote {path}")
    return 0


def _lattice(options: argparse.Namespace) -> int:
    from pvmc.analysis import lattice_plot
    from pvmc.job import load_lattice
    from pvmc.lattice import describe

    lattice = load_lattice(options.config, options.set)
    output = options.output or options.config.with_name(f"{options.config.stem}_lattice")
    paths = lattice_plot.draw(lattice, output, options.shells)
    print(describe(lattice))
    for path in paths:
        print(f"wrote {path}")
    return 0


def _exact(options: argparse.Namespace) -> int:
    from pvmc.ansatz import Projected
    from pvmc.exact.reference import LANCZOS_SITES
    from pvmc.job import load_job
    from pvmc.simulation import exact_energy

    job = load_job(options.config, options.set)
    config = job.config
    reference = exact_energy(job, largest=2**LANCZOS_SITES)
    if reference is None and isinstance(job.ansatz, Projected):
        raise InputError(
            f"{options.config}: no exact energy of these quantum numbers: the sector is empty or none of this "
            f"Hamiltonian, or {job.lattice.n_sites} sites with {len(job.ansatz.symmetry_group)} symmetries are too many"
        )
    if reference is None:
        raise InputError(
            f"{options.config}: no exact energy is known for this system, and "
            f"{job.lattice.n_sites} sites are more than the {LANCZOS_SITES} that can be diagonalised"
        )
    print(f"E   = {reference.energy:.12f} {config.hamiltonian.energy_unit}  ({reference.method})")
    print(f"E/N = {reference.energy / job.lattice.n_sites:.12f}")
    return 0


def _check_ansatz(options: argparse.Namespace) -> int:
    from pvmc.ansatz.contract import check_ansatz, failed, table
    from pvmc.errors import InputError
    from pvmc.job import load_job
    from pvmc.simulation import describe

    job = load_job(options.config, options.set)
    checks = check_ansatz(job.ansatz, job.config.run.seed)
    print(describe(job))
    print(table(checks))
    broken = len(list(failed(checks)))
    print(f"{broken} of {len(checks)} checks failed" if broken else f"all {len(checks)} checks passed")
    return InputError.exit_code if broken else 0


def _validate_physics(options: argparse.Namespace) -> int:
    from pvmc.errors import NumericalError
    from pvmc.parallel import world
    from pvmc.validation.command import validate_inputs

    reports = validate_inputs(options.configs, options.set, options.accuracy, options.markdown, world())
    return 0 if all(report.passed for report in reports) else NumericalError.exit_code


def _bench(options: argparse.Namespace) -> int:
    from pvmc.benchmark import bench
    from pvmc.config import read_input, validate
    from pvmc.errors import on_every_rank
    from pvmc.job import JobConfig, build_job
    from pvmc.parallel import world

    comm = world()
    raw = comm.root_value(lambda: read_input(options.config, options.set))
    with on_every_rank():
        job = build_job(validate(JobConfig, raw), raw)
    timing = bench(job, comm, options.iterations)
    comm.on_root(lambda: timing.report(options.json))
    return 0


def _warmup(options: argparse.Namespace) -> int:
    import time

    from pvmc.compilation import all_jobs, start_compiler, warm_up
    from pvmc.job import load_job

    begin = time.perf_counter()
    start_compiler()
    jobs = ((str(path), load_job(path, options.set)) for path in options.configs) if options.configs else all_jobs()
    for name, job in jobs:
        start = time.perf_counter()
        warm_up(job)
        print(f"{name:<50} {time.perf_counter() - start:6.1f} s", flush=True)
    print(f"kernels are compiled, in {time.perf_counter() - begin:.1f} s")
    return 0


def _info(options: argparse.Namespace) -> int:
    from pvmc.io import provenance
    from pvmc.parallel import describe_mpi, describe_threads, node_of, world

    comm = world()
    node = node_of(comm)
    if comm.rank == 0:
        mpi = describe_mpi()
        ranks = {"ranks": comm.size, "ranks_on_node": node.ranks, "cores_on_node": node.cores}
        facts = {**provenance.collect(), **mpi, **describe_threads(), **ranks}
        for name, value in facts.items():
            if value not in ("", 0) and name not in ("pid", "command_line"):
                print(f"{name.replace('_', ' '):<20} {value}")
    return 0


def _positive_number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0.0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number > 0, not '{text}'")
    return number


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be an integer >= 1, not '{text}'")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
