"""Random numbers that are a function of what they are for, never of which rank draws them."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """Uses of random numbers; two uses never share numbers."""

    PARAMETERS = 0
    START = 1
    SWEEPS = 2
    FIT = 3
    SECOND_SWEEPS = 4
    MEASUREMENT = 5
    SECOND_MEASUREMENT = 6
    SMEAR = 7
    SECOND_SMEAR = 8
    LEAK = 9
    MEASURED_LEAK = 10
    RESTART = 11


def generator(seed: int, stream: Stream, *, block: int = 0, iteration: int = 0) -> np.random.Generator:
    """Counter-based generator (Philox-4x64) keyed by (seed, stream) and started at (block, iteration).

    The 256-bit counter holds (position, 0, iteration, block): streams of different blocks or iterations start
    2^128 draws apart and cannot overlap, and nothing of the generator's state need be saved for a restart.

    Args:
        seed: the run's seed, 0 <= seed < 2^64.
        stream: what the numbers are for.
        block: walker block, counted over all ranks.
        iteration: SR iteration.

    Reference: Salmon, Moraes, Dror, Shaw, SC'11, doi:10.1145/2063384.2063405.
    """
    counter = np.array([0, 0, iteration, block], dtype=np.uint64)
    key = np.array([seed, int(stream)], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(counter=counter, key=key))
