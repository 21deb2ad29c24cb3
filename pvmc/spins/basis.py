"""The configurations of N spins, enumerated: all of them, or those of one magnetisation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pvmc.errors import InputError

MAX_SITES = 24
"""Most spins that are enumerated: 2^24 configurations are 400 MB of int8."""


@dataclass(frozen=True, eq=False)
class Basis:
    """Configurations of N spins in ascending order of their labels.

    The label of a configuration is the integer whose bit i is set where s_i = -1: site 0 is the least significant
    bit and the state of all spins up is number 0, as in Kronecker products of Pauli matrices with site 0 last.

    Attributes:
        n_sites: number of spins N.
        labels: int64, shape (D,), ascending.
        spins: int8, shape (N, D), entries +-1; column d is the configuration ``labels[d]``.
    """

    n_sites: int
    labels: npt.NDArray[np.int64]
    spins: npt.NDArray[np.int8]

    @classmethod
    def enumerate(cls, n_sites: int, magnetization: int | None = None) -> Basis:
        """All 2^N configurations, or those with sum_i s_i = ``magnetization``.

        Raises:
            InputError: more than MAX_SITES spins, or no configuration has this magnetisation.
        """
        if not 1 <= n_sites <= MAX_SITES:
            raise InputError(f"enumeration of all configurations: needs 1 to {MAX_SITES} sites, not {n_sites}")
        labels = np.arange(2**n_sites, dtype=np.int64)
        if magnetization is not None:
            if abs(magnetization) > n_sites or (n_sites - magnetization) % 2:
                raise InputError(f"no configuration of {n_sites} spins +-1 sums to {magnetization}")
            labels = labels[np.bitwise_count(labels) == (n_sites - magnetization) // 2]
        spins = np.empty((n_sites, len(labels)), dtype=np.int8)
        for site in range(n_sites):
            spins[site] = 1 - 2 * ((labels >> site) & 1)
        return cls(n_sites, labels, spins)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def is_complete(self) -> bool:
        """True where all 2^N configurations are members."""
        return len(self) == 2**self.n_sites

    def index(self, labels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Positions in the basis of the configurations with these labels, any shape; -1 where it is not a member."""
        if self.is_complete:
            return labels  # every label is its own position
        position = np.minimum(np.searchsorted(self.labels, labels), len(self.labels) - 1)
        return np.where(self.labels[position] == labels, position, -1)

    def labels_of(self, spins: npt.NDArray[np.int8]) -> npt.NDArray[np.int64]:
        """Labels, int64 (L,), of configurations, int8 (N, L)."""
        weights = np.int64(1) << np.arange(self.n_sites, dtype=np.int64)
        return weights @ (spins < 0).astype(np.int64)
