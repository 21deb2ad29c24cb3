"""The observables of a measurement: their names on the command line, what they are made of, where they are stored."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pvmc.config import KeyProblem
from pvmc.errors import InputError
from pvmc.hamiltonians import Operator, PauliSum
from pvmc.hamiltonians.terms import PatternSpec, TermsSpec
from pvmc.io.measurement import Estimate
from pvmc.lattice import Lattice, LatticeError
from pvmc.measurement.comparison import FIDELITY
from pvmc.measurement.entropies import RENYI
from pvmc.measurement.frame import frame_signs
from pvmc.measurement.operators import OperatorValues, PairValues, SiteValues
from pvmc.measurement.overlap import OVERLAP, is_small
from pvmc.measurement.spin_correlations import Linear, PairOrbits
from pvmc.numerics.arrays import Floats
from pvmc.vmc.job import Job
from pvmc.wavefunctions.base import WaveFunction

NAMES = ("energy", "magnetization", "correlations", "structure_factor", "staggered", RENYI, OVERLAP)
"""Names on the command line; the energy, its variance and the V-score are measured in any case."""

OPERATOR = "operator:"
"""Begins an observable of the user's own, such as ``operator:bond=Z0 Z1``."""

LETTERS = ("xx", "yy", "zz")

WITH_ARGUMENTS = (OPERATOR, f"{RENYI}:", FIDELITY)
"""Beginnings of names that say more."""

_NAME = re.compile(r"[A-Za-z]\w*(?<!_error)\Z", re.ASCII)  # NAME_error is where the error of NAME is stored
_PLACEHOLDER = re.compile(r"(?:[XYZ+-]|\[)(?P<name>[ij])")


class Values(Protocol):
    """Local values of one kind of observable."""

    @property
    def size(self) -> int:
        """Number of rows."""
        ...

    def __call__(self, psi: WaveFunction, spins: npt.NDArray[np.int8], lookup: Floats) -> Floats:
        """float64 (size, L), for configurations (N, L)."""
        ...


@dataclass(frozen=True)
class Part:
    """Rows of the local values that make one estimate.

    Attributes:
        name: of the dataset.
        length: number of rows; that of the axis where there is one.
        dims: name of the axis; () for a number.
    """

    name: str
    length: int = 1
    dims: tuple[str, ...] = ()


@dataclass(frozen=True)
class Observables:
    """Everything besides the energy that is measured on a configuration.

    Attributes:
        kinds: local values, one after the other.
        parts: the estimates that their rows make, in the same order.
        coordinates: arrays along the axes.
    """

    kinds: tuple[Values, ...]
    parts: tuple[Part, ...]
    coordinates: dict[str, Floats]

    @property
    def size(self) -> int:
        """Number of rows."""
        return sum(part.length for part in self.parts)

    def largest(self, rows: Floats) -> dict[str, float]:
        """The largest entry among the rows of each estimate, by its name, of rows float64 (size,)."""
        return {part.name: float(rows[mine].max()) for part, mine in self._rows()}

    def values(self, psi: WaveFunction, spins: npt.NDArray[np.int8], lookup: Floats) -> Floats:
        """Local values, float64 (size, L), for configurations (N, L)."""
        rows = [kind(psi, spins, lookup) for kind in self.kinds]
        return np.concatenate([np.zeros((0, spins.shape[1])), *rows])

    def estimates(self, means: Floats, errors: Floats) -> dict[str, Estimate]:
        """The estimates by name, from means and errors of all rows, float64 (size,) each."""
        return {
            part.name: Estimate(means[rows], errors[rows], "1", part.dims)
            if part.dims
            else Estimate(float(means[rows][0]), float(errors[rows][0]))
            for part, rows in self._rows()
        }

    def _rows(self) -> Iterator[tuple[Part, slice]]:
        """The parts and which rows are theirs."""
        start = 0
        for part in self.parts:
            yield part, slice(start, start + part.length)
            start += part.length


def names_of(words: Sequence[str], job: Job) -> list[str]:
    """The observables of a command line, each once; without words all that the job has.

    Args:
        words: texts with commas between the observables.
        job: the job.

    Raises:
        InputError: an unknown name.
    """
    names = [name.strip() for word in words for name in word.split(",") if name.strip()]
    for name in names:
        if name not in NAMES and not name.startswith(WITH_ARGUMENTS):
            known = ", ".join(NAMES)
            raise InputError(
                f'--observables: "{name}" is none of {known}, {RENYI}:REGION, {OPERATOR}NAME=EXPRESSION '
                f"and {FIDELITY}[NAME=]RUN"
            )
    return list(dict.fromkeys(names)) or [name for name in NAMES if _has(job, name)]


def choose(names: Sequence[str], job: Job) -> Observables:
    """The observables of these names, of the spins before any Marshall rotation.

    The rotation U is diagonal and turns sublattice B by pi about z: psi = U^+ phi of the Hamiltonian's own frame, so
    that <phi|A|phi> = <psi|U^+ A U|psi>, in which sigma^x and sigma^y of B have changed their signs.

    Raises:
        InputError: an expression that cannot be read, or a lattice without two sublattices.
    """
    lattice, fixed = job.lattice, job.sampler.magnetization is not None
    signs = frame_signs(job)
    kinds: list[Values] = []
    parts: list[Part] = []
    coordinates: dict[str, Floats] = {}
    if "magnetization" in names:
        kinds.append(SiteValues(lattice.n_sites, signs, fixed))
        parts += [Part(f"magnetization_{letter}") for letter in "xyz"]
    pairs = [name for name in ("correlations", "structure_factor", "staggered") if name in names]
    if pairs:
        orbits = PairOrbits.of(lattice)
        kinds.append(_pair_values(orbits, pairs, signs, fixed))
        parts += _pair_parts(orbits, pairs)
        coordinates = _coordinates(orbits, pairs)
    for name, terms in _operators(names, lattice):
        operator = Operator.from_pauli_sum(terms.turned_about_z(signs.astype(int).tolist()), lattice.n_sites)
        kinds.append(OperatorValues(operator, fixed))
        parts.append(Part(f"operator_{name}"))
    return Observables(tuple(kinds), tuple(parts), coordinates)


def _has(job: Job, name: str) -> bool:
    """Whether an observable can be measured at little cost."""
    if name == "staggered":
        return _is_bipartite(job.lattice)
    if name == RENYI:
        return job.lattice.n_sites > 1 and job.sampler.width > 1
    return name != OVERLAP or is_small(job)


def _is_bipartite(lattice: Lattice) -> bool:
    try:
        lattice.sublattices()
    except LatticeError:
        return False
    return True


def _pair_values(orbits: PairOrbits, names: Sequence[str], signs: Floats, fixed: bool) -> PairValues:
    makers = {"correlations": orbits.correlation, "structure_factor": orbits.structure_factor}
    functions = tuple(makers[name]() for name in names if name in makers)
    total: tuple[Linear, ...] = ()
    if "staggered" in names:
        try:
            total = (orbits.staggered(),)
        except LatticeError as error:
            raise InputError(f"--observables staggered: needs a bipartite lattice: {error}") from None
    return PairValues(orbits, functions, total, signs, fixed)


def _pair_parts(orbits: PairOrbits, names: Sequence[str]) -> Iterator[Part]:
    lattice = orbits.lattice
    if "correlations" in names:
        yield from (Part(f"correlation_{letters}", lattice.n_sites, ("displacement",)) for letters in LETTERS)
    if "structure_factor" in names:
        count = len(lattice.momenta())
        yield from (Part(f"structure_factor_{letters}", count, ("momentum",)) for letters in LETTERS)
    if "staggered" in names:
        yield Part("staggered_magnetization_squared")


def _coordinates(orbits: PairOrbits, names: Sequence[str]) -> dict[str, Floats]:
    found: dict[str, Floats] = {}
    if "correlations" in names:
        found["displacement"] = orbits.displacements()
        found["distance"] = np.linalg.norm(found["displacement"], axis=1)
    if "structure_factor" in names:
        found["momentum"] = orbits.lattice.momenta()
    return found


def _operators(names: Sequence[str], lattice: Lattice) -> Iterator[tuple[str, PauliSum]]:
    """Names and operators of the user's own, before any rotation."""
    seen = set()
    for text in names:
        if not text.startswith(OPERATOR):
            continue
        name, equals, expression = text.removeprefix(OPERATOR).partition("=")
        if not equals or not _NAME.match(name.strip()) or not expression.strip():
            raise InputError(f'--observables "{text}": must be {OPERATOR}NAME=EXPRESSION, such as {OPERATOR}bond=Z0 Z1')
        if name.strip() in seen:
            raise InputError(f'--observables "{text}": another operator has this name')
        seen.add(name.strip())
        try:
            yield name.strip(), parse_operator(expression, lattice)
        except (KeyProblem, InputError) as problem:
            raise InputError(f'--observables "{text}": {problem}') from None


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
