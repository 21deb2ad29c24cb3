"""Sums of Pauli strings, written down as a physicist writes them: ``0.5 * X(0) * X(1) - Z(2)``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import inf, isfinite

import numpy as np
import numpy.typing as npt

from pvmc.hamiltonians.columns import LETTERS, Columns, RaggedRows
from pvmc.hamiltonians.columns import ROUNDING as ROUNDING
from pvmc.hamiltonians.columns import Z as Z_NUMBER

Pauli = tuple[tuple[int, str], ...]
"""A Pauli string: (site, letter) pairs in ascending order of sites, letters among X, Y, Z; () is the identity."""

_PRODUCT: dict[tuple[str, str], tuple[complex, str]] = {
    ("X", "Y"): (1j, "Z"),
    ("Y", "Z"): (1j, "X"),
    ("Z", "X"): (1j, "Y"),
    ("Y", "X"): (-1j, "Z"),
    ("Z", "Y"): (-1j, "X"),
    ("X", "Z"): (-1j, "Y"),
}


class PauliSum:
    """A linear combination of Pauli strings; equal strings are merged and zero coefficients dropped.

    Zero is meant up to the rounding of the sum: ``0.1 * X(0) + 0.2 * X(0) - 0.3 * X(0)`` has no terms.

    Sums of single strings are kept as a dictionary, those of whole lists of sites or pairs as arrays; either is made of
    the other when it is asked for.
    """

    __slots__ = ("_columns", "_terms")

    def __init__(self, terms: Mapping[Pauli, complex] | Iterable[tuple[Pauli, complex]] = ()):
        merged: dict[Pauli, complex] = {}
        moduli: dict[Pauli, float] = {}
        for string, coefficient in terms.items() if isinstance(terms, Mapping) else terms:
            merged[string] = merged.get(string, 0.0) + coefficient
            moduli[string] = moduli.get(string, 0.0) + abs(coefficient)
        cleaned = {string: _without_rounding(c, ROUNDING * moduli[string]) for string, c in merged.items()}
        self._terms: dict[Pauli, complex] | None = {string: c for string, c in cleaned.items() if c != 0}
        self._columns: Columns | None = None

    @classmethod
    def of_columns(cls, columns: Columns) -> PauliSum:
        """The sum of strings in arrays, all of them different, without zeros: what :meth:`Columns.merged` gives."""
        new = cls.__new__(cls)
        new._terms, new._columns = None, columns
        return new

    @property
    def terms(self) -> dict[Pauli, complex]:
        """Coefficient of each string, float where it is real, in the order of their first occurrence."""
        if self._terms is None:
            assert self._columns is not None
            self._terms = _as_dictionary(self._columns)
        return self._terms

    @property
    def columns(self) -> Columns:
        """The same in arrays."""
        if self._columns is None:
            assert self._terms is not None
            self._columns = _as_columns(self._terms)
        return self._columns

    @classmethod
    def total(cls, summands: Iterable[PauliSum]) -> PauliSum:
        """The sum of many sums in one pass (linear in the number of terms, up to a sort)."""
        parts = list(summands)
        if all(part._terms is not None for part in parts):
            return cls(term for part in parts for term in part.terms.items())
        columns = [part.columns for part in parts if len(part.columns)]
        if len(columns) == 1:
            return cls.of_columns(columns[0])
        return cls.of_columns(Columns.concatenated(columns).merged()) if columns else cls()

    @property
    def identity(self) -> complex:
        """Coefficient of the identity."""
        where = np.flatnonzero(self.columns.strings.lengths == 0)
        return complex(self.columns.coefficients[where[0]]) if len(where) else 0j

    @property
    def largest(self) -> PauliSum:
        """The first string of those with the largest coefficient, alone; no string of a sum without terms."""
        columns = self.columns
        rows = np.array([np.abs(columns.coefficients).argmax()] if len(columns) else [], dtype=np.int64)
        return PauliSum.of_columns(Columns(columns.strings.taken(rows), columns.coefficients[rows]))

    @property
    def moduli(self) -> npt.NDArray[np.float64]:
        """Absolute coefficients of all strings but the identity."""
        return np.abs(self.columns.coefficients[self.columns.strings.lengths > 0])

    def __add__(self, other: PauliSum | complex) -> PauliSum:
        return PauliSum.total((self, _as_sum(other)))

    __radd__ = __add__

    def __neg__(self) -> PauliSum:
        return self * -1.0

    def __sub__(self, other: PauliSum | complex) -> PauliSum:
        return self + (-_as_sum(other))

    def __rsub__(self, other: complex) -> PauliSum:
        return _as_sum(other) - self

    def __mul__(self, other: PauliSum | complex) -> PauliSum:
        if not isinstance(other, PauliSum) and self._terms is None:
            return self._scaled(complex(other))
        other = _as_sum(other)
        return PauliSum(
            _times(left, right, a * b) for left, a in self.terms.items() for right, b in other.terms.items()
        )

    def _scaled(self, factor: complex) -> PauliSum:
        coefficients = self.columns.coefficients * (factor if factor.imag else factor.real)
        return PauliSum.of_columns(Columns(self.columns.strings, coefficients).merged())

    def __rmul__(self, other: complex) -> PauliSum:
        return _as_sum(other) * self

    def __truediv__(self, other: complex) -> PauliSum:
        return self * (1.0 / other)

    def __repr__(self) -> str:
        if not self.terms:
            return "PauliSum(0)"
        return " + ".join(f"{c} {label(string)}" for string, c in self.terms.items())

    def is_hermitian(self) -> bool:
        """True where every coefficient is real (Pauli strings are Hermitian and linearly independent)."""
        return all(complex(c).imag == 0 for c in self.terms.values())

    def adjoint(self) -> PauliSum:
        """The Hermitian conjugate: every coefficient conjugated."""
        return PauliSum({string: complex(c).conjugate() for string, c in self.terms.items()})

    def permuted(self, permutation: Sequence[int]) -> PauliSum:
        """The operator with every site i put at permutation[i]."""
        codes = 4 * np.asarray(permutation, dtype=np.int64)[self.columns.sites] + self.columns.letters
        strings = RaggedRows(self.columns.strings.offsets, codes).ascending()
        return PauliSum.of_columns(Columns(strings, self.columns.coefficients))

    def is_close(self, other: PauliSum, tolerance: float = 1e-10) -> bool:
        """True where no coefficient differs by more than the tolerance times the largest one of this sum."""
        mine, theirs = self.columns, other.columns
        ranks = Columns.concatenated([mine, theirs]).strings.ranks()
        coefficients = np.concatenate([mine.coefficients, -theirs.coefficients])
        real, imaginary = (np.bincount(ranks, weights=part) for part in (coefficients.real, coefficients.imag))
        scale = float(np.abs(mine.coefficients).max(initial=0.0))
        return bool(np.all(np.hypot(real, imaginary) <= tolerance * scale))

    def turned_about_z(self, signs: Sequence[int]) -> PauliSum:
        """U^+ H U with U a turn by pi about z of every spin whose sign is -1: X -> -X and Y -> -Y there, Z stays.

        On one of two sublattices this is the Marshall sign rotation: U is diagonal, so that the eigenvalues and all
        probabilities stay, and for an unfrustrated antiferromagnet the ground state becomes positive (Marshall,
        Proc. R. Soc. A 232, 48 (1955)).

        Args:
            signs: +1 or -1 for every site.
        """
        columns = self.columns
        turned = (columns.letters != Z_NUMBER) & (np.asarray(signs)[columns.sites] < 0)
        odd = columns.strings.count(turned) % 2 == 1
        return PauliSum.of_columns(Columns(columns.strings, np.where(odd, -columns.coefficients, columns.coefficients)))


def X(site: int) -> PauliSum:
    """sigma^x on a site."""
    return _single(site, "X")


def Y(site: int) -> PauliSum:
    """sigma^y on a site."""
    return _single(site, "Y")


def Z(site: int) -> PauliSum:
    """sigma^z on a site."""
    return _single(site, "Z")


def site_sum(letter: str, strengths: npt.ArrayLike) -> PauliSum:
    """sum_i c_i P_i for one letter P and a strength for every site, (N,)."""
    values = np.asarray(strengths, dtype=np.float64)
    codes = 4 * np.arange(len(values), dtype=np.int64) + LETTERS.index(letter)
    return _of_equal_lengths(codes[:, np.newaxis], values)


def pair_sum(letters: str, pairs: npt.NDArray[np.int64], strengths: npt.ArrayLike) -> PauliSum:
    """sum_(ij) c_ij P_i Q_j over pairs (n, 2) of different sites, for two letters PQ; one strength or one a pair."""
    values = np.broadcast_to(np.asarray(strengths, dtype=np.float64), len(pairs))
    codes = 4 * np.asarray(pairs, dtype=np.int64) + [LETTERS.index(letter) for letter in letters]
    return _of_equal_lengths(np.sort(codes.reshape(-1, 2), axis=1), values)


def raising(site: int) -> PauliSum:
    """sigma^+ = (sigma^x + i sigma^y) / 2: turns s = -1 into s = +1; its adjoint is :func:`lowering`."""
    return 0.5 * X(site) + 0.5j * Y(site)


def lowering(site: int) -> PauliSum:
    """sigma^- = (sigma^x - i sigma^y) / 2: turns s = +1 into s = -1."""
    return 0.5 * X(site) - 0.5j * Y(site)


def label(string: Pauli) -> str:
    """A string as text, such as ``X0 Z3``; ``I`` for the identity."""
    return " ".join(f"{letter}{site}" for site, letter in string) or "I"


def _single(site: int, letter: str) -> PauliSum:
    string: Pauli = ((site, letter),)
    return PauliSum({string: 1.0})


def _of_equal_lengths(codes: npt.NDArray[np.int64], coefficients: npt.NDArray[np.float64]) -> PauliSum:
    """Strings of the same number of letters, as rows of codes (n, k) in ascending order, with coefficients (n,)."""
    offsets = np.arange(len(codes) + 1, dtype=np.int64) * codes.shape[1]
    return PauliSum.of_columns(Columns(RaggedRows(offsets, codes.ravel()), coefficients.astype(np.complex128)).merged())


def _as_dictionary(columns: Columns) -> dict[Pauli, complex]:
    letters = zip(columns.sites.tolist(), [LETTERS[k] for k in columns.letters.tolist()], strict=True)
    coefficients: list[complex] = [c if c.imag else c.real for c in columns.coefficients.tolist()]
    return {
        tuple(islice(letters, length)): c
        for length, c in zip(columns.strings.lengths.tolist(), coefficients, strict=True)
    }


def _as_columns(terms: Mapping[Pauli, complex]) -> Columns:
    codes = [4 * site + LETTERS.index(letter) for string in terms for site, letter in string]
    strings = RaggedRows.of_lengths(
        np.array([len(string) for string in terms], dtype=np.int64), np.array(codes, dtype=np.int64)
    )
    return Columns(strings, np.array(list(terms.values()), dtype=np.complex128))


def _without_rounding(value: complex, threshold: float) -> complex:
    """The value, with a real or imaginary part of at most the threshold set to zero; real values become floats."""
    imaginary = _kept(value.imag, threshold)
    return complex(_kept(value.real, threshold), imaginary) if imaginary != 0 else _kept(value.real, threshold)


def _kept(value: float, threshold: float) -> float:
    return 0.0 if abs(value) <= threshold < inf else value  # what is not finite stays, to be refused later


def _as_sum(value: PauliSum | complex) -> PauliSum:
    identity: Pauli = ()
    return value if isinstance(value, PauliSum) else PauliSum({identity: value})


def _times(left: Pauli, right: Pauli, coefficient: complex) -> tuple[Pauli, complex]:
    letters = dict(left)
    for site, letter in right:
        mine = letters.pop(site, None)
        if mine is None:
            letters[site] = letter
        elif mine != letter:
            phase, letters[site] = _PRODUCT[mine, letter]
            coefficient = coefficient * phase
    return tuple(sorted(letters.items())), coefficient


OPERATORS: dict[str, Callable[[int], PauliSum]] = {"X": X, "Y": Y, "Z": Z, "S+": raising, "S-": lowering}

_FACTOR = re.compile(
    r"(?P<operator>[XYZ]|S[+-])(?:(?P<site>\d{1,9})|(?P<name>[ij])|\[(?P<inner>[ij])(?P<offset>[+-]\d{1,9})?\])"
)


class TermError(ValueError):
    """A text that is no product of spin operators, or no coefficient; the message says what is wrong."""


@dataclass(frozen=True)
class Factor:
    """One operator and its place.

    Attributes:
        operator: a key of :data:`OPERATORS`.
        placeholder: "i" or "j"; "" for a site that is named by its number.
        number: the site, or the offset from the placeholder.
    """

    operator: str
    placeholder: str
    number: int

    def site(self, places: Mapping[str, int]) -> int:
        """The site where the placeholders have these values."""
        return self.number + (places[self.placeholder] if self.placeholder else 0)


def parse_factors(text: str) -> tuple[Factor, ...]:
    """The factors of a product in their order; none for the identity ``I``.

    Raises:
        TermError: names the word that cannot be read.
    """
    words = text.replace("*", " ").split()
    if not words:
        raise TermError('is empty; write a product such as "Z0 Z1", or "I" for the identity')
    return tuple(_factor(word) for word in words if word != "I")


def parse_coefficient(value: float | str) -> complex:
    """A coefficient, given as a number or as text such as ``0.5j`` or ``1-0.5j``.

    Raises:
        TermError: the text is no number, or not a finite one.
    """
    try:
        number = complex(value)
    except ValueError:
        raise TermError(f'coefficient "{value}" is not a number such as 0.5, 0.5j or 1-0.5j') from None
    if not (isfinite(number.real) and isfinite(number.imag)):
        raise TermError(f'coefficient "{value}" is not finite')
    return number


def multiply(coefficient: complex, factors: Sequence[Factor], sites: Sequence[int]) -> PauliSum:
    """The coefficient times the factors at these sites, multiplied in their order."""
    product = PauliSum([((), coefficient)])
    for factor, site in zip(factors, sites, strict=True):
        product = product * OPERATORS[factor.operator](site)
    return product


def _factor(word: str) -> Factor:
    match = _FACTOR.fullmatch(word)
    if match is None:
        raise TermError(f'"{word}" is not an operator X, Y, Z, S+ or S- with a site, such as Z0')
    if match["site"] is not None:
        return Factor(match["operator"], "", int(match["site"]))
    return Factor(match["operator"], match["name"] or match["inner"], int(match["offset"] or 0))
