"""A Hamiltonian written down in the input: single terms, patterns over the lattice, and a file of terms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from pvmc.config import KeyProblem, Section, shown
from pvmc.hamiltonians.geometry import bonds_by_direction, is_chain, is_ring, oriented_bonds
from pvmc.hamiltonians.interchange import is_label, label_product, openfermion_terms
from pvmc.hamiltonians.operator import Operator
from pvmc.hamiltonians.pauli import Factor, PauliSum, TermError, label, multiply, parse_coefficient, parse_factors
from pvmc.hamiltonians.rotation import MarshallModel
from pvmc.lattice import Lattice, LatticeError

LARGEST_DEVIATION = 0.01
"""Degrees by which the direction of a pattern may differ from that of its bonds."""

Coefficient = float | str
"""A number, or text such as "0.5j" for a complex one."""

Term = Annotated[tuple[Coefficient, str], Field(strict=False)]  # not strict: TOML has lists, not tuples


Bond = Annotated[tuple[int, int], Field(strict=False)]


class PatternSpec(Section):
    """One product of spin operators, repeated over all bonds (placeholders i and j) or all sites (i alone)."""

    coefficient: Coefficient = 1.0
    """coefficient of every copy; text such as "0.5j" for a complex one"""
    operator: str
    """product of X, Y, Z, S+, S- at i and j, such as "Xi Xj" or "Zi"; on chains also "Z[i-1] Xi Z[i+1]\""""
    shell: int = Field(default=1, ge=1)
    """neighbour shell of the bonds i j (1: nearest)"""
    direction: float | None = Field(default=None, ge=0.0, lt=180.0)
    """angle to the x axis, in degrees, of the nearest neighbours i j that are taken; default: all"""
    bonds: list[Bond] | None = None
    """bonds [i, j] to take in place of a shell's, each from i to j, without the couplings of the lattice"""

    @property
    def choosing(self) -> list[str]:
        """The keys by which the pattern says which bonds it takes, where that is not all nearest neighbours."""
        given = {"shell": self.shell != 1, "direction": self.direction is not None, "bonds": self.bonds is not None}
        return [key for key, is_given in given.items() if is_given]


class TermsSpec(MarshallModel):
    """H = the sum of all terms, patterns and lines of the file.

    Coefficients may be complex where the sum is Hermitian.  Bonds i j of a pattern point along the positive axes (on a
    ring from i to i + 1), those of a graph without positions as its edges are listed; that matters for products that
    are not symmetric, such as "Xi Yj".
    """

    needs_bonds = False

    model: Literal["terms"]
    """a sum of products of Pauli matrices"""
    terms: list[Term] = []
    """single terms, such as [[-1.0, "Z0 Z1"], [0.5, "X2"]]"""
    patterns: list[PatternSpec] = []
    """products repeated over the lattice, such as [{coefficient = 1.0, operator = "Xi Xj", shell = 1}]"""
    file: str | None = None
    """text file with a term a line, such as "-1.0 Z0 Z1" or, with a letter for every site, "-1.0 IIZZ" (as Qiskit),
    or in OpenFermion's form, "-1.0 [Z0 Z1] +"; comments after #; relative to the working directory"""
    unit: str = Field(default="J", min_length=1)
    """name of the energy unit, for tables and figures"""

    def written(self, lattice: Lattice) -> PauliSum:
        """The operator on a lattice.

        Raises:
            KeyProblem: names the term that cannot be read, lies outside the lattice or makes the sum not Hermitian.
        """
        written = [*self._single_terms(), *self._file_terms(), *self._pattern_terms(lattice)]
        if not written:
            raise KeyProblem("hamiltonian.terms", [], "no terms; give some here, as hamiltonian.patterns or in a file")
        parts = [(term, term.build(lattice)) for term in written]
        total = PauliSum.total(part for _, part in parts)
        _require_hermitian(total, parts)
        return total

    def without_file(self) -> TermsSpec:
        """The same Hamiltonian with the lines of the file as terms, so that it does not depend on the file."""
        lines = [(term.coefficient, term.operator) for term in self._file_terms()]
        return self.model_copy(update={"terms": [*self.terms, *lines], "file": None})

    def resolved(self, lattice: Lattice, operator: Operator, symmetries: Iterable[str] | None = None) -> TermsSpec:
        """The Hamiltonian without its file, and with its turn chosen, see :meth:`MarshallModel.resolved`."""
        return super().resolved(lattice, operator, symmetries).without_file()

    @property
    def energy_unit(self) -> str:
        """Unit of the energies."""
        return self.unit

    def _single_terms(self) -> Iterator[_Written]:
        for number, (coefficient, operator) in enumerate(self.terms, start=1):
            yield _Written("hamiltonian.terms", [coefficient, operator], f"term {number}", coefficient, operator)

    def _file_terms(self) -> Iterator[_Written]:
        lines = [line.partition("#")[0].strip() for line in self._lines()]
        if any("[" in line for line in lines) or "".join(lines) == "0":
            yield from self._openfermion_terms("\n".join(lines))
            return
        for number, content in enumerate(lines, start=1):
            if content:
                coefficient, _, operator = content.partition(" ")
                operator, length = operator.strip(), 0
                if is_label(operator):
                    operator, length = label_product(operator), len(operator)
                place = f'line {number}, "{content}"'
                yield _Written("hamiltonian.file", self.file, place, coefficient, operator, label_length=length)

    def _openfermion_terms(self, text: str) -> Iterator[_Written]:
        try:
            for number, (coefficient, operator) in enumerate(openfermion_terms(text), start=1):
                place = f'term {number}, "{operator}"'
                value = coefficient.real if coefficient.imag == 0 else str(coefficient)
                yield _Written("hamiltonian.file", self.file, place, value, operator)
        except TermError as error:
            raise KeyProblem("hamiltonian.file", self.file, str(error)) from None

    def _lines(self) -> list[str]:
        if self.file is None:
            return []
        try:
            return Path(self.file).read_text(encoding="utf-8-sig").replace("\t", " ").splitlines()
        except OSError as error:
            raise KeyProblem("hamiltonian.file", self.file, f"cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise KeyProblem("hamiltonian.file", self.file, "must be UTF-8 text") from None

    def _pattern_terms(self, lattice: Lattice) -> Iterator[_Written]:
        for number, pattern in enumerate(self.patterns, start=1):
            coefficient, operator, place = pattern.coefficient, pattern.operator, f"pattern {number}"
            yield _Written("hamiltonian.patterns", pattern, place, coefficient, operator, pattern)


@dataclass(frozen=True)
class _Written:
    """One term or pattern as the user wrote it, with what is needed to name it in a message.

    Attributes:
        key: dotted key that it came from.
        value: what to show as its value.
        place: which one of the key's terms it is, in words.
        coefficient: as written.
        operator: as written.
        pattern: which bonds it runs over; None for a single term.
        label_length: letters of the label that it was written as; 0 where it was none.
    """

    key: str
    value: object
    place: str
    coefficient: Coefficient
    operator: str
    pattern: PatternSpec | None = None
    label_length: int = 0

    def build(self, lattice: Lattice) -> PauliSum:
        """The operator; raises KeyProblem."""
        if self.label_length not in (0, lattice.n_sites):
            raise self.problem(f"a label of {self.label_length} letters; this lattice has {lattice.n_sites} sites")
        try:
            factors, coefficient = parse_factors(self.operator), parse_coefficient(self.coefficient)
            copies = self._copies(factors, lattice)
            sites = [_sites(factors, places, lattice) for places, _ in copies]
        except (TermError, LatticeError) as error:
            raise self.problem(str(error)) from None
        return PauliSum.total(
            multiply(weight * coefficient, factors, found)
            for (_, weight), found in zip(copies, sites, strict=True)
            if found is not None
        )

    def problem(self, text: str) -> KeyProblem:
        """The error that names this term."""
        return KeyProblem(self.key, self.value, f"{self.place}: {text}")

    def _copies(self, factors: Sequence[Factor], lattice: Lattice) -> list[tuple[dict[str, int], float]]:
        """The values that the placeholders take and the factor of the lattice, for each copy of the product."""
        placeholders = {factor.placeholder for factor in factors} - {""}
        pattern = self.pattern
        if pattern is None:
            if placeholders:
                raise TermError("placeholders i and j belong into hamiltonian.patterns; name sites by their numbers")
            return [({}, 1.0)]
        if "i" not in placeholders:
            raise TermError("a pattern needs the placeholder i for sites, or i and j for bonds")
        if "j" not in placeholders:
            if pattern.choosing:
                key, value = pattern.choosing[0], shown(getattr(pattern, pattern.choosing[0]))
                raise TermError(f"{key} = {value} needs the placeholders i and j; this pattern runs over sites")
            return [({"i": site}, 1.0) for site in range(lattice.n_sites)]
        symmetric = _on_bond(factors, 0, 1) == _on_bond(factors, 1, 0)
        bonds, couplings = _bonds(pattern, lattice, symmetric)
        return [({"i": i, "j": j}, weight) for (i, j), weight in zip(bonds, couplings, strict=True)]


def _bonds(pattern: PatternSpec, lattice: Lattice, symmetric: bool) -> tuple[list[list[int]], list[float]]:
    """The bonds of a pattern, oriented unless the product is symmetric, and their couplings.

    Raises:
        TermError: keys that exclude each other, a bond that is none, or no bond in this direction.
        LatticeError: no such shell, or bonds without orientation.
    """
    if pattern.bonds is not None:
        if len(pattern.choosing) > 1:
            raise TermError("bonds stand in place of shell and direction: leave those out")
        for i, j in pattern.bonds:
            if i == j or not (0 <= i < lattice.n_sites and 0 <= j < lattice.n_sites):
                raise TermError(f"bond [{i}, {j}] does not join two of the sites 0 to {lattice.n_sites - 1}")
        return [list(bond) for bond in pattern.bonds], [1.0] * len(pattern.bonds)
    if len(lattice.bonds()) == 0:
        raise TermError("this lattice has no bonds; give it lattice.edges, or bonds to the pattern")
    if pattern.direction is not None:
        if pattern.shell != 1:
            raise TermError("direction is one of nearest neighbours: leave out shell")
        groups = bonds_by_direction(lattice)
        for angle, bonds, couplings in groups:
            if abs(angle - pattern.direction) < LARGEST_DEVIATION:
                return bonds.tolist(), couplings.tolist()
        angles = ", ".join(f"{angle:g}" for angle, _, _ in groups)
        raise TermError(f"direction = {pattern.direction:g}: the bonds lie at {angles} degrees")
    bonds = lattice.bonds(pattern.shell) if symmetric else oriented_bonds(lattice, pattern.shell)
    return bonds.tolist(), lattice.couplings(pattern.shell).tolist()


def _on_bond(factors: Sequence[Factor], i: int, j: int) -> dict[tuple[tuple[int, str], ...], complex]:
    """The terms of a product with two sites put in; offsets and numbered sites are kept apart from both."""
    places = {"i": 2**40 * (i + 1), "j": 2**40 * (j + 1)}  # far from each other and from every numbered site
    return multiply(1.0, factors, [factor.site(places) for factor in factors]).terms


def _sites(factors: Sequence[Factor], places: Mapping[str, int], lattice: Lattice) -> list[int] | None:
    """The sites of the factors; None for a copy that reaches over the end of an open chain."""
    if any(factor.placeholder and factor.number for factor in factors) and not is_chain(lattice):
        raise TermError("offsets such as [i+1] need a chain; use placeholders i and j and a shell")
    sites = [factor.site(places) for factor in factors]
    for factor, site in zip(factors, sites, strict=True):
        if not factor.placeholder and site >= lattice.n_sites:
            raise TermError(f"{factor.operator}{site} lies outside the lattice; sites are 0 to {lattice.n_sites - 1}")
    if is_ring(lattice):
        return [site % lattice.n_sites for site in sites]
    return sites if all(0 <= site < lattice.n_sites for site in sites) else None


def _require_hermitian(total: PauliSum, parts: Sequence[tuple[_Written, PauliSum]]) -> None:
    """Raise KeyProblem for the first written term that gives a string of the sum an imaginary coefficient."""
    for string, coefficient in total.terms.items():
        if complex(coefficient).imag == 0:
            continue
        for written, part in parts:
            if complex(part.terms.get(string, 0.0)).imag != 0:
                raise written.problem(
                    f"the sum of all terms is not Hermitian: it holds {coefficient:g} {label(string)}, "
                    "and coefficients of Pauli strings must be real"
                )
