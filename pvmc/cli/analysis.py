"""Analysing: runs and fits from their files."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pvmc.cli.arguments import add_command, formats, seconds
from pvmc.errors import InputError
from pvmc.figures.kinds import FIGURES, described

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pvmc.figures.drawing import Drawing
    from pvmc.io.reader import Run
    from pvmc.results.result import LeftOut


def add_status(subparsers) -> None:  # type: ignore[no-untyped-def]
    """Arguments of ``pvmc status``."""
    parser = add_command(
        subparsers,
        "status",
        status,
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
        plot,
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
    parser.add_argument(
        "--kind", choices=FIGURES, default="convergence", help="what to draw, as listed below; default: convergence"
    )
    parser.add_argument(
        "--format",
        type=formats,
        default=("png", "pdf"),
        metavar="LIST",
        help="file types, such as png,pdf,svg; default: png,pdf",
    )
    parser.epilog = f"kinds:\n{described()}\n\n{parser.epilog}"


def add_analyze(subparsers) -> None:  # type: ignore[no-untyped-def]
    """Arguments of ``pvmc analyze``."""
    parser = add_command(
        subparsers,
        "analyze",
        analyze,
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
        report,
        "write one HTML page about runs: inputs, machines, figures, tables and warnings; it needs no network",
        "pvmc report runs/h40a1 runs/h40a2 --output report.html",
        keeps_results=True,
    )
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="directories or files of runs")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="the page; default: report.html, beside the first run"
    )


def status(options: argparse.Namespace) -> int:
    """``pvmc status``."""
    from pvmc.results.status import exit_code, read_all, shown

    if options.watch is not None:
        return _watch(options)
    facts = read_all(options.runs)
    print(shown(facts, options.json))
    return exit_code(facts)


def _watch(options: argparse.Namespace) -> int:
    """``pvmc status --watch``."""
    from datetime import UTC, datetime

    from pvmc.cli.output import Snapshot, watch
    from pvmc.results.status import read_all, shown

    def frame() -> Snapshot:
        facts = read_all(options.runs)
        if all(one.over for one in facts):  # for a moment also a run that goes back to an earlier iteration
            time.sleep(1.0)
            facts = read_all(options.runs)
        head = "" if options.json else f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC\n"
        return Snapshot(head + shown(facts, options.json), last=all(one.over for one in facts))

    watch(frame, options.watch, gap="" if options.json else "\n")
    return 0


def plot(options: argparse.Namespace) -> int:
    """``pvmc plot``."""
    from pvmc.figures.convergence_plot import fit_figure
    from pvmc.figures.drawing import save, save_drawing
    from pvmc.io.fit_file import is_fit, open_fit

    of_fits = [path for path in options.runs if is_fit(path)]
    if of_fits and len(of_fits) < len(options.runs):
        named = ", ".join(str(path) for path in of_fits)
        raise InputError(f"runs and fits do not go into one figure: plot them apart; fits are {named}")
    if of_fits and options.kind != "convergence":
        raise InputError(f"--kind {options.kind} is of runs, not of fits")
    if of_fits:
        fits = [open_fit(path) for path in options.runs]
        for path in save(fit_figure(fits), options.output or fits[0].path.parent / "fit", options.format):
            print(f"wrote {path}")
        return 0
    drawing, runs, left_out = _drawing_of_usable(options.runs, options.kind)
    for path in save_drawing(drawing, options.output or runs[0].path.parent / options.kind, options.format):
        print(f"wrote {path}")
    return _say_left_out(left_out)


def _drawing_of_usable(paths: Sequence[Path], kind: str) -> tuple[Drawing, list[Run], list[LeftOut]]:
    """The figure of all runs; where one of several cannot be drawn, that of the others.

    Raises:
        InputError, StorageError: none can be drawn, or each can but not all together.
    """
    from pvmc.results.result import result_of, usable

    runs, _, left_out = usable(paths, lambda run: None)
    try:
        return _drawing(runs, kind), runs, left_out
    except InputError:
        # A point of an extrapolation alone is no figure: what it needs is a result.
        alone = result_of if FIGURES[kind].fewest > 1 else lambda run: _drawing([run], kind)
        good, _, left_out = usable(paths, alone)
        if len(good) == len(runs):
            raise
        return _drawing(good, kind), good, left_out


def _say_left_out(left_out: Sequence[LeftOut]) -> int:
    """Name the runs that were left out on stderr, which leaves a table on stdout as it is; the exit code."""
    from pvmc.vmc.display import warn

    for one in left_out:
        warn(f"left out: {one.text()}")
    return left_out[0].exit_code if left_out else 0


def _drawing(runs: Sequence[Run], kind: str) -> Drawing:
    """The figure of this kind, with its data."""
    if kind != "spectrum":
        return FIGURES[kind].draw(runs)
    from pvmc.tasks.spectrum import spectrum

    return FIGURES[kind].draw(runs, {str(run.path): spectrum(run) for run in runs})


def analyze(options: argparse.Namespace) -> int:
    """``pvmc analyze``."""
    from pvmc.results import varbench
    from pvmc.results.result import extrapolate, result_of, usable
    from pvmc.results.result_table import FORMATS

    if options.output is not None and not options.extrapolate:
        raise InputError("--output is for the figure of --extrapolate")
    if options.varbench and (options.extrapolate or options.format != "table"):
        raise InputError("--varbench has a format of its own: give it alone")
    if options.varbench:
        runs, _, left_out = usable(options.runs, varbench.row)
        print(varbench.rows(runs))
        return _say_left_out(left_out)
    runs, results, left_out = usable(options.runs, result_of)
    print(FORMATS[options.format](results, extrapolate(results) if options.extrapolate else None))
    if options.extrapolate:
        _draw_extrapolation(runs, options)
    return _say_left_out(left_out)


def _draw_extrapolation(runs: Sequence[Run], options: argparse.Namespace) -> None:
    """The figure; the names of its files go to stderr, which leaves the table on stdout as it is."""
    import sys

    from pvmc.figures.accuracy import variance_drawing
    from pvmc.figures.drawing import save_drawing

    output = options.output or runs[0].path.parent / "variance"
    for path in save_drawing(variance_drawing(runs), output, ("png", "pdf")):
        print(f"wrote {path}", file=sys.stderr)


def report(options: argparse.Namespace) -> int:
    """``pvmc report``."""
    from pvmc.report.report import write_report
    from pvmc.results.result import result_of, usable

    runs, _, left_out = usable(options.runs, result_of)
    output = options.output or runs[0].path.parent / "report.html"
    print(f"wrote {write_report(runs, output, [one.text() for one in left_out])}")
    return _say_left_out(left_out)
