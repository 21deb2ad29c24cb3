"""The Marshall sign rotation of a Hamiltonian on a bipartite lattice, as the key ``marshall`` asks for it."""

from __future__ import annotations

from pvmc.config import KeyProblem
from pvmc.hamiltonians.pauli import PauliSum
from pvmc.lattice import Lattice, LatticeError


def marshall_rotated(terms: PauliSum, lattice: Lattice, wanted: bool) -> PauliSum:
    """The operator after a turn by pi about z on sublattice B (:meth:`PauliSum.turned_about_z`), or as it is.

    Raises:
        KeyProblem: wanted on a lattice without two sublattices.
    """
    if not wanted:
        return terms
    try:
        return terms.turned_about_z(lattice.sublattices().tolist())
    except LatticeError as error:
        raise KeyProblem("hamiltonian.marshall", True, f"needs a bipartite lattice: {error}") from None


def lattice_problem(model: str, error: LatticeError | str) -> KeyProblem:
    """The refusal of a model on a lattice that lacks what it needs."""
    return KeyProblem("hamiltonian.model", model, str(error))
