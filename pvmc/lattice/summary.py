"""A lattice in words."""

from __future__ import annotations

import numpy as np

from pvmc.lattice.lattice import Lattice, LatticeError


def describe(lattice: Lattice) -> str:
    """Lines on the sites, the bonds of each shell, the sublattices and the symmetry groups of a lattice."""
    lines = [f"{lattice.n_sites} sites, {_sublattices(lattice)}"]
    lines += [_shell(lattice, shell) for shell in range(1, len(lattice.shells) + 1)]
    for name in lattice.generators:
        order = len(lattice.group(name))
        lines.append(f'symmetry group "{name}": {order} permutation{"s" if order > 1 else ""}')
    return "\n".join(lines)


def _sublattices(lattice: Lattice) -> str:
    try:
        colours = lattice.sublattices()
    except LatticeError:
        return "not bipartite"
    return f"bipartite: {np.sum(colours == 1)} on sublattice A, {np.sum(colours == -1)} on B"


def _shell(lattice: Lattice, shell: int) -> str:
    bonds, couplings = lattice.bonds(shell), lattice.couplings(shell)
    neighbours = np.bincount(bonds.ravel(), minlength=lattice.n_sites)
    fewest, most = neighbours.min(), neighbours.max()
    words = [f"{len(bonds)} bonds", f"{fewest} neighbours" if fewest == most else f"{fewest} to {most} neighbours"]
    if len(lattice.vectors):
        words.append(f"distance {np.linalg.norm(lattice.displacements(shell)[0]):.6g}")
    if np.any(couplings != 1.0):
        words.append(f"couplings {couplings.min():g} to {couplings.max():g}")
    return f"shell {shell}: {', '.join(words)}"
