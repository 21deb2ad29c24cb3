"""Sums of Pauli strings, written down as a physicist writes them: ``0.5 * X(0) * X(1) - Z(2)``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import inf, prod

import numpy as np
import numpy.typing as npt

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


ROUNDING = 1e-14
"""A merged coefficient, or the real or imaginary part of one, is zero when below this times its summands' moduli."""


class PauliSum:
    """A linear combination of Pauli strings; equal strings are merged and zero coefficients dropped.

    Zero is meant up to the rounding of the sum: ``0.1 * X(0) + 0.2 * X(0) - 0.3 * X(0)`` has no terms.

    Attributes:
        terms: coefficient of each string.
    """

    __slots__ = ("terms",)

    def __init__(self, terms: Mapping[Pauli, complex] | Iterable[tuple[Pauli, complex]] = ()):
        merged: dict[Pauli, complex] = {}
        moduli: dict[Pauli, float] = {}
        for string, coefficient in terms.items() if isinstance(terms, Mapping) else terms:
            merged[string] = merged.get(string, 0.0) + coefficient
            moduli[string] = moduli.get(string, 0.0) + abs(coefficient)
        cleaned = {string: _without_rounding(c, ROUNDING * moduli[string]) for string, c in merged.items()}
        self.terms: dict[Pauli, complex] = {string: c for string, c in cleaned.items() if c != 0}

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
        return " + ".join(f"{c} {label(string)}" for string, c in self.terms.items())

    def is_hermitian(self) -> bool:
        """Whether every coefficient is real (Pauli strings are Hermitian and linearly independent)."""
        return all(complex(c).imag == 0 for c in self.terms.values())

    def adjoint(self) -> PauliSum:
        """The Hermitian conjugate: every coefficient conjugated."""
        return PauliSum({string: complex(c).conjugate() for string, c in self.terms.items()})

    def permuted(self, permutation: Sequence[int]) -> PauliSum:
        """The operator with every site i put at permutation[i]."""
        moved = (
            (tuple(sorted((int(permutation[site]), letter) for site, letter in string)), c)
            for string, c in self.terms.items()
        )
        return PauliSum(moved)

    def is_close(self, other: PauliSum, tolerance: float = 1e-10) -> bool:
        """Whether no coefficient differs by more than the tolerance times the largest one of this sum."""
        scale = max((abs(c) for c in self.terms.values()), default=0.0)
        return all(abs(c) <= tolerance * scale for c in (self - other).terms.values())

    def turned_about_z(self, signs: Sequence[int]) -> PauliSum:
        """U^+ H U with U a turn by pi about z of every spin whose sign is -1: X -> -X and Y -> -Y there, Z stays.

        On one of two sublattices this is the Marshall sign rotation: U is diagonal, so that the eigenvalues and all
        probabilities stay, and for an unfrustrated antiferromagnet the ground state becomes positive (Marshall,
        Proc. R. Soc. A 232, 48 (1955)).

        Args:
            signs: +1 or -1 for every site.
        """

        def sign(string: Pauli) -> int:
            return prod(int(signs[site]) for site, letter in string if letter != "Z")

        return PauliSum({string: sign(string) * c for string, c in self.terms.items()})


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
    coefficients: list[float] = np.asarray(strengths, dtype=np.float64).tolist()
    return PauliSum.total(c * _single(site, letter) for site, c in enumerate(coefficients))


def pair_sum(letters: str, pairs: npt.NDArray[np.int64], strengths: npt.ArrayLike) -> PauliSum:
    """sum_(ij) c_ij P_i Q_j over pairs (n, 2) of different sites, for two letters PQ; one strength or one a pair."""
    coefficients = np.broadcast_to(np.asarray(strengths, dtype=np.float64), len(pairs)).tolist()

    def string(i: int, j: int) -> Pauli:
        return ((i, letters[0]), (j, letters[1])) if i < j else ((j, letters[1]), (i, letters[0]))

    return PauliSum((string(i, j), c) for (i, j), c in zip(pairs.tolist(), coefficients, strict=True))


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
