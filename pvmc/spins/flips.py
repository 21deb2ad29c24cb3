"""Sets of sites flipped together: the common language of Hamiltonians, moves and wave functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class FlipSets:
    """A list of sets of sites, stored flat (compressed rows).

    Set ``k`` holds ``sites[offsets[k]:offsets[k + 1]]``; applying it to a configuration s flips the sign of
    those spins.  Sites within a set are distinct and ascending; no set is empty.

    Attributes:
        offsets: int64, shape (n_sets + 1,).
        sites: int64, shape (offsets[-1],).
    """

    offsets: npt.NDArray[np.int64]
    sites: npt.NDArray[np.int64]

    @classmethod
    def from_lists(cls, sets: Iterable[Sequence[int]]) -> FlipSets:
        """Build from an iterable of site lists, each sorted here.

        Raises:
            ValueError: a set is empty or names a site twice.
        """
        rows = [sorted(int(site) for site in row) for row in sets]
        for row in rows:
            if not row or len(set(row)) != len(row):
                raise ValueError(f"a flip set needs distinct sites and at least one, got {row}")
        offsets = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum([len(row) for row in rows], out=offsets[1:])
        return cls(offsets, np.array([site for row in rows for site in row], dtype=np.int64))

    @classmethod
    def of_equal_size(cls, rows: npt.NDArray[np.int64]) -> FlipSets:
        """The rows (n_sets, k) as sets, each sorted here; the sites within a row must be distinct."""
        n_sets, size = rows.shape
        return cls(np.arange(n_sets + 1, dtype=np.int64) * size, np.sort(rows, axis=1).ravel())

    @classmethod
    def joined(cls, parts: Sequence[FlipSets]) -> FlipSets:
        """The sets of several lists, one list after the other."""
        lengths = np.concatenate([np.zeros(1, dtype=np.int64), *(np.diff(part.offsets) for part in parts)])
        return cls(np.cumsum(lengths), np.concatenate([lengths[:0], *(part.sites for part in parts)]))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, k: int) -> npt.NDArray[np.int64]:
        return self.sites[self.offsets[k] : self.offsets[k + 1]]

    def products(self, signs: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
        """Product over each set of the signs +-1 of its sites, int8 (n_sets,).

        Args:
            signs: of every site, (N,).
        """
        if not len(self):
            return np.ones(0, dtype=np.int8)
        return np.multiply.reduceat(signs[self.sites].astype(np.int8), self.offsets[:-1])

    @property
    def largest(self) -> int:
        """Number of sites of the largest set; 0 when there is none."""
        return int(np.diff(self.offsets).max(initial=0))
