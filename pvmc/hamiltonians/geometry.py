"""Where sites lie relative to each other: displacements by the nearest image, orientation and direction of bonds."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

from pvmc.lattice import TOLERANCE, Lattice, LatticeError, minimum_image
from pvmc.lattice.unit_cell import neighbouring_images, reduced
from pvmc.numerics.arrays import Floats, Integers


def images(lattice: Lattice, reach: int = 1) -> Floats:
    """The vectors T = n_1 P_1 + n_2 P_2 + ... of the lattice's periods with |T . V| <= reach |V|^2 for all such V.

    These are the periods within 2 reach times the Wigner-Seitz cell of their lattice: |n_a| <= reach where the periods
    are perpendicular, a hexagon where they include 60 degrees.  Other than the box |n_a| <= reach, it depends on no
    choice of the periods, and every symmetry of the cluster maps it to itself.

    Returns:
        float64, shape (n_images, d), the zero vector alone on an open lattice.
    """
    if len(lattice.periods) == 0:
        return np.zeros((1, lattice.positions.shape[1]))
    basis = reduced(lattice.periods)
    # T = n . basis is no longer than reach sqrt(sum |b|^2) (the covering radius is at most half that root), and n_a at
    # most 2 reach 3/2 (the shortest image is at most one period from coordinates of at most 1/2).
    root = np.sqrt(np.sum(basis**2)) * np.linalg.norm(np.linalg.pinv(basis), axis=0)
    largest = np.floor(reach * np.minimum(root, 3.0) + TOLERANCE).astype(int).tolist()
    factors = np.array(list(itertools.product(*(range(-n, n + 1) for n in largest))), dtype=np.float64)
    vectors, others = factors @ basis, neighbouring_images(basis)
    inside = np.abs(vectors @ others.T) <= (reach + TOLERANCE) * np.sum(others**2, axis=1)
    return np.asarray(vectors[inside.all(axis=1)])


def nearest_images(lattice: Lattice, pairs: Integers) -> tuple[Floats, Integers]:
    """Vectors from i to every nearest image of j, for pairs (n, 2) of sites; several where images are equally near.

    Returns:
        The vectors, float64 (m, d) with m >= n, and the row of ``pairs`` that each belongs to, int64 (m,), of which the
        first n are 0, 1, ..., n - 1.

    Raises:
        LatticeError: a graph without positions lies nowhere, and its sites are at no distance.
    """
    if lattice.positions.shape[1] == 0:
        raise LatticeError("needs to know where the sites lie; give the graph lattice.positions")
    straight = lattice.positions[pairs[:, 1]] - lattice.positions[pairs[:, 0]]
    nearest = minimum_image(straight, lattice.periods)
    vectors, rows = [nearest], [np.arange(len(pairs), dtype=np.int64)]
    if len(lattice.periods):
        limit = np.linalg.norm(nearest, axis=1) + TOLERANCE
        for image in neighbouring_images(reduced(lattice.periods))[1:]:
            moved = nearest + image
            near = np.flatnonzero(np.linalg.norm(moved, axis=1) < limit)
            vectors.append(moved[near])
            rows.append(near)
    return np.concatenate(vectors), np.concatenate(rows)


def displacements(lattice: Lattice, pairs: Integers) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Vectors from i to the nearest image of j, for pairs (n, 2) of sites.

    Returns:
        The vectors, shape (n, d), in units of the nearest-neighbour distance, and whether each is the only shortest
        one, bool (n,): on half a period two images are equally near, and the vector is one of them.

    Raises:
        LatticeError: a graph without positions lies nowhere, and its sites are at no distance.
    """
    vectors, rows = nearest_images(lattice, pairs)
    return vectors[: len(pairs)], np.bincount(rows, minlength=len(pairs)) == 1


def distances(lattice: Lattice, pairs: Integers) -> Floats:
    """Lengths of the displacements of pairs (n, 2), shape (n,).

    Raises:
        LatticeError: sites lie nowhere, or two on the same point.
    """
    lengths = np.linalg.norm(displacements(lattice, pairs)[0], axis=1)
    if len(lengths) and lengths.min() < TOLERANCE:
        i, j = pairs[lengths.argmin()].tolist()
        raise LatticeError(f"sites {i} and {j} lie on the same point")
    return lengths


def all_pairs(lattice: Lattice) -> Integers:
    """All pairs i < j of sites in lexicographic order, int64 (N (N - 1) / 2, 2)."""
    return np.stack(np.triu_indices(lattice.n_sites, k=1), axis=1).astype(np.int64)


def oriented_bonds(lattice: Lattice, shell: int = 1) -> Integers:
    """The bonds of a shell, each turned so that it points along the positive axes, int64 (n_bonds, 2).

    Those of a graph without positions point as its edges are listed.

    A bond points from i to j when the first component of its displacement that is not zero is positive: on a ring
    from site i to site i + 1 all the way round, on a rectangle to the right or upwards.

    Raises:
        LatticeError: no such shell, or a bond without orientation: it leads to two images of a site at once, or its
            ends lie on the same point or nowhere.
    """
    bonds = lattice.bonds(shell)
    if lattice.positions.shape[1] == 0 and shell == 1 and len(lattice.arrows) == len(bonds):
        return lattice.arrows
    vectors, unique = displacements(lattice, bonds)
    distances(lattice, bonds)  # raises where the ends of a bond coincide
    if not unique.all():
        i, j = bonds[~unique][0].tolist()
        raise LatticeError(
            f"the bond of sites {i} and {j} has no orientation: it is half as long as the lattice, "
            "so that two images are equally near; take a larger lattice"
        )
    significant = np.abs(vectors) > TOLERANCE
    first = vectors[np.arange(len(bonds)), significant.argmax(axis=1)]
    return np.where((first < 0)[:, np.newaxis], bonds[:, ::-1], bonds)


def bonds_by_direction(lattice: Lattice) -> list[tuple[float, Integers, Floats]]:
    """The nearest-neighbour bonds grouped by their direction in the plane.

    Returns:
        (angle, oriented bonds, their couplings) by ascending angle; the angle to the x axis is in degrees, from 0 up
        to 180 (a bond has no front and back).

    Raises:
        LatticeError: a bond has no orientation, or the lattice is not one of one or two dimensions.
    """
    bonds = oriented_bonds(lattice)
    vectors, _ = displacements(lattice, bonds)
    if vectors.shape[1] > 2:
        raise LatticeError("directions of bonds are known for lattices of one and two dimensions")
    height = vectors[:, 1] if vectors.shape[1] == 2 else np.zeros(len(bonds))
    angles = np.rint(np.degrees(np.arctan2(height, vectors[:, 0])) * 1e3).astype(np.int64) % 180_000
    couplings = lattice.couplings()
    return [(float(a) / 1e3, bonds[angles == a], couplings[angles == a]) for a in np.unique(angles)]


def is_ring(lattice: Lattice) -> bool:
    """True where the lattice is a closed chain, site i + 1 next to site i."""
    return is_chain(lattice) and len(lattice.periods) == 1


def is_chain(lattice: Lattice) -> bool:
    """True where the lattice is a chain, open or closed."""
    return lattice.positions.shape[1] == 1
