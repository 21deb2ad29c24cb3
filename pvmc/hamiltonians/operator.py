"""A Hamiltonian compiled for the sigma^z basis: a diagonal part, and groups of flipped sites with amplitudes.

A Pauli string with coefficient c acts on a row s as one matrix element: with X the sites carrying X or Y, and V
those carrying Y or Z,

    <s| c P |s'> = c (-i)^{n_Y} prod_{i in V} s_i      for s' = s flipped on X, and 0 otherwise,

because <s|sigma^x|-s> = 1, <s|sigma^y|-s> = -i s and <s|sigma^z|s> = s.  Strings that share X form one group, so
a configuration has one connected configuration per group however many strings there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from math import isfinite
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pvmc.errors import InputError
from pvmc.flips import FlipSets
from pvmc.hamiltonians.pauli import ROUNDING, PauliSum, label
from pvmc.kernels import kernel

Integers: TypeAlias = npt.NDArray[np.int64]
Numbers: TypeAlias = npt.NDArray[Any]
"""float64 or complex128."""


@dataclass(frozen=True)
class SpinProducts:
    """Groups of terms c * prod_{i in V} s_i, stored flat; the amplitude of a group is the sum of its terms.

    Attributes:
        group_offsets: int64 (n_groups + 1,), range of terms of each group.
        coefficients: float64 or complex128 (n_terms,).
        site_offsets: int64 (n_terms + 1,), range of sites of each term.
        sites: int64 (site_offsets[-1],).
    """

    group_offsets: Integers
    coefficients: Numbers
    site_offsets: Integers
    sites: Integers

    @classmethod
    def build(cls, groups: Sequence[Sequence[tuple[Sequence[int], complex]]]) -> SpinProducts:
        """From groups of (sites, coefficient) terms; real when no coefficient has an imaginary part."""
        terms = [term for group in groups for term in group]
        coefficients = np.array([c for _, c in terms], dtype=np.complex128)
        return cls(
            _offsets([len(group) for group in groups]),
            coefficients if np.any(coefficients.imag) else np.ascontiguousarray(coefficients.real),
            _offsets([len(sites) for sites, _ in terms]),
            np.array([site for sites, _ in terms for site in sites], dtype=np.int64),
        )

    def evaluate(self, spins: npt.NDArray[np.int8]) -> Numbers:
        """Amplitudes, shape (n_groups, L), of configurations of shape (N, L)."""
        out = np.zeros((len(self.group_offsets) - 1, spins.shape[1]), dtype=self.coefficients.dtype)
        _add_spin_products(self.group_offsets, self.coefficients, self.site_offsets, self.sites, spins, out)
        return out


@dataclass(frozen=True)
class Operator:
    """A Hermitian operator on N spins, ready for local energies and for sparse matrices.

    Row s of the matrix is ``diagonal(s)`` at s and ``amplitudes(s)[k]`` at s flipped on ``flips[k]``.

    Attributes:
        n_sites: number of spins N.
        flips: the sets of sites that some term flips, in ascending order.
    """

    n_sites: int
    flips: FlipSets
    _diagonal: SpinProducts
    _amplitudes: SpinProducts

    @classmethod
    def from_pauli_sum(cls, terms: PauliSum, n_sites: int) -> Operator:
        """Compile a sum of Pauli strings.

        Raises:
            InputError: a coefficient is not real (the operator is not Hermitian) or a site is out of range.
        """
        groups: dict[tuple[int, ...], dict[tuple[int, ...], complex]] = {}
        for string, coefficient in terms.terms.items():
            if complex(coefficient).imag != 0:
                raise InputError(
                    f"term {coefficient} {label(string)}: not Hermitian; coefficients of Pauli strings must be real"
                )
            if not isfinite(complex(coefficient).real):
                raise InputError(f"term {coefficient} {label(string)}: coefficients must be finite")
            if any(not 0 <= site < n_sites for site, _ in string):
                raise InputError(f"term {label(string)}: sites must be 0 to {n_sites - 1}")
            flipped = tuple(site for site, letter in string if letter in "XY")
            signs = tuple(site for site, letter in string if letter in "YZ")
            n_y = sum(letter == "Y" for _, letter in string)
            group = groups.setdefault(flipped, {})
            group[signs] = group.get(signs, 0.0) + complex(coefficient).real * (1, -1j, -1, 1j)[n_y % 4]
        diagonal = list(groups.pop((), {}).items())
        flipped_sets = sorted(groups)
        return cls(
            n_sites,
            FlipSets.from_lists(flipped_sets),
            SpinProducts.build([diagonal]),
            SpinProducts.build([list(groups[sites].items()) for sites in flipped_sets]),
        )

    @property
    def dtype(self) -> np.dtype[Any]:
        """float64 when the matrix is real in the sigma^z basis, complex128 otherwise."""
        return self._amplitudes.coefficients.dtype

    @property
    def is_real(self) -> bool:
        """Whether the matrix is real in the sigma^z basis."""
        return self.dtype == np.float64

    @property
    def amplitude_terms(self) -> SpinProducts:
        """The terms of the amplitudes, a group for each set of ``flips``."""
        return self._amplitudes

    @property
    def infinite_temperature_energy(self) -> float:
        """E_inf = Tr H / dim, the coefficient of the identity."""
        lengths = np.diff(self._diagonal.site_offsets)
        return float(self._diagonal.coefficients[lengths == 0].real.sum())

    @property
    def diagonal_products(self) -> SpinProducts:
        """The diagonal elements: one group of products of spins."""
        return self._diagonal

    @property
    def amplitude_products(self) -> SpinProducts:
        """The amplitudes: a group of products of spins for each of ``flips``."""
        return self._amplitudes

    @cached_property
    def radius(self) -> float:
        """Bound on half the width of the spectrum: the sum of |c_P| over the Pauli strings P but the identity."""
        lengths = np.diff(self._diagonal.site_offsets)
        diagonal = float(np.abs(self._diagonal.coefficients[lengths > 0]).sum())
        return diagonal + float(np.abs(self._amplitudes.coefficients).sum())

    @cached_property
    def conserves_magnetization(self) -> bool:
        """Whether every non-zero matrix element keeps sum_i s_i; exact for any operator, nothing is enumerated.

        Flipping the set X changes the magnetisation by -2 sum_{i in X} s_i, so that H conserves it when the
        amplitude H_X(s) vanishes wherever this sum does not.  Both are polynomials in the spins with s_i^2 = 1, in
        which products of spins are linearly independent: their product must vanish, coefficient by coefficient.
        """
        terms = self._amplitudes
        offsets, sites = terms.site_offsets.tolist(), terms.sites.tolist()
        products = [sum(1 << site for site in sites[a:b]) for a, b in pairwise(offsets)]  # a bit for every spin
        coefficients = terms.coefficients.tolist()
        return all(
            _vanishes_off_balance(products[a:b], coefficients[a:b], self.flips[k].tolist())
            for k, (a, b) in enumerate(pairwise(terms.group_offsets.tolist()))
        )

    def turned_about_z(self, signs: npt.NDArray[np.int8]) -> Operator:
        """The operator after :meth:`PauliSum.turned_about_z`: the amplitude of a set changes its sign with the set's.

        Args:
            signs: +1 or -1 for every site, (N,).
        """
        terms = self._amplitudes
        factors = np.repeat(self.flips.products(signs), np.diff(terms.group_offsets))
        return replace(self, _amplitudes=replace(terms, coefficients=terms.coefficients * factors))

    def diagonal(self, spins: npt.NDArray[np.int8]) -> npt.NDArray[np.float64]:
        """Diagonal elements <s|H|s>, float64 (L,), of configurations (N, L)."""
        return self._diagonal.evaluate(spins)[0]

    def amplitudes(self, spins: npt.NDArray[np.int8]) -> Numbers:
        """Matrix elements H[s, s'], shape (n_flips, L), with s' = s flipped on each set of ``flips``."""
        return self._amplitudes.evaluate(spins)


def _vanishes_off_balance(products: Sequence[int], coefficients: Sequence[complex], flipped: Sequence[int]) -> bool:
    """Whether  sum_t c_t prod_t(s)  vanishes for all spins s whose sum over the flipped sites is not 0.

    Args:
        products: for each term the spins that it multiplies, as bits of an integer.
        coefficients: c_t.
        flipped: the flipped sites.
    """
    total: dict[int, complex] = {}
    moduli: dict[int, float] = {}
    for spins, coefficient in zip(products, coefficients, strict=True):
        for site in flipped:
            product = spins ^ (1 << site)  # s_i^2 = 1
            total[product] = total.get(product, 0.0) + coefficient
            moduli[product] = moduli.get(product, 0.0) + abs(coefficient)
    return all(abs(value) <= ROUNDING * moduli[product] for product, value in total.items())


def _offsets(lengths: Sequence[int]) -> npt.NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(np.asarray(lengths, dtype=np.int64))]).astype(np.int64)


@kernel
def _add_spin_products(
    group_offsets: Integers,
    coefficients: Numbers,
    site_offsets: Integers,
    sites: Integers,
    spins: npt.NDArray[np.int8],
    out: Numbers,
) -> None:
    n_walkers = spins.shape[1]
    product = np.empty(n_walkers)
    for group in range(len(group_offsets) - 1):
        for term in range(group_offsets[group], group_offsets[group + 1]):
            product[:] = 1.0
            for position in range(site_offsets[term], site_offsets[term + 1]):
                site = sites[position]
                for walker in range(n_walkers):
                    product[walker] *= spins[site, walker]
            coefficient = coefficients[term]
            for walker in range(n_walkers):
                out[group, walker] += coefficient * product[walker]
