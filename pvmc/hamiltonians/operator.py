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
from typing import Any

import numpy as np
import numpy.typing as npt

from pvmc.errors import InputError
from pvmc.hamiltonians.columns import ROUNDING, Columns, RaggedRows, X, Y, Z
from pvmc.hamiltonians.pauli import PauliSum, label
from pvmc.numerics.arrays import Integers, Numbers
from pvmc.numerics.kernels import kernel
from pvmc.spins.flips import FlipSets

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
    def of_rows(cls, group_lengths: Integers, coefficients: Numbers, products: RaggedRows) -> SpinProducts:
        """Groups of the given numbers of terms, one after the other; real when no coefficient has an imaginary part."""
        real = not np.any(coefficients.imag)
        return cls(
            np.concatenate([[0], np.cumsum(group_lengths)]).astype(np.int64),
            np.ascontiguousarray(coefficients.real) if real else np.asarray(coefficients, dtype=np.complex128),
            products.offsets,
            products.values,
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
        _require_valid(terms, n_sites)
        columns = terms.columns
        strings, letters = columns.strings, columns.letters
        sites = RaggedRows(strings.offsets, columns.sites)
        flipped, signs = sites.kept(letters != Z), sites.kept(letters != X)
        factors = np.array([1, -1j, -1, 1j])[strings.count(letters == Y) % 4]
        coefficients = columns.coefficients.real * factors
        ranks = flipped.ranks()  # groups in lexicographic order of the flipped sites; 0 is the diagonal
        order = np.argsort(ranks, kind="stable")
        diagonal, flipping = order[ranks[order] == 0], order[ranks[order] > 0]
        _, first, lengths = np.unique(ranks[flipping], return_index=True, return_counts=True)
        sets = flipped.taken(flipping[first])
        return cls(
            n_sites,
            FlipSets(sets.offsets, sets.values),
            SpinProducts.of_rows(np.array([len(diagonal)]), coefficients[diagonal], signs.taken(diagonal)),
            SpinProducts.of_rows(lengths, coefficients[flipping], signs.taken(flipping)),
        )

    @property
    def dtype(self) -> np.dtype[Any]:
        """float64 when the matrix is real in the sigma^z basis, complex128 otherwise."""
        return self._amplitudes.coefficients.dtype

    @property
    def is_real(self) -> bool:
        """True where the matrix is real in the sigma^z basis."""
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

    def letter_parities(self) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Of each Pauli string, bool (n_strings,): whether n_Y, n_X + n_Y and n_Y + n_Z are odd."""
        terms = self._amplitudes
        flips = np.diff(self.flips.offsets) % 2 == 1
        flipped = np.repeat(flips, np.diff(terms.group_offsets))
        imaginary = np.asarray(terms.coefficients.imag != 0)
        signs = [np.diff(part.site_offsets) % 2 == 1 for part in (self._diagonal, terms)]
        none = np.zeros(len(signs[0]), dtype=np.bool_)
        return np.concatenate([none, imaginary]), np.concatenate([none, flipped]), np.concatenate(signs)

    @cached_property
    def radius(self) -> float:
        """Bound on half the width of the spectrum: the sum of |c_P| over the Pauli strings P but the identity."""
        lengths = np.diff(self._diagonal.site_offsets)
        diagonal = float(np.abs(self._diagonal.coefficients[lengths > 0]).sum())
        return diagonal + float(np.abs(self._amplitudes.coefficients).sum())

    @cached_property
    def conserves_magnetization(self) -> bool:
        """True where every non-zero matrix element keeps sum_i s_i; exact for any operator, nothing is enumerated.

        Flipping the set X changes the magnetisation by -2 sum_{i in X} s_i, so that H conserves it when the
        amplitude H_X(s) vanishes wherever this sum does not.  Both are polynomials in the spins with s_i^2 = 1, in
        which products of spins are linearly independent: their product must vanish, coefficient by coefficient.
        """
        sizes = np.diff(self.flips.offsets)
        if np.any(sizes % 2):
            return False
        terms = self._amplitudes
        products = RaggedRows(terms.site_offsets, terms.sites)
        groups = np.repeat(np.arange(len(sizes)), np.diff(terms.group_offsets))
        pairs = np.flatnonzero(sizes[groups] == 2)
        ends = self.flips.sites[self.flips.offsets[groups[pairs]][:, np.newaxis] + [0, 1]]
        if not _pairs_vanish_off_balance(products.taken(pairs), terms.coefficients[pairs], groups[pairs], ends):
            return False
        return all(self._set_vanishes_off_balance(k) for k in np.flatnonzero(sizes > 2).tolist())

    def _set_vanishes_off_balance(self, k: int) -> bool:
        """True where the amplitude of flipping set k vanishes wherever its spins do not sum to 0."""
        terms = self._amplitudes
        a, b = terms.group_offsets[k : k + 2].tolist()
        bounds = terms.site_offsets[a : b + 1].tolist()
        products = [sum(1 << site for site in terms.sites[i:j].tolist()) for i, j in pairwise(bounds)]  # bits of spins
        return _vanishes_off_balance(products, terms.coefficients[a:b].tolist(), self.flips[k].tolist())

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


def _require_valid(terms: PauliSum, n_sites: int) -> None:
    """Raise InputError for the first string with a coefficient or a site that no operator on N sites has."""
    columns = terms.columns
    outside = columns.strings.count((columns.sites < 0) | (columns.sites >= n_sites)) > 0
    complex_ones, infinite = columns.coefficients.imag != 0, ~np.isfinite(columns.coefficients.real)
    wrong = np.flatnonzero(outside | complex_ones | infinite)
    if not len(wrong):
        return
    first = Columns(columns.strings.taken(wrong[:1]), columns.coefficients[wrong[:1]])
    (string, coefficient), *_ = PauliSum.of_columns(first).terms.items()
    if complex_ones[wrong[0]]:
        raise InputError(
            f"term {coefficient} {label(string)}: not Hermitian; coefficients of Pauli strings must be real"
        )
    if infinite[wrong[0]]:
        raise InputError(f"term {coefficient} {label(string)}: coefficients must be finite")
    raise InputError(f"term {label(string)}: sites must be 0 to {n_sites - 1}")


def _pairs_vanish_off_balance(products: RaggedRows, coefficients: Numbers, groups: Integers, ends: Integers) -> bool:
    """True where  sum_t c_t prod_t(s)  of each group vanishes for all spins s with s_i = s_j, {i, j} the flipped pair.

    There the product over V is that over V with both i and j put in or taken out, so that the coefficients of V and of
    its partner must cancel.

    Args:
        products: the sites V of each term.
        coefficients: c_t.
        groups: the group of each term.
        ends: i and j for each term, (n, 2).
    """
    at_first, at_second = (products.values == ends[products.row_of_value, k] for k in (0, 1))
    # V and its partner have the same sites beside the pair, and the same parity on it.
    parity = (products.count(at_first) + products.count(at_second)) % 2
    beside = products.kept(~(at_first | at_second)).ranks()
    _, classes = np.unique((2 * groups + parity) * (beside.max(initial=0) + 1) + beside, return_inverse=True)
    real, imaginary, moduli = (
        np.bincount(classes, weights=part) for part in (coefficients.real, coefficients.imag, np.abs(coefficients))
    )
    return bool(np.all(np.hypot(real, imaginary) <= ROUNDING * moduli))


def _vanishes_off_balance(products: Sequence[int], coefficients: Sequence[complex], flipped: Sequence[int]) -> bool:
    """True where  sum_t c_t prod_t(s)  vanishes for all spins s whose sum over the flipped sites is not 0.

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
