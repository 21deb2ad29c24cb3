"""Exact ground states to compare with: closed solutions where there are any, sparse diagonalisation else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pvmc.exact.closed_chains import haldane_shastry_energy, heisenberg_chain_energy, majumdar_ghosh_energy
from pvmc.exact.free_fermions import cluster_ising_chain_energy, ising_chain_energy
from pvmc.exact.reference import ExactEnergy, find_reference
from pvmc.spins.configurations import Basis

if TYPE_CHECKING:
    from pvmc.exact.lanczos import ground_state, sparse_matrix

__all__ = [
    "Basis",
    "ExactEnergy",
    "cluster_ising_chain_energy",
    "find_reference",
    "ground_state",
    "haldane_shastry_energy",
    "heisenberg_chain_energy",
    "ising_chain_energy",
    "majumdar_ghosh_energy",
    "sparse_matrix",
]


def __getattr__(name: str) -> Any:
    """Sparse diagonalisation, loaded when first asked for: most runs start faster without it."""
    if name not in ("ground_state", "sparse_matrix"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pvmc.exact import lanczos

    return getattr(lanczos, name)
