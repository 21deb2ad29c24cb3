"""A small system solved exactly, from the Pauli strings alone: nothing of the compiled Hamiltonian is believed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from pvmc.errors import InputError
from pvmc.exact.lanczos import lowest
from pvmc.exact.sector import sector_basis
from pvmc.hamiltonians import PauliSum
from pvmc.numerics.arrays import Numbers
from pvmc.spins.configurations import Basis
from pvmc.vmc.job import Job
from pvmc.wavefunctions import WaveFunction
from pvmc.wavefunctions.symmetry import claimed_symmetry
from pvmc.wavefunctions.vectors import dense_vector

LARGEST = 16
"""Most sites that are validated."""

LARGEST_BYTES = 2**31
"""Most memory for the log-derivatives of all configurations."""


@dataclass(frozen=True)
class ExactSystem:
    """Configurations, Hamiltonian and ground-state energy of the sector that a job samples.

    Attributes:
        basis: all configurations of the sector.
        matrix: the Hamiltonian on them, sparse (D, D).
        energy: the lowest energy; where the ansatz has symmetries, the lowest of the states that have them.
    """

    basis: Basis
    matrix: sparse.csr_array
    energy: float

    @classmethod
    def of(cls, job: Job) -> ExactSystem:
        """Diagonalise the Hamiltonian of a job.

        Raises:
            InputError: the system is too large, or its wave function has quantum numbers that no state has.
        """
        require_small(job)
        basis = Basis.enumerate(job.lattice.n_sites, job.sampler.magnetization)
        matrix = pauli_matrix(job.config.hamiltonian.build(job.lattice), basis)
        return cls(basis, matrix, _lowest_energy(job, basis, matrix))

    def state(self, psi: WaveFunction) -> Numbers:
        """psi(s), normalised over the sector, complex128 (D,)."""
        return dense_vector(psi, self.basis)

    def energy_of(self, psi: WaveFunction) -> float:
        """<psi|H|psi> / <psi|psi>."""
        vector = self.state(psi)
        return float(np.vdot(vector, self.matrix @ vector).real)

    def variance_of(self, psi: WaveFunction) -> float:
        """<H^2> - <H>^2, from the residual (H - <H>) psi."""
        vector = self.state(psi)
        image = self.matrix @ vector
        return float(np.linalg.norm(image - np.vdot(vector, image).real * vector) ** 2)


def require_small(job: Job) -> None:
    """InputError where a job is too large to be compared with exact diagonalisation."""
    n_sites = job.lattice.n_sites
    if n_sites > LARGEST:
        raise InputError(f"{n_sites} sites are too many to validate by exact diagonalisation: at most {LARGEST}")
    n_bytes = 16 * job.ansatz.n_parameters * 2**n_sites
    if job.sampler.magnetization is None and n_bytes > LARGEST_BYTES:
        raise InputError(
            f"the log-derivatives of {job.ansatz.n_parameters} parameters on all {2**n_sites} configurations need "
            f"{n_bytes / 2**30:.1f} GiB: validate fewer parameters or sites"
        )


def pauli_matrix(terms: PauliSum, basis: Basis) -> sparse.csr_array:
    """The matrix H[s, s'] of a sum of Pauli strings on the configurations of a basis, string by string.

    X_i and Y_i flip the spin i; Z_i gives s_i and Y_i gives -i s_i, with s_i of the row.

    Returns:
        Sparse matrix (D, D), float64 where no element is complex.

    Raises:
        InputError: the operator leads out of the basis.
    """
    values: dict[int, Numbers] = {}
    for string, coefficient in terms.terms.items():
        mask, element = 0, np.full(len(basis), complex(coefficient))
        for site, letter in string:
            if letter != "X":
                element *= basis.spins[site]
            if letter == "Y":
                element *= -1j
            if letter != "Z":
                mask |= 1 << site
        values[mask] = values[mask] + element if mask in values else element
    return _assembled(values, basis)


def _assembled(values: dict[int, Numbers], basis: Basis) -> sparse.csr_array:
    """The matrix with the elements values[mask][s] between s and s with the bits of the mask flipped."""
    total = sparse.csr_array((len(basis), len(basis)), dtype=np.complex128)
    scale = max((float(np.max(np.abs(element))) for element in values.values()), default=0.0)
    for mask, element in values.items():
        row = np.flatnonzero(np.abs(element) > 1e-14 * scale)
        column = basis.index(basis.labels[row] ^ mask)
        if np.any(column < 0):
            raise InputError("the Hamiltonian does not keep the magnetisation that the sampler fixes")
        total = total + sparse.csr_array((element[row], (row, column)), shape=total.shape)
    return sparse.csr_array(total if np.any(total.data.imag) else total.real)


def _lowest_energy(job: Job, basis: Basis, matrix: sparse.csr_array) -> float:
    group = claimed_symmetry(job.ansatz)
    if group is None or len(group) == 1:
        return lowest(matrix)[0]
    if job.sampler.magnetization not in (0, None) and np.any(group.signs < 0):
        raise InputError("a flip of all spins leads out of a magnetisation other than 0: no such sector")
    states = sector_basis(group, basis)
    if states.shape[1] == 0:
        raise InputError("no state of this magnetisation has the quantum numbers of the ansatz")
    return lowest(sparse.csr_array(states.conj().T @ (matrix @ states)))[0]
