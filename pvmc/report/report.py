"""The page that ``pvmc report`` writes: what was run, what came out, and how far it can be trusted."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

import numpy as np

from pvmc.errors import InputError, StorageError
from pvmc.figures.drawing import Drawing
from pvmc.figures.kinds import FIGURES, FigureKind
from pvmc.io.measurement import Estimate, Measurement
from pvmc.io.reader import Run
from pvmc.report import page
from pvmc.results.digits import short, with_error
from pvmc.results.measured import finished
from pvmc.results.result import Result, extrapolate, result_of
from pvmc.results.result_table import HEAD, NOT_SETTLED, cells, extrapolation_text
from pvmc.results.sampling_symptoms import leak_text, tail_text
from pvmc.results.stored_system import groups, model_name

UNKNOWN_LEVEL = (
    "No exact energy{} is known.  A small variance says that a state is close to an eigenstate, not to which one: an "
    "excited level is not excluded.  Runs with several run.starts, or with another sr.learning_rate, that end at the "
    "same energy speak for the ground state."
)
"""Remark of a report where nothing is known to compare with; {} stands for the runs, if not all."""

_MACHINE = (
    *("pvmc_version", "git_revision", "python_version", "numpy_version", "scipy_version", "numba_version"),
    *("h5py_version", "blas", "mpi_library", "cpu_model", "host", "ranks"),
)


def write_report(runs: Sequence[Run], output: str | os.PathLike[str], left_out: Sequence[str] = ()) -> Path:
    """Write :func:`report_page` into a file.

    Raises:
        InputError: see :func:`report_page`.
        StorageError: the file cannot be written.
    """
    path = Path(output)
    text = report_page(runs, left_out)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def report_page(runs: Sequence[Run], left_out: Sequence[str] = ()) -> str:
    """One HTML page about some runs, complete in itself: it names no other file and needs no network.

    Args:
        runs: the runs.
        left_out: others that cannot be analysed, and why, a line each.

    Raises:
        InputError: no runs, or one that has too few iterations to be analysed.
    """
    if not runs:
        raise InputError("no runs to report on")
    results = [result_of(run) for run in runs]
    title = f"{runs[0].name}: {model_name(runs[0])}" if len(runs) == 1 else f"{len(runs)} runs"
    parts = [*_head(title, results, left_out), *_results(results), *_figures(runs, results)]
    for run, result in zip(runs, results, strict=True):
        parts += _run(run, result)
    return page.page(f"pvmc report: {title}", "\n".join(part for part in parts if part))


def _head(title: str, results: Sequence[Result], left_out: Sequence[str]) -> Iterator[str]:
    models = ", ".join(dict.fromkeys(result.model for result in results))
    yield f"<h1>{escape(title)}</h1>"
    yield f'<p class="soft">Variational Monte Carlo with pvmc. {escape(models)}.</p>'
    found = [f"left out: {text}" for text in left_out]
    found += [f"{result.name}: {warning}" for result in results for warning in result.warnings]
    yield page.warnings(found) or "<p>No warnings: settled, sampled enough, chains agree.</p>"
    if unknown := [result.name for result in results if result.exact is None]:
        names = "" if len(unknown) == len(results) else f" of {', '.join(unknown)}"
        yield f'<p class="soft">{escape(UNKNOWN_LEVEL.format(names))}</p>'


def _results(results: Sequence[Result]) -> Iterator[str]:
    yield "<h2>Results</h2>"
    rows = [[cell.replace("+-", "±") for cell in cells(result)] for result in results]
    yield page.table(HEAD, rows, (0, 1), "results of the runs")
    units = ", ".join(sorted({result.units for result in results}))
    star = "" if all(result.settled for result in results) else f" * {NOT_SETTLED}."
    yield (
        f'<p class="soft">E/N: energy per spin in {escape(units)}, with its standard error of the last digits in '
        f"brackets; K: parameters; var/N: variance of the Hamiltonian per spin; V-score: N var / (E - E_inf)², "
        f"E_inf = Tr H / 2^N.{star}</p>"
    )
    exact = {result.model: result for result in results if result.exact is not None}
    for model, result in exact.items():
        yield f'<p class="soft">Exact: {result.exact:.10g} ({escape(result.exact_method)}; {escape(model)}).</p>'
    for group in groups(results):
        of = f" ({group[0].model}: {', '.join(result.name for result in group)})" if len(group) < len(results) else ""
        try:
            yield f"<p>Extrapolated to {escape(extrapolation_text(extrapolate(group)) + of)}.</p>"
        except InputError:
            continue


def _figures(runs: Sequence[Run], results: Sequence[Result]) -> Iterator[str]:
    """Figures of several runs: one for all, or one for each unit of energy or each system."""
    yield "<h2>Figures</h2>"
    left_out = []
    for name, kind in FIGURES.items():
        if kind.shared not in ("all", "units", "system"):
            continue
        for members in _sharing(kind, runs, results):
            drawing, reason = _tried(kind, members)
            names = f" ({', '.join(run.name for run in members)})" if len(members) < len(runs) else ""
            if drawing is None:
                left_out.append(f"{name}{names}: {reason}")
            else:
                yield page.figure(drawing, kind.caption + names)
    if left_out:
        items = "".join(f"<li>{escape(text)}</li>" for text in left_out)
        yield f'<details class="soft">\n<summary>Not drawn ({len(left_out)})</summary>\n<ul>{items}</ul>\n</details>'


def _sharing(kind: FigureKind, runs: Sequence[Run], results: Sequence[Result]) -> list[list[Run]]:
    """The runs of each figure of a kind, without those too few to say something."""
    found: dict[str, list[Run]] = {}
    for run, result in zip(runs, results, strict=True):
        found.setdefault({"units": result.units, "system": result.system}.get(kind.shared, ""), []).append(run)
    return [members for members in found.values() if len(members) >= kind.fewest]


def _figures_of(run: Run, shared: str) -> Iterator[str]:
    """The figures of one run that its files have the numbers for."""
    for kind in FIGURES.values():
        if kind.shared == shared:
            drawing, _ = _tried(kind, [run])
            if drawing is not None:
                yield page.figure(drawing, kind.caption.format(run.name))


def _tried(kind: FigureKind, runs: Sequence[Run]) -> tuple[Drawing | None, str]:
    """The figure, or why there is none."""
    try:
        return kind.draw(runs), ""
    except InputError as error:
        return None, str(error)


def _run(run: Run, result: Result) -> Iterator[str]:
    yield f"<h2>{escape(run.name)}</h2>"
    yield page.warnings(result.warnings)
    yield page.facts(_facts(run, result))
    yield from _figures_of(run, "run")
    yield from _measurements(run)
    yield from _starts(run)
    yield page.hidden("Input, with every default", run.config_text)
    versions = "\n".join(f"{name:<16} {run.attributes[name]}" for name in _MACHINE if run.attributes.get(name))
    yield page.hidden("Versions and machine", versions)


def _facts(run: Run, result: Result) -> list[tuple[str, str]]:
    state = f"{result.state}: {run.message}" if run.message and result.state != "finished" else result.state
    samples = f"{short(result.samples, '.0f')} per iteration, {short(result.total_samples)} in all"
    return [
        ("model", result.model),
        ("state", f"{state}, {result.iterations} of {run.attributes['n_iterations']} iterations"),
        ("energy per spin", f"{with_error(result.energy, result.energy_error)} {result.units}"),
        ("averaged over", f"the last {result.averaged} iterations, from {result.averaged_from} on"),
        ("parameters", str(result.n_parameters)),
        ("samples", samples),
        ("leak test", _leak(result)),
        ("acceptance", short(result.acceptance)),
        ("tail exponent", _tail(result)),
        ("R-hat", short(result.r_hat, ".3f") + (f" of {result.r_hat_of}" if result.r_hat_of else "")),
        ("autocorrelation", f"{short(result.autocorrelation_time)} draws"),
        ("core-hours", short(result.core_hours)),
        ("command", str(run.attributes.get("command_line", ""))),
        ("started", str(run.attributes["created"])),
        ("ended", run.ended),
    ]


def _leak(result: Result) -> str:
    """All of the variance by smeared draws, and the part of it that the walkers do not see."""
    if result.leak is None or result.leak_error is None:
        return "-"
    leak = leak_text(result.leak, result.leak_error, result.units)
    return f"variance/N {short(result.variance_smeared)} by smeared draws; leak/N {leak}"


def _tail(result: Result) -> str:
    """The exponent of the tail of the local energy."""
    if result.tail_exponent is None or result.tail_exponent_error is None:
        return "-"
    return tail_text(result.tail_exponent, result.tail_exponent_error)


def _measurements(run: Run) -> Iterator[str]:
    for measurement in finished(run):
        yield f"<h3>Measurement {measurement.number}</h3>"
        facts = {name: measurement.attributes.get(name, "?") for name in ("iteration", "n_samples")}
        yield f'<p class="soft">Parameters of iteration {facts["iteration"]}, {facts["n_samples"]} samples.</p>'
        rows = [(name, _value(estimate), estimate.units) for name, estimate in measurement.estimates.items()]
        rows += _relative_row(run, measurement)
        yield page.table(("quantity", "value", "unit"), rows, (0, 2), f"measurement {measurement.number}")
    yield from _figures_of(run, "measurement")


def _value(estimate: Estimate) -> str:
    value = np.asarray(estimate.value)
    if value.ndim or np.iscomplexobj(value):
        return f"array of {'x'.join(map(str, value.shape))}" if value.ndim else f"{complex(value):.6g}"
    return with_error(float(value), float(estimate.error))


def _relative_row(run: Run, measurement: Measurement) -> list[tuple[str, str, str]]:
    """The relative error of a measured energy, where the exact one is known."""
    energy, exact, scale = measurement.estimates.get("energy"), run.reference_energy, run.error_scale
    if energy is None or exact is None or scale is None:
        return []
    error = with_error((float(energy.value) - exact) / scale, float(energy.error) / scale)
    return [("relative error of the energy", error, "1")]


def _starts(run: Run) -> Iterator[str]:
    if len(run.sessions) < 2:
        return
    yield "<h3>Starts</h3>"
    rows = [
        (s.started, str(s.first_iteration), str(s.ranks), s.host, f"{s.seconds:.0f} s", s.outcome) for s in run.sessions
    ]
    head = ("started", "from iteration", "ranks", "host", "wall time", "outcome")
    yield page.table(head, rows, (0, 3, 5), f"starts of {run.name}")
