"""Observables that are one sum of products of spins: the magnetisation, operators of the user's own, and what
symmetry forces to be zero."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np

from pvmc.config import KeyProblem
from pvmc.errors import InputError
from pvmc.hamiltonians import Operator, PauliSum
from pvmc.hamiltonians.terms import PatternSpec, TermsSpec
from pvmc.io.measurement import Estimate
from pvmc.lattice import Lattice
from pvmc.measurement.observable import Dataset, Frame, LocalValues, Parities, Sample
from pvmc.numerics.arrays import Floats
from pvmc.spins.flips import FlipSets
from pvmc.statistics.thresholds import FORBIDDEN_DEVIATIONS, LARGEST_FORBIDDEN
from pvmc.vmc.job import Job

_NAME = re.compile(r"[A-Za-z]\w*(?<!_error)\Z", re.ASCII)  # NAME_error is where the error of NAME is stored
_PLACEHOLDER = re.compile(r"(?:[XYZ+-]|\[)(?P<name>[ij])")


class Magnetization(LocalValues):
    """Means over the sites of sigma^x, sigma^y and sigma^z."""

    name = "magnetization"
    help = "means of sigma^x, sigma^y and sigma^z over the sites"
    datasets = tuple(Dataset(f"magnetization_{letter}", "mean of sigma over the sites") for letter in "xyz")

    def __init__(self, frame: Frame):
        super().__init__(frame)
        self._flips = FlipSets.from_lists([[site] for site in range(frame.n_sites)])

    def values(self, sample: Sample) -> Floats:
        """float64 (3, L): <s|sigma^x|-s> = 1 and <s|sigma^y|-s> = -i s, times psi(-s) / psi(s)."""
        spins, n_sites, signs = sample.spins, self.frame.n_sites, self.frame.signs
        values = np.zeros((3, spins.shape[1]))
        if not self.frame.fixed:  # else a single flip leads to another magnetisation
            ratios = sample.psi.ratios(spins, sample.lookup, self._flips, np.ones(spins.shape, dtype=np.bool_))
            values[0] = (signs @ ratios.real) / n_sites
            values[1] = (signs @ (spins * ratios.imag)) / n_sites
        values[2] = spins.sum(axis=0, dtype=np.int64) / n_sites
        return values

    def parities(self) -> Mapping[str, Parities]:
        """Those of sigma^x, sigma^y and sigma^z."""
        odd_under = ([False, True, False, True], [True, True, True, False], [False, False, True, True])
        return {one.name: np.array([row]) for one, row in zip(self.stored, odd_under, strict=True)}


class OwnOperator(LocalValues):
    """An operator of the user's own.

    Args:
        frame: the spins, and the frame of the Hamiltonian.
        name: of the operator.
        terms: the operator, of the spins before any rotation.
    """

    name = "operator"
    help = "an operator of your own, stored as `operator_NAME`"
    argument = "NAME=EXPRESSION"
    examples = ("operator:bond=0.25 Xi Xj; 0.25 Zi Zj",)
    needs_argument = True
    datasets = (Dataset("operator_NAME", "an operator of the user's own"),)

    def __init__(self, frame: Frame, name: str, terms: PauliSum):
        super().__init__(frame)
        self.stored = (Dataset(f"operator_{name}", self.datasets[0].description),)
        turned = terms.turned_about_z(frame.signs.astype(int).tolist())
        self.operator = Operator.from_pauli_sum(turned, frame.n_sites)

    @classmethod
    def create(cls, arguments: Sequence[str], frame: Frame) -> Iterator[Self]:
        """One for each of the expressions.

        Raises:
            InputError: an expression that cannot be read, or a name given twice.
        """
        seen = set()
        for argument in arguments:
            text = f"{cls.name}:{argument}"
            name, equals, expression = argument.partition("=")
            name = name.strip()
            if not equals or not _NAME.match(name) or not expression.strip():
                example = f"{cls.name}:bond=Z0 Z1"
                raise InputError(f'--observables "{text}": must be {cls.name}:{cls.argument}, such as {example}')
            if name in seen:
                raise InputError(f'--observables "{text}": another operator has this name')
            seen.add(name)
            try:
                yield cls(frame, name, parse_operator(expression, frame.lattice))
            except (KeyProblem, InputError) as problem:
                raise InputError(f'--observables "{text}": {problem}') from None

    def values(self, sample: Sample) -> Floats:
        """Real parts of the local values, float64 (1, L)."""
        operator, spins = self.operator, sample.spins
        values = operator.diagonal(spins)
        if len(operator.flips):
            amplitudes = operator.amplitudes(spins)
            wanted = amplitudes != 0
            if self.frame.fixed:  # flips that keep the magnetisation alone
                flips = operator.flips
                wanted &= np.add.reduceat(spins[flips.sites].astype(np.int64), flips.offsets[:-1], axis=0) == 0
            ratios = sample.psi.ratios(spins, sample.lookup, operator.flips, wanted)
            # (n_flips, L) x (n_flips, L) -> (L,)
            values = values + np.einsum("kl,kl->l", amplitudes, ratios).real
        return np.asarray(values[np.newaxis], dtype=np.float64)

    def parities(self) -> Mapping[str, Parities]:
        """Those of the operator."""
        return {self.stored[0].name: odd(self.operator)}


def parse_operator(expression: str, lattice: Lattice) -> PauliSum:
    """A sum of products of spin operators, written as those of ``hamiltonian.model = "terms"``, with ; between them.

    A product with the placeholders i and j runs over all nearest neighbours, one with i alone over all sites; a number
    before a product is its coefficient: ``0.5 Xi Xj; -1 Z0``.

    Raises:
        KeyProblem: a product that cannot be read, or a sum that is not Hermitian.
    """
    terms: list[tuple[float | str, str]] = []
    patterns: list[PatternSpec] = []
    for product in expression.split(";"):
        coefficient, operator = _split(product.strip())
        if _PLACEHOLDER.search(operator):
            patterns.append(PatternSpec(coefficient=coefficient, operator=operator))
        else:
            terms.append((coefficient, operator))
    return TermsSpec(model="terms", terms=terms, patterns=patterns).written(lattice)


def _split(product: str) -> tuple[float | str, str]:
    """Coefficient and operator of a product; 1 where it has no number."""
    first, _, rest = product.partition(" ")
    try:
        complex(first)
    except ValueError:
        return 1.0, product
    return first, rest.strip()


# What symmetry forces to zero -----------------------------------------------------------------------------------------

SYMMETRIES = {
    "reality": "H is real",
    "Z": "H commutes with the product of all sigma^z",
    "X": "H commutes with the product of all sigma^x",
    "Y": "H commutes with the product of all sigma^y",
}
"""Each symmetry in words."""


def odd(operator: Operator) -> Parities:
    """Under which of the symmetries each Pauli string of an operator is odd, bool (n_strings, 4), in their order.

    A string with n_X, n_Y and n_Z letters is odd under complex conjugation where n_Y is, under the product of all
    sigma^z where n_X + n_Y is, of all sigma^x where n_Y + n_Z is, and of all sigma^y where n_X + n_Z is.
    """
    imaginary, flipped, signs = operator.letter_parities()
    return np.stack([imaginary, flipped, signs, flipped ^ signs], axis=1)


def forced_to_zero(job: Job, parities: Mapping[str, Parities], found: Mapping[str, Estimate]) -> list[str]:
    """Estimates that are zero in every nondegenerate level of the Hamiltonian, and here are not, a text for each.

    Args:
        job: the job of the measurement.
        parities: of the observables that are one sum of Pauli strings, by dataset.
        found: the estimates.
    """
    broken = np.any(odd(job.operator), axis=0)
    kept = [not bool(one) for one in np.atleast_1d(broken)]
    if job.sampler.magnetization:  # these two lead to the opposite magnetisation
        kept[2:] = [False, False]
    texts = []
    for name, strings in parities.items():
        estimate = found.get(name)
        if estimate is None or not len(strings):
            continue
        all_odd = [bool(column.all()) for column in strings.T]
        both = [holds and is_odd for holds, is_odd in zip(kept, all_odd, strict=True)]
        reasons = [why for why, forces in zip(SYMMETRIES.values(), both, strict=True) if forces]
        value, error = float(estimate.value), float(estimate.error)
        resolved = math.isfinite(error) and abs(value) > max(LARGEST_FORBIDDEN, FORBIDDEN_DEVIATIONS * error)
        if reasons and resolved:
            number = f"{name} = {value:.2g} +- {error:.1g}"
            texts.append(f"{number}, but it is zero where the level is not degenerate: {reasons[0]}")
    return texts


def advice(texts: list[str], config: Mapping[str, Any]) -> str:
    """One line about such estimates, with the key to change."""
    weights = 'ansatz.weights = "real", ' if config.get("weights") == "complex" else ""
    return f"{'; '.join(texts)}; {weights}more run.iterations or a smaller sr.learning_rate may help"
