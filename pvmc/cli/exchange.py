"""Interchange: results for other programs, and weights from them."""

from __future__ import annotations

import argparse
from pathlib import Path

from pvmc.cli.arguments import add_command, add_config, shared_job


def add_export(subparsers) -> None:  # type: ignore[no-untyped-def]
    """Arguments of ``pvmc export``."""
    parser = add_command(
        subparsers,
        "export",
        export,
        "write the series, saved parameters and measurements of a run for other programs",
        "pvmc export runs/h40a2 --format netcdf",
        keeps_results=True,
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="directory or file of a run, also an unfinished one")
    parser.add_argument("--format", choices=("csv", "npz", "netcdf"), default="csv", help="default: csv")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="PATH",
        help="file to write (of csv a directory); default: export.npz, export.nc or export, beside the run's file",
    )


def add_import_wf(subparsers) -> None:  # type: ignore[no-untyped-def]
    """Arguments of ``pvmc import-wf``."""
    parser = add_command(
        subparsers,
        "import-wf",
        import_wf,
        "make a run of the weights of an RBM: a .wf file of Carleo & Troyer, or a .npz file; measures its energy",
        "pvmc import-wf Heisenberg1d_40_1_1.wf configs/heisenberg_chain.toml --output runs/published",
        keeps_results=True,
    )
    parser.add_argument("weights", type=Path, metavar="FILE", help="the weights, .wf or .npz")
    add_config(parser)
    parser.add_argument("--output", type=Path, metavar="DIR", help="directory of the run; default: runs/NAME of FILE")
    parser.add_argument("--overwrite", action="store_true", help="replace results that are already in DIR")


def export(options: argparse.Namespace) -> int:
    """``pvmc export``."""
    from pvmc.io.export import export

    print(f"wrote {export(options.run, options.format, options.output)}")
    return 0


def import_wf(options: argparse.Namespace) -> int:
    """Collective. ``pvmc import-wf``."""
    from pvmc.tasks.import_weights import import_weights
    from pvmc.vmc.recorder import RunRequest

    job, raw, comm = shared_job(options)
    directory = options.output or Path("runs") / options.weights.stem
    request = RunRequest(job, raw.text, directory, options.overwrite)
    import_weights(request, options.weights, comm)
    return 0
