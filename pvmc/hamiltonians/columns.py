"""Many Pauli strings in arrays side by side: long-range models have more of them than dictionaries can hold quickly."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import inf
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pvmc.numerics.arrays import Booleans, Floats, Integers

Complexes: TypeAlias = npt.NDArray[np.complex128]

LETTERS = "IXYZ"
"""A letter's number is its place here."""

X, Y, Z = 1, 2, 3

ROUNDING = 1e-14
"""A merged coefficient, or the real or imaginary part of one, is zero when below this times its summands' moduli."""


@dataclass(frozen=True)
class RaggedRows:
    """Rows of integers of different lengths, stored flat: row k is ``values[offsets[k]:offsets[k + 1]]``.

    Attributes:
        offsets: int64 (n + 1,).
        values: int64 (offsets[-1],).
    """

    offsets: Integers
    values: Integers

    @classmethod
    def of_lengths(cls, lengths: Integers, values: Integers) -> RaggedRows:
        """Rows of the given lengths, (n,)."""
        offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
        np.cumsum(lengths, out=offsets[1:])
        return cls(offsets, values)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def lengths(self) -> Integers:
        """Length of each row, int64 (n,)."""
        return np.diff(self.offsets)

    @cached_property
    def row_of_value(self) -> Integers:
        """The row that each value stands in, int64 like ``values``."""
        return np.repeat(np.arange(len(self), dtype=np.int64), self.lengths)

    def taken(self, rows: Integers) -> RaggedRows:
        """The given rows, in their order."""
        lengths = self.lengths[rows]
        taken = RaggedRows.of_lengths(lengths, np.empty(0, dtype=np.int64))
        within = np.arange(taken.offsets[-1]) - np.repeat(taken.offsets[:-1], lengths)
        return RaggedRows(taken.offsets, self.values[np.repeat(self.offsets[rows], lengths) + within])

    def kept(self, mask: Booleans) -> RaggedRows:
        """The rows with only those values for which the mask, like ``values``, is true."""
        lengths = np.bincount(self.row_of_value[mask], minlength=len(self))
        return RaggedRows.of_lengths(lengths, self.values[mask])

    def ascending(self) -> RaggedRows:
        """The rows with the values of each in ascending order."""
        values = self.values.copy()
        for length in np.unique(self.lengths).tolist():
            if length > 1:
                places = self.offsets[:-1][self.lengths == length][:, np.newaxis] + np.arange(length)
                values[places] = np.sort(values[places], axis=1)
        return RaggedRows(self.offsets, values)

    def count(self, mask: Booleans) -> Integers:
        """In how many places of each row the mask, like ``values``, is true; int64 (n,)."""
        return np.bincount(self.row_of_value[mask], minlength=len(self))

    def ranks(self) -> Integers:
        """Number of each row in lexicographic order, int64 (n,): equal rows have the same, an empty row has 0.

        Values are taken from the last to the first, as many at a time as fit into 62 bits beside the rank of what
        follows them, and ranked by sorting.
        """
        n, lengths, values = len(self), self.lengths, self.values
        ranks = np.zeros(n, dtype=np.int64)
        if not len(values):
            return ranks
        if values.min() < 0 or values.max() >= 2**30:
            values = np.unique(values, return_inverse=True)[1].astype(np.int64)
        base = int(values.max()) + 2  # 0 stands for the end of a row
        at_once = max(1, int((62 - np.log2(n + 1)) // np.log2(base)))
        for start in range((int(lengths.max()) - 1) // at_once * at_once, -1, -at_once):
            rows = np.flatnonzero(lengths > start)
            keys = np.zeros(len(rows), dtype=np.int64)
            for column in range(start, start + at_once):
                keys *= base
                there = lengths[rows] > column
                keys[there] += values[self.offsets[rows[there]] + column] + 1
            keys = keys * (n + 1) + ranks[rows]
            ranks[rows] = np.unique(keys, return_inverse=True)[1] + 1
        return ranks


@dataclass(frozen=True)
class Columns:
    """Pauli strings with their coefficients.

    Attributes:
        strings: a row of codes 4 * site + letter for each string, ascending.
        coefficients: complex128 (n,).
    """

    strings: RaggedRows
    coefficients: Complexes

    @classmethod
    def concatenated(cls, parts: list[Columns]) -> Columns:
        """All strings of several, one after the other."""
        lengths = np.concatenate([part.strings.lengths for part in parts])
        values = np.concatenate([part.strings.values for part in parts])
        return cls(RaggedRows.of_lengths(lengths, values), np.concatenate([part.coefficients for part in parts]))

    def __len__(self) -> int:
        return len(self.strings)

    @property
    def sites(self) -> Integers:
        """The site of each code."""
        return self.strings.values >> 2

    @property
    def letters(self) -> Integers:
        """The letter of each code, 1 to 3."""
        return self.strings.values & 3

    def merged(self) -> Columns:
        """Equal strings added up in the place of the first, without what is zero up to the rounding of its sum."""
        ranks = self.strings.ranks()
        first = np.full(ranks.max(initial=-1) + 1, -1, dtype=np.int64)
        first[ranks[::-1]] = np.arange(len(self), dtype=np.int64)[::-1]
        places = np.sort(first[first >= 0])
        chosen = ranks[places]
        real, imaginary, moduli = (
            np.bincount(ranks, weights=part)[chosen]
            for part in (self.coefficients.real, self.coefficients.imag, np.abs(self.coefficients))
        )
        total = np.empty(len(places), dtype=np.complex128)
        total.real, total.imag = _kept(real, ROUNDING * moduli), _kept(imaginary, ROUNDING * moduli)
        some = np.flatnonzero(total != 0)
        return Columns(self.strings.taken(places[some]), total[some])


def _kept(values: Floats, thresholds: Floats) -> Floats:
    """The values, 0 for those of at most their threshold; what is not finite stays, to be refused later."""
    return np.where((np.abs(values) <= thresholds) & (thresholds < inf), 0.0, values)
