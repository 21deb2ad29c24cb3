"""Checking: against exact results, and wave functions against their contract."""

from __future__ import annotations

from pathlib import Path

from pvmc.cli.arguments import add_command, add_config, add_override
from pvmc.cli.values import positive_number
from pvmc.commands import checking
from pvmc.statistics.thresholds import LARGEST_RELATIVE_ERROR


def add_exact(subparsers) -> None:  # type: ignore[no-untyped-def]
    """Arguments of ``pvmc exact``."""
    parser = add_command(
        subparsers,
        "exact",
        checking.exact,
        "print the exact ground-state energy of an input file (Bethe ansatz, free fermions, or Lanczos up to 20 sites)",
        "pvmc exact configs/heisenberg_chain.toml",
    )
    add_config(parser)


def add_check_ansatz(subparsers) -> None:  # type: ignore[no-untyped-def]
    """Arguments of ``pvmc check-ansatz``."""
    parser = add_command(
        subparsers,
        "check-ansatz",
        checking.check_ansatz,
        "test the wave function of an input file on random spins and parameters; exit code 2 where it fails",
        "pvmc check-ansatz examples/own_ansatz.toml",
    )
    add_config(parser)


def add_validate_physics(subparsers) -> None:  # type: ignore[no-untyped-def]
    """Arguments of ``pvmc validate-physics``."""
    parser = add_command(
        subparsers,
        "validate-physics",
        checking.validate_physics,
        "compare sampler, local energies, gradient, SR step and final energy of inputs of up to 16 sites with exact "
        "diagonalisation; exit code 3 where one fails",
        "pvmc validate-physics configs/validation/ising_ring.toml --accuracy 1e-3",
    )
    parser.add_argument("configs", type=Path, nargs="+", metavar="CONFIG", help="input files (TOML)")
    add_override(parser)
    parser.add_argument(
        "--accuracy",
        type=positive_number,
        default=LARGEST_RELATIVE_ERROR,
        metavar="X",
        help=f"largest relative error of the final energy; default: {LARGEST_RELATIVE_ERROR:g}",
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write all numbers to this file as well")
