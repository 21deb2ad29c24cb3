"""The page docs/reports/scaling.md, from the numbers of scaling.py."""

from __future__ import annotations

from cases import CHECKS, SCALING_CASES
from cost_model import Case, Machine, Parts, collectives, iteration, strong_efficiency, weak_efficiency
from page import table, wrapped
from scaling_model import (
    NETWORK,
    NODE_CORES,
    RANKS,
    busy,
    check_case,
    cluster,
    curve_case,
    phase,
    root_cost,
    this_machine,
    wall,
)

from pvmc.vmc.loop import PHASES

KINDS = ("1", "2", "twins")

_NAMES = {
    "smaller": "blocks that are smaller and cost more per sample",
    "rounding": "whole blocks: ranks that own one block less wait",
    "slowest": "the slowest rank",
    "rank": "what every rank does whatever its share: tables of psi, bookkeeping",
    "latency": "the latency of the collectives",
    "reduction": "the sum of the K^2/2 moments",
    "root": "rank 0 alone, which solves: Amdahl",
    "waking": "ranks that sleep while they wait, and wake late",
}

_MODEL = """An iteration of stochastic reconfiguration on P ranks takes

    T(P) = ceil(blocks / P) t_block + sigma_block sqrt(blocks / P) m(P) + t_rank
         + collectives(P) + t_root(K) + waking(P)

with t_block the time of one block of walkers (sampling, local energies, derivatives, products) and sigma_block its
spread, m(P) the mean maximum of P normal deviates, t_rank what every rank does whatever its share, t_root what rank 0
does alone (it unpacks the moments and solves S x = F), and waking(P) what waiting ranks lose by sleeping between two
looks for messages.  Where samples are to be shared by more ranks than there are blocks, blocks are made of fewer
walkers, or walkers draw fewer samples each; both cost more per sample, and the fastest of the measured layouts is taken
at each P.  The model is `benchmarks/cost_model.py`; its test compares the collectives with those that the driver really
sends.
"""

_TWO_RANKS = """The same work in total on one rank and on two, and the whole work in each of two independent processes
of one rank at the same time (twins): how much those slow each other down is the machine's own limit, and the efficiency
relative to it is what pvmc makes of that.  Runs of some seconds alternate.  Medians in milliseconds per iteration by
processor time of the busiest rank, which is what an iteration lasts where the cores are free, since others may compute
on this machine at the same time; where they do, two ranks look longer for each other's messages, so that their
efficiency is rather too low.  By wall clock: the efficiency from the iterations in which no rank lost its core to
another process (the last column counts them, for one rank, two, and the twins) or, where there are fewer than three,
from the fastest quarter; without such iterations it says little.
"""


def markdown(numbers: dict) -> str:
    """The whole page."""
    machine = numbers["machine"]
    text = "\n".join(
        [
            "# Scaling\n",
            "Written by `make scaling` from `benchmarks/results/scaling_*.json`, which it measures; do not edit.\n",
            f"{machine['cpu_model']}, {machine['cores']} cores usable; {machine['mpi_library']}; numpy "
            f"{machine['numpy_version']}, numba {machine['numba_version']}; {numbers['date']}, measured in "
            f"{numbers['seconds']:.0f} s.  Load average when it began: {numbers['load']:.1f}.\n",
            "## Model\n",
            _MODEL,
            _collectives(numbers),
            "## Two ranks\n",
            _two_ranks(numbers),
            "## Prediction and measurement\n",
            _checks(numbers),
            "## Up to 4096 ranks\n",
            _cluster(numbers),
            "## Single precision\n",
            _single(numbers["single_precision"]),
        ]
    )
    return wrapped(text)


def _collectives(numbers: dict) -> str:
    machine, root = this_machine(numbers), root_cost(numbers)
    case = curve_case(numbers, next(iter(SCALING_CASES)))
    sent = collectives(case.n_parameters, machine.cores, is_complex=case.is_complex)
    rows = [
        [kind, ", ".join(_bytes(one.n_bytes) + (" (every 10th)" if one.times < 1 else "") for one in some)]
        for kind in ("allreduce", "broadcast", "reduce")
        if (some := [one for one in sent if one.kind == kind])
    ]
    measured = numbers["root"]["seconds"]
    adding = ", ".join(f"{each * 1e9:.2f} at {_bytes(n)}" for n, each in machine.adding)
    return "\n".join(
        [
            f"Collectives of an iteration with {case.n_parameters} complex parameters:\n",
            table(["kind", "messages"], rows),
            f"Measured between two ranks of this machine: latency {machine.inside.latency * 1e6:.1f} us and "
            f"{machine.inside.bandwidth / 1e9:.1f} GB/s one way, {machine.call * 1e6:.1f} us that any collective costs "
            f"besides (Python and MPI's non-blocking calls), and nanoseconds per byte to add int64 arrays: {adding}.  "
            "Arrays beyond the cache cost more, since MPI and numpy take new memory for each.\n",
            "Rank 0 alone, in milliseconds, and the fit "
            f"{root.constant * 1e3:.2g} + {root.square * 1e9:.2g} (K/1000)^2 + {root.cube * 1e12:.2g} (K/1000)^3 "
            "(complex parameters):\n",
            table(
                ["K", *measured],
                [
                    ["measured", *(f"{seconds * 1e3:.2f}" for seconds in measured.values())],
                    ["fit", *(f"{root(int(k)) * 1e3:.2f}" for k in measured)],
                ],
            ),
        ]
    )


def _bytes(n: float) -> str:
    return f"{n:.0f} B" if n < 1e4 else f"{n / 1e3:.0f} kB" if n < 1e6 else f"{n / 1e6:.0f} MB"


def _two_ranks(numbers: dict) -> str:
    rows, parts, cores = [], [], numbers["machine"]["cores"]
    for check in CHECKS:
        runs = numbers["checks"][check]["iterations"]
        one, two, twins = (busy(runs[kind], cores) for kind in KINDS)
        by_wall = [wall(runs[kind]) for kind in KINDS]
        counts = " ".join(f"{sum(row['lost'] == 0 for row in runs[kind])}/{len(runs[kind])}" for kind in KINDS)
        times = [f"{1e3 * seconds:.2f}" for seconds in (one, two, twins)]
        shares = [one / (2 * two), one / twins, twins / (2 * two), by_wall[0] / (2 * by_wall[1])]
        rows.append([check, *times, *(f"{share:.2f}" for share in shares), counts])
        serial = sum(phase(runs["1"], name) for name in ("reducing", "solving")) / 2
        losses = [one / 2, (twins - one) / 2, serial, two - twins / 2 - serial]
        parts.append([check, *(f"{loss / two:.1%}" for loss in losses)])
    head = ["case", "1 rank/ms", "2 ranks/ms", "twins/ms", "efficiency", "machine's limit", "relative to it"]
    return "\n".join(
        [
            _TWO_RANKS,
            table([*head, "by wall clock", "undisturbed"], rows),
            "What an iteration of two ranks is made of: half of the time of one rank, what the cores slow each other "
            "down (memory, clock, shared units), half of the work of rank 0 alone, which is not shared out, and the "
            "rest: messages, looking for them, unequal blocks, tables that each rank makes, and noise.\n",
            table(["case", "work", "cores together", "rank 0", "rest"], parts),
            "Where it is lost: milliseconds of each phase on two ranks (the slower), less half of those on one.  "
            "Sampling holds the tables of psi, which every rank makes, and the wait for the first chunk of rank 0; "
            "reducing and solving hold the work of rank 0 and the waits for it.\n",
            _phases(numbers),
        ]
    )


def _phases(numbers: dict) -> str:
    rows = []
    for check in CHECKS:
        one, two = (numbers["checks"][check]["iterations"][ranks] for ranks in ("1", "2"))
        rows.append([check, *(f"{1e3 * (phase(two, name) - phase(one, name) / 2):.2f}" for name in PHASES)])
    return table(["case", *(name.replace("_", " ") for name in PHASES)], rows)


def _checks(numbers: dict) -> str:
    machine, rows = this_machine(numbers), []
    for check in CHECKS:
        case, runs = check_case(numbers, check), numbers["checks"][check]["iterations"]
        for ranks in (1, 2, 4):
            found = runs[str(ranks)]
            predicted, measured = iteration(case, ranks, machine).total, busy(found, machine.cores)
            times = [predicted, measured, min(row["seconds"] for row in found), wall(found)]
            row = [check, ranks, *(f"{1e3 * seconds:.2f}" for seconds in times)]
            rows.append([*row, f"{predicted / measured:.2f}"])
    head = ["case", "ranks", "predicted", "measured", "fastest by wall clock", "undisturbed by wall clock", "ratio"]
    return "\n".join(
        [
            "Milliseconds per iteration.  Predicted from the time of single blocks, the messages, the fit of rank 0's "
            "work, and by how much the twins slow each other down; four ranks take turns on "
            f"{machine.cores} cores.  Measured by processor time as above, of four ranks that of all together over the "
            "cores: less than the time that passes, since a core that waits for rank 0 does not count.\n",
            table(head, rows),
        ]
    )


def _cluster(numbers: dict) -> str:
    machine, shown = cluster(numbers), [ranks for ranks in RANKS if ranks in (1, 4, 16, 64, 256, 1024, 4096)]
    rows, texts = [], []
    for name in SCALING_CASES:
        case = curve_case(numbers, name)
        for kind, efficiency in (("strong", strong_efficiency), ("weak", weak_efficiency)):
            values = [f"{efficiency(case, ranks, machine):.2f}" for ranks in shown]
            rows.append([f"{name}, K = {case.n_parameters}", kind, *values])
        texts.append(_limits(name, case, machine))
    return "\n".join(
        [
            f"Nodes of {NODE_CORES} cores like this machine's, a rank on each, and between nodes "
            f"{NETWORK.latency * 1e6:.0f} us and {NETWORK.bandwidth / 1e9:.0f} GB/s: assumptions, the constants "
            "`NETWORK` and `NODE_CORES` of `benchmarks/scaling_model.py`.  Efficiency is relative to one rank, at 8192 "
            "samples in total (strong) or on each rank (weak), with the model's best layout; that cores slow each "
            "other down is not counted.\n",
            table(["case", "scaling", *map(str, shown)], rows),
            "![Efficiency and parts of an iteration](../figures/scaling.png)\n",
            "Lines are the model; the circle is two ranks of this machine relative to two separate processes.  The "
            "spread of a block's time is that of this machine, whose other users add to it: the loss to the slowest "
            "rank is rather too high.\n",
            *texts,
        ]
    )


def _limits(name: str, case: Case, machine: Machine) -> str:
    """In words: how far 8192 samples reach, and what stops them."""
    good = max(ranks for ranks in RANKS if strong_efficiency(case, ranks, machine) >= 0.5)
    fastest = min(RANKS, key=lambda ranks: iteration(case, ranks, machine).total)
    alone, quickest = (iteration(case, ranks, machine).total for ranks in (1, fastest))
    weak = _losses(iteration(case.weak(RANKS[-1]), RANKS[-1], machine), iteration(case, 1, machine).work)
    return (
        f"**{name}** (K = {case.n_parameters}).  8192 samples keep an efficiency of one half up to {good} ranks.  The "
        f"largest losses on {2 * good} ranks: {_strong_losses(case, 2 * good, machine)}; on {RANKS[-1]}: "
        f"{_strong_losses(case, RANKS[-1], machine)}.  An iteration is fastest on {fastest} ranks, "
        f"{1e3 * quickest:.3g} ms against {1e3 * alone:.3g} on one.  With 8192 samples on each of {RANKS[-1]} ranks: "
        f"{weak}.\n"
    )


def _strong_losses(case: Case, ranks: int, machine: Machine) -> str:
    return _losses(iteration(case, ranks, machine), iteration(case, 1, machine).work / ranks)


def _losses(parts: Parts, even_work: float) -> str:
    losses = parts.losses(even_work)
    largest = sorted(losses, key=losses.__getitem__, reverse=True)[:2]
    return " and ".join(f"{_NAMES[part]} ({losses[part] / parts.total:.0%} of the iteration)" for part in largest)


def _single(found: dict) -> str:
    kernels = [
        [
            "real" if row["planes"] == 1 else "complex",
            row["hidden"],
            *(f"{row[f'{kind}_{what}']:.3f}" for kind in ("ratio", "update") for what in ("64", "32")),
            *(f"{row[f'{kind}_gain']:.2f}" for kind in ("ratio", "update")),
        ]
        for row in found["kernels"]
    ]
    cases = [
        [
            name,
            f"{row['share']:.0%}",
            f"{row['kernels']:.0%}",
            *(f"{row[k]:.2f}" for k in ("gain", "bound", "all_bound")),
        ]
        for name, row in found["iterations"].items()
    ]
    wanted = found["worth_it"]
    best, bound = (max(row[key] for row in found["iterations"].values()) for key in ("gain", "bound"))
    if best >= wanted:
        verdict = f"The best case gains {best:.2f}, and {wanted} was asked for: the option is worth building."
    else:
        verdict = (
            f"The best case gains {best:.2f} (all of sampling: {bound:.2f}), and {wanted} was asked for: a second set "
            "of kernels, tolerances and tests costs more than that, and the option is left out."
        )
    return "\n".join(
        [
            f"What sampling in float32 could gain: the ratio and the update of an RBM with {found['lanes']} numbers to "
            "a vector instead of half as many, 64 walkers on one core (`benchmarks/single_precision.py`).  Nanoseconds "
            "per (hidden unit, walker), and the gain as the median of alternating runs:\n",
            table(
                [
                    "weights",
                    "hidden",
                    "ratio, 64",
                    "ratio, 32",
                    "update, 64",
                    "update, 32",
                    "ratio gain",
                    "update gain",
                ],
                kernels,
            ),
            "An iteration gains less: the share of sampling in it, and of these kernels in sampling; the gain if they "
            "alone were faster, the bound if all of sampling were (random numbers, look-ups, tables), and the bound if "
            "the local energies were too, which would then lose their digits:\n",
            table(["case", "sampling", "kernels in it", "gain", "bound", "bound with local energies"], cases),
            verdict + "\n",
        ]
    )
