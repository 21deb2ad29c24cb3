"""The exact ground-state energy that belongs to a Hamiltonian, found where one is known or cheap."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

from pvmc.exact.closed_chains import haldane_shastry_energy, heisenberg_chain_energy, majumdar_ghosh_energy
from pvmc.exact.free_fermions import cluster_ising_chain_energy, ising_chain_energy
from pvmc.hamiltonians import HamiltonianSpec, Operator
from pvmc.hamiltonians.cluster_ising import ClusterIsingSpec
from pvmc.hamiltonians.couplings import is_zero, site_values
from pvmc.hamiltonians.heisenberg import HeisenbergSpec, J1J2Spec, XXZSpec
from pvmc.hamiltonians.ising import IsingSpec
from pvmc.hamiltonians.long_range import HaldaneShastrySpec
from pvmc.lattice import ChainSpec, LatticeSpec
from pvmc.spins.configurations import Basis

AUTOMATIC_DIMENSION = 200_000
"""Largest Hilbert space that is diagonalised without being asked (20 sites at zero magnetisation; seconds)."""

LANCZOS_SITES = 20
"""Largest number of sites that is diagonalised at all."""


@dataclass(frozen=True)
class ExactEnergy:
    """An exact ground-state energy to compare with.

    Attributes:
        energy: of the whole system, in the Hamiltonian's units.
        method: where it comes from, such as "Bethe ansatz", "free fermions", "Lanczos" or "given".
    """

    energy: float
    method: str


def find_reference(
    lattice: LatticeSpec,
    hamiltonian: HamiltonianSpec,
    operator: Operator,
    magnetization: int | None,
    *,
    largest: int = AUTOMATIC_DIMENSION,
) -> ExactEnergy | None:
    """The exact ground-state energy (total, in the Hamiltonian's units), or None where none is within reach.

    Args:
        lattice: the lattice as configured.
        hamiltonian: the model as configured.
        operator: the compiled Hamiltonian.
        magnetization: sum of s_i = +-1 of the sector, or None for the whole space.
        largest: largest dimension of the Hilbert space to diagonalise.
    """
    return closed_form(lattice, hamiltonian, magnetization) or diagonalised(operator, magnetization, largest)


def closed_form(lattice: LatticeSpec, hamiltonian: HamiltonianSpec, magnetization: int | None) -> ExactEnergy | None:
    """The energy of a chain that is solved exactly, or None for every other system."""
    if not isinstance(lattice, ChainSpec):
        return None
    even_ring = lattice.periodic and lattice.length % 2 == 0 and lattice.length >= 4
    match hamiltonian:
        case IsingSpec() | ClusterIsingSpec() if magnetization is None:
            return _free_fermions(lattice, hamiltonian)
        case HeisenbergSpec() | XXZSpec() if even_ring and hamiltonian.coupling > 0:
            isotropic = isinstance(hamiltonian, HeisenbergSpec) or hamiltonian.anisotropy == 1.0
            field = 0.0 if is_zero(hamiltonian.field) else hamiltonian.field
            if isotropic and isinstance(field, float | int) and (magnetization is not None or field == 0):
                total = magnetization or 0  # without a field the ground state is a singlet
                energy = heisenberg_chain_energy(lattice.length, hamiltonian.coupling, total)
                return ExactEnergy(energy - field * total / 2, "Bethe ansatz")
        case HaldaneShastrySpec() if even_ring and magnetization in (0, None) and hamiltonian.coupling > 0:
            return ExactEnergy(haldane_shastry_energy(lattice.length, hamiltonian.coupling), "Haldane-Shastry")
        case J1J2Spec(j1=j1, j2=j2, j3=0.0) if magnetization in (0, None) and is_zero(hamiltonian.field):
            if j1 > 0 and j2 == j1 / 2 and lattice.length % 2 == 0 and lattice.length >= 6:
                return ExactEnergy(majumdar_ghosh_energy(lattice.length, j1), "Majumdar-Ghosh")
    return None


def _free_fermions(lattice: ChainSpec, hamiltonian: IsingSpec | ClusterIsingSpec) -> ExactEnergy | None:
    """The free-fermion energy of an Ising or cluster-Ising chain, or None where the fermions interact."""
    length, periodic = lattice.length, lattice.periodic
    if isinstance(hamiltonian, ClusterIsingSpec):
        if length < 3:
            return None
        strengths = (hamiltonian.coupling, hamiltonian.ising, hamiltonian.field)
        return ExactEnergy(cluster_ising_chain_energy(length, *strengths, periodic), "free fermions")
    if not is_zero(hamiltonian.longitudinal):
        return None
    if isinstance(hamiltonian.field, float | int):
        return ExactEnergy(
            ising_chain_energy(length, hamiltonian.coupling, hamiltonian.field, periodic), "free fermions"
        )
    if periodic:
        return None
    fields = site_values(hamiltonian.field, length, "hamiltonian.field")
    return ExactEnergy(ising_chain_energy(length, hamiltonian.coupling, fields, periodic), "free fermions")


def diagonalised(operator: Operator, magnetization: int | None, largest: int) -> ExactEnergy | None:
    """The lowest eigenvalue by sparse Lanczos, or None when the Hilbert space is larger than asked for."""
    if operator.n_sites > LANCZOS_SITES or dimension(operator.n_sites, magnetization) > largest:
        return None
    from pvmc.exact.lanczos import ground_state  # scipy's sparse matrices: a closed solution needs none

    energy, _ = ground_state(operator, Basis.enumerate(operator.n_sites, magnetization))
    return ExactEnergy(energy, "Lanczos")


def dimension(n_sites: int, magnetization: int | None) -> int:
    """Number of configurations of N spins, with sum_i s_i fixed or not."""
    if magnetization is None:
        return 2**n_sites
    return comb(n_sites, (n_sites + magnetization) // 2)
