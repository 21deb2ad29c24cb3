"""Distributions and counts of configurations, which the tests of the sampler compare."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pvmc.sampler import Samples
from pvmc.wavefunctions import WaveFunction
from tests.helpers import configurations, labels_of, state_vector


def probabilities(
    psi: WaveFunction, n_sites: int, magnetization: int | None = None, power: float = 2.0
) -> npt.NDArray[np.float64]:
    """|psi|^power over all 2^N labels, zero outside the magnetisation; sums to one."""
    spins = configurations(n_sites, magnetization)
    weights = np.zeros(2**n_sites)
    weights[labels_of(spins)] = np.abs(state_vector(psi, spins)) ** power
    return weights / weights.sum()


def counted(spins: npt.NDArray[np.int8]) -> npt.NDArray[np.int64]:
    """How often each of the 2^N configurations stands in an array (..., N, L)."""
    n_sites = spins.shape[-2]
    flat = np.ascontiguousarray(np.moveaxis(spins, -2, 0).reshape(n_sites, -1))
    return np.bincount(labels_of(flat), minlength=2**n_sites)


def flat(samples: Samples) -> npt.NDArray[np.int8]:
    """All configurations, (N, n): draw by draw, in each the walkers block by block."""
    n_sites = samples.spins.shape[2]
    return np.ascontiguousarray(samples.spins.transpose(2, 1, 0, 3).reshape(n_sites, -1))


def same_in_parts(whole: list[Samples], parts: list[list[Samples]], *names: str) -> None:
    """Iterations of all blocks against those of several ranks: bit for bit."""
    for iteration, together in enumerate(whole):
        for name in names:
            joined: Any = np.concatenate([getattr(part[iteration], name) for part in parts])
            np.testing.assert_array_equal(joined, getattr(together, name))
        for name in ("accepted", "proposed"):
            assert sum(getattr(part[iteration], name) for part in parts) == getattr(together, name)
