"""The page docs/benchmarks.md, from the numbers of run.py and peer.py."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines) + "\n"


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
        "## One core\n",
        _rates(numbers["rates"], peer),
        "## An iteration of stochastic reconfiguration\n",
        _iterations(numbers["iterations"], peer),
    ]
    if peer:
        parts.append(
            f"NetKet {peer['netket']} on jax {peer['jax']}, the same models, ansatz, samples and sweeps, one thread "
            "on the same kind of core, compilation not counted (`make bench-peer`).\n"
        )
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
    return "\n".join(parts)


def _kernels(rows: list[dict]) -> str:
    return table(
        ["parameters", "flips", "ratios", "updates", "sweeps", "look-ups", "log-derivatives", "dgemm GF/s"],
        (
            [
                row["dtype"],
                row["flips"],
                f"{row['ratios']:.3f} ({row['ratios_share']:.0%})",
                f"{row['update']:.3f} ({row['update_share']:.0%})",
                f"{row['sweep']:.3f}",
                f"{row['lookup']:.2f}",
                f"{row['derivatives']:.2f}",
                f"{row['dgemm']:.1f}",
            ]
            for row in rows
        ),
    )


def _rates(cases: dict[str, dict], peer: dict | None) -> str:
    head = ["case", "local energies/s", "proposals/s"]
    other = peer["rates"] if peer else {}
    if other:
        head += ["NetKet: local energies/s", "proposals/s", "ratios"]
    rows = []
    for case, found in cases.items():
        row: list[object] = [case, *(f"{found[name]:.3g}" for name in ("local energies", "proposals"))]
        if other and case in other:
            theirs = [other[case][name] for name in ("local energies", "proposals")]
            row += [f"{rate:.3g}" for rate in theirs]
            row.append(", ".join(f"{found[n] / t:.1f}" for n, t in zip(found, theirs, strict=True)))
        elif other:
            row += ["-"] * 3
        rows.append(row)
    return table(head, rows)


def _iterations(cases: dict[str, dict], peer: dict | None) -> str:
    phases = ["sampling", "local_energies", "derivatives", "products", "reducing", "solving", "output"]
    head = ["case", "s per iteration", *(name.replace("_", " ") for name in phases), "memory/MB"]
    head += ["NetKet/s", "ratio"] if peer else []
    rows = []
    for case, found in cases.items():
        row: list[object] = [case, f"{found['seconds']:.4f}", *(f"{found['phases'][name]:.4f}" for name in phases)]
        row.append(f"{found['memory'] / 1e6:.0f}")
        if peer:
            theirs = peer["iterations"].get(case)
            row += [f"{theirs:.4f}", f"{theirs / found['seconds']:.1f}"] if theirs else ["-", "-"]
        rows.append(row)
    return table(head, rows)


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
