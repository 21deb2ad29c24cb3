"""Inputs: one to start from, what one says, its lattice."""

from __future__ import annotations

from pathlib import Path

from pvmc.cli.arguments import add_command, add_config
from pvmc.cli.values import positive
from pvmc.commands import inputs

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
        inputs.new,
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
        inputs.validate,
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
        inputs.lattice,
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
