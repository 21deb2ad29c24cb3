"""Positions of the sites of a lattice on paper."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import shortest_path

from pvmc.lattice import Lattice

Floats = NDArray[np.float64]

LARGEST_ARRANGED = 500
"""Most sites of a graph that are arranged by their distances; larger ones stand on a circle."""

_VIEW = np.array([[1.3, -0.1], [0.585, 0.364], [0.0, 1.3]])
"""Directions of x, y and z in a picture of three dimensions, seen from above and aside: y goes into the page."""


@dataclass(frozen=True, eq=False)
class Placement:
    """A lattice on paper; unit: the nearest-neighbour distance, or a typical length of the bonds.

    Attributes:
        points: float64, shape (N, 2): the sites.
        projection: float64, shape (d, 2), from the space of the lattice to paper; None where sites are arranged without
            regard to their positions (rings, graphs), so that no bond crosses a boundary and there is no cell to show.
        depth: float64, shape (N,), 0 for the nearest sites and 1 for the farthest.
    """

    points: Floats
    projection: Floats | None
    depth: Floats


def place(lattice: Lattice) -> Placement:
    """Sites where they are, if they are somewhere; rings on a circle; graphs by the distances counted in bonds."""
    dimension = lattice.positions.shape[1]
    flat = np.zeros(lattice.n_sites)
    if dimension == 1 and len(lattice.periods) == 1:
        return Placement(_at_unit_bonds(lattice, circle(lattice.n_sites)), None, flat)
    if dimension == 0:
        return Placement(_at_unit_bonds(lattice, arranged(lattice)), None, flat)
    projection = {1: np.array([[1.0, 0.0]]), 2: np.eye(2), 3: _VIEW}[dimension]
    points = lattice.positions @ projection
    if len(lattice.vectors) == 0:
        return Placement(_at_unit_bonds(lattice, points), None, flat)
    into_page = lattice.positions[:, 1] if dimension == 3 else flat
    return Placement(points, projection, into_page / max(into_page.max(), 1.0))


def circle(n_sites: int) -> Floats:
    """Points on a circle, clockwise from the top; neighbours at distance 1."""
    angle = np.pi / 2 - 2 * np.pi * np.arange(n_sites) / n_sites
    return np.stack([np.cos(angle), np.sin(angle)], axis=1) / (2 * np.sin(np.pi / max(n_sites, 2)))


def arranged(lattice: Lattice, sweeps: int = 300) -> Floats:
    """Points whose distances follow those along the bonds of the graph: minimal stress, sum_ij (|r_ij| / d_ij - 1)^2.

    By majorisation (E. R. Gansner, Y. Koren and S. North, Graph Drawing, LNCS 3383, 239 (2005)), from a classical
    scaling and from a circle; the better of the two.
    """
    n = lattice.n_sites
    ring = circle(n)
    if n > LARGEST_ARRANGED or len(lattice.bonds()) == 0:
        return ring
    distance = _bonds_apart(lattice)
    start = _classical_scaling(distance) + 0.1 * ring / np.abs(ring).max()
    found = [_relaxed(points, distance, sweeps) for points in (start, ring)]
    return min(found, key=lambda points: _stress(points, distance))


def _relaxed(points: Floats, distance: Floats, sweeps: int) -> Floats:
    weight = 1 / np.maximum(distance, 1) ** 2
    np.fill_diagonal(weight, 0.0)
    inverse = np.linalg.pinv(np.diag(weight.sum(axis=1)) - weight)
    for _ in range(sweeps):
        ratio = -weight * distance / np.maximum(_apart(points), 1e-9)
        np.fill_diagonal(ratio, 0.0)
        np.fill_diagonal(ratio, -ratio.sum(axis=1))
        points = inverse @ (ratio @ points)
    return points


def _stress(points: Floats, distance: Floats) -> float:
    return round(float(np.sum((_apart(points) / np.maximum(distance, 1) - 1) ** 2)), 6)


def _apart(points: Floats) -> Floats:
    return np.linalg.norm(points[:, np.newaxis] - points, axis=2)


def _bonds_apart(lattice: Lattice) -> Floats:
    """Least number of bonds between two sites; one more than the largest between parts that are not connected."""
    first, second = lattice.bonds().T
    adjacency = csr_array((np.ones(len(first)), (first, second)), shape=(lattice.n_sites, lattice.n_sites))
    distance = shortest_path(adjacency, directed=False, unweighted=True)
    return np.where(np.isinf(distance), distance[np.isfinite(distance)].max() + 1, distance)


def _classical_scaling(distance: Floats) -> Floats:
    """The plane in which points with these distances spread most."""
    centring = np.eye(len(distance)) - 1 / len(distance)
    _, vectors = np.linalg.eigh(-0.5 * centring @ distance**2 @ centring)
    return vectors[:, -2:] * np.sqrt(len(distance)) if len(distance) > 1 else np.zeros((1, 2))


def _at_unit_bonds(lattice: Lattice, points: Floats) -> Floats:
    """The points in two dimensions, in units of a typical bond; without bonds, of a typical distance of neighbours."""
    first, second = lattice.bonds().T
    if len(first) == 0:
        first = np.arange(lattice.n_sites)
        second = np.argmin(_apart(points) + np.diag(np.full(lattice.n_sites, np.inf)), axis=1)
    lengths = np.linalg.norm(np.atleast_2d(points[second] - points[first]), axis=1)
    points = points if points.shape[1] == 2 else np.pad(points, ((0, 0), (0, 2 - points.shape[1])))
    return points / np.median(lengths)
