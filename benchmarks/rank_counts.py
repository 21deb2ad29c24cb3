"""Tables of a scaling study, from the files that jobs/scaling.sbatch makes with `pvmc bench --json`.

    python benchmarks/rank_counts.py runs/scaling-JOB

The directory holds ``strong-RANKS.json`` and ``weak-RANKS.json``.  Speed-up and efficiency are against the
smallest number of ranks; times are seconds per iteration, those of the phases on the slowest rank.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pvmc.vmc.loop import PHASES


def timings(directory: Path, kind: str) -> list[dict[str, Any]]:
    """The numbers of one kind of scaling, by number of ranks."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in directory.glob(f"{kind}-*.json")]
    return sorted(found, key=lambda timing: timing["ranks"])


def table(rows: Sequence[dict[str, Any]], kind: str) -> str:
    """Markdown: a line for each number of ranks."""
    titles = ["ranks", "s per iteration", *(["speed-up"] if kind == "strong" else []), "efficiency"]
    titles += [phase.replace("_", " ") for phase in PHASES]
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for row in rows:
        gain = rows[0]["seconds"] / row["seconds"]
        more = row["ranks"] / rows[0]["ranks"]
        measures = [f"{gain:.2f}", f"{gain / more:.0%}"] if kind == "strong" else [f"{gain:.0%}"]
        phases = [f"{row['phases'][phase]:.2g}" for phase in PHASES]
        cells = [f"{row['ranks']}", f"{row['seconds']:.3g}", *measures, *phases]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Print the tables of a directory; the exit code."""
    if len(arguments) != 1:
        print("usage: python benchmarks/rank_counts.py DIRECTORY", file=sys.stderr)
        return 2
    directory = Path(arguments[0])
    for kind, meaning in (("strong", "the same job"), ("weak", "as many walkers for each rank")):
        rows = timings(directory, kind)
        if not rows:
            print(f"{directory}: no {kind}-*.json; jobs/scaling.sbatch makes them", file=sys.stderr)
            return 2
        print(f"{kind} scaling: {meaning}; {rows[0]['job']}\n\n{table(rows, kind)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
