"""The Brillouin zone of a two-dimensional lattice, and the part of it that each allowed momentum stands for."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Voronoi

Floats = NDArray[np.float64]

_EDGE = 1e-9


def reciprocal(vectors: Floats) -> Floats:
    """Rows b_j with a_i . b_j = 2 pi delta_ij, shape of ``vectors`` (m, d)."""
    return np.asarray(2 * np.pi * np.linalg.pinv(vectors).T)


def wigner_seitz(vectors: Floats) -> Floats:
    """Corners of the points that are closer to the origin than to any other lattice point, (n, 2), counterclockwise.

    Args:
        vectors: two rows that span the lattice, (2, 2).
    """
    steps = np.array(list(itertools.product(range(-3, 4), repeat=2)))
    points = steps @ _shortest(vectors)
    diagram = Voronoi(points)
    origin = int(np.flatnonzero((steps == 0).all(axis=1))[0])
    corners = diagram.vertices[diagram.regions[diagram.point_region[origin]]]
    return np.asarray(corners[np.argsort(np.arctan2(corners[:, 1], corners[:, 0]))])


def images_inside(momentum: Floats, vectors: Floats, zone: Floats, margin: Floats) -> list[Floats]:
    """All k + G whose cell (the polygon ``margin`` about them) can reach into the zone; (2,) each.

    Args:
        momentum: k, (2,).
        vectors: the reciprocal lattice, (2, 2).
        zone: corners of the first Brillouin zone.
        margin: corners of the cell of one momentum.
    """
    basis = _shortest(vectors)
    whole = np.rint(momentum @ np.linalg.inv(basis))
    reach = np.linalg.norm(zone, axis=1).max() + np.linalg.norm(margin, axis=1).max()
    near = [momentum + (np.array(step) - whole) @ basis for step in itertools.product(range(-2, 3), repeat=2)]
    return [point for point in near if np.linalg.norm(point) < reach + _EDGE]


def special_points(vectors: Floats) -> dict[str, Floats]:
    """Gamma, the middle of an edge of the zone and a corner of it, by their usual names, of square-like and hexagonal
    zones."""
    zone = wigner_seitz(vectors)
    edge = (zone + np.roll(zone, -1, axis=0)) / 2
    hexagonal = len(zone) == 6
    along_x = np.argmax(edge @ np.array([1.0, 1e-3]))
    corner = np.argmax(zone @ np.array([1.0, 1e-3 if hexagonal else 1.0]))
    return {r"$\Gamma$": np.zeros(2), "M" if hexagonal else "X": edge[along_x], "K" if hexagonal else "M": zone[corner]}


def mesh_vectors(periods: Floats) -> Floats:
    """Vectors that span the allowed momenta: exp(i k.P) = 1 for the periods P, rows (2, 2)."""
    return reciprocal(periods)


def _shortest(vectors: Sequence[Floats] | Floats) -> Floats:
    """Two short vectors that span the same lattice (Gauss' reduction)."""
    a, b = (np.asarray(vector, dtype=np.float64) for vector in vectors)
    while True:
        if a @ a > b @ b:
            a, b = b, a
        steps = np.rint(a @ b / (a @ a))
        if steps == 0:
            return np.array([a, b])
        b = b - steps * a
