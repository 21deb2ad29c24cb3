"""The page docs/reports/benchmarks.md, from the numbers of run.py."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines) + "\n"


def wrapped(text: str, width: int = 118) -> str:
    """The text with its paragraphs broken into lines of at most ``width``; tables, code and headings stay."""
    lines: list[str] = []
    for line in text.split("\n"):
        if len(line) <= width or line.startswith(("|", "#", " ", "`" * 3)):
            lines.append(line)
        else:
            lines += textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines)


def markdown(numbers: dict, peer: dict | None) -> str:
    """The whole page."""
    machine = numbers["machine"]
    parts = [
        "# Benchmarks\n",
        "Written by `make bench`; the numbers are in `benchmarks/results/`.  One thread per process everywhere.\n",
        f"{machine['cpu_model']}, {machine['cores']} cores usable; {machine['blas']}; "
        f"Python {machine['python_version']}, numpy {machine['numpy_version']}, numba {machine['numba_version']}, "
        f"{machine['mpi_library']}; "
        f"{numbers['date']}, revision {machine['git_revision'][:12] or 'unknown'}.\n",
        f"Load average of the machine when it began: {numbers['load']:.1f}.  Above 0.5, others were computing too: "
        "then times of whole iterations, and those of 2 ranks most of all, say little.\n",
        "## Kernels\n",
        "RBM with 160 hidden units on a ring of 40 sites, 64 walkers.  Nanoseconds per (flip, hidden unit, walker) "
        "for ratios and sweeps, per (hidden unit, walker) for updates and look-ups, per (parameter, walker) for "
        "log-derivatives; in brackets the share of the same core's matrix product (dgemm).\n",
        _kernels(numbers["kernels"]),
        "What bounds them: the products over hidden units alone run near the rate of dgemm (complex: 8 vector "
        "instructions for 16 operations, and 4 loads; real: 2 for 4, with 2 loads, which limit them).  A call of "
        "ratios adds what a pattern costs, the composition of C and S, who has it, and T of the walkers from the "
        "second-level cache, since a block's T does not fit into the first: most where few hidden units share it and "
        "the work is least, with real weights.  For bonds only walkers with antiparallel spins are computed, and the "
        "others count as done.  An update has a division, which takes 16 cycles for 8 numbers where a fused "
        "multiply-add takes half a one.\n",
        "## One core\n",
        _rates(numbers["rates"]),
        "## An iteration of stochastic reconfiguration\n",
        "1008 samples, one core: what the phases take, and their shares of the iteration.  Kernels are sampling, local "
        "energies and derivatives; linear algebra is products and solving.\n",
        _iterations(numbers["iterations"]),
    ]
    if peer:
        parts += [
            "## Beside NetKet\n",
            f"NetKet {peer['netket']} on jax {peer['jax']}: the same models, ansatz, samples and sweeps, on one core "
            f"of {peer['cpu']}, compilation not counted.  `make bench-peer` ({peer['date']}) measures each case in "
            "pvmc just before and just after NetKet, on the same core; the ratio is to the mean of the two.  NetKet's "
            "log-derivatives and S come by automatic differentiation and matrix products of jax.\n",
            _beside(peer["cases"]),
        ]
    start = numbers["start"]
    parts += [
        "## Two ranks\n",
        "The same work in total on 2 ranks; efficiency is the time of 1 rank over twice that of 2.\n",
        _two_ranks(numbers["iterations"], numbers["two_ranks"]),
        "## Start\n",
        "`mpiexec -n 2 pvmc run configs/heisenberg_chain.toml --set run.iterations=1` from its start to its end, "
        f"kernels in the cache, best of 5: {start['wall']:.2f} s "
        f"({start['processor']:.2f} s of processor time in both ranks).\n",
    ]
    return wrapped("\n".join(parts))


def _kernels(rows: list[dict]) -> str:
    return table(
        [
            *("parameters", "flips", "ratios", "products alone", "updates"),
            *("sweeps", "look-ups", "log-derivatives", "dgemm GF/s"),
        ],
        (
            [
                row["dtype"],
                row["flips"],
                f"{row['ratios']:.3f} ({row['ratios_share']:.0%})",
                f"{row['products']:.3f} ({row['products_share']:.0%})",
                f"{row['update']:.3f} ({row['update_share']:.0%})",
                f"{row['sweep']:.3f}",
                f"{row['lookup']:.2f}",
                f"{row['derivatives']:.2f}",
                f"{row['dgemm']:.1f}",
            ]
            for row in rows
        ),
    )


def _rates(cases: dict[str, dict]) -> str:
    rows = ([case, f"{found['local energies']:.3g}", f"{found['proposals']:.3g}"] for case, found in cases.items())
    return table(["case", "local energies/s", "proposals/s"], rows)


def _iterations(cases: dict[str, dict]) -> str:
    phases = list(next(iter(cases.values()))["phases"])
    head = ["case", "s per iteration", *(name.replace("_", " ") for name in phases), "memory/MB"]
    rows = []
    for case, found in cases.items():
        shares = [f"{seconds:.4f} ({seconds / found['seconds']:.0%})" for seconds in found["phases"].values()]
        rows.append([case, f"{found['seconds']:.4f}", *shares, f"{found['memory'] / 1e6:.0f}"])
    return table(head, rows)


def _beside(cases: dict[str, dict]) -> str:
    rows = []
    for case, found in cases.items():
        ours, theirs = found["pvmc"], found["netket"]
        if "seconds" in theirs:
            mine = sum(one["seconds"] for one in ours) / len(ours)
            rows.append([case, "s per iteration", f"{mine:.4g}", f"{theirs['seconds']:.4g}", theirs["seconds"] / mine])
            memory = max(one["memory"] for one in ours) / 1e6, theirs["memory"] / 1e6
            rows.append(["", "memory/MB", *(f"{size:.0f}" for size in memory), memory[1] / memory[0]])
            continue
        for name in ("local energies", "proposals"):
            mine = sum(one[name] for one in ours) / len(ours)
            rows.append([case, f"{name}/s", f"{mine:.3g}", f"{theirs[name]:.3g}", mine / theirs[name]])
    head = ["case", "what", "pvmc", "NetKet", "ratio"]
    return table(head, ([*row[:4], f"{row[4]:.3g}"] for row in rows))


def _two_ranks(one: dict[str, dict], two: dict[str, dict]) -> str:
    return table(
        ["case", "1 rank/s", "2 ranks/s", "efficiency"],
        (
            [
                case,
                f"{one[case]['seconds']:.4f}",
                f"{two[case]['seconds']:.4f}",
                f"{one[case]['seconds'] / (2 * two[case]['seconds']):.2f}",
            ]
            for case in one
        ),
    )
