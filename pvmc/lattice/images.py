"""Periodic images: the shortest of all vectors that differ by periods of a cluster."""

from __future__ import annotations

import itertools

import numpy as np

from pvmc.numerics.arrays import Floats

TOLERANCE = 1e-6
"""Lengths, in units of the nearest-neighbour distance, that differ by less than this are equal."""


def reduced(periods: Floats) -> Floats:
    """Shortest vectors that span the same lattice (a Minkowski-reduced basis).

    Args:
        periods: float64, shape (p, d), p <= 3 independent vectors as rows.

    Returns:
        float64, shape (p, d), by ascending length: no vector can be made shorter by adding the others with
        coefficients -1, 0 or 1, which up to three dimensions is Minkowski's condition (P. Q. Nguyen and D. Stehle, ACM
        Trans. Algorithms 5, 46 (2009)).
    """
    basis = periods.copy()
    shortened = True
    while shortened:
        basis = basis[np.argsort(np.linalg.norm(basis, axis=1), kind="stable")]
        shortened = False
        for k in range(len(basis)):
            others = np.delete(basis, k, axis=0)
            candidates = basis[k] + neighbouring_images(others)
            lengths = np.linalg.norm(candidates, axis=1)
            if lengths.min() < lengths[0] - TOLERANCE:
                basis[k] = candidates[lengths.argmin()]
                shortened = True
    return basis


def neighbouring_images(periods: Floats) -> Floats:
    """All sums of the periods with coefficients -1, 0 and 1, the zero vector first; shape (3^p, d)."""
    coefficients = sorted(itertools.product((-1, 0, 1), repeat=len(periods)), key=lambda c: (sum(map(abs, c)), c))
    return np.array(coefficients, dtype=np.float64).reshape(len(coefficients), len(periods)) @ periods


def minimum_image(vectors: Floats, periods: Floats) -> Floats:
    """The shortest image of each vector.

    Args:
        vectors: float64, shape (n, d).
        periods: float64, shape (p, d), p <= 3; none for open boundaries.

    Returns:
        float64, shape (n, d).  Where several images are equally short, the vector itself if it is one of them.
    """
    if len(periods) == 0:
        return vectors.copy()
    basis = reduced(periods)
    # In a reduced basis the shortest image of a vector with coordinates in [-1/2, 1/2] is at most one period off.
    fractions = vectors @ np.linalg.pinv(basis)
    wrapped = vectors - np.rint((1 - TOLERANCE) * fractions) @ basis
    best = wrapped.copy()
    shortest = np.einsum("nd,nd->n", wrapped, wrapped)
    for image in neighbouring_images(basis)[1:]:
        moved = wrapped + image
        length = np.einsum("nd,nd->n", moved, moved)
        shorter = length < shortest - TOLERANCE
        best[shorter], shortest[shorter] = moved[shorter], length[shorter]
    return best
