"""The speed of a core and of messages between ranks (the model of docs/reports/scaling.md)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy.linalg import blas


@dataclass(frozen=True)
class Link:
    """The way of a message between two ranks: latency in seconds, bandwidth in bytes per second."""

    latency: float
    bandwidth: float


@dataclass(frozen=True)
class Network:
    """Nodes of some cores, a rank on each, and their links.

    Attributes:
        cores: of a node.
        inside: link between ranks of a node.
        between: link between nodes, which all ranks of a node share.
        call: seconds that every collective costs a rank on top of its messages.
        adding: seconds to add a byte of one array to another, for arrays of some numbers of bytes: (bytes, seconds).
    """

    cores: int
    inside: Link
    between: Link
    call: float
    adding: tuple[tuple[float, float], ...]

    def broadcast(self, n_bytes: int, ranks: int) -> float:
        """Seconds until all ranks have an array of the root."""
        return self._collective(n_bytes, ranks, adding=0.0)

    def reduction(self, n_bytes: int, ranks: int) -> float:
        """Seconds of the sum of an array over all ranks, for the root or for all."""
        sizes, each = zip(*self.adding, strict=True)
        adding = n_bytes * float(np.interp(math.log(max(n_bytes, 1)), np.log(sizes), each))
        return self._collective(n_bytes, ranks, adding)

    def _collective(self, n_bytes: int, ranks: int, adding: float) -> float:
        """On each level the better of a tree of whole messages and of scattered parts.

        Thakur, Rabenseifner & Gropp, Int. J. High Perform. Comput. Appl. 19, 49 (2005).
        """
        if ranks == 1:
            return 0.0
        seconds = self.call
        for link, size in ((self.inside, min(ranks, self.cores)), (self.between, -(-ranks // self.cores))):
            rounds, share = math.ceil(math.log2(size)), 1 - 1 / size
            tree = rounds * (link.latency + n_bytes / link.bandwidth + adding)
            scattered = 2 * rounds * link.latency + share * (2 * n_bytes / link.bandwidth + adding)
            seconds += min(tree, scattered)
        return seconds

    def all_to_all(self, n_bytes: int, ranks: int) -> float:
        """Seconds until every rank has sent an equal part of an array of its own to each rank, itself included.

        A message to each of the others, one after the other; those to other nodes share the link of the node.
        """
        if ranks == 1:
            return 0.0
        part, on_node = n_bytes / ranks, min(ranks, self.cores)
        inside, outside = on_node - 1, ranks - on_node
        seconds = self.call + inside * (self.inside.latency + part / self.inside.bandwidth)
        return seconds + outside * (self.between.latency + on_node * part / self.between.bandwidth)


CLUSTER = Network(
    cores=64,
    inside=Link(latency=1.7e-6, bandwidth=8.5e9),
    between=Link(latency=2e-6, bandwidth=1e10),
    call=3.4e-6,
    adding=((33e3, 0.53e-9), (222e3, 0.16e-9), (2e6, 0.43e-9), (16e6, 1.25e-9), (32e6, 2.43e-9)),
)
"""The cluster of docs/reports/scaling.md: links within a node as measured there, nodes and other links assumed."""


@dataclass(frozen=True)
class Rates:
    """Operations and bytes of a rank in a second.

    Attributes:
        real_flops: floating-point operations in a product of real matrices; a multiplication and an addition are two.
        complex_flops: of complex matrices, in real operations: a complex multiplication and addition are eight.
        bandwidth: bytes read from memory.
        network: how long messages take.
    """

    real_flops: float
    complex_flops: float
    bandwidth: float
    network: Network = field(default=CLUSTER)

    def flops(self, *, is_complex: bool) -> float:
        """Operations in a second, in products of complex or real matrices."""
        return self.complex_flops if is_complex else self.real_flops


TYPICAL = Rates(real_flops=6.5e10, complex_flops=7.5e10, bandwidth=1e10)
"""A core of a server of the 2020s with AVX-512, rounded: by these ``auto`` decides, whatever the machine."""

PRODUCT_SIZE = 320
"""Rows of the matrices that are multiplied: large enough for the full speed, 3 to 6 ms for a complex product."""

STREAM_BYTES = 2**26
"""Bytes of the array that is read: larger than the share of the caches that one core has."""


def measure_rates(network: Network = CLUSTER) -> Rates:
    """The rates of a core of this machine, as the fastest of a few repetitions; takes 0.1 to 0.3 s.

    The network cannot be measured by one rank: it is that of the argument.
    """
    rng = np.random.default_rng(0)
    real = np.asfortranarray(rng.standard_normal((PRODUCT_SIZE, PRODUCT_SIZE)))
    complex_ = np.asfortranarray(real + 1j * real.T)
    stream = np.ones(STREAM_BYTES // 8)
    return Rates(
        real_flops=2 * PRODUCT_SIZE**3 / _fastest(lambda: blas.dgemm(1.0, real, real)),
        complex_flops=8 * PRODUCT_SIZE**3 / _fastest(lambda: blas.zgemm(1.0, complex_, complex_)),
        bandwidth=STREAM_BYTES / _fastest(lambda: blas.ddot(stream, stream)),
        network=network,
    )


def _fastest(work: Callable[[], object], repetitions: int = 6) -> float:
    """Seconds of the fastest repetition; others on the machine only make it slower.  The first one warms up."""
    seconds = []
    for _ in range(repetitions):
        begin = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begin)
    return min(seconds)
