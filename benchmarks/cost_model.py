"""What an iteration of stochastic reconfiguration costs on any number of ranks: arithmetic on measured numbers.

    T(P) = ceil(blocks / P) t_block             sampling, local energies, derivatives, products: whole blocks of walkers
         + sigma_block sqrt(blocks / P) m(P)    the slowest of P ranks; m is the mean maximum of P normal deviates
         + t_rank                               what every rank does, whatever its share: tables of psi, bookkeeping
         + collectives(P)                       latency and bandwidth, see :class:`Machine`
         + t_root(K)                            the moments' unpacking and the solution of S x = F on rank 0
         + waking(P)                            waiting ranks sleep between two looks for messages

Seconds and bytes everywhere.  What is not in it: noise of the system, contention of a network by other jobs, and ranks
that wait for the first chunk of rank 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal, NamedTuple

import numpy as np
from scipy.optimize import nnls
from scipy.special import log_ndtr

CHECK_INTERVAL = 10
"""Iterations between two comparisons of the ranks' parameters."""

AWAKE = 3e-4
"""How long a waiting rank looks for messages without sleeping."""

LONGEST_SLEEP, SLEEP_SHARE = 1e-3, 0.05
"""Then it sleeps for this share of the time waited, up to that long, between two looks."""


@dataclass(frozen=True)
class Link:
    """The way of a message between two ranks: latency in seconds, bandwidth in bytes per second."""

    latency: float
    bandwidth: float


@dataclass(frozen=True)
class Machine:
    """Where ranks run.

    Attributes:
        cores: of a node, one for each rank.
        inside: link between ranks of a node.
        between: link between nodes; None for a single node, whose cores more ranks share.
        call: seconds that every collective costs a rank on top of its messages.
        adding: seconds to add a byte of one array to another, for arrays of some numbers of bytes: (bytes, seconds).
    """

    cores: int
    inside: Link
    between: Link | None
    call: float
    adding: tuple[tuple[float, float], ...]

    def add_seconds(self, n_bytes: int) -> float:
        """Seconds to add an array to another: large ones leave the cache, and their memory is new each time."""
        known, each = zip(*self.adding, strict=True)
        return n_bytes * float(np.interp(math.log(max(n_bytes, 1)), np.log(known), each))

    def turns(self, ranks: int) -> float:
        """How many ranks take turns on a core."""
        return max(1.0, ranks / self.cores) if self.between is None else 1.0

    def levels(self, ranks: int) -> list[tuple[Link, int]]:
        """Links of a collective and the number of ranks or nodes that each of them joins."""
        inside = ranks if self.between is None else min(ranks, self.cores)
        nodes = 1 if self.between is None else -(-ranks // self.cores)
        links = [(self.inside, inside), (self.between, nodes)]
        return [(link, size) for link, size in links if link is not None and size > 1]


class Collective(NamedTuple):
    """One message of all ranks, and how often it is sent in an iteration."""

    kind: Literal["allreduce", "reduce", "broadcast"]
    n_bytes: int
    times: float = 1.0


def collectives(n_parameters: int, ranks: int, *, is_complex: bool) -> list[Collective]:
    """Those of an iteration with exact sums and the dense solver, in their order; those of the run itself last."""
    number = 16 if is_complex else 8
    rows = n_parameters + 2
    return [
        Collective("allreduce", 16),  # configurations and chunks of all ranks
        Collective("broadcast", number * (n_parameters + 1) + 8 * rows),  # centres of the rows and their scales
        Collective("allreduce", 8),  # is any chunk out of range?
        Collective("allreduce", 53 * 2 * 8),  # mean energy, in limbs
        Collective("allreduce", 53 * 9 * 8),  # its statistics
        Collective("reduce", number * (rows * (rows + 1) // 2)),  # packed triangle of the moments
        Collective("broadcast", 8),  # has the solution failed?
        Collective("broadcast", number * n_parameters + 56),  # the direction, and what is reported of it
        Collective("allreduce", 8 * ranks, 1 / CHECK_INTERVAL),  # are the parameters the same?
        Collective("broadcast", 8),  # has the output failed?
        Collective("allreduce", 32),  # does the run stop, or save its state?
    ]


def steps(size: int) -> int:
    """Rounds of messages in which a number of ranks reach each other."""
    return math.ceil(math.log2(size)) if size > 1 else 0


def collective_seconds(collective: Collective, ranks: int, machine: Machine) -> float:
    """One collective: on each level the better of a tree of whole messages and of scattered parts.

    Thakur, Rabenseifner & Gropp, Int. J. High Perform. Comput. Appl. 19, 49 (2005).
    """
    if ranks == 1:
        return 0.0
    adding = 0.0 if collective.kind == "broadcast" else machine.add_seconds(collective.n_bytes)
    seconds = machine.call
    for link, size in machine.levels(ranks):
        n, rounds, share = collective.n_bytes, steps(size), 1 - 1 / size
        tree = rounds * (link.latency + n / link.bandwidth + adding)
        scattered = 2 * rounds * link.latency + share * (2 * n / link.bandwidth + adding)
        seconds += min(tree, scattered)
    return seconds * machine.turns(ranks)


def mean_maximum(count: int) -> float:
    """Expected largest of this many independent standard normal deviates; 0 for one."""
    if count == 1:
        return 0.0
    x = np.linspace(-12.0, 12.0, 4801)
    all_below = np.exp(count * log_ndtr(x))
    return float((x[1:] + x[:-1]) / 2 @ np.diff(all_below))


def oversleep(wait: float, ranks: int) -> float:
    """Mean delay of a message through all ranks that have waited this long: half a sleep in each round."""
    return steps(ranks) * min(SLEEP_SHARE * wait, LONGEST_SLEEP) / 2 if wait > AWAKE else 0.0


@dataclass(frozen=True)
class RootCost:
    """Seconds of the work of rank 0 alone: constant + square K^2 + cube K^3."""

    constant: float
    square: float
    cube: float

    def __call__(self, n_parameters: int) -> float:
        return self.constant + self.square * n_parameters**2 + self.cube * n_parameters**3


def fit_root(n_parameters: Sequence[int], seconds: Sequence[float]) -> RootCost:
    """Least squares of the relative deviations; no coefficient is negative."""
    k = np.asarray(n_parameters, dtype=float)
    return RootCost(*_relative_fit([k**0, k**2, k**3], seconds))


def fit_link(n_bytes: Sequence[int], seconds: Sequence[float]) -> Link:
    """Least squares of the relative deviations of latency + bytes / bandwidth."""
    n = np.asarray(n_bytes, dtype=float)
    latency, per_byte = _relative_fit([n**0, n], seconds)
    return Link(latency, 1 / per_byte if per_byte > 0 else math.inf)


def invert_reduce(n_bytes: int, seconds: float, link: Link, call: float) -> float:
    """Seconds that adding takes in a reduction to the root of two ranks that took so long: the model, solved for it."""
    rest = seconds - call - n_bytes / link.bandwidth
    return max(0.0, rest - link.latency, 2 * (rest - 2 * link.latency))


def _relative_fit(columns: Sequence[np.ndarray], values: Sequence[float]) -> list[float]:
    matrix = np.stack(columns, axis=1) / np.asarray(values)[:, None]
    sizes = np.linalg.norm(matrix, axis=0)  # columns of very different sizes: the solver has an absolute tolerance
    solution: np.ndarray = nnls(matrix / sizes, np.ones(len(matrix)))[0] / sizes
    return [float(value) for value in solution]


@dataclass(frozen=True)
class Layout:
    """How the walkers are cut into blocks.

    Attributes:
        width: walkers in a block.
        draws: configurations of each walker.
        blocks: of all ranks.
        block_seconds: one block on one rank.
        spread: standard deviation of that.
    """

    width: int
    draws: int
    blocks: int
    block_seconds: float
    spread: float


@dataclass(frozen=True)
class Case:
    """A problem.

    Attributes:
        n_parameters: K.
        is_complex: whether theta is complex.
        layouts: ways to cut the same number of samples into blocks, of which the fastest is taken.
        rank_seconds: what every rank does in an iteration besides its blocks.
        root_seconds: what rank 0 does alone.
        sharing: by which factor ranks on all cores of a node slow each other down.
    """

    n_parameters: int
    is_complex: bool
    layouts: tuple[Layout, ...]
    rank_seconds: float
    root_seconds: float
    sharing: float = 1.0

    def weak(self, ranks: int) -> Case:
        """The case with the same number of blocks on every rank."""
        grown = tuple(replace(layout, blocks=layout.blocks * ranks) for layout in self.layouts)
        return replace(self, layouts=grown)


@dataclass(frozen=True)
class Parts:
    """Seconds of an iteration.

    Attributes:
        work: the blocks, were they shared out evenly.
        rounding: a rank owns whole blocks.
        slowest: the slowest rank, against the mean.
        rank: what every rank does.
        latency: collectives, without the next.
        reduction: the packed triangle of the moments.
        root: rank 0 alone.
        waking: sleepers that wake late.
    """

    work: float
    rounding: float
    slowest: float
    rank: float
    latency: float
    reduction: float
    root: float
    waking: float

    @property
    def total(self) -> float:
        return sum(getattr(self, part.name) for part in fields(self))

    def losses(self, even_work: float) -> dict[str, float]:
        """What is not work, by part; "smaller" is what blocks cost more than ``even_work``, an even share of theirs
        in the layout that is best for one rank."""
        others = {part.name: getattr(self, part.name) for part in fields(self) if part.name != "work"}
        return {"smaller": max(0.0, self.work - even_work)} | others


def iteration(case: Case, ranks: int, machine: Machine) -> Parts:
    """An iteration with the best of the layouts.

    Raises:
        ValueError: no layout has a block for every rank.
    """
    usable = [layout for layout in case.layouts if layout.blocks >= ranks]
    if not usable:
        raise ValueError(f"no layout has {ranks} blocks")
    return min((_parts(case, layout, ranks, machine) for layout in usable), key=lambda parts: parts.total)


def _parts(case: Case, layout: Layout, ranks: int, machine: Machine) -> Parts:
    turns = machine.turns(ranks)
    busy = turns * (case.sharing if ranks >= machine.cores and ranks > 1 else 1.0)
    mine = -(-layout.blocks // ranks)
    slowest = busy * layout.spread * math.sqrt(mine) * mean_maximum(ranks)
    messages = collectives(case.n_parameters, ranks, is_complex=case.is_complex)
    sent = [(message.kind, message.times * collective_seconds(message, ranks, machine)) for message in messages]
    reduction = sum(seconds for kind, seconds in sent if kind == "reduce")
    return Parts(
        work=busy * layout.blocks / ranks * layout.block_seconds,
        rounding=busy * (mine - layout.blocks / ranks) * layout.block_seconds,
        slowest=slowest,
        rank=busy * case.rank_seconds,
        latency=sum(seconds for _, seconds in sent) - reduction,
        reduction=reduction,
        root=case.root_seconds,
        waking=oversleep(slowest, ranks) + oversleep(reduction + case.root_seconds, ranks),
    )


def strong_efficiency(case: Case, ranks: int, machine: Machine) -> float:
    """T(1) / (P T(P)) of the same samples in total."""
    return iteration(case, 1, machine).total / (ranks * iteration(case, ranks, machine).total)


def weak_efficiency(case: Case, ranks: int, machine: Machine) -> float:
    """T(1) / T(P) of the same samples on every rank."""
    return iteration(case, 1, machine).total / iteration(case.weak(ranks), ranks, machine).total
