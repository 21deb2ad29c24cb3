"""What each subcommand does.  Each imports what it needs when it runs, so that ``pvmc --help`` imports nothing heavy.

Every function takes the parsed command line and returns the exit code; errors are those of :mod:`pvmc.errors`.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pvmc.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pvmc.analysis.drawing import Drawing
    from pvmc.config import RawInput
    from pvmc.io.reader import Run
    from pvmc.job import Job
    from pvmc.parallel import Communicator


def new(options: argparse.Namespace) -> int:
    """``pvmc new``."""
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


def validate(options: argparse.Namespace) -> int:
    """``pvmc validate``."""
    from pvmc.config import to_toml
    from pvmc.job import load_job
    from pvmc.measurement.memory import measuring_table
    from pvmc.parallel import limit_threads
    from pvmc.recorder import describe
    from pvmc.resources import memory_table, solver_table
    from pvmc.sr.rates import measure_rates
    from pvmc.starts import cost_in_words

    job = load_job(options.config, options.set)
    print(to_toml(job.config))
    print(f"# {describe(job)}")
    if cost := cost_in_words(job.config.run):
        print(f"# {cost}")
    print(memory_table(job, options.ranks))
    print(measuring_table(job, options.ranks))
    limit_threads(job.config.run.threads_per_rank)  # so that the products that are timed are those of a rank
    print(solver_table(job, measure_rates(), options.ranks))
    return 0


def run(options: argparse.Namespace) -> int:
    """Collective. ``pvmc run``."""
    started = time.monotonic()
    from pvmc.recorder import RunRequest
    from pvmc.simulation import run as carry_out

    if options.time_limit is not None:
        from pvmc.runtime import parse_duration

        parse_duration(options.time_limit)
        options.set.append(f'run.time.limit="{options.time_limit}"')
    if options.resume and options.overwrite:
        raise InputError("--resume goes on with the run that --overwrite would replace: give one of them")
    job, text, comm = _shared_job(options)
    request = RunRequest(job, text, _directory(options), options.overwrite, options.resume, started)
    return carry_out(request, comm)


def submit(options: argparse.Namespace) -> int:
    """``pvmc submit``."""
    import shlex
    import sys

    from pvmc.submission import Request, array, check, find_sbatch, prepare, render
    from pvmc.submission import submit as hand_over

    elements = array.alphas(options.array_alpha) if options.array_alpha is not None else None
    if options.array_seeds is not None:
        elements = array.seeds(options.array_seeds)
    file = options.write or options.config.with_suffix(".sbatch")
    request = Request(
        config=options.config,
        ntasks=options.ntasks,
        time=options.time,
        file=file,
        output=_directory(options),
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


def fit(options: argparse.Namespace) -> int:
    """Collective. ``pvmc fit``."""
    from pvmc.fitting import FitRequest
    from pvmc.fitting import fit as carry_out

    job, text, comm = _shared_job(options)
    carry_out(FitRequest(job, text, _directory(options), options.overwrite), comm)
    return 0


def measure(options: argparse.Namespace) -> int:
    """Collective. ``pvmc measure``."""
    started = time.monotonic()
    from pvmc.measurement.command import measure as carry_out
    from pvmc.measurement.request import MeasureRequest
    from pvmc.parallel import world

    if options.time_limit is not None:
        from pvmc.runtime import parse_duration

        parse_duration(options.time_limit)
        options.set.append(f'run.time.limit="{options.time_limit}"')
    request = MeasureRequest(
        path=options.run,
        observables=options.observables,
        samples=options.samples,
        until_error=options.until_error,
        iteration=options.iteration,
        seed=options.seed,
        overrides=options.set,
        resume=options.resume,
        started=started,
    )
    return carry_out(request, world())


def _shared_job(options: argparse.Namespace) -> tuple[Job, str, Communicator]:
    """Collective. The job, built alike on every rank from what rank 0 read; the file's text; the ranks."""
    from pvmc.config import validate
    from pvmc.errors import on_every_rank
    from pvmc.job import JobConfig, build_job
    from pvmc.parallel import world

    comm = world()
    raw = comm.root_value(lambda: _input(options))
    with on_every_rank():
        job = build_job(validate(JobConfig, raw), raw)
    return job, raw.text, comm


def _input(options: argparse.Namespace) -> RawInput:
    """The input file, or with --resume DIR that of the run there, with what --set overrides."""
    from pvmc.config import overridden, read_input

    if getattr(options, "resume", False) and options.config.is_dir():
        from pvmc.resumption import stored_input

        return overridden(stored_input(options.config), options.set)
    return read_input(options.config, options.set)


def _directory(options: argparse.Namespace) -> Path:
    if getattr(options, "resume", False) and options.config.is_dir():
        return options.output or options.config
    return options.output or Path("runs") / options.config.stem


def status(options: argparse.Namespace) -> int:
    """``pvmc status``."""
    from pvmc.analysis.status import exit_code, read_all, shown

    if options.watch is not None:
        return _watch(options)
    facts = read_all(options.runs)
    print(shown(facts, options.json))
    return exit_code(facts)


def _watch(options: argparse.Namespace) -> int:
    """``pvmc status --watch``."""
    from datetime import UTC, datetime

    from pvmc.analysis.status import read_all, shown
    from pvmc.watching import Frame, watch

    def frame() -> Frame:
        facts = read_all(options.runs)
        if all(one.over for one in facts):  # for a moment also a run that goes back to an earlier iteration
            time.sleep(1.0)
            facts = read_all(options.runs)
        head = "" if options.json else f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC\n"
        return Frame(head + shown(facts, options.json), last=all(one.over for one in facts))

    watch(frame, options.watch, gap="" if options.json else "\n")
    return 0


def plot(options: argparse.Namespace) -> int:
    """``pvmc plot``."""
    from pvmc.analysis import fit_plots
    from pvmc.analysis.drawing import save_drawing
    from pvmc.io.fit_file import is_fit, open_fit
    from pvmc.io.reader import open_run

    of_fits = [path for path in options.runs if is_fit(path)]
    if of_fits and len(of_fits) < len(options.runs):
        named = ", ".join(str(path) for path in of_fits)
        raise InputError(f"runs and fits do not go into one figure: plot them apart; fits are {named}")
    if of_fits and options.kind != "convergence":
        raise InputError(f"--kind {options.kind} is of runs, not of fits")
    if of_fits:
        fits = [open_fit(path) for path in options.runs]
        for path in fit_plots.fit_convergence(fits, options.output or fits[0].path.parent / "fit", options.format):
            print(f"wrote {path}")
        return 0
    runs = [open_run(path) for path in options.runs]
    drawing = _drawing(runs, options.kind)
    for path in save_drawing(drawing, options.output or runs[0].path.parent / options.kind, options.format):
        print(f"wrote {path}")
    return 0


def export(options: argparse.Namespace) -> int:
    """``pvmc export``."""
    from pvmc.io.export import export

    print(f"wrote {export(options.run, options.format, options.output)}")
    return 0


def import_wf(options: argparse.Namespace) -> int:
    """Collective. ``pvmc import-wf``; rank 0 alone works."""
    from pvmc.importing import import_weights
    from pvmc.recorder import RunRequest

    job, text, comm = _shared_job(options)
    directory = options.output or Path("runs") / options.weights.stem
    request = RunRequest(job, text, directory, options.overwrite)
    comm.on_root(lambda: import_weights(request, options.weights))
    return 0


def _drawing(runs: Sequence[Run], kind: str) -> Drawing:
    """The figure of this kind, with its data."""
    from pvmc.analysis.kinds import KINDS

    if kind != "spectrum":
        return KINDS[kind](runs)
    from pvmc.analysis.spectrum_plot import spectrum_drawing
    from pvmc.spectrum import spectrum

    return spectrum_drawing(runs, {str(run.path): spectrum(run) for run in runs})


def analyze(options: argparse.Namespace) -> int:
    """``pvmc analyze``."""
    from pvmc.analysis import varbench
    from pvmc.analysis.extrapolation import extrapolate
    from pvmc.analysis.result import result_of
    from pvmc.analysis.result_table import FORMATS
    from pvmc.io.reader import open_run

    if options.output is not None and not options.extrapolate:
        raise InputError("--output is for the figure of --extrapolate")
    if options.varbench and (options.extrapolate or options.format != "table"):
        raise InputError("--varbench has a format of its own: give it alone")
    runs = [open_run(path) for path in options.runs]
    if options.varbench:
        print(varbench.rows(runs))
        return 0
    results = [result_of(run) for run in runs]
    print(FORMATS[options.format](results, extrapolate(results) if options.extrapolate else None))
    if options.extrapolate:
        _draw_extrapolation(runs, options)
    return 0


def _draw_extrapolation(runs: Sequence[Run], options: argparse.Namespace) -> None:
    """The figure; the names of its files go to stderr, which leaves the table on stdout as it is."""
    import sys

    from pvmc.analysis.drawing import save_drawing
    from pvmc.analysis.variance_plot import variance_drawing

    output = options.output or runs[0].path.parent / "variance"
    for path in save_drawing(variance_drawing(runs), output, ("png", "pdf")):
        print(f"wrote {path}", file=sys.stderr)


def report(options: argparse.Namespace) -> int:
    """``pvmc report``."""
    from pvmc.analysis.report import write_report
    from pvmc.io.reader import open_run

    runs = [open_run(path) for path in options.runs]
    print(f"wrote {write_report(runs, options.output or runs[0].path.parent / 'report.html')}")
    return 0


def lattice(options: argparse.Namespace) -> int:
    """``pvmc lattice``."""
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


def exact(options: argparse.Namespace) -> int:
    """``pvmc exact``."""
    from pvmc.ansatz import Projected
    from pvmc.exact.reference import LANCZOS_SITES
    from pvmc.job import load_job
    from pvmc.recorder import exact_energy

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


def check_ansatz(options: argparse.Namespace) -> int:
    """``pvmc check-ansatz``."""
    from pvmc.ansatz.contract import check_ansatz, failed, table
    from pvmc.errors import InputError
    from pvmc.job import load_job
    from pvmc.recorder import describe

    job = load_job(options.config, options.set)
    checks = check_ansatz(job.ansatz, job.config.run.seed)
    print(describe(job))
    print(table(checks))
    broken = len(list(failed(checks)))
    print(f"{broken} of {len(checks)} checks failed" if broken else f"all {len(checks)} checks passed")
    return InputError.exit_code if broken else 0


def validate_physics(options: argparse.Namespace) -> int:
    """``pvmc validate-physics``."""
    from pvmc.errors import NumericalError
    from pvmc.parallel import world
    from pvmc.validation.command import validate_inputs

    reports = validate_inputs(options.configs, options.set, options.accuracy, options.markdown, world())
    return 0 if all(report.passed for report in reports) else NumericalError.exit_code


def bench(options: argparse.Namespace) -> int:
    """Collective. ``pvmc bench``."""
    from pvmc.benchmark import bench

    job, _, comm = _shared_job(options)
    timing = bench(job, comm, options.iterations)
    comm.on_root(lambda: timing.report(options.json))
    return 0


def warmup(options: argparse.Namespace) -> int:
    """``pvmc warmup``."""
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


def info(options: argparse.Namespace) -> int:
    """``pvmc info``."""
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
