"""The exact ground-state energy that belongs to a Hamiltonian, found where one is known or cheap."""

from __future__ import annotations

from math import comb

from pvmc.exact.basis import Basis
from pvmc.exact.bethe import heisenberg_chain_energy
from pvmc.exact.energy import Reference
from pvmc.exact.free_fermions import ising_chain_energy
from pvmc.exact.lanczos import ground_state
from pvmc.hamiltonians import HamiltonianSpec, Operator
from pvmc.hamiltonians.heisenberg import HeisenbergSpec, XXZSpec
from pvmc.hamiltonians.ising import IsingSpec
from pvmc.lattice import ChainSpec, LatticeSpec

AUTOMATIC_DIMENSION = 200_000
"""Largest Hilbert space that is diagonalised without being asked (20 sites at zero magnetisation; seconds)."""

LANCZOS_SITES = 20
"""Largest number of sites that is diagonalised at all."""


def find_reference(
    lattice: LatticeSpec,
    hamiltonian: HamiltonianSpec,
    operator: Operator,
    magnetization: int | None,
    *,
    largest: int = AUTOMATIC_DIMENSION,
) -> Reference | None:
    """The exact ground-state energy (total, in the Hamiltonian's units), or None where none is within reach.

    Args:
        lattice: the lattice as configured.
        hamiltonian: the model as configured.
        operator: the compiled Hamiltonian.
        magnetization: sum of s_i = +-1 of the sector, or None for the whole space.
        largest: largest dimension of the Hilbert space to diagonalise.
    """
    return closed_form(lattice, hamiltonian, magnetization) or diagonalised(operator, magnetization, largest)


def closed_form(lattice: LatticeSpec, hamiltonian: HamiltonianSpec, magnetization: int | None) -> Reference | None:
    """The Bethe ansatz or free-fermion energy of a chain, or None for every other system."""
    if not isinstance(lattice, ChainSpec):
        return None
    if isinstance(hamiltonian, IsingSpec) and magnetization is None:
        energy = ising_chain_energy(lattice.length, hamiltonian.coupling, hamiltonian.field, lattice.periodic)
        return Reference(energy, "free fermions")
    isotropic = isinstance(hamiltonian, HeisenbergSpec) or (
        isinstance(hamiltonian, XXZSpec) and hamiltonian.anisotropy == 1.0
    )
    ring = lattice.periodic and lattice.length % 2 == 0 and lattice.length >= 4
    if isotropic and ring and hamiltonian.coupling > 0 and magnetization in (0, None):
        return Reference(heisenberg_chain_energy(lattice.length, hamiltonian.coupling), "Bethe ansatz")
    return None


def diagonalised(operator: Operator, magnetization: int | None, largest: int) -> Reference | None:
    """The lowest eigenvalue by sparse Lanczos, or None when the Hilbert space is larger than asked for."""
    if operator.n_sites > LANCZOS_SITES or dimension(operator.n_sites, magnetization) > largest:
        return None
    energy, _ = ground_state(operator, Basis.enumerate(operator.n_sites, magnetization))
    return Reference(energy, "Lanczos")


def dimension(n_sites: int, magnetization: int | None) -> int:
    """Number of configurations of N spins, with sum_i s_i fixed or not."""
    if magnetization is None:
        return 2**n_sites
    return comb(n_sites, (n_sites + magnetization) // 2)
