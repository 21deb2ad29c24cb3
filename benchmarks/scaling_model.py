"""The cost model with the numbers that scaling.py measured."""

from __future__ import annotations

import statistics
from dataclasses import replace

from cases import CHECKS, LAYOUTS, SCALING_SAMPLES
from cost_model import Case, Layout, Link, Machine, RootCost

NETWORK = Link(latency=2e-6, bandwidth=1e10)
"""Assumed of a cluster: 2 us between nodes, 10 GB/s into and out of a node."""

NODE_CORES = 64
"""Assumed of a cluster: cores of a node, a rank on each."""

RANKS = [2**n for n in range(13)]


def this_machine(numbers: dict) -> Machine:
    """As measured, one node."""
    found = numbers["messages"]
    adding = tuple((n, each) for n, each in found["adding"])
    return Machine(numbers["machine"]["cores"], Link(**found["link"]), None, found["call"], adding)


def cluster(numbers: dict) -> Machine:
    """Nodes of such cores, with the assumed network between them."""
    return replace(this_machine(numbers), cores=NODE_CORES, between=NETWORK)


def root_cost(numbers: dict) -> RootCost:
    """Of rank 0 alone."""
    return RootCost(**numbers["root"]["fit"])


def curve_case(numbers: dict, name: str) -> Case:
    """A case with all of its layouts, for a cluster."""
    return _case(numbers, name, [(w, d, SCALING_SAMPLES // (w * d)) for w, d in LAYOUTS[name]])


def check_case(numbers: dict, check: str) -> Case:
    """What was measured on several ranks, on this machine."""
    name, width, draws, blocks = CHECKS[check][:4]
    rows = numbers["checks"][check]["iterations"]
    cores = numbers["machine"]["cores"]
    sharing = max(1.0, busy(rows["twins"], cores) / busy(rows["1"], cores))
    return replace(_case(numbers, name, [(width, draws, blocks)]), sharing=sharing)


def _case(numbers: dict, name: str, wanted: list[tuple[int, int, int]]) -> Case:
    found = numbers["cases"][name]
    rows = {(row["width"], row["draws"]): row for row in found["blocks"]}
    layouts = tuple(Layout(w, d, n, rows[w, d]["seconds"], rows[w, d]["spread"]) for w, d, n in wanted)
    return Case(
        n_parameters=found["n_parameters"],
        is_complex=found["is_complex"],
        layouts=layouts,
        rank_seconds=statistics.median(rows[w, d]["rank"] for w, d, _ in wanted),
        root_seconds=root_cost(numbers)(found["n_parameters"]),
    )


def undisturbed(rows: list[dict]) -> list[dict]:
    """The iterations in which no rank lost its core; where they are too few, the fastest quarter of all."""
    found = [row for row in rows if row["lost"] == 0]
    return found if len(found) >= 3 else sorted(rows, key=lambda row: row["seconds"])[: max(1, len(rows) // 4)]


def wall(rows: list[dict]) -> float:
    """Median seconds of an undisturbed iteration."""
    return statistics.median(row["seconds"] for row in undisturbed(rows))


def busy(rows: list[dict], cores: int) -> float:
    """Median seconds of an iteration by processor time: of the busiest rank, or of all of them on these cores."""
    return statistics.median(max(row["busiest"], row["together"] / cores) for row in rows)


def phase(rows: list[dict], name: str) -> float:
    """Median seconds of a phase, less the share of the time in which the busiest rank did not have a core."""
    return statistics.median(row["phases"][name] * min(1.0, row["busiest"] / row["seconds"]) for row in rows)
