"""Exact ground states to compare with: closed solutions where there are any, sparse diagonalisation else."""

from __future__ import annotations

from pvmc.exact.basis import Basis
from pvmc.exact.bethe import heisenberg_chain_energy
from pvmc.exact.energy import Reference
from pvmc.exact.free_fermions import ising_chain_energy
from pvmc.exact.lanczos import ground_state, sparse_matrix
from pvmc.exact.reference import find_reference

__all__ = [
    "Basis",
    "Reference",
    "find_reference",
    "ground_state",
    "heisenberg_chain_energy",
    "ising_chain_energy",
    "sparse_matrix",
]
