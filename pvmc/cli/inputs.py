"""Inputs: one to start from, what one says, its lattice."""

from __future__ import annotations

import argparse
from pathlib import Path

from pvmc.cli.arguments import add_command, add_config, positive

EXAMPLE_MODELS = (
    *("heisenberg", "xxz", "xyz", "j1j2", "dzyaloshinskii_moriya", "haldane_shastry", "long_range_xxz"),
    *("ising", "long_range_ising", "cluster_ising", "compass", "kitaev", "rydberg", "terms"),
)
"""Models that `pvmc new` writes an input for: all."""


def add_new(subparsers) -> None:  # type: ignore[no-untyped-def]
    """Arguments of ``pvmc new``."""
    parser = add_command(
        subparsers,
        "new",
        new,
        "write a commented input file to start from",
        "pvmc new chain.toml --model ising",
        keeps_results=True,
    )
    parser.add_argument("config", type=Path, metavar="CONFIG", help="file to write; an existing one is left alone")
    parser.add_argument("--model", choices=EXAMPLE_MODELS, default="heisenberg", help="default: heisenberg")


def add_validate(subparsers) -> None:  # type: ignore[no-untyped-def]
    """Arguments of ``pvmc validate``."""
    parser = add_command(
        subparsers,
        "validate",
        validate,
        "check an input file, print it with every default and the memory per rank; run nothing",
        "pvmc validate configs/heisenberg_chain.toml --set ansatz.alpha=4 --ranks 64",
    )
    add_config(parser)
    parser.add_argument(
        "--ranks", type=positive, default=None, metavar="P", help="ranks to predict for; default: 1, 2, 4, ..."
    )


def add_lattice(subparsers) -> None:  # type: ignore[no-untyped-def]
    """Arguments of ``pvmc lattice``."""
    parser = add_command(
        subparsers,
        "lattice",
        lattice,
        "draw the lattice of an input file, as PNG and PDF, and print its bonds and symmetries",
        "pvmc lattice docs/lattices/kagome.toml --set lattice.size=[2,3] --output kagome",
    )
    add_config(parser)
    parser.add_argument(
        "--output",
        type=Path,
        metavar="NAME",
        help="figure without its ending; default: CONFIG_lattice, beside the input file",
    )
    parser.add_argument(
        "--shells", type=positive, default=None, metavar="N", help="neighbour shells to draw; default: 2, in 3D 1"
    )


def new(options: argparse.Namespace) -> int:
    """``pvmc new``."""
    from pvmc.io.storage import write_new
    from pvmc.vmc.spec import example_config

    write_new(options.config, example_config(options.model))
    print(f"wrote {options.config}; next: mpirun -n 2 pvmc run {options.config}")
    return 0


def validate(options: argparse.Namespace) -> int:
    """``pvmc validate``."""
    from pvmc.config import to_toml
    from pvmc.measurement.measuring_memory import measuring_table
    from pvmc.mpi import limit_threads
    from pvmc.planning.rates import measure_rates
    from pvmc.tasks.bench import iteration_table, time_block
    from pvmc.tasks.memory import memory_table, require_memory_of_one, solver_table
    from pvmc.vmc.display import describe, notes
    from pvmc.vmc.job import load_job
    from pvmc.vmc.sectors import VALIDATED_DIMENSION, sector_of
    from pvmc.vmc.start import cost_in_words

    job = load_job(options.config, options.set)
    require_memory_of_one(job, options.ranks, str(options.config))
    limit_threads(job.config.run.threads_per_rank)  # so that what is timed is timed as in a rank
    block, rates = time_block(job), measure_rates()
    print(to_toml(job.config))
    print(f"# {describe(job)}")
    for line in notes(job):
        print(f"# {line}")
    sector = sector_of(job, largest=VALIDATED_DIMENSION)
    if sector.words:
        print(f"# sector: {sector.words}")
    if sector.ground_words:
        print(f"# ground state: {sector.ground_words}")
    if sector.elsewhere:
        print(f"# warning: {sector.elsewhere}")
    if cost := cost_in_words(job.config.run):
        print(f"# {cost}")
    print(memory_table(job, options.ranks))
    print(measuring_table(job, options.ranks))
    print(iteration_table(job, block, rates, options.ranks))
    print(solver_table(job, rates, options.ranks))
    return 0


def lattice(options: argparse.Namespace) -> int:
    """``pvmc lattice``."""
    from pvmc.figures import lattice_plot
    from pvmc.lattice import describe
    from pvmc.vmc.job import load_lattice

    lattice = load_lattice(options.config, options.set)
    output = options.output or options.config.with_name(f"{options.config.stem}_lattice")
    paths = lattice_plot.draw(lattice, output, options.shells)
    print(describe(lattice))
    for path in paths:
        print(f"wrote {path}")
    return 0
