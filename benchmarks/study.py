"""The study that the defaults of the optimiser are chosen from: energy against time for many of its settings.

    python benchmarks/study.py --seconds 40 --seeds 1 2 3 [--system heisenberg] [--only 'spring_*,default']

Each variant of study_variants.py is a run of pvmc on one rank, which is stopped once it has used so many seconds of
processor time from its first iteration on: loading and compiling kernels does not count, nor what other programs on the
machine take.  Runs that are there already are skipped, so that a study that was interrupted goes on.  What was found is
kept in benchmarks/results/study.json, from which docs/reports/study.md and the figures are made.  Needs Linux (/proc).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import study_figure
import study_page
from study_curves import numbers
from study_variants import SMOKE, SYSTEMS, System, Variant, chosen, settings

from pvmc.errors import InputError, PvmcError
from pvmc.io.reader import open_run

ROOT = Path(__file__).resolve().parents[1]

ENDLESS = "1000000"
"""Iterations asked for: the time is what ends a run."""

LOOK = 0.25
"""Seconds between two looks at a run."""

PATIENCE = 600.0
"""Seconds that a run may take to its first iteration, before it counts as failed."""

STRETCH = 20.0
"""Longest wall time of a run, in units of the processor time that it may use."""

LOG = "log.txt"
"""File in a run's directory with what pvmc printed."""

NOTE = "study.json"
"""File in a run's directory that says how it was made."""


@dataclass(frozen=True)
class Case:
    """A run of the study."""

    name: str
    system: System
    variant: Variant
    seed: int
    directory: Path

    @property
    def key(self) -> str:
        """Its name among the results."""
        return f"{self.name}/{self.variant.name}/{self.seed}"

    @property
    def overrides(self) -> list[str]:
        """Arguments of --set."""
        return [*settings(self.system, self.variant), f"run.seed={self.seed}", f"run.iterations={ENDLESS}"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, collect, and write page and figures."""
    options = _options(arguments)
    cases = list(_cases(options))
    if not options.figure_only:
        for index, case in enumerate(cases, start=1):
            _make(case, options.seconds, f"{index}/{len(cases)}")
    found = _kept(options.results) | {case.key: row for case in cases if (row := _read(case)) is not None}
    options.results.parent.mkdir(parents=True, exist_ok=True)
    options.results.write_text(_json(found), encoding="utf-8")
    figures = study_figure.draw(found, options.figures)
    options.page.parent.mkdir(parents=True, exist_ok=True)
    options.page.write_text(study_page.markdown(found, figures, options.page.parent), encoding="utf-8")
    print(f"wrote {options.results}, {options.page} and {len(figures)} figures")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = SYSTEMS | SMOKE
    parser.add_argument("--system", nargs="+", choices=known, default=list(SYSTEMS), help="default: all but smoke")
    parser.add_argument("--only", default="*", metavar="GLOB", help="variants by name, patterns separated by commas")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="default: 1")
    parser.add_argument("--seconds", type=float, default=40.0, help="processor time of each run; default: 40")
    parser.add_argument("--figure-only", action="store_true", help="run nothing; collect what is there, and draw it")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "study", help="directory of the runs")
    results = ROOT / "benchmarks" / "results" / "study.json"
    parser.add_argument("--results", type=Path, default=results, help="the numbers")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "reports" / "study.md", help="the page")
    parser.add_argument("--figures", type=Path, default=ROOT / "docs" / "figures", help="directory of the figures")
    return parser.parse_args(arguments)


def _cases(options: argparse.Namespace) -> Iterator[Case]:
    """All variants with one seed before the next: a slow hour of the machine does not meet all runs of one of them."""
    for seed in options.seeds:
        for name in options.system:
            for variant in chosen(name, options.only):
                directory = options.runs / name / variant.name / str(seed)
                yield Case(name, (SYSTEMS | SMOKE)[name], variant, seed, directory)


# Running ------------------------------------------------------------------------------------------------------------


def _make(case: Case, seconds: float, position: str) -> None:
    """The run, unless it is there already with the same input and at least as long."""
    asked = {"config": case.system.config.read_text(encoding="utf-8"), "set": case.overrides}
    note = case.directory / NOTE
    if note.is_file():
        made = json.loads(note.read_text(encoding="utf-8"))
        if {key: made[key] for key in asked} == asked and made["seconds"] >= seconds:
            return
    case.directory.mkdir(parents=True, exist_ok=True)
    note.unlink(missing_ok=True)
    used = _run(case, seconds)
    note.write_text(json.dumps(asked | {"seconds": seconds} | used, indent=1) + "\n", encoding="utf-8")
    row = _read(case) or {}
    print(
        f"{position} {case.key}: {row.get('status')}, {row.get('iterations')} iterations, "
        f"relative error {row.get('error', float('nan')):.2e}, {used['wall']:.0f} s",
        flush=True,
    )


def _run(case: Case, seconds: float) -> dict[str, float]:
    """Run pvmc until it has used so much processor time; how much of the wall time it had a core."""
    command = [sys.executable, "-m", "pvmc", "run", str(case.system.config), "--overwrite"]
    for override in case.overrides:
        command += ["--set", override]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    with (case.directory / LOG).open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [*command, "--output", str(case.directory)], stdout=log, stderr=log, env=environment, cwd=ROOT
        )
        try:
            used = _watch(process, case.directory, seconds)
        finally:
            process.terminate()
            code = process.wait()
    if code == InputError.exit_code:
        raise SystemExit(f"{case.key}: {(case.directory / LOG).read_text(encoding='utf-8')}")
    return used


def _watch(process: subprocess.Popen[bytes], directory: Path, seconds: float) -> dict[str, float]:
    """Wait until the process has ended, or has used so much processor time since its first iterations."""
    began = time.monotonic()
    since: tuple[float, float] | None = None  # processor and wall time when the first iterations were seen
    share = 1.0
    while process.poll() is None:
        time.sleep(LOOK)
        wall, used = time.monotonic(), processor_seconds(process.pid)
        if since is None:
            if _iterates(directory, began):
                since = used, wall
            elif wall - began > PATIENCE:
                break
        elif used > 0.0:  # it has not ended in between
            share = min(1.0, (used - since[0]) / (wall - since[1]))
            if used - since[0] >= seconds or wall - since[1] > STRETCH * seconds:
                break
    return {"share": share, "wall": time.monotonic() - began}


def _iterates(directory: Path, began: float) -> bool:
    """Whether iterations have been written since then (a moment of time.monotonic)."""
    file = directory / "run.h5"
    try:
        is_new = file.stat().st_mtime > time.time() - (time.monotonic() - began)
        return is_new and len(open_run(directory).iteration) > 1
    except (PvmcError, OSError):  # not there yet, or being made
        return False


def processor_seconds(pid: int) -> float:
    """Processor time that a process has used, in seconds; 0 where it has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    fields = text.rpartition(")")[2].split()  # after the name, which may hold anything
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# Results ------------------------------------------------------------------------------------------------------------


def _read(case: Case) -> dict | None:
    """The numbers of a run; None where it is not there, or not over."""
    note = case.directory / NOTE
    if not note.is_file():
        return None
    made = json.loads(note.read_text(encoding="utf-8"))
    try:
        found = numbers(open_run(case.directory), made["share"])
    except PvmcError as error:
        found = {"status": "failed", "message": str(error), "iterations": 0}
    return found | {"seconds": made["seconds"]}


def _kept(path: Path) -> dict[str, dict]:
    """Results from before, of systems and variants that there still are."""
    if not path.is_file():
        return {}
    known = {f"{name}/{variant.name}" for name in SYSTEMS | SMOKE for variant in chosen(name)}
    before = json.loads(path.read_text(encoding="utf-8"))
    return {key: row for key, row in before.items() if key.rpartition("/")[0] in known}


def _json(found: dict[str, dict]) -> str:
    """One run a line."""
    lines = [f"{json.dumps(key)}: {json.dumps(found[key])}" for key in sorted(found)]
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    main()
