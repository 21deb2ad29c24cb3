"""Signs of the off-diagonal elements of a Hamiltonian, and the signs of sites that make none of them positive.

A turn of some spins by pi about z multiplies each configuration s by prod_i s_i over these spins, and the amplitude
H_X(s) of a set X of flipped sites by eta_X = prod_{i in X} eta_i, with eta_i = -1 at the spins that are turned and +1
elsewhere.  Where H_X(s) has one sign sigma_X for all s, no element is positive if  eta_X = -sigma_X  for every X:
linear equations over the integers modulo 2.  A matrix whose off-diagonal elements are not positive ("stoquastic") has
a ground state of amplitudes psi(s) >= 0, by the theorem of Perron and Frobenius (Bravyi, DiVincenzo, Oliveira, Terhal,
Quant. Inf. Comp. 8, 361 (2008)).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

import numpy as np
import numpy.typing as npt

from pvmc.hamiltonians.operator import Operator, SpinProducts
from pvmc.hamiltonians.pauli import ROUNDING
from pvmc.spins.flips import FlipSets

Signs = npt.NDArray[np.int8]
"""+1 or -1 of each site (N,), or of each set of flipped sites (n_flips,)."""

LARGEST_RANK = 12
"""Independent products of spins in one amplitude whose signs are all put in; beyond, bounds stand for extremes."""


def amplitude_signs(operator: Operator) -> Signs:
    """The sign that the amplitude H_X(s) has for every s (or it vanishes), int8 (n_flips,): -1, +1, or 0 for neither.

    0 where both signs occur, or complex numbers.  A group of terms with more than LARGEST_RANK independent products of
    spins has 0 where bounds leave it open.
    """
    lowest, highest, is_real = _extremes(operator.amplitude_terms)
    signs = np.zeros(len(operator.flips), dtype=np.int8)
    signs[is_real & (lowest >= 0)] = 1
    signs[is_real & (highest <= 0)] = -1
    return signs


def is_stoquastic(operator: Operator) -> bool:
    """True where no off-diagonal element of H is positive, nor complex, for all configurations."""
    return bool(np.all(amplitude_signs(operator) == -1))


def removing_signs(flips: FlipSets, signs: Signs, n_sites: int) -> Signs | None:
    """Signs eta of the sites with eta_X = -sigma_X for all sets X, int8 (N,), or None where there are none.

    Of several solutions it is the one in which the lowest site of every part that is free is +1.

    Args:
        flips: the sets X.
        signs: sigma_X, see :func:`amplitude_signs`.
        n_sites: N.
    """
    if np.any(signs == 0):
        return None
    equations = _eliminated(flips, (signs > 0).tolist())
    return None if equations is None else _substituted(equations, n_sites)


def mean_amplitude(operator: Operator, sites: Signs) -> float:
    """sum_X eta_X <Re H_X(s)>, the mean over all s: twice the off-diagonal energy of the state of equal amplitudes.

    The lower it is, the less positive weight the off-diagonal elements have: their moduli stay, and so the sum of their
    positive parts is a constant plus half of this number.
    """
    terms = operator.amplitude_terms
    alone = np.diff(terms.site_offsets) == 0  # terms without products of spins: others have zero mean
    groups = np.repeat(np.arange(len(operator.flips)), np.diff(terms.group_offsets))
    means = np.bincount(groups[alone], weights=terms.coefficients.real[alone], minlength=len(operator.flips))
    return float(operator.flips.products(sites) @ means)


def _extremes(terms: SpinProducts) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Smallest and largest value of the real part of each group over all spins, and whether the group is real.

    What is zero but for the rounding of the sum is zero.  Two different products of spins take all four pairs of signs;
    with more of them their dependences matter.
    """
    n_groups = len(terms.group_offsets) - 1
    sizes = np.diff(terms.group_offsets)
    groups = np.repeat(np.arange(n_groups), sizes)
    real, imaginary = terms.coefficients.real, np.abs(terms.coefficients.imag)
    alone = np.diff(terms.site_offsets) == 0

    def total(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.bincount(groups, weights=values, minlength=n_groups).astype(np.float64)

    constants, swings = total(np.where(alone, real, 0.0)), total(np.where(alone, 0.0, np.abs(real)))
    lowest, highest = constants - swings, constants + swings
    for group in np.flatnonzero(total(np.where(alone, 0.0, 1.0)) > 2).tolist():
        first, last = terms.group_offsets[group : group + 2]
        lowest[group], highest[group] = _extremes_of(terms, range(first, last), lowest[group], highest[group])
    rounding = ROUNDING * total(np.abs(real) + imaginary)
    lowest[np.abs(lowest) <= rounding] = 0.0
    highest[np.abs(highest) <= rounding] = 0.0
    return lowest, highest, total(imaginary) <= rounding


def _extremes_of(terms: SpinProducts, members: range, lowest: float, highest: float) -> tuple[float, float]:
    """Smallest and largest value of sum_t c_t prod_t(s); the given bounds where there are too many to put in."""
    basis: dict[int, tuple[int, int]] = {}  # leading bit: (product, which independent ones it is made of)
    made_of: list[int] = []
    n_independent = 0
    for term in members:
        spins = sum(1 << int(site) for site in terms.sites[terms.site_offsets[term] : terms.site_offsets[term + 1]])
        parts = 0
        while spins:
            lead = spins.bit_length()
            if lead not in basis:
                basis[lead] = (spins, parts | 1 << n_independent)
                parts, spins = parts ^ basis[lead][1], 0
                n_independent += 1
            else:
                spins, parts = spins ^ basis[lead][0], parts ^ basis[lead][1]
        made_of.append(parts)
    if n_independent > LARGEST_RANK:
        return lowest, highest
    choices = np.array(
        list(product((1.0, -1.0), repeat=n_independent))
    )  # (2^rank, rank): signs of independent products
    coefficients = terms.coefficients.real[members.start : members.stop]
    values = np.zeros(len(choices))
    for coefficient, parts in zip(coefficients.tolist(), made_of, strict=True):
        values += coefficient * choices[:, [k for k in range(n_independent) if parts >> k & 1]].prod(axis=1)
    return float(values.min()), float(values.max())


def _eliminated(flips: FlipSets, odd: Iterable[bool]) -> dict[int, tuple[int, bool]] | None:
    """Gaussian elimination modulo 2 of  sum_{i in X} x_i = odd_X,  x_i = 1 where eta_i = -1.

    Returns:
        Equations by their highest site, as bits of the sites and the right-hand side; None where they contradict.
    """
    equations: dict[int, tuple[int, bool]] = {}
    for k, right in enumerate(odd):
        left = sum(1 << site for site in flips[k].tolist())
        while left:
            lead = left.bit_length() - 1
            if lead not in equations:
                equations[lead] = (left, right)
                break
            left, right = left ^ equations[lead][0], right ^ equations[lead][1]
        else:
            if right:
                return None
    return equations


def _substituted(equations: dict[int, tuple[int, bool]], n_sites: int) -> Signs:
    """The solution with +1 on the sites that are free, from the lowest site up."""
    turned = 0  # bits of the sites with -1
    for lead in sorted(equations):
        left, right = equations[lead]
        if ((left & turned).bit_count() + right) % 2:
            turned |= 1 << lead
    return np.array([-1 if turned >> site & 1 else 1 for site in range(n_sites)], dtype=np.int8)
