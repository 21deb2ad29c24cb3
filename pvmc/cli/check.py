"""Checking: against exact results, and wave functions against their contract."""

from __future__ import annotations

import argparse
from pathlib import Path

from pvmc.cli.arguments import add_command, add_config, add_override, positive_number
from pvmc.errors import InputError


def add_exact(subparsers) -> None:  # type: ignore[no-untyped-def]
    """Arguments of ``pvmc exact``."""
    parser = add_command(
        subparsers,
        "exact",
        exact,
        "print the exact ground-state energy of an input file (Bethe ansatz, free fermions, or Lanczos up to 20 sites)",
        "pvmc exact configs/heisenberg_chain.toml",
    )
    add_config(parser)


def add_check_ansatz(subparsers) -> None:  # type: ignore[no-untyped-def]
    """Arguments of ``pvmc check-ansatz``."""
    parser = add_command(
        subparsers,
        "check-ansatz",
        check_ansatz,
        "test the wave function of an input file on random spins and parameters; exit code 2 where it fails",
        "pvmc check-ansatz examples/own_ansatz.toml",
    )
    add_config(parser)


def add_validate_physics(subparsers) -> None:  # type: ignore[no-untyped-def]
    """Arguments of ``pvmc validate-physics``."""
    parser = add_command(
        subparsers,
        "validate-physics",
        validate_physics,
        "compare sampler, local energies, gradient, SR step and final energy of inputs of up to 16 sites with exact "
        "diagonalisation; exit code 3 where one fails",
        "pvmc validate-physics configs/validation/ising_ring.toml --accuracy 1e-3",
    )
    parser.add_argument("configs", type=Path, nargs="+", metavar="CONFIG", help="input files (TOML)")
    add_override(parser)
    parser.add_argument(
        "--accuracy",
        type=positive_number,
        metavar="X",
        help="largest relative error of the final energy; default: that above which a run is warned",
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write all numbers to this file as well")


def exact(options: argparse.Namespace) -> int:
    """``pvmc exact``."""
    from pvmc.config import read_input
    from pvmc.exact.reference import LANCZOS_SITES
    from pvmc.vmc.job import load_job
    from pvmc.vmc.sectors import exact_answer
    from pvmc.wavefunctions import Projected

    job = load_job(options.config, options.set)
    config = job.config
    given = read_input(options.config, options.set).tables.get("sampler", {}).get("magnetization")
    answer = exact_answer(job, only_magnetization=given is not None)
    if answer is None and isinstance(job.ansatz, Projected):
        raise InputError(
            f"{options.config}: no exact energy of these quantum numbers: the sector is empty or none of this "
            f"Hamiltonian, or {job.lattice.n_sites} sites with {len(job.ansatz.symmetry_group)} symmetries are too many"
        )
    if answer is None:
        raise InputError(
            f"{options.config}: no exact energy is known for this system, and "
            f"{job.lattice.n_sites} sites are more than the {LANCZOS_SITES} that can be diagonalised"
        )
    reference = answer.reference
    print(f"E   = {reference.energy:.13g} {config.hamiltonian.energy_unit}  ({reference.method})")
    print(f"E/N = {reference.energy / job.lattice.n_sites:.13g}")
    for line in answer.lines:
        print(line)
    return 0


def check_ansatz(options: argparse.Namespace) -> int:
    """``pvmc check-ansatz``."""
    from pvmc.errors import InputError
    from pvmc.vmc.display import describe
    from pvmc.vmc.job import load_job
    from pvmc.wavefunctions.contract import check_ansatz, failed, table

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
    from pvmc.mpi import world
    from pvmc.statistics.thresholds import LARGEST_RELATIVE_ERROR
    from pvmc.tasks.validation.pages import validate_inputs

    accuracy = options.accuracy or LARGEST_RELATIVE_ERROR
    reports = validate_inputs(options.configs, options.set, accuracy, options.markdown, world())
    return 0 if all(report.passed for report in reports) else NumericalError.exit_code
