"""The product of wave functions, such as an RBM times a Jastrow factor:  ln psi = sum of the factors' ln psi.

Parameters are those of the factors one after the other, all complex or all real; look-ups are stacked.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from pvmc.config import KeyProblem, inside_key
from pvmc.numerics.arrays import Floats, Numbers, Spins
from pvmc.wavefunctions.base import Ansatz, Blocks, Factors
from pvmc.wavefunctions.composite import Composite, Part
from pvmc.wavefunctions.factors import factor_rows_of, factors_of
from pvmc.wavefunctions.fallback import require_finite
from pvmc.wavefunctions.projection.quantum_numbers import Lattice
from pvmc.wavefunctions.section import AnsatzSection, refuse_start
from pvmc.wavefunctions.symmetry import SymmetryGroup, claimed_symmetry

if TYPE_CHECKING:
    from pvmc.wavefunctions import AnsatzSpec


class ProductSpec(AnsatzSection):
    """Product of other wave functions."""

    kind: Literal["product"]
    """Product."""
    factors: list[AnsatzSpec] = Field(min_length=2)
    """The factors, each a table like this one; all with complex or all with real parameters."""

    def build(self, lattice: Lattice) -> Product:
        """The product on a lattice.

        Raises:
            KeyProblem: a factor cannot be built, or real and complex parameters are mixed.
        """
        built: list[Ansatz] = []
        for i, factor in enumerate(self.factors):
            with inside_key("ansatz", f"ansatz.factors[{i}]"):
                refuse_start(factor, "ansatz")
                built.append(factor.build(lattice))
        try:
            return Product(built)
        except ValueError as error:
            raise KeyProblem("ansatz.factors", [factor.kind for factor in self.factors], str(error)) from None


class Product:
    """The product of ansaetze as an :class:`pvmc.wavefunctions.base.Ansatz`.

    Attributes:
        factors: the ansaetze multiplied.
        parameter_blocks: those of factor i as "i.name".
        symmetry_group: the symmetries that all factors have; None where one claims none.
    """

    def __init__(self, factors: Sequence[Ansatz]):
        """The product of two or more ansaetze on the same sites.

        Raises:
            ValueError: fewer than two factors, different numbers of sites, or real beside complex parameters.
        """
        if len(factors) < 2 or len({factor.n_sites for factor in factors}) != 1:
            raise ValueError("a product needs two or more factors, all on the same number of sites")
        if len({np.dtype(factor.dtype) for factor in factors}) != 1:
            raise ValueError("a product needs factors with parameters of one kind, all complex or all real")
        self.factors = list(factors)
        self.n_sites = factors[0].n_sites
        self.dtype = np.dtype(factors[0].dtype)
        ends = np.cumsum([factor.n_parameters for factor in factors]).tolist()
        starts = [0, *ends[:-1]]
        self.slices = [slice(start, end) for start, end in zip(starts, ends, strict=True)]
        self.n_parameters = int(ends[-1])
        self.parameter_blocks: Blocks = {
            f"{i}.{name}": (slice(start + part.start, start + part.stop), shape)
            for i, (factor, start) in enumerate(zip(factors, starts, strict=True))
            for name, (part, shape) in factor.parameter_blocks.items()
        }
        groups = [claimed_symmetry(factor) for factor in factors]
        known = [group for group in groups if group is not None]
        self.symmetry_group = reduce(SymmetryGroup.shared, known) if len(known) == len(groups) else None

    @property
    def lookup_size(self) -> int:
        """Q: the look-ups of the factors."""
        return sum(factor.lookup_size for factor in self.factors)

    @property
    def table_bytes(self) -> int:
        """Memory of the tables of the factors."""
        return sum(factor.table_bytes for factor in self.factors)

    @property
    def factor_rows(self) -> int | None:
        """Rows of the factored log-derivatives, where one factor at least counts its own; else None."""
        rows = [factor_rows_of(factor) for factor in self.factors]
        if all(own is None for own in rows):
            return None
        return sum(factor.n_parameters if own is None else own for factor, own in zip(self.factors, rows, strict=True))

    def initial_parameters(self, rng: np.random.Generator) -> Numbers:
        """Those of the factors, drawn one after the other; (K,)."""
        return np.concatenate([factor.initial_parameters(rng) for factor in self.factors])

    def at(self, theta: Numbers) -> ProductState:
        """The wave function at theta, (K,) of ``dtype``; raises NumericalError where a factor does."""
        require_finite(theta, self.n_parameters, self.dtype)
        return ProductState(self, theta)


class ProductState(Composite):
    """A product at fixed parameters, as a :class:`pvmc.wavefunctions.base.WaveFunction`."""

    def __init__(self, ansatz: Product, theta: Numbers):
        self.ansatz = ansatz
        states = [factor.at(theta[part]) for factor, part in zip(ansatz.factors, ansatz.slices, strict=True)]
        self.dtype = np.result_type(*(state.dtype for state in states))
        ends = np.cumsum([factor.lookup_size for factor in ansatz.factors]).tolist()
        self.parts = [
            Part(state, slice(end - factor.lookup_size, end))
            for state, factor, end in zip(states, ansatz.factors, ends, strict=True)
        ]

    def log_psi(self, spins: Spins) -> Numbers:
        """ln psi(s), (L,): the sum over the factors."""
        total: Numbers = sum((part.psi.log_psi(spins) for part in self.parts), np.zeros(spins.shape[1], self.dtype))
        return total

    def combined(self, ratios: Sequence[Numbers], lookup: Floats) -> Numbers:
        """The product of the factors' ratios."""
        return reduce(np.multiply, ratios)

    def log_derivatives(self, spins: Spins, lookup: Floats, out: Numbers | None = None) -> Numbers:
        """O_k, (K, L): those of the factors, one below the other."""
        if out is None:
            out = np.empty((self.ansatz.n_parameters, spins.shape[1]), dtype=self.dtype)
        for part, own in zip(self.parts, self.ansatz.slices, strict=True):
            if part.psi.dtype == self.dtype:
                part.psi.log_derivatives(spins, lookup[part.rows], out=out[own])
            else:
                out[own] = part.psi.log_derivatives(spins, lookup[part.rows])
        return out

    @property
    def has_factors(self) -> bool:
        """Whether the log-derivatives of a part are shorter as factors."""
        return self.ansatz.factor_rows is not None

    def derivative_factors(self, spins: Spins, lookup: Floats) -> Factors:
        """Those of the parts one after the other; plain rows of a part that does not count any (``factor_rows``)."""
        factors: list[tuple[Numbers, ...]] = []
        for part, factor in zip(self.parts, self.ansatz.factors, strict=True):
            own = factors_of(part.psi) if factor_rows_of(factor) is not None else None
            if own is None:
                rows = np.empty((factor.n_parameters, spins.shape[1]), dtype=part.psi.dtype)
                factors.append((part.psi.log_derivatives(spins, lookup[part.rows], out=rows),))
            else:
                factors.extend(own(spins, lookup[part.rows]))
        return factors
