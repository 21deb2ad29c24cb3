"""Operators that conserve sum_i s_i, as sums over pairs of sites: their couplings, and symmetries that follow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pvmc.hamiltonians.operator import Operator, SpinProducts
from pvmc.hamiltonians.pauli import ROUNDING
from pvmc.numerics.arrays import Floats, Integers


@dataclass(frozen=True)
class PairTerms:
    """constant + sum_i z_i s_i + sum_ij b_ij s_i s_j on the diagonal, and one amplitude for each pair that exchanges.

    Attributes:
        constant: coefficient of the identity.
        fields: z_i, float64 (N,).
        sites: int64 (n_pairs, 2), i < j, each pair once.
        parallel: b_ij, float64 (n_pairs,).
        exchange: <+-|H|-+> of the spins i and j, float64 or complex128 (n_pairs,).
    """

    constant: float
    fields: Floats
    sites: Integers
    parallel: Floats
    exchange: npt.NDArray[np.float64] | npt.NDArray[np.complex128]


def pair_terms(operator: Operator) -> PairTerms | None:
    """The couplings of an operator that conserves the magnetisation; None where more than two spins act together."""
    n_sites, flips = operator.n_sites, operator.flips
    if np.any(np.diff(flips.offsets) != 2):
        return None
    flipped = flips.sites.reshape(-1, 2)
    amplitudes = _amplitudes(operator.amplitude_products, flipped)
    if amplitudes is None:
        return None
    products = operator.diagonal_products
    lengths, starts = np.diff(products.site_offsets), products.site_offsets[:-1]
    coefficients = products.coefficients.real
    if np.any(lengths > 2):
        return None
    single, double = lengths == 1, lengths == 2
    fields = np.zeros(n_sites)
    np.add.at(fields, products.sites[starts[single]], coefficients[single])
    diagonal = np.sort(products.sites[starts[double][:, None] + np.arange(2)].reshape(-1, 2), axis=1)
    keys = np.concatenate([diagonal, flipped]) @ np.array([n_sites, 1])
    unique, place = np.unique(keys, return_inverse=True)
    exchange = np.zeros(len(unique), dtype=amplitudes.dtype)
    exchange[place[len(diagonal) :]] = amplitudes
    parallel = np.zeros(len(unique))
    np.add.at(parallel, place[: len(diagonal)], coefficients[double])
    sites = np.stack([unique // n_sites, unique % n_sites], axis=1)
    return PairTerms(float(coefficients[lengths == 0].sum()), fields, sites, parallel, exchange)


def is_even_in_spins(operator: Operator) -> bool:
    """True where a flip of all spins is a symmetry: every term multiplies an even number of spins."""
    products = (operator.diagonal_products, operator.amplitude_products)
    return all(not np.any(np.diff(p.site_offsets)[p.coefficients != 0] % 2) for p in products)


def is_rotation_invariant(operator: Operator, *, fields: bool = False) -> bool:
    """True where H is a sum of couplings S_i . S_j, perhaps after turns by pi about z of some sites.

    Such a sum commutes with rotations of all spins.  With ``fields``, fields along z are left out of account.  False is
    no proof of the contrary: products of more than two spins are not looked at.
    """
    terms = pair_terms(operator)
    if terms is None or (np.any(terms.fields) and not fields) or np.any(terms.exchange.imag):
        return False
    exchange = terms.exchange.real / 2
    largest = max(np.abs(terms.parallel).max(initial=0.0), np.abs(exchange).max(initial=0.0))
    if np.any(np.abs(np.abs(exchange) - np.abs(terms.parallel)) > 10 * ROUNDING * largest):
        return False
    coupled = terms.parallel != 0
    signs = np.sign(exchange[coupled]) * np.sign(terms.parallel[coupled])
    turned = _turned(operator.n_sites, terms.sites[coupled], signs)
    first, second = terms.sites[coupled].T
    return bool(np.all(turned[first] * turned[second] == signs))


@dataclass(frozen=True)
class Ring:
    """constant + coupling sum_i S_i . S_{i+1} - field sum_i S^z_i on a ring, S = sigma / 2."""

    coupling: float
    field: float
    constant: float


def heisenberg_ring(operator: Operator) -> Ring | None:
    """The couplings of a Heisenberg ring in a uniform field, its sites in any order; None for other operators."""
    terms = pair_terms(operator)
    n_sites = operator.n_sites
    if terms is None or n_sites < 3 or len(terms.sites) != n_sites or not is_rotation_invariant(operator, fields=True):
        return None
    strengths = (terms.parallel, terms.fields)
    if any(np.ptp(values) > 10 * ROUNDING * np.abs(values).max() for values in strengths):
        return None
    near: list[list[int]] = [[] for _ in range(n_sites)]
    for first, second in terms.sites.tolist():
        near[first].append(second)
        near[second].append(first)
    walked, previous, here = 0, -1, 0
    while walked < n_sites and len(near[here]) == 2:
        previous, here = here, near[here][0] if near[here][0] != previous else near[here][1]
        walked += 1
        if here == 0:
            break
    closed = walked == n_sites and here == 0
    return Ring(4 * float(terms.parallel[0]), -2 * float(terms.fields[0]), terms.constant) if closed else None


def _amplitudes(products: SpinProducts, flipped: Integers) -> npt.NDArray[np.float64] | None:
    """<+-|H|-+> of each flipped pair, (n_pairs,); None where the amplitude depends on other spins."""
    lengths = np.diff(products.site_offsets)
    if np.any(lengths > 2):
        return None
    group = np.repeat(np.arange(len(flipped)), np.diff(products.group_offsets))
    values = np.array(products.coefficients)
    for place in range(2):  # s_i = 1 of the first site, -1 of the second
        long = np.flatnonzero(lengths > place)
        sites = products.sites[products.site_offsets[long] + place]
        is_second = sites == flipped[group[long], 1]
        if not np.all(is_second | (sites == flipped[group[long], 0])):
            return None
        values[long[is_second]] *= -1
    total = np.zeros(len(flipped), dtype=values.dtype)
    np.add.at(total, group, values)
    return total


def _turned(n_sites: int, pairs: Integers, signs: Floats) -> Floats:
    """+-1 for each site, so that e_i e_j is the sign of every pair, if there is such a choice."""
    ends = np.concatenate([pairs, pairs[:, ::-1]])
    order = np.argsort(ends[:, 0], kind="stable")
    neighbours, wanted = ends[order, 1], np.concatenate([signs, signs])[order]
    first = np.searchsorted(ends[order, 0], np.arange(n_sites + 1))
    chosen = np.zeros(n_sites)
    for seed in range(n_sites):
        queue = [seed] if chosen[seed] == 0 else []
        chosen[seed] = chosen[seed] or 1.0
        while queue:
            site = queue.pop()
            near = slice(first[site], first[site + 1])
            new = chosen[neighbours[near]] == 0
            chosen[neighbours[near][new]] = chosen[site] * wanted[near][new]
            queue += neighbours[near][new].tolist()
    return chosen


def sign_of_ground_state(operator: Operator) -> Floats | None:
    """e_i = +-1, (N,), for which a ground state of any magnetisation is prod_{e_i < 0} s_i times non-negative numbers.

    None where the exchanges of the pairs are frustrated or complex, where more than two spins act together, and where
    exchanges do not connect all sites (the signs of their parts are then not related).
    """
    terms = pair_terms(operator)
    if terms is None or np.any(terms.exchange.imag):
        return None
    coupled = terms.exchange != 0
    sites, signs = terms.sites[coupled], -np.sign(terms.exchange[coupled].real)
    turned = _turned(operator.n_sites, sites, signs)
    if not np.all(turned[sites[:, 0]] * turned[sites[:, 1]] == signs) or not _connected(operator.n_sites, sites):
        return None
    return turned


def _connected(n_sites: int, pairs: Integers) -> bool:
    """True where the pairs join all sites."""
    part = np.arange(n_sites)
    while True:  # the smallest number of each part spreads, and points on
        lower = part.copy()
        for here, there in ((0, 1), (1, 0)):
            np.minimum.at(lower, pairs[:, here], part[pairs[:, there]])
        lower = lower[lower]
        if np.array_equal(lower, part):
            return bool(np.all(part == 0))
        part = lower
