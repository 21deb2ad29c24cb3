"""Couplings and fields: uniform, site by site or random; their range, and the unit that they give to energies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from pydantic import Field

from pvmc.config import KeyProblem, KeyProblems, Section
from pvmc.hamiltonians.pauli import PauliSum, label
from pvmc.numerics.arrays import Floats


class RandomField(Section):
    """Independent values, uniform in [mean - width, mean + width], from a seed of their own."""

    seed: int = Field(ge=0, lt=2**63)
    """seed of the realisation; fields of the same seed draw the same numbers"""
    width: float = Field(ge=0.0)
    """largest deviation from the mean"""
    mean: float = 0.0
    """centre of the distribution"""

    def values(self, n_sites: int) -> Floats:
        """One realisation, float64 (N,); the first values do not depend on N."""
        uniform = np.random.Generator(np.random.PCG64(self.seed)).random(n_sites)
        return self.mean + self.width * (2 * uniform - 1)


SiteField = float | list[float] | RandomField
"""A number (uniform), a list of one number per site, or a table with seed and width."""


def site_values(field: SiteField, n_sites: int, key: str) -> Floats:
    """The value at every site, float64 (N,).

    Args:
        field: as configured.
        n_sites: N.
        key: the key that it came from, for messages.

    Raises:
        KeyProblem: a list of another length than N.
    """
    if isinstance(field, RandomField):
        return field.values(n_sites)
    if isinstance(field, list):
        if len(field) != n_sites:
            raise KeyProblem(key, field, f"has {len(field)} values, must have one for each of the {n_sites} sites")
        return np.array(field, dtype=np.float64)
    return np.full(n_sites, float(field))


def is_zero(field: SiteField) -> bool:
    """True where the field vanishes on every site."""
    if isinstance(field, RandomField):
        return field.mean == 0 and field.width == 0
    return not np.any(field)


def energy_unit(symbol: str, coupling: SiteField, operators: str = "") -> str:
    """The unit of the numbers that a model gives, which are in the unit in which its coupling is given.

    Energies are never divided by the coupling: at J = 4 they are in units of J/4, at J = -1 in units of |J|.

    Args:
        symbol: of the coupling, such as "J".
        coupling: its value; where there is no single one, or it is zero, the symbol alone stands for the unit.
        operators: what it multiplies, such as "S.S".
    """
    remark = f" ({operators})" if operators else ""
    if not isinstance(coupling, float | int) or coupling in (0.0, 1.0):
        return symbol + remark
    size = symbol if coupling > 0 else f"|{symbol}|"
    return f"{size}{remark}" if abs(coupling) == 1.0 else f"{size}/{abs(coupling):g}{remark}"


SMALLEST, LARGEST = 1e-60, 1e60
"""Moduli of couplings that are not zero; fourth powers of energies, as in the error of a variance, stay finite."""


def check_numbers(section: Section, key: str) -> None:
    """Check every number of a section, in its tables and lists as well.

    Args:
        section: of the input.
        key: its dotted key.

    Raises:
        KeyProblem: a number is neither zero nor within the range.
        KeyProblems: several are not.
    """
    wrong = {key: value for key, value in _numbers(section, key) if not _is_within(value)}
    problems = [KeyProblem(key, value, f"must be 0 or {_RANGE}") for key, value in wrong.items()]
    if len(problems) > 1:
        raise KeyProblems(problems)
    if problems:
        raise problems[0]


def check_terms(terms: PauliSum, model: str) -> None:
    """Check the largest of the coefficients that couplings, edges and lines of files have come to together.

    Small ones may stand beside it, such as the far tail of a power law.

    Raises:
        KeyProblem: it is not within the range.
    """
    for string, value in terms.largest.terms.items():
        if not _is_within(abs(value)):
            what = f"the largest coefficient, of {label(string)}, is {value:g}; couplings, those of lattice.edges and"
            raise KeyProblem("hamiltonian.model", model, f"{what} lines of files must be 0 or {_RANGE}")


_RANGE = f"of modulus {SMALLEST:g} to {LARGEST:g}"


def _is_within(value: float) -> bool:
    return value == 0 or SMALLEST <= abs(value) <= LARGEST


def _numbers(value: Any, key: str) -> Iterator[tuple[str, float]]:
    """The numbers in a value, by the dotted keys of the tables that they are in."""
    if isinstance(value, float):
        yield key, value
    elif isinstance(value, Section):
        for name in type(value).model_fields:
            yield from _numbers(getattr(value, name), f"{key}.{name}")
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _numbers(item, key)
