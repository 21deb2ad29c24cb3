"""Products of spin operators as text, such as ``Z0 Z1``, ``Xi Xj`` or ``Z[i-1] Xi Z[i+1]``.

A factor is an operator and a place.  Operators are X, Y, Z, S+ and S- (the last two raise and lower a spin by one,
``pvmc.hamiltonians.pauli.raising``), and I stands for the identity.  Places are site numbers, or the placeholders i and
j, with an offset in brackets.  Factors stand one after the other, or with ``*`` between them, and are multiplied in
this order: X0 Z0 is -i Y0.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

from pvmc.hamiltonians.pauli import PauliSum, X, Y, Z, lowering, raising

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
