"""Unit cells of lattices, and periodic images: the shortest of all vectors that differ by periods of a cluster."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from math import sqrt

import numpy as np

from pvmc.numerics.arrays import Floats


@dataclass(frozen=True, eq=False)
class UnitCell:
    """The sites and vectors that repeat, and the isometries that leave the infinite lattice as it is.

    Attributes:
        name: what the lattice is called in messages.
        vectors: primitive vectors as rows, float64, shape (m, d), m <= d.
        basis: positions of the sites of a cell, float64, shape (n_basis, d).
        isometries: orthogonal matrices (d, d) that generate the point group.
        shortest_ring: cells that a periodic direction needs, lest a bond run both ways round it.
    """

    name: str
    vectors: Floats
    basis: Floats
    isometries: tuple[Floats, ...]
    shortest_ring: int = 3

    def point_group(self) -> list[Floats]:
        """All products of the isometries, the identity first."""
        return generated(self.isometries, self.vectors.shape[1])


def generated(matrices: tuple[Floats, ...] | list[Floats], dimension: int) -> list[Floats]:
    """The finite group that orthogonal matrices generate, the identity first."""
    elements = [np.eye(dimension)]
    for element in elements:  # grows while it is walked
        for matrix in matrices:
            product = element @ matrix
            if not contains(elements, product):
                elements.append(product)
    return elements


def contains(matrices: list[Floats], matrix: Floats) -> bool:
    """True where a matrix is among others, up to rounding."""
    return bool((np.abs(np.array(matrices) - matrix).max(axis=(1, 2)) < 1e-9).any())


def rotation(degrees: float) -> Floats:
    """The rotation of the plane, anticlockwise."""
    angle = np.deg2rad(degrees)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


_MIRROR_X = np.diag([-1.0, 1.0])
_MIRROR_Y = np.diag([1.0, -1.0])
_HEXAGONAL = np.array([[1.0, 0.0], [0.5, sqrt(3) / 2]])
_SIXFOLD = (rotation(60), _MIRROR_X)

CHAIN = UnitCell("chain", np.eye(1), np.zeros((1, 1)), (-np.eye(1),))

SQUARE = UnitCell("square lattice", np.eye(2), np.zeros((1, 2)), (rotation(90), _MIRROR_X))

TRIANGULAR = UnitCell("triangular lattice", _HEXAGONAL, np.zeros((1, 2)), _SIXFOLD)

HONEYCOMB = UnitCell(
    "honeycomb lattice",
    sqrt(3) * _HEXAGONAL,
    np.array([[0.0, 0.0], [sqrt(3) / 2, 0.5]]),
    _SIXFOLD,
    shortest_ring=2,
)
"""Site 1 of a cell lies at (a1 + a2)/3, on the long diagonal."""

KAGOME = UnitCell(
    "kagome lattice",
    2 * _HEXAGONAL,
    np.array([[0.0, 0.0], [1.0, 0.0], [0.5, sqrt(3) / 2]]),
    _SIXFOLD,
    shortest_ring=2,
)
"""The sites of a cell, at 0, a1/2 and a2/2, are a triangle that points up."""

CUBIC = UnitCell(
    "cubic lattice",
    np.eye(3),
    np.zeros((1, 3)),
    (np.eye(3)[[1, 2, 0]], np.eye(3)[[1, 0, 2]], np.diag([-1.0, 1.0, 1.0])),
)


def ladder_cell(legs: int) -> UnitCell:
    """A rung: ``legs`` sites above each other, repeated along x."""
    basis = np.stack([np.zeros(legs), np.arange(legs, dtype=np.float64)], axis=1)
    return UnitCell("ladder", np.array([[1.0, 0.0]]), basis, (_MIRROR_X, _MIRROR_Y))


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
