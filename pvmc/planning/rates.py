"""How fast a core computes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy.linalg import blas

from pvmc.planning.network import CLUSTER, Network


@dataclass(frozen=True)
class Rates:
    """What a rank does in a second.

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
        """Of products of complex or real matrices."""
        return self.complex_flops if is_complex else self.real_flops


TYPICAL = Rates(real_flops=6.5e10, complex_flops=7.5e10, bandwidth=1e10)
"""A core of a server of the 2020s with AVX-512, rounded: by these ``auto`` decides, whatever the machine."""

PRODUCT_SIZE = 320
"""Rows of the matrices that are multiplied: large enough for the full speed, 3 to 6 ms for a complex product."""

STREAM_BYTES = 2**26
"""Of the array that is read: larger than what caches give to one core."""


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
