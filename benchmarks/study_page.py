"""The page docs/reports/study.md, from the numbers of study.py."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from page import table, wrapped
from study_curves import LAST, SHARE, THRESHOLDS, WINDOW, median
from study_variants import GROUPS, SMOKE, SYSTEMS, System, Variant, chosen

RANKED = 5
"""Variants that are named as the fastest."""

CONCLUSIONS = """\
## What the defaults take from it

- **Damping.**  A shift that starts at 100 costs the first seconds, and pays: on the ring it ends in a better minimum
  than shifts that are small from the start, which are there first.  Its last value is 1e-4: 1e-5 gains nothing within
  errors, and such states were seen to have a spurious ferromagnetic mode, into which walkers from random starts fall.
  A bound on the condition number or a large floor stops the run short.
- **Learning rate.**  0.1 / J (for J S.S, that is 0.025 over the largest coefficient of a Pauli string): on J1-J2
  twice as much diverges sooner or later, half as much is slower.
- **Momentum** stays off by default.  SPRING and MARCH with mu = 0.9 gain somewhat (`configs/heisenberg_chain.toml`
  uses them), with mu = 0.99 runs diverge.
- **Step control.**  Heun and the line search follow the flow more closely than it pays: an iteration costs two to
  four times as much.  They are for flows that are to be followed, not for ground states.
- **Without S** (sgd, momentum, Adam) the symmetric states stay two orders of magnitude above; on the plain RBM, whose
  iterations with S cost fifteen times as much, they are ahead in the first seconds and end at the same energy.
- **Few samples first** (`sampler.growth`) is the fastest way to 1e-4 on the ring, and diverged once on J1-J2: not a
  default.
- **Moves**: a fifth of exchanges at any distance costs nothing and lets walkers out of corners: default.
- One seed per variant: differences below a factor of two in the last error are seeds as much as settings.

## Real or complex weights

Where no off-diagonal element of H is positive the ground state is positive, and a real RBM, whose psi is positive, has
half the numbers and cheaper iterations.  It is not the default: `python benchmarks/weights.py` gives every run of four
seeds 8 seconds of processor time, at alpha = 2, and compares after as many iterations (those of the complex run of the
seed) and after as much time; medians, with the least and the largest.
Energies of this table are means over the last fifth of the iterations; the program takes the plateau of a run now.

| system | weights | iterations | error after as many iterations | error after as much time |
| --- | --- | --- | --- | --- |
| Heisenberg ring, N = 40 | complex | 199 | 3.3e-05 (2.0e-05 to 5.4e-05) | 3.3e-05 (2.0e-05 to 5.4e-05) |
| Heisenberg ring, N = 40 | real | 328 | 5.9e-05 (1.9e-05 to 1.3e-04) | 4.7e-05 (1.2e-05 to 1.0e-04) |
| Heisenberg 4 x 4 | complex | 463 | 1.1e-03 (9.1e-04 to 1.3e-03) | 1.1e-03 (9.1e-04 to 1.3e-03) |
| Heisenberg 4 x 4 | real | 594 | 1.2e-03 (1.0e-03 to 1.2e-03) | 1.1e-03 (1.0e-03 to 1.2e-03) |
| XXZ chain, open, N = 12, Delta = 0.5 | complex | 117 | 3.8e-05 (1.8e-05 to 4.3e-05) | 3.8e-05 (1.8e-05 to 4.3e-05) |
| XXZ chain, open, N = 12, Delta = 0.5 | real | 277 | 1.4e-04 (8.4e-05 to 1.7e-04) | 2.0e-06 (2.4e-07 to 3.0e-06) |
| Ising ring, N = 40, h = J | complex | 183 | 1.3e-03 (5.9e-04 to 1.7e-03) | 1.3e-03 (5.9e-04 to 1.7e-03) |
| Ising ring, N = 40, h = J | real | 331 | 5.6e-04 (3.1e-04 to 1.0e-03) | 2.1e-04 (1.6e-04 to 4.0e-04) |

With `--seconds 24 --seeds 1 2 3 --case "Heisenberg ring, N = 40"`:

| system | weights | iterations | error after as many iterations | error after as much time |
| --- | --- | --- | --- | --- |
| Heisenberg ring, N = 40 | complex | 556 | 1.7e-05 (9.5e-06 to 2.6e-05) | 1.7e-05 (9.5e-06 to 2.6e-05) |
| Heisenberg ring, N = 40 | real | 881 | 8.4e-05 (1.8e-05 to 8.8e-05) | 7.2e-05 (1.6e-05 to 8.3e-05) |

On the Ising ring real weights are better in both respects, on the open chain after as much time, on 4 x 4 sites there
is no difference.  On the Heisenberg ring, however, they are worse, and the more so the longer the runs are: complex
weights go on to a better minimum, where real ones stay.  So a default of real weights would be worse for the systems
that are run longest; `ansatz.weights = "real"` is worth a try where the header says that the ground state is positive.
"""

Rows = list[dict]


def markdown(found: dict[str, dict], figures: Sequence[Path], directory: Path) -> str:
    """The whole page.

    Args:
        found: numbers of each run by system/variant/seed.
        figures: their files.
        directory: where the page will be, for the links to them.
    """
    parts = [
        "# How the optimiser's settings compare\n",
        "Written by `python benchmarks/study.py`; the numbers are in `benchmarks/results/study.json`, the inputs in "
        "`configs/study/`, and the variants (the keys that each of them changes) in `benchmarks/study_variants.py`.\n",
        _method(found),
        CONCLUSIONS,
    ]
    for name, system in (SYSTEMS | SMOKE).items():
        rows = {variant: _runs(found, name, variant) for variant in chosen(name)}
        rows = {variant: runs for variant, runs in rows.items() if runs}
        if rows:
            parts += _section(system, rows)
            parts += [
                f"![Relative error against time]({Path(os.path.relpath(figure, directory)).as_posix()})\n"
                for figure in figures
                if figure.stem == f"study_{system.figure}" and _is_last(name, system, found)
            ]
    return wrapped("\n".join(parts))


def _method(found: dict[str, dict]) -> str:
    seconds = sorted({row["seconds"] for row in found.values()})
    spans = " or ".join(f"{value:g}" for value in seconds)
    return (
        f"Each run had one core for {spans or 'no'} seconds of processor time, kernels compiled and not counted; a run "
        "that diverges is not saved by retries.  Times are those of a core that does nothing else: wall time of the "
        "iterations, times the share of it in which the process had the core.  The relative error is that of the mean "
        f"energy of the last {LAST:.0%} of the iterations, with its statistical error (a lower bound, marked >, where "
        "the energy still drifts); the V-score is N variance / energy^2 over the same iterations.  A relative error "
        f"counts as reached where the running mean over {WINDOW} iterations (or the last {SHARE:.0%}, if more) is "
        "that close to the exact energy, and its standard error is that small, too; the figures show the larger of "
        "both.  With several seeds the numbers are medians, and a time is given where more than half of them got "
        "there.\n"
    )


def _is_last(name: str, system: System, found: dict[str, dict]) -> bool:
    """Whether no later system of the page with results shares the figure."""
    there = {key.partition("/")[0] for key in found}
    sharing = [other for other, one in (SYSTEMS | SMOKE).items() if one.figure == system.figure and other in there]
    return name == sharing[-1]


def _runs(found: dict[str, dict], name: str, variant: Variant) -> Rows:
    return [row for key, row in found.items() if key.rpartition("/")[0] == f"{name}/{variant.name}"]


def _section(system: System, rows: dict[Variant, Rows]) -> list[str]:
    parts = [f"## {system.title}\n"]
    parts += [_fastest(rows, threshold) for threshold in THRESHOLDS if _count(rows, threshold)]
    thresholds = [threshold for threshold in THRESHOLDS if _count(rows, threshold)]
    head = ["variant", "runs", "iterations", "s per iteration", "relative error", "V-score"]
    head += [f"s to {threshold:.0e}" for threshold in thresholds]
    for group, title in GROUPS.items():
        members = {variant: runs for variant, runs in rows.items() if variant.group == group}
        if members:
            lines = [_line(variant, runs, thresholds) for variant, runs in members.items()]
            parts += [f"### {title[0].upper()}{title[1:]}\n", table(head, lines)]
    return parts


def _time(runs: Rows, threshold: float) -> float | None:
    return median([row.get("reached", {}).get(f"{threshold:.0e}") for row in runs])


def _count(rows: dict[Variant, Rows], threshold: float) -> int:
    return sum(_time(runs, threshold) is not None for runs in rows.values())


def _fastest(rows: dict[Variant, Rows], threshold: float) -> str:
    timed = {variant.label: time for variant, runs in rows.items() if (time := _time(runs, threshold)) is not None}
    first = sorted(timed, key=lambda label: timed[label])[:RANKED]
    names = "; ".join(f"{label} ({timed[label]:.3g} s)" for label in first)
    return f"Of {len(rows)} variants {len(timed)} reach a relative error of {threshold:.0e}, first {names}.\n"


def _line(variant: Variant, runs: Rows, thresholds: Sequence[float]) -> list[str]:
    broken = [row for row in runs if row["status"] == "failed"]
    count = f"{len(runs)}, {len(broken)} failed" if broken else str(len(runs))
    iterations = f"{np.median([row['iterations'] for row in runs]):.0f}"
    measured = [row for row in runs if "error" in row and row not in broken]
    if not measured:
        return [variant.label, count, iterations, *["-"] * (3 + len(thresholds))]
    middle = {
        name: float(np.median([row[name] for row in measured]))
        for name in ("seconds_per_iteration", "error", "error_error", "v_score")
    }
    bound = "> " if any(row["drifting"] for row in measured) else ""
    reached = [_time(runs, threshold) for threshold in thresholds]
    return [
        variant.label,
        count,
        iterations,
        f"{middle['seconds_per_iteration']:.3g}",
        f"{middle['error']:.2e} ± {bound}{middle['error_error']:.0e}",
        f"{middle['v_score']:.1e}",
        *("-" if time is None else f"{time:.3g}" for time in reached),
    ]
