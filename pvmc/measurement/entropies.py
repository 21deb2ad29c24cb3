"""Renyi-2 entropies of regions of the lattice, as a tally of a measurement."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pvmc.errors import InputError
from pvmc.exact import Basis
from pvmc.io.measurement import Estimate
from pvmc.measurement.observable import Findings, Tally, exact_estimate
from pvmc.measurement.renyi import Renyi2, region, renyi2_of_vector
from pvmc.mpi import Communicator
from pvmc.numerics.arrays import Integers
from pvmc.sampler import Draw
from pvmc.statistics.thresholds import LARGEST_SWAP_ERROR
from pvmc.wavefunctions.base import WaveFunction

RENYI = "renyi2"
"""The observable on the command line, alone or as ``renyi2:REGION``; name of the estimate."""

LENGTHS = "lengths"
"""Stands for the first 1, 2, ..., N/2 sites, one region after the other."""

_RANGE = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?\Z", re.ASCII)

MOST_IN_WORDS = 4
"""Regions that a warning names one by one."""


def parse_regions(text: str, n_sites: int) -> list[Integers]:
    """The regions of an observable ``renyi2``, each the ascending numbers of its sites, int64 (n,).

    Args:
        text: nothing for the first half of the sites, ``lengths``, or sites and ranges with spaces, such as "0-3 8".
        n_sites: N.

    Raises:
        InputError: what is no region, is empty, or is the whole lattice, whose entropy is 0.
    """
    text = text.strip()
    if not text or text == LENGTHS:
        half = n_sites // 2
        if not half:
            raise InputError("one site alone has no entanglement")
        return [np.arange(length) for length in (range(1, half + 1) if text else [half])]
    sites: list[int] = []
    for word in text.split():
        numbers = _RANGE.match(word)
        if not numbers:
            raise InputError(f'"{word}" is no site and no range of sites: must be such as 0-3 8, or {LENGTHS}')
        first, last = int(numbers[1]), int(numbers[2] or numbers[1])
        if not first <= last < n_sites:
            raise InputError(f'"{word}": sites are numbered from 0 to {n_sites - 1}, ranges from low to high')
        sites += range(first, last + 1)
    found = region(sites, n_sites)
    if not 0 < len(found) < n_sites:
        raise InputError(f"a region has 1 to {n_sites - 1} sites, not {len(found)}")
    return [found]


class Entropies(Tally):
    """S_2 of some regions, from the same pairs of walkers.

    Args:
        regions: sites of each region.
        n_sites: N.
        n_blocks: blocks of walkers on this rank.
        width: L, walkers in a block.
        magnetization: sum_i s_i that is sampled, or None.

    Raises:
        InputError: blocks of one walker, which has no other to be paired with.
    """

    name = RENYI

    def __init__(self, regions: Sequence[Integers], n_sites: int, n_blocks: int, width: int, magnetization: int | None):
        self.regions = list(regions)
        mask = np.zeros((len(self.regions), n_sites), dtype=np.int8)
        for row, sites in zip(mask, self.regions, strict=True):
            row[sites] = 1
        self.coordinates = {"region_size": mask.sum(axis=1, dtype=np.int64), "region_sites": mask}
        self._sums = [
            Renyi2(n_blocks, width, n_sites, sites.tolist(), magnetization=magnetization) for sites in self.regions
        ]

    def add(self, psi: WaveFunction, draw: Draw) -> None:
        """Add a draw of one block; ln psi of its configurations serves all regions."""
        log_psi = psi.log_psi(draw.spins)
        for sums in self._sums:
            sums.add(psi, draw, log_psi=log_psi)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """The sums of all regions, along the second axis: one array of each kind, so that few have to be gathered."""
        states = [sums.state() for sums in self._sums]
        return {key: np.stack([one[key] for one in states], axis=1) for key in states[0]}

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from a state of this rank's blocks."""
        for number, sums in enumerate(self._sums):
            sums.restore({key: array[:, number] for key, array in state.items()})

    def findings(self, comm: Communicator) -> Findings:
        """Collective.  The entropies in nats, (n_regions,)."""
        found = [sums.estimate(comm) for sums in self._sums]
        values, errors = (np.array([getattr(one, name) for one in found]) for name in ("value", "error"))
        doubtful = [sites for one, sites in zip(found, self.regions, strict=True) if not one.reliable]
        return Findings({RENYI: Estimate(values, errors, "1", ("region",))}, _doubts(doubtful))

    def of_vector(self, vector: npt.NDArray[np.complex128], basis: Basis) -> dict[str, Estimate]:
        """The entropies of a state of few spins."""
        values = np.array([renyi2_of_vector(vector, basis, sites.tolist()) for sites in self.regions])
        return {RENYI: exact_estimate(values, ("region",))}


def _doubts(regions: Sequence[Integers]) -> dict[str, str]:
    if not regions:
        return {}
    several = ", ".join(str(len(sites)) for sites in regions[:MOST_IN_WORDS])
    more = ", ..." if len(regions) > MOST_IN_WORDS else ""
    return {
        RENYI: f"the purity of regions of {several}{more} sites is known to no better than "
        f"{LARGEST_SWAP_ERROR:.0%}: their entropies are too large, and so uncertain as to be of no use; "
        "measure longer"
    }
