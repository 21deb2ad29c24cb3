"""Sums of Pauli strings, written down as a physicist writes them: ``0.5 * X(0) * X(1) - Z(2)``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

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

    Attributes:
        terms: coefficient of each string.
    """

    __slots__ = ("terms",)

    def __init__(self, terms: Mapping[Pauli, complex] | Iterable[tuple[Pauli, complex]] = ()):
        merged: dict[Pauli, complex] = {}
        for string, coefficient in terms.items() if isinstance(terms, Mapping) else terms:
            merged[string] = merged.get(string, 0.0) + coefficient
        self.terms: dict[Pauli, complex] = {string: c for string, c in merged.items() if c != 0}

    @classmethod
    def total(cls, summands: Iterable[PauliSum]) -> PauliSum:
        """The sum of many sums in one pass (linear in the number of terms)."""
        return cls(term for summand in summands for term in summand.terms.items())

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
        other = _as_sum(other)
        return PauliSum(
            _times(left, right, a * b) for left, a in self.terms.items() for right, b in other.terms.items()
        )

    def __rmul__(self, other: complex) -> PauliSum:
        return _as_sum(other) * self

    def __truediv__(self, other: complex) -> PauliSum:
        return self * (1.0 / other)

    def __repr__(self) -> str:
        if not self.terms:
            return "PauliSum(0)"
        return " + ".join(f"{c} {' '.join(f'{p}{i}' for i, p in string) or 'I'}" for string, c in self.terms.items())

    def is_hermitian(self) -> bool:
        """Whether every coefficient is real (Pauli strings are Hermitian and linearly independent)."""
        return all(complex(c).imag == 0 for c in self.terms.values())


def X(site: int) -> PauliSum:
    """sigma^x on a site."""
    return _single(site, "X")


def Y(site: int) -> PauliSum:
    """sigma^y on a site."""
    return _single(site, "Y")


def Z(site: int) -> PauliSum:
    """sigma^z on a site."""
    return _single(site, "Z")


def _single(site: int, letter: str) -> PauliSum:
    string: Pauli = ((site, letter),)
    return PauliSum({string: 1.0})


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
