"""The range of couplings: beyond it energies, their squares and their products leave the range of float64."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pvmc.config import KeyProblem, KeyProblems, Section
from pvmc.hamiltonians.pauli import PauliSum, label

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
