"""Analysing: runs and fits from their files."""

from __future__ import annotations

from pathlib import Path

from pvmc.cli.arguments import add_command
from pvmc.cli.values import formats, seconds
from pvmc.commands import analysing

FIGURES = (
    *("convergence", "error-alpha", "features", "correlations", "structure-factor", "variance", "diagnostics"),
    *("timing", "spectrum", "entanglement"),
)
"""What ``pvmc plot --kind`` draws."""


def add_status(subparsers) -> None:  # type: ignore[no-untyped-def]
    """Arguments of ``pvmc status``."""
    parser = add_command(
        subparsers,
        "status",
        analysing.status,
        "say how far runs or fits are and how good, from their files alone; safe while they run",
        "pvmc status runs/h40a2 --watch",
    )
    parser.add_argument(
        "runs", type=Path, nargs="+", metavar="RUN", help="directories or files of runs or fits; several make a table"
    )
    parser.add_argument(
        "--watch",
        type=seconds,
        nargs="?",
        const=2.0,
        metavar="SECONDS",
        help="show it again every so many seconds (2) until the runs are over; Ctrl-C leaves, and stops no run",
    )
    parser.add_argument("--json", action="store_true", help="for programs: one JSON object for each, in a line")


def add_plot(subparsers) -> None:  # type: ignore[no-untyped-def]
    """Arguments of ``pvmc plot``."""
    parser = add_command(
        subparsers,
        "plot",
        analysing.plot,
        "draw the energy against the iteration (of fits the cost against the epoch), or another figure of the results, "
        "with the data beside it as CSV",
        "pvmc plot runs/h40a1 runs/h40a2 runs/h40a4 --output figure",
        keeps_results=True,
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
        type=formats,
        default=("png", "pdf"),
        metavar="LIST",
        help="file types, such as png,pdf,svg; default: png,pdf",
    )


def add_analyze(subparsers) -> None:  # type: ignore[no-untyped-def]
    """Arguments of ``pvmc analyze``."""
    parser = add_command(
        subparsers,
        "analyze",
        analysing.analyze,
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


def add_report(subparsers) -> None:  # type: ignore[no-untyped-def]
    """Arguments of ``pvmc report``."""
    parser = add_command(
        subparsers,
        "report",
        analysing.report,
        "write one HTML page about runs: inputs, machines, figures, tables and warnings; it needs no network",
        "pvmc report runs/h40a1 runs/h40a2 --output report.html",
        keeps_results=True,
    )
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="directories or files of runs")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="the page; default: report.html, beside the first run"
    )
